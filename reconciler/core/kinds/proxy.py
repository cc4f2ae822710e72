"""Proxy: one Envoy."""

from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import Field

from reconciler.core.kinds.spec import Name, PortNumber, Reference, Spec
from reconciler.core.kinds.traffic import XdsName


class Proxy(Spec):
    """One Envoy: which group it belongs to, where it runs, and on which ports it listens."""

    runs: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {
        "apiVersion": "convoy/v1",
        "kind": "Proxy",
        "metadata": {"name": "edge-1"},
        "spec": {"group": "edge", "host": "local", "ports": {"http": 10001}},
    }

    group: Name
    """The ProxyGroup whose Configuration it serves."""
    host: Name | None = None
    """The Host that runs it; left out, Convoy chooses and then stays with its choice."""
    ports: dict[XdsName, PortNumber] = Field(default_factory=dict)
    """Listener's name ⇒ the port it has on this proxy instead of its own. A VirtualHost's listener is named `port-<number>`."""

    def references(self) -> Iterator[Reference]:
        yield Reference(("group",), ("ProxyGroup",), self.group)
        if self.host:
            yield Reference(("host",), ("Host",), self.host)
