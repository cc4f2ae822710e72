"""Container: one workload."""

from collections.abc import Iterator
from typing import Any, ClassVar

from reconciler.core.kinds.spec import Name, Reference, Run


class Container(Run):
    """One workload, on a host that is named or chosen."""

    example: ClassVar[dict[str, Any]] = {
        "apiVersion": "convoy/v1",
        "kind": "Container",
        "metadata": {"name": "files"},
        "spec": {
            "command": ["python3", "-m", "http.server", "${PORT}", "--bind", "${ADDRESS}"],
            "ports": [{"name": "http"}],
            "check": {"http": {"path": "/"}},
        },
    }

    host: Name | None = None
    """The Host that runs it; left out, Convoy chooses and then stays with its choice."""

    def references(self) -> Iterator[Reference]:
        if self.host:
            yield Reference(("host",), ("Host",), self.host)
