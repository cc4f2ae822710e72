"""Webhooks: told in the document's words and with its signature; their secrets are nowhere in the clear."""

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from api.surfaces.envoy_fleet.contract import operations
from reconciler.store import Attempt
from tests.api.envoy_fleet.playing import Dialect, undated
from tests.api.envoy_fleet.telling import Telling, body
from tests.committing import HEAD
from tests.drivers.world import soon
from tests.notify.test_ways import Receiver, receiver

__all__ = ["receiver"]
EXAMPLE: dict[str, Any] = dict(operations()["webhooks.create"].said["request"])
FILE = "notifications/deployment-notifier.yaml"
REF = "Notification/deployment-notifier"


@pytest.fixture
def telling(dialect: Dialect) -> Iterator[Telling]:
    with closing(Telling(dialect)) as opened:
        yield opened


def test_created(telling: Telling, tmp_path: Path) -> None:
    """It is a commit; its secret is sealed there, and in no answer, file or table in the clear."""
    dialect = telling.dialect
    made = dialect.made("webhooks.create", EXAMPLE)
    assert {name: made[name] for name in ("name", "url", "events", "active")} == {
        name: EXAMPLE[name] for name in ("name", "url", "events", "active")
    }
    assert (made["signed"], made["last_delivery"], "secret" in made) == (True, None, False)
    (listed,) = dialect.made("webhooks.list")["data"]
    assert undated(listed) == undated(made)
    text = dialect.file(FILE)
    assert "form: envoy-fleet" in text
    assert "rollout.completed" in text
    assert "BEGIN AGE ENCRYPTED FILE" in text
    telling.follow()
    assert telling.fleet is not None
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and EXAMPLE["secret"].encode() in path.read_bytes()]
    assert kept == []
    assert EXAMPLE["secret"] not in text
    first = dialect.made("webhooks.create", EXAMPLE | {"name": "again"}, Idempotency_Key="k")
    assert dialect.made("webhooks.create", EXAMPLE | {"name": "again"}, Idempotency_Key="k")["id"] == first["id"]
    assert dialect.refused("webhooks.create", EXAMPLE)[:2] == (409, "CONFLICT")


def test_its_address_is_for_those_who_may_change_it(telling: Telling) -> None:
    """Others see where it leads: what stands behind the host often opens it. In the audit it is so for everybody."""
    dialect, url, shown = (
        telling.dialect,
        "https://hooks.example.com/services/T0/canary?key=canary",
        "https://hooks.example.com/(hidden)",
    )
    made = dialect.made("webhooks.create", body(url=url))
    assert made["url"] == url
    for role, seen in (("admin", url), ("operator", shown), ("viewer", shown)):
        (one,) = dialect.made("webhooks.list", role=role)["data"]
        assert one["url"] == seen
    (row,) = dialect.made("audit_logs.list", query={"action": "create", "resource_type": "webhook"})["data"]
    assert row["changes"]["after"]["spec"]["to"]["webhook"]["url"] == shown


def test_least(telling: Telling) -> None:
    """A name is found where none is given, and without a secret nothing is signed."""
    made = telling.dialect.made(
        "webhooks.create", body(events=["proxy.status.changed", "status.failed", "deployment.progress"])
    )
    assert made["name"].startswith("webhook-")
    assert (made["signed"], made["active"]) == (False, True)
    assert made["events"] == ["proxy.status.changed", "status.failed", "deployment.progress"]
    quiet = telling.dialect.made("webhooks.create", body(active=False, name="quiet"))
    assert quiet["active"] is False


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"url": "http://hooks.example.com/x"}, "url"),
    ({"url": "https://me:word@hooks.example.com/x"}, "url"),
    ({"url": "https://127.0.0.1/x"}, "url"),
    ({"url": "https://10.1.2.3:8443/x"}, "url"),
    ({"url": "https://169.254.169.254/latest/meta-data"}, "url"),
    ({"url": "https://[::1]/x"}, "url"),
    ({"url": "https://[fd00::1]/x"}, "url"),
    ({"url": "https://[nonsense/x"}, "url"),
    ({"url": "https://hooks.example:99999/x"}, "url"),
    ({"url": "https://localhost./x"}, "url"),
    ({"url": "file:///etc/passwd"}, "url"),
    ({"url": "https://hooks.example/\nx"}, "url"),
    ({"events": []}, "events"),
    ({"events": ["deployment.begun"]}, "events[0]"),
    ({"events": ["deployment.started", "secret.opened"]}, "events[1]"),
    ({"events": ["revision.refused"]}, "events[0]"),
    ({"events": ["*"]}, "events[0]"),
    ({"events": ["configuration.updated"]}, "events[0]"),
    ({"events": ["deployment.started"] * 2}, "events"),
    ({"secret": ""}, "secret"),
    ({"secret": 5}, "secret"),
    ({"active": "yes"}, "active"),
    ({"name": "A_b"}, "name"),
    ({"headers": {}}, "headers"),
]


