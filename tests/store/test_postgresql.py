"""What only a server can do to us: refuse, vanish, come back, keep us waiting, and have a clock of its own."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from reconciler.seams import Seams
from reconciler.store import Store, StoreError, postgresql
from tests.postgres import Server, execute
from tests.store.conftest import Clock, Place

pytestmark = pytest.mark.slow


@pytest.fixture
def server(postgres: Server) -> Iterator[Server]:
    """Running when the test begins, and again when it ends."""
    yield postgres
    postgres.stop()
    postgres.start()


@pytest.fixture
def shared(postgres: Server) -> Place:
    return Place(postgres.new())


def test_what_nobody_can_connect_to_is_an_error(postgres: Server) -> None:
    """It says which server and what to do, and never the password."""
    url = postgres.url("nowhere").replace("convoy@", "convoy:hunter2@")
    with pytest.raises(StoreError, match=r'database "nowhere" does not exist') as caught:
        Store(url, Seams())
    assert f"postgresql://{postgres.directory}/nowhere" in str(caught.value)
    with pytest.raises(StoreError, match="see whether PostgreSQL runs there") as other:
        Store("postgresql://convoy:hunter2@127.0.0.1:1/convoy", Seams())
    assert "hunter2" not in str(caught.value) + str(other.value)


def test_a_wrong_password_is_an_error_without_it(postgres: Server) -> None:
    """The server asks for one and refuses it: neither that password nor the right one is shown."""
    postgres.execute("CREATE ROLE locked LOGIN PASSWORD 'rightone'")
    access = postgres.directory / "data" / "pg_hba.conf"
    before = access.read_text()
    access.write_text(f"local all locked scram-sha-256\n{before}")
    try:
        postgres.execute("SELECT pg_reload_conf()")
        url = postgres.url("postgres").replace("convoy@", "locked:hunter2@")

        def refused() -> bool:
            try:
                execute(url, "SELECT 1")
            except Exception:  # noqa: BLE001 - whatever the driver calls it
                return True
            return False

        eventually(refused)
        with pytest.raises(StoreError, match=r"PGPASSFILE") as caught:
            Store(url, Seams())
        assert "hunter2" not in str(caught.value)
        assert "rightone" not in str(caught.value)
    finally:
        access.write_text(before)
        postgres.execute("SELECT pg_reload_conf()")


def test_without_the_driver_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library is an extra: without it there is a sentence, and no traceback."""

    def missing(*_: object, **__: object) -> None:
        raise ModuleNotFoundError("No module named 'psycopg'")

    monkeypatch.setattr(postgresql, "create_engine", missing)
    with pytest.raises(StoreError, match=r"pip install 'convoy-fleet\[postgres\]'"):
        Store("postgresql+psycopg://u@h/x", Seams())


def test_cut_connections_are_replaced(postgres: Server, shared: Place) -> None:
    """An administrator who ends our sessions costs at most the transaction that was under way."""
    store = Store(shared.url, Seams())
    store.event("kind", "Host/h", "before")
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'convoy'"
    shared.rows(cut)
    store.event("kind", "Host/h", "after")

    def lose() -> None:
        with store.batch():
            store.event("kind", "Host/h", "lost")
            shared.rows(cut)
            store.event("kind", "Host/h", "lost as well")

    with pytest.raises(StoreError, match="cannot write"):
        lose()
    store.event("kind", "Host/h", "at last")
    assert [event.message for event in store.events()] == ["before", "after", "at last"]
    store.close()


def test_a_server_that_was_away_is_used_again(server: Server) -> None:
    """While it is down everything is a StoreError; when it is back, the same Store goes on."""
    store = Store(server.new(), Seams())
    lease = store.acquire("control", "a", 3600)
    assert lease is not None
    store.put_status({"Host/h": {"n": 1}})
    server.stop()
    for attempt in (lambda: store.put_status({"Host/h": {"n": 2}}), store.events, lambda: store.check(lease)):
        with pytest.raises(StoreError, match="cannot"):
            attempt()
    server.start()
    assert store.check(lease)
    store.put_status({"Host/h": {"n": 2}})
    assert store.status() == {"Host/h": {"n": 2}}
    store.close()


