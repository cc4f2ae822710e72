"""`convoy status` and `get`, from what the store keeps."""

import json
from pathlib import Path
from typing import Any

import pytest

from reconciler.commands.look import kind_of
from reconciler.commands.sources import Place, absolute, remembered
from reconciler.store import Store
from tests.cli.conftest import Convoy


def row(ref: str, sync: str = "synced", health: str = "healthy", **more: Any) -> dict[str, Any]:
    base = {
        "ref": ref,
        "sync": sync,
        "health": health,
        "since": 1.0,
        "why": "",
        "declared": True,
        "where": "a.yaml:1",
        "instances": [],
    }
    return base | more


def test_status_before_anything_has_run(convoy: Convoy, state: Path) -> None:
    """Nothing is in force, which is no error, and looking makes nothing."""
    result = convoy("status", "-o", "json")

    assert result.exit_code == 0
    assert json.loads(result.stdout)["converged"] is False
    assert not state.exists()
    assert convoy("status").stdout.startswith("nothing in force yet")


def test_status_from_the_store(convoy: Convoy, store: Store) -> None:
    """What the last Convoy saw, and that none is at work now."""
    problem = {"file": "e.yaml", "line": 3, "column": 2, "what": "bad", "hint": "mend it"}
    store.put_state({"revision": "r1", "refused": "r2", "unreadable": "", "problems": [problem], "converged": False})
    store.put_status({"Proxy/edge": row("Proxy/edge", "pending", "starting", why="missing"), "Host/local": row("Host/local")})
    text, answer = convoy("status").stdout, json.loads(convoy("status", "-o", "json").stdout)

    assert "e.yaml:3:2: bad" in text
    assert "no Convoy is at work here" in text
    assert text.index("Proxy/edge") < text.index("Host/local")
    assert answer["refused"] == "r2"
    assert answer["problems"] == [problem]
    assert answer["acting"] is False
    assert store.acquire("control", "me", 60) is not None
    assert json.loads(convoy("status", "-o", "json").stdout)["acting"] is True


def test_get_lists_and_shows(convoy: Convoy, store: Store) -> None:
    """All, one kind in any spelling, or one with its instances."""
    instance = {
        "instance": "abc",
        "host": "local",
        "state": "running",
        "health": "healthy",
        "ports": {"http": 20001},
        "since": 1.0,
    }
    rows = [row("Proxy/edge-1", instances=[instance | {"address": "127.0.0.1", "pid": 4711}]), row("Host/local")]
    store.put_status({one["ref"]: one for one in rows})

    assert [one["ref"] for one in json.loads(convoy("get", "-o", "json").stdout)] == ["Host/local", "Proxy/edge-1"]
    assert [one["ref"] for one in json.loads(convoy("get", "proxies", "-o", "json").stdout)] == ["Proxy/edge-1"]
    assert json.loads(convoy("get", "proxy/edge-1", "-o", "json").stdout)["instances"][0]["pid"] == 4711
    assert "127.0.0.1:20001" in convoy("get", "Proxy/edge-1").stdout
    assert json.loads(convoy("get", "certificates", "-o", "json").stdout) == []


def test_get_what_is_not_there(convoy: Convoy, store: Store) -> None:
    """The nearest name or kind is offered; before anything has run, how to start."""
    store.put_status({"Proxy/edge-1": row("Proxy/edge-1")})

    assert "did you mean Proxy/edge-1?" in convoy("get", "Proxy/edge-2").stderr
    assert "did you mean Proxy or ProxyGroup?" in convoy("get", "prox").stderr
    assert "did you mean Container?" in convoy("get", "contianer").stderr
    assert convoy("get", "Proxy/edge-2").exit_code == 1
    assert json.loads(convoy("get", "Proxy/edge-2", "-o", "json").stdout).keys() == {"error"}


def test_get_before_anything_has_run(convoy: Convoy) -> None:
    """There is nothing to list, and the message says how to begin."""
    result = convoy("get")

    assert result.exit_code == 1
    assert "convoy apply" in result.stderr


@pytest.mark.parametrize("word", ["proxy", "Proxy", "PROXIES", "proxys"])
def test_kinds_in_any_spelling(word: str) -> None:
    """People write plurals and small letters."""
    assert kind_of(word, {}) == "Proxy"
    assert kind_of("app", {}) == "Application"


def test_what_is_remembered_of_a_source_holds_no_password(tmp_path: Path) -> None:
    """A URL's user and password are needed for fetching alone, and the state directory is no place for them."""
    place = Place("https://me:hunter2@git.example/fleet.git", "main", "prod")
    place.remember(tmp_path)
    again = remembered(tmp_path)

    assert "hunter2" not in (tmp_path / "source.json").read_text()
    assert "hunter2" not in place.shown
    assert again is not None
    assert (again.branch, again.subdirectory) == ("main", "prod")


def test_a_path_stays_the_place_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A relative path means the directory the command was typed in; a URL is left alone."""
    monkeypatch.chdir(tmp_path)

    assert absolute("fleet.git") == str(tmp_path / "fleet.git")
    assert absolute("https://git.example/fleet.git") == "https://git.example/fleet.git"
