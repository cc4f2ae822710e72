"""Every route of every surface, asked by everybody: closed unless a role opens it. What is given away across tenants, looks
envoy_fleet/test_tenants.py.

The routes are read from the apps' own URL maps, so that one that is added is asked as well.
"""

import re
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from flask import Flask
from werkzeug.test import Client, TestResponse

from api import changes, create_app, signed
from api.limits import Limits
from api.reach import Reach
from api.signed import Claims
from api.surfaces import SURFACES
from api.surfaces.envoy_fleet import operations as served
from api.surfaces.envoy_fleet import rates as counted
from api.surfaces.envoy_fleet.contract import contract, operations
from reconciler.log import Log
from reconciler.seams import Seams
from reconciler.store import ROLES, Store
from tests import people
from tests.api.envoy_fleet.playing import without_ids

# What takes another role than its method says: looking does not change anything, and whoever may not change has no proposals.
NEEDS = {("convoy", "plan"): "viewer", ("convoy", "proposal"): "operator"}
ANOTHERS = "acme"


class Route(NamedTuple):
    surface: str
    endpoint: str
    method: str
    path: str

    @property
    def needs(self) -> str:
        """The least role that may ask, "" where nobody in particular has to."""
        operation = operations().get(self.endpoint) if self.surface == "envoy-fleet" else None
        if operation is not None and operation.open:
            return ""
        if self.endpoint in served.FOR_ADMINS:
            return "admin"
        usual = "viewer" if self.method == "GET" else "operator"
        return NEEDS.get((self.surface, self.endpoint), usual)


def routes(reach: Reach) -> list[Route]:
    found = []
    for name, surface in SURFACES.items():
        flask: Flask = surface.app(reach)
        for rule in flask.url_map.iter_rules():
            path = f"/{name}" + re.sub(r"<[^>]*>", "absent", rule.rule)
            # What would be a WebSocket's has a twin that answers whoever comes without one.
            methods = sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}) if not rule.websocket else []
            found += [Route(name, rule.endpoint.removesuffix(" plain"), method, path) for method in methods]
    return found


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is kept from asking by how often he has asked, nor by waiting for a Convoy that is not there."""
    monkeypatch.setattr(changes, "COMMITTING_S", 0.05)
    classes = dict.fromkeys(("auth", "create", "update", "delete", "list", "bulk"), 100_000)
    monkeypatch.setattr(counted, "rates", lambda: classes)


@pytest.fixture
def reach(tmp_path: Path, often: None) -> Iterator[Reach]:
    with closing(Store(f"sqlite:///{tmp_path / 'convoy.db'}", Seams())) as store:
        yield Reach(store, tmp_path / "run", Log(level="error"), Limits(in_a_minute=100_000))


def nobodies(store: Store) -> dict[str, str]:
    """What somebody may show who is nobody, by what is wrong with it."""
    gone, disabled = (people.account(store, "admin") for _ in range(2))
    keys = {"of an account that is gone": people.key(store, gone), "of a disabled account": people.key(store, disabled)}
    expired = store.tokens.create("expired", people.ALL, 0.0, account=people.account(store, "admin").id)[1]
    session = store.sessions.open(disabled.id)[0]
    active = people.account(store, "admin")
    own, now = store.sessions.open(active.id)[0], time.time()

    def jwt(account: str, session: str, until: float) -> str:
        claims = Claims(account, session, "")
        return signed.signed("access", claims, store.installation(), store.sessions.signing(), now - 7200, until)

    tokens = {
        "an expired session's": jwt(active.id, own, now - 3600),
        "of a disabled account's session": jwt(disabled.id, session, now + 3600),
        "of another's session": jwt(gone.id, own, now + 3600),
    }
    store.accounts.delete(gone.email)
    store.accounts.put_status(disabled.email, "disabled")
    return {"nothing": "", "nonsense": "x", "a key that has expired": expired} | keys | tokens


def body_of(route: Route) -> Any:
    operation = operations().get(route.endpoint)
    return operation.said["request"] if operation is not None else {}


def ask(app: Any, route: Route, shown: str, path: str = "") -> TestResponse:
    headers = {"Authorization": f"Bearer {shown}"} if shown else {}
    body = body_of(route) if route.method != "GET" else None
    return Client(app).open(path or route.path, method=route.method, json=body, headers=headers)


def test_what_is_open_is_what_the_contract_says(reach: Reach) -> None:
    """Nothing else is answered to whoever comes."""
    every = routes(reach)
    open_ones = {route.endpoint for route in every if not route.needs}
    assert open_ones == set(contract()["auth"]["exempt_operations"]) & {route.endpoint for route in every}
    assert {route.surface for route in every} == set(SURFACES)
    assert len(every) > 15


def test_nobody_is_let_in(reach: Reach) -> None:
    """Whatever is wrong with who asks, each route answers 401, and the same to all."""
    app, shown = create_app(reach), nobodies(reach.store)
    for route in routes(reach):
        if route.needs:
            answers = {why: without_ids(ask(app, route, token)) for why, token in shown.items()}
            assert {status for status, _ in answers.values()} == {401}, (route, answers)
            assert all(answer == answers["nothing"] for answer in answers.values()), (route, answers)


def test_each_role_may_what_it_may(reach: Reach) -> None:
    """403 below the role that a route needs, the same for all that there is; from that on neither 401 nor 403."""
    app = create_app(reach)
    everybody = [
        people.account(reach.store, None),
        *(people.account(reach.store, role, surface) for surface in SURFACES for role in ROLES),
    ]
    shown = [(account, people.key(reach.store, account)) for account in everybody]
    for route in routes(reach):
        if not route.needs:
            continue
        for account, key in shown:
            status = ask(app, route, key).status_code
            role = account.roles.get(route.surface)
            enough = role is not None and ROLES.index(role) >= ROLES.index(route.needs)
            assert (status not in (401, 403)) if enough else status == 403, (route, role, status)
            assert status != 500, route


def test_a_key_that_may_less_is_let_in_less(reach: Reach) -> None:
    """An admin's that may only read gets no further than a viewer, on every route."""
    app = create_app(reach)
    for surface in SURFACES:
        shown = people.key(reach.store, people.account(reach.store, "admin", surface), "read")
        for route in routes(reach):
            if route.surface == surface and route.needs in ("operator", "admin"):
                assert ask(app, route, shown).status_code == 403, route


def test_our_own_surface_is_closed_to_tenants(reach: Reach) -> None:
    """It is about the whole fleet: an admin of a tenant is told the same by all of it."""
    app = create_app(reach)
    shown = people.key(reach.store, people.account(reach.store, "admin", "convoy", tenant=ANOTHERS))
    answers = [without_ids(ask(app, route, shown)) for route in routes(reach) if route.surface == "convoy"]
    assert {status for status, _ in answers} == {403}
    assert all(answer == answers[0] for answer in answers)
