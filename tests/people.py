"""Accounts for tests: one of this role, with what it shows."""

import itertools

from reconciler.core.model import DEFAULT_TENANT
from reconciler.store import KeptAccount, Store, passwords

NUMBERS = itertools.count(1)
ALL = ("plan", "read", "write", "manage")


def account(
    store: Store,
    role: str | None,
    surface: str = "envoy-fleet",
    tenant: str = DEFAULT_TENANT,
    *,
    email: str = "",
    password: str = "",
) -> KeptAccount:
    """A new one; without a role where that is None, and without a password where none is given."""
    roles = {surface: role} if role is not None else {}
    hash = passwords.hashed(password) if password else ""
    return store.accounts.create(email or f"{role}-{next(NUMBERS)}@example.com".lower(), tenant, roles, hash=hash)


def key(store: Store, of: KeptAccount, *scopes: str) -> str:
    """A token that speaks for it, for all that it may or for these."""
    return store.tokens.create(f"key-{next(NUMBERS)}", scopes or ALL, None, account=of.id)[1]


def bearer(store: Store, role: str | None, surface: str = "envoy-fleet", tenant: str = DEFAULT_TENANT) -> dict[str, str]:
    """The header by which a new account of this role asks."""
    return {"Authorization": f"Bearer {key(store, account(store, role, surface, tenant))}"}
