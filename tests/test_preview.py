"""A look ahead says what the loop does next, whatever is in the way: windows, hooks, a person's word, what Envoys refused."""

import json
from pathlib import Path

import pytest

from reconciler.core.facts import Order
from reconciler.core.guard import owners
from reconciler.core.model import FleetState, ObservedState, Ref
from reconciler.core.show import Background, plan_json
from reconciler.git import Mirror
from reconciler.guards import Guards
from reconciler.load import Loader
from reconciler.log import Log
from reconciler.metrics import Metrics
from reconciler.openings import Openings
from reconciler.preview import Preview, preview
from reconciler.seams import Seams
from reconciler.secrets import Opener
from reconciler.wanted import Wanted
from tests.breaking import Place
from tests.repos import hermetic, make_origin
from tests.test_in_force import Watched, at_work
from tests.test_loop import World
from tests.test_loop import settled as become_quiet
from tests.test_trial import BASE, container, document

SETTINGS = "{drainSeconds: 0, %s}"
NEVER = 'windows: [{kind: deny, schedule: "* * * * *", durationSeconds: 3600, only: [Container/a]}]'


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    hermetic(monkeypatch)
    return Place(make_origin(tmp_path), tmp_path / "state" / "mirror", tmp_path / "aside")


def looked_ahead(convoy: Watched, place: Place, tmp_path: Path) -> Preview:
    """As `convoy plan` does it beside the Convoy at work."""
    seams, log, store = Seams(), Log(level="error"), convoy.loop.proxies.store
    source = Mirror(str(place.origin.path), "main", tmp_path / "beside", seams)
    try:
        certificates = convoy.loop.certificates
        wanted = Wanted(
            source, Loader(None, seams), None, certificates, store, Metrics(), log, seams, lambda: None, recording=False
        )
        openings = Openings(Opener((), store.opened), seams)

        def look(_: FleetState) -> ObservedState:
            return convoy.loop.hosts.observed()[0]

        return preview(wanted, look, store, certificates, openings, Guards(store, log, seams), seams)
    finally:
        source.close()


def commit(place: Place, settings: str = "", **files: bytes) -> str:
    new = {**BASE, "settings.yaml": document("Settings", "fleet", SETTINGS % settings)}
    new |= {f"{name}.yaml": content for name, content in files.items()}
    return place.origin.commit({path: content.decode() for path, content in new.items()})


def settled(convoy: Watched) -> None:
    """As if Envoys had acknowledged what they are told."""
    convoy.world.wish.accepted = convoy.wanted.look()
    become_quiet(convoy.loop)
    assert convoy.loop.premises is not None
    convoy.loop.proxies.store.put_goods(convoy.loop.premises.facts.snapshots)


@pytest.mark.parametrize(
    ("settings", "files", "released"),
    [
        ("", {"a": container("a", "2"), "c": container("c")}, ""),
        ("sync: manual", {"a": container("a", "2"), "c": container("c")}, ""),
        ("sync: manual", {"a": container("a", "2"), "c": container("c")}, "Container/c"),
        (NEVER, {"a": container("a", "2"), "b": container("b", "2")}, ""),
        ("", {"h": container("h", hook="before-sync"), "a": container("a", "2")}, ""),
        ("sync: manual", {"edge": document("Configuration", "edge", "{routes: [{name: r}]}")}, ""),
    ],
    ids=["at once", "by hand", "released", "window", "hook", "told"],
)
def test_it_says_what_the_loop_does_next(
    place: Place, tmp_path: Path, settings: str, files: dict[str, bytes], released: str
) -> None:
    """Once that commit is in force, in the very next round; and it has changed nothing in the store."""
    world = World(tmp_path)
    commit(place)
    with at_work(world, place) as convoy:
        settled(convoy)
        store = convoy.loop.proxies.store
        revision = commit(place, settings, **files)
        if released:
            store.put_order(Order("sync", f"{revision} {released}", "so", "eve", 0.0))
        writes = store.writes
        found = looked_ahead(convoy, place, tmp_path)
        assert store.writes == writes
        assert found.plan is not None
        world.wish.accepted = convoy.wanted.look()
        planned = convoy.loop.tick().plan
        assert planned is not None
        assert found.fleet is not None
        said, done = (
            plan_json(one, {}, Background(found.fleet, owners(found.fleet, convoy.loop.hosts.observed()[0])))
            for one in (found.plan, planned)
        )
        for one in (said, done):
            # The time until a wait is over begins when it does.
            one.pop("wakeAt")
            for step in one["steps"]:
                for held in step["held"]:
                    held.pop("until")
        assert json.dumps(said) == json.dumps(done)
        assert convoy.loop.premises is not None
        assert bool(convoy.loop.premises.facts.withheld) == bool(settings or "h" in files)


def test_a_move_waits_for_its_backend_in_both(place: Place, tmp_path: Path) -> None:
    """What is shown before a commit is in force is what the next round holds, with the same words."""
    world = World(tmp_path)

    def app(name: str) -> bytes:
        return document("Application", name, '{command: ["true"], ports: [{name: http}]}')

    def site(backend: str) -> bytes:
        return document("VirtualHost", "site", f"{{group: edge, port: 18081, domains: [a.example], backend: {backend}}}")

    commit(place, hello=app("hello"), site=site("hello"))
    with at_work(world, place) as convoy:
        settled(convoy)
        commit(place, green=app("green"), hello=app("hello"), site=site("green"))
        found = looked_ahead(convoy, place, tmp_path)
        assert found.plan is not None
        world.wish.accepted = convoy.wanted.look()
        planned = convoy.loop.tick().plan
        assert planned is not None
        said, done = ([(one.ref, one.verb, one.reason) for one in each.held] for each in (found.plan, planned))
        words = "sends no requests to Application/green before one is healthy there: virtual host site stays as it was"
        assert said == done == [(Ref("Proxy", "edge-1"), "update", words)]
        assert convoy.loop.premises is not None
        assert convoy.loop.premises.facts.awaiting


def test_what_envoys_have_refused_is_not_told(place: Place, tmp_path: Path) -> None:
    """It is in the documents, and stays out of what proxies get: nothing is planned for it, today or tomorrow."""
    world = World(tmp_path)
    commit(place)
    with at_work(world, place) as convoy:
        settled(convoy)
        assert convoy.loop.premises is not None
        store, snapshot = convoy.loop.proxies.store, convoy.loop.premises.wanted["edge-1"]
        (listener,) = snapshot.resources["lds"].values()
        store.refuse(listener.version, "1.40.0", "lds", listener.name, "no", 1.0)
        convoy.loop.proxies.recall()
        settled(convoy)
        found = looked_ahead(convoy, place, tmp_path)
        assert found.plan is not None
        assert found.plan.actions == ()
