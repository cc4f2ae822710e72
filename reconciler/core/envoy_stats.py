"""Reads what an Envoy counts from its admin page's JSON: requests, errors, connections, and how long requests took."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from heapq import nlargest
from typing import Any

import orjson

from reconciler.core.latency import bin_of, packed
from reconciler.core.running import Counted, Counts, Traffic

# https://www.envoyproxy.io/docs/envoy/latest/operations/admin#get--stats?format=json&histogram_buckets=detailed
# The filter is, unquoted: ^(http\..*\.downstream_rq_(total|5xx|time)|listener\..*\.downstream_cx_active)$
FILTER = "%5E%28http%5C..%2A%5C.downstream_rq_%28total%7C5xx%7Ctime%29%7Clistener%5C..%2A%5C.downstream_cx_active%29%24"
STATS = f"/stats?format=json&histogram_buckets=detailed&filter={FILTER}"
# The filter is, unquoted: ^(http\..*\.downstream_rq_(completed|5xx|time)|listener\..*\.downstream_cx_active
# |cluster\..*\.upstream_(rq_completed|rq_5xx|rq_time|cx_active))$
# What was never used is left out: of a thousand clusters most may be idle for ever.
COUNTS = (
    "/stats?usedonly&format=json&histogram_buckets=detailed&filter=%5E%28http%5C..%2A%5C.downstream_rq_%28completed%7C5xx%7Ctime"
    "%29%7Clistener%5C..%2A%5C.downstream_cx_active%7Ccluster%5C..%2A%5C.upstream_%28rq_completed%7Crq_5xx%7Crq_time%7Ccx_active"
    "%29%29%24"
)
# An Envoy may have as many clusters as it likes: of more, those with the most requests are counted.
MOST_CLUSTERS, LONGEST_NAME = 1_000, 255
# Beyond this nothing has counted that is an Envoy; sums of it over years still fit into what databases have for numbers.
MOST_COUNTED = 1 << 44
# What the admin page and Envoy's own calls cause is no traffic of anybody's.
OURS = ("http.admin.", "http.async-client.", "listener.admin.")


def traffic(body: bytes) -> Traffic | None:
    """None where this is not what Envoy answers."""
    try:
        stats = json.loads(body)["stats"]
        counted: Counter[str] = Counter()
        buckets: Counter[float] = Counter()
        for one in stats:
            if "histograms" in one:
                _histograms(one["histograms"], buckets)
            elif not one["name"].startswith(OURS) and ".worker_" not in one["name"]:
                counted[one["name"].rpartition(".")[2]] += int(one["value"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return Traffic(
        counted["downstream_rq_total"],
        counted["downstream_rq_5xx"],
        counted["downstream_cx_active"],
        dict(sorted(buckets.items())),
    )


def _histograms(found: Any, buckets: "Counter[float]") -> None:
    for one in found["details"]:
        if one["name"].startswith(OURS):
            continue
        for bucket in one["intervals"]:
            buckets[float(bucket["lower_bound"]) + float(bucket["width"])] += int(bucket["count"])


def counts(body: bytes, at: float) -> Counts | None:
    """What COUNTS has answered at that moment; None where this is not what Envoy answers."""
    whole, clusters = _Sum(), defaultdict[str, _Sum](_Sum)
    try:
        for one in orjson.loads(body)["stats"]:
            if "histograms" in one:
                for histogram in one["histograms"]["details"]:
                    if place := _place(histogram["name"]):
                        _fill(clusters[place[0]] if place[0] else whole, histogram["totals"])
            elif (place := _place(one["name"])) is not None:
                (clusters[place[0]] if place[0] else whole).counted[place[1]] += _number(one["value"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    busiest = nlargest(MOST_CLUSTERS, clusters.items(), key=lambda one: (one[1].counted["rq_completed"], one[0]))
    return Counts(at, whole.told(), {name: one.told() for name, one in busiest})


class _Sum:
    """What is being added up."""

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()
        self.latency: dict[int, int] = {}

    def told(self) -> Counted:
        found = self.counted
        return Counted(found["rq_completed"], found["rq_5xx"], found["cx_active"], packed(self.latency))


def _place(name: str) -> tuple[str, str] | None:
    """The cluster, "" for the Envoy as a whole, and what is counted; None for what is nobody's traffic."""
    head, _, word = name.rpartition(".")
    kind, _, rest = head.partition(".")
    if kind != "cluster":
        return None if name.startswith(OURS) or ".worker_" in name else ("", word.removeprefix("downstream_"))
    return (rest, word.removeprefix("upstream_")) if 0 < len(rest) <= LONGEST_NAME else None


def _number(value: Any) -> int:
    return value if type(value) is int and 0 <= value <= MOST_COUNTED else min(MOST_COUNTED, max(0, int(value)))


def _fill(sum: _Sum, totals: Any) -> None:
    # A thousand Envoys with fifty clusters each have more than a million of these.
    latency = sum.latency
    for bucket in totals:
        bin = bin_of(bucket["lower_bound"])
        latency[bin] = latency.get(bin, 0) + _number(bucket["count"])


def percentile(buckets: Mapping[float, int], share: float) -> float | None:
    """The upper bound in ms under which this share (0 to 1) of the requests stayed; None where there were none."""
    total, below = sum(buckets.values()), 0
    if total <= 0:
        return None
    for bound, number in sorted(buckets.items()):
        below += number
        if below >= share * total:
            return bound
    return max(buckets)
