"""Section 3 over HTTP: what logging in answers, what it is good for, and that nothing of it tells or logs what it must not."""

import json
import time
from typing import Any

import pytest
from werkzeug.test import Client

from api import create_app
from api.limits import Limits
from api.reach import Reach
from api.surfaces.envoy_fleet import rates as counted
from reconciler.log import Log
from tests import people
from tests.api.envoy_fleet.playing import LONG_S, Dialect

EMAIL, PASSWORD = "ada@example.com", "correct horse battery"


@pytest.fixture
def ada(dialect: Dialect, monkeypatch: pytest.MonkeyPatch) -> Dialect:
    """An operator of acme; and nobody is kept from trying more than five times a minute."""
    people.account(dialect.store, "operator", tenant="acme", email=EMAIL, password=PASSWORD)
    monkeypatch.setattr(counted, "rates", lambda: dict.fromkeys(("auth", "create", "update", "delete", "list", "bulk"), 1000))
    dialect.app = create_app(Reach(dialect.store, dialect.run, Log(level="error"), Limits(), recorder=dialect.recorder))
    return dialect


def login(dialect: Dialect, email: str = EMAIL, password: str = PASSWORD) -> Any:
    return dialect.made("auth.login", {"email": email, "password": password})


def bearer(token: str) -> dict[str, Any]:
    return {"Authorization": f"Bearer {token}"}


def test_a_session(ada: Dialect) -> None:
    """Logged in, it asks; it goes on by its refresh token; logged out, neither counts, and logging out again is as well."""
    given = login(ada)
    assert (given["expires_in"], given["token_type"], given["user"]["role"]) == (3600, "Bearer", "operator")
    assert ada.ask("clusters.list", **bearer(given["access_token"])).status_code == 200
    following = ada.made("auth.refresh", {"refresh_token": given["refresh_token"]})
    assert following["user"] == given["user"]
    for token in (given["access_token"], following["access_token"]):
        assert ada.ask("clusters.list", **bearer(token)).status_code == 200
    for _ in range(2):
        answer = ada.ask("auth.logout", **bearer(following["access_token"]))
        assert (answer.status_code, answer.get_data()) == (204, b"")
    assert ada.refused("clusters.list", **bearer(following["access_token"]))[:2] == (401, "UNAUTHORIZED")
    assert ada.refused("auth.refresh", {"refresh_token": following["refresh_token"]})[:2] == (401, "UNAUTHORIZED")
    assert ada.ask("auth.logout", {"refresh_token": "nonsense"}).status_code == 204
    # One that logs out by its body alone.
    other = login(ada)
    assert ada.ask("auth.logout", {"refresh_token": other["refresh_token"]}, Authorization="").status_code == 204
    assert ada.refused("clusters.list", **bearer(other["access_token"]))[0] == 401


def test_a_refresh_token_used_twice(ada: Dialect) -> None:
    """Ends the session, in whoever's hands the newest is."""
    given = login(ada)
    following = ada.made("auth.refresh", {"refresh_token": given["refresh_token"]})
    assert ada.refused("auth.refresh", {"refresh_token": given["refresh_token"]})[0] == 401
    assert ada.refused("auth.refresh", {"refresh_token": following["refresh_token"]})[0] == 401
    assert ada.refused("clusters.list", **bearer(following["access_token"]))[0] == 401


def test_answers_that_tell_nothing(ada: Dialect) -> None:
    """Whatever is wrong with who logs in, the answer is the same but for its id and its time."""
    people.account(ada.store, "admin", email="off@example.com", password=PASSWORD)
    ada.store.accounts.put_status("off@example.com", "disabled")
    people.account(ada.store, "admin", email="key@example.com")
    bodies = []
    for email, password in (
        (EMAIL, "wrong"),
        ("eve@example.com", PASSWORD),
        ("off@example.com", PASSWORD),
        ("key@example.com", PASSWORD),
        (EMAIL, "x" * 1000),
    ):
        answer = ada.ask("auth.login", {"email": email, "password": password})
        assert answer.status_code == 401
        said = json.loads(answer.get_data())["error"]
        bodies.append({name: said[name] for name in said if name not in ("request_id", "timestamp")})
    assert all(body == bodies[0] for body in bodies)


def test_a_lock_out(ada: Dialect) -> None:
    """429 with when to come again, for who is there and who is not; the right password then does not help."""
    for email in (EMAIL, "eve@example.com"):
        for _ in range(6):
            assert ada.ask("auth.login", {"email": email, "password": "wrong"}).status_code == 401
        answer = ada.ask("auth.login", {"email": email, "password": PASSWORD})
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["Retry-After"]) <= 30


