"""compile(): checked documents ⇒ FleetState, every workload and everything any proxy is told; or every Problem there is."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast

from reconciler.core import clusters, listeners, routes
from reconciler.core.bootstrap import bootstrap
from reconciler.core.group import Found, Group, Host, Part, Traffic, bound, port_parts, ports
from reconciler.core.kinds.cluster import Cluster
from reconciler.core.kinds.configuration import Configuration
from reconciler.core.kinds.host import Host as HostSpec
from reconciler.core.kinds.proxy import Proxy
from reconciler.core.kinds.proxygroup import ProxyGroup
from reconciler.core.kinds.traffic import Upstream
from reconciler.core.kinds.virtualhost import VirtualHost
from reconciler.core.messages import Fault, Path
from reconciler.core.model import FleetState, Problem, Ref, Resource, Want, Where
from reconciler.core.pieces import Translation
from reconciler.core.sockets import proxy_faults, shared_sockets
from reconciler.core.workloads import node_name, proxy_want, wants

# The place of a path within a document, from the document's root: ("spec", "listeners", 0, "port").
Locate = Callable[[Ref, Path], Where]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Compiled:
    """The fleet, or what is wrong: never both."""

    fleet: FleetState | None
    problems: tuple[Problem, ...]


def compile(revision: str, resources: Mapping[Ref, Resource], locate: Locate) -> Compiled:
    """What these documents declare, computed from nothing."""
    return Compiler().compile(revision, resources, locate)


class Compiler:
    """Remembers what it made of each document, by content, so that the next revision costs what changed in it."""

    def __init__(self) -> None:
        self._now: dict[Hashable, Any] = {}
        self._before: dict[Hashable, Any] = {}

    def compile(self, revision: str, resources: Mapping[Ref, Resource], locate: Locate) -> Compiled:
        """The same as `compile`. Not thread-safe."""
        self._now, self._before = {}, self._now
        run = _Run(self, resources, locate)
        run.all()
        if run.faults:
            # What the last good revision was made of stays known: the next one is most likely a mended copy of it.
            self._now = {**self._before, **self._now}
            return Compiled(None, run.problems())
        return Compiled(FleetState(revision, resources, run.workloads, run.traffic), ())

    def kept(self, key: Hashable, make: Callable[[], T]) -> T:
        """What was made under this key in this revision or the one before, or is made now."""
        found = self._now.get(key, self)
        if found is self:
            found = self._before.get(key, self)
            if found is self:
                found = make()
            self._now[key] = found
        return cast(T, found)


class _Run:
    """One compilation."""

    def __init__(self, compiler: Compiler, resources: Mapping[Ref, Resource], locate: Locate) -> None:
        self.kept, self.resources, self.locate = compiler.kept, resources, locate
        self.kinds: dict[str, list[Resource]] = defaultdict(list)
        self.workloads: dict[Ref, Want] = {}
        self.traffic: dict[Ref, Traffic] = {}
        self.faults: list[Found] = []
        self._hosts: dict[Ref, list[Host]] = defaultdict(list)
        self._bootstraps: dict[Ref, str] = {}

    def all(self) -> None:
        for resource in self.resources.values():
            self.kinds[resource.ref.kind].append(resource)
        self._workloads()
        for resource in self.kinds["Host"]:
            self._address(resource, cast(HostSpec, resource.spec))
        for resource in self.kinds["Configuration"]:
            self._parts(resource)
        for resource in self.kinds["Cluster"]:
            self._parts(resource)
        for resource in self.kinds["VirtualHost"]:
            self._virtual_host(resource, cast(VirtualHost, resource.spec))
        for resource in self.kinds["ProxyGroup"]:
            self._group(resource, cast(ProxyGroup, resource.spec))
        self._proxies()

    def problems(self) -> tuple[Problem, ...]:
        found = {}
        for ref, fault in self.faults:
            problem = Problem(self.locate(ref, ("spec", *fault.path)), fault.what, fault.hint, ref)
            found[(problem.where, problem.what)] = problem
        return tuple(found[key] for key in sorted(found))

    def _workloads(self) -> None:
        for kind in ("Container", "Application"):
            for resource in self.kinds[kind]:
                for want in self._wants(resource):
                    other = self.workloads.get(want.ref)
                    if other is None:
                        self.workloads[want.ref] = want
                    else:
                        what = f"replica {want.ref.name!r} has the name of {other.owner}"
                        self.faults.append((resource.ref, Fault(("replicas",), what, "rename one of them")))

    def _wants(self, resource: Resource) -> tuple[Want, ...]:
        return self.kept(("wants", resource.ref, resource.digest, resource.uid), lambda: tuple(wants(resource)))

    def _address(self, resource: Resource, spec: HostSpec) -> None:
        # Envoy takes endpoints' addresses by EDS, and there it resolves no names.
        if not clusters.is_address(spec.address):
            hint = "127.0.0.1 is this machine" if spec.address == "localhost" else "write the address its name stands for"
            self.faults.append((resource.ref, Fault(("address",), f"{spec.address!r} is not an IP address", hint)))

    def _parts(self, resource: Resource) -> tuple[Part, ...]:
        """The pieces of a Configuration or Cluster as resources that know their place; faults are noted once."""
        targets = tuple(
            clusters.upstream_eds(upstream, resource.ref.tenant, self.resources) for _, _, upstream in _upstreams(resource)
        )
        key = ("read", resource.ref.kind, resource.ref.name, resource.digest, targets)
        read = self.kept(key, lambda: _translate(resource, targets))
        self.faults.extend((resource.ref, fault) for fault in read.faults)
        return self.kept(("placed", *_identity(resource), targets), lambda: self._placed(resource, read))

    def _placed(self, resource: Resource, read: Translation) -> tuple[Part, ...]:
        return tuple(Part(piece, bound(piece, resource.ref, self._where(resource, piece.path))) for piece in read.pieces)

    def _where(self, resource: Resource, path: Path) -> Where:
        return self.locate(resource.ref, ("spec", *path) if path else ())

    def _begins(self, resource: Resource) -> Where:
        return self._where(resource, ())

    def _application(self, resource: Resource) -> tuple[Part, ...]:
        port = clusters.port_of(resource)
        if port is None:
            return ()
        return self.kept(("application", *_identity(resource), port), lambda: (self._own_cluster(resource, port),))

    def _own_cluster(self, resource: Resource, port: str) -> Part:
        piece = clusters.application_cluster(resource.ref.name, clusters.eds_name(resource.ref, port))
        return Part(piece, bound(piece, resource.ref, self._where(resource, ())))

    def _virtual_host(self, resource: Resource, spec: VirtualHost) -> None:
        encoded, mentions, faults = self.kept(
            ("host", resource.ref, resource.digest), lambda: routes.host_of(resource.ref.name, spec)
        )
        self.faults.extend((resource.ref, fault) for fault in faults)
        self._hosts[Ref("ProxyGroup", spec.group, resource.ref.tenant)].append(Host(resource, spec, encoded, mentions))

    def _group(self, resource: Resource, spec: ProxyGroup) -> None:
        ref = resource.ref
        text, built_in, faults = self.kept(("bootstrap", ref, resource.digest), lambda: bootstrap(spec, node_name(ref)))
        self._bootstraps[ref] = text
        self.faults.extend((ref, fault) for fault in faults)
        certificates = {one.ref.name: one for one in self.kinds["Certificate"] if one.ref.tenant == ref.tenant}
        group = Group(
            ref,
            built_in,
            lambda name: self._shared(name, ref.tenant),
            lambda: self._cluster_names(ref.tenant),
            certificates,
            self._begins,
        )
        configuration = self.resources.get(Ref("Configuration", spec.configuration or "", ref.tenant))
        if configuration is not None:
            group.add(self._parts(configuration))
        for port, hosts in ports(self._hosts[ref]).items():
            key = ("port", port, *(_identity(one.resource) for one in hosts))
            make = partial(port_parts, port, hosts, self._begins)
            parts, wrong = self.kept(key, make)
            self.faults.extend(wrong)
            for part in parts:
                if part.piece.name in group.parts[part.piece.type]:
                    what = f"{configuration.ref if configuration else ref} has something named {part.piece.name!r} already"
                    self.faults.append((part.resource.owner, Fault(("port",), what, "rename that")))
            group.add(parts)
        self.traffic[ref] = group.close()
        self.faults.extend(group.faults)
        self.faults.extend(shared_sockets(group))

    def _shared(self, name: str, tenant: str) -> Part | None:
        declared = self.resources.get(Ref("Cluster", name, tenant))
        if declared is not None:
            return next(iter(self._parts(declared)), None)
        application = self.resources.get(Ref("Application", name, tenant))
        if application is None:
            return None
        found = self._application(application)
        if not found:
            fault = Fault(("ports",), f"{application.ref} is sent requests but has no port", "give it `ports`")
            self.faults.append((application.ref, fault))
        return next(iter(found), None)

    def _cluster_names(self, tenant: str) -> Iterable[str]:
        return [one.ref.name for kind in ("Cluster", "Application") for one in self.kinds[kind] if one.ref.tenant == tenant]

    def _proxies(self) -> None:
        for resource in self.kinds["Proxy"]:
            proxy = cast(Proxy, resource.spec)
            group = self.resources.get(Ref("ProxyGroup", proxy.group, resource.ref.tenant))
            if group is None:
                self.faults.append((resource.ref, Fault(("group",), f"there is no ProxyGroup {proxy.group!r}")))
                continue
            text = self._bootstraps[group.ref]
            key = ("proxy", resource.ref, resource.digest, resource.uid, group.digest)
            make = partial(proxy_want, resource, proxy, cast(ProxyGroup, group.spec), text)
            self.workloads[resource.ref] = self.kept(key, make)
        self.faults.extend(proxy_faults(self.kinds["Proxy"], self.kinds["Host"], self.traffic))


def _identity(resource: Resource) -> tuple[Hashable, ...]:
    """What a document says and where it stands: all that a finished piece of it depends upon."""
    source = resource.source
    return (resource.ref, resource.digest, source.file, source.blob, source.start)


def _upstreams(resource: Resource) -> list[tuple[str, Path, Upstream]]:
    spec = resource.spec
    if isinstance(spec, Cluster):
        return [(resource.ref.name, (), spec)]
    return [(one.name, ("clusters", i), one) for i, one in enumerate(cast(Configuration, spec).clusters)]


def _translate(resource: Resource, targets: tuple[str | Fault, ...]) -> Translation:
    pieces, faults = [], []
    made: list[tuple[Any, tuple[Fault, ...]]] = []
    for (name, path, upstream), target in zip(_upstreams(resource), targets, strict=True):
        if isinstance(target, Fault):
            faults.append(Fault((*path, *target.path), target.what, target.hint))
        made.append(clusters.cluster(name, upstream, target if isinstance(target, str) else clusters.UNKNOWN_EDS, path))
    if isinstance(resource.spec, Configuration):
        made += [listeners.listener(one, ("listeners", i)) for i, one in enumerate(resource.spec.listeners)]
        made += [routes.routes(one, ("routes", i)) for i, one in enumerate(resource.spec.routes)]
        faults.extend(_twice(resource.spec))
    for piece, wrong in made:
        faults.extend(wrong)
        if piece is not None:
            pieces.append(piece)
    return Translation(tuple(pieces), tuple(faults))


def _twice(spec: Configuration) -> Iterable[Fault]:
    for section, words in (("listeners", "listeners"), ("routes", "route configurations"), ("clusters", "clusters")):
        known: set[str] = set()
        for i, one in enumerate(getattr(spec, section)):
            if one.name in known:
                yield Fault((section, i, "name"), f"two {words} are named {one.name!r}")
            known.add(one.name)
