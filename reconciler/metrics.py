"""Metrics for Prometheus: how long each stage takes, what is wanted and seen, what was done, and what the xDS server sends."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Histogram, generate_latest
from prometheus_client import Counter as Total
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from reconciler.core.model import Outcome, Plan, Problem
from reconciler.core.statuses import Statuses
from reconciler.seams import Seams

# What kind of text `exposition` gives.
EXPOSITION = CONTENT_TYPE_LATEST
STAGES = ("fetch", "load", "gate", "observe", "connect", "plan", "act", "record")
# The loop ticks every few seconds even when nothing happens: one that has not for so long is stuck.
STALE_S = 60.0
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class XdsCounters(Protocol):
    """What the xDS server counts: totals since its start, by type where that matters, and the last times to an ACK."""

    @property
    def streams(self) -> int: ...
    @property
    def connects(self) -> int: ...
    @property
    def denied(self) -> int: ...
    @property
    def rejected(self) -> int: ...
    @property
    def pushes(self) -> Mapping[str, int]: ...
    @property
    def acks(self) -> Mapping[str, int]: ...
    @property
    def nacks(self) -> Mapping[str, int]: ...
    @property
    def overdue(self) -> Mapping[str, int]: ...
    @property
    def bytes_sent(self) -> int: ...
    @property
    def latencies_s(self) -> Sequence[float]: ...


class Metrics:
    """All metrics of one Convoy, in a registry of its own. Every label's values are few: kinds, stages, types, verbs."""

    def __init__(self, seams: Seams | None = None) -> None:
        self._seams = seams or Seams()
        self.registry = CollectorRegistry()
        self._stages = Histogram(
            "convoy_stage_seconds", "Time of one stage of a round.", ["stage"], buckets=SECONDS, registry=self.registry
        )
        for stage in STAGES:
            self._stages.labels(stage)
        self._ticks = Histogram("convoy_tick_seconds", "Time of one round.", buckets=SECONDS, registry=self.registry)
        self._actions = Total("convoy_actions", "Actions carried out.", ["verb", "outcome"], registry=self.registry)
        self._acked = Histogram(
            "convoy_commit_to_ack_seconds",
            "From the first sight of a revision until every proxy has acknowledged it.",
            buckets=SECONDS,
            registry=self.registry,
        )
        named = ["request", "outcome"]
        self._requests = Histogram(
            "convoy_request_seconds", "Time of one request, by how it ended.", named, buckets=SECONDS, registry=self.registry
        )
        self._web = Total("convoy_web_starts", "Starts of the process that serves HTTP.", registry=self.registry)
        self._replaced = Total(
            "convoy_web_replacements",
            "Replacements of that process that were asked for, by how they ended.",
            ["outcome"],
            registry=self.registry,
        )
        self._notices = Total(
            "convoy_notifications", "Messages told, failed and given up.", ["outcome"], registry=self.registry
        )
        self._now = _Now()
        self.registry.register(self._now)
        self._ticked_at: float | None = None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one stage; it counts also when it fails."""
        begun = self._seams.monotonic()
        try:
            yield
        finally:
            self._stages.labels(name).observe(self._seams.monotonic() - begun)

    def tick_done(self, begun_at: float) -> None:
        """A round ended that began at `begun_at` (Unix seconds)."""
        self._ticks.observe(max(0.0, self._seams.now() - begun_at))
        self._ticked_at = self._seams.monotonic()
        self._now.acts = True

    def stood_by(self) -> None:
        """Another Convoy acts, and we are well and wait."""
        self._ticked_at = self._seams.monotonic()

    def action(self, outcome: Outcome) -> None:
        self._actions.labels(outcome.action.verb, outcome.status).inc()

    def notified(self, outcome: str) -> None:
        """A message arrived, did not, or was given up."""
        self._notices.labels(outcome).inc()

    def request(self, request: str, outcome: str, seconds: float) -> None:
        """A request was answered, or why not. Both words are ours, and few."""
        self._requests.labels(request, outcome).observe(seconds)

    def web_started(self) -> None:
        self._web.inc()

    def web_replaced(self, outcome: str) -> None:
        """`done`; or `failed`, and the old process serves on."""
        self._replaced.labels(outcome).inc()

    def fleet(self, revision: str, status: Statuses, plan: Plan, problems: Sequence[Problem], fights: int = 0) -> None:
        """How things stand at the end of a round. `fights`: resources left alone because something else keeps changing them."""
        self._now.set_fleet(revision, status.counts, plan, problems, fights)

    def commit_acked(self, seconds: float) -> None:
        self._acked.observe(max(0.0, seconds))

    def hooks(self, counted: Callable[[], Mapping[str, Mapping[str, int]]]) -> None:
        """Where deliveries of webhooks are counted, by another process: hook ⇒ verdict ⇒ how many. Asked at each scrape."""
        self._now.hooks = counted

    def xds(self, counters: XdsCounters) -> None:
        self._now.counters = counters

    def exposition(self) -> bytes:
        """What Prometheus scrapes."""
        return generate_latest(self.registry)

    def alive(self, stale_s: float = STALE_S) -> bool:
        """Whether the last round ended less than `stale_s` ago."""
        ticked_at = self._ticked_at
        return ticked_at is not None and self._seams.monotonic() - ticked_at < stale_s

    def ready(self, stale_s: float = STALE_S) -> bool:
        """Whether it is alive and a revision is in force."""
        return self.alive(stale_s) and bool(self._now.revision)


class _Now:
    """How things stand: read when somebody scrapes, so that a value that is gone leaves no series behind."""

    def __init__(self) -> None:
        self.counters: XdsCounters | None = None
        self.hooks: Callable[[], Mapping[str, Mapping[str, int]]] = dict
        self.acts = False
        self.revision = ""
        self._resources: Mapping[tuple[str, str, str], int] = {}
        self._planned: Mapping[str, int] = {}
        self._held = self._problems = self._blind = self._fights = self._waiting = 0

    def set_fleet(
        self,
        revision: str,
        resources: Mapping[tuple[str, str, str], int],
        plan: Plan,
        problems: Sequence[Problem],
        fights: int,
    ) -> None:
        self._resources = resources
        self._planned = Counter(action.verb for action in plan.actions)
        self._held, self._problems, self._fights = len(plan.held), len(problems), fights
        self._waiting = sum(bool(held.release) for held in plan.held)
        self._blind = sum(count for (kind, sync, _), count in resources.items() if kind == "Host" and sync == "held")
        self.revision = revision

    def collect(self) -> Iterator[Metric]:
        if self.revision:
            info = GaugeMetricFamily("convoy_revision_info", "The revision in force.", labels=["revision"])
            info.add_metric([self.revision], 1)
            yield info
        resources = GaugeMetricFamily(
            "convoy_resources", "Declared resources by kind, sync and health.", labels=["kind", "sync", "health"]
        )
        for labels, count in sorted(self._resources.items()):
            resources.add_metric(labels, count)
        yield resources
        planned = GaugeMetricFamily("convoy_planned_actions", "Actions the last plan asked for.", labels=["verb"])
        for verb in ("take-over", "create", "update", "delete"):
            planned.add_metric([verb], self._planned.get(verb, 0))
        yield planned
        yield GaugeMetricFamily("convoy_acts", "1 for the Convoy that acts, 0 for one that stands by.", int(self.acts))
        yield GaugeMetricFamily("convoy_held", "What the last plan would do and must not yet.", self._held)
        yield GaugeMetricFamily("convoy_held_for_a_person", "Of these, what waits for a person.", self._waiting)
        yield GaugeMetricFamily(
            "convoy_fights", "Resources left alone because something else keeps changing them.", self._fights
        )
        yield GaugeMetricFamily("convoy_problems", "Problems of the newest revision, if it was refused.", self._problems)
        yield GaugeMetricFamily("convoy_blind_hosts", "Hosts that could not be seen.", self._blind)
        deliveries = CounterMetricFamily(
            "convoy_hook_deliveries", "Webhooks that forges delivered, by what became of them.", labels=["hook", "verdict"]
        )
        for hook, counts in sorted(self.hooks().items()):
            for verdict, number in sorted(counts.items()):
                deliveries.add_metric([hook, verdict], number)
        yield deliveries
        if self.counters is not None:
            yield from _xds(self.counters)


def _xds(counters: XdsCounters) -> Iterator[Metric]:
    yield GaugeMetricFamily("convoy_xds_streams", "Open xDS streams.", counters.streams)
    for name, what, total in (
        ("connects", "xDS streams opened.", counters.connects),
        ("denied", "xDS streams refused for who they said they were.", counters.denied),
        ("rejected", "xDS requests that broke the protocol.", counters.rejected),
        ("sent_bytes", "Bytes of xDS responses.", counters.bytes_sent),
    ):
        yield CounterMetricFamily(f"convoy_xds_{name}", what, total)
    for name, what, totals in (
        ("pushes", "Responses sent.", counters.pushes),
        ("acks", "Responses acknowledged.", counters.acks),
        ("nacks", "Responses refused.", counters.nacks),
        ("overdue", "Responses not answered in time.", counters.overdue),
    ):
        family = CounterMetricFamily(f"convoy_xds_{name}", what, labels=["type"])
        for type, total in sorted(totals.items()):
            family.add_metric([type], total)
        yield family
    latencies = sorted(counters.latencies_s)
    if latencies:
        quantiles = GaugeMetricFamily(
            "convoy_xds_ack_seconds", "From sending to acknowledgement, over the last responses.", labels=["quantile"]
        )
        for quantile in (0.5, 0.9, 0.99, 1.0):
            quantiles.add_metric([str(quantile)], latencies[min(len(latencies) - 1, int(quantile * len(latencies)))])
        yield quantiles
