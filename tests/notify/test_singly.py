"""Webhooks that carry each event by itself: at once, in order, in the envoy-fleet document's words, and signed."""

import hashlib
import hmac
import json
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from reconciler.ask import AskError
from reconciler.core import show_forms
from reconciler.log import Log
from reconciler.notify import Courier, outbound
from reconciler.notify.courier import MOST_SINGLY
from reconciler.secrets import Keys, Opener, keygen, seal
from reconciler.store import Attempt
from tests.drivers.world import soon
from tests.fleets import load_text
from tests.notify.test_courier import World, got, receiver
from tests.notify.test_ways import Receiver

__all__ = ["receiver"]
SECRET = "webhook_secret_key"
NAME = "Notification/told"


class Singly(World):
    def __init__(self, place: Path, at_once: bool = True) -> None:
        super().__init__(place, at_once)
        self.keys: Keys = keygen()

    def courier(self) -> Courier:
        opener, count = Opener([self.keys.identity], self.store.opened), self.counted.append
        return Courier(self.store, lambda: self.fleet, lambda: self.acts, opener, "us", count, Log(level="error"), self.clock)

    def declare_one(
        self, url: str, *, active: bool = True, private: bool = True, on: tuple[str, ...] = ("rollout", "health")
    ) -> None:
        sealed = seal(SECRET.encode(), [self.keys.recipient], b"k" * 32)
        webhook = {
            "url": url,
            "form": "envoy-fleet",
            "allowPrivate": private,
            "secret": {"age": sealed.age, "hash": sealed.hash},
        }
        spec = {"on": on, "to": {"webhook": webhook}, "active": active, "repeatAfterSeconds": 0}
        every = [
            {"kind": "Notification", "metadata": {"name": "told"}, "spec": spec},
            {"kind": "Settings", "metadata": {"name": "s", "uid": str(uuid.uuid5(uuid.NAMESPACE_OID, "s"))}, "spec": {}},
        ]
        self.fleet = load_text("\n---\n".join(json.dumps({"apiVersion": "convoy/v1"} | one) for one in every))

    def attempts(self) -> list[Attempt]:
        return self.store.notices().attempts.of(NAME, 1000)[::-1]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Singly]:
    made = Singly(tmp_path)
    with closing(made.store):
        yield made


def turns(world: Singly, courier: Courier, number: int = 3) -> None:
    """Without any time going by."""
    for _ in range(number):
        courier.turn()


def test_each_event_is_a_message_at_once(world: Singly, receiver: str) -> None:
    """In order, without waiting for more, in the document's words; and each is signed over the very bytes that arrive."""
    world.declare_one(f"{receiver}/hook")
    with closing(world.courier()) as courier:
        courier.turn()
        world.store.add_events(
            [
                ("rollout.started", "Settings/s", "to 2 proxies"),
                ("rollout.failed", "Rollout/gone", "one\nrefuses"),
                ("health.unhealthy", "Proxy/edge", "was healthy: crash loop"),
                ("health.starting", "Proxy/other", "was unknown"),
                ("status.failed", "Proxy/edge", "not asked for"),
            ]
        )
        turns(world, courier, 5)
    events = got()
    assert [one["event"] for one in events] == ["deployment.started", "deployment.failed", "proxy.status.changed"]
    assert all(one.keys() == {"id", "event", "timestamp", "data"} for one in events)
    assert len({uuid.UUID(one["id"]) for one in events}) == 3
    started, failed, proxy = (one["data"] for one in events)
    moment = events[0]["timestamp"]
    assert moment == "1970-01-01T00:16:40Z"
    assert started == {
        "deployment_id": str(uuid.uuid5(uuid.NAMESPACE_OID, "s")),
        "name": "s",
        "status": "in_progress",
        "message": "to 2 proxies",
        "timestamp": moment,
    }
    assert (failed["deployment_id"], failed["name"], failed["status"], failed["message"]) == (
        "",
        "gone",
        "failed",
        "one refuses",
    )
    assert (proxy["old_status"], proxy["new_status"]) == ("healthy", "unhealthy")
    for _, headers, body in Receiver.got:
        expected = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        assert headers["x-webhook-signature"] == f"sha256={expected}"
        assert SECRET.encode() not in body


