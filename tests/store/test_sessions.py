"""Sessions, on each database: refreshed once with each secret, ended at once; keys in turn; and who fails too often waits."""

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing

import pytest

from reconciler.seams import Seams
from reconciler.store import KeptAccount, Store, passwords
from reconciler.store.passwords import PasswordError
from reconciler.store.sessions import FORGOTTEN_S, KEY_LASTS_S, LASTS_S, MOST_SESSIONS
from tests.postgres import Place
from tests.store.conftest import Clock


@pytest.fixture
def ada(store: Store) -> KeptAccount:
    return store.accounts.create("ada@example.com", "acme", {"envoy-fleet": "operator"}, hash="$hash")


def test_a_session_is_its_accounts_until_it_ends(store: Store, ada: KeptAccount, clock: Clock) -> None:
    """By logging out, which may be done again; by its age, however often it is refreshed; by what becomes of the account."""
    id, secret, until = store.sessions.open(ada.id)
    assert (store.sessions.whose(id), until) == (ada, 1000.0 + LASTS_S)
    store.sessions.end(id)
    store.sessions.end(id)
    assert store.sessions.whose(id) is None
    assert store.sessions.refresh(id, secret) is None

    id, secret, _ = store.sessions.open(ada.id)
    clock.time_s += LASTS_S - 1
    following = store.sessions.refresh(id, secret)
    assert following is not None
    assert following[1] == until
    clock.time_s += 1
    assert store.sessions.whose(id) is None
    assert store.sessions.refresh(id, following[0]) is None

    changes: tuple[Callable[[], bool], ...] = (
        lambda: store.accounts.put_status(ada.email, "disabled"),
        lambda: store.accounts.put_password(ada.email, "$other"),
        lambda: store.accounts.delete(ada.email),
    )
    for change in changes:
        id, secret, _ = store.sessions.open(ada.id)
        assert store.sessions.whose(id) is not None
        assert change()
        assert store.sessions.whose(id) is None
        assert store.sessions.refresh(id, secret) is None


def test_a_secret_that_was_used_ends_the_session(store: Store, ada: KeptAccount) -> None:
    """For whoever has the next one too; other sessions go on, and it can be read what happened."""
    other, _, _ = store.sessions.open(ada.id)
    id, first, _ = store.sessions.open(ada.id)
    second = store.sessions.refresh(id, first)
    assert second is not None
    assert store.sessions.refresh(id, first) is None
    assert store.sessions.refresh(id, second[0]) is None
    assert store.sessions.whose(id) is None
    assert store.sessions.whose(other) == ada
    last = store.events()[-1]
    assert (last.kind, last.ref) == ("account.session-reused", "Account/ada@example.com")


def test_no_secret_is_kept(store: Store, ada: KeptAccount, place: Place) -> None:
    """Whoever reads the table can refresh nothing."""
    id, secret, _ = store.sessions.open(ada.id)
    assert secret not in repr(place.rows("SELECT * FROM sessions"))
    assert store.sessions.refresh(id, secret) is not None


def test_there_are_only_so_many(store: Store, ada: KeptAccount, clock: Clock, place: Place) -> None:
    """The oldest of an account goes; what is over is not kept."""
    first = store.sessions.open(ada.id)[0]
    for _ in range(MOST_SESSIONS):
        clock.time_s += 1
        last = store.sessions.open(ada.id)[0]
    assert store.sessions.whose(first) is None
    assert store.sessions.whose(last) == ada
    assert place.counted("sessions") == MOST_SESSIONS
    clock.time_s += LASTS_S
    store.sessions.open(ada.id)
    assert place.counted("sessions") == 1


def test_two_keys_are_believed(store: Store, clock: Clock) -> None:
    """The newest signs; it is made when the first token is, again when it has signed for long enough, or when somebody asks."""
    assert store.sessions.believed() == ()
    first = store.sessions.signing()
    assert store.sessions.signing() == first
    second = store.sessions.rotate()
    assert store.sessions.believed() == (second, first)
    clock.time_s += KEY_LASTS_S + 1
    third = store.sessions.signing()
    assert store.sessions.believed() == (third, second)
    assert store.sessions.rotate(second) == third
    assert len({first.key, second.key, third.key}) == 3
    assert all(repr(one.key) not in repr(one) for one in (first, second, third))


