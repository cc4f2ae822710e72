"""Host: a place where workloads run."""

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from reconciler.core.kinds.spec import Spec, broken


class Host(Spec):
    """A place where workloads run."""

    in_place: ClassVar[frozenset[str]] = frozenset({"address", "ports", "state"})
    example: ClassVar[dict[str, Any]] = {
        "apiVersion": "convoy/v1",
        "kind": "Host",
        "metadata": {"name": "local"},
        "spec": {"driver": "process", "address": "127.0.0.1"},
    }

    state: Literal["active", "cordoned", "draining", "lost"] = "active"
    """active: bears workloads. cordoned: keeps what it bears and gets nothing new. draining: what it bears moves elsewhere,
    the new before the old goes. lost: it is gone for good, and what it bore is made again elsewhere without waiting for it."""
    driver: Literal["process"] = "process"
    """What makes things there; `process` runs them as local processes."""
    address: str = Field("127.0.0.1", min_length=1, max_length=253)
    """The address at which proxies reach what runs there."""
    ports: str = Field("20000-29999", pattern=r"^[0-9]{1,5}-[0-9]{1,5}$")
    """The range from which the driver takes ports that documents do not fix."""

    @model_validator(mode="after")
    def _range(self) -> Self:
        first, last = map(int, self.ports.split("-"))
        if not 1024 <= first <= last <= 65535:
            raise broken(f"{self.ports!r} is not a range of ports", "write lowest-highest, between 1024 and 65535", "ports")
        return self
