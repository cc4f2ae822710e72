"""Needs in the planner, over random fleets: what comes first, what is never tried, and that all of it comes to an end."""

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core import order
from reconciler.core.facts import Facts
from reconciler.core.kinds.container import Container
from reconciler.core.model import FleetState, Key, Observed, ObservedState, Plan, Ref, Resource
from reconciler.core.plan import plan
from tests.core.test_plan import NOWHERE, fleet, running

NAMES = "abcde"
# Name ⇒ version and needs; only of earlier letters, so that they make no circle.
WANTS = st.fixed_dictionaries(
    {},
    optional={
        name: st.tuples(st.sampled_from(["v1", "v2"]), st.sets(st.sampled_from(NAMES[:i]) if i else st.nothing()))
        for i, name in enumerate(NAMES)
    },
)
Wants = Mapping[str, tuple[str, set[str]]]


def ordered(wants: Wants) -> FleetState:
    """A fleet of Containers on one host, with those of the needs that are declared."""
    base = fleet(("h1",), {name: (version, "") for name, (version, _) in wants.items()})
    resources = dict(base.resources)
    for name, (_, needs) in wants.items():
        ref = Ref("Container", name)
        sound = tuple(Ref("Container", need) for need in sorted(needs & wants.keys()))
        resources[ref] = Resource(ref, f"uid-{name}", Container(command=("x",)), NOWHERE, needs=sound)
    return replace(base, resources=resources)


class World:
    """A host on which what is made is healthy a round later, except what is broken."""

    def __init__(self, broken: frozenset[str] = frozenset()) -> None:
        self.there: dict[Key, Observed] = {}
        self.now, self.broken = 1000.0, broken
        self.facts = Facts()

    def round(self, wanted: FleetState) -> Plan:
        for key, one in self.there.items():
            if one.health.status == "starting":
                well = one.ref.name not in self.broken
                self.there[key] = replace(one, health=replace(one.health, status="healthy" if well else "unhealthy"))
        seen = ObservedState(dict(self.there))
        let_go = {key: self.facts.let_go.get(key, self.now) for key in self.there}
        self.facts = replace(self.facts, let_go=let_go)
        planned = plan(wanted, seen, self.facts, self.now)
        needed = {**self.facts.needed}
        for ref, needs in order.remembered(wanted, seen, needed).items():
            if needs:
                needed[ref] = needs
            else:
                needed.pop(ref, None)
        self.facts = replace(self.facts, needed=needed, waiting=order.waiting(planned, self.facts.waiting, self.now))
        for action in planned.actions:
            if action.verb == "delete":
                del self.there[action.key]
            else:
                self.there[action.key] = running(action.want, action.host, health="starting", since=self.now)
        self.now += 5.0
        return planned

    def well(self, wanted: FleetState, ref: Ref) -> bool:
        found = [one for one in self.there.values() if (one.ref, one.instance) == (ref, wanted.workloads[ref].instance)]
        return bool(found) and found[0].health.status == "healthy"


@given(st.lists(WANTS, min_size=1, max_size=3))
@settings(max_examples=100, deadline=None)
def test_needs_come_first_and_all_is_made(history: list[Wants]) -> None:
    """Whatever is made or replaced, what it needs is healthy as declared by then; and after bounded rounds all is quiet."""
    world = World()
    for wants in history:
        wanted = ordered(wants)
        for _ in range(4 + 2 * len(NAMES)):
            before = {ref for ref in wanted.workloads if world.well(wanted, ref)}
            starting = {one.ref for one in world.there.values() if one.health.status == "starting"}
            planned = world.round(wanted)
            for action in planned.actions:
                if action.verb == "create":
                    assert {*wanted.resources[action.ref].needs} <= before | starting
        assert (planned.actions, planned.held) == ((), ())
        assert {(key[1], key[2]) for key in world.there} == {(w.ref, w.instance) for w in wanted.workloads.values()}


@given(WANTS, st.sets(st.sampled_from(NAMES), min_size=1, max_size=2))
@settings(max_examples=100, deadline=None)
def test_one_failure_stops_only_what_needs_it(wants: Wants, broken: set[str]) -> None:
    """What needs a broken one, over however many others, is never tried, and says so in the end; all else is made."""
    wanted, world = ordered(wants), World(frozenset(broken))
    for _ in range(26):
        planned = world.round(wanted)
    stopped: set[str] = set()
    for name in sorted(wants):
        if any(one.name in broken | stopped for one in wanted.resources[Ref("Container", name)].needs):
            stopped.add(name)
    assert {one.ref.name for one in world.there.values()} == wants.keys() - stopped
    assert {held.ref.name for held in planned.held} == stopped
    assert all(held.release and "for longer than 60 s" in held.reason for held in planned.held)


@given(WANTS, WANTS)
@settings(max_examples=100, deadline=None)
def test_deleting_goes_the_other_way_round(before: Wants, after: Wants) -> None:
    """Nothing is deleted that something needs which is still there and was made with that need."""
    world = World()
    for _ in range(16):
        world.round(ordered(before))
    made = ordered(before)
    wanted = ordered(after)
    for _ in range(16):
        there = {one.ref for one in world.there.values()}
        planned = world.round(wanted)
        for action in planned.actions:
            if action.verb == "delete" and action.reason == "no longer declared":
                needing = [ref for ref in there if ref in made.resources and action.ref in made.resources[ref].needs]
                assert [ref for ref in needing if ref not in wanted.workloads] == []
    assert (planned.actions, planned.held) == ((), ())


def test_a_newer_revision_ends_a_wait_at_once() -> None:
    """The fix of what is broken is made in the round it comes in; nothing waits for the first."""
    world = World()
    first = ordered({"a": ("v1", set()), "b": ("v1", {"a"})})
    for _ in range(6):
        world.round(first)
    world.broken = frozenset("a")
    broken = ordered({"a": ("v2", set()), "b": ("v2", {"a"})})
    for _ in range(3):
        planned = world.round(broken)
    assert {held.ref.name for held in planned.held} == {"a", "b"}
    world.broken = frozenset()
    fix = ordered({"a": ("v3", set()), "b": ("v2", {"a"})})
    steps = [[(action.verb, action.ref.name, action.instance) for action in world.round(fix).actions] for _ in range(4)]
    assert steps[0] == [("create", "a", "v3")]
    assert ("create", "b", "v2") in steps[1]
    assert sorted(one for round in steps[1:] for one in round if one[0] == "delete") == [
        ("delete", "a", "v1"),
        ("delete", "a", "v2"),
        ("delete", "b", "v1"),
    ]


def test_a_chain_of_thousands_costs_little() -> None:
    """Thousands in a row are planned without a stack as deep as the chain."""
    names = [f"c{n:05}" for n in range(3000)]
    wants: dict[str, tuple[str, set[str]]] = {name: ("v1", {names[i - 1]} if i else set()) for i, name in enumerate(names)}
    planned = plan(ordered(wants), ObservedState({}), Facts(), 1.0)
    assert [action.ref.name for action in planned.actions] == ["c00000"]
    needed = {Ref("Container", name): (Ref("Container", names[i - 1]),) for i, name in enumerate(names) if i}
    there = [running(want, "h1") for want in ordered(wants).workloads.values()]
    seen = ObservedState({one.key: one for one in there})
    gone = plan(fleet(("h1",), {}), seen, Facts(needed=needed, passed=frozenset(one.ref for one in there)), 1.0)
    assert {held.reason for held in gone.held} > {"draining"}
