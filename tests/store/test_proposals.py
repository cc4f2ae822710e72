"""Proposals, on each database: in their order, decided once, one for each key, and part of a backup."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import pytest

from reconciler.seams import Seams
from reconciler.store import Full, KeyReused, Proposal, Store, StoreError, proposals
from reconciler.store import backup as backups
from tests.drivers.world import soon
from tests.postgres import Place


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    with closing(Store(place.url, Seams())) as opened:
        yield opened


def test_each_is_decided_once(store: Store) -> None:
    """In the order in which they came; the first word about one stays."""
    made = [store.proposals.add("t", "", "d", {"n": n}) for n in range(5)]
    assert [one.body["n"] for one in store.proposals.waiting(3)] == [0, 1, 2]
    store.proposals.decide({made[0].id: ("committed", "r", {"x": 1}), made[1].id: ("refused", "", {})})
    store.proposals.decide({made[0].id: ("refused", "", {})})
    assert [one.body["n"] for one in store.proposals.waiting(10)] == [2, 3, 4]
    ended = store.proposals.decided([one.id for one in made])
    assert ended.keys() == {made[0].id, made[1].id}
    found = store.proposals.get(made[0].id)
    assert found is not None
    assert (found.state, found.revision, found.answer) == ("committed", "r", {"x": 1})
    assert store.proposals.get("none") is None


def test_what_was_asked_for_goes_when_it_is_decided(store: Store) -> None:
    """It is in Git then, or was refused, perhaps for a secret in it; what it was about stays."""
    made = store.proposals.add("t", "", "d", {"document": {"key": "open"}}, ["Cluster/a"])
    assert store.proposals.waiting(1)[0].body == made.body
    store.proposals.decide({made.id: ("refused", "", {})})
    found = store.proposals.get(made.id)
    assert found is not None
    assert (found.body, found.refs) == ({}, ("Cluster/a",))
    store.proposals.decide({made.id: ("committed", "r", {})})
    assert store.proposals.get(made.id) == found


def test_one_for_each_key_of_a_token(store: Store) -> None:
    """The same is found again, something else is an error, and another token's keys are its own."""
    first = store.proposals.add("t", "k", "d", {})
    assert store.proposals.add("t", "k", "d", {}).id == first.id
    assert store.proposals.add("u", "k", "e", {}).id != first.id
    with pytest.raises(KeyReused):
        store.proposals.add("t", "k", "e", {})


def test_many_at_one_time_are_one_transaction(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes while another writes is written with all who do: each gets its own answer, also where that is an error."""
    results: dict[int, Proposal | Exception] = {}

    def add(n: int) -> None:
        try:
            # Two under one key ask for the same, and one for something else.
            key, digest = ("k", "other" if n == 2 else "d") if n < 3 else ("", "d")
            results[n] = store.proposals.add("t", key, digest, {"n": n}, [f"Cluster/c{n}"])
        except StoreError as error:
            results[n] = error

    store.proposals.add("t", "k", "d", {"n": -1})
    added, begun = store.proposals._added, list[int]()
    write = added._write

    def writes(every: Sequence[Any]) -> Any:
        begun.append(len(every))
        return write(every)

    monkeypatch.setattr(added, "_write", writes)
    threads = [threading.Thread(target=add, args=(n,)) for n in range(20)]
    before = store.writes
    with store.batch():
        store.put_state({"busy": True})
        for thread in threads:
            thread.start()
        soon(lambda: sum(begun) + len(added._waiting) == 20)
    for thread in threads:
        thread.join()
    assert store.writes - before <= 4
    assert isinstance(results[2], KeyReused)
    made = [one for one in results.values() if isinstance(one, Proposal)]
    assert len(made) == 19
    assert {one.number for one in made} == set(range(1, 19))
    for n, one in results.items():
        assert n < 3 or (isinstance(one, Proposal) and one.refs == (f"Cluster/c{n}",))
    assert [one.number for one in store.proposals.waiting(100)] == list(range(1, 19))


def test_limits(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many may wait; of those that are decided the oldest go."""
    for name, number in {"MOST_WAITING": 3, "KEPT": 4, "TRIMMED_EVERY": 2}.items():
        monkeypatch.setattr(proposals, name, number)
    ids = [store.proposals.add("t", "", "d", {}).id for _ in range(3)]
    with pytest.raises(Full):
        store.proposals.add("t", "", "d", {})
    for _ in range(8):
        store.proposals.decide({ids[-1]: ("refused", "", {})})
        ids.append(store.proposals.add("t", "", "d", {}).id)
    kept = [id for id in ids if store.proposals.get(id) is not None]
    assert kept[:2] == ids[:2]
    assert len(kept) <= 8


def test_backups_hold_them(store: Store, place: Place) -> None:
    """What waited still waits where it is restored; its commit is known again there by its trailer."""
    waiting = store.proposals.add("t", "k", "d", {"x": 1})
    saved = store.backup({})
    store.restore(backups.Backup(saved.installation, saved.at, saved.rows), force=True)
    assert store.proposals.waiting(10) == (waiting,)
