"""Metrics: what was kept is answered in every resolution; what makes no sense is refused by name; tenants are apart."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from api.readings import MOST_POINTS, latest
from reconciler.core.model import Ref
from reconciler.core.readings import METRICS, Reading, tenant
from reconciler.ourselves import Ourselves
from reconciler.seams import Seams
from tests.api.envoy_fleet import edges
from tests.api.envoy_fleet.playing import Dialect

# On a boundary of every resolution, long ago.
DAY = 19_000 * 86400
# 300 is a bin that ends at 40 ms, 301 one that ends at 41.
MINUTE = Reading(600, 6, 60_000, 3, 1, {300: 590, 301: 10})


def proxy(dialect: Dialect) -> str:
    """The id of Proxy/edge-1, which a person has declared in Git."""
    edges.edge_fleet(dialect)
    return edges.proxy(dialect, "edge-1")


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def over(start: float, end: float, **more: object) -> dict[str, object]:
    return {"start_time": iso(start), "end_time": iso(end), **more}


def points(said: dict[str, Any], metric: str) -> dict[float, float]:
    """Seconds since DAY ⇒ value."""
    return {datetime.fromisoformat(one["timestamp"]).timestamp() - DAY: one["value"] for one in said["metrics"][metric]}


def test_every_resolution(dialect: Dialect) -> None:
    """By name and by id; rates are of the time that was seen, gaps are gaps, percentiles are of all requests together."""
    id = proxy(dialect)
    slow = Reading(60, 60, 60_000, 9, 1, {400: 60})
    rows = {("Proxy/edge-1", DAY + 60 * n): MINUTE for n in range(10) if n != 3} | {("Proxy/edge-1", DAY + 600): slow}
    dialect.store.readings.write(rows, {}, DAY + 660)
    said = dialect.made("metrics.proxy", ids={"id": id}, query=over(DAY, DAY + 3600))
    assert (said["proxy_id"], said["resolution"]) == (id, "1m")
    assert said["time_range"] == {"start": iso(DAY), "end": iso(DAY + 3600)}
    assert said["metrics"].keys() == set(METRICS)
    assert points(said, "requests_per_second") == {60 * n: 10.0 for n in range(10) if n != 3} | {600: 1.0}
    assert points(said, "error_rate")[600] == 1.0
    asked = over(DAY + 10, DAY + 601, resolution="5m", metrics="p99_latency_ms, error_rate,error_rate")
    said = dialect.made("metrics.proxy", ids={"id": "edge-1"}, query=asked)
    assert list(said["metrics"]) == ["p99_latency_ms", "error_rate"]
    assert points(said, "error_rate") == {0: 0.01, 300: 0.01, 600: 1.0}
    assert points(said, "p99_latency_ms")[0] == pytest.approx(points(said, "p99_latency_ms")[300])
    for resolution in ("1h", "1d"):
        said = dialect.made("metrics.proxy", ids={"id": id}, query=over(DAY, DAY + 60, resolution=resolution))
        assert points(said, "requests_per_second") == {0: round((9 * 600 + 60) / 600, 3)}
        # Not the mean of the percentiles of eleven minutes: sixty of the slow are more than one in a hundred.
        assert points(said, "p99_latency_ms")[0] > 10 * points(said, "p50_latency_ms")[0]


def test_what_is_left_out(dialect: Dialect) -> None:
    """The last hour; and as fine as is not too long."""
    id = {"id": proxy(dialect)}
    said = dialect.made("metrics.proxy", ids=id)
    start, end = (datetime.fromisoformat(said["time_range"][name]).timestamp() for name in ("start", "end"))
    assert end - start == 3600
    assert abs(end - time.time()) < 60
    assert said["metrics"] == {name: [] for name in METRICS}
    for hours, resolution in ((1, "1m"), (6, "5m"), (24, "5m"), (72, "1h"), (24 * 40, "1d"), (24 * 1000, "1d")):
        assert dialect.made("metrics.proxy", ids=id, query=over(DAY, DAY + 3600 * hours))["resolution"] == resolution
    assert dialect.made("metrics.proxy", ids=id, query={"end_time": iso(DAY)})["time_range"]["start"] == iso(DAY - 3600)
    for same in ("2022-01-08T00:00:00", "2022-01-08", "2022-01-08T01:00:00+01:00"):
        assert dialect.made("metrics.proxy", ids=id, query={"end_time": same})["time_range"]["end"] == iso(DAY)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"start_time": "yesterday"}, "start_time"),
        ({"start_time": ""}, "start_time"),
        ({"end_time": "2024-13-01T00:00:00Z"}, "end_time"),
        ({"end_time": "0001-01-01T00:00:00+23:00"}, "end_time"),
        ({"start_time": "9999-12-31T23:59:59Z"}, "start_time"),
        (over(DAY, DAY), "start_time"),
        (over(DAY + 60, DAY), "start_time"),
        ({"resolution": "2m"}, "resolution"),
        (over(DAY, DAY + 60 * (MOST_POINTS + 1), resolution="1m"), "resolution"),
        (over(0, DAY), "resolution"),
        ({"start_time": "0001-01-01T00:00:00Z"}, "start_time"),
        ({"metrics": "error_rate,cost"}, "metrics"),
        ({"metrics": ""}, "metrics"),
        ({"metrics": "error_rate,"}, "metrics"),
        ({"from": "2024-01-01"}, "from"),
    ],
)
def test_refused_by_name(query: dict[str, object], field: str, dialect: Dialect) -> None:
    """Of all of them, with the parameter and why."""
    proxy(dialect)
    for id, name in (("metrics.proxy", "edge-1"), ("metrics.system", "")):
        status, code, details = dialect.refused(id, ids={"id": name}, query=query)
        assert (status, code, details["field"]) == (422, "VALIDATION_ERROR", field)
        assert details["reason"]


def test_as_many_points_as_there_may_be(dialect: Dialect) -> None:
    id = {"id": proxy(dialect)}
    dialect.store.readings.write({("Proxy/edge-1", DAY + 60 * n): MINUTE for n in range(400)}, {}, DAY + 60 * 400)
    said = dialect.made("metrics.proxy", ids=id, query=over(DAY, DAY + 60 * MOST_POINTS, resolution="1m"))
    assert len(points(said, "requests_per_second")) == 400


def test_clusters(dialect: Dialect) -> None:
    """Over all proxies; those of an unused one are empty, and what is no Cluster is not found."""
    made = dialect.made("clusters.create", {"name": "web"})
    dialect.store.readings.write({("Cluster/web", DAY): MINUTE, ("Proxy/web", DAY): MINUTE}, {}, DAY + 60)
    for id in (made["id"], "web", made["id"][:8]):
        said = dialect.made("metrics.cluster", ids={"id": id}, query=over(DAY, DAY + 60))
        assert said["cluster_id"] == made["id"]
        assert points(said, "active_connections") == {0: 3.0}
    assert dialect.refused("metrics.proxy", ids={"id": "web"})[:2] == (404, "NOT_FOUND")


def test_who_may(dialect: Dialect) -> None:
    """Viewers; another tenant's is not there, and a name that both have is each one's own."""
    id = proxy(dialect)
    assert dialect.ask("metrics.proxy", ids={"id": id}, role="viewer").status_code == 200
    assert dialect.refused("metrics.proxy", ids={"id": id}, role=None)[:2] == (403, "FORBIDDEN")
    assert dialect.ask("metrics.system", Authorization="Bearer cvy_nobody").status_code == 401
    for name in (id, "edge-1", "never-was"):
        assert dialect.refused("metrics.proxy", ids={"id": name}, tenant="acme")[:2] == (404, "NOT_FOUND")
    dialect.made("clusters.create", {"name": "site"})
    dialect.made("clusters.create", {"name": "site"}, tenant="acme")
    dialect.store.readings.write({("Cluster/site", DAY): MINUTE}, {}, DAY + 60)
    asked = over(DAY, DAY + 60)
    assert points(dialect.made("metrics.cluster", ids={"id": "site"}, query=asked), "error_rate") == {0: 0.01}
    assert points(dialect.made("metrics.cluster", ids={"id": "site"}, query=asked, tenant="acme"), "error_rate") == {}


def test_the_whole(dialect: Dialect) -> None:
    """Before anybody has looked it is empty; then each tenant has its own, and what Convoy uses is for those who run it."""
    said = dialect.made("metrics.system", role="viewer")
    assert (said["timestamp"], said["convoy"], said["hosts"], said["resources"]) == (None, None, [], {})
    assert set(said["traffic"].values()) == {None}
    told = Ourselves(Seams()).now((), None, 7, True)
    told |= {"at": DAY, "hosts": {"here": {"cpu": None, "memory_bytes": 5, "instances": 1}}}
    told |= {"resources": {"default": {"Proxy": {"healthy": 2}}, "acme": {"Proxy": {"unhealthy": 1}}}}
    minute = int(time.time()) // 60 * 60 - 60
    every = {(tenant("default"), minute): MINUTE, (tenant("acme"), minute): Reading(60, 0, 60_000, 1, 1, {})}
    dialect.store.readings.write(every, told, minute + 60)
    said = dialect.made("metrics.system", query={"metrics": "requests_per_second"})
    assert said["timestamp"] == iso(DAY)
    assert said["resources"] == {"Proxy": {"healthy": 2}}
    assert said["traffic"]["requests_per_second"] == 10.0
    assert said["hosts"] == [{"name": "here", "cpu": None, "memory_bytes": 5, "instances": 1}]
    assert said["loop"] == {"rounds": 7, "turning": True}
    assert said["convoy"]["memory_bytes"] > 0
    assert [one["value"] for one in said["metrics"]["requests_per_second"]] == [10.0]
    said = dialect.made("metrics.system", tenant="acme")
    assert (said["convoy"], said["loop"], said["hosts"], said["resources"]) == (None, None, None, {"Proxy": {"unhealthy": 1}})
    assert said["traffic"]["requests_per_second"] == 1.0


def test_what_was_spoiled_is_not_there(dialect: Dialect) -> None:
    """Whatever stands in the readings, the answer has its form."""
    for spoiled in (
        {"convoy": 3, "hosts": [1], "resources": "x", "at": "now"},
        {"hosts": {"a": 5}, "resources": {"default": 1}},
    ):
        dialect.store.readings.write({}, spoiled, DAY)
        said = dialect.made("metrics.system")
        assert (said["convoy"], said["hosts"], said["resources"], said["timestamp"]) == (None, [], {}, None)


def test_readings_that_cannot_be_read(dialect: Dialect) -> None:
    """503 for who asks for them; who lists proxies has none of them."""
    id = proxy(dialect)
    dialect.store.readings.write({("Proxy/edge-1", DAY): MINUTE}, {}, DAY + 60)
    Path(dialect.store.readings.shown).write_bytes(b"this is no database" * 1000)
    assert dialect.refused("metrics.proxy", ids={"id": id})[:2] == (503, "SERVICE_UNAVAILABLE")
    assert latest(dialect.store, [Ref("Proxy", "edge-1")]) == {}


def test_the_latest(dialect: Dialect) -> None:
    """Of many proxies at once; who has nothing lately is not there."""
    minute = int(time.time()) // 60 * 60 - 60
    rows = {(f"Proxy/p{n}", minute): MINUTE for n in range(3)} | {("Proxy/old", minute - 600): MINUTE}
    rows |= {("Proxy/idle", minute): Reading(0, 0, 60_000, 0, 1, {})}
    dialect.store.readings.write(rows, {}, minute + 60)
    refs = [Ref("Proxy", name) for name in ("p0", "p1", "p2", "old", "idle", "none")]
    found = latest(dialect.store, refs)
    assert found.keys() == {refs[0], refs[1], refs[2], refs[4]}
    assert found[refs[0]]["requests_per_second"] == 10.0
    assert found[refs[4]] == {"requests_per_second": 0.0, "error_rate": None, "p99_latency_ms": None}
    assert json.dumps(found[refs[0]])
