"""plan(): from what is wanted, what is seen and what is known, the steps to take now and the reasons for those held back."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import cast

from reconciler.core.diff import diff
from reconciler.core.facts import NOT_YET, Facts
from reconciler.core.kinds.application import Application
from reconciler.core.kinds.proxy import Proxy
from reconciler.core.kinds.settings import Settings
from reconciler.core.model import XDS, Action, FleetState, Held, Observed, ObservedState, Plan, Ref, Snapshot, Verb, Want
from reconciler.core.place import place

STARTING_S = 30.0


def plan(wanted: FleetState, seen: ObservedState, facts: Facts, now: float) -> Plan:
    """What to do now. Pure: the same arguments give the same plan, whatever the order of what is in them."""
    draft = _Draft(wanted, seen, facts, now)
    bearing: dict[Ref, list[Observed]] = defaultdict(list)
    for one in seen.resources.values():
        bearing[one.ref].append(one)
    for ref in sorted(wanted.workloads):
        draft.workload(wanted.workloads[ref], bearing.get(ref, []))
    for ref in sorted(bearing.keys() - wanted.workloads.keys()):
        for one in sorted(bearing[ref], key=lambda o: (o.host, o.instance)):
            draft.remove(one, "no longer declared")
    draft.tell()
    order = {"create": 0, "update": 1, "delete": 2}
    actions = sorted(draft.actions, key=lambda a: (order[a.verb], a.host, a.ref, a.instance))
    held = sorted(draft.held, key=lambda h: (h.ref, h.instance, h.reason))
    wakes = [h.until for h in held if h.until is not None]
    return Plan(wanted.revision, tuple(actions), tuple(held), min(wakes, default=None))


def settings_of(fleet: FleetState) -> Settings:
    """The fleet's Settings, or every default."""
    return next((cast(Settings, resource.spec) for resource in fleet.of("Settings")), Settings())


def node_id(ref: Ref) -> str:
    """By which name the xDS server knows a Proxy."""
    return str(ref).removeprefix("Proxy/")


def allowed_hosts(want: Want, fleet: FleetState) -> list[str]:
    """The declared hosts that may bear this workload."""
    hosts = sorted(host.ref.name for host in fleet.of("Host"))
    if want.host:
        return [want.host] if want.host in hosts else []
    owner = fleet.resources.get(want.owner)
    if owner is not None and isinstance(owner.spec, Application) and owner.spec.hosts:
        return [host for host in hosts if host in owner.spec.hosts]
    return hosts


def surplus_of(wanted: FleetState, seen: ObservedState) -> list[Observed]:
    """Every seen instance that is not the one declared: what will be deleted once nothing uses it."""
    return [
        one
        for one in seen.resources.values()
        if one.ref not in wanted.workloads or wanted.workloads[one.ref].instance != one.instance
    ]


def reached_by(one: Observed, facts: Facts, running: Mapping[str, Observed]) -> str:
    """The node of a proxy whose acknowledged content may still send requests to this instance; empty when there is none."""
    address = one.fields.get("address")
    ends = {(address, port) for port in dict(one.fields.get("ports") or {}).values() if isinstance(port, int)}
    for node in sorted(facts.connected.keys() | running.keys()):
        reaches = facts.reaches.get(node)
        # A running Envoy we hear nothing from still serves what it was last told, and we cannot know what that is.
        if reaches is None or ends & reaches:
            return node
    return ""


def running_proxies(seen: ObservedState) -> dict[str, Observed]:
    """Node id ⇒ an observed Proxy whose Envoy may carry traffic: it is up, or it still ends what it has begun."""
    return {node_id(one.ref): one for one in seen.resources.values() if one.ref.kind == "Proxy" and _carries(one)}


def _carries(proxy: Observed) -> bool:
    state = proxy.fields.get("state")
    return state == "stopping" or (state == "running" and proxy.health.status == "healthy")


