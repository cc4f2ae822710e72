"""The server over real gRPC: who gets in, what they are told, and what is known of them."""

import threading
from dataclasses import replace

import pytest

from reconciler.core.model import Ref, XdsResource
from reconciler.seams import Seams
from reconciler.xds import server as server_module
from reconciler.xds.identity import Identity, token

from .conftest import World
from .snapshot import raw, snapshot
from .wired import ADS

KEY = b"k" * 32
WORLD = snapshot([raw("cds", "a", "1"), raw("eds", "a", "1")])


def test_a_node_is_told_its_snapshot_and_known_by_what_it_acknowledged(world: World) -> None:
    """Publish, connect, ACK: `connected` says so, the counters count, and wake is called; the same version is nothing new."""
    server = world.server()
    server.publish("n", WORLD)
    client = world.client(server)
    client.send("cds")
    said = client.read()
    assert [(r.name, r.version) for r in said.resources] == [("a", "1")]
    client.ack(said)
    known = world.until(server, lambda all: "cds" in all["n"].acked if "n" in all else False)["n"]
    world.until(server, lambda all: all["n"].acked.get("cds") == {"a": "1"})
    assert (known.node, known.sent) == ("n", WORLD.version)
    server.publish("n", WORLD)
    server.publish("n", snapshot([raw("cds", "a", "2")]))
    assert [(r.name, r.version) for r in client.read().resources] == [("a", "2")]
    counters = server.counters()
    assert counters.streams == 1
    assert counters.connects == 1
    assert counters.acks == {"cds": 1}
    assert counters.bytes_sent > 100
    assert len(counters.latencies_s) == 1
    world.until(server, lambda _: server.counters().pushes["cds"] == 2)
    client.close()
    world.until(server, lambda all: all == {})


def test_a_token_opens_one_node(world: World) -> None:
    """C20: the right token gets in; none, a wrong one and another node's do not."""
    server = world.server(identity=Identity(KEY))
    server.publish("n", WORLD)
    good = world.client(server, token=token(KEY, "n"))
    good.send("cds")
    assert len(good.read().resources) == 1
    for bad in ("", "00", token(KEY, "other"), token(b"another key", "n")):
        client = world.client(server, token=bad)
        client.send("cds")
        assert client.ended()[0] == "PERMISSION_DENIED"
    assert server.counters().denied == 4
    assert set(server.connected()) == {"n"}


@pytest.mark.parametrize(
    "content",
    [b"\xff\xff\xff", b"\x12\x03\x0a\x01\xff", b"\x0a\x80\x80\x80\x80\x10", b""],
    ids=["garbage", "not UTF-8", "a length of 4 GB", "no node"],
)
@pytest.mark.parametrize("method", ["StreamAggregatedResources", "DeltaAggregatedResources"])
def test_hostile_bytes_end_their_own_stream_alone(world: World, content: bytes, method: str) -> None:
    """INVALID_ARGUMENT for whoever sends them, before it is known as anybody."""
    server = world.server()
    client = world.client(server, method=ADS + method)
    client.send_bytes(content)
    assert client.ended()[0] == "INVALID_ARGUMENT"
    assert server.connected() == {}


def test_a_node_may_not_change_on_a_stream(world: World) -> None:
    """C12: over the wire, with the reason in the status."""
    server = world.server()
    server.publish("n", WORLD)
    client = world.client(server)
    client.send("cds")
    client.read()
    client.node = "m"
    client.send("eds")
    code, details = client.ended()
    assert (code, "'n'" in details) == ("INVALID_ARGUMENT", True)


def test_who_comes_too_early_is_held_then_served(world: World) -> None:
    """A restarted control plane serves at once those who waited for it to load."""
    server = world.server()
    client = world.client(server)
    client.send("cds")
    world.until(server, lambda all: "n" in all)
    server.publish("n", WORLD)
    assert len(client.read().resources) == 1


