"""Metrics and the small server that shows them."""

import socket
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest
from prometheus_client.parser import text_string_to_metric_families

from reconciler.core.model import Action, Held, Outcome, Plan, Problem, Ref, Where
from reconciler.core.statuses import Status, Statuses
from reconciler.metrics import Metrics
from reconciler.scraped import MetricsError, Served, serve
from reconciler.seams import Seams
from reconciler.xds.counters import Counters


class Clock(Seams):
    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics(clock: Clock) -> Metrics:
    return Metrics(clock)


@pytest.fixture
def served(metrics: Metrics) -> Iterator[Served]:
    server = serve(metrics, Seams())
    yield server
    server.close()


def values(metrics: Metrics) -> dict[str, float]:
    """Sample with its labels as Prometheus reads it ⇒ value."""
    found = {}
    for family in text_string_to_metric_families(metrics.exposition().decode()):
        for sample in family.samples:
            labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def get(served: Served, path: str, method: str = "GET") -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", served.port, timeout=60)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def standing(sync: str, *refs: Ref) -> dict[Ref, Status]:
    return {ref: Status(ref, sync, "healthy", 0.0) for ref in refs}  # type: ignore[arg-type]


def action(verb: str, name: str) -> Action:
    return Action(verb, Ref("Container", name), "i", "here", None, "because")  # type: ignore[arg-type]


def test_stages_and_rounds_are_timed(metrics: Metrics, clock: Clock) -> None:
    """Each stage's seconds are in its own histogram, also when the stage fails; all stages are there from the start."""
    assert values(metrics)["convoy_stage_seconds_count{stage=gate}"] == 0
    with metrics.stage("plan"):
        clock.at += 0.2

    def failing() -> None:
        with metrics.stage("plan"):
            clock.at += 0.3
            raise KeyError

    with pytest.raises(KeyError):
        failing()
    metrics.tick_done(clock.at - 0.5)
    found = values(metrics)
    assert found["convoy_stage_seconds_count{stage=plan}"] == 2
    assert found["convoy_stage_seconds_sum{stage=plan}"] == pytest.approx(0.5)
    assert found["convoy_tick_seconds_sum{}"] == pytest.approx(0.5)


def test_fleet_shows_how_things_stand_now(metrics: Metrics) -> None:
    """Revision, states, plan, holds, Problems and blind hosts; what is no longer so leaves no series behind."""
    plan = Plan(
        "one", (action("create", "a"), action("create", "b"), action("delete", "c")), (Held(Ref("Container", "d"), "x"),)
    )
    status = Statuses(standing("synced", Ref("Container", "a"), Ref("Container", "b")) | standing("held", Ref("Host", "far")))
    metrics.fleet("one", status, plan, [Problem(Where("a.yaml"), "x")])
    found = values(metrics)
    assert found["convoy_revision_info{revision=one}"] == 1
    assert found["convoy_resources{health=healthy,kind=Container,sync=synced}"] == 2
    assert found["convoy_planned_actions{verb=create}"] == 2
    assert found["convoy_planned_actions{verb=update}"] == 0
    assert (found["convoy_held{}"], found["convoy_problems{}"], found["convoy_blind_hosts{}"]) == (1, 1, 1)
    metrics.fleet("two", Statuses(standing("pending", Ref("Container", "a"))), Plan("two", ()), ())
    found = values(metrics)
    assert [key for key in found if key.startswith("convoy_revision_info")] == ["convoy_revision_info{revision=two}"]
    assert "convoy_resources{health=healthy,kind=Container,sync=synced}" not in found
    assert (found["convoy_held{}"], found["convoy_problems{}"], found["convoy_blind_hosts{}"]) == (0, 0, 0)


def test_many_resources_make_few_series(metrics: Metrics) -> None:
    """A thousand resources, revisions and failures add no series each: no label holds a name or a message."""
    for number in range(100):
        status = Statuses(standing("synced", *(Ref("Container", f"c{number}-{n}") for n in range(10))))
        metrics.fleet(f"revision-{number}", status, Plan("r", ()), ())
        metrics.action(Outcome(action("create", f"c{number}"), "failed", f"error {number}"))
    found = values(metrics)
    assert found["convoy_actions_total{outcome=failed,verb=create}"] == 100
    assert len([key for key in found if key.startswith(("convoy_resources", "convoy_revision", "convoy_actions_total"))]) == 3


