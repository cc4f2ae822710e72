"""The incremental protocol, clause by clause (the numbers are those of the list of conformance clauses)."""

import pytest

from reconciler.xds.admission import MOST_TYPES, Rejected
from reconciler.xds.snapshots import Library

from .peer import DeltaPeer
from .snapshot import raw

A1, A2, B1, C1 = raw("cds", "a", "1"), raw("cds", "a", "2"), raw("cds", "b", "1"), raw("cds", "c", "1")


def test_an_empty_first_subscription_means_everything_and_holds_until_it_is_left() -> None:
    """C1: the legacy wildcard goes on beside a name, and ends with unsubscribing from `*`."""
    peer = DeltaPeer()
    peer.publish(A1, B1)
    peer.subscribe("cds")
    first = peer.one()
    assert first.named == {"a": "1", "b": "1"}
    peer.ack(first)
    peer.subscribe("cds", "a")
    assert [told.named for told in peer.settle()] == [{"a": "1"}]
    peer.publish(A1, B1, C1)
    assert [told.named for told in peer.settle()] == [{"c": "1"}]
    peer.subscribe("cds", leave=["*"])
    peer.publish(A2, raw("cds", "b", "2"), C1)
    assert [told.named for told in peer.settle()] == [{"a": "2"}]
    peer.subscribe("cds", leave=["a"])
    peer.publish(raw("cds", "a", "3"))
    assert peer.settle() == []


def test_a_name_alone_is_not_a_wildcard() -> None:
    """C1: whoever starts with a name gets that name."""
    peer = DeltaPeer()
    peer.publish(A1, B1)
    peer.subscribe("cds", "a")
    assert peer.one().named == {"a": "1"}


def test_a_stale_nonce_does_not_lose_a_subscription() -> None:
    """C2: wishes hold whatever the nonce says."""
    peer = DeltaPeer()
    peer.publish(raw("eds", "a", "1"), raw("eds", "b", "1"))
    peer.subscribe("eds", "a")
    peer.ack(peer.one())
    peer.subscribe("eds", "b", nonce="long-gone")
    assert peer.one().named == {"b": "1"}


def test_asking_again_is_answered_again() -> None:
    """C3: also for what the client already has, under a nonce of its own."""
    peer = DeltaPeer()
    peer.publish(raw("eds", "a", "1"))
    peer.subscribe("eds", "a")
    first = peer.one()
    peer.ack(first)
    peer.subscribe("eds", "a")
    again = peer.one()
    assert again.named == {"a": "1"}
    assert again.nonce != first.nonce


def test_leaving_a_name_that_the_wildcard_covers_is_answered() -> None:
    """C4: with the resource when it is there, with its removal when it is not. C5: leaving what was never asked for is not."""
    peer = DeltaPeer()
    peer.publish(A1)
    peer.subscribe("cds", "*", "a", "nope")
    peer.settle()
    peer.subscribe("cds", leave=["a"])
    assert peer.one().named == {"a": "1"}
    peer.settle()
    peer.subscribe("cds", leave=["nope"])
    assert peer.one().removed == ["nope"]
    peer.subscribe("cds", leave=["never-asked"])
    assert peer.pull() == []


def test_missing_is_an_answer_and_what_comes_later_is_sent() -> None:
    """C6, C19: removed and with a reason, at once and once; sent when it is created."""
    peer = DeltaPeer()
    peer.publish(A1)
    peer.subscribe("eds", "a")
    said = peer.one()
    assert (said.named, said.removed) == ({}, ["a"])
    assert "'a'" in said.errors["a"]
    peer.ack(said)
    assert peer.pull() == []
    peer.publish(A1, raw("eds", "a", "1"))
    assert peer.one().named == {"a": "1"}