def test_the_same_again_is_told_again(world: Singly, receiver: str) -> None:
    """Each is an event of its own, with an id of its own."""
    world.declare_one(receiver)
    with closing(world.courier()) as courier:
        courier.turn()
        for _ in range(3):
            world.store.event("rollout.completed", "Rollout/x", "")
            turns(world, courier)
    assert [one["event"] for one in got()] == ["deployment.completed"] * 3
    assert len({one["id"] for one in got()}) == 3


def test_nothing_of_a_flood_is_lost(world: Singly, receiver: str) -> None:
    """More than wait at once are read when those before have arrived."""
    world.declare_one(receiver)
    with closing(world.courier()) as courier:
        courier.turn()
        world.store.add_events([("rollout.completed", f"Rollout/r-{n}", "") for n in range(3 * MOST_SINGLY)])
        turns(world, courier, 5)
    assert [one["data"]["name"] for one in got()] == [f"r-{n}" for n in range(3 * MOST_SINGLY)]


def test_tries_are_logged(world: Singly, receiver: str) -> None:
    """What failed, why, and what arrived then, with the same id; the others wait their turn; only so many are kept."""
    world.declare_one(f"{receiver}/500")
    with closing(world.courier()) as courier:
        courier.turn()
        world.store.add_events([("rollout.started", "Rollout/x", ""), ("rollout.completed", "Rollout/x", "")])
        turns(world, courier)
        assert [one["event"] for one in got()] == ["deployment.started"]
        world.clock.time_s += 5.0
        courier.turn()
        world.declare_one(f"{receiver}/fine")
        turns(world, courier, 3)
    assert [one["event"] for one in got()] == ["deployment.started"] * 3 + ["deployment.completed"]
    first, second, third, fourth = world.attempts()
    assert (first.outcome, second.outcome, third.outcome, fourth.outcome) == ("failed", "failed", "told", "told")
    assert first.message == second.message == third.message != fourth.message
    assert "answers with 500" in first.error
    assert (first.tries, second.tries, first.events, first.at) == (1, 2, "rollout.started", 1000.0)
    assert third.error == ""
    log = world.store.notices().attempts
    for n in range(250):
        log.add(Attempt("Notification/other", f"m-{n}", "", 1.0, 0.0, 1, "told"))
    assert len(log.of("Notification/other", 1000)) <= 110
    assert len(log.of(NAME, 1000)) == 4
    assert [one.message for one in log.of(NAME, 2, before=third.number)] == [second.message, first.message]


def test_one_that_is_not_active_tells_nothing(world: Singly, receiver: str) -> None:
    """Not what happens meanwhile, and not what waited; once it is active again, what happens from then on."""
    world.declare_one(f"{receiver}/500")
    with closing(world.courier()) as courier:
        courier.turn()
        world.store.event("rollout.started", "Rollout/before", "")
        turns(world, courier)
        Receiver.got.clear()
        world.declare_one(receiver, active=False)
        turns(world, courier)
        world.store.event("rollout.started", "Rollout/meanwhile", "")
        turns(world, courier)
        with pytest.raises(AskError) as raised:
            courier.tests.asked(NAME.encode(), 0.0)
        assert raised.value.code == "inactive"
        world.declare_one(receiver)
        turns(world, courier)
        assert got() == []
        world.store.event("rollout.started", "Rollout/after", "")
        turns(world, courier)
    assert [one["data"]["name"] for one in got()] == ["after"]


@pytest.mark.parametrize(
    ("path", "outcome", "why"),
    [("/fine", "told", ""), ("/500", "failed", "answers with 500"), ("/moved", "failed", "redirects are not followed")],
)
def test_a_test_is_sent_once_and_logged(world: Singly, receiver: str, path: str, outcome: str, why: str) -> None:
    """At once and beside what waits; its id finds what became of it."""
    world.declare_one(f"{receiver}{path}")
    with closing(world.courier()) as courier:
        courier.turn()
        id = courier.tests.asked(NAME.encode(), 0.0).decode()
        found = world.store.notices().attempts.of_message(id)
        assert found is not None
        assert (found.notification, found.outcome, found.events, found.tries) == (NAME, outcome, "", 1)
        assert why in found.error
        turns(world, courier)
    (sent,) = got()
    assert (sent["event"], uuid.UUID(sent["id"])) == (show_forms.TEST, uuid.UUID(id))
    assert world.store.notices().waiting() == []


