"""Documents written in a test, as the resources they declare and the places they stand at."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from envoy.config.route.v3 import route_pb2  # type: ignore[import-untyped]

from reconciler.core.compile import Compiled, compile
from reconciler.core.envoy import content
from reconciler.core.kinds import KINDS
from reconciler.core.messages import Path
from reconciler.core.model import FleetState, Ref, Resource, Snapshot, Where, XdsResource, digest
from reconciler.core.parse import Document, locate, parse

HOST = "\n---\napiVersion: convoy/v1\nkind: Host\nmetadata: {name: local}\nspec: {}\n"
EDGE = """
kind: ProxyGroup
metadata: {name: edge}
spec: {configuration: edge}
---
kind: Proxy
metadata: {name: edge-1}
spec: {group: edge, host: local}
"""
WEB = """
kind: Application
metadata: {name: web}
spec: {replicas: 2, command: [run], ports: [{name: http}, {name: admin}]}
"""
CONFIGURATION = """
kind: Configuration
metadata: {name: edge}
spec:
  listeners:
    - {name: http, port: 10000, routes: main}
  routes:
    - name: main
      virtualHosts:
        - routes:
            - {prefix: /, cluster: web}
"""


@dataclass(frozen=True)
class Written:
    """What a test's YAML declares. Nothing here checks it: that is another room's business."""

    resources: Mapping[Ref, Resource]
    documents: Mapping[Ref, Document]

    def locate(self, ref: Ref, path: Path, *, key: bool = False) -> Where:
        return locate(self.documents[ref], path, key=key)

    def compile(self) -> Compiled:
        return compile("r1", self.resources, self.locate)

    def fleet(self) -> FleetState:
        compiled = self.compile()
        assert compiled.fleet is not None, "\n".join(map(str, compiled.problems))
        return compiled.fleet

    def problems(self) -> list[str]:
        compiled = self.compile()
        assert (compiled.fleet is None) == bool(compiled.problems)
        return [str(problem) for problem in compiled.problems]


def written(**files: str) -> Written:
    """Files by name (without `.yaml`) ⇒ what they declare. A file `acme__x` is one of the tenant acme."""
    resources: dict[Ref, Resource] = {}
    documents: dict[Ref, Document] = {}
    for name, text in files.items():
        parsed = parse(f"{name}.yaml", digest(text), text.encode())
        assert not parsed.problems, parsed.problems
        for document in parsed.documents:
            tenant = {"tenant": name.partition("__")[0]} if "__" in name else {}
            ref = Ref(document.value["kind"], document.value["metadata"]["name"], **tenant)
            spec = KINDS[ref.kind].model_validate(document.value.get("spec") or {})
            resources[ref] = Resource(ref, f"uid-{ref}", spec, document.source, digest=digest(document.value))
            documents[ref] = document
    return Written(resources, documents)


def traffic(fleet: FleetState, group: str = "edge") -> dict[str, list[str]]:
    """The names a group is told, by type."""
    return {type: list(resources) for type, resources in fleet.traffic[Ref("ProxyGroup", group)].items()}


def told(fleet: FleetState, type: str, name: str, group: str = "edge") -> XdsResource:
    return fleet.traffic[Ref("ProxyGroup", group)][type][name]


def read(resource: XdsResource, cls: Any) -> Any:
    return cls.FromString(content(resource.body))


def hosts_of(snapshot: Snapshot) -> dict[str, tuple[list[str], list[str]]]:
    """Virtual host ⇒ its domains and its clusters, over all ports."""
    return {
        host.name: (
            list(host.domains),
            [
                name
                for route in host.routes
                for name in (route.route.cluster, *(one.name for one in route.route.weighted_clusters.clusters))
                if name
            ],
        )
        for resource in snapshot.resources["rds"].values()
        for host in route_pb2.RouteConfiguration.FromString(content(resource.body)).virtual_hosts
    }
