"""`convoy confirm`, `suspend`, `resume`, `take-over`: what they keep, what they refuse, and how it is shown."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reconciler.bell import Bell
from reconciler.core import guard
from reconciler.rundir import run_directory
from reconciler.store import Store
from tests.cli.conftest import Convoy

CONFIRM = "bring its document back, or `convoy confirm Container/db`"


def row(ref: str, sync: str = "synced", why: str = "", owner: str = "") -> dict[str, Any]:
    shown = {"ref": ref, "sync": sync, "health": "healthy", "since": 1.0, "why": why, "owner": owner or ref}
    return {**shown, "declared": True, "where": "fleet.yaml:1", "instances": []}


@pytest.fixture
def held(store: Store) -> Store:
    """A fleet in which three deletes wait for a person, two of them as a lot."""
    store.put_status({ref: row(ref) for ref in ("Container/db", "Container/a-1", "Container/a-2", "ProxyGroup/edge")})
    store.put_status({"Container/a-1": row("Container/a-1", owner="Application/a"), "Application/a": row("Application/a")})
    waits = {"verb": "delete", "reason": "the budget", "release": guard.RELEASE_LOT}
    steps = [{"ref": f"Container/a-{n}", "held": [waits]} for n in (1, 2)]
    steps.append({"ref": "Container/db", "held": [{"verb": "delete", "reason": "has to be confirmed", "release": CONFIRM}]})
    steps.append({"ref": "Container/x", "held": [{"verb": "create", "reason": "no host", "release": "declare one"}]})
    store.put_plan("r1", {"steps": steps})
    return store


def given(store: Store) -> list[tuple[str, str, str]]:
    return [(one.verb, one.subject, one.reason) for one in store.orders()]


def test_confirm_one_and_the_lot(convoy: Convoy, held: Store) -> None:
    """A confirm is of what is shown: one by its name or its owner's, or all that the budget holds, and no other."""
    assert convoy("confirm", "Container/db", "--yes", "--reason", "it may go").exit_code == 0
    assert given(held) == [("confirm", "Container/db", "it may go")]
    result = convoy("confirm", "deletes", "--yes", "-o", "json")
    assert json.loads(result.stdout) == {"confirmed": ["Container/a-1", "Container/a-2"]}
    assert [event.ref for event in held.events() if event.kind == "order.confirm"] == [
        "Container/db",
        "Container/a-1",
        "Container/a-2",
    ]
    held.drop_orders(*((one.verb, one.subject) for one in held.orders()))
    assert convoy("confirm", "Application/a", "--yes").exit_code == 0
    assert given(held) == [("confirm", "Container/a-1", "")]


@pytest.mark.parametrize(("word", "instead"), [("hold", "`convoy suspend`"), ("release", "`convoy resume`")])
def test_words_of_others(convoy: Convoy, word: str, instead: str) -> None:
    """Who looks for a hold is told what it is called here."""
    result = convoy(word, "Application/a")
    assert result.exit_code == 2
    assert instead in result.stderr
    # While a shell completes the line, there is nobody to tell.
    line = {"_CONVOY_COMPLETE": "bash_complete", "COMP_WORDS": f"convoy {word} App", "COMP_CWORD": "2"}
    assert convoy(**line).exit_code == 0


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("confirm", "ProxyGroup/edge", "--yes"), "nothing waits for a confirm of ProxyGroup/edge"),
        (("confirm", "Container/dc", "--yes"), "did you mean Container/db"),
        (("confirm", "deletes"), "there is nobody to ask: say --yes"),
        (("suspend", "Container/nope", "--reason", "x"), "there is no Container/nope"),
        (("resume", "Container/db"), "Container/db is not suspended"),
        (("resume", "fleet"), "fleet is not suspended"),
        (("take-over", "6f0e", "--yes"), "nothing bears the mark of installation 6f0e"),
    ],
)
def test_what_says_nothing_is_refused(convoy: Convoy, held: Store, words: tuple[str, ...], error: str) -> None:
    """An order about something that is not there, or that nobody confirmed, is an error and is not kept."""
    result = convoy(*words)
    assert result.exit_code == 1
    assert error in result.stderr
    assert held.orders() == ()


