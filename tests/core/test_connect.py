"""connect(): snapshots name the backends that are really there, and change only when these do."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from envoy.config.core.v3 import health_check_pb2  # type: ignore[import-untyped]
from envoy.config.endpoint.v3 import endpoint_pb2  # type: ignore[import-untyped]
from envoy.config.listener.v3 import listener_pb2  # type: ignore[import-untyped]

from reconciler.core.connect import Connector, check
from reconciler.core.envoy import content, endpoints_of
from reconciler.core.model import FleetState, Health, HealthStatus, Key, Observed, ObservedState, Ref, Snapshot
from tests.core.written import CONFIGURATION, EDGE, HOST, WEB, written

HOSTS = HOST + "---\nkind: Host\nmetadata: {name: far}\nspec: {address: 10.0.0.9}\n"
TWO = EDGE + "---\nkind: Proxy\nmetadata: {name: edge-2}\nspec: {group: edge, host: local, ports: {http: 10001}}\n"
FLEET = written(web=WEB, edge=TWO, configuration=CONFIGURATION, host=HOSTS).fleet()
EDS = "Application/web/http"


def seen(
    name: str,
    port: int,
    health: HealthStatus = "healthy",
    instance: str = "",
    host: str = "local",
    fleet: FleetState = FLEET,
    **fields: Any,
) -> Observed:
    """One instance of a replica of web; the one that is wanted, unless said otherwise."""
    ref = Ref("Container", name)
    want = fleet.workloads.get(ref)
    given = {
        "uid": want.uid if want else "uid-Application/web",
        "owner": "Application/web",
        "state": "running",
        "address": "127.0.0.1",
        "ports": {"http": port, "admin": port + 10_000},
        **fields,
    }
    return Observed(ref, instance or (want.instance if want else "gone"), host, given, Health(health), 1.0)


def state(*instances: Observed, blind: Mapping[str, str] | None = None) -> ObservedState:
    found: dict[Key, Observed] = {one.key: one for one in instances}
    return ObservedState(found, blind or {})


def listed(snapshot: Snapshot, name: str = EDS) -> dict[int, str]:
    """Port ⇒ health of the endpoints in an assignment."""
    resource = snapshot.get("eds", name)
    assert resource is not None
    message = endpoint_pb2.ClusterLoadAssignment.FromString(content(resource.body))
    return {
        one.endpoint.address.socket_address.port_value: health_check_pb2.HealthStatus.Name(one.health_status)
        for group in message.endpoints
        for one in group.lb_endpoints
    }


def connected(*instances: Observed, fleet: FleetState = FLEET, blind: Mapping[str, str] | None = None) -> dict[int, str]:
    return listed(Connector().connect(fleet, state(*instances, blind=blind), {})["edge-1"])


def test_nothing_runs_yet() -> None:
    """Every assignment that a cluster asks for is there, if empty: a proxy need not wait for an answer."""
    snapshots = Connector().connect(FLEET, ObservedState({}), {})
    assert list(snapshots) == ["edge-1", "edge-2"]
    assert {type: list(resources) for type, resources in snapshots["edge-1"].resources.items()} == {
        "cds": ["web"],
        "eds": [EDS],
        "sds": [],
        "lds": ["http"],
        "rds": ["main"],
    }
    assert listed(snapshots["edge-1"]) == {}
    assert check(snapshots["edge-1"]) == []


def test_health_is_marked_and_nobody_is_dropped() -> None:
    """A sick endpoint stays listed as such; even when all are, so that a failing probe empties no cluster."""
    assert connected(seen("web-1", 1), seen("web-2", 2, "unhealthy")) == {1: "HEALTHY", 2: "UNHEALTHY"}
    assert connected(seen("web-1", 1, "unhealthy"), seen("web-2", 2, "starting")) == {1: "UNHEALTHY", 2: "UNHEALTHY"}


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        ("healthy", {2: "HEALTHY", 9: "HEALTHY"}),
        ("starting", {1: "HEALTHY", 9: "HEALTHY"}),
        ("unhealthy", {1: "HEALTHY", 9: "HEALTHY"}),
    ],
)
def test_the_old_stays_until_the_new_is_healthy(new: HealthStatus, expected: dict[int, str]) -> None:
    """Before the new instance is healthy the old one serves alone; from then on the new one does."""
    assert connected(seen("web-1", 1, instance="old"), seen("web-1", 2, new), seen("web-2", 9)) == expected


def test_a_stopping_instance_drains() -> None:
    """What is being stopped gets no new requests, but keeps those it has."""
    assert connected(seen("web-1", 1, state="stopping"), seen("web-2", 2)) == {1: "DRAINING", 2: "HEALTHY"}
    assert connected(seen("web-1", 1, instance="old", state="stopping"), seen("web-1", 3), seen("web-2", 2)) == {
        2: "HEALTHY",
        3: "HEALTHY",
    }


def test_replicas_beyond_the_wanted_number() -> None:
    """Surplus replicas leave as soon as one that is wanted can take their requests, and not before."""
    assert connected(seen("web-1", 1), seen("web-3", 3)) == {1: "HEALTHY"}
    assert connected(seen("web-1", 1, "starting"), seen("web-3", 3)) == {1: "UNHEALTHY", 3: "HEALTHY"}


def test_no_replicas_wanted() -> None:
    """Nobody serves an Application of which none are wanted."""
    none = written(web=WEB.replace("replicas: 2", "replicas: 0"), edge=TWO, configuration=CONFIGURATION, host=HOSTS).fleet()
    assert connected(seen("web-1", 1, fleet=none), fleet=none) == {}


def test_a_recreated_resource() -> None:
    """An instance of a deleted resource of the same name is old, however alike."""
    assert connected(seen("web-1", 1, uid="other"), seen("web-1", 2, host="far")) == {2: "HEALTHY"}


def test_two_alike_on_two_hosts() -> None:
    """Of two equal instances the one that the planner keeps is named, so that the other can be let go of."""
    first, second = seen("web-1", 1), replace(seen("web-1", 2, host="far"), since=2.0)
    assert connected(first, second) == {1: "HEALTHY"}
    assert connected(second, first) == {1: "HEALTHY"}
    assert connected(first, second, blind={"local": "no route"}) == {2: "HEALTHY"}


def test_a_host_that_may_bear_it_no_longer() -> None:
    """A move is a replacement: the instance where it was serves until the one where it should be is healthy."""
    there = written(web=WEB.replace("replicas: 2,", "hosts: [far],"), edge=TWO, configuration=CONFIGURATION, host=HOSTS).fleet()
    old = seen("web-1", 1, fleet=there)
    assert connected(old, fleet=there) == {1: "HEALTHY"}
    assert connected(old, seen("web-1", 2, "starting", host="far", fleet=there), fleet=there) == {1: "HEALTHY"}
    assert connected(old, seen("web-1", 2, host="far", fleet=there), fleet=there) == {2: "HEALTHY"}


def test_what_has_no_address_yet() -> None:
    """An instance without a port, or with an address that EDS cannot carry, is left out and breaks nothing."""
    assert connected(seen("web-1", 1, ports={}), seen("web-2", 2, address="far.example")) == {}
    assert connected(seen("web-1", 1, ports={"http": "/run/web.sock"}), seen("web-2", 2)) == {2: "HEALTHY"}


def test_a_container_by_a_cluster() -> None:
    """A Container's port is reached by a Cluster that names it."""
    files = "kind: Container\nmetadata: {name: files}\nspec: {command: [run], ports: [{name: a}, {name: b}]}"
    cluster = "kind: Cluster\nmetadata: {name: web}\nspec: {container: files, port: b}"
    fleet = written(files=files, cluster=cluster, edge=TWO, configuration=CONFIGURATION, host=HOSTS).fleet()
    ref = Ref("Container", "files")
    fields = {"uid": fleet.workloads[ref].uid, "address": "127.0.0.1", "ports": {"a": 1, "b": 2}, "state": "running"}
    one = Observed(ref, fleet.workloads[ref].instance, "local", fields, Health("healthy"), 1.0)
    snapshot = Connector().connect(fleet, state(one), {})["edge-1"]
    assert listed(snapshot, "Container/files/b") == {2: "HEALTHY"}
    assert endpoints_of(snapshot.resources["eds"]["Container/files/b"]) == {("127.0.0.1", 2)}


