"""What one thread reads in a view is of one moment, on each database; and a view whose connection has gone begins anew."""

from collections.abc import Iterator
from contextlib import closing

import pytest
import sqlalchemy

from reconciler.store import Store, StoreError
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
