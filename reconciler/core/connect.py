"""connect(): what is declared × what is seen ⇒ the snapshot of every proxy, with the backends that are really there."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from reconciler.core import envoy
from reconciler.core.carried import told_as
from reconciler.core.clusters import is_address
from reconciler.core.edition import differing
from reconciler.core.eds import eds_target
from reconciler.core.handover import node_id
from reconciler.core.kinds.proxy import Proxy
from reconciler.core.model import XDS_TYPES, FleetState, Observed, ObservedState, Ref, Snapshot, Want, XdsResource, digest
from reconciler.core.place import Hosts, place

Group = Mapping[str, Mapping[str, XdsResource]]


@dataclass(frozen=True, slots=True)
class _Told:
    """A group's snapshot, with the versions of its types, and what it was made from."""

    traffic: Group
    filled: tuple[XdsResource, ...]
    snapshot: Snapshot
    versions: Mapping[str, str]
    # Ports of one proxy's own ⇒ its snapshot.
    own: dict[tuple[tuple[str, int], ...], Snapshot] = field(default_factory=dict)


class Connector:
    """Remembers what it made, so that a round in which nothing changed gives back the very same snapshots."""

    def __init__(self) -> None:
        self._assignments: dict[str, tuple[tuple[envoy.Endpoint, ...], XdsResource]] = {}
        self._listeners: dict[tuple[str, int], XdsResource] = {}
        self._told: dict[Ref, _Told] = {}
        self._fleet: FleetState | None = None
        # Owner ⇒ its workloads, by their names.
        self._wanted: dict[Ref, dict[Ref, Want]] = {}
        self._hosts = Hosts(FleetState("", {}, {}))
        self._seen, self._by_owner = ObservedState({}), dict[str, list[Observed]]()
        # Host and port of what is seen and not wanted, once that is asked for.
        self._leaving: set[tuple[str, object]] | None = None
        # EDS name ⇒ what it stands for, of all that clusters ask for of which something is wanted and nothing is healthy.
        self.starting: Mapping[str, Ref] = {}
        # What `live` gave in this round, and in the one before.
        self._live: dict[str, tuple[tuple[envoy.Endpoint, ...], XdsResource]] = {}
        self._lived: dict[str, tuple[tuple[envoy.Endpoint, ...], XdsResource]] = {}

    def connect(self, fleet: FleetState, seen: ObservedState, certificate_versions: Mapping[Ref, str]) -> dict[str, Snapshot]:
        """Node id ⇒ its snapshot, for every declared Proxy. A secret without a version has one that says it is absent."""
        self._know(fleet)
        by_owner = _by_owner(fleet, seen)
        self._seen, self._by_owner, self._lived, self._live, self._leaving = seen, by_owner, self._live, {}, None
        assignments: dict[str, XdsResource] = {}
        for group in {id(one): one for one in fleet.traffic.values()}.values():
            for cluster in group.get("cds", {}).values():
                if cluster.eds and cluster.eds not in assignments:
                    assignments[cluster.eds] = self._assignment(cluster, seen, by_owner)
        self._assignments = {name: self._assignments[name] for name in assignments}
        self.starting = dict(self._starts(assignments))
        told: dict[Ref, _Told] = {}
        # Many proxies may be pinned to the same.
        alike: dict[int, _Told] = {}
        for ref, group in fleet.traffic.items():
            if id(group) not in alike:
                alike[id(group)] = self._group(ref, group, assignments, certificate_versions)
            told[ref] = alike[id(group)]
        self._told = told
        listeners: dict[tuple[str, int], XdsResource] = {}
        result: dict[str, Snapshot] = {}
        for resource in fleet.of("Proxy"):
            proxy = cast(Proxy, resource.spec)
            as_told = told.get(told_as(resource, fleet))
            if as_told is not None:
                result[node_id(resource.ref)] = self._own(as_told, proxy, listeners)
        self._listeners = listeners
        return result

    def _know(self, fleet: FleetState) -> None:
        if fleet is self._fleet:
            return
        before, now = self._fleet.workloads if self._fleet is not None else {}, fleet.workloads
        changed = differing(before, now)
        for ref in changed:
            if ref in before:
                self._wanted[before[ref].owner].pop(ref)
        for want in (now[ref] for ref in changed if ref in now):
            self._wanted.setdefault(want.owner, {})[want.ref] = want
        for owner in {before[ref].owner for ref in changed if ref in before}:
            if not self._wanted[owner]:
                del self._wanted[owner]
        self._fleet, self._hosts = fleet, Hosts(fleet)

    def _wants(self, owner: Ref) -> Collection[Want]:
        return self._wanted.get(owner, {}).values()

    def _assignment(self, cluster: XdsResource, seen: ObservedState, by_owner: Mapping[str, Sequence[Observed]]) -> XdsResource:
        target = eds_target(cluster.eds)
        endpoints: tuple[envoy.Endpoint, ...] = ()
        owner = cluster.owner
        if target is not None:
            owner, port = target
            serving = choose(self._wants(owner), by_owner.get(str(owner), ()), self._hosts, seen)
            endpoints = tuple(sorted({end for one in serving if (end := _endpoint(one, port)) is not None}))
        known = self._assignments.get(cluster.eds)
        if known is None or known[0] != endpoints or known[1].origin != cluster.origin:
            known = endpoints, envoy.assignment(cluster.eds, endpoints, owner, cluster.origin)
        self._assignments[cluster.eds] = known
        return known[1]

    def _starts(self, names: Iterable[str]) -> Iterator[tuple[str, Ref]]:
        barred: dict[Ref, bool] = {}
        for name in names:
            target = eds_target(name)
            if target is None or not self._wants(target[0]) or _any_healthy(self._assignments[name][0]):
                continue
            owner = target[0]
            if owner not in barred:
                barred[owner] = all(map(self._barred, self._wants(owner)))
            if not barred[owner]:
                yield name, owner

    def _barred(self, want: Want) -> bool:
        """Whether it cannot start before something goes that is to go: that still has a port which is to be this one's."""
        fixed = {port.port for port in want.run.ports if port.port is not None}
        if not fixed:
            return False
        if self._leaving is None:
            self._leaving = {
                (one.host, number)
                for one in self._seen.resources.values()
                if not self._is_wanted(one)
                for number in dict(one.fields.get("ports") or {}).values()
            }
        bearing = [one for one in self._by_owner.get(str(want.owner), ()) if one.ref == want.ref]
        host = place(want, self._hosts.open(want, bearing), bearing)
        return any((host, number) in self._leaving for number in fixed)

    def _is_wanted(self, one: Observed) -> bool:
        want = self._fleet.workloads.get(one.ref) if self._fleet is not None else None
        return want is not None and want.instance == one.instance

    def live(self, kept: Mapping[str, XdsResource]) -> dict[str, XdsResource]:
        """Assignments that no cluster asks for now, as they would be if one did: what leads to them may still be in use."""
        return {name: self._spare(name, old) if eds_target(name) else old for name, old in kept.items()}

    def _spare(self, name: str, old: XdsResource) -> XdsResource:
        if name not in self._live:
            endpoints = self._ends(name)
            known = self._lived.get(name)
            if known is None or known[0] != endpoints or known[1].origin != old.origin:
                known = endpoints, envoy.assignment(name, endpoints, old.owner, old.origin)
            self._live[name] = known
        return self._live[name][1]

    def _ends(self, name: str) -> tuple[envoy.Endpoint, ...]:
        target = eds_target(name)
        if target is None:
            return ()
        wants, bearing = self._wants(target[0]), self._by_owner.get(str(target[0]), ())
        serving = choose(wants, bearing, self._hosts, self._seen) if wants else bearing
        return tuple(sorted({end for one in serving if (end := _endpoint(one, target[1])) is not None}))

    def serves(self, name: str) -> bool:
        """Whether somebody answers at this EDS name, or is to: what is declared is put right when it falls sick."""
        target = eds_target(name)
        return target is None or bool(self._wants(target[0])) or any(end[2] != "DRAINING" for end in self._ends(name))

    def _group(
        self, ref: Ref, traffic: Group, assignments: Mapping[str, XdsResource], certificates: Mapping[Ref, str]
    ) -> _Told:
        names = sorted({cluster.eds for cluster in traffic.get("cds", {}).values() if cluster.eds})
        eds = {name: assignments[name] for name in names}
        sds = {name: _secret(secret, certificates) for name, secret in traffic.get("sds", {}).items()}
        filled = (*eds.values(), *sds.values())
        before = self._told.get(ref)
        if before is not None and before.traffic is traffic and before.filled == filled:
            return before
        resources = {**{type: traffic.get(type, {}) for type in XDS_TYPES}, "eds": eds, "sds": sds}
        versions: dict[str, str] = {}
        for type, mapping in resources.items():
            # A mapping that says the same as before is the one of before: then nobody has to compare it again.
            if before is not None and before.snapshot.resources[type] == mapping:
                resources[type], versions[type] = before.snapshot.resources[type], before.versions[type]
            else:
                versions[type] = envoy.type_version(mapping)
        if before is not None and all(before.snapshot.resources[type] is mapping for type, mapping in resources.items()):
            return replace(before, traffic=traffic, filled=filled)
        return _Told(traffic, filled, envoy.snapshot(resources, versions), versions)

    def _own(self, told: _Told, proxy: Proxy, kept: dict[tuple[str, int], XdsResource]) -> Snapshot:
        """The group's snapshot with this proxy's ports."""
        listeners = told.snapshot.resources["lds"]
        moved = tuple(sorted((name, port) for name, port in proxy.ports.items() if name in listeners))
        if not moved:
            return told.snapshot
        for name, port in moved:
            key = (listeners[name].version, port)
            found = self._listeners.get(key)
            if found is None or found.origin != listeners[name].origin or found.refers != listeners[name].refers:
                found = envoy.with_port(listeners[name], port)
            kept[key] = found
        if moved not in told.own:
            own = {**listeners, **{name: kept[(listeners[name].version, port)] for name, port in moved}}
            versions = {**told.versions, "lds": envoy.type_version(own)}
            told.own[moved] = envoy.snapshot({**told.snapshot.resources, "lds": own}, versions)
        return told.own[moved]


