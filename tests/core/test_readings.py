"""What Envoys have counted is read whatever they say, subtracted, added up, and no percentile leaves its bin."""

import json
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.envoy_stats import COUNTS, MOST_CLUSTERS, MOST_COUNTED, counts
from reconciler.core.latency import LAST, added, bin_of, bounds, packed, percentile_ms, unpacked
from reconciler.core.model import Ref
from reconciler.core.readings import Reading, Served, beside, joined, rolled, series, served, subject, values
from reconciler.core.running import Counted, Counts, Usage

BINS = st.integers(0, LAST)
HISTOGRAMS = st.dictionaries(BINS, st.integers(1, 1 << 44), max_size=30)
TIMES = st.lists(st.floats(0, 1e7), min_size=1, max_size=60)
READINGS = st.builds(
    Reading,
    st.integers(0, 1 << 40),
    st.integers(0, 1 << 40),
    st.integers(0, 90_000),
    st.integers(0, 10_000),
    st.integers(0, 3),
    HISTOGRAMS,
)
ROWS = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 200_000).map(lambda at: at - at % 60), READINGS), max_size=30
)


def histogram(times: list[float]) -> Counter[int]:
    return Counter(map(bin_of, times))


def test_every_bin_begins_where_it_says() -> None:
    """A bin's beginning is in it, its end in the next; they grow, and none is wider than a tenth of what it begins with."""
    assert bin_of(0) == bin_of(-1) == bin_of(float("nan")) == 0
    assert bounds(0) == (0.0, 0.0)
    assert bin_of(float("inf")) == bin_of(1e300) == LAST
    assert bin_of(1e-9) == 1
    for bin in range(1, LAST + 1):
        begin, end = bounds(bin)
        assert bin_of(begin) == bin
        assert bin_of(end) == min(LAST, bin + 1)
        assert begin < end <= begin * 1.1 * (1 + 1e-12)
    # Envoy's own: http://…/stats?histogram_buckets=detailed says 43 and a width of 1, 1100 and a width of 100.
    assert bounds(bin_of(43)) == (43.0, 44.0)
    assert bounds(bin_of(1100)) == (1100.0, 1200.0)


@given(HISTOGRAMS)
def test_what_is_packed_is_unpacked(found: dict[int, int]) -> None:
    """And a few bytes hold it."""
    assert unpacked(packed(found)) == found
    assert len(packed(found)) <= 10 * len(found)


@given(st.binary(max_size=60))
def test_spoiled_bytes_are_an_error_or_a_histogram(data: bytes) -> None:
    """Nothing else, and nothing beyond the last bin."""
    try:
        found = unpacked(data)
    except ValueError:
        return
    assert all(0 <= bin <= LAST for bin in found)


@given(TIMES, TIMES, st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0]))
def test_percentiles_of_what_is_added_up_are_within_their_bin(one: list[float], other: list[float], share: float) -> None:
    """Of two histograms as one: as of all the times together, exact up to the bin; what averages would not give."""
    both = added([histogram(one), histogram(other)])
    assert both == histogram(one + other)
    every = sorted(one + other)
    number = next(n for n in range(1, len(every) + 1) if n >= share * len(every) - 1e-6)
    assert percentile_ms(both, share) == bounds(bin_of(every[number - 1]))[1]


def test_there_is_no_percentile_of_nothing() -> None:
    assert percentile_ms({}, 0.5) is None
    assert percentile_ms({5: 0}, 0.5) is None


@given(ROWS, st.randoms(use_true_random=False))
def test_rolled_up_step_by_step_is_rolled_up_at_once(rows: list[tuple[str, int, Reading]], dice: random.Random) -> None:
    """A day from hours from five minutes is a day from minutes, in whatever order they come."""
    step = rows
    for seconds in (300, 3600, 86400):
        found = rolled(step, seconds)
        shuffled = [*rows]
        dice.shuffle(shuffled)
        assert found == rolled(shuffled, seconds)
        step = [(whose, at, one) for (whose, at), one in found.items()]
        dice.shuffle(step)


@given(st.lists(READINGS, max_size=5))
def test_nothing_is_lost_by_adding_up(every: list[Reading]) -> None:
    assert joined(every).requests == beside(every).requests == sum(one.requests for one in every)
    assert joined(every).latency == beside(every).latency
    assert joined([joined(every)]) == joined(every)


def look(at: float, requests: int = 0, errors: int = 0, pid: int = 7, age: float | None = None, **more: Any) -> Usage:
    took = packed({bin_of(5): requests})
    whole = Counted(requests, errors, 3, took)
    said = Counts(at, whole, more.pop("clusters", {"web": whole}))
    return Usage(Ref("Proxy", "edge"), "i1", "here", 0.0, 0, 1, at, counts=said, pid=pid, age_s=age, **more)


def test_two_looks_say_what_was_served_between_them() -> None:
    """Requests, errors and latencies are subtracted; connections are as they are."""
    found = served(look(0, 1000, 10), look(60, 1600, 13), 0)
    want = Reading(600, 3, 60_000, 3, 1, {bin_of(5): 600})
    assert found == Served(60, want, {"web": want})
    assert values(want) == {
        "requests_per_second": 10.0,
        "error_rate": 0.005,
        "p50_latency_ms": 5.1,
        "p90_latency_ms": 5.1,
        "p99_latency_ms": 5.1,
        "active_connections": 3.0,
    }


