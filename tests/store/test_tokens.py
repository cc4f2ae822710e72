"""Tokens, on each database: made once, kept as hashes, counted until they expire or are revoked, and part of a backup."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from reconciler.seams import Seams
from reconciler.store import Store, TokenError
from reconciler.store import backup as backups
from reconciler.store.tokens import FORM, MOST
from tests.postgres import Place


class Clock(Seams):
    at = 1000.0

    def now(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(place: Place, clock: Clock) -> Iterator[Store]:
    with closing(Store(place.url, clock)) as opened:
        yield opened


def test_a_token_counts_until_it_expires(store: Store, clock: Clock) -> None:
    """For what it may do, and to the second."""
    made, shown = store.tokens.create("ci", ("plan", "read"), 60.0)
    assert FORM.fullmatch(shown)
    assert store.tokens.shown(shown) == made
    assert (made.scopes, made.at, made.until) == (frozenset({"plan", "read"}), 1000.0, 1060.0)
    clock.at = 1059.9
    assert store.tokens.shown(shown) == made
    clock.at = 1060.0
    assert store.tokens.shown(shown) is None
    assert store.tokens.every() == (made,)


def test_a_token_is_kept_as_a_hash(store: Store) -> None:
    """Nothing in the store is what is shown, or the secret part of it."""
    _, shown = store.tokens.create("ci", ("plan",), None)
    everything = repr(store.backup({}).rows)

    assert shown.split("_")[1] in everything
    assert shown.split("_")[2] not in everything
    assert [(one.kind, one.ref, one.message) for one in store.events()] == [("token.created", "Token/ci", "may plan")]


def test_what_is_no_token(store: Store) -> None:
    """Another secret, another id, no form at all: nobody."""
    _, shown = store.tokens.create("ci", ("plan",), None)
    _, id, secret = shown.split("_")
    for wrong in ("", shown[:-1], f"{shown} ", shown.upper(), f"cvy_{id}_{'0' * 64}", f"cvy_{'0' * 12}_{secret}", "\0", "é"):
        assert store.tokens.shown(wrong) is None
    assert store.tokens.shown(shown) is not None


def test_a_revoked_token_counts_no_more(store: Store) -> None:
    """At once, in every process; its name may be taken again, and then it is another one."""
    _, shown = store.tokens.create("ci", ("plan",), None)
    assert (store.tokens.revoke("ci"), store.tokens.revoke("ci")) == (True, False)
    assert store.tokens.shown(shown) is None
    _, again = store.tokens.create("ci", ("plan",), None)
    assert store.tokens.shown(shown) is None
    assert store.tokens.shown(again) is not None


def test_there_can_be_no_such_token(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name twice, a name that is none, more than anybody needs: each is told in words."""
    store.tokens.create("ci", ("plan",), None)
    with pytest.raises(TokenError, match="already"):
        store.tokens.create("ci", ("plan",), None)
    for name in ("", "-", "a/b", "A", "x" * 64, "a\nb"):
        with pytest.raises(TokenError, match="no name"):
            store.tokens.create(name, ("plan",), None)
    monkeypatch.setattr("reconciler.store.tokens.MOST", 1)
    assert MOST == 1000
    with pytest.raises(TokenError, match="revoke"):
        store.tokens.create("other", ("plan",), None)


def test_tokens_come_back_from_a_backup(store: Store, tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> None:
    """Whoever has one can use it at the Convoy that was restored."""
    made, shown = store.tokens.create("ci", ("plan",), 60.0)
    kept = backups.read(backups.written(store.backup({})))
    other = tmp_path_factory.mktemp("other") / "convoy.db"
    with closing(Store(f"sqlite:///{other}", clock)) as restored:
        restored.restore(kept, force=False)
        assert restored.tokens.shown(shown) == made