def test_suspend_and_resume(convoy: Convoy, held: Store) -> None:
    """A suspension has a reason, an author and an end; it is shown by `status` until it is over or taken back."""
    begun = time.time()
    assert convoy("suspend", "fleet", "--reason", "the network", "--for", "2h").exit_code == 0
    assert convoy("suspend", "container/db", "--reason", "evidence", "--for", "ever").exit_code == 0
    fleet, db = sorted(held.orders(), key=lambda one: one.subject, reverse=True)
    assert fleet.until is not None
    assert abs(fleet.until - begun - 7200) < 60
    assert (db.subject, db.until) == ("Container/db", None)
    shown = convoy("status").stdout
    assert "suspended fleet for 1h more, by" in shown
    assert ": the network" in shown
    assert [one["subject"] for one in json.loads(convoy("status", "-o", "json").stdout)["orders"]] == ["Container/db", "fleet"]
    assert convoy("resume", "fleet").exit_code == 0
    assert ("resume", "fleet", "") in given(held)
    assert "suspended fleet" not in convoy("status").stdout


def test_suspend_wants_a_time_a_reason_and_something_that_is_done(convoy: Convoy, held: Store) -> None:
    """What is misspelt is refused as a command line; what nothing is done to by itself is explained."""
    held.put_status({"Cluster/c": row("Cluster/c")})
    assert convoy("suspend", "fleet").exit_code == 2
    result = convoy("suspend", "fleet", "--reason", "x", "--for", "2 weeks")
    assert result.exit_code == 2
    assert "is not a time like 90s" in result.stderr
    assert "suspend the ProxyGroup that carries it" in convoy("suspend", "Cluster/c", "--reason", "x").stderr


def test_what_was_stopped_by_a_fight_is_resumed(convoy: Convoy, held: Store) -> None:
    """Its status says how, and that is what is accepted."""
    held.put_status({"Container/db": row("Container/db", "held", "to go on: find out, then `convoy resume Container/db`")})
    assert convoy("resume", "Container/db").exit_code == 0
    assert given(held) == [("resume", "Container/db", "")]


def test_take_over_names_what_was_seen(convoy: Convoy, held: Store) -> None:
    """`status` shows whose marks are seen and how to take them; only such an installation can be taken over."""
    held.put_state({"revision": "r1", "converged": False, "foreign": {"6f0e": 3}})
    assert "things of installation 6f0e here, 3 in all, left alone" in convoy("status").stdout
    assert convoy("take-over", "6f0e", "--yes").exit_code == 0
    assert given(held) == [("take-over", "6f0e", "")]


def test_a_command_wakes_who_is_at_work(convoy: Convoy, held: Store, state: Path) -> None:
    """Nobody waits for the next look; and nobody being there, or a dead socket, is no error."""
    woken = threading.Event()
    bell = Bell(run_directory(state), woken.set)
    assert convoy("suspend", "fleet", "--reason", "x").exit_code == 0
    assert woken.wait(60)
    bell.close()
    bell.close()
    assert convoy("resume", "fleet").exit_code == 0


def test_no_convoy_has_worked_here(convoy: Convoy) -> None:
    """There is nothing to tell anybody, and it is said how to begin."""
    assert "start with `convoy apply` or `convoy serve`" in convoy("confirm", "deletes", "--yes").stderr


def test_a_lot_is_confirmed_at_once_and_read_once(convoy: Convoy, held: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """All the orders and events of one confirm are one write, and the rows are read once, however many wait."""
    waits = {"verb": "delete", "reason": "the budget", "release": guard.RELEASE_LOT}
    held.put_status({f"Container/b-{n}": row(f"Container/b-{n}", owner="Application/b") for n in range(60)})
    held.put_status({"Application/b": row("Application/b")})
    held.put_plan("r2", {"steps": [{"ref": f"Container/b-{n}", "held": [waits]} for n in range(60)]})
    calls: list[str] = []
    for name in ("status", "batch"):
        monkeypatch.setattr(Store, name, _counted(name, calls))
    assert convoy("confirm", "Application/b", "--yes").exit_code == 0
    assert len(held.orders()) == 60
    assert calls == ["status", "batch"]


def _counted(name: str, calls: list[str]) -> Callable[[Store], Any]:
    real: Callable[[Store], Any] = getattr(Store, name)

    def call(store: Store) -> Any:
        calls.append(name)
        return real(store)

    return call
