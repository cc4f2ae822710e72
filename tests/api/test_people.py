"""Who asks: an account is known by what it shows, and may do what its role says and what it was shown for, no more."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest
from flask import Request
from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder

from api.people import Account, Forbidden, Unknown, who
from reconciler.seams import Seams
from reconciler.store import Store
from tests.people import account, bearer, key

AT = "envoy-fleet"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(f"sqlite:///{tmp_path / 'convoy.db'}", Seams())) as opened:
        yield opened


def asks(store: Store, headers: dict[str, str], surface: str = AT) -> Account:
    return who(store, Request(EnvironBuilder(headers=Headers(headers)).get_environ()), surface)


def shows(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_an_account_is_known(store: Store) -> None:
    """By its key: as whom, of which tenant, and with its role; a tenant's UUID is the same for all of its accounts."""
    one, other = asks(store, bearer(store, "operator", tenant="acme")), asks(store, bearer(store, "viewer", tenant="acme"))
    assert (one.tenant, one.role, other.role) == ("acme", "operator", "viewer")
    assert one.tenant_id == other.tenant_id != asks(store, bearer(store, "viewer")).tenant_id
    assert UUID(one.id).version == 4
    assert one.author == f"{one.username} <{one.email}>"
    assert (one.may("viewer"), one.may("operator"), one.may("admin")) == (True, True, False)
    with pytest.raises(Forbidden, match="takes the role admin"):
        one.needs("admin")


def test_a_key_may_no_more_than_it_is_for(store: Store) -> None:
    """Nor more than whose it is: an admin's that may only read is a viewer's."""
    admin, viewer = account(store, "admin"), account(store, "viewer")
    roles = [asks(store, shows(key(store, admin, *scopes))).role for scopes in (("read",), ("read", "write"), ("manage",))]
    assert roles == ["viewer", "operator", "admin"]
    assert asks(store, shows(key(store, viewer))).role == "viewer"
    with pytest.raises(Forbidden):
        asks(store, shows(key(store, admin, "plan")))
    with pytest.raises(Forbidden, match="role admin, and this token may no more than operator"):
        asks(store, shows(key(store, admin, "read", "write"))).needs("admin")
    with pytest.raises(Forbidden, match="role admin, and this account is viewer"):
        asks(store, shows(key(store, viewer, "manage"))).needs("admin")


def test_who_has_no_role_here(store: Store) -> None:
    """An account without one, or with one elsewhere; and a token that is nobody's is not known at all."""
    for headers in (bearer(store, None), bearer(store, "admin", "convoy")):
        with pytest.raises(Forbidden):
            asks(store, headers)
    for shown in ("", "cvy_", store.tokens.create("ci", ("read", "write"), None)[1]):
        with pytest.raises(Unknown):
            asks(store, shows(shown))


def test_status_and_roles_count_at_once(store: Store) -> None:
    """What was true when a key was made is asked again with each request."""
    admin = account(store, "admin")
    shown = shows(key(store, admin))
    assert asks(store, shown).role == "admin"
    store.accounts.put_roles(admin.email, {AT: "viewer"})
    assert asks(store, shown).role == "viewer"
    store.accounts.put_status(admin.email, "disabled")
    with pytest.raises(Unknown):
        asks(store, shown)
    store.accounts.put_status(admin.email, "active")
    assert asks(store, shown).role == "viewer"
    store.accounts.delete(admin.email)
    with pytest.raises(Unknown):
        asks(store, shown)
