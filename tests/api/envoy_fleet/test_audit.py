"""Section 13: each call is a row, for the admins of the tenant whose account made it; found by filters, in both paginations."""

import datetime
import threading
from collections.abc import Mapping
from typing import Any

import pytest

from api.surfaces.envoy_fleet.mapping import audit as mapping
from api.surfaces.envoy_fleet.wire import Invalid
from tests.api.envoy_fleet.playing import LONG_S, Dialect


def audit(dialect: Dialect, tenant: str = "default", **query: object) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = dialect.made("audit_logs.list", query={"per_page": 100, **query}, tenant=tenant)["data"]
    return found


def test_a_change(dialect: Dialect) -> None:
    """Who, what, on which resource, from where, with what: and the fields that are others now, as they were and as they are."""
    made = dialect.made("clusters.create", {"name": "a"}, User_Agent="EnvoyCtl/1.0")
    dialect.made("clusters.update", {"lb_policy": "RANDOM"}, ids={"id": "a"}, User_Agent="EnvoyCtl/1.0")
    update, create = audit(dialect, resource_type="cluster")
    account = dialect.store.accounts.every()[0]
    assert update.keys() >= {"id", "user", "action", "resource_type", "resource_id", "changes", "ip_address", "timestamp"}
    assert (update["action"], create["action"]) == ("UPDATE", "CREATE")
    assert update["resource_id"] == create["resource_id"] == made["id"]
    assert update["user"] == {"id": account.id, "email": account.email}
    assert (update["user_agent"], update["ip_address"], update["status"]) == ("EnvoyCtl/1.0", "127.0.0.1", 200)
    assert list(update["changes"]["after"]) == ["spec"]
    assert "RANDOM" in repr(update["changes"]["after"])
    assert "RANDOM" not in repr(update["changes"]["before"])
    assert create["changes"]["before"] == {}
    assert create["changes"]["after"]["kind"] == "Cluster"


def test_every_call_is_there(dialect: Dialect) -> None:
    """Those that read, are refused, are of nobody or of another surface, too; the newest first."""
    dialect.ask("clusters.list", role="viewer")
    dialect.ask("clusters.create", {"name": "a"}, role="viewer")
    dialect.ask("clusters.update", {"lb_policy": "RANDOM"}, ids={"id": "nothing"})
    dialect.ask("clusters.list", Authorization="Bearer wrong")
    dialect("GET", "Cluster/a")
    rows = [(one["surface"], one["action"], one["resource_type"], one["status"]) for one in audit(dialect)]
    assert rows == [
        ("convoy", "READ", "cluster", 404),
        ("envoy-fleet", "READ", "cluster", 401),
        ("envoy-fleet", "UPDATE", "cluster", 404),
        ("envoy-fleet", "CREATE", "cluster", 403),
        ("envoy-fleet", "READ", "cluster", 200),
    ]
    by_token, nobody, *_ = audit(dialect)[1:]
    assert (by_token["token"], by_token["user"]) == ("ada", {"id": None, "email": None})
    assert (nobody["token"], nobody["user"]) == (None, {"id": None, "email": None})


def test_filters(dialect: Dialect) -> None:
    """By when, who, what and on what; days are whole, and in the time of no place."""
    dialect.made("clusters.create", {"name": "a"}, role="operator")
    dialect.ask("clusters.list", role="viewer")
    operator, viewer = (
        next(one.id for one in dialect.store.accounts.every() if set(one.roles.values()) == {role})
        for role in ("operator", "viewer")
    )
    today = datetime.datetime.now(datetime.UTC)
    yesterday, tomorrow = (f"{today + datetime.timedelta(days=days):%Y-%m-%d}" for days in (-1, 1))
    assert len(audit(dialect, user_id=operator)) == len(audit(dialect, user_id=viewer)) == 1
    assert audit(dialect, user_id=operator.upper(), action="create", resource_type="cluster")[0]["user"]["id"] == operator
    assert audit(dialect, user_id=operator, action="READ") == audit(dialect, resource_type="proxy") == []
    assert len(audit(dialect, user_id=viewer, start_date=yesterday, end_date=tomorrow)) == 1
    assert audit(dialect, end_date=yesterday) == audit(dialect, start_date=tomorrow) == []
    moment = f"{today - datetime.timedelta(minutes=1):%Y-%m-%dT%H:%M:%SZ}"
    assert len(audit(dialect, user_id=viewer, start_date=moment)) == 1
    assert audit(dialect, user_id=viewer, end_date=moment) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("user_id", "ada"), ("start_date", "soon"), ("end_date", "2024-13-01"), ("action", "'; --"), ("resource_type", "a b"),
     ("start_date", "2024-01-15T00:00:00+99:00"), ("end_date", "9999-12-31")],
)  # fmt: skip
def test_filters_that_are_none(name: str, value: str, dialect: Dialect) -> None:
    """422 by name."""
    status, code, details = dialect.refused("audit_logs.list", query={name: value})
    assert (status, code, details["field"]) == (422, "VALIDATION_ERROR", name)