def _any_healthy(endpoints: Iterable[envoy.Endpoint]) -> bool:
    return any(health == "HEALTHY" for _, _, health in endpoints)


def _by_owner(fleet: FleetState, seen: ObservedState) -> dict[str, list[Observed]]:
    """Printed owner ⇒ every instance seen of it, also of replicas that are not wanted any more."""
    found: dict[str, list[Observed]] = defaultdict(list)
    for one in seen.resources.values():
        owner = one.fields.get("owner")
        if not owner:
            want = fleet.workloads.get(one.ref)
            owner = str(want.owner if want is not None else one.ref)
        found[owner].append(one)
    return found


def choose(wants: Iterable[Want], seen: Iterable[Observed], hosts: Hosts, state: ObservedState) -> list[Observed]:
    """The instances that requests go to.

    What is declared is preferred: as soon as an instance is as wanted and healthy, older ones of its name are left out, so that
    they can be let go of. Until then the older ones stay, and the new one is left out unless it is alone. Replicas beyond the
    declared number stay only while none of the others is healthy.
    """
    by_ref: dict[Ref, list[Observed]] = defaultdict(list)
    for one in seen:
        by_ref[one.ref].append(one)
    chosen: list[Observed] = []
    healthy = declared = False
    for want in wants:
        declared = True
        current, older = _split(want, by_ref.pop(want.ref, []), hosts, state)
        if any(_healthy(one) for one in current):
            healthy = True
            chosen.extend(current)
        else:
            chosen.extend(older or current)
    if declared and not healthy:
        for rest in by_ref.values():
            chosen.extend(rest)
    return chosen


