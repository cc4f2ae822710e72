"""compile(): checked documents ⇒ FleetState, every workload and everything any proxy is told; or every Problem there is."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Protocol, cast

from reconciler.core import clusters
from reconciler.core.bootstrap import bootstrap
from reconciler.core.eds import eds_name
from reconciler.core.group import Found, Group, Host, Part, Traffic, bound, host_of, port_parts, ports
from reconciler.core.kinds.host import Host as HostSpec
from reconciler.core.kinds.proxy import Proxy
from reconciler.core.kinds.proxygroup import ProxyGroup
from reconciler.core.memo import Memo
from reconciler.core.messages import Fault, Path
from reconciler.core.model import FleetState, Problem, Ref, Resource, Want, Where
from reconciler.core.pieces import Translation
from reconciler.core.pinned import at_the_pin
from reconciler.core.sockets import proxy_faults, shared_sockets
from reconciler.core.translate import translate, upstreams
from reconciler.core.workloads import node_name, proxy_want, wants

MOST_PLACES = 2000
# So many documents are looked at again when one of them has changed.
AT_A_TIME = 32


class Locate(Protocol):
    """Tells where a path within a document is, from the document's root: ("spec", "listeners", 0, "port")."""

    def __call__(self, ref: Ref, path: Path, *, key: bool = False) -> Where:
        """Where the value begins, or with `key` its key; of the deepest part that is there."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """The fleet, or what is wrong: never both."""

    fleet: FleetState | None
    problems: tuple[Problem, ...]


# Proxy ⇒ the Configuration that it is pinned to, as the commit that it names declares it.
Pinned = Mapping[Ref, Resource]
NONE: Pinned = MappingProxyType({})


def compile(revision: str, resources: Mapping[Ref, Resource], locate: Locate, pinned: Pinned = NONE) -> Compiled:
    """What these documents declare, computed from nothing."""
    return Compiler().compile(revision, resources, locate, pinned)


def problem_of(locate: Locate, ref: Ref, fault: Fault) -> Problem:
    """A fault in the spec of this resource, at its place."""
    return Problem(locate(ref, ("spec", *fault.path), key=fault.key), fault.what, fault.hint, ref)


class Compiler:
    """Remembers what it made of each document, so that the next revision costs what changed in it."""

    def __init__(self) -> None:
        self._memo = Memo()

    def compile(self, revision: str, resources: Mapping[Ref, Resource], locate: Locate, pinned: Pinned = NONE) -> Compiled:
        """The same as `compile`. Not thread-safe. What is pinned is the same object as long as it says the same."""
        run = _Run(self._memo, resources, locate, pinned)
        if run.faults:
            return Compiled(None, run.problems())
        return Compiled(FleetState(revision, resources, run.workloads, run.traffic), ())


class _Tenant:
    """One tenant's documents by kind and name, and the clusters looked up among them so far."""

    __slots__ = ("kinds", "name", "shared")

    def __init__(self, name: str) -> None:
        self.name = name
        self.kinds: dict[str, dict[str, Resource]] = defaultdict(dict)
        self.shared: dict[str, Part | None] = {}

    def targets(self, resource: Resource) -> tuple[Resource | None, ...]:
        """The Applications and Containers that a document's clusters lead to; None for a cluster that leads elsewhere."""
        return tuple(
            self.kinds["Application" if one.application else "Container"].get(one.application or one.container or "")
            for _, _, one in upstreams(resource.ref.name, resource.spec)
        )


