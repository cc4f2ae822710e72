"""The state-of-the-world protocol, clause by clause (the numbers are those of the list of conformance clauses)."""

import pytest

from reconciler.xds.admission import Rejected
from reconciler.xds.entries import ABSENT
from reconciler.xds.snapshots import Library

from .peer import SotwPeer
from .snapshot import raw

A1, A2, B1, C1 = raw("cds", "a", "1"), raw("cds", "a", "2"), raw("cds", "b", "1"), raw("cds", "c", "1")


def test_the_wildcard_and_names_follow_each_other() -> None:
    """C1: empty means all, `*` and a name all, a name that one, and empty after that nothing."""
    peer = SotwPeer()
    peer.publish(A1, B1)
    peer.subscribe("cds")
    said = peer.one()
    assert said.named == {"a": "1", "b": "1"}
    peer.subscribe("cds", "*", "a", nonce=said.nonce)
    peer.settle()
    peer.subscribe("cds", "a", nonce=peer.heard[-1].nonce)
    peer.settle()
    assert peer.stream.acked()["cds"] == {"a": "1"}
    peer.publish(A1, raw("cds", "b", "2"))
    assert peer.settle() == []
    peer.subscribe("cds", nonce=peer.heard[-1].nonce)
    peer.publish(A2)
    assert peer.settle() == []


def test_clusters_and_listeners_are_told_whole_and_the_rest_as_it_changed() -> None:
    """C10: what a whole answer leaves out is gone; endpoints come alone."""
    peer = SotwPeer()
    peer.publish(A1, B1, raw("eds", "a", "1"), raw("eds", "b", "1"))
    peer.subscribe("cds")
    peer.subscribe("eds", "a", "b")
    peer.settle()
    peer.publish(A2, B1, raw("eds", "a", "1"), raw("eds", "b", "2"))
    assert [told.named for told in peer.settle()] == [{"a": "2", "b": "1"}, {"b": "2"}]
    peer.publish()
    assert peer.one().named == {}


def test_a_stale_nonce_says_nothing() -> None:
    """C9: neither an answer nor a wish, but a refusal of what is on its way is heard."""
    peer = SotwPeer()
    peer.publish(raw("eds", "a", "1"), raw("eds", "b", "1"))
    peer.subscribe("eds", "a")
    first = peer.one()
    peer.ack(first)
    peer.publish(raw("eds", "a", "2"), raw("eds", "b", "1"))
    second = peer.one()
    peer.subscribe("eds", "a", "b", nonce=first.nonce)
    assert peer.pull() == []
    peer.subscribe("eds", "a", "b", nonce=second.nonce)
    assert peer.one().named == {"b": "1"}


def test_an_ack_is_not_answered_but_the_same_request_again_is() -> None:
    """C3: a warming cluster asks for its endpoints in the very words of an ACK."""
    peer = SotwPeer()
    peer.publish(raw("eds", "a", "1"))
    peer.subscribe("eds", "a")
    first = peer.one()
    peer.ack(first)
    assert peer.pull() == []
    peer.ack(first)
    again = peer.one()
    assert again.named == {"a": "1"}
    assert again.nonce != first.nonce


def test_missing_endpoints_are_an_empty_assignment() -> None:
    """C6, C19: at once, with a reason, and replaced when they come; they do not count as acknowledged content."""
    peer = SotwPeer()
    peer.publish(raw("eds", "a", "1"))
    peer.subscribe("eds", "a", "b")
    said = peer.one()
    assert said.named == {"a": "1", "b": ABSENT}
    assert set(said.errors) == {"b"}
    peer.ack(said)
    assert peer.stream.acked()["eds"] == {"a": "1"}
    assert peer.stream.synced
    peer.publish(raw("eds", "a", "1"), raw("eds", "b", "1"))
    assert [told.named for told in peer.settle()] == [{"b": "1"}]


def test_other_missing_names_get_a_reason_once() -> None:
    """C19: an empty answer that says why, then silence."""
    peer = SotwPeer()
    peer.publish(A1)
    peer.subscribe("rds", "r")
    said = peer.one()
    assert (said.named, set(said.errors)) == ({}, {"r"})
    peer.ack(said)
    assert peer.pull() == []
    peer.subscribe("lds", "l")
    assert set(peer.one().errors) == {"l"}


