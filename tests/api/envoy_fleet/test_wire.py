"""The envelope: errors, versions, rates and who may ask, for every operation alike."""

import json
import time
from typing import Any

import pytest
from werkzeug.test import Client

from api.limits import Limits
from api.reach import Reach
from api.surfaces import envoy_fleet
from api.surfaces.envoy_fleet.contract import contract, operations, rates
from api.surfaces.envoy_fleet.rates import Rates
from reconciler.log import Log
from tests.api.envoy_fleet.playing import LIMITS, MOMENT, Dialect


def test_at_both_addresses(dialect: Dialect) -> None:
    """At the root, as documented, and under the surface's own name; and nothing of it is in the way of other surfaces."""
    client = Client(dialect.app)
    for path in ("/api/v1/health", "/envoy-fleet/api/v1/health"):
        answer = client.get(path)
        assert (answer.status_code, json.loads(answer.get_data())["status"]) == (200, "healthy")
    assert json.loads(client.get("/health").get_data()) == {"alive": True}
    assert client.get("/api/v2/health").status_code == 404


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/api/v1/nothing", 404), ("DELETE", "/api/v1/health", 405)])
def test_what_is_not_there(method: str, path: str, status: int, dialect: Dialect) -> None:
    """In this dialect's words, with all that is on every answer."""
    answer = Client(dialect.app).open(path, method=method, headers={"X-Request-Id": "from-me"})
    error = json.loads(answer.get_data())["error"]
    assert answer.status_code == status
    assert error.keys() == contract()["error_format"]["example"]["error"].keys()
    assert error["request_id"] == "from-me" == answer.headers["X-Request-Id"]
    assert MOMENT.fullmatch(error["timestamp"])
    assert answer.headers["API-Version"] == "1.0.0"
    assert all(name in answer.headers for name in LIMITS)


def test_version(dialect: Dialect) -> None:
    """Another minor one is ours too; another major one is refused."""
    assert dialect.ask("health.get", API_Version="1.2.0").status_code == 200
    assert dialect.refused("health.get", API_Version="2.0.0")[:2] == (400, "BAD_REQUEST")


def test_parameters_that_are_not_there(dialect: Dialect) -> None:
    """What nobody would heed is refused by name."""
    status, code, details = dialect.refused("health.get", query={"verbose": "yes"})
    assert (status, code, details["field"]) == (422, "VALIDATION_ERROR", "verbose")


def test_classes() -> None:
    """Every operation is counted by the class that EF-C05 says, and health by none."""
    classes = {one.id: one.rate for one in operations().values()}
    assert {name: rates()[name] for name in classes.values() if name} == {
        "auth": 5, "create": 100, "update": 100, "delete": 50, "list": 1000, "bulk": 10,
    }  # fmt: skip
    assert classes["auth.login"] == "auth"
    assert classes["bulk.delete"] == classes["bulk.proxies.update"] == "bulk"
    assert (classes["clusters.create"], classes["clusters.update"]) == ("create", "update")
    assert (classes["virtual_machines.delete"], classes["health.get"]) == ("delete", "")


def test_rates() -> None:
    """Each client for itself, each class for itself; what is over is told until when."""
    counted = Rates({"list": 2, "create": 1})
    assert [counted.hit("list", "a").remaining for _ in range(2)] == [1, 0]
    over, other = counted.hit("list", "a"), counted.hit("list", "b")
    assert (over.over, over.remaining, other.over) == (True, 0, False)
    assert 1 <= over.after_s <= 61
    assert not counted.hit("create", "a").over
    assert not any(counted.hit("", "a").over for _ in range(5))


def test_too_often(dialect: Dialect) -> None:
    """429 in this dialect's words, with what is left and when to come again; each account for itself; guessing counts too."""
    flask: Any = envoy_fleet.app(dialect.reach, Rates({"list": 2, "create": 1}))
    client = flask.test_client()

    def ask(headers: dict[str, str], path: str = "clusters") -> Any:
        return client.get(f"/api/v1/{path}", headers=headers)

    viewer, admin = dialect.bearer("viewer"), dialect.bearer("admin")
    assert [ask(viewer).status_code for _ in range(3)] == [200, 200, 429]
    over = ask(viewer)
    assert json.loads(over.get_data())["error"]["code"] == "RATE_LIMIT_EXCEEDED"
    assert [over.headers[name] for name in LIMITS[:2]] == ["2", "0"]
    assert 1 <= int(over.headers["Retry-After"]) <= 61
    assert abs(int(over.headers["X-RateLimit-Reset"]) - time.time()) < 62
    assert ask(admin).status_code == 200
    assert client.post("/api/v1/clusters", headers=viewer, json={"name": "a"}).status_code == 403
    guess = {"Authorization": "Bearer guess"}
    assert [ask(guess).status_code for _ in range(3)] == [401, 401, 429]
    assert all(ask({}, "health").status_code == 200 for _ in range(5))


def test_what_we_did_not_foresee(dialect: Dialect, capsys: pytest.CaptureFixture[str]) -> None:
    """Is told in the same form, with nothing of what it was."""
    flask: Any = envoy_fleet.app(Reach(dialect.store, dialect.run, Log(), Limits()))

    def fail() -> None:
        raise ZeroDivisionError("a secret detail")

    flask.add_url_rule("/api/v1/fails", "fails", fail)
    answer = flask.test_client().get("/api/v1/fails")
    assert (answer.status_code, json.loads(answer.get_data())["error"]["code"]) == (500, "INTERNAL_ERROR")
    assert "secret" not in answer.text
    assert "a secret detail" in capsys.readouterr().err
