"""Plans and outcomes as people, programs and pull requests are shown them; `--update` writes the files anew."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from reconciler.core import show
from reconciler.core.kinds.spec import Run
from reconciler.core.model import (
    XDS,
    Action,
    Held,
    Outcome,
    Plan,
    Ref,
    Snapshot,
    Verb,
    Want,
)
from reconciler.core.show_steps import steps
from tests.core.golden import AFTER, BEFORE, NOW, WIDTHS, golden


def action(verb: Verb, ref: str, instance: str, host: str, reason: str, want: Any = None) -> Action:
    return Action(verb, Ref.parse(ref), instance, host, want, reason)


PLANS: Mapping[str, tuple[Plan, Mapping[str, Snapshot]]] = {
    "nothing": (Plan("3f9a7c21", ()), {}),
    "first": (
        Plan(
            "folder-1e53",
            (
                action("create", "Container/web-1", "0a1b2c3d4e5f0001", "local", "missing"),
                action("create", "Proxy/edge-1", "0a1b2c3d4e5f0002", "local", "missing"),
                action("update", "ProxyGroup/edge", "v1", XDS, "new configuration for edge-1", {"edge-1": BEFORE}),
            ),
        ),
        {},
    ),
    "mixed": (
        Plan(
            "3f9a7c21",
            (
                action("create", "Container/green-1", "0a1b2c3d4e5f0001", "local", "missing"),
                action("create", "Container/web-1", "0a1b2c3d4e5f0002", "local", "changed: made before the old one is removed"),
                action("update", "Container/api-1", "0a1b2c3d4e5f0003", "rack-7", "changed in place"),
                action(
                    "update",
                    "ProxyGroup/edge",
                    "v2",
                    XDS,
                    "new configuration for edge-1, edge-2, edge-3",
                    {"edge-1": AFTER, "edge-2": AFTER, "edge-3": AFTER},
                ),
                action("delete", "Container/old-1", "0a1b2c3d4e5f0004", "local", "no longer declared"),
            ),
            (
                Held(
                    Ref("Container", "blue-1"), "proxy edge-1 may still send requests to it", None, "0a1b2c3d4e5f0005", "delete"
                ),
                Held(Ref("Container", "far-1"), "host rack-9 cannot be seen: connection refused by 10.0.0.9 \x1b[31m"),
                Held(Ref("Container", "web-1"), "its replacement is not healthy yet", None, "0a1b2c3d4e5f0006", "delete"),
                Held(
                    Ref("Container", "sick-1"), "failed 2 times, next try later: no such program", NOW + 2, "0a1b2c3d", "create"
                ),
            ),
            NOW + 2,
        ),
        {"edge-1": BEFORE, "edge-2": BEFORE},
    ),
}


@pytest.mark.parametrize(("name", "width"), WIDTHS)
@pytest.mark.parametrize("case", PLANS)
def test_plan(case: str, name: str, width: int | None, request: pytest.FixtureRequest) -> None:
    """A plan begins with its size, then names every resource, what happens to it and why."""
    golden(f"plan-{case}.{name}.txt", show.plain(show.plan(*PLANS[case]), width), request)


@pytest.mark.parametrize("case", PLANS)
def test_plan_for_programs_and_pull_requests(case: str, request: pytest.FixtureRequest) -> None:
    """JSON and Markdown say the same as the page."""
    golden(f"plan-{case}.json", json.dumps(show.plan_json(*PLANS[case]), indent=2, ensure_ascii=False) + "\n", request)
    golden(f"plan-{case}.md", show.plan_markdown(*PLANS[case]), request)


def test_plan_json_never_holds_what_workloads_are_made_of() -> None:
    """A workload's environment may be secret, so a plan that is stored and posted does not carry it."""
    run = Run(command=("serve",), environment={"TOKEN": "canary-4711"})
    want = Want(Ref("Container", "web"), "uid", "i", "l", run, Ref("Container", "web"))
    planned = Plan("r", (action("create", "Container/web", "i", "local", "missing", want),))

    assert "canary" not in json.dumps(show.plan_json(planned))
    assert "canary" not in show.plan_markdown(planned)
    assert "canary" not in show.plain(show.plan(planned))


def test_a_create_beside_an_old_instance_is_one_replacement() -> None:
    """Made before broken is one change to a person, though the planner does it in several steps."""
    changes = {str(step.ref): step.change for step in steps(PLANS["mixed"][0])}

    assert changes["Container/web-1"] == "replace"
    assert changes["Container/green-1"] == "create"
    assert changes["Container/blue-1"] == "delete"
    assert changes["Container/sick-1"] == "hold"


def test_commits_are_short() -> None:
    """A page shows as much of a commit as people use, and JSON all of it."""
    planned = Plan("0123456789abcdef0123456789abcdef01234567", ())

    assert "0123456789ab\n" in show.plain(show.plan(planned))
    assert show.plan_json(planned)["revision"] == planned.revision


def test_outcomes() -> None:
    """A step that is over is one line with what went wrong in it."""
    step = action("create", "Container/web-1", "i", "local", "missing")
    lines = [
        "".join(span.text for span in show.outcome(outcome))
        for outcome in (
            Outcome(step, "done", seconds=1.26),
            Outcome(step, "failed", "no such program: nginxx", seconds=0.01),
            Outcome(step, "skipped", "Container/db failed"),
        )
    ]

    assert lines == [
        "✓ created Container/web-1 on local (1.3 s)",
        "✗ could not create Container/web-1 on local: no such program: nginxx",
        "· skipped create of Container/web-1 on local: Container/db failed",
    ]
