"""Where a fleet stands, and everything known of one resource, as they are shown."""

from typing import Any

import pytest

from reconciler.core import show
from reconciler.core.model import (
    Ref,
)
from reconciler.core.show_holds import ago
from reconciler.core.show_status import progress
from reconciler.core.statuses import Status
from tests.core.golden import BEFORE, NOW, WIDTHS, golden


def row(
    ref: str, sync: str, health: str, why: str = "", *, declared: bool = True, age_s: float = 75.0, **more: Any
) -> dict[str, Any]:
    return {
        "ref": ref,
        "sync": sync,
        "health": health,
        "since": NOW - age_s,
        "why": why,
        "declared": declared,
        "where": "apps/web.yaml:1",
        "instances": [],
        **more,
    }


INSTANCE = {
    "instance": "0a1b2c3d4e5f0001",
    "host": "local",
    "state": "running",
    "health": "starting",
    "message": "connection refused at 127.0.0.1:20001",
    "since": NOW - 9,
    "address": "127.0.0.1",
    "ports": {"http": 20001, "admin": "/run/convoy/admin.sock"},
    "pid": 4711,
    "restarts": 2,
    "exit": 1,
    "log": "/var/lib/convoy/hosts/local/web-1/log",
}
ROWS = {
    one["ref"]: one
    for one in (
        row("Application/web", "pending", "starting", "Container/web-1: connection refused at 127.0.0.1:20001"),
        row("Container/web-1", "pending", "starting", "connection refused", declared=False, instances=[INSTANCE]),
        row(
            "Configuration/edge",
            "refused",
            "none",
            "edge.yaml:3:1: Envoy refuses broken: minimum_ring_size too large",
            age_s=4000,
        ),
        row("Container/old-1", "held", "healthy", "proxy edge-1 may still reach it", declared=False, age_s=2e5, where=""),
        row("Host/local", "synced", "healthy"),
        row("ProxyGroup/edge", "synced", "none"),
    )
}
STATE = {
    "revision": "3f9a7c21",
    "refused": "4b5c6d7e",
    "unreadable": "cannot fetch branch main of https://***@git.example/fleet.git: could not resolve host",
    "converged": False,
    "problems": [
        {"file": "e.yaml", "line": 3, "column": 2, "what": "unknown field 'weight'", "hint": "did you mean 'weights'?"}
    ],
}


@pytest.mark.parametrize(("name", "width"), WIDTHS)
def test_status(name: str, width: int | None, request: pytest.FixtureRequest) -> None:
    """What is refused, unreadable and not as declared stands before what is well."""
    golden(f"status.{name}.txt", show.plain(show.status(show.standing(STATE, False), ROWS, NOW), width), request)


def test_status_converged(request: pytest.FixtureRequest) -> None:
    """A fleet that is as declared says so first, and a long list of what is well is cut short."""
    rows = {f"Container/c-{i:03}": row(f"Container/c-{i:03}", "synced", "healthy") for i in range(60)}
    fleet = show.standing({"revision": "3f9a7c21", "converged": True}, True)
    golden("status-converged.txt", show.plain(show.status(fleet, rows, NOW), 80), request)


def test_status_after_down() -> None:
    """A fleet that was stopped on purpose is not called as declared."""
    assert show.plain(show.status(show.standing({"revision": "down", "converged": True}, False), {}, NOW)).startswith("stopped")


def test_status_json_lists_declared_resources_alone() -> None:
    """Workloads and instances are what `get` is for."""
    answer = show.status_json(show.standing(STATE, True), STATE, ROWS)

    assert [one["ref"] for one in answer["resources"]] == [
        "Application/web",
        "Configuration/edge",
        "Host/local",
        "ProxyGroup/edge",
    ]
    assert answer["summary"] == {"pending": 1, "refused": 1, "synced": 2}
    assert (answer["refused"], answer["converged"], answer["problems"]) == ("4b5c6d7e", False, STATE["problems"])
    assert all("instances" not in one for one in answer["resources"])


@pytest.mark.parametrize(("name", "width"), WIDTHS)
def test_explain(name: str, width: int | None, request: pytest.FixtureRequest) -> None:
    """Everything known of one resource: standing, workloads, what runs, the document, what happened."""
    known = show.Known(
        "apiVersion: convoy/v1\nkind: Application\nmetadata:\n  name: web # the shop's front\n",
        "apps/web.yaml:1",
        "3f9a7c21",
        (ROWS["Container/web-1"],),
        BEFORE,
        "LDS http: error adding listener: 'cannot bind'",
        ((NOW - 60, "status.pending", "missing"), (NOW - 4000, "create done", "on local")),
    )
    golden(f"explain.{name}.txt", show.plain(show.explain(ROWS["Application/web"], known, NOW), width), request)


def test_progress_names_what_is_awaited() -> None:
    """The bar counts what is as declared and says what the first of the others waits for."""
    web, edge = Ref("Application", "web"), Ref("Proxy", "edge-1")
    statuses = {web: Status(web, "synced", "healthy", 0), edge: Status(edge, "pending", "starting", 0, "missing")}

    assert progress(statuses) == (1, 2, "Proxy/edge-1: missing")


def test_ages() -> None:
    """How long is said in one unit."""
    assert [ago(s) for s in (-5, 0, 59, 60, 3599, 3600, 86399, 86400 * 3)] == [
        "0s",
        "0s",
        "59s",
        "1m",
        "59m",
        "1h",
        "23h",
        "3d",
    ]


def test_trailers_of_no_use_are_shown() -> None:
    """What a commit says and cannot mean stands with where the fleet stands, a few of them."""
    notes = [f"commit {n}: `Convoy-Hold: x` names no resource" for n in range(8)]
    page = show.plain(show.status(show.standing({"revision": "r1", "converged": True, "notes": notes}), {}, 0.0))

    assert page.count("trailer of no use: commit") == 5
    assert "… and 3 more" in page
