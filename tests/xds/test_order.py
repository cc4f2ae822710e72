"""Make before break on one stream: what is sent when, and what waits for what."""

from typing import Any

import pytest

from reconciler.core.model import XdsResource
from reconciler.xds.pace import Pace

from .peer import DeltaPeer, SotwPeer
from .snapshot import raw

Either = DeltaPeer | SotwPeer
EITHER = pytest.mark.parametrize("make", [DeltaPeer, SotwPeer])


def blue(version: str = "1") -> list[XdsResource]:
    return [
        raw("cds", "blue", version, eds="blue"),
        raw("eds", "blue", version),
        raw("lds", "l", version, refers=(("rds", "r"),)),
        raw("rds", "r", version, refers=(("cds", "blue"),)),
    ]


def green() -> list[XdsResource]:
    return [raw("cds", "green", "1", eds="green"), raw("eds", "green", "1"), raw("lds", "l", "2"), raw("rds", "r", "2")]


def started(make: type[Either], **more: Any) -> Either:
    """A client that has all of blue."""
    peer = make(**more)
    peer.publish(*blue())
    peer.subscribe("cds")
    peer.settle()
    peer.subscribe("eds", "blue")
    peer.subscribe("lds")
    peer.settle()
    peer.subscribe("rds", "r")
    peer.settle()
    assert peer.stream.synced
    return peer


@EITHER
def test_the_old_goes_when_the_new_is_in_use(make: type[Either]) -> None:
    """C16: clusters, listeners, routes, each after the one before is acknowledged; then the removal."""
    peer = started(make, pace=Pace(linger_s=0.5))
    peer.publish(*green())
    clusters = peer.one()
    assert clusters.type == "cds"
    assert clusters.named["green"] == "1"
    assert clusters.delta or clusters.named["blue"] == "1"
    assert clusters.removed == []
    peer.ack(clusters)
    if isinstance(peer, SotwPeer):
        peer.subscribe("eds", "blue", "green", nonce=next(t.nonce for t in reversed(peer.heard) if t.type == "eds"))
    else:
        peer.subscribe("eds", "green")
    endpoints, *rest = peer.pull()
    assert (endpoints.type, rest) == ("eds", [])
    peer.ack(endpoints)
    listeners = peer.one()
    assert listeners.type == "lds"
    peer.ack(listeners)
    routes = peer.one()
    assert routes.type == "rds"
    peer.ack(routes)
    assert peer.pull() == []
    assert not peer.stream.synced
    assert peer.stream.look_at == peer.clock.time_s + 0.5
    peer.clock.time_s += 0.5
    removal = peer.one()
    assert removal.type == "cds"
    assert removal.removed == ["blue"] if removal.delta else removal.named == {"green": "1"}
    peer.ack(removal)
    assert peer.stream.acked()["cds"] == {"green": "1"}


@EITHER
def test_endpoints_follow_every_changed_cluster_at_once(make: type[Either]) -> None:
    """C17: without waiting for the ACK, which an Envoy holds back until they come; under a nonce of their own."""
    peer = started(make)
    before = {told.nonce for told in peer.heard}
    peer.publish(raw("cds", "blue", "2", eds="blue"), *blue()[1:])
    clusters, endpoints = peer.pull()
    assert (clusters.type, endpoints.type) == ("cds", "eds")
    assert endpoints.named == {"blue": "1"}
    assert endpoints.nonce not in before
    peer.ack(endpoints, clusters)
    assert peer.pull() == []
    assert peer.stream.synced


@EITHER
def test_new_endpoints_wait_for_nothing(make: type[Either]) -> None:
    """A change of endpoints alone is one message."""
    peer = started(make)
    peer.publish(blue()[0], raw("eds", "blue", "2"), *blue()[2:])
    assert [(told.type, told.named) for told in peer.settle()] == [("eds", {"blue": "2"})]


@EITHER
def test_a_step_without_an_answer_does_not_block_for_ever(make: type[Either]) -> None:
    """After the deadline the next step is taken and the silence is reported; nothing is removed unacknowledged."""
    peer = started(make)
    peer.publish(*green())
    assert [told.type for told in peer.pull()] == ["cds"]
    peer.clock.time_s += 19
    assert peer.pull() == []
    assert peer.stream.overdue() == []
    peer.clock.time_s += 2
    assert [told.type for told in peer.pull()] == ["lds"]
    assert [flight.body.type for flight in peer.stream.overdue()] == ["cds"]
    assert peer.stream.overdue() == []


@EITHER
def test_after_a_refusal_later_steps_wait_for_a_better_snapshot(make: type[Either]) -> None:
    """A route must not lead to a cluster that was refused; what comes next frees the way."""
    peer = started(make)
    peer.publish(*green())
    peer.nack(peer.one(), "Error adding/updating cluster(s) green: no")
    assert [told.type for told in peer.settle()] == ["cds"], "green is taken back, and nothing goes on"
    peer.publish(*blue()[:2], *green()[2:])
    assert [told.type for told in peer.settle()] == ["lds", "rds"]
    peer = started(make)
    peer.publish(*green())
    peer.nack(peer.one(), "Error adding/updating cluster(s) green: no")
    peer.settle()
    peer.clock.time_s += 21
    assert "lds" in [told.type for told in peer.pull()]


