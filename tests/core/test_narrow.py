"""A part of a plan is the whole plan with the rest left out and counted; and two revisions are compared by what they say."""

from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.core import show
from reconciler.core.between import between, certificate_versions, named
from reconciler.core.connect import Connector
from reconciler.core.kinds import KINDS
from reconciler.core.model import Action, FleetState, ObservedState, Plan, Ref, Snapshot
from reconciler.core.narrow import Narrowed, narrow
from reconciler.core.select import Selection, Selector
from reconciler.core.show_steps import steps
from tests.core.golden import AFTER, BEFORE
from tests.fleets import load_folder, load_text

HOOK = ", hook: {when: before-sync}"
CASE = Path(__file__).parent / "cases" / "fields-that-differ"


@pytest.fixture(scope="module")
def was() -> FleetState:
    return load_folder(CASE / "before")


@pytest.fixture(scope="module")
def now() -> FleetState:
    return load_folder(CASE / "fleet")


def told(fleet: FleetState) -> dict[str, Snapshot]:
    return Connector().connect(fleet, ObservedState({}), certificate_versions(fleet))


def compared(was: FleetState, now: FleetState) -> tuple[Plan, dict[str, Snapshot]]:
    running = told(was)
    return between(was, now, running, told(now)), running


def changes(planned: Plan) -> dict[str, str]:
    return {str(step.ref): step.change for step in steps(planned)}


def test_two_revisions(was: FleetState, now: FleetState) -> None:
    """Workloads come, change, are replaced and go by what is declared alone; proxies are told what differs."""
    planned, _ = compared(was, now)
    assert changes(planned) == {
        "Container/tuned": "update",
        "Container/web-1": "replace",
        "Container/web-2": "create",
        "ProxyGroup/edge": "tell",
    }
    back, _ = compared(now, was)
    assert changes(back)["Container/web-2"] == "delete"
    assert compared(now, now)[0].actions == ()


def test_a_hook_is_no_workload_that_comes_or_goes() -> None:
    """When it runs depends on what it is for, so two revisions alone say nothing of it; what became one ends as a workload."""
    text = "apiVersion: convoy/v1\nkind: Container\nmetadata: {name: c%s}\nspec: {command: [sleep, '%s']}\n"
    hook, other, plain = (load_text(text % words) for words in ((HOOK, 1), (HOOK, 2), ("", 1)))
    assert compared(hook, other)[0].actions == ()
    assert changes(compared(plain, hook)[0]) == {"Container/c": "delete"}
    assert changes(compared(hook, plain)[0]) == {"Container/c": "create"}


def test_a_certificate_is_another_one_when_its_document_says_so() -> None:
    """A key that was sealed again is told to nobody, another certificate is."""

    def version(names: str) -> str:
        text = (
            f"apiVersion: convoy/v1\nkind: Certificate\nmetadata: {{name: tls}}\nspec: {{selfSigned: {{names: [{names}]}}}}\n"
        )
        return certificate_versions(load_text(text))[Ref("Certificate", "tls")]

    assert version("a.example") == version("a.example") != version("b.example")
    sealed = [{"key": {"age": f"cipher {i}", "hash": hash}} for i, hash in enumerate(("same", "same", "other"))]
    assert named(sealed[0]) == named(sealed[1]) != named(sealed[2])
    assert "cipher" not in repr(named(sealed[0]))


def narrowed(planned: Plan, words: str, running: dict[str, Snapshot], *fleets: FleetState) -> Narrowed:
    owners = {ref: want.owner for fleet in fleets for ref, want in fleet.workloads.items()}
    labels = {ref: resource.labels for fleet in fleets for ref, resource in fleet.resources.items()}
    return narrow(planned, Selection(Selector.parse([words], KINDS), labels, owners), running)


@pytest.mark.parametrize(
    ("words", "shown", "left_out"),
    [
        ("app/web", ["Container/web-1", "Container/web-2"], 2),
        ("Container/web-2", ["Container/web-2"], 3),
        ("team=store", ["Container/web-1", "Container/web-2"], 2),
        ("Configuration/edge", ["ProxyGroup/edge"], 3),
        ("proxies", ["ProxyGroup/edge"], 3),
        ("ProxyGroup/edge", ["ProxyGroup/edge"], 3),
        ("app/other*", [], 4),
    ],
)
def test_a_part_of_a_plan(was: FleetState, now: FleetState, words: str, shown: list[str], left_out: int) -> None:
    """A resource with what it owns; a Configuration with what proxies are told because of it; the rest is counted."""
    planned, running = compared(was, now)
    part = narrowed(planned, words, running, was, now)
    assert sorted(changes(part.plan)) == shown
    assert part.left_out == left_out
    assert all(action in planned.actions for action in part.plan.actions) or words == "Configuration/edge"
    assert part.plan.revision == planned.revision


def test_of_what_proxies_are_told_only_the_selected_part_is_named() -> None:
    """What follows from others in the same snapshots is left out of before and after alike."""

    def owned(snapshot: Snapshot) -> Snapshot:
        resources = {
            type: {name: replace(one, owner=Ref("Cluster", name) if type == "cds" else one.owner) for name, one in some.items()}
            for type, some in snapshot.resources.items()
        }
        return replace(snapshot, resources=resources)

    action = Action("update", Ref("ProxyGroup", "edge"), "v2", "xds", {"edge-1": owned(AFTER)}, "new configuration")
    planned, running = Plan("r", (action,)), {"edge-1": owned(BEFORE)}
    part = narrow(planned, Selection(Selector.parse(["Cluster/red"], KINDS)), running)
    page = show.plain(show.plan(part.plan, part.running), 100)

    assert "1 cluster  red" in page
    assert "green" not in page
    assert "listener" not in page
    assert running["edge-1"].resources["lds"]
    assert narrow(planned, Selection(Selector.parse(["Cluster/blue"], KINDS)), running).plan.actions == ()
