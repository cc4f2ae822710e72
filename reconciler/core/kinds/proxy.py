"""Proxy: one Envoy."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from reconciler.core.kinds.spec import Name, PortNumber, Reference, Spec, broken
from reconciler.core.kinds.traffic import XdsName

# The whole name of a commit: a shorter one may come to mean several.
Revision = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


class Proxy(Spec):
    """One Envoy: which group it belongs to, what it serves, where it runs, and on which ports it listens."""

    runs: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {
        "apiVersion": "convoy/v1",
        "kind": "Proxy",
        "metadata": {"name": "edge-1"},
        "spec": {"group": "edge", "host": "local", "ports": {"http": 10001}},
    }

    group: Name
    """The ProxyGroup whose Configuration and VirtualHosts it serves."""
    configuration: Name | None = None
    """The Configuration it serves instead of its group's; the group's VirtualHosts stay."""
    revision: Revision | None = None
    """A commit, by all its 40 digits: `configuration` is served as that commit declares it. Left out: as the revision in force
    does."""
    cluster: Name | None = None
    """The Cluster that it stands before, for people and programs that look for it by that: what it is told is said by its
    Configuration alone."""
    host: Name | None = None
    """The Host that runs it; left out, Convoy chooses and then stays with its choice."""
    ports: dict[XdsName, PortNumber] = Field(default_factory=dict)
    """Listener's name ⇒ the port it has on this proxy instead of its own. A VirtualHost's listener is named `port-<number>`."""

    def references(self) -> Iterator[Reference]:
        yield Reference(("group",), ("ProxyGroup",), self.group)
        # What a commit declares stays declared there, whatever becomes of it later.
        if self.configuration and not self.revision:
            yield Reference(("configuration",), ("Configuration",), self.configuration)
        if self.cluster:
            yield Reference(("cluster",), ("Cluster",), self.cluster)
        if self.host:
            yield Reference(("host",), ("Host",), self.host)

    @model_validator(mode="after")
    def _pins_something(self) -> Self:
        if self.revision and not self.configuration:
            hint = "name it under `configuration`, or leave out `revision`"
            raise broken("it is not said which Configuration is served as that commit declares it", hint, "revision")
        return self
