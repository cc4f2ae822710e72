"""Reads what an Envoy counts from its admin page's JSON: requests, errors, connections, and how long requests took."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from reconciler.core.running import Traffic

# https://www.envoyproxy.io/docs/envoy/latest/operations/admin#get--stats?format=json&histogram_buckets=detailed
# The filter is, unquoted: ^(http\..*\.downstream_rq_(total|5xx|time)|listener\..*\.downstream_cx_active)$
FILTER = "%5E%28http%5C..%2A%5C.downstream_rq_%28total%7C5xx%7Ctime%29%7Clistener%5C..%2A%5C.downstream_cx_active%29%24"
STATS = f"/stats?format=json&histogram_buckets=detailed&filter={FILTER}"
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