def test_five_a_minute(dialect: Dialect, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one address, as the document says (section 17)."""
    # Of one moment: what the machine's clock does meanwhile is not what is asked here.
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    statuses = [dialect.ask("auth.login", {"email": f"{n}@b.example", "password": "x"}).status_code for n in range(6)]
    assert statuses == [401] * 5 + [429]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "email"),
        ({"email": EMAIL}, "password"),
        ({"email": "ada", "password": PASSWORD}, "email"),
        ({"email": EMAIL, "password": 5}, "password"),
        ({"email": EMAIL, "password": ""}, "password"),
        ({"email": EMAIL, "password": "x" * 1025}, "password"),
        ({"email": ["a"], "password": PASSWORD}, "email"),
        ({"email": EMAIL, "password": PASSWORD, "admin": True}, "admin"),
    ],
)
def test_bodies_that_lie(body: object, field: str, ada: Dialect) -> None:
    """422 by the member's name, without what it was."""
    answer = ada.ask("auth.login", body)
    assert answer.status_code == 422
    assert json.loads(answer.get_data())["error"]["details"]["field"] == field
    assert PASSWORD not in answer.text


def test_who_has_no_role_here(ada: Dialect) -> None:
    """Cannot log in here, and is told no more than anybody; with what he was given before, he may do nothing."""
    people.account(ada.store, None, email="eve@example.com", password=PASSWORD)
    assert ada.refused("auth.login", {"email": "eve@example.com", "password": PASSWORD})[:2] == (401, "UNAUTHORIZED")
    given = login(ada)
    ada.store.accounts.put_roles(EMAIL, {"envoy-fleet": None, "convoy": "viewer"})
    assert ada.refused("clusters.list", **bearer(given["access_token"]))[:2] == (403, "FORBIDDEN")
    assert ada.refused("auth.refresh", {"refresh_token": given["refresh_token"]})[:2] == (401, "UNAUTHORIZED")


def test_who_is_disabled_is_nobody(ada: Dialect) -> None:
    """With a token that is still good (20.2)."""
    given = login(ada)
    ada.store.accounts.put_status(EMAIL, "disabled")
    assert ada.refused("clusters.list", **bearer(given["access_token"]))[:2] == (401, "UNAUTHORIZED")


def test_secrets_are_nowhere(ada: Dialect, capsys: pytest.CaptureFixture[str]) -> None:
    """In headers, bodies and queries, of calls that succeed and that fail: neither the store's audit and events nor the log has
    one of them."""
    ada.app = create_app(Reach(ada.store, ada.run, Log(), Limits(), recorder=ada.recorder))
    planted = [PASSWORD, "hunter2-in-a-query", "hunter2-in-a-body", "hunter2-in-a-header", "hunter2-in-a-path-%20x"]
    given = login(ada)
    following = ada.made("auth.refresh", {"refresh_token": given["refresh_token"]})
    key = people.key(ada.store, people.account(ada.store, "admin"))
    planted += [given["access_token"], given["refresh_token"], following["refresh_token"], key, key[17:]]
    client = Client(ada.app)
    for token in (following["access_token"], key, "wrong"):
        headers = bearer(token) | {
            "User-Agent": f"curl/8 {key} Bearer {given['access_token']} Basic hunter2-in-a-header",
            "Cookie": "session=hunter2-in-a-header",
            "X-Api-Key": "hunter2-in-a-header",
            "Idempotency-Key": "hunter2-in-a-header",
            "X-Forwarded-For": "hunter2-in-a-header",
            "Referer": "https://x/?hunter2-in-a-header",
        }
        client.get("/api/v1/clusters?access_token=hunter2-in-a-query", headers=headers)
        client.get("/api/v1/hunter2-in-a-path-%20x", headers=headers)
        client.put("/api/v1/clusters/hunter2-in-a-path-%20x", json={"name": "hunter2-in-a-body"}, headers=headers)
        client.post("/api/v1/clusters", json={"name": "a", "password": "hunter2-in-a-body"}, headers=headers)
        client.post(f"/api/v1/auth/login?x={key}", json={"email": EMAIL, "password": "hunter2-in-a-body"}, headers=headers)
        client.post("/api/v1/auth/refresh", json={"refresh_token": given["refresh_token"]}, headers=headers)
        client.get("/convoy/v1/status?token=hunter2-in-a-query", headers=headers)
    assert ada.recorder.flush(LONG_S)
    rows = repr(list(ada.rows("audit"))) + repr(ada.store.events(limit=1000))
    assert "curl/8" in rows
    assert [one for one in planted if one in rows] == []
    logged = capsys.readouterr()
    # What is not there is logged by its path, for whoever looks for what scans him.
    assert [one for one in planted if one in logged.err + logged.out and "path" not in one] == []
