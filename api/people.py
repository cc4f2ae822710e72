"""Who asks: what is shown in `Authorization: Bearer …`, whose it is, and whether that may do what it is shown for."""

import uuid
from dataclasses import dataclass
from functools import cache

from flask import Request

from reconciler.store import ROLES, KeptAccount, Store, Token

# What a role lets its holder do, in the words of tokens' scopes; and the other way round: as what a token may act at most.
SCOPES_OF = {
    "viewer": frozenset({"plan", "read"}),
    "operator": frozenset({"plan", "read", "write"}),
    "admin": frozenset({"plan", "read", "write", "manage"}),
}
MOST_WITH = {"read": "viewer", "write": "operator", "manage": "admin"}


class Unknown(Exception):
    """Nobody we know. Why not is told to nobody."""


class Forbidden(Exception):
    """Somebody we know, who may not do this: the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who asks, and what it may do on the surface that it asks: `role` is one of ROLES. `id` and `tenant_id` are UUIDs."""

    id: str
    email: str
    username: str
    tenant: str
    tenant_id: str
    role: str

    @property
    def author(self) -> str:
        """As whom it commits."""
        return f"{self.username} <{self.email}>"

    def may(self, role: str) -> bool:
        """Whether it has this role, or one above it."""
        return ROLES.index(self.role) >= ROLES.index(role)

    def needs(self, role: str) -> None:
        """Raises Forbidden."""
        if not self.may(role):
            raise Forbidden(f"this takes the role {role}, and this account is {self.role}")


def who(store: Store, request: Request, surface: str) -> Account:
    """Asked before anything of the body is read; the log names whom it finds. Raises Unknown, Forbidden and StoreError."""
    return named(store, request, bearer(request), surface)


def named(store: Store, request: Request, shown: str, surface: str) -> Account:
    """The same where it was not shown in that header (a browser's WebSocket has none)."""
    kept, most = _shown(store, shown)
    request.environ["convoy.by"] = kept.email
    role = kept.roles.get(surface)
    if role is None or most is None:
        raise Forbidden("this account has no role here")
    role = min(role, most, key=ROLES.index)
    return Account(kept.id, kept.email, kept.username, kept.tenant, tenant_id(store.installation(), kept.tenant), role)


def _shown(store: Store, shown: str) -> tuple[KeptAccount, str | None]:
    """Whose it is, and the role that it can have at most."""
    token = store.tokens.shown(shown)
    if token is None or not token.account:
        raise Unknown
    kept = store.accounts.get(token.account)
    if kept is None or kept.status != "active":
        raise Unknown
    roles = [MOST_WITH[scope] for scope in token.scopes if scope in MOST_WITH]
    return kept, max(roles, key=ROLES.index, default=None)


@cache
def tenant_id(installation: str, tenant: str) -> str:
    """A tenant is a name, which is all that Git knows of it; this is its UUID, the same for as long as the installation is."""
    return str(uuid.uuid5(uuid.UUID(installation), f"tenant/{tenant}"))


def bearer(request: Request) -> str:
    """What is shown; "" where nothing is."""
    scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
    return shown.strip() if scheme.lower() == "bearer" else ""


def asker(store: Store, request: Request, scope: str) -> Token:
    """Asked before anything of the body is read; the log names whom it finds. Raises Unknown, Forbidden and StoreError."""
    token = store.tokens.shown(bearer(request))
    # A token of somebody's speaks for him, and for whom that is asks `who`.
    if token is None or token.account:
        raise Unknown
    if scope not in token.scopes:
        raise Forbidden(f"this token may {' and '.join(sorted(token.scopes)) or 'nothing'}, and not {scope}")
    request.environ["convoy.by"] = token.name
    return token
