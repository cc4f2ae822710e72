"""Whoever follows a store reads each change once, and nothing where nothing has changed."""

import time
from typing import Any

from sqlalchemy import event as listening
from sqlalchemy.engine import Engine

from reconciler.store import News, Store


def row(ref: str, sync: str = "synced") -> dict[str, object]:
    return {"ref": ref, "sync": sync, "instances": []}


def test_each_change_is_read_once(store: Store) -> None:
    """The first look reads all, each later one what was written, changed or dropped since."""
    store.put_status({"Host/a": row("Host/a"), "Host/b": row("Host/b")})
    store.put_state({"revision": "r1"})
    store.put_plan("r1", {"steps": []})
    store.event("status.synced", "Host/a", "x")
    following = store.following()
    first = following.look()
    assert first.status == {"Host/a": row("Host/a"), "Host/b": row("Host/b")}
    assert (first.anew, first.state, first.plan) == (True, {"revision": "r1"}, {"steps": []})
    assert [one.kind for one in first.events] == ["status.synced"]
    assert following.look() == News()
    assert not News()
    store.put_status({"Host/a": row("Host/a", "failed"), "Host/b": row("Host/b")})
    assert following.look() == News(status={"Host/a": row("Host/a", "failed")})
    # The newest goes and another comes: its number must not be the one that went.
    store.put_status({"Host/a": None})
    assert following.look() == News(status={"Host/a": None})
    store.put_status({"Host/c": row("Host/c")})
    assert following.look() == News(status={"Host/c": row("Host/c")})
    store.put_status({"Host/c": None, "Host/d": row("Host/d")})
    assert following.look() == News(status={"Host/c": None, "Host/d": row("Host/d")})
    store.add_outcomes([{"ref": "Host/d", "status": "done"}])
    assert following.look() == News(outcomes=({"ref": "Host/d", "status": "done"},))
    assert store.status(["Host/d", "Host/never"]) == {"Host/d": row("Host/d")}


def test_an_idle_look_is_cheap(store: Store) -> None:
    """With ten thousand resources, a look where nothing changed reads no status, and one change reads one."""
    store.put_status({f"Container/c-{n}": row(f"Container/c-{n}") for n in range(10_000)})
    following = store.following()
    assert len(following.look().status) == 10_000
    asked: list[str] = []

    def hear(*about: Any) -> None:
        asked.append(about[2])

    listening.listen(Engine, "before_cursor_execute", hear)
    begun = time.thread_time()
    for _ in range(20):
        assert following.look() == News()
    each_s = (time.thread_time() - begun) / 20
    listening.remove(Engine, "before_cursor_execute", hear)
    assert len(asked) >= 20
    assert not [statement for statement in asked if "FROM status" in statement]
    # A hundred times what it takes; to read ten thousand would take as much.
    assert each_s < 0.05
    store.put_status({"Container/c-7": row("Container/c-7", "failed")})
    assert len(following.look().status) == 1


def test_events_and_outcomes_back_and_forth(store: Store) -> None:
    """By their numbers, in either direction."""
    store.add_events([(f"kind.{n}", "", "") for n in range(5)])
    store.add_outcomes([{"n": n} for n in range(3)])
    happened = store.happened()
    assert happened.last_numbers() == (5, 3)
    assert [one.number for one in happened.events_before(5, 2)] == [4, 3]
    assert [one.number for one in happened.events_after(3, 9)] == [4, 5]
    assert happened.outcomes_before(3, 9) == [(2, {"n": 1}), (1, {"n": 0})]
    assert happened.outcomes_after(1, 1) == [(2, {"n": 1})]