def test_who_is_not_known_is_sent_away_and_never_told_that_there_is_nothing(world: World) -> None:
    """UNAVAILABLE, so that an Envoy keeps what it has and comes back; the same when a node is forgotten."""
    server = world.server(hold_s=0.1)
    client = world.client(server)
    client.send("cds")
    assert client.ended()[0] == "UNAVAILABLE"
    server.publish("n", WORLD)
    client = world.client(server)
    client.send("cds")
    client.read()
    server.forget("n")
    assert client.ended()[0] == "UNAVAILABLE"
    world.until(server, lambda all: all == {})


def test_two_streams_of_a_node_count_as_the_one_behind(world: World) -> None:
    """While one Envoy replaces another, what either may still use is in use."""
    server = world.server()
    server.publish("n", WORLD)
    old, new = world.client(server), world.client(server)
    for client in (old, new):
        client.send("cds")
        client.ack(client.read())
    world.until(server, lambda _: server.counters().acks == {"cds": 2})
    server.publish("n", snapshot([raw("cds", "a", "2"), raw("cds", "b", "1")]))
    told = new.read()
    new.ack(told)
    known = world.until(server, lambda all: "b" in all["n"].acked["cds"])["n"]
    assert known.acked["cds"] == {"a": "1", "b": "1"}
    assert not known.synced
    old.ack(old.read())
    world.until(server, lambda all: all["n"].acked["cds"] == {"a": "2", "b": "1"})


def test_of_two_envoys_under_one_node_it_is_known_which_is_in_step(world: World) -> None:
    """While one replaces the other each says which instance it is; one of an earlier Convoy does not, and is counted."""
    server = world.server()
    server.publish("n", snapshot([raw("sds", "a", "1")]))
    old, new, mute = world.client(server, instance="h/v1"), world.client(server, instance="h/v2"), world.client(server)
    for client in (old, new, mute):
        client.send("sds", resource_names_subscribe=["a"])
    world.until(server, lambda _: server.counters().pushes == {"sds": 3})
    assert server.connected()["n"].instances == {"h/v1": False, "h/v2": False}
    new.ack(new.read())
    known = world.until(server, lambda all: all["n"].instances == {"h/v1": False, "h/v2": True})["n"]
    assert (known.synced, known.unnamed) == (False, 1)
    for client in (old, mute):
        client.ack(client.read())
    world.until(server, lambda all: all["n"].synced)
    old.close()
    world.until(server, lambda all: all["n"].instances == {"h/v2": True})


@pytest.mark.parametrize("said", ["x" * 300, ""])
def test_an_instance_that_cannot_be_one_is_none(world: World, said: str) -> None:
    """What is not ours to understand is as if it were not said."""
    server = world.server()
    server.publish("n", WORLD)
    client = world.client(server, instance=said)
    client.send("cds")
    client.read()
    assert server.connected()["n"].instances == {}
    assert server.connected()["n"].unnamed == 1


def test_a_secret_is_opened_when_it_is_sent_and_not_kept(world: World) -> None:
    """Each stream's own opening; one that cannot be opened is reported like a refusal and stops nothing else."""
    opened: list[str] = []

    def open_secret(resource: XdsResource) -> bytes:
        opened.append(resource.name)
        if resource.name == "broken":
            raise ValueError("wrong key")
        return b"\x0a\x01s"

    server = world.server(open_secret=open_secret)
    secrets = [replace(raw("sds", name, "1"), body=b"", secret=Ref("Certificate", name)) for name in ("good", "broken")]
    server.publish("n", snapshot(secrets))
    for _ in range(2):
        client = world.client(server)
        client.send("sds", resource_names_subscribe=["good"])
        said = client.read()
        assert said.resources[0].resource.type_url == "s"
        client.ack(said, resource_names_subscribe=["broken"])
        known = world.until(server, lambda all: "n" in all and bool(all["n"].nacks))["n"]
        assert known.nacks[0].names == ("broken",)
        assert known.nacks[0].versions == ("1",)
        assert "wrong key" in known.nacks[0].message
        client.send("cds")
        assert client.read().type_url.endswith("Cluster")
        client.close()
        world.until(server, lambda all: all == {})
    assert opened.count("good") == 2