class _Draft:
    """Collects the steps and the holds of one plan."""

    def __init__(self, wanted: FleetState, seen: ObservedState, facts: Facts, now: float) -> None:
        self.wanted, self.seen, self.facts, self.now = wanted, seen, facts, now
        self.settings = settings_of(wanted)
        self.running = running_proxies(seen)
        self.busy = {(host, ref) for host, ref, _ in facts.in_flight}
        self.actions: list[Action] = []
        self.held: list[Held] = []

    def workload(self, want: Want, bearing: list[Observed]) -> None:
        allowed = allowed_hosts(want, self.wanted)
        blind = sorted({one.host for one in bearing if one.host in self.seen.blind} | (set(allowed) & self.seen.blind.keys()))
        if blind and (not bearing or any(one.host in blind for one in bearing)):
            # It may be there already: making a second one, or moving it, must wait until somebody can look.
            self.hold(want.ref, self.unseen(blind[0]))
            return
        host = place(want, [h for h in allowed if h not in self.seen.blind], bearing)
        if host is None:
            self.hold(want.ref, "no Host may bear it")
            return
        found = diff(want, host, bearing)
        if found.current is None:
            self.act("create", want.ref, want.instance, host, want, self._why_create(want, bearing), STARTING_S)
        elif found.changed:
            self.act("update", want.ref, want.instance, host, want, found.changed, STARTING_S)
        for one in found.surplus:
            if found.current is None or found.current.health.status != "healthy":
                self.hold(one.ref, "its replacement is not healthy yet", None, one.instance, "delete")
            else:
                self.remove(one, "replaced")

    def _why_create(self, want: Want, bearing: list[Observed]) -> str:
        if not bearing:
            return "missing"
        if any(one.instance == want.instance for one in bearing):
            return "on another host"
        return "changed: made before the old one is removed"

    def remove(self, one: Observed, reason: str) -> None:
        if one.host in self.seen.blind:
            self.hold(one.ref, self.unseen(one.host), None, one.instance, "delete")
            return
        if one.ref.kind != "Proxy":
            node = reached_by(one, self.facts, self.running)
            if node:
                self.hold(one.ref, f"proxy {node} may still send requests to it", None, one.instance, "delete")
                return
            since = self.facts.let_go.get(one.key)
            over = (self.now if since is None else since) + self.settings.drain_s
            if self.now < over:
                self.hold(one.ref, "draining", over, one.instance, "delete")
                return
        grace_s = float(one.fields.get("stop_s") or 20.0)
        self.act("delete", one.ref, one.instance, one.host, None, reason, grace_s + 10.0)

    def unseen(self, host: str) -> str:
        reason = self.seen.blind[host]
        return f"host {host} is {reason}" if reason == NOT_YET else f"host {host} cannot be seen: {reason}"

    def tell(self) -> None:
        """One action for each ProxyGroup whose proxies are to be told something new."""
        changed: dict[Ref, dict[str, Snapshot]] = defaultdict(dict)
        for ref in sorted(self.wanted.resources):
            if ref.kind != "Proxy":
                continue
            snapshot = self.facts.snapshots.get(node_id(ref))
            if snapshot is not None and self.facts.published.get(node_id(ref)) != snapshot.version:
                group = Ref("ProxyGroup", cast(Proxy, self.wanted.resources[ref].spec).group, ref.tenant)
                changed[group][node_id(ref)] = snapshot
        for group, told in changed.items():
            versions = sorted({snapshot.version for snapshot in told.values()})
            self.actions.append(
                Action("update", group, "+".join(versions[:3]), XDS, told, f"new configuration for {_some(told)}")
            )

    def act(self, verb: Verb, ref: Ref, instance: str, host: str, want: object, reason: str, deadline_s: float) -> None:
        if (host, ref) in self.busy:
            self.hold(ref, "a step for it is under way", None, instance, verb)
            return
        failure = self.facts.failures.get((host, ref, instance))
        if failure is not None and self.now < failure.retry_at:
            reason = f"failed {failure.count} times, next try later: {failure.error}"
            self.hold(ref, reason, failure.retry_at, instance, verb)
            return
        self.actions.append(Action(verb, ref, instance, host, want, reason, deadline_s=deadline_s))

    def hold(self, ref: Ref, reason: str, until: float | None = None, instance: str = "", verb: Verb | None = None) -> None:
        self.held.append(Held(ref, reason, until, instance, verb))


def _some(names: Iterable[str], most: int = 5) -> str:
    listed = sorted(names)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")