def test_who_comes_back_is_told_only_what_changed() -> None:
    """C7: equal content is not sent, changed is, vanished is removed; endpoints and routes are always answered."""
    peer = DeltaPeer()
    peer.publish(A1, B1, raw("eds", "a", "1"), raw("lds", "l", "1"), raw("rds", "r", "1"))
    peer.subscribe("cds", have={"a": "1", "b": "0", "gone": "7"})
    said = peer.one()
    assert (said.named, said.removed) == ({"b": "1"}, [])
    peer.subscribe("lds", have={"l": "1"})
    peer.ack(said)
    removal = peer.one()
    assert (removal.named, removal.removed) == ({}, ["gone"])
    peer.ack(removal)
    peer.subscribe("eds", "a", have={"a": "1"})
    peer.subscribe("rds", "r", have={"r": "1"})
    assert [(told.type, told.named) for told in peer.settle()] == [("eds", {"a": "1"}), ("rds", {"r": "1"})]
    assert peer.stream.synced


def test_who_comes_back_with_everything_is_told_nothing() -> None:
    """C7: a restart of ours costs the proxies nothing, and they count as in sync at once."""
    peer = DeltaPeer()
    peer.publish(A1, raw("lds", "l", "1"))
    peer.subscribe("cds", have={"a": "1"})
    peer.subscribe("lds", have={"l": "1"})
    assert peer.pull() == []
    assert peer.stream.synced
    assert peer.stream.acked() == {"cds": {"a": "1"}, "lds": {"l": "1"}}


def test_an_empty_world_is_an_answer() -> None:
    """C10: a new client is told that there is nothing, instead of waiting for it."""
    peer = DeltaPeer()
    peer.publish()
    peer.subscribe("cds")
    said = peer.one()
    assert (said.named, said.removed) == ({}, [])
    peer.ack(said)
    assert peer.stream.synced


def test_a_refused_content_is_not_sent_again_until_it_changes() -> None:
    """C8: neither after other changes nor when asked; a wish in the refusal is honoured; the rest counts as accepted."""
    peer = DeltaPeer()
    peer.publish(A1, B1)
    peer.subscribe("cds")
    peer.settle()
    peer.publish(A2, B1, C1)
    said = peer.one()
    peer.subscribe("cds", "d", nonce=said.nonce, error="Error adding/updating cluster(s) a: it is bad")
    absent = peer.one()
    assert absent.removed == ["d"]
    assert absent.named == {"a": "1"}, "what it has is said again, lest it keeps half of what it refused"
    peer.ack(absent)
    assert peer.stream.acked()["cds"] == {"a": "1", "b": "1", "c": "1"}
    assert peer.refusals == [("cds", ("a",), "it is bad")]
    assert not peer.stream.synced
    peer.publish(A2, raw("cds", "b", "2"), C1)
    assert [told.named for told in peer.settle()] == [{"b": "2"}]
    peer.subscribe("cds", "a")
    assert peer.settle() == []
    peer.publish(raw("cds", "a", "3"), B1, C1)
    assert [told.named for told in peer.settle()] == [{"a": "3", "b": "1"}]
    assert peer.stream.synced


def test_a_cluster_that_is_half_made_is_taken_back() -> None:
    """After a refusal without names every new cluster of it is removed until it is tried; no refusal is answered for ever."""
    peer = DeltaPeer()
    peer.publish(A1)
    peer.subscribe("cds")
    peer.settle()
    peer.publish(A1, B1, C1, raw("cds", "d", "1"))
    peer.nack(peer.one(), "no")
    tried = peer.one()
    assert (tried.named, tried.removed) == ({"b": "1"}, ["c", "d"])
    peer.nack(tried, "no")
    said = peer.settle()
    assert said[0].removed == ["b"]
    assert peer.stream.acked()["cds"] == {"a": "1", "c": "1", "d": "1"}