def test_whoever_writes_is_waited_for(shared: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a while: then waiting to write ends with words, and whoever has been writing goes on."""
    monkeypatch.setattr(postgresql, "BUSY_S", 0.3)
    monkeypatch.setattr(postgresql, "STUCK_S", 600.0)
    with contextlib.closing(Store(shared.url, Seams())) as waiting, contextlib.closing(Store(shared.url, Seams())) as busy:
        with busy.batch():
            busy.event("kind", "Host/h", "first")
            with pytest.raises(StoreError, match="another process has been writing"):
                waiting.event("kind", "Host/h", "too early")
        waiting.event("kind", "Host/h", "in time")
        assert [event.message for event in waiting.events()] == ["first", "in time"]


def test_whoever_is_stuck_in_a_transaction_is_put_out(shared: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that stopped in the middle is cut off, and nothing of it was written."""
    monkeypatch.setattr(postgresql, "STUCK_S", 2.0)
    waiting, stuck = Store(shared.url, Seams()), Store(shared.url, Seams())

    def stop_in_the_middle() -> None:
        with stuck.batch():
            stuck.event("kind", "Host/h", "never")
            eventually(lambda: not shared.rows("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'"))
            waiting.event("kind", "Host/h", "in time")
            with pytest.raises(StoreError):
                stuck.event("kind", "Host/h", "never either")

    try:
        # Its connection is closed by then, or has only been told that it will be: the server takes its time.
        with pytest.raises(StoreError, match=r"part of it failed|the connection is lost"):
            stop_in_the_middle()
        assert [event.message for event in waiting.events()] == ["in time"]
    finally:
        waiting.close()
        stuck.close()


def test_events_become_visible_in_their_order(shared: Place) -> None:
    """Whoever follows the numbers while several write misses none."""
    store, reader = Store(shared.url, Seams()), Store(shared.url, Seams())
    others = [Store(shared.url, Seams()) for _ in range(3)]
    ended = threading.Event()

    def write(one: Store) -> None:
        for number in range(40):
            one.event("kind", "Host/h", str(number))

    seen: list[int] = []

    def follow() -> None:
        while True:
            last = ended.is_set()
            found = [event.number for event in reader.events(seen[-1] if seen else 0, 7)]
            seen.extend(found)
            if last and not found:
                return

    threads = [threading.Thread(target=write, args=(one,)) for one in others]
    following = threading.Thread(target=follow)
    for thread in (*threads, following):
        thread.start()
    for thread in threads:
        thread.join()
    ended.set()
    following.join()
    assert seen == list(range(1, 121))
    for one in (store, reader, *others):
        one.close()


def test_leases_are_compared_with_the_servers_clock(shared: Place) -> None:
    """Machines whose clocks are hours apart agree on who acts, for there is one clock that counts."""
    early, late = Clock(), Clock()
    early.time_s, late.time_s = 1000.0, 90_000.0
    first, second = Store(shared.url, early), Store(shared.url, late)
    lease = first.acquire("control", "a", 1000.0)
    assert lease is not None
    assert 0 < first.remaining(lease) <= 1000.0
    assert second.acquire("control", "b", 1000.0) is None
    assert second.holder("control") == "a"
    assert first.renew(lease, 1.0)
    eventually(lambda: second.holder("control") is None)
    assert not first.check(lease)
    assert second.acquire("control", "b", 1000.0) is not None
    assert not first.renew(lease, 1.0)
    first.close()
    second.close()


def test_schemas_of_one_database_are_stores_of_their_own(postgres: Server) -> None:
    """A search_path in the URL chooses one; who writes in one does not wait for the other."""
    url = postgres.new()
    stores = []
    for name in ("one", "two"):
        execute(url, f"CREATE SCHEMA {name}")
        stores.append(Store(f"{url}&options=-csearch_path%3D{name}", Seams()))
    one, two = stores
    with one.batch():
        one.event("kind", "Host/h", "in one")
        two.event("kind", "Host/h", "in two")
    assert [[event.message for event in store.events()] for store in stores] == [["in one"], ["in two"]]
    assert one.installation() != two.installation()
    for store in stores:
        store.close()


def test_closing_ends_every_session(shared: Place) -> None:
    """No connection stays open."""
    store = Store(shared.url, Seams())
    store.installation()
    ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'convoy' AND datname = current_database()"
    assert shared.rows(ours) != [(0,)]
    store.close()
    eventually(lambda: shared.rows(ours) == [(0,)])


def eventually(so: Callable[[], bool], within_s: float = 60.0) -> None:
    end = time.monotonic() + within_s
    while not so():
        assert time.monotonic() < end
        time.sleep(0.05)