def test_a_day_ends_with_its_last_second() -> None:
    """A moment's end does so too, and an offset is heeded."""
    day = mapping.wanted({"start_date": "2024-01-15", "end_date": "2024-01-15"}, ())
    assert (day.since, day.until) == (1705276800.0, 1705276800.0 + 86_400)
    moment = mapping.wanted({"start_date": "2024-01-15T01:00:00+01:00", "end_date": "2024-01-15T00:00:00Z"}, ())
    assert (moment.since, moment.until) == (1705276800.0, 1705276801.0)
    with pytest.raises(Invalid):
        mapping.wanted({"start_date": "2024-W03-1T"}, ())


def test_pages(dialect: Dialect) -> None:
    """Both ways through the same rows, back and forth; and the oldest first where that is asked for."""
    for _ in range(7):
        dialect.ask("clusters.list", role="viewer")
    query = {"user_id": dialect.store.accounts.every()[0].id}
    whole = [one["id"] for one in audit(dialect, **query)]
    assert len(set(whole)) == 7
    pages = [dialect.made("audit_logs.list", query={**query, "page": n, "per_page": 3}) for n in (1, 2, 3)]
    assert [one["id"] for page in pages for one in page["data"]] == whole
    assert pages[1]["pagination"] == {"page": 2, "per_page": 3, "total_pages": 3, "total_items": 7}
    first = dialect.made("audit_logs.list", query={**query, "limit": 3})
    second = dialect.made("audit_logs.list", query={**query, "limit": 3, "cursor": first["cursor"]["next"]})
    third = dialect.made("audit_logs.list", query={**query, "limit": 3, "cursor": second["cursor"]["next"]})
    assert [one["id"] for page in (first, second, third) for one in page["data"]] == whole
    assert (third["cursor"]["next"], first["cursor"]["previous"]) == (None, None)
    back = dialect.made("audit_logs.list", query={**query, "limit": 3, "cursor": second["cursor"]["previous"]})
    assert back["data"] == first["data"]
    rising = dialect.made("audit_logs.list", query={**query, "order": "asc", "per_page": 100})
    assert [one["id"] for one in rising["data"]] == whole[::-1]


def test_each_tenant_sees_its_own(dialect: Dialect) -> None:
    """And none of them what nobody known has asked, save those of the installation's own; only admins see any."""
    dialect.made("clusters.create", {"name": "a"}, tenant="acme")
    dialect.made("clusters.create", {"name": "b"})
    dialect.ask("auth.login", {"email": "eve@example.com", "password": "x"})
    assert [(one["action"], one["resource_type"]) for one in audit(dialect, "acme")] == [("CREATE", "cluster")]
    assert {one["action"] for one in audit(dialect)} == {"LOGIN", "CREATE"}
    assert not {one["id"] for one in audit(dialect)} & {one["id"] for one in audit(dialect, "acme")}
    for role in ("operator", "viewer", None):
        assert dialect.refused("audit_logs.list", role=role)[:2] == (403, "FORBIDDEN")


def test_logins(dialect: Dialect) -> None:
    """Those that failed name the account that somebody tried, if there is one, and never what was typed."""
    from tests import people

    account = people.account(dialect.store, "admin", email="ada@example.com", password="correct horse battery")
    dialect.ask("auth.login", {"email": "ada@example.com", "password": "wrong"})
    dialect.ask("auth.login", {"email": "correct@horse.battery", "password": "wrong"})
    given = dialect.made("auth.login", {"email": "ada@example.com", "password": "correct horse battery"})
    dialect.ask("auth.logout", Authorization=f"Bearer {given['access_token']}")
    logout, right, unknown, wrong = audit(dialect, resource_type="auth")
    assert [one["status"] for one in (logout, right, unknown, wrong)] == [204, 200, 401, 401]
    assert [one["user"]["id"] for one in (logout, right, unknown, wrong)] == [account.id, account.id, None, account.id]
    assert (logout["action"], right["action"]) == ("LOGOUT", "LOGIN")


def test_it_does_not_make_anybody_wait(dialect: Dialect) -> None:
    """A store that does not answer: calls do, and their rows come later."""
    real = dialect.store.audit.add
    asked, answers = threading.Event(), threading.Event()
    in_vain: list[bool] = []

    def slow(calls: Any) -> None:
        asked.set()
        in_vain.append(not answers.wait(100))
        real(calls)

    dialect.store.audit.add = slow  # type: ignore[method-assign]  # what a slow disk does
    assert dialect.ask("health.get").status_code == 200
    assert asked.wait(LONG_S)
    for _ in range(5):
        assert dialect.ask("health.get").status_code == 200
    answers.set()
    assert dialect.recorder.flush(LONG_S)
    # Else it was the calls that waited.
    assert not any(in_vain)
    assert len(audit(dialect, resource_type="health")) == 6
