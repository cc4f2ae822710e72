"""What the store keeps, and that it writes nothing when there is nothing to write."""

import os
import sqlite3
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.core.model import Problem, Ref, Snapshot, Where, XdsResource
from reconciler.seams import Seams
from reconciler.store import KeptCertificate, Store, StoreError, logs, snapshots
from reconciler.store.tables import EVENTS, REVISIONS


class Clock(Seams):
    """A clock that a test turns, and a point that it fails."""

    def __init__(self) -> None:
        self.time_s, self.failing = 1000.0, ""

    def now(self) -> float:
        return self.time_s

    def point(self, name: str, *about: object) -> None:
        if name == self.failing:
            raise OSError(28, "No space left on device")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "convoy.db"


@pytest.fixture
def store(path: Path, clock: Clock) -> Iterator[Store]:
    opened = Store(f"sqlite:///{path}", clock)
    yield opened
    opened.close()


def again(path: Path, clock: Clock) -> Store:
    return Store(f"sqlite:///{path}", clock)


def resource(name: str, body: bytes, **more: object) -> XdsResource:
    where = Where("fleet/a.yaml", 7, 3)
    return XdsResource("cds", name, f"v-{body.decode()}", body, where, Ref("Cluster", name), **more)  # type: ignore[arg-type]


def test_keys_and_identity_are_made_once(store: Store, path: Path, clock: Clock) -> None:
    """The installation's id and keys are the same in every life, and differ from each other."""
    assert uuid.UUID(store.installation()).version == 4
    assert len({store.xds_key(), store.digest_key()}) == 2
    assert {len(store.xds_key()), len(store.digest_key())} == {32}
    other = again(path, clock)
    assert (other.installation(), other.xds_key(), other.digest_key()) == (
        store.installation(),
        store.xds_key(),
        store.digest_key(),
    )
    assert other.writes == 0
    other.close()


def test_the_file_is_ours_alone(tmp_path: Path, clock: Clock) -> None:
    """Keys are in it: nobody else may read it or its companions, also when it was readable before."""
    loose = tmp_path / "loose.db"
    loose.touch()
    loose.chmod(0o644)
    store = Store(f"sqlite:///{loose}", clock)
    store.xds_key()
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == dict.fromkeys(
        ("loose.db", "loose.db-wal", "loose.db-shm"), 0o600
    )
    store.close()


def test_one_holder_at_a_time(store: Store, clock: Clock) -> None:
    """While the lease runs nobody else gets it; each new holder has a new epoch, and the old one may not act any more."""
    first = store.acquire("control", "a", 15)
    assert first is not None
    assert first.epoch == 1
    assert store.acquire("control", "b", 15) is None
    clock.time_s += 14
    assert store.renew(first, 15)
    clock.time_s += 14
    assert store.check(first)
    clock.time_s += 1
    assert not store.check(first)
    second = store.acquire("control", "b", 15)
    assert second is not None
    assert second.epoch == 2
    assert not store.renew(first, 15)
    assert not store.check(first)
    store.release(first)
    assert store.check(second)


def test_a_lease_that_ran_out_may_go_on_if_nobody_took_it(store: Store, clock: Clock) -> None:
    """Whoever was slow, but alone, stays the holder under the same epoch."""
    lease = store.acquire("control", "a", 15)
    assert lease is not None
    clock.time_s += 100
    assert not store.check(lease)
    assert store.renew(lease, 15)
    assert store.check(lease)


def test_released_leases_are_free_and_epochs_never_repeat(store: Store) -> None:
    """After a release another holder need not wait, and the epoch goes on."""
    first = store.acquire("control", "a", 15)
    assert first is not None
    store.release(first)
    assert not store.check(first)
    second = store.acquire("control", "b", 15)
    assert second is not None
    assert second.epoch == 2


def test_a_restarted_holder_fences_its_former_self(store: Store) -> None:
    """The same holder gets the lease again at once, under a new epoch."""
    first = store.acquire("control", "a", 15)
    second = store.acquire("control", "a", 15)
    assert first is not None
    assert second is not None
    assert (first.epoch, second.epoch) == (1, 2)
    assert not store.check(first)
    assert store.check(second)