@pytest.mark.parametrize(
    ("before", "now"),
    [
        pytest.param(None, look(60, 600, age=500.0), id="it ran before anybody looked"),
        pytest.param(None, look(60, 600), id="nobody knows since when it runs"),
        pytest.param(look(0, 1000, pid=6), look(60, 600, age=100.0), id="another process since before the first look"),
        pytest.param(look(0, 1000), look(200, 2000), id="too far apart for a minute"),
        pytest.param(look(0, 1000), look(0, 1000), id="the same look"),
        pytest.param(look(0, 1000), look(60, 600), id="counters that went back"),
        pytest.param(look(0, 1000), Usage(Ref("Proxy", "edge"), "i1", "here", 0.0, 0, 1, 60, pid=7), id="it did not answer"),
    ],
)
def test_what_nobody_can_tell_is_a_gap(before: Usage | None, now: Usage) -> None:
    assert served(before, now, 0) is None


def test_what_began_since_the_first_look_has_counted_from_nothing() -> None:
    """A new instance, or an Envoy that was started again: by its process, also where it has counted more by now."""
    assert served(None, look(60, 600, age=20.0), 0) == Served(60, *_both(Reading(600, 0, 20_000, 3, 1, {bin_of(5): 600})))
    again = served(look(0, 100, pid=6), look(60, 600, age=20.0), 0)
    assert again == served(None, look(60, 600, age=20.0), 0)


def _both(one: Reading) -> tuple[Reading, dict[str, Reading]]:
    return one, {"web": one}


def test_a_cluster_that_was_taken_away_and_came_again_counts_from_nothing() -> None:
    fewer = {"web": Counted(5), "new": Counted(2)}
    found = served(look(0, 1000), look(60, 1600, clusters=fewer), 0)
    assert found is not None
    assert {name: one.requests for name, one in found.clusters.items()} == {"web": 5, "new": 2}


def test_without_requests_there_is_no_share_of_errors() -> None:
    """None were made: a rate of zero, and nothing else is known."""
    assert values(Reading(0, 0, 60_000, 0, 1, {})) == {"requests_per_second": 0.0, "active_connections": 0.0}
    assert values(Reading()) == {}
    rows = {120: Reading(60, 0, 60_000, 0, 1, {1: 60}), 0: Reading(0, 0, 60_000, 0, 1, {})}
    assert series(rows, ("requests_per_second", "error_rate")) == {
        "requests_per_second": [(0, 0.0), (120, 1.0)],
        "error_rate": [(120, 0.0)],
    }


def test_whose_readings_a_clusters_are() -> None:
    """Its document's; of two Configurations, each has its own of a name."""
    assert subject(Ref("Cluster", "web", "shop"), "web") == str(Ref("Cluster", "web", "shop"))
    assert subject(Ref("Configuration", "a"), "web") != subject(Ref("Configuration", "b"), "web")


def stats(*more: dict[str, Any]) -> bytes:
    """As Envoy 1.40 says it."""
    totals = [{"lower_bound": 0, "width": 0, "count": 3}, {"lower_bound": 43, "width": 1, "count": 2}]
    histograms = [
        {"name": name, "totals": totals, "intervals": totals}
        for name in ("http.in.downstream_rq_time", "http.admin.downstream_rq_time", "cluster.we.b.upstream_rq_time")
    ]
    return json.dumps(
        {
            "stats": [
                {"name": "cluster.we.b.upstream_rq_completed", "value": 10},
                {"name": "cluster.we.b.upstream_rq_5xx", "value": 4},
                {"name": "cluster.we.b.upstream_cx_active", "value": 2},
                {"name": "http.admin.downstream_rq_completed", "value": 99},
                {"name": "http.in.downstream_rq_completed", "value": 5},
                {"name": "http.in.downstream_rq_5xx", "value": 1},
                {"name": "listener.0.0.0.0_80.downstream_cx_active", "value": 6},
                {"name": "listener.0.0.0.0_80.worker_0.downstream_cx_active", "value": 6},
                *more,
                {"histograms": {"supported_percentiles": [0], "details": histograms}},
            ]
        }
    ).encode()


def test_what_an_envoy_says_is_read() -> None:
    """What the admin page itself causes is nobody's traffic."""
    took = packed({0: 3, bin_of(43): 2})
    assert counts(stats(), 9.0) == Counts(9.0, Counted(5, 1, 6, took), {"we.b": Counted(10, 4, 2, took)})
    assert COUNTS.count("filter=") == 1


def test_an_envoy_may_say_anything() -> None:
    """No nonsense is believed, no number is too large for a database, and of too many names the busiest are kept."""
    for nonsense in (b"", b"[]", b'{"stats": 3}', b'{"stats": [3]}', b"[" * 100_000, b"\xff", b'{"stats":[{"name":3}]}'):
        assert counts(nonsense, 0.0) is None
    huge = {"name": "http.in.downstream_rq_5xx", "value": 1 << 62}
    found = counts(
        stats(
            huge, {"name": "cluster..upstream_rq_5xx", "value": 1}, {"name": f"cluster.{'x' * 300}.upstream_rq_5xx", "value": 1}
        ),
        0.0,
    )
    assert found is not None
    assert found.whole.errors == MOST_COUNTED + 1
    assert list(found.clusters) == ["we.b"]
    many = [{"name": f"cluster.c{n}.upstream_rq_completed", "value": n} for n in range(MOST_CLUSTERS + 50)]
    found = counts(stats(*many), 0.0)
    assert found is not None
    assert len(found.clusters) == MOST_CLUSTERS
    assert "c49" not in found.clusters
    assert f"c{MOST_CLUSTERS + 49}" in found.clusters
