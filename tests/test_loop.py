"""The real loop over hosts in memory and their vices: it converges, heals, survives restarts and failures, then is quiet."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.certificates import Certificates
from reconciler.core.kinds.host import Host as HostSpec
from reconciler.core.kinds.settings import Settings
from reconciler.core.kinds.spec import Run
from reconciler.core.model import Action, FleetState, Ref, Resource, Source, Want
from reconciler.drivers.memory import Machine, Memory, Vices
from reconciler.guards import Guards
from reconciler.log import Log
from reconciler.loop import Loop, View
from reconciler.metrics import Metrics
from reconciler.proxies import Proxies
from reconciler.record import Record
from reconciler.releases import Releases
from reconciler.seams import Seams
from reconciler.secrets import Opener
from reconciler.store import Store
from reconciler.wanted import Accepted
from reconciler.xds.server import Server

NOWHERE = Source("fleet.yaml", 1, 0, 0)
RUN = Run(command=("true",))


def fleet(revision: str, wants: Mapping[str, str], hosts: tuple[str, ...] = ("h1", "h2")) -> FleetState:
    """Containers by name ⇒ version; nothing drains for long."""
    specs = {Ref("Host", host): HostSpec() for host in hosts} | {Ref("Settings", "fleet"): Settings(drain_s=0)}
    resources = {ref: Resource(ref, f"uid-{ref.name}", spec, NOWHERE) for ref, spec in specs.items()}
    workloads = {}
    for name, version in wants.items():
        ref = Ref("Container", name)
        workloads[ref] = Want(ref, f"uid-{name}", version, f"live-{version}", RUN, ref)
        resources[ref] = Resource(ref, f"uid-{name}", RUN, NOWHERE)
    return FleetState(revision, resources, workloads)


@dataclass
class Wish:
    accepted: Accepted = field(default_factory=Accepted)

    def close(self) -> None:
        """Nothing to let go of."""


@dataclass
class World:
    """Machines that outlive every Convoy, and a store."""

    directory: Path
    machines: dict[str, Machine] = field(default_factory=lambda: {"h1": Machine(), "h2": Machine()})
    vices: Vices = field(default_factory=lambda: Vices(healthy_after_looks=1))
    wish: Wish = field(default_factory=Wish)

    @contextmanager
    def convoy(
        self, may_act: Callable[[], bool] = lambda: True, store: Store | None = None, seams: Seams | None = None
    ) -> Iterator[tuple[Loop, Store]]:
        seams, wake, log = seams or Seams(), threading.Event(), Log(level="error")
        with ExitStack() as stack:
            if store is None:
                store = stack.enter_context(closing(Store(f"sqlite:///{self.directory / 'convoy.db'}", seams)))
            installation = store.installation()
            certificates = Certificates(store, Opener.from_file(self.directory / "none", store.opened), seams)
            server = Server((), None, certificates.secret, wake.set, seams)

            def driver(name: str, _: HostSpec) -> Memory:
                return Memory(name, self.machines[name], installation, seams, self.vices)

            proxies = Proxies(server, store, log, seams)
            guards, record = Guards(store, log, seams), Record(store, log, seams)
            loop = Loop(
                self.wish, proxies, certificates, driver, may_act, guards, Releases(store), record, Metrics(), log, seams, wake
            )
            stack.callback(loop.close)
            yield loop, store

    def running(self) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        for machine in self.machines.values():
            with machine.lock:
                found += [(thing.want.ref.name, thing.want.instance) for thing in machine.things.values()]
        return sorted(found)

    def break_down(self) -> None:
        """Nothing is left on any machine, and whoever listens hears of it."""
        for machine in self.machines.values():
            with machine.lock:
                machine.things.clear()
            machine.ring()


def until(loop: Loop, holds: Callable[[View], bool], within_s: float = 60.0) -> View:
    over = time.monotonic() + within_s
    last, held = View(), False

    def enough(view: View) -> bool:
        nonlocal last, held
        last, held = view, holds(view)
        return held or time.monotonic() > over

    # A second wake beside the loop's own: a host in memory changes without anybody being told.
    ended = threading.Event()

    def knock() -> None:
        while not ended.wait(0.02):
            loop._wake.set()

    knocking = threading.Thread(target=knock)
    knocking.start()
    try:
        loop.run(enough, threading.Event())
    finally:
        ended.set()
        knocking.join()
    # Asked again, it might hold no longer: hosts go on beside the loop.
    assert held, last
    return last


def settled(loop: Loop) -> None:
    """Until nothing more is begun, and what runs is well, also where Envoys that are not there have acknowledged nothing."""

    def done(view: View) -> bool:
        seen, in_flight = loop.hosts.observed()
        well = all(one.health.status == "healthy" or one.fields["exit"] == 0 for one in seen.resources.values())
        # A round before the first look has planned nothing, nor has one of what was under way, which may have ended since.
        known = loop.premises
        still = known is not None and known.seen == seen and not (seen.blind or known.facts.in_flight or in_flight)
        return view.plan is not None and not view.plan.actions and still and well

    until(loop, done)


def test_a_fleet_converges_heals_and_is_quiet(tmp_path: Path) -> None:
    """What is declared is made; what vanishes is made again; then nothing is planned and nothing is written."""
    world = World(tmp_path)
    world.wish.accepted = Accepted(fleet("r1", {"a": "v1", "b": "v1"}))
    with world.convoy() as (loop, store):
        until(loop, lambda view: view.converged)
        assert world.running() == [("a", "v1"), ("b", "v1")]

        world.break_down()
        until(loop, lambda view: view.converged and world.running() == [("a", "v1"), ("b", "v1")])

        writes = store.writes
        for _ in range(5):
            assert loop.tick().plan == loop.view.plan
        assert store.writes == writes


def test_when_only_a_person_can_take_it_further(tmp_path: Path) -> None:
    """Where deletes wait for a word; not where all is done, nor where a host is only not seen at this moment."""
    world = World(tmp_path)
    names = [f"c{n}" for n in range(8)]
    world.wish.accepted = Accepted(fleet("r1", dict.fromkeys(names, "v1")))
    with world.convoy() as (loop, _):
        assert not until(loop, lambda view: view.converged).asks
        world.wish.accepted = Accepted(fleet("r2", {"c0": "v1"}))
        view = until(loop, lambda view: view.asks)
        assert view.plan is not None
        assert {held.verb for held in view.plan.held} == {"delete"}
        world.wish.accepted = Accepted(fleet("r3", dict.fromkeys(names, "v1")))
        until(loop, lambda view: view.converged)
        world.vices.outage = True
        blind = until(loop, lambda view: any(one.sync == "held" for one in view.status.values()))
        assert not blind.asks
        world.vices.outage = False
        until(loop, lambda view: view.converged)


def test_a_round_is_a_few_transactions(tmp_path: Path) -> None:
    """However much it finds: what the guards remember, the plan before it is begun, and all that the round has to tell."""
    world = World(tmp_path)
    world.wish.accepted = Accepted(fleet("r1", {f"c{n}": "v1" for n in range(50)}))
    with world.convoy() as (loop, store):
        view = View()
        while not view.converged:
            writes = store.writes
            view = loop.tick()
            assert store.writes - writes <= 3
            time.sleep(0.02)
        assert (
            len(
                [
                    event
                    for event in store.events(0, 1000)
                    if event.kind == "status.synced" and event.ref.startswith("Container/")
                ]
            )
            == 50
        )
        assert len(store.outcomes(1000)) == 50


def test_nothing_in_force_touches_nothing(tmp_path: Path) -> None:
    """An unreadable source, or a first revision with Problems, leaves alone whatever runs."""
    world = World(tmp_path)
    world.wish.accepted = Accepted(fleet("r1", {"a": "v1"}))
    with world.convoy() as (loop, _):
        until(loop, lambda view: view.converged)
    world.wish.accepted = Accepted(None, unreadable="no such host")
    with world.convoy() as (loop, store):
        for _ in range(3):
            view = loop.tick()
        assert view.plan is None
        assert view.unreadable == "no such host"
        assert (store.state() or {})["unreadable"] == "no such host"
    assert world.running() == [("a", "v1")]


def test_another_convoy_finds_what_runs(tmp_path: Path) -> None:
    """A new process over the same hosts makes nothing twice and goes on where the last one ended."""
    world = World(tmp_path)
    world.wish.accepted = Accepted(fleet("r1", {"a": "v1"}))
    with world.convoy() as (loop, _):
        until(loop, lambda view: view.converged)
    world.wish.accepted = Accepted(fleet("r2", {"a": "v1", "b": "v1"}))
    with world.convoy() as (loop, _):
        until(loop, lambda view: view.converged)
    assert world.running() == [("a", "v1"), ("b", "v1")]


def test_rows_of_what_is_gone_are_taken_out_after_a_restart(tmp_path: Path) -> None:
    """A resource removed while no Convoy ran is not shown for ever."""
    world = World(tmp_path)
    world.wish.accepted = Accepted(fleet("r1", {"a": "v1", "b": "v1"}))
    with world.convoy() as (loop, store):
        until(loop, lambda view: view.converged)
        assert "Container/b" in store.status()
    for machine in world.machines.values():
        machine.things = {key: thing for key, thing in machine.things.items() if key[0].name == "a"}
    world.wish.accepted = Accepted(fleet("r2", {"a": "v1"}))
    with world.convoy() as (loop, store):
        until(loop, lambda view: view.converged)
        assert "Container/b" not in store.status()


def test_who_does_not_hold_the_lease_acts_nowhere(tmp_path: Path) -> None:
    """Without the lease everything is looked at and planned, and nothing is done."""
    world = World(tmp_path)
    world.wish.accepted = Accepted(fleet("r1", {"a": "v1"}))
    with world.convoy(lambda: False) as (loop, _):
        until(loop, lambda view: bool(view.plan and view.plan.actions))
        for _ in range(5):
            loop.tick()
            time.sleep(0.01)
    assert world.running() == []


def test_a_refusal_is_shown_and_tried_again(tmp_path: Path) -> None:
    """The host's words stand in the status; when it relents, the fleet converges. Other workloads do not wait for it."""
    world = World(tmp_path)
    world.vices.refuse = lambda action: "no room" if action.ref.name == "a" else ""
    world.wish.accepted = Accepted(fleet("r1", {"a": "v1", "b": "v1"}))
    with world.convoy() as (loop, _):
        ref = Ref("Container", "a")
        view = until(
            loop, lambda view: ref in view.status and view.status[ref].sync == "failed" and ("b", "v1") in world.running()
        )
        assert "no room" in view.status[ref].why

        world.vices.refuse = lambda _: ""
        until(loop, lambda view: view.converged)


