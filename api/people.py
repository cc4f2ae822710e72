"""Who asks: what is shown in `Authorization: Bearer …`, whose it is, and whether that may do what it is shown for."""

import uuid
from dataclasses import dataclass, replace
from functools import cache

from flask import Request

from api import signed
from api.audit import Asker
from reconciler.core.model import DEFAULT_TENANT
from reconciler.store import ROLES, SCOPES, KeptAccount, Store, Token
from reconciler.store.tokens import PREFIX

# What a role lets its holder do, in the words of tokens' scopes; and the other way round: as what a token may act at most.
SCOPES_OF = {
    "viewer": frozenset({"plan", "read"}),
    "operator": frozenset({"plan", "read", "write"}),
    "admin": frozenset({"plan", "read", "write", "manage"}),
}
# The surface whose answers know no tenants: what is asked there is about everything that is in Git.
WHOLE_FLEET = "convoy"
MOST_WITH = {"read": "viewer", "write": "operator", "manage": "admin"}


class Unknown(Exception):
    """Nobody we know. Why not is told to nobody."""


class Forbidden(Exception):
    """Somebody we know, who may not do this: the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who asks, and what it may do on the surface that it asks: `role` is one of ROLES. `id` and `tenant_id` are UUIDs.

    `narrowed`: it shows a token that may less than the account, and `role` is the token's.
    """

    id: str
    email: str
    username: str
    tenant: str
    tenant_id: str
    role: str
    narrowed: bool = False

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
            whose = "token may no more than" if self.narrowed else "account is"
            raise Forbidden(f"this takes the role {role}, and this {whose} {self.role}")


def who(store: Store, request: Request, surface: str) -> Account:
    """Asked before anything of the body is read; the log names whom it finds. Raises Unknown, Forbidden and StoreError."""
    return named(store, request, bearer(request), surface)


def named(store: Store, request: Request, shown: str, surface: str) -> Account:
    """The same where it was not shown in that header (a browser's WebSocket has none)."""
    kept, token = _shown(store, shown)
    known(request, kept.id, kept.email, kept.tenant)
    account = acting(store, kept, surface)
    if token is None:
        return account
    most = max((MOST_WITH[scope] for scope in token.scopes if scope in MOST_WITH), key=ROLES.index, default=None)
    if most is None:
        raise Forbidden(f"this token may {' and '.join(sorted(token.scopes)) or 'nothing'}, which is not enough here")
    narrowed = ROLES.index(most) < ROLES.index(account.role)
    return replace(account, role=most, narrowed=True) if narrowed else account


def acting(store: Store, kept: KeptAccount, surface: str) -> Account:
    """An account on this surface. Raises Forbidden where it has no role there."""
    role = kept.roles.get(surface)
    if role is None:
        raise Forbidden("this account has no role here")
    if surface == WHOLE_FLEET and kept.tenant != DEFAULT_TENANT:
        raise Forbidden(f"this account is of the tenant {kept.tenant}, and what is asked here is about the whole fleet")
    return Account(kept.id, kept.email, kept.username, kept.tenant, tenant_id(store.installation(), kept.tenant), role)


def _shown(store: Store, shown: str) -> tuple[KeptAccount, Token | None]:
    """Whose it is, and where it is a token of `convoy token`, that. Raises Unknown."""
    token = kept = None
    if shown.startswith(PREFIX):
        token = store.tokens.shown(shown)
        kept = store.accounts.get(token.account) if token is not None and token.account else None
    elif shown:
        claims = signed.read("access", shown, store.installation(), store.sessions.believed(), store.sessions.now())
        kept = store.sessions.whose(claims.session) if claims is not None else None
        if claims is None or kept is None or kept.id != claims.account:
            raise Unknown
    # Asked again with every request: what is shown outlives what was true when it was made.
    if kept is None or kept.status != "active":
        raise Unknown
    return kept, token


@cache
def tenant_id(installation: str, tenant: str) -> str:
    """A tenant is a name, which is all that Git knows of it; this is its UUID, the same for as long as the installation is."""
    return str(uuid.uuid5(uuid.UUID(installation), f"tenant/{tenant}"))


def bearer(request: Request) -> str:
    """What is shown; "" where nothing is."""
    scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
    return shown.strip() if scheme.lower() == "bearer" else ""


def asker(store: Store, request: Request, scope: str) -> Token:
    """Asked before anything of the body is read; the log names whom it finds. Raises Unknown, Forbidden and StoreError.

    On our own surface, an account is as a token with the scopes of its role.
    """
    shown = bearer(request)
    token = store.tokens.shown(shown) if shown.startswith(PREFIX) else None
    if token is None or token.account:
        kept, key = _shown(store, shown)
        known(request, kept.id, kept.email, kept.tenant)
        account = acting(store, kept, WHOLE_FLEET)
        scopes = SCOPES_OF[account.role] & (key.scopes if key is not None else frozenset(SCOPES))
        token = Token(account.id, account.email, account.id, scopes, 0.0, None, account.author)
    else:
        known(request, "", token.name, DEFAULT_TENANT)
    if scope not in token.scopes:
        raise Forbidden(f"this token may {' and '.join(sorted(token.scopes)) or 'nothing'}, and not {scope}")
    return token


def known(request: Request, account: str, by: str, tenant: str, *, proved: bool = True) -> None:
    """Whom the log and the audit name; `account` is an id, "" for a token that is nobody's."""
    request.environ["convoy.by"] = by if proved else ""
    request.environ["convoy.who"] = Asker(account, by, tenant, proved)
