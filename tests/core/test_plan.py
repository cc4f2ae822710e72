"""The planner over random fleets: what it does, in which order, and what it never does."""

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.facts import NO_FACTS, Facts, Failure
from reconciler.core.handover import reached_by, running_proxies, surplus_of
from reconciler.core.kinds.host import Host
from reconciler.core.kinds.spec import Run
from reconciler.core.model import (
    Action,
    Connected,
    FleetState,
    Health,
    Key,
    Observed,
    ObservedState,
    Plan,
    Ref,
    Resource,
    Snapshot,
    Source,
    Want,
)
from reconciler.core.plan import plan

NOWHERE = Source("fleet.yaml", 1, 0, 0)
RUN = Run(command=("true",))


def fleet(hosts: tuple[str, ...], wants: Mapping[str, tuple[str, str]]) -> FleetState:
    """A fleet of Containers: name ⇒ (version, host or "")."""
    resources = {Ref("Host", h): Resource(Ref("Host", h), f"uid-{h}", Host(), NOWHERE) for h in hosts}
    workloads = {}
    for name, (version, host) in wants.items():
        ref = Ref("Container", name)
        workloads[ref] = Want(ref, f"uid-{name}", version, f"live-{version}", RUN, ref, host)
    return FleetState("r1", resources, workloads)


def running(want: Want, host: str, *, health: str = "healthy", since: float = 0.0, port: int = 20000) -> Observed:
    fields = {"uid": want.uid, "live": want.live, "state": "running", "address": "127.0.0.1", "ports": {"http": port}}
    return Observed(want.ref, want.instance, host, fields, Health(health), since)  # type: ignore[arg-type]


def seen(*observed: Observed, blind: Mapping[str, str] | None = None) -> ObservedState:
    return ObservedState({one.key: one for one in observed}, blind or {})


def steps(planned: Plan) -> list[tuple[str, str, str]]:
    return [(action.verb, str(action.ref), action.instance) for action in planned.actions]


class World:
    """Hosts that do as they are told: what is created is healthy at the next look."""

    def __init__(self) -> None:
        self.there: dict[Key, Observed] = {}
        self.now = 1000.0
        self.let_go: dict[Key, float] = {}

    def round(self, wanted: FleetState, blind: Mapping[str, str] | None = None) -> Plan:
        state = ObservedState(dict(self.there), blind or {})
        facts = NO_FACTS
        self.let_go = {
            one.key: self.let_go.get(one.key, self.now)
            for one in surplus_of(wanted, state)
            if not reached_by(one, facts, running_proxies(state))
        }
        planned = plan(wanted, state, replace(facts, let_go=self.let_go), self.now)
        for action in planned.actions:
            self.do(action)
        self.now += 5.0
        return planned

    def do(self, action: Action) -> None:
        if action.verb == "delete":
            self.there.pop(action.key, None)
        else:
            self.there[action.key] = running(action.want, action.host, since=self.now)


NAMES = st.sampled_from(["a", "b", "c", "d", "e"])
HOSTS = st.sets(st.sampled_from(["h1", "h2", "h3"]), min_size=1).map(lambda hosts: tuple(sorted(hosts)))
WANTS = st.dictionaries(NAMES, st.tuples(st.sampled_from(["v1", "v2", "v3"]), st.just("")))