def test_who_fails_too_often_waits(store: Store, clock: Clock) -> None:
    """Longer each time; per account, whether there is one or not; an attempt that succeeds was none that failed."""
    for _ in range(5):
        assert store.sessions.attempt("eve@example.com", "192.0.2.1") == 0.0
    assert store.sessions.attempt("Eve@example.com", "192.0.2.1") == 0.0
    assert store.sessions.attempt("eve@example.com", "192.0.2.9") == 30.0
    assert store.sessions.attempt("ada@example.com", "192.0.2.1") == 0.0
    clock.time_s += 30
    assert store.sessions.attempt("eve@example.com", "192.0.2.2") == 0.0
    assert store.sessions.attempt("eve@example.com", "192.0.2.2") == 60.0
    store.sessions.unlock("EVE@example.com")
    assert store.sessions.attempt("eve@example.com", "192.0.2.2") == 0.0
    for _ in range(50):
        assert store.sessions.attempt("ada@example.com", "192.0.2.3") == 0.0
        store.sessions.succeeded("ada@example.com", "192.0.2.3")


def test_many_at_once_are_all_counted(place: Place) -> None:
    """None is free because others are being looked at; two processes share what is counted."""
    with closing(Store(place.url, Seams())) as one, closing(Store(place.url, Seams())) as other:
        together, waits = threading.Barrier(20), list[float]()

        def attempt(n: int) -> None:
            together.wait(240)
            waits.append((one, other)[n % 2].sessions.attempt("ada@example.com", f"192.0.2.{n}"))

        threads = [threading.Thread(target=attempt, args=(n,)) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(waits) == 20
    assert sum(wait_s == 0 for wait_s in waits) == 6


def test_an_address_that_tries_many_waits(store: Store, clock: Clock) -> None:
    """Whatever accounts it tries; others from elsewhere do not, and after a while it may again."""
    for number in range(31):
        assert store.sessions.attempt(f"{number}@example.com", "192.0.2.1") == 0.0
    assert store.sessions.attempt("31@example.com", "192.0.2.1") == 60.0
    store.sessions.succeeded("30@example.com", "192.0.2.9")
    assert store.sessions.attempt("31@example.com", "192.0.2.2") == 0.0
    clock.time_s += FORGOTTEN_S
    assert store.sessions.attempt("32@example.com", "192.0.2.1") == 0.0


def test_what_was_typed_is_not_kept(store: Store, place: Place) -> None:
    """Some type their password where the e-mail goes."""
    store.sessions.attempt("correct horse battery", "192.0.2.1")
    assert "correct" not in repr(place.rows("SELECT * FROM lockouts"))


def test_a_password_is_hashed() -> None:
    """With Argon2id at today's costs; it fits, another does not, nor does any where there is no hash, or a spoiled one."""
    hash = passwords.hashed("correct horse battery")
    assert hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert passwords.fits(hash, "correct horse battery")
    assert not passwords.outdated(hash)
    for other, tried in (
        (hash, "correct horse batterz"),
        ("", ""),
        ("", "x"),
        ("$argon2id$", "x"),
        ("x", "x"),
        (hash, "\udcff"),
    ):
        assert not passwords.fits(other, tried)
    assert passwords.outdated("$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$" + "A" * 43)
    for none in ("", "short", "x" * 257, "with a\nline break", "with a \x1b escape"):
        with pytest.raises(PasswordError) as caught:
            passwords.hashed(none)
        assert none not in str(caught.value) or not none


@pytest.mark.parametrize("table", ["sessions", "signing_keys", "lockouts"])
def test_spoiled_rows_are_as_if_they_were_not_there(place: Place, table: str) -> None:
    """Whatever stands in a column, nobody is let in that was not, and nothing fails."""
    if place.backend != "sqlite":
        pytest.skip("for SQLite alone: it takes anything anywhere")
    with closing(Store(place.url, Seams())) as store:
        ada = store.accounts.create("ada@example.com", "acme", {})
        id, _, _ = store.sessions.open(ada.id)
        store.sessions.signing()
        store.sessions.attempt("ada@example.com", "192.0.2.1")
        with closing(sqlite3.connect(place.url.removeprefix("sqlite:///"))) as raw:
            columns = [one[1] for one in raw.execute(f"PRAGMA table_info({table})")]
            for column in columns:
                for garbage in ("", "x", 2**63 - 1, 1e300, b"\xff\x00", -1):
                    try:
                        raw.execute(f"UPDATE {table} SET {column} = ?", (garbage,))
                    except sqlite3.IntegrityError:
                        continue
                    raw.commit()
                    assert store.sessions.whose(id) in (None, ada)
                    assert store.sessions.refresh(id, "guessed") is None
                    assert all(len(one.key) == 32 for one in store.sessions.believed())
                    assert len(store.sessions.signing().key) == 32
                    assert store.sessions.attempt("ada@example.com", "192.0.2.1") <= FORGOTTEN_S
                    store.sessions.succeeded("ada@example.com", "192.0.2.1")