def test_what_ends_in_the_middle_of_a_round_is_known_with_how_it_ended(tmp_path: Path) -> None:
    """Never as if it had not been begun: what was refused would be begun again at once."""
    world, ends, begun = World(tmp_path), threading.Event(), threading.Event()

    def refuse(_: Action) -> str:
        begun.set()
        ends.wait(60)
        return "no room"

    world.vices.refuse = refuse
    world.wish.accepted = Accepted(fleet("r1", {"a": "v1"}))
    with world.convoy() as (loop, store):
        until(loop, lambda _: begun.is_set())
        observed, outcomes = loop.hosts.observed, loop.hosts.outcomes

        def end() -> None:
            ends.set()
            over = time.monotonic() + 60
            while observed()[1] and time.monotonic() < over:
                time.sleep(0.01)

        # After the first of the two that are asked, it ends.
        loop.hosts.observed = lambda: (observed(), ends.is_set() or end())[0]  # type: ignore[method-assign, func-returns-value]
        loop.hosts.outcomes = lambda: (outcomes(), ends.is_set() or end())[0]  # type: ignore[method-assign, func-returns-value]
        view = loop.tick()
        assert view.plan is not None
        assert (view.plan.actions, view.status[Ref("Container", "a")].sync) == ((), "failed")
        assert [one["status"] for one in store.outcomes()] == ["failed"]


