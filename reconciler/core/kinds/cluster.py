"""Cluster: an upstream that several Configurations share."""

from collections.abc import Iterator
from typing import Any, ClassVar

from reconciler.core.kinds.spec import Reference, Spec
from reconciler.core.kinds.traffic import Upstream


class Cluster(Upstream, Spec):
    """An upstream that several Configurations share."""

    example: ClassVar[dict[str, Any]] = {
        "apiVersion": "convoy/v1",
        "kind": "Cluster",
        "metadata": {"name": "ledger"},
        "spec": {"endpoints": ["127.0.0.1:9000"], "envoy": {"lb_policy": "LEAST_REQUEST"}},
    }

    def references(self) -> Iterator[Reference]:
        return self.upstream_references()