def test_ports_of_ones_own() -> None:
    """A proxy with a port of its own differs from its group in that listener alone."""
    snapshots = Connector().connect(FLEET, ObservedState({}), {})
    group, own = snapshots["edge-1"], snapshots["edge-2"]
    assert group.version != own.version
    assert all(own.resources[type] is group.resources[type] for type in ("cds", "eds", "sds", "rds"))
    listener = own.resources["lds"]["http"]
    message = listener_pb2.Listener.FromString(content(listener.body))
    assert message.address.socket_address.port_value == 10001
    assert (listener.refers, listener.origin) == (group.resources["lds"]["http"].refers, group.resources["lds"]["http"].origin)


def test_a_quiet_round_gives_the_same_objects() -> None:
    """Nothing changed: the very same snapshots, also of proxies with ports of their own. Order does not matter."""
    connector = Connector()
    first = connector.connect(FLEET, state(seen("web-1", 1), seen("web-2", 2)), {})
    again = connector.connect(FLEET, state(seen("web-2", 2), seen("web-1", 1)), {})
    assert all(again[node] is first[node] for node in first)
    recompiled = written(web=WEB, edge=TWO, configuration=CONFIGURATION, host=HOSTS).fleet()
    later = connector.connect(recompiled, state(seen("web-1", 1), seen("web-2", 2)), {})
    assert all(later[node] is first[node] for node in first)