def test_xds_counters_are_shown_as_they_are(metrics: Metrics) -> None:
    """Totals by type, streams, bytes, and quantiles of the last times until an ACK."""
    times = tuple(number / 100 for number in range(100))
    metrics.xds(Counters(3, 7, 1, 2, {"cds": 5, "lds": 4}, {"cds": 4}, {"lds": 1}, {}, 1234, times))
    metrics.commit_acked(0.3)
    found = values(metrics)
    assert found["convoy_xds_streams{}"] == 3
    assert found["convoy_xds_connects_total{}"] == 7
    assert found["convoy_xds_pushes_total{type=cds}"] == 5
    assert found["convoy_xds_nacks_total{type=lds}"] == 1
    assert found["convoy_xds_sent_bytes_total{}"] == 1234
    assert found["convoy_xds_ack_seconds{quantile=0.5}"] == 0.5
    assert found["convoy_xds_ack_seconds{quantile=1.0}"] == 0.99
    assert found["convoy_commit_to_ack_seconds_sum{}"] == pytest.approx(0.3)


def test_health_follows_the_last_round(metrics: Metrics, clock: Clock, served: Served) -> None:
    """Not healthy before the first round, nor when the last is too long ago; ready only with a revision in force."""
    assert get(served, "/health")[0] == 503
    metrics.tick_done(clock.at)
    assert get(served, "/health") == (200, "ok\n")
    assert get(served, "/ready")[0] == 503
    metrics.fleet("one", Statuses(), Plan("one", ()), ())
    assert get(served, "/ready") == (200, "ready\n")
    clock.at += 61
    assert get(served, "/health")[0] == 503
    assert get(served, "/ready")[0] == 503


def test_who_stands_by_is_well_and_not_ready(metrics: Metrics, clock: Clock) -> None:
    """A service manager leaves it alone, a load balancer does not choose it, and the metric tells the two apart."""
    metrics.stood_by()
    assert (metrics.alive(60), metrics.ready(60)) == (True, False)
    assert b"convoy_acts 0.0" in metrics.exposition()
    metrics.tick_done(clock.now())
    assert b"convoy_acts 1.0" in metrics.exposition()
    clock.at += 61
    assert not metrics.alive(60)
    metrics.stood_by()
    assert metrics.alive(60)


def test_metrics_are_served_on_loopback(metrics: Metrics, served: Served) -> None:
    """What the server shows is the exposition; other paths and methods are told so."""
    metrics.fleet("one", Statuses(), Plan("one", ()), ())
    status, body = get(served, "/metrics?x=1")
    assert status == 200
    assert 'convoy_revision_info{revision="one"} 1.0' in body
    assert get(served, "/metrics", "HEAD") == (200, "")
    assert get(served, "/etc/passwd")[0] == 404
    assert get(served, "/metrics", "POST")[0] == 501
    assert served.address == f"127.0.0.1:{served.port}"


def test_it_closes_while_a_client_hangs(metrics: Metrics) -> None:
    """A client that connects and says nothing keeps nobody from ending, and the port is free again at once."""
    served = serve(metrics, Seams())
    with socket.create_connection(("127.0.0.1", served.port)):
        served.close()
        again = serve(metrics, Seams(), str(served.port))
        again.close()


@pytest.mark.parametrize("address", ["", "nonsense", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:-1"])
def test_an_address_that_is_none_is_told(metrics: Metrics, address: str) -> None:
    """The message shows what an address looks like."""
    with pytest.raises(MetricsError, match=r"127\.0\.0\.1:9090"):
        serve(metrics, Seams(), address)


def test_a_taken_port_is_told(metrics: Metrics, served: Served) -> None:
    """The message names the address."""
    with pytest.raises(MetricsError, match=f"cannot serve metrics at {served.address}"):
        serve(metrics, Seams(), served.address)