class _Run:
    """One compilation."""

    def __init__(self, memo: Memo, resources: Mapping[Ref, Resource], locate: Locate, pinned: Pinned) -> None:
        self.kept, self.last, self.locate, self.pinned = memo.kept, memo.last, locate, pinned
        self.workloads: dict[Ref, Want] = {}
        self.traffic: dict[Ref, Traffic] = {}
        self.faults: list[Found] = []
        tenants: dict[str, _Tenant] = {}
        for resource in memo.same(resources.values(), pinned.values()):
            ref = resource.ref
            tenant = tenants.get(ref.tenant) or tenants.setdefault(ref.tenant, _Tenant(ref.tenant))
            tenant.kinds[ref.kind][ref.name] = resource
        for tenant in tenants.values():
            self._workloads(tenant)
            self._traffic(tenant)

    def problems(self) -> tuple[Problem, ...]:
        found = {}
        for i, (ref, fault) in enumerate(self.faults):
            # Finding a place reads the document again. Nobody reads so many, so the first line of the document will do.
            far = Problem(self.locate(ref, ()), fault.what, fault.hint, ref) if i >= MOST_PLACES else None
            problem = far or problem_of(self.locate, ref, fault)
            found[(problem.where, problem.what)] = problem
        return tuple(found[key] for key in sorted(found))

    def _workloads(self, tenant: _Tenant) -> None:
        running = (*tenant.kinds["Container"].values(), *tenant.kinds["Application"].values())
        workloads, faults = self.last(("workloads", tenant.name), running, partial(self._running, running))
        self.workloads.update(workloads)
        self.faults.extend(faults)

    def _running(self, running: tuple[Resource, ...]) -> tuple[dict[Ref, Want], list[Found]]:
        workloads: dict[Ref, Want] = {}
        faults: list[Found] = []
        for resource in running:
            for want in self.kept("wants", (resource,), partial(wants, resource)):
                other = workloads.setdefault(want.ref, want)
                if other is not want:
                    what = f"replica {want.ref.name!r} has the name of {other.owner}"
                    faults.append((resource.ref, Fault(("replicas",), what, "rename one of them")))
        return workloads, faults

    def _traffic(self, tenant: _Tenant) -> None:
        for resource in tenant.kinds["Host"].values():
            self._address(resource, cast(HostSpec, resource.spec))
        read = tuple(one for kind in ("Configuration", "Cluster") for one in tenant.kinds[kind].values())
        running = (*tenant.kinds["Container"].values(), *tenant.kinds["Application"].values())
        reached = self.last(("reached", tenant.name), running, object)
        for start in range(0, len(read), AT_A_TIME):
            some = read[start : start + AT_A_TIME]
            self.faults.extend(self.last(("faults", tenant.name, start), some, partial(self._faults, some, tenant), reached))
        virtual = tuple(tenant.kinds["VirtualHost"].values())
        hosts = self.last(("hosts", tenant.name), virtual, partial(self._hosts, virtual))
        proxies: dict[str, list[Resource]] = defaultdict(list)
        for resource in tenant.kinds["Proxy"].values():
            proxies[cast(Proxy, resource.spec).group].append(resource)
        for resource in tenant.kinds["ProxyGroup"].values():
            serving = hosts.get(resource.ref.name, {})
            text, built_in = self._group(resource, serving, tenant)
            for proxy in proxies[resource.ref.name]:
                self.workloads[proxy.ref] = self.kept("proxy", (proxy, resource), partial(proxy_want, proxy, resource, text))
            self._own(resource, proxies[resource.ref.name], serving, tenant, built_in)
        self.faults.extend(proxy_faults(tenant.kinds["Proxy"], tenant.kinds["Host"], self.traffic))

    def _faults(self, read: tuple[Resource, ...], tenant: _Tenant) -> list[Found]:
        return [(one.ref, fault) for one in read for fault in self._read(one, tenant).faults]

    def _hosts(self, virtual: tuple[Resource, ...]) -> dict[str, dict[int, tuple[Host, ...]]]:
        """Group ⇒ port ⇒ its VirtualHosts, in the order of their names."""
        groups: dict[str, list[Host]] = defaultdict(list)
        for resource in virtual:
            host = self.kept("host", (resource,), partial(host_of, resource))
            groups[host.spec.group].append(host)
        return {name: ports(hosts) for name, hosts in groups.items()}

    def _address(self, resource: Resource, spec: HostSpec) -> None:
        # Envoy takes endpoints' addresses by EDS, and there it resolves no names.
        if not clusters.is_address(spec.address):
            hint = "127.0.0.1 is this machine" if spec.address == "localhost" else "write the address its name stands for"
            self.faults.append((resource.ref, Fault(("address",), f"{spec.address!r} is not an IP address", hint)))

    def _read(self, resource: Resource, tenant: _Tenant) -> Translation:
        """The pieces of a Configuration or Cluster, and its faults."""
        targets = tenant.targets(resource)
        return self.kept("read", (resource, *targets), partial(translate, resource, targets))

    def _parts(self, resource: Resource, tenant: _Tenant, pin: Resource | None = None) -> tuple[Part, ...]:
        """The same as resources that know their place; of what was declared in the past that is where a Proxy names it."""
        read, targets = self._read(resource, tenant), tenant.targets(resource)
        if pin is not None:
            return self.kept("pinned", (pin, resource, *targets), partial(self._pinned, pin, resource, read))
        return self.kept("placed", (resource, *targets), partial(self._placed, resource, read))

    def _pinned(self, pin: Resource, resource: Resource, read: Translation) -> tuple[Part, ...]:
        where, revision = self._where(pin, ("revision",)), cast(Proxy, pin.spec).revision or ""
        return tuple(Part(one, replace(bound(one, resource.ref, where), pinned=revision)) for one in read.pieces)

    def _placed(self, resource: Resource, read: Translation) -> tuple[Part, ...]:
        return tuple(Part(one, bound(one, resource.ref, self._where(resource, one.path))) for one in read.pieces)

    def _where(self, resource: Resource, path: Path = ()) -> Where:
        return self.locate(resource.ref, ("spec", *path) if path else ())

    def _own_cluster(self, resource: Resource) -> Part | None:
        """The cluster that an Application is by itself."""
        port = clusters.port_of(resource)
        if port is None:
            return None
        piece = clusters.application_cluster(resource.ref.name, eds_name(resource.ref, port))
        return Part(piece, bound(piece, resource.ref, self._where(resource)))

    def _group(self, resource: Resource, hosts: Mapping[int, tuple[Host, ...]], tenant: _Tenant) -> tuple[str, frozenset[str]]:
        """Work out what a group is told; gives back the bootstrap of its Envoys, and the clusters that these have from it."""
        ref, spec = resource.ref, cast(ProxyGroup, resource.spec)
        text, built_in, faults = self.kept("bootstrap", (resource,), partial(bootstrap, spec, node_name(ref)))
        self.faults.extend((ref, fault) for fault in faults)
        configuration = tenant.kinds["Configuration"].get(spec.configuration or "")
        self.traffic[ref], found = self._told(ref, configuration, hosts, tenant, built_in)
        self.faults.extend(found)
        return text, built_in

    def _own(
        self,
        group: Resource,
        proxies: Iterable[Resource],
        hosts: Mapping[int, tuple[Host, ...]],
        tenant: _Tenant,
        built_in: frozenset[str],
    ) -> None:
        """Work out what those are told that have a Configuration of their own: once for all that have the same."""
        told: dict[int, Traffic] = {}
        for proxy in sorted(proxies, key=lambda one: one.ref):
            spec = cast(Proxy, proxy.spec)
            if not spec.configuration or (
                not spec.revision and spec.configuration == cast(ProxyGroup, group.spec).configuration
            ):
                continue
            now = tenant.kinds["Configuration"].get(spec.configuration)
            configuration = self.pinned.get(proxy.ref) if spec.revision else now
            if configuration is None:
                # It is said already what is wrong with it.
                continue
            if id(configuration) not in told:
                pin = proxy if spec.revision else None
                told[id(configuration)], found = self._told(group.ref, configuration, hosts, tenant, built_in, pin)
                self.faults.extend(found)
            self.traffic[proxy.ref] = told[id(configuration)]

    def _told(
        self,
        group: Ref,
        configuration: Resource | None,
        hosts: Mapping[int, tuple[Host, ...]],
        tenant: _Tenant,
        built_in: frozenset[str],
        pin: Resource | None = None,
    ) -> tuple[Traffic, Iterable[Found]]:
        """This Configuration with the VirtualHosts of the group, and what is wrong with the two together. `pin`: the Proxy
        that is pinned to it."""
        told = Group(
            self._read(configuration, tenant).declared if configuration is not None else frozenset(),
            built_in,
            partial(self._shared, tenant),
            lambda: {**tenant.kinds["Cluster"], **tenant.kinds["Application"]},
            tenant.kinds["Certificate"],
            self._where,
        )
        faults: list[Found] = []
        if configuration is not None:
            told.add(self._parts(configuration, tenant, pin))
        if configuration is not None and pin is not None:
            faults.extend((configuration.ref, fault) for fault in self._read(configuration, tenant).faults)
        for port, serving in hosts.items():
            documents = tuple(host.resource for host in serving)
            parts, wrong = self.last(("port", group, port), documents, partial(port_parts, port, serving, self._where))
            faults.extend(wrong)
            faults.extend(told.clashes(parts, group if configuration is None else configuration.ref))
            told.add(parts)
        traffic = told.close()
        faults = [*faults, *told.faults, *shared_sockets(told)]
        if configuration is None or pin is None:
            return traffic, faults
        return traffic, [at_the_pin(pin, one) if one[0] == configuration.ref else one for one in faults]

    def _shared(self, tenant: _Tenant, name: str) -> Part | None:
        """The cluster of this name that stands outside of Configurations."""
        if name not in tenant.shared:
            tenant.shared[name] = self._look_up(tenant, name)
        return tenant.shared[name]

    def _look_up(self, tenant: _Tenant, name: str) -> Part | None:
        declared = tenant.kinds["Cluster"].get(name)
        if declared is not None:
            return next(iter(self._parts(declared, tenant)), None)
        application = tenant.kinds["Application"].get(name)
        if application is None:
            return None
        found = self.kept("own", (application,), partial(self._own_cluster, application))
        if found is None:
            fault = Fault(("ports",), f"{application.ref} is sent requests but has no port", "give it `ports`")
            self.faults.append((application.ref, fault))
        return found
