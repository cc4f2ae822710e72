"""What the process that serves HTTP counts of itself, and who may read it."""

import contextlib
import io
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from werkzeug.test import Client, TestResponse

from api import create_app, peer, recorder
from api.counts import Counts
from api.limits import Limits
from api.reach import Reach
from api.recorder import Recorder
from reconciler.log import Log
from reconciler.seams import Seams
from reconciler.store import Store
from tests import people

Series = dict[tuple[str, ...], float]
FAR = "203.0.113.9"


class Counted:
    """A store and the app, asked from this machine."""

    def __init__(self, directory: Path) -> None:
        self.store = Store(f"sqlite:///{directory / 'convoy.db'}", Seams())
        log = Log(io.StringIO())
        self.recorder = Recorder(self.store, log)
        self.client = Client(create_app(Reach(self.store, directory, log, Limits(1), recorder=self.recorder)))

    def close(self) -> None:
        self.recorder.close()
        self.store.close()

    def ask(self, path: str, method: str = "GET", came_from: str = "127.0.0.1", **more: Any) -> TestResponse:
        return self.client.open(path, method=method, environ_base={"REMOTE_ADDR": came_from}, **more)

    def samples(self, name: str, *labels: str) -> Series:
        return samples(self.ask("/metrics").get_data(as_text=True), name, *labels)


def samples(text: str, name: str, *labels: str) -> Series:
    """Labels' values in this order ⇒ the number."""
    every = [one for family in text_string_to_metric_families(text) for one in family.samples]
    return {tuple(one.labels[label] for label in labels): one.value for one in every if one.name == name}


@pytest.fixture
def counted(tmp_path: Path) -> Iterator[Counted]:
    with closing(Counted(tmp_path)) as opened:
        yield opened


BY = ("surface", "operation", "method", "status")


def test_each_request_is_counted_once(counted: Counted) -> None:
    """By surface, operation, method and class of status; with its time, and whether it met a limit."""
    viewer = people.bearer(counted.store, "viewer")
    plan = {"Authorization": f"Bearer {counted.store.tokens.create('ci', ('plan',), None)[1]}"}
    for _ in range(3):
        assert counted.ask("/api/v1/clusters", headers=viewer).status_code == 200
    assert counted.ask("/envoy-fleet/api/v1/clusters").status_code == 401
    assert counted.ask("/ready").status_code == 503
    assert counted.ask("/hooks/github/nothing", "POST").status_code == 404
    statuses = [counted.ask("/convoy/v1/plan", "POST", headers=plan).status_code for _ in range(3)]
    assert statuses == [415, 429, 429]
    assert counted.samples("convoy_http_requests_total", *BY) == {
        ("envoy-fleet", "clusters.list", "GET", "2xx"): 3,
        ("envoy-fleet", "clusters.list", "GET", "4xx"): 1,
        ("root", "ready", "GET", "5xx"): 1,
        ("hooks", "hooks.deliver", "POST", "4xx"): 1,
        ("convoy", "plan", "POST", "4xx"): 3,
    }
    assert counted.samples("convoy_http_limited_total", "surface", "status") == {("convoy", "429"): 2}
    # The two times that it was asked for above are counted by now.
    times = {("envoy-fleet",): 4, ("root",): 3, ("hooks",): 1, ("convoy",): 3}
    assert counted.samples("convoy_http_request_seconds_count", "surface") == times


def test_nothing_that_a_client_makes_up_is_a_label(counted: Counted) -> None:
    """Neither paths nor methods nor names: however many, each surface has one series of them."""
    for number in range(20):
        counted.ask(f'/{number}-cvy_secret"}}\n\\')
        counted.ask(f"/convoy/v1/{number}")
        counted.ask(f"/convoy/v1/resources/{number}/{number}")
        counted.ask(f"/hooks/{number}/{number}/{number}")
        counted.ask("/health", f"METHOD{number}")
        counted.ask("/api/v1/clusters", headers={"X-Request-Id": str(number), "Origin": f"https://{number}.example"})
    counts = counted.samples("convoy_http_requests_total", *BY)
    assert len(counts) == 6
    assert set(counts.values()) == {20}
    assert counts["root", "", "GET", "4xx"] == counts["root", "", "other", "4xx"] == 20
    assert "secret" not in counted.ask("/metrics").get_data(as_text=True)