@pytest.mark.parametrize("service", ["cluster.v3.Cluster", "endpoint.v3.Endpoint", "listener.v3.Listener", "route.v3.Route"])
@pytest.mark.parametrize("method", ["Stream", "Delta"])
def test_the_services_per_type_are_served(world: World, service: str, method: str) -> None:
    """Without ADS the same machines answer, one type each."""
    kind = service.rpartition(".")[2]
    type = {"Cluster": "cds", "Endpoint": "eds", "Listener": "lds", "Route": "rds"}[kind]
    server = world.server()
    server.publish("n", snapshot([raw(type, "x", "1")]))
    client = world.client(server, method=f"/envoy.service.{service}DiscoveryService/{method}{kind}s")
    client.send("", **{"resource_names_subscribe" if method == "Delta" else "resource_names": ["x"]})
    assert len(client.read().resources) == 1


def test_who_says_nothing_is_not_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream without a request ends after a while, and one that its client ends at once leaves nothing."""
    monkeypatch.setattr(server_module, "FIRST_REQUEST_S", 0.1)
    server = world.server()
    assert world.client(server).ended()[0] == "DEADLINE_EXCEEDED"
    monkeypatch.setattr(server_module, "FIRST_REQUEST_S", 60.0)
    polite = world.client(server)
    polite.send_bytes(None)
    assert polite.ended()[0] == "OK"
    assert server.connected() == {}


def test_stopping_says_so(world: World) -> None:
    """Streams end with a reason, so that an Envoy comes back to who serves next; a second stop does nothing."""
    server = world.server()
    server.publish("n", WORLD)
    client = world.client(server)
    client.send("cds")
    client.read()
    server.stop()
    server.stop()
    assert client.ended()[0] == "UNAVAILABLE"


def test_a_client_that_reads_nothing_slows_nobody(world: World) -> None:
    """Its writes stop at flow control and its versions are skipped; another client hears each at once."""
    server = world.server()
    slow, fast = world.client(server, node="slow"), world.client(server, node="fast")
    big = replace(raw("cds", "big", "1"), body=b"\x12\x80\x80\x80\x01" + bytes(2 << 20))
    for round in range(20):
        told = snapshot([replace(big, version=str(round)), raw("cds", "a", str(round))])
        server.publish("slow", told)
        server.publish("fast", snapshot([raw("cds", "a", str(round))]))
        if round == 0:
            slow.send("cds")
            fast.send("cds")
        said = fast.read()
        assert said.resources[-1].version == str(round)
        fast.ack(said)
    assert server.counters().bytes_sent < 20 << 20
    server.forget("slow")
    assert slow.ended()[0] == "UNAVAILABLE"


def test_a_fault_in_writing_ends_that_stream_and_the_client_may_return(world: World) -> None:
    """The seam before each write: what it raises is that connection's failure and no more."""
    broken = threading.Event()
    broken.set()

    class Faulty(Seams):
        def point(self, name: str, *about: object) -> None:
            if name == "xds.write" and broken.is_set():
                raise OSError("the wire is cut")

    server = world.server(seams=Faulty())
    server.publish("n", WORLD)
    client = world.client(server)
    client.send("cds")
    assert client.ended()[0] == "UNAVAILABLE"
    broken.clear()
    client = world.client(server)
    client.send("cds")
    assert len(client.read().resources) == 1


def test_a_storm_of_connections_loses_none(world: World) -> None:
    """Two hundred at once, each told its own, all known."""
    server = world.server()
    clients = []
    for i in range(200):
        server.publish(f"n{i}", WORLD)
        clients.append(world.client(server, node=f"n{i}"))
    for client in clients:
        client.send("cds")
    for client in clients:
        client.ack(client.read())
    world.until(server, lambda all: sum(one.acked.get("cds") == {"a": "1"} for one in all.values()) == 200)
    assert server.counters().streams == 200
