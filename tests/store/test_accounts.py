"""Accounts, on each database: what can be one, what changes of one does to whoever acts as it, and what spoiled rows are."""

import sqlite3
from contextlib import closing

import pytest

from reconciler.seams import Seams
from reconciler.store import AccountError, Store, backup
from tests.people import key
from tests.postgres import Place

GARBAGE = ("", "admin\0", 2**63 - 1, 1e300, b"\xff\x00", None)


def test_an_account_is_kept(store: Store) -> None:
    """With its roles, by its id and by its e-mail in any case; without a password it has none."""
    made = store.accounts.create("Ada@Example.com", "acme", {"convoy": "viewer", "envoy-fleet": "admin"})
    assert (made.email, made.username, made.tenant, made.status) == ("ada@example.com", "Ada", "acme", "active")
    assert store.accounts.get(made.id) == store.accounts.of("ADA@example.COM") == store.accounts.every()[0] == made
    assert store.accounts.password(made.id) == ""
    assert store.accounts.put_password("ada@example.com", "$hash")
    assert store.accounts.password(made.id) == "$hash"


@pytest.mark.parametrize(
    "email", ["", "ada", "@b", "a@", "a b@c", "a@b\n", "a<b@c", 'a"@b', "a\x1b@b", "a@b..-", "a\u202eb@c", "a" * 65 + "@b"]
)
def test_what_is_no_email(store: Store, email: str) -> None:
    """Nothing that would end a header, a commit's author or a terminal's command."""
    with pytest.raises(AccountError):
        store.accounts.create(email, "acme", {})
    assert store.accounts.of(email) is None


def test_what_can_be_no_account(store: Store) -> None:
    """A second one of an e-mail, a tenant or a role that is none; nothing is left of the attempt."""
    store.accounts.create("ada@example.com", "acme", {})
    for email, tenant, roles in (
        ("ADA@example.com", "acme", {}),
        ("eve@example.com", "../acme", {}),
        ("eve@example.com", "acme", {"envoy-fleet": "root"}),
        ("eve@example.com", "acme", {"Envoy Fleet": "admin"}),
    ):
        with pytest.raises(AccountError):
            store.accounts.create(email, tenant, roles)
    assert [one.email for one in store.accounts.every()] == ["ada@example.com"]


def test_what_changes(store: Store) -> None:
    """Status and roles at once; of an account that is deleted nothing is left, its tokens neither."""
    made = store.accounts.create("ada@example.com", "acme", {"envoy-fleet": "admin"})
    token = key(store, made)
    assert store.accounts.put_status("ada@example.com", "disabled")
    assert store.accounts.put_roles("ada@example.com", {"envoy-fleet": None, "convoy": "viewer"})
    found = store.accounts.get(made.id)
    assert found is not None
    assert (found.status, found.roles) == ("disabled", {"convoy": "viewer"})
    assert store.accounts.delete("ada@example.com")
    assert store.accounts.get(made.id) is None
    assert store.tokens.shown(token) is None
    assert not any((store.accounts.delete("ada@example.com"), store.accounts.put_status("ada@example.com", "active")))
    assert [one.kind for one in store.events()] == [
        "account.created", "token.created", "account.disabled", "account.role", "account.role", "account.deleted"
    ]  # fmt: skip


def test_a_backup_holds_them(store: Store, tmp_path: object) -> None:
    """Accounts with roles and passwords are had back."""
    made = store.accounts.create("ada@example.com", "acme", {"envoy-fleet": "admin"}, hash="$hash")
    taken = backup.read(backup.written(store.backup({})))
    with closing(Store(f"sqlite:///{tmp_path}/other.db", Seams())) as other:
        other.restore(taken, force=False)
        assert other.accounts.every() == (made,)
        assert other.accounts.password(made.id) == "$hash"


@pytest.mark.parametrize("table", ["accounts", "roles", "passwords"])
def test_spoiled_rows_let_nobody_in(place: Place, table: str) -> None:
    """Whatever stands in a column, whoever is found has no role that nobody has given, and nothing fails."""
    if place.backend != "sqlite":
        pytest.skip("for SQLite alone: it takes anything anywhere")
    with closing(Store(place.url, Seams())) as store:
        made = store.accounts.create("ada@example.com", "acme", {"envoy-fleet": "viewer"}, hash="$hash")
        with closing(sqlite3.connect(place.url.removeprefix("sqlite:///"))) as raw:
            kept = raw.execute(f"SELECT * FROM {table}").fetchone()
            columns = [one[1] for one in raw.execute(f"PRAGMA table_info({table})")]
            for column, was in zip(columns, kept, strict=True):
                for garbage in GARBAGE:
                    try:
                        raw.execute(f"UPDATE {table} SET {column} = ?", (garbage,))
                    except (sqlite3.IntegrityError, OverflowError):
                        continue
                    raw.commit()
                    found = [store.accounts.get(made.id), store.accounts.of("ada@example.com"), *store.accounts.every()]
                    assert all(one is None or set(one.roles.values()) <= {"viewer"} for one in found)
                    assert isinstance(store.accounts.password(made.id), str)
                raw.execute(f"UPDATE {table} SET {column} = ?", (was,))
                raw.commit()
