"""Words accounts: their list, and the one that a new Convoy prints once."""

from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.core.show_holds import ago
from reconciler.core.show_layout import Page, Span, Table, text, words


def account_json(
    id: str,
    email: str,
    username: str,
    tenant: str,
    status: str,
    at: float,
    roles: Mapping[str, str],
    tokens: Iterable[str],
    *,
    signs: bool = False,
) -> dict[str, Any]:
    """One account; `roles`: surface ⇒ role, `tokens` the names of those that speak for it, `signs`: it has a signing secret. No
    secret is anywhere near."""
    about = {"id": id, "email": email, "username": username, "tenant": tenant, "status": status, "at": at, "signs": signs}
    return about | {"roles": dict(sorted(roles.items())), "tokens": sorted(tokens)}


def accounts(listed: Iterable[Mapping[str, Any]], now: float) -> Page:
    """Rows as `account_json` makes them."""
    rows = tuple(
        (
            words(str(one["email"]), "name"),
            words(str(one["tenant"])),
            words(f"{one['status']}, signs" if one["signs"] else one["status"], "dim" if one["status"] == "active" else "bad"),
            words(roles(one["roles"])) if one["roles"] else words("none", "wait"),
            words(", ".join(one["tokens"]) or "-"),
            words(f"{ago(now - one['at'])} ago", "dim"),
        )
        for one in listed
    )
    if not rows:
        return (text("no account; make one with ", Span("convoy account create EMAIL --role SURFACE=ROLE", "strong")),)
    return (Table(("ACCOUNT", "TENANT", "STATUS", "ROLES", "TOKENS", "MADE"), rows),)


def roles(given: Mapping[str, str]) -> str:
    return ", ".join(f"{role} on {surface}" for surface, role in sorted(given.items())) or "no role"


def first_account(email: str, password: str) -> str:
    """What a person at a terminal is told who starts a Convoy that knows nobody yet."""
    return f"this Convoy knew nobody: log in as {email} with the password {password} (shown once; `convoy account` changes it)"