def test_an_outage_changes_nothing_and_is_said(tmp_path: Path) -> None:
    """While no host can be seen the fleet is held, not moved and not doubled."""
    world = World(tmp_path)
    world.wish.accepted = Accepted(fleet("r1", {"a": "v1"}))
    with world.convoy() as (loop, _):
        until(loop, lambda view: view.converged)
        world.vices.outage = True
        for machine in world.machines.values():
            machine.ring()
        view = until(loop, lambda view: view.status[Ref("Container", "a")].sync == "held")
        assert view.plan is not None
        assert view.plan.actions == ()
        world.vices.outage = False
        until(loop, lambda view: view.converged)
    assert world.running() == [("a", "v1")]


VERSIONS = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.sampled_from(["v1", "v2"]))


@given(
    history=st.lists(VERSIONS, min_size=1, max_size=3),
    half=st.sets(st.sampled_from(["create", "delete"])),
    looks=st.integers(1, 2),
    restart=st.booleans(),
)
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_whatever_happens_the_fleet_ends_as_declared(
    tmp_path_factory: object, history: list[dict[str, str]], half: set[str], looks: int, *, restart: bool
) -> None:
    """Steps that take effect and then say they failed, slow starts and restarts: nothing is doubled and nothing is lost."""
    directory = cast(Path, tmp_path_factory.mktemp("world"))  # type: ignore[attr-defined]
    world = World(directory, vices=Vices(healthy_after_looks=looks, half_done=frozenset(half)))  # type: ignore[arg-type]
    for n, wants in enumerate(history):
        world.wish.accepted = Accepted(fleet(f"r{n}", wants))
        if restart:
            with world.convoy() as (loop, _):
                for _ in range(2):
                    loop.tick()
                    time.sleep(0.01)
        with world.convoy() as (loop, _):
            until(loop, lambda view: view.converged)
        assert world.running() == sorted(wants.items())
