"""Host: a place where workloads run."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from reconciler.core.kinds.spec import Spec


class Host(Spec):
    """A place where workloads run."""

    in_place: ClassVar[frozenset[str]] = frozenset({"address", "ports"})
    example: ClassVar[dict[str, Any]] = {
        "apiVersion": "convoy/v1",
        "kind": "Host",
        "metadata": {"name": "local"},
        "spec": {"driver": "process", "address": "127.0.0.1"},
    }

    driver: Literal["process"] = "process"
    """What makes things there; `process` runs them as local processes."""
    address: str = Field("127.0.0.1", min_length=1, max_length=253)
    """The address at which proxies reach what runs there."""
    ports: str = Field("20000-29999", pattern=r"^[0-9]{1,5}-[0-9]{1,5}$")
    """The range from which the driver takes ports that documents do not fix."""
