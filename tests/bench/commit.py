"""From a commit in Git to every real Envoy's ACK of one changed cluster, beside the time the push alone takes."""

import shutil
import statistics
import tempfile
import threading
import time
from pathlib import Path

from reconciler.control import Control, open_control
from reconciler.demo.fleet import Fleet, document, free_ports
from reconciler.git import Mirror
from reconciler.log import Log
from reconciler.seams import Seams

Row = tuple[str, float, str, float | None]


def _fleet(directory: Path, proxies: int, clusters: int) -> Fleet:
    names = [f"edge-{n}" for n in range(proxies)]
    fleet = Fleet(directory, dict(zip(names, free_ports(proxies), strict=True)))
    fleet.make()
    for path in ("apps/blue.yaml", "apps/green.yaml"):
        fleet.remove(path)
    _change(fleet, clusters, 0)
    each = [{"prefix": f"/{n}", "cluster": f"c-{n}"} for n in range(clusters)]
    routes = [{"name": "main", "virtualHosts": [{"routes": each}]}]
    listeners = [{"name": "http", "port": 10080, "routes": "main"}]
    fleet.write("edge.yaml", document("Configuration", "edge", {"listeners": listeners, "routes": routes}))
    fleet.commit("Clusters without applications")
    return fleet


def _change(fleet: Fleet, clusters: int, n: int) -> None:
    timeouts_s = [5 + (n if i == n % clusters else 0) for i in range(clusters)]
    specs = [{"endpoints": ["127.0.0.1:9"], "connectTimeoutSeconds": timeout_s} for timeout_s in timeouts_s]
    fleet.write("clusters.yaml", *(document("Cluster", f"c-{i}", spec) for i, spec in enumerate(specs)))


class _Seen:
    """Watches the loop's views for the first convergence, and the xDS server for when all have acknowledged a change."""

    def __init__(self, control: Control) -> None:
        self.control = control
        self.converged: dict[str, float] = {}
        self.thread = threading.Thread(target=control.run, args=(self._look,), daemon=True)

    def _look(self, view: object) -> bool:
        revision, converged = getattr(view, "revision", ""), getattr(view, "converged", False)
        if converged and revision not in self.converged:
            self.converged[revision] = time.perf_counter()
        return False

    def wait(self, revision: str, deadline_s: float) -> float:
        over = time.perf_counter() + deadline_s
        while revision not in self.converged:
            if time.perf_counter() > over:
                raise AssertionError(f"not acknowledged by all within {deadline_s:g} s: {self.control.view().status}")
            time.sleep(0.001)
        return self.converged[revision]

    def sent(self) -> dict[str, str]:
        return {node: state.sent for node, state in self.control.connected().items()}

    def acknowledged(self, before: dict[str, str], deadline_s: float) -> float:
        """When every proxy has acknowledged something newer than `before`."""
        over = time.perf_counter() + deadline_s
        while time.perf_counter() < over:
            states = self.control.connected()
            if all(node in states and states[node].sent != sent and states[node].synced for node, sent in before.items()):
                return time.perf_counter()
            time.sleep(0.001)
        raise AssertionError(f"not acknowledged by all within {deadline_s:g} s: {self.control.view().status}")


def run(quick: bool) -> list[Row]:
    proxies, clusters, commits = (5, 10, 10) if quick else (50, 10, 20)
    directory = Path(tempfile.mkdtemp(prefix="convoy-bench-"))
    try:
        fleet = _fleet(directory, proxies, clusters)
        source = Mirror(str(fleet.origin), "main", directory / "mirror.git", Seams())
        control = open_control(directory / "state", source=source, log=Log(level="error"))
        seen = _Seen(control)
        begun = time.perf_counter()
        seen.thread.start()
        try:
            first_s = seen.wait(fleet_revision(fleet), 300) - begun
            whole: list[float] = []
            pushes: list[float] = []
            for n in range(1, commits + 1):
                _change(fleet, clusters, n)
                before = seen.sent()
                revision = fleet.commit(f"Change {n}")
                committed = time.perf_counter()
                whole.append(max(0.001, seen.acknowledged(before, 300) - committed))
                pushes.append(max(control.pushes()[-proxies:]))
                seen.wait(revision, 300)
        finally:
            control.stop()
            seen.thread.join()
        with open_control(directory / "state", source=None, log=Log(level="error")) as ending:
            ending.down()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    p50, push50 = statistics.median(whole) * 1000, statistics.median(pushes) * 1000
    p99 = sorted(whole)[min(len(whole) - 1, int(len(whole) * 0.99))] * 1000
    return [
        (f"{proxies} Envoys from nothing", first_s, "s", None),
        (f"push → last of {proxies} Envoys has ACKed, p50", push50, "ms", None),
        (f"commit → last of {proxies} Envoys has ACKed, p50 (ratio: to the push alone)", p50, "ms", p50 / push50),
        (f"commit → last of {proxies} Envoys has ACKed, p99 (ratio: to the push alone)", p99, "ms", p99 / push50),
    ]


def fleet_revision(fleet: Fleet) -> str:
    return fleet.git(fleet.clone, "rev-parse", "HEAD").strip()