def test_when_no_name_is_given_the_guilty_is_found_by_halves() -> None:
    """C8: nothing is assumed of an anonymous refusal; every innocent ends in force and only the guilty are reported."""
    peer = DeltaPeer()
    peer.publish(*(raw("rds", f"r{i}", "1") for i in range(8)))
    peer.subscribe("rds", *(f"r{i}" for i in range(8)))
    tries = 0
    while said := peer.pull():
        tries += 1
        bad = {"r2", "r6"} & said[0].named.keys()
        if bad:
            peer.nack(said[0], f"something about a route{' ' * tries}in it")
        else:
            peer.ack(said[0])
    assert peer.stream.acked()["rds"] == {f"r{i}": "1" for i in range(8) if i not in (2, 6)}
    assert peer.refusals == [
        ("rds", ("r2",), "something about a route in it"),
        ("rds", ("r6",), "something about a route in it"),
    ]
    assert tries < 14


def test_one_client_tries_suspects_for_all() -> None:
    """What one finds spares the others; when it finds nothing in time another one takes over."""
    library = Library()
    first, second = DeltaPeer(library=library), DeltaPeer(library=library)
    for peer in (first, second):
        peer.publish(raw("rds", "a", "1"), raw("rds", "b", "1"))
        peer.subscribe("rds", "a", "b")
        peer.nack(peer.one(), "no")
    assert [told.named for told in first.pull()] == [{"a": "1"}]
    assert second.pull() == []
    assert second.stream.look_at is not None
    second.clock.time_s += 21
    assert [told.named for told in second.pull()] == [{"a": "1"}]


def test_a_secret_is_never_taken_back_but_an_unknown_one_is_answered() -> None:
    """C18: an Envoy fails requests over the removal of a secret it uses."""
    peer = DeltaPeer()
    secret = raw("sds", "s", "1")
    peer.publish(secret)
    peer.subscribe("sds", "s", "unknown")
    said = peer.one()
    assert (said.named, said.removed) == ({"s": "1"}, ["unknown"])
    peer.ack(said)
    peer.publish()
    assert peer.settle() == []
    assert peer.stream.acked()["sds"] == {"s": "1"}
    peer.subscribe("sds", leave=["s"])
    assert peer.stream.acked()["sds"] == {}


def test_an_unknown_type_is_answered_and_harms_nothing() -> None:
    """C13: names are removed, everything is empty, and the stream goes on."""
    peer = DeltaPeer()
    peer.publish(A1)
    peer.subscribe("type.googleapis.com/envoy.service.runtime.v3.Runtime", "layer")
    assert peer.one().removed == ["layer"]
    peer.subscribe("type.googleapis.com/google.protobuf.Empty")
    assert peer.one().named == {}
    peer.subscribe("cds")
    assert peer.one().named == {"a": "1"}


@pytest.mark.parametrize(
    ("node", "type", "code"),
    [("", "cds", "INVALID_ARGUMENT"), ("n" * 300, "cds", "INVALID_ARGUMENT"), ("n", "", "INVALID_ARGUMENT")],
)
def test_who_does_not_say_who_or_what_is_rejected(node: str, type: str, code: str) -> None:
    """C12, C13: the first request names a node, and every one on ADS a type."""
    peer = DeltaPeer()
    peer.node = node
    with pytest.raises(Rejected) as caught:
        peer.subscribe(type)
    assert caught.value.code == code


def test_the_node_is_said_once_and_may_not_change() -> None:
    """C12: later requests may leave it out or repeat it."""
    peer = DeltaPeer()
    peer.publish(A1)
    peer.subscribe("cds")
    peer.ack(peer.one())
    peer.node = "proxy-1"
    peer.subscribe("eds", "a")
    peer.node = "proxy-2"
    with pytest.raises(Rejected):
        peer.subscribe("eds", "b")


def test_subscriptions_are_bounded() -> None:
    """A client cannot make us remember without end."""
    peer = DeltaPeer()
    with pytest.raises(Rejected) as caught:
        peer.subscribe("eds", *(str(i) for i in range(200_001)))
    assert caught.value.code == "RESOURCE_EXHAUSTED"
    peer = DeltaPeer()
    with pytest.raises(Rejected):
        peer.subscribe("eds", "x" * 3000)
    peer = DeltaPeer()
    for i in range(MOST_TYPES):
        peer.subscribe(f"type{i}")
    with pytest.raises(Rejected):
        peer.subscribe("one-more")
