"""What follows from documents: workloads, and what proxies are told; of all of them, or of what changes among them."""

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
from reconciler.core.laid import Laid, laid
from reconciler.core.memo import Memo
from reconciler.core.messages import Fault, Path
from reconciler.core.model import FleetState, Problem, Ref, Resource, Want, Where
from reconciler.core.pieces import Translation
from reconciler.core.pinned import at_the_pin
from reconciler.core.sockets import proxy_faults, shared_sockets
from reconciler.core.tenant import RUNNING, Changes, Name, Tenant, Told, ends
from reconciler.core.translate import translate
from reconciler.core.workloads import node_name, proxy_want, wants

MOST_PLACES = 2000


class Locate(Protocol):
    """Tells where a path within a document is, from the document's root: ("spec", "listeners", 0, "port")."""

    def __call__(self, ref: Ref, path: Path, *, key: bool = False) -> Where:
        """Where the value begins, or with `key` its key; of the deepest part that is there."""


# Proxy ⇒ the Configuration that it is pinned to, as the commit that it names declares it.
Pinned = Mapping[Ref, Resource]
NONE: Pinned = MappingProxyType({})


def problem_of(locate: Locate, ref: Ref, fault: Fault) -> Problem:
    """A fault in the spec of this resource, at its place."""
    return Problem(locate(ref, ("spec", *fault.path), key=fault.key), fault.what, fault.hint, ref)


@dataclass(frozen=True, slots=True)
class Known:
    """What was made of the last revision, in which nothing was wrong."""

    fleet: FleetState
    pinned: Pinned
    tenants: dict[str, Tenant]


