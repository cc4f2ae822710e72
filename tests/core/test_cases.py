"""Scenarios as folders: `fleet/*.yaml` and `observed.yaml` in, `plan.txt` out. `pytest --update` writes plan.txt anew.

`before/*.yaml`, where it is there, is what was in force before.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.compare import edits_between
from reconciler.core import show
from reconciler.core.connect import Connector
from reconciler.core.facts import Facts, Order
from reconciler.core.guard import owners
from reconciler.core.handover import reached_by, running_proxies, surplus_of
from reconciler.core.model import Connected, FleetState, Health, Observed, ObservedState, Ref
from reconciler.core.order import waiting
from reconciler.core.place import without_lost
from reconciler.core.plan import plan
from reconciler.core.ready import Ready
from tests.fleets import load_folder, loaded

CASES = sorted(path for path in (Path(__file__).parent / "cases").iterdir() if path.is_dir())
NOW = 1_000_000.0


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_the_plan_is_as_written(case: Path, request: pytest.FixtureRequest) -> None:
    """The plan for this fleet on these hosts reads exactly as in plan.txt."""
    fleet = load_folder(case / "fleet")
    told = yaml.safe_load((case / "observed.yaml").read_text()) if (case / "observed.yaml").exists() else {}
    seen = observed(fleet, told)
    facts = known(fleet, seen, told, load_folder(case / "before") if "told_before" in told else None)

    planned = plan(fleet, seen, facts, NOW)
    if "waiting_s" in told:
        facts = replace(facts, waiting=dict.fromkeys(waiting(planned, {}, NOW), NOW - told["waiting_s"]))
        planned = plan(fleet, seen, facts, NOW)
    edits = edits_between(loaded(case / "before"), loaded(case / "fleet")) if (case / "before").exists() else ()
    background = show.Background(fleet, owners(fleet, seen), edits)
    written = show.plain(show.plan(planned, None, background), 120)
    if request.config.getoption("--update"):
        (case / "plan.txt").write_text(written)
    assert written == (case / "plan.txt").read_text()


def observed(fleet: FleetState, told: dict[str, Any]) -> ObservedState:
    """`instances` (ref, host, instance: `wanted` or any word, health, state, port, age_s, deletion, owner, meddled: fields that
    somebody changed), `blind` (host ⇒ reason) and `foreign` (ref, host, installation)."""
    resources = {}
    for one in told.get("instances", ()):
        ref = Ref.parse(one["ref"])
        want = fleet.workloads.get(ref)
        current = one.get("instance", "wanted") == "wanted"
        fields = {
            "uid": want.uid if want else "gone",
            "live": one.get("live") or (want.live if want and current and "meddled" not in one else "other"),
            "fields": {**(want.fields if want else {}), **dict.fromkeys(one.get("meddled", ()), "meddled with")},
            "deletion": one.get("deletion", want.deletion if want else "delete"),
            "owner": one.get("owner") or str(want.owner if want else ref),
            "state": one.get("state", "running"),
            "address": "127.0.0.1",
            "ports": {"http": one["port"]} if "port" in one else {},
        }
        instance = want.instance if want and current else one["instance"]
        seen = Observed(ref, instance, one["host"], fields, Health(one.get("health", "healthy")), NOW - one.get("age_s", 100))
        resources[seen.key] = seen
    foreign = {
        (one["host"], Ref.parse(one["ref"]), one.get("instance", "theirs")): one["installation"]
        for one in told.get("foreign", ())
    }
    return without_lost(fleet, ObservedState(resources, told.get("blind", {}), foreign))


def known(fleet: FleetState, seen: ObservedState, told: dict[str, Any], before: FleetState | None = None) -> Facts:
    """`reaches` (node ⇒ ports its acknowledged content names), `told` (nodes that already run what is wanted), `drained`.
    `told_before`: nodes that run what was in force before, with the backends that are seen.

    For the guards: `orders` (verb, subject, reason, until_s from now), `settled` (workload ⇒ the host where it was last as
    declared), `corrected` (workload ⇒ seconds ago), `before` (workloads before the deletes), `passed` (their refs).
    `needed` (resource ⇒ what it was made with), and `waiting_s`: for
    how long every wait has lasted."""
    connector = Connector()
    snapshots = connector.connect(fleet, seen, {})
    runs = Connector().connect(before, seen, {}) if before is not None else {}
    runs = {node: runs[node] for node in told.get("told_before", ())}
    parts = {node: Ready().part(snapshot, runs.get(node), connector) for node, snapshot in snapshots.items()}
    snapshots = {node: snapshot for node, (snapshot, _) in parts.items()}
    reaches = {node: frozenset(("127.0.0.1", port) for port in ports) for node, ports in told.get("reaches", {}).items()}
    connected = {node: Connected(node, "1.40.0", 0.0, "", True, {}) for node in reaches}
    published = {node: snapshots[node].version for node in told.get("told", ()) if node in snapshots}
    published |= {node: one.version for node, one in runs.items()}
    awaiting = {node: wait for node, (_, wait) in parts.items() if wait is not None}
    facts = Facts(connected=connected, snapshots=snapshots, awaiting=awaiting, published=published, reaches=dict(reaches))
    since = 0.0 if told.get("drained") else NOW
    running = running_proxies(seen)
    let_go = {one.key: since for one in surplus_of(fleet, seen) if not reached_by(one, facts, running)}
    return replace(facts, let_go=let_go, **guarded(fleet, told))


def guarded(fleet: FleetState, told: dict[str, Any]) -> dict[str, Any]:
    orders = {}
    for one in told.get("orders", ()):
        until = NOW + one["until_s"] if "until_s" in one else None
        orders[one["verb"], one["subject"]] = Order(one["verb"], one["subject"], one.get("reason", ""), "eve", NOW, until)
    settled = {}
    for text, host in told.get("settled", {}).items():
        want = fleet.workloads[Ref.parse(text)]
        settled[want.ref] = (want.instance, want.live, host)
    corrections = {Ref.parse(ref): tuple(NOW - ago for ago in times) for ref, times in told.get("corrected", {}).items()}
    passed = frozenset(Ref.parse(ref) for ref in told.get("passed", ()))
    return {
        "orders": orders,
        "settled": settled,
        "corrections": corrections,
        "before": told.get("before"),
        "passed": passed,
        "needed": {Ref.parse(ref): tuple(map(Ref.parse, needs)) for ref, needs in told.get("needed", {}).items()},
    }