def test_a_change_rebuilds_only_its_type() -> None:
    """A backend that falls sick changes the assignments, and the other types stay the same objects."""
    connector = Connector()
    before = connector.connect(FLEET, state(seen("web-1", 1), seen("web-2", 2)), {})["edge-1"]
    after = connector.connect(FLEET, state(seen("web-1", 1), seen("web-2", 2, "unhealthy")), {})["edge-1"]
    assert after.version != before.version
    assert all(after.resources[type] is before.resources[type] for type in ("cds", "sds", "lds", "rds"))
    back = connector.connect(FLEET, state(seen("web-1", 1), seen("web-2", 2)), {})["edge-1"]
    assert back.version == before.version


SHOP = """
kind: VirtualHost
metadata: {name: shop}
spec: {group: edge, port: 8443, domains: [shop.example], backend: web, tls: {certificate: shop}}
---
kind: Certificate
metadata: {name: shop}
spec: {selfSigned: {names: [shop.example]}}
"""


def test_secrets_have_the_version_of_their_certificate() -> None:
    """A renewed certificate is a new version of its secret alone; one that cannot be had has a version that says so."""
    fleet = written(web=WEB, edge=EDGE, configuration=CONFIGURATION, host=HOST, shop=SHOP).fleet()
    connector, ref = Connector(), Ref("Certificate", "shop")
    absent = connector.connect(fleet, ObservedState({}), {})["edge-1"]
    first = connector.connect(fleet, ObservedState({}), {ref: "one"})["edge-1"]
    second = connector.connect(fleet, ObservedState({}), {ref: "two"})["edge-1"]
    assert [one.resources["sds"]["shop"].version for one in (first, second)] == ["one", "two"]
    assert absent.resources["sds"]["shop"].version not in ("", "one", "two")
    assert len({absent.version, first.version, second.version}) == 3
    assert second.resources["lds"] is first.resources["lds"]
    assert check(absent) == []


def test_what_check_says() -> None:
    """A snapshot that refers to nothing is found out, with the place to look."""
    snapshot = Connector().connect(FLEET, ObservedState({}), {})["edge-1"]
    bare = replace(snapshot, resources={**snapshot.resources, "eds": {}, "cds": {}})
    assert check(bare) == ["RDS main (configuration.yaml:8:7) refers to CDS web, which is not there"]
    bare = replace(snapshot, resources={**snapshot.resources, "eds": {}})
    assert check(bare) == [f"CDS web (web.yaml:2:1) refers to EDS {EDS}, which is not there"]