def test_what_cannot_be_said(telling: Telling) -> None:
    """By name, before anything is sealed or committed."""
    before = telling.dialect.log()
    for change, field in WRONG:
        status, code, details = telling.dialect.refused("webhooks.create", EXAMPLE | change)
        assert (status, code, details["field"]) == (422, "VALIDATION_ERROR", field), change
    assert telling.dialect.log() == before


def test_who_may(telling: Telling) -> None:
    """Admins make and test them, whoever reads sees them; those of another tenant are not there."""
    dialect = telling.dialect
    made = dialect.made("webhooks.create", body())
    assert dialect.refused("webhooks.create", body(), role="operator")[:2] == (403, "FORBIDDEN")
    assert dialect.refused("webhooks.test", ids={"id": made["id"]}, role="operator")[:2] == (403, "FORBIDDEN")
    assert len(dialect.made("webhooks.list", role="viewer")["data"]) == 1
    assert dialect.made("webhooks.list", tenant="other")["data"] == []
    assert dialect.refused("webhooks.test", ids={"id": made["id"]}, tenant="other")[:2] == (404, "NOT_FOUND")


def test_nobody_to_seal_for(telling: Telling) -> None:
    """Without recipients no secret is taken, and it is said what to do; without a secret it goes."""
    telling.edit("settings.yaml", (telling.keys.recipient, ""), ('"recipients": [""]', '"drainSeconds": 1'))
    status, code, details = telling.dialect.refused("webhooks.create", EXAMPLE)
    assert (status, code) == (409, "CONFLICT")
    assert "convoy secret recipient" in details["reason"]
    assert telling.dialect.made("webhooks.create", body())["signed"] is False


def test_other_notifications_are_no_webhooks(telling: Telling) -> None:
    """What this API has no words for is not listed, and not there."""
    dialect, origin = telling.dialect, telling.dialect.origin
    assert origin is not None
    spec = "spec: {on: [status], to: {webhook: {url: 'https://hooks.example/x'}}}\n"
    origin.commit({"n.yaml": HEAD.format("Notification", "plain") + spec})
    telling.follow()
    assert dialect.made("webhooks.list")["data"] == []
    assert dialect.refused("webhooks.test", ids={"id": "plain"})[0] == 404


def private(telling: Telling, receiver: str, path: str) -> str:
    """The documented webhook, told to a receiver on this machine: that takes a person and Git."""
    made = telling.dialect.made("webhooks.create", EXAMPLE)
    telling.edit(FILE, (f"url: {EXAMPLE['url']}", f"url: {receiver}{path}\n      allowPrivate: true"))
    found: str = made["id"]
    return found


def test_a_test_arrives(telling: Telling, receiver: str) -> None:
    """Signed over the raw body with the secret that was sent, and answered with what became of it, which is logged."""
    id = private(telling, receiver, "/fine")
    said = telling.dialect.made("webhooks.test", ids={"id": id})
    assert (said["status"], said["event"], said["attempt"], said["error"]) == ("delivered", "webhook.test", 1, None)
    ((_, headers, sent),) = Receiver.got
    assert headers["x-webhook-signature"] == f"sha256={hmac.new(EXAMPLE['secret'].encode(), sent, hashlib.sha256).hexdigest()}"
    payload = json.loads(sent)
    assert payload.keys() == {"id", "event", "timestamp", "data"}
    assert (payload["id"], payload["event"]) == (said["id"], "webhook.test")
    assert telling.dialect.made("webhooks.list")["data"][0]["last_delivery"] == said


