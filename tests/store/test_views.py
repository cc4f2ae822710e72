"""What one thread reads in a view is of one moment, on each database; and a view whose connection has gone begins anew."""

from collections.abc import Iterator
from contextlib import closing

import pytest
import sqlalchemy

from reconciler.store import Store, StoreError
from reconciler.store.readers import LONGEST, MOST_CHARACTERS, MOST_KNOWN, Answers
from tests.store.conftest import Clock, Place, again


@pytest.fixture
def other(place: Place, clock: Clock) -> Iterator[Store]:
    with closing(again(place, clock)) as opened:
        yield opened


def test_a_view_is_of_one_moment(store: Store, other: Store) -> None:
    """Whatever others write; until this thread writes itself, or says that it looks again."""
    with store.view():
        assert store.status() == {}
        other.put_status({"Host/a": {"sync": "synced"}})
        assert store.status() == store.status(["Host/a"]) == {}
        store.refresh()
        assert store.status(["Host/a"]).keys() == {"Host/a"}
        other.put_status({"Host/b": {"sync": "synced"}})
        assert store.status().keys() == {"Host/a"}
        store.put_state({"revision": "r"})
        assert store.status().keys() == {"Host/a", "Host/b"}
    assert store.status().keys() == {"Host/a", "Host/b"}


def test_what_fails_in_a_view_ends_no_more_than_that(store: Store, place: Place) -> None:
    """A question that the database does not take, and a database that was gone for a moment: the next is answered again."""
    store.put_status({"Host/a": {"sync": "synced"}})
    with store.view():
        assert store.status().keys() == {"Host/a"}
        with pytest.raises(StoreError), store._database.reading("nonsense") as connection:
            connection.exec_driver_sql("SELECT nothing FROM nowhere")
        assert store.status().keys() == {"Host/a"}
        if place.url.startswith("postgresql"):
            engine = sqlalchemy.create_engine(place.url)
            with closing(engine.raw_connection()) as cutting:
                others = "datname = current_database() AND pid <> pg_backend_pid()"
                cutting.cursor().execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
            engine.dispose()
            with pytest.raises(StoreError):
                store.status()
            assert store.status().keys() == {"Host/a"}
    assert store.status().keys() == {"Host/a"}


def test_what_is_known_by_heart_is_as_it_is(store: Store, other: Store) -> None:
    """Asked again in the same words, whoever has written meanwhile, and in whichever process: what a view finds is what stands
    there when it begins, and what is given back is its reader's own."""
    for n, writer in enumerate((store, other, store, other)):
        writer.put_status({"Host/a": {"n": n}})
        for _ in range(2):
            with store.view():
                rows = store.status(["Host/a"])
                assert rows == {"Host/a": {"n": n}}
                rows["Host/a"]["n"] = rows["Host/b"] = {}
    with store.view():
        assert store.status(["Host/a"]) == {"Host/a": {"n": 3}}
        other.put_status({"Host/a": None})
        assert store.status(["Host/a"]) == {"Host/a": {"n": 3}}
        store.refresh()
        assert store.status(["Host/a"]) == {}


def test_what_was_made_of_one_state_is_told_of_no_other(store: Store, other: Store) -> None:
    """As often as it is asked for while nobody writes, and not where that view has ended while it was made."""
    made: list[object] = []

    def make() -> bytes:
        made.append(store.status().get("Host/a"))
        return str(made[-1]).encode()

    def told() -> bytes:
        with store.view():
            return store.by_heart(("of a test",), make)

    for n, writer in enumerate((other, store, other)):
        writer.put_status({"Host/a": {"n": n}})
        assert {told() for _ in range(3)} == {f"{{'n': {n}}}".encode()}
    with store.view():
        store.status()
        other.put_status({"Host/a": {"n": 7}})

        def late() -> bytes:
            store.refresh()
            return make()

        assert store.by_heart(("another",), late) == b"{'n': 7}"
    other.put_status({"Host/a": {"n": 8}})
    with store.view():
        assert store.by_heart(("another",), make) == b"{'n': 8}"
    before = len(made)
    assert store.by_heart(("of a test",), make) == b"{'n': 8}"
    assert len(made) == before + 1


def test_only_so_much_is_known_by_heart() -> None:
    """Of each connection: so many answers, so long, and all of one state."""
    answers = Answers(None)
    answers.seen(1)
    answers.put("long", [("x",)] * (LONGEST + 1))
    answers.put("large", [("x" * (MOST_CHARACTERS + 1),)])
    assert answers.get("long") is answers.get("large") is None
    answers.seen(2)
    for n in range(MOST_KNOWN + 1):
        answers.put(n, [("x", n)])
    assert [answers.get(n) for n in (0, MOST_KNOWN)] == [[("x", 0)], None]
    answers.seen(2)
    assert answers.get(0) == [("x", 0)]
    answers.seen(3)
    assert answers.get(0) is None