def test_who_may_read_it(counted: Counted) -> None:
    """A program on this machine, and who may read the whole fleet; to others it says nothing."""
    local = counted.ask("/metrics")
    assert local.status_code == 200
    assert local.headers["Content-Type"].startswith("text/plain")
    reads = {"Authorization": f"Bearer {counted.store.tokens.create('prometheus', ('read',), None)[1]}"}
    plans = {"Authorization": f"Bearer {counted.store.tokens.create('ci', ('plan',), None)[1]}"}
    ours, theirs = (people.bearer(counted.store, "viewer", surface) for surface in ("convoy", "envoy-fleet"))
    tenants = people.bearer(counted.store, "admin", "convoy", "a-tenant")
    told = [counted.ask("/metrics", came_from=FAR, headers=one) for one in (reads, ours, plans, theirs, tenants, {})]
    assert [one.status_code for one in told] == [200, 200, 404, 404, 404, 401]
    assert told[-1].get_json()["error"]["code"] == "unauthorized"
    assert told[2].get_json() == counted.ask("/nothing").get_json()
    assert counted.ask("/metrics", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 401
    assert counted.ask("/metrics", came_from=FAR, headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 401


@pytest.mark.parametrize(
    ("address", "host", "more", "local"),
    [
        ("127.0.0.1", "localhost:18009", {}, True),
        ("127.8.8.8", "127.0.0.1:18009", {}, True),
        ("::1", "[::1]:18009", {}, True),
        ("::ffff:127.0.0.1", "LOCALHOST", {}, True),
        ("10.0.0.1", "localhost", {}, False),
        ("", "localhost", {}, False),
        ("127.0.0.1", "", {}, False),
        ("127.0.0.1", "evil.example:18009", {}, False),
        ("127.0.0.1", "localhost.evil.example", {}, False),
        ("127.0.0.1", "127.0.0.1.evil.example", {}, False),
        ("127.0.0.1", "localhost", {"HTTP_FORWARDED": "for=127.0.0.1"}, False),
        ("127.0.0.1", "localhost", {"HTTP_VIA": "1.1 a"}, False),
        ("127.0.0.1", "localhost", {"HTTP_X_FORWARDED_PROTO": ""}, False),
        ("127.0.0.1", "localhost", {"HTTP_X_REAL_IP": "127.0.0.1"}, False),
        ("127.0.0.1", "localhost", {peer.PEER: "203.0.113.9", "HTTP_X_FORWARDED_FOR": "203.0.113.9"}, False),
    ],
)
def test_who_is_on_this_machine(address: str, host: str, more: Mapping[str, str], local: bool) -> None:
    assert peer.local({"REMOTE_ADDR": address, "HTTP_HOST": host, **more}) is local


def test_streams_and_what_is_everybodys() -> None:
    """A stream is open from its 101 until its answer is closed; a 503 is a limit only where one was met."""
    counts = Counts(lambda: {"read": 2})
    body = counts.answered({"convoy.operation": ("envoy-fleet", "ws.connect", {})}, 101, 0.1, iter([b""]))
    assert samples(counts.exposition().decode(), "convoy_http_streams") == {(): 1}
    assert list(body) == [b""]
    body.close()  # type: ignore[attr-defined]  # as whoever serves it does
    counts.answered({}, 503, 0.1, [])
    counts.answered({"convoy.limited": True}, 503, 0.1, [])
    text = counts.exposition().decode()
    assert samples(text, "convoy_http_streams") == {(): 0}
    assert samples(text, "convoy_http_limited_total", "surface", "status") == {("root", "503"): 1}
    assert samples(text, "convoy_http_audit_lost_total", "class") == {("read",): 2}


def test_rows_that_the_audit_loses(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Are counted by class, and stay counted once a row says so."""
    monkeypatch.setattr(recorder, "MOST_WAITING", {"change": 9, "read": 9, "nobody": 1})
    add, go = counted.store.audit.add, threading.Event()

    def slow(calls: Any) -> None:
        assert go.wait(240)
        add(calls)

    monkeypatch.setattr(counted.store.audit, "add", slow)
    with contextlib.ExitStack() as ends:
        ends.callback(go.set)
        for _ in range(5):
            assert counted.ask("/api/v1/clusters").status_code == 401
        assert counted.samples("convoy_http_audit_lost_total", "class") == {("change",): 0, ("read",): 0, ("nobody",): 4}
    assert counted.recorder.flush(60)
    assert counted.samples("convoy_http_audit_lost_total", "class")[("nobody",)] == 4
