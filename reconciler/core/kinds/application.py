"""Application: alike replicas of one workload."""

from collections.abc import Iterator
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from reconciler.core.kinds.spec import Name, Reference, Run, broken


class Application(Run):
    """Alike replicas of one workload (`name-1`, `name-2`, …), and the Envoy cluster of the same name that reaches them."""

    example: ClassVar[dict[str, Any]] = {
        "apiVersion": "convoy/v1",
        "kind": "Application",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 2,
            "files": {"index.html": "hello\n"},
            "command": ["python3", "-m", "http.server", "${PORT}", "--bind", "${ADDRESS}"],
            "ports": [{"name": "http"}],
            "check": {"http": {"path": "/"}},
        },
    }

    replicas: int = Field(1, ge=0, le=1000)
    """How many run at a time; they are named `<name>-1`, `<name>-2`, …"""
    hosts: tuple[Name, ...] = Field((), max_length=1000)
    """The Hosts that may run it; left out, any."""
    port: Name | None = None
    """The port that proxies send requests to; the first one where left out."""

    @model_validator(mode="after")
    def _port_is_there(self) -> Self:
        names = [port.name for port in self.ports]
        if self.port is not None and self.port not in names:
            hint = f"there is {', '.join(names)}" if names else "declare it under `ports`"
            raise broken(f"there is no port {self.port!r}", hint, "port")
        for i, host in enumerate(self.hosts):
            if host in self.hosts[:i]:
                raise broken(f"the host {host!r} is there twice", "remove one", "hosts", i)
        return self

    def suffix_length(self) -> int:
        return len(f"-{max(self.replicas, 1)}")

    def references(self) -> Iterator[Reference]:
        for i, host in enumerate(self.hosts):
            yield Reference(("hosts", i), ("Host",), host)