class Run:
    """One compilation: of all that is affected by these changes of what was known before."""

    def __init__(self, memo: Memo, known: Known, changes: Changes, locate: Locate, pinned: Pinned) -> None:
        self.kept, self.last, self.locate, self.pinned = memo.kept, memo.last, locate, pinned
        # None where there is nothing of that name any more.
        self.workloads: dict[Ref, Want | None] = {}
        self.traffic: dict[Ref, Traffic | None] = {}
        self.faults: list[Found] = []
        tenants: dict[str, dict[Ref, tuple[Resource | None, Resource | None]]] = {}
        for ref, both in changes.items():
            tenants.setdefault(ref.tenant, {})[ref] = both
        for name, some in tenants.items():
            tenant = known.tenants.setdefault(name, Tenant())
            for ref, (old, new) in some.items():
                tenant.change(ref, old, new)
            self._running(tenant, some)
            self._traffic(tenant, some, laid(known.fleet.traffic, self.traffic))

    def problems(self) -> tuple[Problem, ...]:
        found = {}
        for i, (ref, fault) in enumerate(self.faults):
            # Finding a place reads the document again. Nobody reads so many, so the first line of the document will do.
            far = Problem(self.locate(ref, ()), fault.what, fault.hint, ref) if i >= MOST_PLACES else None
            problem = far or problem_of(self.locate, ref, fault)
            found[(problem.where, problem.what)] = problem
        return tuple(found[key] for key in sorted(found))

    def _running(self, tenant: Tenant, changes: Changes) -> None:
        both = [both for kind in RUNNING for ref, both in changes.items() if ref.kind == kind]
        for old in (old for old, _ in both if old is not None):
            for want in self._wants(old):
                if tenant.claims[want.ref].owner == old.ref:
                    del tenant.claims[want.ref]
                    self.workloads[want.ref] = None
        for new in (new for _, new in both if new is not None):
            for want in self._wants(new):
                other = tenant.claims.setdefault(want.ref, want)
                if other is want:
                    self.workloads[want.ref] = want
                else:
                    what = f"replica {want.ref.name!r} has the name of {other.owner}"
                    self.faults.append((new.ref, Fault(("replicas",), what, "rename one of them")))

    def _wants(self, resource: Resource) -> tuple[Want, ...]:
        return self.kept("wants", (resource,), partial(wants, resource))

    def _traffic(self, tenant: Tenant, changes: Changes, traffic: Laid[Ref, Traffic]) -> None:
        tenant.shared.clear()
        hosts = [resource for ref, (_, resource) in changes.items() if ref.kind == "Host"]
        for resource in hosts:
            if resource is not None:
                self._address(resource, cast(HostSpec, resource.spec))
        readers = tenant.readers(changes)
        for resource in readers:
            self.faults.extend((resource.ref, fault) for fault in self._read(resource, tenant).faults)
        groups = tenant.groups(changes, readers)
        for name in groups:
            before = tenant.told.pop(name, Told(frozenset()))
            self.traffic.update(dict.fromkeys(before.traffic))
            self.workloads.update(dict.fromkeys(before.workloads))
        for name in groups:
            group = tenant.kinds["ProxyGroup"].get(name)
            if group is not None:
                tenant.told[name] = self._group(group, tenant)
        if groups or hosts:
            self.faults.extend(proxy_faults(tenant.kinds["Proxy"], tenant.kinds["Host"], traffic))

    def _address(self, resource: Resource, spec: HostSpec) -> None:
        # Envoy takes endpoints' addresses by EDS, and there it resolves no names.
        if not clusters.is_address(spec.address):
            hint = "127.0.0.1 is this machine" if spec.address == "localhost" else "write the address its name stands for"
            self.faults.append((resource.ref, Fault(("address",), f"{spec.address!r} is not an IP address", hint)))

    def _read(self, resource: Resource, tenant: Tenant) -> Translation:
        """The pieces of a Configuration or Cluster, and its faults."""
        targets = tenant.targets(resource)
        if any(targets):
            return self.kept("read", (resource, *targets), partial(translate, resource, targets))
        # Of it alone, then: whoever else has it needs the same.
        found = resource.made.get("read")
        if found is None:
            found = resource.made["read"] = translate(resource, targets)
        return cast(Translation, found)

    def _parts(self, resource: Resource, tenant: Tenant, pin: Resource | None = None) -> tuple[Part, ...]:
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

    def _group(self, resource: Resource, tenant: Tenant) -> Told:
        """Work out what a group and those of its proxies are told that have a Configuration of their own, and their Envoys."""
        ref, spec = resource.ref, cast(ProxyGroup, resource.spec)
        text, built_in, faults = self.kept("bootstrap", (resource,), partial(bootstrap, spec, node_name(ref)))
        self.faults.extend((ref, fault) for fault in faults)
        proxies = tenant.proxies(ref.name)
        workloads = {one.ref: self.kept("proxy", (one, resource), partial(proxy_want, one, resource, text)) for one in proxies}
        hosts = ports(self.kept("host", (one,), partial(host_of, one)) for one in tenant.serving(ref.name))
        reads: set[Name] = {("Configuration", spec.configuration or "")}
        configuration = tenant.kinds["Configuration"].get(spec.configuration or "")
        traffic, found = self._told(ref, configuration, hosts, tenant, built_in, reads)
        self.faults.extend(found)
        own = self._own(resource, proxies, hosts, tenant, built_in, reads)
        self.workloads.update(workloads)
        self.traffic.update({ref: traffic, **own})
        return Told(frozenset(reads), frozenset((ref, *own)), frozenset(workloads))

    def _own(
        self,
        group: Resource,
        proxies: Iterable[Resource],
        hosts: Mapping[int, tuple[Host, ...]],
        tenant: Tenant,
        built_in: frozenset[str],
        reads: set[Name],
    ) -> dict[Ref, Traffic]:
        """What those are told that have a Configuration of their own: once for all that have the same."""
        told: dict[int, Traffic] = {}
        own: dict[Ref, Traffic] = {}
        for proxy in proxies:
            spec = cast(Proxy, proxy.spec)
            if not spec.configuration or (
                not spec.revision and spec.configuration == cast(ProxyGroup, group.spec).configuration
            ):
                continue
            reads.add(("Configuration", spec.configuration))
            now = tenant.kinds["Configuration"].get(spec.configuration)
            configuration = self.pinned.get(proxy.ref) if spec.revision else now
            if configuration is None:
                # It is said already what is wrong with it.
                continue
            if id(configuration) not in told:
                pin = proxy if spec.revision else None
                # What was declared in the past is none of the tenant's documents, and leads to what runs today.
                reads.update(ends(configuration))
                told[id(configuration)], found = self._told(group.ref, configuration, hosts, tenant, built_in, reads, pin)
                self.faults.extend(found)
            own[proxy.ref] = told[id(configuration)]
        return own

    def _told(
        self,
        group: Ref,
        configuration: Resource | None,
        hosts: Mapping[int, tuple[Host, ...]],
        tenant: Tenant,
        built_in: frozenset[str],
        reads: set[Name],
        pin: Resource | None = None,
    ) -> tuple[Traffic, Iterable[Found]]:
        """This Configuration with the VirtualHosts of the group, and what is wrong with the two together. `pin`: the Proxy
        that is pinned to it."""
        told = Group(
            self._read(configuration, tenant).declared if configuration is not None else frozenset(),
            built_in,
            partial(self._shared, tenant, reads),
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

    def _shared(self, tenant: Tenant, reads: set[Name], name: str) -> Part | None:
        """The cluster of this name that stands outside of Configurations."""
        reads.update((("Cluster", name), ("Application", name)))
        if name not in tenant.shared:
            tenant.shared[name] = self._look_up(tenant, name)
        return tenant.shared[name]

    def _look_up(self, tenant: Tenant, name: str) -> Part | None:
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
