"""What the process that serves HTTP counts of itself, for Prometheus. No label holds what a client has made up."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from flask import Flask, request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from werkzeug.wsgi import ClosingIterator

from api.limits import LIMITED
from reconciler.metrics import SECONDS

# Anything may stand where a method does.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"
# Who answers where no surface does.
ROOT = "root"
RULE = "convoy.rule"


class Counts:
    """Of one process, in a registry of its own. Thread-safe."""

    def __init__(self, lost: Callable[[], Mapping[str, int]] = dict) -> None:
        """`lost`: rows of the audit that are lost, by class, since the start; asked at each scrape."""
        self._registry = registry = CollectorRegistry()
        by = ["surface", "operation", "method", "status"]
        self._requests = Counter(
            "convoy_http_requests", 'Requests answered; an operation is "" where none was meant.', by, registry=registry
        )
        self._seconds = Histogram(
            "convoy_http_request_seconds",
            "Time to an answer, or to a stream's begin.",
            ["surface"],
            buckets=SECONDS,
            registry=registry,
        )
        self._limited = Counter(
            "convoy_http_limited",
            "Requests that met a limit: their own (429), or everybody's (503).",
            ["surface", "status"],
            registry=registry,
        )
        self._streams = Gauge("convoy_http_streams", "Open streams (WebSockets).", registry=registry)
        registry.register(_Lost(lost))
        self._known: dict[tuple[str, str, str, int], tuple[Counter, Histogram]] = {}

    def answered(self, environ: Mapping[str, Any], status: int, seconds: float, answer: Iterable[bytes]) -> Iterable[bytes]:
        """One more request; what is returned is the answer, and ends a stream's count when that is closed."""
        surface, operation = environ["convoy.operation"][:2] if "convoy.operation" in environ else environ.get(RULE, (ROOT, ""))
        method = environ.get("REQUEST_METHOD", "")
        requests, took = self._labelled(surface, operation, method if method in METHODS else OTHER, status // 100)
        requests.inc()
        took.observe(seconds)
        # A 503 may also be the store's.
        if status == 429 or (status == 503 and LIMITED in environ):
            self._limited.labels(surface, str(status)).inc()
        if status != 101:
            return answer
        self._streams.inc()
        return ClosingIterator(answer, self._streams.dec)

    def _labelled(self, surface: str, operation: str, method: str, class_: int) -> tuple[Counter, Histogram]:
        """There are as many as the registry has: finding them there takes longer than counting."""
        key = surface, operation, method, class_
        if key not in self._known:
            self._known[key] = self._requests.labels(surface, operation, method, f"{class_}xx"), self._seconds.labels(surface)
        return self._known[key]

    def exposition(self) -> bytes:
        """What Prometheus scrapes."""
        return generate_latest(self._registry)


def listen(flask: Flask, surface: str) -> None:
    """What the audit does not hear of is counted by its rules' names too."""

    @flask.before_request
    def rule() -> None:
        request.environ[RULE] = surface, request.url_rule.endpoint if request.url_rule is not None else ""


class _Lost:
    def __init__(self, lost: Callable[[], Mapping[str, int]]) -> None:
        self._lost = lost

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily("convoy_http_audit_lost", "Calls that the audit has lost.", labels=["class"])
        for kind, count in sorted(self._lost().items()):
            family.add_metric([kind], count)
        yield family