@EITHER
def test_a_refused_route_keeps_its_cluster(make: type[Either]) -> None:
    """What the client still routes to is not taken away, however long it takes."""
    peer = started(make)
    peer.publish(raw("cds", "green", "1"), raw("lds", "l", "1"), raw("rds", "r", "2"))
    peer.ack(*peer.pull())
    routes = peer.one()
    assert routes.type == "rds"
    peer.nack(routes, "no such thing")
    peer.clock.time_s += 100
    assert peer.pull() == []
    assert "blue" in peer.stream.acked()["cds"]


@EITHER
def test_one_refusal_does_not_keep_what_nothing_uses(make: type[Either]) -> None:
    """A listener that cannot bind on this machine, for ever, does not hold up the removal of clusters it does not lead to."""
    peer = started(make)
    routes = raw("rds", "r", "2", refers=(("cds", "green"),))
    peer.publish(raw("cds", "green", "1"), blue()[2], raw("lds", "taken", "1"), routes)
    peer.ack(*peer.pull())
    listeners = peer.one()
    peer.nack(listeners, "Error adding/updating listener(s) taken: cannot bind")
    peer.clock.time_s += 21
    assert [told.type for told in peer.settle()][:2] == ["rds", "cds"]
    assert set(peer.stream.acked()["cds"]) == {"green"}
    assert not peer.stream.synced


@EITHER
def test_the_newest_snapshot_wins(make: type[Either]) -> None:
    """What was published while an answer was awaited is skipped but for the last, and a slow answer is overtaken.

    Clusters wait longer for their answer: they may be refused whole, and so must be alone on their way.
    """
    peer = started(make)
    peer.publish(raw("cds", "blue", "2"), *blue()[1:])
    second = peer.one()
    for version in ("3", "4", "5"):
        peer.publish(raw("cds", "blue", version), *blue()[1:])
        assert peer.pull() == []
    peer.ack(second)
    fifth = peer.one()
    assert fifth.named == {"blue": "5"}
    peer.publish(raw("cds", "blue", "6"), *blue()[1:])
    assert peer.pull() == []
    peer.clock.time_s += 1.5
    assert peer.pull() == []
    peer.clock.time_s += 19.0
    sixth = peer.one()
    assert sixth.named == {"blue": "6"}
    peer.ack(fifth, sixth)
    assert peer.stream.acked()["cds"] == {"blue": "6"}
    assert peer.pull() == []


def test_a_slow_answer_about_endpoints_is_overtaken() -> None:
    """By difference, where addresses moved must not wait for a client that is slow to say that it heard of the last move."""
    peer = started(DeltaPeer)
    moved = [raw("eds", "blue", version) for version in ("2", "3")]
    peer.publish(*blue()[:1], moved[0], *blue()[2:])
    assert peer.one().named == {"blue": "2"}
    peer.publish(*blue()[:1], moved[1], *blue()[2:])
    assert peer.pull() == []
    peer.clock.time_s += 1.5
    assert peer.one().named == {"blue": "3"}


@EITHER
@pytest.mark.parametrize("words", ["no", "Error adding/updating cluster(s) green: no"])
def test_a_client_that_refuses_everything_is_left_in_peace(make: type[Either], words: str) -> None:
    """No answer of a client can make us talk without end: what it refused is not said again, nor is what undoes it."""
    peer = started(make)
    peer.publish(*green(), raw("cds", "red", "1"), raw("eds", "red", "1"))
    before = len(peer.heard)
    for _ in range(100):
        for told in peer.pull():
            peer.nack(told, words)
        peer.clock.time_s += 5
    assert len(peer.heard) - before < 20
    assert peer.pull() == []


@EITHER
def test_a_starting_client_is_in_sync_when_it_has_asked_for_all(make: type[Either]) -> None:
    """Acknowledged clusters alone are not a configured Envoy."""
    peer = make()
    peer.publish(*blue())
    peer.subscribe("cds")
    peer.settle()
    assert not peer.stream.synced
    peer.subscribe("eds", "blue")
    peer.settle()
    peer.subscribe("lds")
    peer.settle()
    assert not peer.stream.synced
    peer.subscribe("rds", "r")
    peer.settle()
    assert peer.stream.synced


@EITHER
def test_nothing_is_said_before_something_is_published(make: type[Either]) -> None:
    """Not knowing what a node should run is not the same as knowing that it should run nothing."""
    peer = make()
    peer.subscribe("cds")
    assert peer.pull() == []
    assert not peer.stream.synced
    peer.publish(*blue())
    assert peer.one().type == "cds"


@EITHER
def test_equal_bodies_are_the_same_bytes(make: type[Either]) -> None:
    """A thousand streams cost one encoding, and hold one mapping of what they have."""
    first = started(make)
    second = started(make, library=first.library)
    for peer in (first, second):
        peer.publish(raw("cds", "blue", "2"), *blue()[1:])
    one, other = first.stream.next(), second.stream.next()
    assert one is not None
    assert other is not None
    assert one[1].encoded(lambda _: b"") is other[1].encoded(lambda _: b"")
    assert first.stream.topics[one[0].url].expected is second.stream.topics[one[0].url].expected