@pytest.mark.parametrize(("path", "why"), [("/500", "answers with 500"), ("/moved", "redirects are not followed")])
def test_a_test_that_does_not_arrive(telling: Telling, receiver: str, path: str, why: str) -> None:
    """Is answered with why; nothing is sent again, and nowhere else."""
    id = private(telling, receiver, path)
    said = telling.dialect.made("webhooks.test", ids={"id": id})
    assert said["status"] == "failed"
    assert why in said["error"]
    assert [got[0] for got in Receiver.got] == [path]


def test_no_test_of_a_private_address_or_of_one_that_is_not_active(telling: Telling, receiver: str) -> None:
    """Nothing is sent."""
    id = private(telling, receiver, "/fine")
    telling.edit(FILE, ("allowPrivate: true", "allowPrivate: false"), ("http:", "https:"))
    said = telling.dialect.made("webhooks.test", ids={"id": id})
    assert said["status"] == "failed"
    assert "is not a public address" in said["error"]
    telling.edit(FILE, ("  repeatAfterSeconds: 0", "  active: false\n  repeatAfterSeconds: 0"))
    assert telling.dialect.refused("webhooks.test", ids={"id": id})[:2] == (409, "CONFLICT")
    assert Receiver.got == []


@pytest.mark.slow
def test_a_receiver_that_is_slow_holds_up_nobody(telling: Telling, receiver: str) -> None:
    """Its test is answered in the end, with what became of it; others are answered meanwhile."""
    id = private(telling, receiver, "/slow")
    found: list[Any] = []
    asking = threading.Thread(target=lambda: found.append(telling.dialect.ask("webhooks.test", ids={"id": id})))
    asking.start()
    soon(lambda: bool(Receiver.got))
    assert telling.dialect.ask("webhooks.test", ids={"id": id}).status_code == 503
    assert telling.dialect.made("webhooks.create", body(secret="x"))["signed"] is True
    asking.join(100)
    said = json.loads(found[0].get_data())
    assert (found[0].status_code, said["status"]) == (200, "failed")


def test_what_happens_is_told(telling: Telling, receiver: str) -> None:
    """To whose tenant it is, in the document's words; what did not arrive is shown beside the webhook, and tried again."""
    private(telling, receiver, "/500")
    soon(lambda: REF in telling.dialect.store.notices().places())
    telling.dialect.store.add_events(
        [("rollout.started", "Rollout/other/theirs", ""), ("rollout.completed", "Rollout/ours", "2 of 2 proxies have it")]
    )

    def last() -> Any:
        return telling.dialect.made("webhooks.list")["data"][0]["last_delivery"]

    soon(lambda: last() is not None)
    assert (last()["event"], last()["status"], "answers with 500" in last()["error"]) == (
        "deployment.completed",
        "failed",
        True,
    )
    telling.edit(FILE, ("/500", "/fine"))
    soon(lambda: last()["status"] == "delivered")
    assert [json.loads(sent)["data"]["name"] for _, _, sent in Receiver.got] == ["ours"] * len(Receiver.got)
    assert len({json.loads(sent)["id"] for _, _, sent in Receiver.got}) == 1


def test_the_newest_of_each(telling: Telling) -> None:
    """In one question for a page."""
    log = telling.dialect.store.notices().attempts
    for name in ("a", "b", "a"):
        log.add(Attempt(f"Notification/{name}", f"m-{name}", "", 1.0, 0.1, 1, "told"))
    found = log.last(["Notification/a", "Notification/b", "Notification/c"])
    assert {name: one.number for name, one in found.items()} == {"Notification/a": 3, "Notification/b": 2}
    assert log.last([]) == {}
