"""An upgrade plans nothing: what every earlier release made is, to this one, exactly what is declared."""

import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.core.connect import Connector
from reconciler.core.facts import NO_FACTS
from reconciler.core.kinds import KINDS
from reconciler.core.kinds.spec import Run
from reconciler.core.model import Action, Observed, ObservedState, Plan, Ref
from reconciler.core.plan import plan
from reconciler.core.workloads import STARTED_WITH
from reconciler.drivers.process import Process
from tests.drivers.world import belonging, soon

from .kept import RELEASES, Release

NOW = 2e9


@pytest.fixture(params=RELEASES, ids=lambda path: path.name)
def release(request: pytest.FixtureRequest) -> Iterator[Release]:
    # Short, for sockets' paths must fit beside it.
    state = Path(tempfile.mkdtemp(prefix="convoy-test-"))
    found = Release(request.param, state)
    try:
        yield found
    finally:
        found.close()
        for process in belonging(state):
            with contextlib.suppress(Exception):
                process.kill()
        shutil.rmtree(state, ignore_errors=True)


def steps(planned: Plan) -> list[str]:
    """Everything that a plan does or holds back."""
    acts = [f"{one.verb} {one.ref} {one.instance}: {one.reason}" for one in planned.actions]
    return acts + [f"held {one.ref} {one.instance}: {one.reason}" for one in planned.held]


def test_an_upgrade_plans_nothing(release: Release) -> None:
    """The fleet that a release ran, against what it showed of it: no action, and nothing held back."""
    assert steps(plan(release.fleet, ObservedState(release.seen), NO_FACTS, NOW)) == []


def test_every_instance_and_live_digest_is_the_same(release: Release) -> None:
    """Workload by workload, so that a change names what it changes."""
    seen = {one.ref: (one.instance, one.fields["live"], one.fields["uid"]) for one in release.seen.values()}
    assert {ref: (want.instance, want.live, want.uid) for ref, want in release.fleet.workloads.items()} == seen


def test_what_a_release_left_is_read(release: Release) -> None:
    """Its marks, its wants and its states say to today's driver all that they said to its own; and then nothing is planned."""
    release.place(supervised=True)

    seen = release.observed()

    assert seen.resources.keys() == release.seen.keys()
    for key, before in release.seen.items():
        now = seen.resources[key]
        assert (now.health.status, now.since) == (before.health.status, before.since)
        assert {name: now.fields[name] for name in before.fields} == before.fields
    assert steps(plan(release.fleet, seen, NO_FACTS, NOW)) == []


def test_proxies_are_told_the_same(release: Release) -> None:
    """No Envoy is sent anything new because Convoy is: what is declared comes out in the very same bytes."""
    told = Connector().connect(release.fleet, ObservedState(release.seen), {})

    now = {
        node: {
            type: {name: one.version for name, one in named.items() if one.secret is None}
            for type, named in snapshot.resources.items()
        }
        for node, snapshot in told.items()
    }
    assert now == release.read("told.json")


def test_the_first_release_says_every_field() -> None:
    """What was not in the fixture could change unseen: every kind there was, and every field that goes into a digest."""
    first = Release(RELEASES[0])
    said: dict[str, set[str]] = {}
    for resource in first.fleet.resources.values():
        said.setdefault(resource.ref.kind, set()).update(resource.spec.model_fields_set)
    assert said.keys() == set(FIRST_KINDS)
    assert said["Container"] >= FIRST_RUN
    assert said["ProxyGroup"] >= FIRST_STARTED_WITH
    assert KINDS.keys() >= FIRST_KINDS
    assert Run.model_fields.keys() >= FIRST_RUN
    assert STARTED_WITH >= FIRST_STARTED_WITH


FIRST_KINDS = frozenset({"Settings", "Host", "Container", "Application", "ProxyGroup", "Proxy", "Configuration", "Cluster"}) | {
    "VirtualHost",
    "Certificate",
}
FIRST_RUN = frozenset({"command", "environment", "files", "working_directory", "ports", "check", "restart", "stop", "log"})
FIRST_STARTED_WITH = frozenset({"xds", "concurrency", "log_level", "drain_s", "bootstrap"})


@pytest.mark.slow
def test_what_has_lost_its_supervisor_goes_on_as_it_was(release: Release) -> None:
    """After a power failure during the upgrade everything is started again, as the same instance with the same ports."""
    release.move()
    release.place(supervised=False)
    planned = plan(release.fleet, release.observed(), NO_FACTS, NOW)
    finished = {one.ref for one in release.seen.values() if one.fields["state"] == "stopped"}
    assert {(one.verb, one.reason) for one in planned.actions} == {("update", "its supervisor is gone")}
    assert {one.ref for one in planned.actions} == release.fleet.workloads.keys() - finished
    # The Envoys among them need a control plane; tests/test_loop.py and tests/drivers have them.
    mine = [one for one in planned.actions if one.ref.kind == "Container"]
    with release.drivers() as drivers:
        for action in mine:
            drivers[action.host].apply(action)
        soon(lambda: not [one for one in containers(drivers.values()) if one.health.status != "healthy"])
        for one in containers(drivers.values()):
            before = release.seen[one.key]
            assert (one.fields["ports"], one.fields["uid"]) == (before.fields["ports"], before.fields["uid"])
            assert one.fields["state"] == before.fields["state"]
        for action in mine:
            drivers[action.host].apply(replace(action, verb="delete", want=None))
        assert {one.ref for one in containers(drivers.values())} == finished


def containers(drivers: Iterable[Process]) -> list[Observed]:
    return [one for driver in drivers for one in driver.observe() if one.ref.kind == "Container"]


@pytest.mark.slow
def test_a_shim_of_that_release_is_understood(release: Release) -> None:
    """Shims outlive an upgrade: today's driver sees, changes and ends what an earlier release's shim supervises."""
    release.move()
    release.place(supervised=False)
    ref = Ref("Container", "with-check-http")
    key = next(key for key in release.seen if key[1] == ref)
    host, _, instance = key
    directory = release.state / "hosts" / host / f"Container-{ref.name}-{instance}"
    (directory / "home").mkdir(mode=0o700)
    shim = [sys.executable, "-I", "-S", "-B", str(release.folder / "shim" / "__main__.py"), str(directory)]
    subprocess.run(shim, check=True, env={"PATH": "/usr/bin:/bin"}, timeout=120)
    with release.drivers() as drivers:
        driver = drivers[host]

        def now() -> Observed:
            return next(one for one in driver.observe() if one.key == key)

        soon(lambda: now().health.status == "healthy")
        assert now().fields["ports"] == release.seen[key].fields["ports"]
        pid = now().fields["pid"]

        want = release.fleet.workloads[ref]
        # So patient that whoever is not asked, or does not hear it, is seen.
        patient = want.run.stop.model_copy(update={"grace_s": 250.0})
        run = want.run.model_copy(update={"check": None, "stop": patient})
        changed = replace(want, live="changed", run=run)
        driver.apply(Action("update", ref, instance, host, changed, "the test says so"))
        assert (now().fields["live"], now().fields["pid"]) == ("changed", pid)

        begun = time.monotonic()
        driver.apply(Action("delete", ref, instance, host, None, "the test says so", deadline_s=280))
        assert time.monotonic() - begun < 100
        assert not directory.exists()
    assert not [process for process in belonging(release.state) if str(directory) in " ".join(process.cmdline())]
