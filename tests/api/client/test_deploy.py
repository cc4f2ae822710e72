"""Deployments by `envoyctl`: names and numbers, and following one until it ends, however that is."""

import json
import time
from types import SimpleNamespace

import pytest

from api.client.exits import INVALID, LATE, REFUSED, USAGE
from reconciler.core.model import Ref
from reconciler.core.rollout import Progress, Turn
from reconciler.core.statuses import Status
from reconciler.record import status_json
from tests.api.client.conftest import Envoyctl, Served
from tests.fleets import load_text

pytestmark = pytest.mark.slow
EMPTY = load_text("apiVersion: convoy/v1\nkind: Host\nmetadata: {name: h}\n")
WORDS = ("deploy", "create", "--proxy-ids", "core-1,core-2", "--version", "1")


def goes(served: Served, name: str, state: str, *turns: Turn) -> None:
    """As the loop sees it."""
    ref = Ref("Rollout", name)
    told = dict(zip(("core-1", "core-2"), turns, strict=True))
    at = 1_700_000_060.0 if state in ("completed", "failed") else None
    progress = Progress("x", state, 1_700_000_000.0, at, told)  # type: ignore[arg-type]  # one of its words
    row = status_json(EMPTY, ref, Status(ref, "synced", "healthy", 0.0, "as it goes", progress), ())
    served.dialect.store.put_status({str(ref): row})


def created(envoyctl: Envoyctl, served: Served) -> str:
    made = envoyctl(*WORDS, "-o", "json")
    assert made.exit_code == 0, made.output
    served.dialect.follow()
    return str(json.loads(made.stdout)["name"])


def test_until_it_ends(envoyctl: Envoyctl, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line for each step in a pipe, and 0 at the end; a list shows it."""
    name = created(envoyctl, served)
    steps = iter([("in_progress", Turn("in_progress"))] * 2 + [("completed", Turn("completed"))])

    def between_two_looks(seconds: float) -> None:
        assert 0 < seconds <= 1
        state, second = next(steps)
        goes(served, name, state, Turn("completed"), second)

    clock = SimpleNamespace(sleep=between_two_looks, monotonic=time.monotonic)
    monkeypatch.setattr("api.client.commands.deploy.time", clock)
    watched = envoyctl("deploy", "watch", name, role="viewer")
    assert watched.exit_code == 0, watched.output
    assert [line.split("  ")[1] for line in watched.stdout.splitlines()] == [
        "pending: 0 completed, 0 in progress, 2 pending, 0 failed, of 2",
        "in_progress: 1 completed, 1 in progress, 0 pending, 0 failed, of 2",
        "completed: 2 completed, 0 in progress, 0 pending, 0 failed, of 2",
    ]
    row = next(line for line in envoyctl("deploy", "list").stdout.splitlines() if line.startswith(name))
    assert "2 of 2" in row


def test_one_that_fails(envoyctl: Envoyctl, served: Served) -> None:
    """1, and which proxy has not got it, and why; one that lasts too long is told apart."""
    name = created(envoyctl, served)
    late = envoyctl("deploy", "watch", name, "--timeout", "1")
    assert late.exit_code == LATE
    goes(served, name, "failed", Turn("completed"), Turn("failed", "Envoy refuses \x1b[2Jhttp"))
    failed = envoyctl("deploy", "watch", name)
    assert failed.exit_code == REFUSED
    assert "core-2  failed" in failed.stdout
    assert "Envoy refuses" in failed.stdout
    assert "\x1b" not in failed.output
    said = envoyctl("deploy", "watch", name, "-o", "json")
    assert said.exit_code == REFUSED
    assert json.loads(said.stdout.splitlines()[0])["status"] == "failed"


def test_what_is_not_deployed(envoyctl: Envoyctl, served: Served) -> None:
    """Versions that are not there, strategies that are not served, and too little said."""
    before = served.dialect.log()
    unknown = envoyctl("deploy", "create", "--proxy-ids", "core-1", "--version", "999")
    assert unknown.exit_code == INVALID
    assert "version: " in unknown.stderr
    canary = envoyctl(*WORDS, "--strategy", "canary")
    assert canary.exit_code == INVALID
    assert "deployment_strategy: canary is not served" in canary.stderr
    assert envoyctl("deploy", "create", "--proxy-ids", "core-1").exit_code == USAGE
    assert envoyctl("deploy", "create", "--proxy-ids", ",", "--version", "1").exit_code == USAGE
    assert served.dialect.log() == before