def test_a_clock_set_back_does_not_make_a_lease_eternal(store: Store, clock: Clock) -> None:
    """A lease that would run longer than it was given for does not hold."""
    assert store.acquire("control", "a", 15) is not None
    clock.time_s -= 3600
    assert store.acquire("control", "b", 15) is not None


def test_revisions_are_remembered_with_their_problems(store: Store, clock: Clock) -> None:
    """The last good revision is the newest good one; judging the current one again the same way writes nothing."""
    problem = Problem(Where("a.yaml", 3, 4), "unknown field", "did you mean port?", Ref("Host", "h", "tenant"))
    assert store.last_good() is None
    assert store.current() is None
    store.record_revision("r1", "good", ())
    store.record_revision("r2", "good", ())
    clock.time_s = 2000.0
    store.record_revision("r3", "refused", (problem,))
    written = store.writes
    store.record_revision("r3", "refused", (problem,))
    assert store.writes == written
    assert store.last_good() == "r2"
    current = store.current()
    assert current is not None
    assert (current.revision, current.status, current.problems, current.at) == ("r3", "refused", (problem,), 2000.0)
    store.record_revision("r1", "good", ())
    assert store.last_good() == "r1"


def test_logs_are_capped_and_the_last_good_revision_stays(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old rows go, numbers rise without gaps, and however many revisions were refused the last good one is known."""
    monkeypatch.setattr(logs, "KEPT", {**logs.KEPT, EVENTS: 20, REVISIONS: 20})
    store.record_revision("good", "good", ())
    for number in range(50):
        store.event("kind", "Host/h", f"m{number}")
        store.record_revision(f"bad{number}", "refused", ())
    events = store.events(0, 1000)
    assert [event.message for event in events] == [f"m{n}" for n in range(50 - len(events), 50)]
    assert 20 <= len(events) < 25
    assert [event.number for event in events] == list(range(51 - len(events), 51))
    assert [event.number for event in store.events(events[-2].number)] == [50]
    assert [event.number for event in store.events(events[0].number, 2)] == [events[1].number, events[2].number]
    assert store.last_good() == "good"


def test_plans_and_outcomes(store: Store) -> None:
    """The same plan again writes nothing; outcomes come newest first."""
    assert store.last_plan() is None
    store.put_plan("r1", {"b": 1, "a": [2]}, 5.0)
    written = store.writes
    store.put_plan("r1", {"a": [2], "b": 1}, 6.0)
    store.add_outcomes([])
    assert store.writes == written
    store.put_plan("r2", {"a": [3]}, 7.0)
    assert store.last_plan() == {"a": [3]}
    store.add_outcomes([{"n": 1}, {"n": 2}])
    assert store.outcomes() == [{"n": 2}, {"n": 1}]
    assert store.outcomes(1) == [{"n": 2}]


def test_only_changed_rows_are_written(store: Store, path: Path, clock: Clock) -> None:
    """Ten thousand statuses that are as they were write nothing, also in a new life; one that changed writes one row."""
    rows = {f"Container/c-{n}": {"sync": "synced", "n": n} for n in range(10_000)}
    store.put_status(rows)
    written = store.writes
    store.put_status(rows)
    assert store.writes == written
    other = again(path, clock)
    other.put_status(rows)
    assert other.writes == 0
    assert other.status() == rows
    with sqlite3.connect(path) as connection:
        before = connection.execute("SELECT rowid, name FROM status").fetchall()
    connection.close()
    other.put_status({**rows, "Container/c-5": {"sync": "failed"}, "Container/c-6": None, "Container/none": None})
    with sqlite3.connect(path) as connection:
        after = connection.execute("SELECT rowid, name FROM status").fetchall()
    connection.close()
    assert {name for _, name in set(before) ^ set(after)} <= {"Container/c-5", "Container/c-6"}
    assert len(other.status()) == 9_999
    assert other.status()["Container/c-5"] == {"sync": "failed"}
    other.close()


def test_a_new_holder_of_the_lease_believes_the_database(store: Store, path: Path, clock: Clock) -> None:
    """What another holder has written meanwhile is seen, so that rows that differ are written again."""
    lease = store.acquire("control", "a", 15)
    assert lease is not None
    store.put_status({"Host/h": {"sync": "synced"}})
    store.release(lease)
    other = again(path, clock)
    assert other.acquire("control", "b", 15) is not None
    other.put_status({"Host/h": {"sync": "held"}})
    other.close()
    clock.time_s += 60
    assert store.acquire("control", "a", 15) is not None
    store.put_status({"Host/h": {"sync": "synced"}})
    assert store.status() == {"Host/h": {"sync": "synced"}}


def test_state_of_the_fleet(store: Store) -> None:
    """One value, none at first."""
    assert store.state() is None
    store.put_state({"revision": "r1", "problems": []})
    written = store.writes
    store.put_state({"problems": [], "revision": "r1"})
    assert (store.state(), store.writes) == ({"revision": "r1", "problems": []}, written)


def test_refusals_outlive_us(store: Store, path: Path, clock: Clock) -> None:
    """What an Envoy has refused is known after a restart, by version of Envoy, in the words said first."""
    store.refuse("v1", "1.40.0", "cds", "web", "bad timeout", 5.0)
    written = store.writes
    store.refuse("v1", "1.40.0", "cds", "web", "other words", 6.0)
    assert store.writes == written
    store.refuse("v2", "1.41.0", "lds", "in", "no", 7.0)
    other = again(path, clock)
    assert other.refused() == {"v1": "bad timeout", "v2": "no"}
    assert other.refused("1.41.0") == {"v2": "no"}
    other.close()


def test_caps_by_age(store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verdicts and refusals are capped; the newest stay."""
    monkeypatch.setattr("reconciler.store.store.MOST_VERDICTS", 10)
    monkeypatch.setattr("reconciler.store.store.MOST_REFUSED", 10)
    for number in range(30):
        clock.time_s += 1
        store.put_verdict(f"d{number}", f"body{number}")
        store.refuse(f"v{number}", "1.40.0", "cds", "c", "no", clock.time_s)
    assert store.verdict("d29") == "body29"
    assert store.verdict("d0") is None
    assert 9 <= len(store.refused()) <= 10
    assert "v29" in store.refused()
    written = store.writes
    store.put_verdict("d29", "body29")
    assert store.writes == written


def test_last_good_snapshots_come_back_whole(store: Store, path: Path, clock: Clock) -> None:
    """Bytes, places and references come back as they were; a secret stays a name."""
    secret = XdsResource(
        "sds", "cert", "vs", b"", Where("b.yaml", 1, 1), Ref("Certificate", "c", "t"), secret=Ref("Certificate", "c", "t")
    )
    web = resource("web", b"\x00\xff".decode("latin-1").encode(), eds="web-eds", refers=(("eds", "web"), ("sds", "cert")))
    snapshot = Snapshot("s1", {"cds": {"web": web}, "sds": {"cert": secret}})
    store.put_good("edge-1", snapshot)
    other = again(path, clock)
    assert other.good("edge-1") == snapshot
    assert other.good("edge-2") is None
    other.put_good("edge-1", snapshot)
    assert other.writes == 0
    moved = Snapshot("s1", {"cds": {"web": resource("web", b"x")}})
    other.put_good("edge-1", moved)
    assert other.good("edge-1") == moved
    other.close()


def test_resources_are_kept_once_and_dropped_when_unused(store: Store, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand proxies with the same content are a thousand pointers; content nobody runs any more goes."""
    monkeypatch.setattr(snapshots, "SETS_PER_PRUNE", 4)
    same = {f"c{n}": resource(f"c{n}", f"body{n}".encode()) for n in range(20)}
    written = store.writes
    store.put_goods({f"edge-{n}": Snapshot("s1", {"cds": same, "eds": {}}) for n in range(1000)})
    assert store.writes == written + 1
    assert [counted(path, table) for table in ("goods", "sets", "blobs")] == [1000, 1, 20]
    for number in range(5):
        changed = {**same, "c0": resource("c0", f"new{number}".encode())}
        store.put_goods({f"edge-{n}": Snapshot(f"s{number}", {"cds": changed}) for n in range(1000)})
    assert counted(path, "sets") <= 3
    assert counted(path, "blobs") <= 23
    last = store.good("edge-999")
    assert last is not None
    assert last.resources["cds"] == changed


def counted(path: Path, table: str) -> int:
    return int(str(rows(path, f"SELECT count(*) FROM {table}")[0][0]))


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def test_certificates_and_their_keys(store: Store, path: Path, clock: Clock) -> None:
    """A key is in one table alone, and in no representation of what is given back."""
    ref = Ref("Certificate", "web")
    kept = KeptCertificate("digest", b"KEY-hunter2", b"CHAIN", 5000.0)
    assert store.certificate(ref) is None
    store.put_certificate(ref, kept)
    written = store.writes
    store.put_certificate(ref, kept)
    assert store.writes == written
    other = again(path, clock)
    assert other.certificate(ref) == kept
    renewed = KeptCertificate("digest", b"KEY-hunter3", b"CHAIN2", 6000.0)
    other.put_certificate(ref, renewed)
    assert store.certificate(ref) == renewed
    assert "hunter" not in repr(renewed)
    tables = [str(name) for (name,) in rows(path, "SELECT name FROM sqlite_master WHERE type = 'table'")]
    holding = [name for name in tables if b"KEY-hunter3" in repr(rows(path, f"SELECT * FROM {name}")).encode()]
    assert holding == ["certificate_keys"]
    store.opened(ref, "sds")
    assert [(event.kind, event.ref, event.message) for event in store.events()] == [("secret.opened", "Certificate/web", "sds")]
    other.close()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "not a url",
        "sqlite://",
        "sqlite:///:memory:",
        "postgresql://u:hunter2@127.0.0.1/x",
        "mysql://u:hunter2@h/x",
        "sqlite:////nonexistent/deep/convoy.db",
        "sqlite:////proc/version",
    ],
)
def test_urls_that_are_no_store(url: str, clock: Clock) -> None:
    """One kind of error, which says what would do, and no password."""
    with pytest.raises(StoreError) as caught:
        Store(url, clock)
    assert "hunter2" not in str(caught.value)


def test_a_damaged_file_is_an_error(path: Path, clock: Clock) -> None:
    """Something else in the file's place is named, and left as it is."""
    path.write_bytes(b"this is no database, but somebody's text" * 100)
    with pytest.raises(StoreError, match="the file is damaged"):
        again(path, clock)
    assert path.read_bytes().startswith(b"this is no database")


@pytest.mark.parametrize("point", ["store.read", "store.write", "store.commit"])
def test_failures_change_nothing(store: Store, clock: Clock, point: str) -> None:
    """A full disk at any point is a StoreError; afterwards what was not written is written."""
    store.put_status({"Host/a": {"n": 1}})
    written, clock.failing = store.writes, point
    changes = {"Host/a": {"n": 2}, "Host/b": {"n": 1}}
    attempt = store.status if point == "store.read" else lambda: store.put_status(changes)
    with pytest.raises(StoreError, match="No space left"):
        attempt()
    clock.failing = ""
    assert store.writes == written
    assert store.status() == {"Host/a": {"n": 1}}
    store.put_status(changes)
    assert store.status() == changes


def test_errors_never_show_values(store: Store, path: Path) -> None:
    """A statement that fails does not put the key it was about to write into the error."""
    connection = sqlite3.connect(path)
    connection.execute("DROP TABLE certificate_keys")
    connection.commit()
    connection.close()
    with pytest.raises(StoreError) as caught:
        store.put_certificate(Ref("Certificate", "c"), KeptCertificate("d", b"hunter2", b"c", 1.0))
    error: BaseException | None = caught.value
    while error is not None:
        assert "hunter2" not in str(error)
        error = error.__cause__


def test_many_threads(store: Store) -> None:
    """Threads that write and read at once neither lose a row nor get in each other's way."""
    errors: list[Exception] = []

    def work(name: int) -> None:
        try:
            for number in range(20):
                store.event("kind", f"Host/{name}", str(number))
                store.put_status({f"Host/{name}": {"n": number}})
                store.events(0, 5)
        except StoreError as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert [event.number for event in store.events(0, 1000)] == list(range(1, 121))
    assert store.status() == {f"Host/{name}": {"n": 19} for name in range(6)}


def test_closing_lets_go_of_the_file(path: Path, clock: Clock) -> None:
    """No descriptor stays open."""
    store = again(path, clock)
    store.installation()
    store.close()
    open_files = [
        os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")
    ]
    assert not [name for name in open_files if str(path) in name]