def test_a_refused_content_is_told_as_the_client_has_it() -> None:
    """C8: later whole answers carry the old one, so nothing is removed and nothing refused is repeated."""
    peer = SotwPeer()
    peer.publish(A1, B1)
    peer.subscribe("cds")
    peer.settle()
    peer.publish(A2, B1, raw("cds", "bad", "1"))
    peer.nack(peer.one(), "Error adding/updating cluster(s) a: no, bad: never")
    assert [told.named for told in peer.settle()] == [{"a": "1", "b": "1"}]
    assert peer.refusals == [("cds", ("a",), "no"), ("cds", ("bad",), "never")]
    peer.publish(A2, B1, C1, raw("cds", "bad", "1"))
    assert [told.named for told in peer.settle()] == [{"a": "1", "b": "1", "c": "1"}]
    peer.publish(raw("cds", "a", "3"), B1, C1)
    assert [told.named for told in peer.settle()] == [{"a": "3", "b": "1", "c": "1"}]
    assert peer.stream.synced


def test_the_guilty_is_found_by_halves_in_whole_answers_too() -> None:
    """C8: what is tried stands beside everything that is in force."""
    peer = SotwPeer()
    peer.publish(A1)
    peer.subscribe("cds")
    peer.settle()
    peer.publish(A1, B1, C1, raw("cds", "bad", "1"))
    while said := peer.pull():
        assert said[0].named["a"] == "1"
        if "bad" in said[0].named:
            peer.nack(said[0], "invalid duration")
        else:
            peer.ack(said[0])
    assert peer.stream.acked()["cds"] == {"a": "1", "b": "1", "c": "1"}
    assert peer.refusals == [("cds", ("bad",), "invalid duration")]


def test_who_comes_back_loses_nothing_it_still_uses() -> None:
    """C7, C16: the version of its last clusters tells what it has, and what is gone stays until the routes have moved."""
    library = Library()
    before = SotwPeer(library=library)
    before.publish(A1, B1, raw("rds", "r", "1"), raw("eds", "b", "1"))
    before.subscribe("cds")
    before.subscribe("rds", "r")
    before.subscribe("eds", "b")
    before.settle()
    peer = SotwPeer(library=library)
    peer.publish(A1, C1, raw("rds", "r", "2"))
    peer.subscribe("cds", version=before.version["cds"])
    peer.subscribe("rds", "r", version=before.version["rds"])
    peer.subscribe("eds", "b", version=before.version["eds"])
    said = peer.one()
    assert said.named == {"a": "1", "b": "1", "c": "1"}
    peer.ack(said)
    assert [(told.type, told.named) for told in peer.settle()] == [
        ("rds", {"r": "2"}),
        ("cds", {"a": "1", "c": "1"}),
        ("eds", {"b": ABSENT}),
    ]


def test_an_unknown_type_is_answered_empty() -> None:
    """C13: and the stream goes on."""
    peer = SotwPeer()
    peer.publish(A1)
    peer.subscribe("type.googleapis.com/envoy.service.runtime.v3.Runtime", "layer")
    assert set(peer.one().errors) == {"layer"}
    peer.subscribe("cds")
    assert peer.one().named == {"a": "1"}


def test_a_service_of_one_type_serves_that_type() -> None:
    """Off ADS the type need not be said, and another one is refused."""
    peer = SotwPeer(only="cds")
    peer.publish(A1)
    peer.subscribe("")
    assert peer.one().named == {"a": "1"}
    with pytest.raises(Rejected):
        peer.subscribe("eds", "a")


def test_every_name_comes_once() -> None:
    """C11: no answer holds one name twice, however it is owed."""
    peer = SotwPeer()
    peer.publish(raw("eds", "a", "1"))
    peer.subscribe("eds", "a")
    peer.ack(peer.one())
    peer.publish(raw("eds", "a", "2"))
    peer.subscribe("eds", "a", "b", nonce=peer.heard[-1].nonce)
    assert len(peer.one().message.resources) == 2
