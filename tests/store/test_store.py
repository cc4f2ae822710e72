"""What the store keeps, and that it writes nothing when there is nothing to write."""

import os
import threading
import uuid
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest

from reconciler.core.model import Problem, Ref, Where
from reconciler.store import KeptCertificate, Store, StoreError, logs
from reconciler.store.tables import EVENTS, REVISIONS
from tests.store.conftest import Clock, Place, again


def test_keys_and_identity_are_made_once(store: Store, place: Place, clock: Clock) -> None:
    """The installation's id and keys are the same in every life, and differ from each other."""
    assert uuid.UUID(store.installation()).version == 4
    assert len({store.xds_key(), store.digest_key()}) == 2
    assert {len(store.xds_key()), len(store.digest_key())} == {32}
    other = again(place, clock)
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


def test_only_changed_rows_are_written(store: Store, place: Place, clock: Clock) -> None:
    """Ten thousand statuses that are as they were write nothing, also in a new life; one that changed writes one row."""
    rows = {f"Container/c-{n}": {"sync": "synced", "n": n} for n in range(10_000)}
    store.put_status(rows)
    written = store.writes
    store.put_status(rows)
    assert store.writes == written
    other = again(place, clock)
    other.put_status(rows)
    assert other.writes == 0
    assert other.status() == rows
    where = {"sqlite": "rowid", "postgresql": "ctid::text"}[place.backend]
    before = place.rows(f"SELECT {where}, name FROM status")
    other.put_status({**rows, "Container/c-5": {"sync": "failed"}, "Container/c-6": None, "Container/none": None})
    after = place.rows(f"SELECT {where}, name FROM status")
    assert {name for _, name in set(before) ^ set(after)} <= {"Container/c-5", "Container/c-6"}
    assert len(other.status()) == 9_999
    assert other.status()["Container/c-5"] == {"sync": "failed"}
    other.close()


def test_a_new_holder_of_the_lease_believes_the_database(store: Store, place: Place, clock: Clock) -> None:
    """What another holder has written meanwhile is seen, so that rows that differ are written again."""
    lease = store.acquire("control", "a", 15)
    assert lease is not None
    store.put_status({"Host/h": {"sync": "synced"}})
    store.release(lease)
    other = again(place, clock)
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


@pytest.mark.parametrize(
    "url",
    [
        "",
        "not a url",
        "sqlite://",
        "sqlite:///:memory:",
        "mysql://u:hunter2@h/x",
        "postgresql://u:hunter2@127.0.0.1:1/x",
        "postgresql://127.0.0.1:1/x?user=u&password=hunter2",
        "postgresql://u:hun@hunter2@h/x",
        "postgresql://u:hunter2@h:port/x",
        "postgresql://u:hunter2@127.0.0.1:1",
        "postgresql+asyncpg://u:hunter2@h/x",
        "sqlite:////nonexistent/deep/convoy.db",
        "sqlite:////proc/version",
    ],
)
def test_urls_that_are_no_store(url: str, clock: Clock) -> None:
    """One kind of error, which says what would do, and no password."""
    with pytest.raises(StoreError) as caught:
        Store(url, clock)
    assert "hunter2" not in str(caught.value)


def test_a_damaged_file_is_an_error(tmp_path: Path, clock: Clock) -> None:
    """Something else in the file's place is named, and left as it is."""
    path = tmp_path / "convoy.db"
    path.write_bytes(b"this is no database, but somebody's text" * 100)
    with pytest.raises(StoreError, match="the file is damaged"):
        Store(f"sqlite:///{path}", clock)
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


def test_errors_never_show_values(store: Store, place: Place) -> None:
    """A statement that fails does not put the key it was about to write into the error."""
    place.rows("DROP TABLE certificate_keys")
    with pytest.raises(StoreError) as caught:
        store.put_certificate(Ref("Certificate", "c"), KeptCertificate("d", b"hunter2", b"c", 1.0))
    error: BaseException | None = caught.value
    while error is not None:
        assert "hunter2" not in str(error)
        error = error.__cause__


def test_text_that_is_no_text(store: Store) -> None:
    """What programs say goes in whatever it holds: NUL, half a character, numbers beyond any size, a megabyte."""
    store.event("kind", "Host/h", "a\0b \ud800 ü")
    store.refuse("v\0", "1.40.0", "cds", "c\0", "no\0", 1.0)
    store.put_status({"Host/h": {"why": "a\0b \udc80", "n": 2**70}})
    store.record_revision("r\0", "refused", (Problem(Where("a\0.yaml", 1, 1), "what\0\ud800"),))
    store.put_plan("r", {"reason": "x" * 3_000_000})
    store.put_verdict("d", "nul\0")
    assert [event.message for event in store.events()] == ["a\N{SYMBOL FOR NULL}b ? ü"]
    assert list(store.refused().values()) == ["no\N{SYMBOL FOR NULL}"]
    assert store.status()["Host/h"]["n"] == str(2**70)
    assert store.last_plan() == {"reason": "x" * 3_000_000}
    current = store.current()
    assert current is not None
    assert current.problems[0].what.startswith("what")


def test_many_threads(store: Store) -> None:
    """Threads that write and read at once neither lose a row nor get in each other's way."""
    errors: list[Exception] = []

    def work(name: int) -> None:
        try:
            for number in range(20):
                # Some in one transaction and some in two: whoever waits for whom, nobody waits for ever.
                with store.batch() if name % 2 else nullcontext():
                    store.event("kind", f"Host/{name}", str(number))
                    store.put_status({f"Host/{name}": {"n": number}})
                    store.installation()
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


def test_closing_lets_go_of_the_file(tmp_path: Path, clock: Clock) -> None:
    """No descriptor stays open."""
    path = tmp_path / "convoy.db"
    store = Store(f"sqlite:///{path}", clock)
    store.installation()
    store.close()
    open_files = list[str]()
    for name in os.listdir("/proc/self/fd"):
        # What else this process has open may be closed at any moment.
        with suppress(FileNotFoundError):
            open_files.append(os.readlink(f"/proc/self/fd/{name}"))
    assert open_files
    assert not [name for name in open_files if str(path) in name]
