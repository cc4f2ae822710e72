"""What requests are signed with, on each database: one secret of each account, and each signature once."""

import sqlite3
from contextlib import closing

import pytest

from reconciler.seams import Seams
from reconciler.store import AccountError, KeptAccount, Store, signatures
from reconciler.store.people_tables import SIGNATURES, SIGNING_SECRETS
from tests.committing import together
from tests.postgres import Place
from tests.store.conftest import Clock, again

GARBAGE = ("", "cvy_signing_x", 2**63 - 1, 1e300, b"\xff\x00")


@pytest.fixture
def ada(store: Store) -> KeptAccount:
    return store.accounts.create("ada@example.com", "acme", {"envoy-fleet": "operator"})


def test_a_secret_is_given_and_taken(store: Store, ada: KeptAccount) -> None:
    """By an e-mail in any case, another each time; what happened is told without it."""
    kept = store.signatures
    assert (kept.secret(ada.id), set(kept.accounts())) == (None, set())
    first, second = kept.give("ADA@example.com"), kept.give("ada@example.com")
    assert first != second
    assert first.startswith("cvy_signing_")
    assert (kept.secret(ada.id), set(kept.accounts())) == (second.encode(), {ada.id})
    assert store.tokens.shown(second) is None
    assert kept.take("ada@example.com")
    assert not kept.take("ada@example.com")
    assert kept.secret(ada.id) is None
    told = [one for one in store.events() if one.kind == "account.signing"]
    assert len(told) == 3
    assert not [one for one in (first, second) if one in repr(store.events())]
    for change in (kept.give, kept.take):
        with pytest.raises(AccountError, match="there is no account"):
            change("eve@example.com")


def test_a_signature_is_used_once(store: Store, ada: KeptAccount, clock: Clock) -> None:
    """By each account, for as long as it is remembered; what is over is forgotten, whoever asks next."""
    eve = store.accounts.create("eve@example.com", "acme", {})
    assert [store.signatures.use(ada.id, "s", 1100.0) for _ in range(2)] == ["first", "again"]
    assert store.signatures.use(eve.id, "s", 1100.0) == "first"
    clock.time_s = 1100.0
    assert store.signatures.use(ada.id, "s", 1100.0) == "again"
    clock.time_s = 1100.1
    assert store.signatures.use(eve.id, "t", 1200.0) == "first"
    assert store.signatures.use(ada.id, "s", 1200.0) == "first"


def test_so_many_are_remembered(store: Store, ada: KeptAccount, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each account; none is forgotten for another's sake."""
    eve = store.accounts.create("eve@example.com", "acme", {})
    monkeypatch.setattr(signatures, "MOST_USED", 2)
    assert [store.signatures.use(ada.id, one, 1100.0) for one in ("a", "b", "c", "a")] == [*["first"] * 2, "too many", "again"]
    assert store.signatures.use(eve.id, "a", 1100.0) == "first"
    clock.time_s = 1100.1
    assert store.signatures.use(ada.id, "c", 1200.0) == "first"


def test_of_many_at_once_one_is_the_first(store: Store, ada: KeptAccount, place: Place, clock: Clock) -> None:
    """Of several processes that share a store, too."""
    with closing(again(place, clock)) as other:
        uses = [lambda one=one: one.signatures.use(ada.id, "s", 1100.0) for one in [store, other] * 4]
        assert sorted(together(*uses)) == [*["again"] * 7, "first"]


def test_it_goes_with_its_account(store: Store, ada: KeptAccount) -> None:
    """Nothing is left that another of this e-mail could be signed with; a backup holds the secret, and no signatures."""
    secret = store.signatures.give(ada.email)
    store.signatures.use(ada.id, "s", 1100.0)
    rows = store.backup({}).rows
    assert rows["signing_secrets"] == [{"id": ada.id, "secret": secret.encode()}]
    assert "signatures" not in rows
    assert store.accounts.delete(ada.email)
    anew = store.accounts.create(ada.email, "acme", {})
    assert store.signatures.secret(anew.id) is store.signatures.secret(ada.id) is None
    assert store.signatures.accounts() == frozenset()


@pytest.mark.parametrize(("table", "column"), [(t.name, c.name) for t in (SIGNING_SECRETS, SIGNATURES) for c in t.columns])
def test_what_somebody_has_spoiled(tmp_path_factory: pytest.TempPathFactory, table: str, column: str) -> None:
    """It is no secret, and not none either, so that nothing unsigned is taken; others, and a new one, are as good as before."""
    for garbage in GARBAGE:
        database = tmp_path_factory.mktemp("spoiled") / "convoy.db"
        with closing(Store(f"sqlite:///{database}", Seams())) as store:
            ada, eve = (store.accounts.create(f"{name}@example.com", "acme", {}) for name in ("ada", "eve"))
            good = store.signatures.give(eve.email).encode()
            store.signatures.give(ada.email)
            store.signatures.use(ada.id, "s", 2e12)
            with closing(sqlite3.connect(database)) as raw:
                raw.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = (SELECT max(rowid) FROM {table})", (garbage,))
                raw.commit()
            assert store.signatures.secret(eve.id) == good
            if column == "secret":
                assert store.signatures.secret(ada.id) == (garbage if isinstance(garbage, bytes) else b""), garbage
            store.signatures.accounts()
            assert store.signatures.use(ada.id, "t", 2e12) == "first", garbage
            assert store.signatures.use(ada.id, "t", 2e12) == "again", garbage
            assert store.signatures.secret(ada.id) != good
            assert store.signatures.secret(ada.id) is None or store.signatures.give(ada.email)
