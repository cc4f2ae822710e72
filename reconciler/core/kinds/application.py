"""Application: alike replicas of one workload."""

from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import Field

from reconciler.core.kinds.spec import Name, Reference, Run


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
    hosts: tuple[Name, ...] = ()
    """The Hosts that may run it; left out, any."""
    port: Name | None = None
    """The port that proxies send requests to; the first one where left out."""

    def references(self) -> Iterator[Reference]:
        for i, host in enumerate(self.hosts):
            yield Reference(("hosts", i), ("Host",), host)