def test_no_test_of_what_is_not_there(world: Singly, receiver: str) -> None:
    """Nor of anything else."""
    world.declare_one(receiver)
    with closing(world.courier()) as courier:
        courier.turn()
        for body in (b"Notification/other", b"Settings/s", b"", b"\xff", b"x" * 10_000):
            with pytest.raises(AskError) as raised:
                courier.tests.asked(body, 0.0)
            assert raised.value.code == "not-found"


def test_a_private_address_is_told_nothing(world: Singly, receiver: str) -> None:
    """Not of what happens, nor by a test, unless the document allows it; the log says why."""
    world.declare_one(receiver.replace("http:", "https:"), private=False)
    with closing(world.courier()) as courier:
        courier.turn()
        world.store.event("rollout.started", "Rollout/x", "")
        turns(world, courier)
        courier.tests.asked(NAME.encode(), 0.0)
    assert Receiver.got == []
    assert [("is not a public address" in one.error, one.outcome) for one in world.attempts()] == [(True, "failed")] * 2


@pytest.mark.slow
def test_slow_receivers_of_tests_hold_up_nothing(tmp_path: Path, receiver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second test of the same waits for no thread: it is told that one is on its way; what happens is told meanwhile."""
    monkeypatch.setattr(outbound, "PATIENCE_S", 250.0)
    world = Singly(tmp_path, at_once=False)
    with closing(world.store), closing(world.courier()) as courier:
        world.declare_one(f"{receiver}/slow")
        courier.turn()
        courier.tests.asked(NAME.encode(), 0.0)
        soon(lambda: len(Receiver.got) == 1)
        with pytest.raises(AskError) as raised:
            courier.tests.asked(NAME.encode(), 0.0)
        assert raised.value.code == "busy"
        world.declare_one(f"{receiver}/fine")
        world.store.event("rollout.started", "Rollout/x", "")

        def arrived() -> bool:
            courier.turn()
            return len(Receiver.got) == 2

        soon(arrived)
        assert world.counted == [] or world.counted == ["told"]
        Receiver.enough.set()
        soon(lambda: sorted(world.counted) == ["failed", "told"])


HOSTILE: list[dict[str, Any]] = [
    {"kind": "rollout.started", "ref": "Rollout/a/b/c/d", "message": "\x1b[31m\0" * 1000, "at": 1e12, "number": 1},
    {"kind": "health.", "ref": "Proxy/", "message": "was ", "at": 0, "number": 1},
    {"kind": "", "ref": "", "message": "", "at": -1, "number": 1},
]


@pytest.mark.parametrize("event", HOSTILE)
def test_whatever_happened_is_words(event: dict[str, Any]) -> None:
    """No event makes a message that cannot be sent, or that drives anybody's terminal."""
    made = show_forms.payload({"id": "no uuid", "notification": "Notification/x", "at": 1.0, "events": [event], "more": 0})
    said = json.dumps(made, ensure_ascii=False)
    assert "\x1b" not in said
    uuid.UUID(made["id"])


def test_how_a_proxy_fares_in_three_words() -> None:
    """What is not known is said so; a change within a word is none."""
    words = ["healthy", "degraded", "unhealthy", "starting", "unknown", "none", ""]
    assert [show_forms.proxy_status(word) for word in words] == ["healthy"] + ["unhealthy"] * 2 + ["unknown"] * 4
    assert show_forms.told("health.healthy", "Proxy/a", "was starting")
    assert not show_forms.told("health.degraded", "Proxy/a", "was unhealthy: waits")
    assert not show_forms.told("health.healthy", "Container/a", "was unhealthy")