def _split(want: Want, bearing: list[Observed], hosts: Hosts, state: ObservedState) -> tuple[list[Observed], list[Observed]]:
    """The instance as wanted, where it belongs; and everything else of its name."""
    current = [one for one in bearing if one.instance == want.instance and one.fields.get("uid", want.uid) == want.uid]
    if len(current) == 1 and not want.host:
        host = current[0].host
    elif current:
        # The same choice as the planner's, for what it will delete must be what is left out here.
        allowed = [host for host in hosts.open(want, bearing) if host not in state.blind]
        host = place(want, allowed, bearing) or ""
    else:
        return [], bearing
    if host:
        here = [one for one in current if one.host == host]
    else:
        # It may be nowhere, so nothing of it is moved or deleted: what runs stays, and nothing counts on a lost host.
        here = [one for one in current if hosts.declared.get(one.host) != "lost"] or current
    return here, [one for one in bearing if not any(one is kept for kept in here)]


def _healthy(one: Observed) -> bool:
    return one.health.status == "healthy" and one.fields.get("state") not in ("stopping", "stopped", "failed")


def _endpoint(one: Observed, port: str) -> envoy.Endpoint | None:
    """Where requests reach this instance; None as long as it has no such port, or nothing runs there any more."""
    address, number = one.fields.get("address"), dict(one.fields.get("ports") or {}).get(port)
    if not isinstance(address, str) or not is_address(address) or not isinstance(number, int) or isinstance(number, bool):
        return None
    if one.fields.get("state") == "stopping":
        return (address, number, "DRAINING")
    return (address, number, "HEALTHY" if _healthy(one) else "UNHEALTHY")


def _secret(secret: XdsResource, versions: Mapping[Ref, str]) -> XdsResource:
    # Absent is a version as well: the server will say why it cannot be opened, and where it is missing is seen.
    version = versions.get(cast(Ref, secret.secret)) or digest(["absent", str(secret.secret)])
    return replace(secret, version=version)


def check(snapshot: Snapshot) -> list[str]:
    """What refers to something that is not there, in words; a snapshot may be told only when this is empty."""
    return [
        f"{resource.type.upper()} {resource.name} ({resource.origin}) refers to {type.upper()} {name}, which is not there"
        for resource, type, name in envoy.missing(snapshot)
    ]