@given(HOSTS, st.lists(WANTS, min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_a_fleet_that_does_as_told_converges_and_then_plans_nothing(
    hosts: tuple[str, ...], history: list[dict[str, tuple[str, str]]]
) -> None:
    """After each of any sequence of commits, six rounds are enough, exactly what is declared is there, and all is quiet."""
    world = World()
    for wants in history:
        wanted = fleet(hosts, wants)
        for _ in range(6):
            last = world.round(wanted)

        assert steps(last) == []
        assert last.held == ()
        assert {(key[1], key[2]) for key in world.there} == {(w.ref, w.instance) for w in wanted.workloads.values()}


@given(HOSTS, WANTS, WANTS, st.randoms())
@settings(max_examples=100, deadline=None)
def test_the_order_of_the_input_is_irrelevant(
    hosts: tuple[str, ...], before: dict[str, tuple[str, str]], after: dict[str, tuple[str, str]], random: object
) -> None:
    """Shuffled resources, workloads and observations give the same plan."""
    world = World()
    for _ in range(3):
        world.round(fleet(hosts, before))
    wanted = fleet(hosts, after)
    shuffled = list(world.there.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    turned = FleetState(
        wanted.revision, dict(reversed([*wanted.resources.items()])), dict(reversed([*wanted.workloads.items()]))
    )

    one = plan(wanted, ObservedState(world.there), NO_FACTS, 5000.0)
    two = plan(turned, ObservedState(dict(shuffled)), NO_FACTS, 5000.0)
    assert one == two


@given(HOSTS, WANTS, WANTS, st.data())
@settings(max_examples=150, deadline=None)
def test_a_blind_host_gets_no_action(
    hosts: tuple[str, ...], before: dict[str, tuple[str, str]], after: dict[str, tuple[str, str]], data: st.DataObject
) -> None:
    """Nothing is done on a host that cannot be seen, and what it bears is neither moved nor made a second time."""
    world = World()
    for _ in range(4):
        world.round(fleet(hosts, before))
    blind = data.draw(st.sampled_from(hosts))
    borne = {key[1] for key in world.there if key[0] == blind}

    planned = plan(fleet(hosts, after), ObservedState(world.there, {blind: "no answer"}), NO_FACTS, 5000.0)

    assert [action for action in planned.actions if action.host == blind or action.ref in borne] == []


@given(HOSTS, WANTS, WANTS)
@settings(max_examples=100, deadline=None)
def test_a_replacement_is_healthy_before_the_old_one_is_deleted(
    hosts: tuple[str, ...], before: dict[str, tuple[str, str]], after: dict[str, tuple[str, str]]
) -> None:
    """At every moment after the first convergence, each workload that stays declared has a healthy instance."""
    world = World()
    for _ in range(4):
        world.round(fleet(hosts, before))
    for _ in range(5):
        world.round(fleet(hosts, after))

        for name in before.keys() & after.keys():
            assert [one for one in world.there.values() if one.ref.name == name and one.health.status == "healthy"]


def test_an_old_instance_waits_for_a_healthy_new_one() -> None:
    """While the new instance is starting, the old one is held, with the reason."""
    wanted = fleet(("h1",), {"a": ("v2", "")})
    new = wanted.workloads[Ref("Container", "a")]
    old = replace(new, instance="v1")

    planned = plan(wanted, seen(running(old, "h1"), running(new, "h1", health="starting")), NO_FACTS, 100.0)

    assert steps(planned) == []
    assert [(held.instance, held.reason) for held in planned.held] == [("v1", "its replacement is not healthy yet")]


def test_an_instance_is_not_deleted_while_a_proxy_may_reach_it() -> None:
    """A proxy whose acknowledged endpoints name the old instance holds its deletion; letting go starts the drain."""
    wanted = fleet(("h1",), {})
    old = running(Want(Ref("Container", "a"), "u", "v1", "l", RUN, Ref("Container", "a")), "h1", port=20001)
    edge = Connected("edge-1", "1.40", 0.0, "s1", True, {})
    facts = Facts(connected={"edge-1": edge}, reaches={"edge-1": frozenset({("127.0.0.1", 20001)})})

    held = plan(wanted, seen(old), facts, 100.0)
    draining = plan(wanted, seen(old), replace(facts, reaches={"edge-1": frozenset()}, let_go={old.key: 99.0}), 100.0)
    over = plan(wanted, seen(old), replace(facts, reaches={"edge-1": frozenset()}, let_go={old.key: 90.0}), 100.0)

    assert [h.reason for h in held.held] == ["proxy edge-1 may still send requests to it"]
    assert [(h.reason, h.until) for h in draining.held] == [("draining", 101.0)]
    assert draining.wake_at == 101.0
    assert steps(over) == [("delete", "Container/a", "v1")]


def test_a_running_proxy_we_hear_nothing_from_reaches_everything() -> None:
    """An Envoy that is up but not connected still serves what it was last told: nothing it might need is deleted."""
    proxy_want = Want(Ref("Proxy", "edge-1"), "p", "i", "l", RUN, Ref("Proxy", "edge-1"))
    wanted = FleetState("r", fleet(("h1",), {}).resources, {proxy_want.ref: proxy_want})
    old = running(Want(Ref("Container", "a"), "u", "v1", "l", RUN, Ref("Container", "a")), "h1")

    planned = plan(wanted, seen(old, running(proxy_want, "h1")), Facts(let_go={old.key: 0.0}), 100.0)

    assert steps(planned) == []
    assert "edge-1" in planned.held[0].reason


def test_an_envoy_goes_when_its_replacement_serves_the_same() -> None:
    """Healthy is not enough, nor is a node that is in step: the new Envoy itself must have acknowledged what it is told."""
    wanted_proxy = Want(Ref("Proxy", "edge-1"), "p", "v2", "l", RUN, Ref("Proxy", "edge-1"))
    wanted = FleetState("r", fleet(("h1",), {}).resources, {wanted_proxy.ref: wanted_proxy})
    state = seen(running(replace(wanted_proxy, instance="v1"), "h1"), running(wanted_proxy, "h1"))
    snapshots = {"edge-1": Snapshot("s1", {})}

    def planned(synced: bool, sent: str = "s1", unnamed: int = 0, **instances: bool) -> Plan:
        named = {f"h1/{instance}": value for instance, value in instances.items()}
        connected = Connected("edge-1", "1.40", 0.0, sent, synced, {}, (), named, unnamed)
        return plan(wanted, state, Facts(connected={"edge-1": connected}, snapshots=snapshots), 100.0)

    def reasons(planned: Plan) -> list[str]:
        return [held.reason for held in planned.held]

    assert reasons(plan(wanted, state, Facts(snapshots=snapshots), 100.0)) == ["its replacement is not connected yet"]
    assert reasons(planned(True, v1=True)) == ["its replacement is not connected yet"]
    assert reasons(planned(False, v1=True, v2=False)) == ["its replacement has not acknowledged its configuration"]
    assert reasons(planned(True, "s0", v1=True, v2=True)) == ["its replacement has not acknowledged its configuration"]
    assert steps(planned(True, v1=True, v2=True)) == [("delete", "Proxy/edge-1", "v1")]
    assert steps(planned(False, v1=False, v2=True)) == [("delete", "Proxy/edge-1", "v1")]
    # Those that an earlier Convoy started do not say which they are: only as many as there are prove anything.
    assert reasons(planned(True, unnamed=1)) == ["its replacement is not connected yet"]
    assert steps(planned(True, unnamed=2)) == [("delete", "Proxy/edge-1", "v1")]
    assert steps(planned(True, unnamed=1, v2=True)) == [("delete", "Proxy/edge-1", "v1")]


def test_what_did_not_start_goes_when_the_old_one_is_wanted_again() -> None:
    """Going back to the Envoy that runs removes the one that never did, also where that runs since an earlier Convoy."""
    wanted_proxy = Want(Ref("Proxy", "edge-1"), "p", "v1", "l", RUN, Ref("Proxy", "edge-1"))
    wanted = FleetState("r", fleet(("h1",), {}).resources, {wanted_proxy.ref: wanted_proxy})
    broken = running(replace(wanted_proxy, instance="v2"), "h1", health="unhealthy")
    facts = Facts(
        connected={"edge-1": Connected("edge-1", "1.40", 0.0, "s1", True, {})}, snapshots={"edge-1": Snapshot("s1", {})}
    )

    planned = plan(wanted, seen(running(wanted_proxy, "h1"), broken), facts, 100.0)

    assert steps(planned) == [("delete", "Proxy/edge-1", "v2")]


def test_an_envoy_that_lost_us_beside_one_that_did_not_reaches_everything() -> None:
    """Two Envoys under one node: what the connected one has let go of, the other may still send requests to."""
    proxy = Want(Ref("Proxy", "edge-1"), "p", "v2", "l", RUN, Ref("Proxy", "edge-1"))
    wanted = FleetState("r", fleet(("h1",), {}).resources, {proxy.ref: proxy})
    old = running(Want(Ref("Container", "a"), "u", "v1", "l", RUN, Ref("Container", "a")), "h1")
    state = seen(old, running(replace(proxy, instance="v1"), "h1"), running(proxy, "h1"))
    connected = Connected("edge-1", "1.40", 0.0, "s1", False, {}, (), {"h1/v2": False}, 0)

    planned = plan(
        wanted, state, Facts(connected={"edge-1": connected}, reaches={"edge-1": frozenset()}, let_go={old.key: 0.0}), 100.0
    )

    assert steps(planned) == []
    assert "proxy edge-1 may still send requests to it" in {held.reason for held in planned.held}


def test_what_is_under_way_is_not_begun_again() -> None:
    """A step in flight holds its ref on its host."""
    wanted = fleet(("h1",), {"a": ("v1", "")})

    planned = plan(wanted, seen(), Facts(in_flight=frozenset({("h1", Ref("Container", "a"), "v1")})), 100.0)

    assert steps(planned) == []
    assert planned.held[0].reason == "a step for it is under way"


def test_failures_are_tried_again_ever_more_rarely() -> None:
    """After a failure the same step is held until its time, which the plan says."""
    wanted = fleet(("h1",), {"a": ("v1", "")})
    failures = {("h1", Ref("Container", "a"), "v1"): Failure(3, 100.0, "no such program")}

    early = plan(wanted, seen(), Facts(failures=failures), 103.0)
    late = plan(wanted, seen(), Facts(failures=failures), 104.0)

    assert steps(early) == []
    assert early.wake_at == 104.0
    assert "no such program" in early.held[0].reason
    assert steps(late) == [("create", "Container/a", "v1")]


def test_a_new_host_moves_nothing() -> None:
    """What is placed stays where it is seen."""
    world = World()
    wants = dict.fromkeys("abcde", ("v1", ""))
    for _ in range(3):
        world.round(fleet(("h1", "h2"), wants))

    planned = plan(fleet(("h1", "h2", "h3"), wants), ObservedState(world.there), NO_FACTS, 5000.0)

    assert steps(planned) == []


def test_a_workload_told_to_move_is_made_there_first() -> None:
    """A changed `host` creates on the new one and keeps the old until the new is healthy."""
    before = fleet(("h1", "h2"), {"a": ("v1", "h1")})
    after = fleet(("h1", "h2"), {"a": ("v1", "h2")})
    old = running(before.workloads[Ref("Container", "a")], "h1")

    planned = plan(after, seen(old), NO_FACTS, 100.0)

    assert [(a.verb, a.host) for a in planned.actions] == [("create", "h2")]
    assert [h.instance for h in planned.held] == ["v1"]


def test_in_place_changes_update_and_a_lost_supervisor_is_started_again() -> None:
    """A different `live` digest, or an instance nobody supervises, is an update of the same instance."""
    wanted = fleet(("h1",), {"a": ("v1", "")})
    want = wanted.workloads[Ref("Container", "a")]
    other = running(replace(want, live="old"), "h1")
    lost = replace(running(want, "h1"), fields={**running(want, "h1").fields, "state": "lost"})

    assert steps(plan(wanted, seen(other), NO_FACTS, 1.0)) == [("update", "Container/a", "v1")]
    assert steps(plan(wanted, seen(lost), NO_FACTS, 1.0)) == [("update", "Container/a", "v1")]


def test_a_secret_that_does_not_open_holds_what_needs_it() -> None:
    """It is held in words that say what to do, what runs of it goes on, and the others are made as ever."""
    wanted = fleet(("a",), {"closed": ("v2", ""), "open": ("v1", "")})
    old = running(fleet(("a",), {"closed": ("v1", "")}).workloads[Ref("Container", "closed")], "a")
    facts = replace(NO_FACTS, unopened={Ref("Container", "closed"): "environment TOKEN: it is sealed for others"})
    planned = plan(wanted, seen(old), facts, 1000.0)
    assert steps(planned) == [("create", "Container/open", "v1")]
    (held, *rest) = sorted((one for one in planned.held if one.verb == "create"), key=lambda one: one.ref)
    assert (str(held.ref), held.reason, rest) == ("Container/closed", "environment TOKEN: it is sealed for others", [])
    assert "convoy secret rekey" in held.release
    assert plan(wanted, seen(old), NO_FACTS, 1000.0).actions != planned.actions
