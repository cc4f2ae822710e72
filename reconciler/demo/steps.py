"""The demo's steps, each checked by real requests, the Envoys' admin pages and Convoy's own status."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.demo import envoys
from reconciler.demo.fleet import PROXIES, Fleet, application
from reconciler.demo.mishaps import Mishaps
from reconciler.demo.served import Served, StepFailed, none_lost, until
from reconciler.demo.traffic import Traffic, ask

BROKEN = {
    "name": "broken",
    "endpoints": ["127.0.0.1:9"],
    # Each number is fine by itself, so that only an Envoy can know: the least is above the most.
    "envoy": {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": 2000, "maximum_ring_size": 1000}},
}


@dataclass
class Steps:
    """Each method is one step; it returns what was seen, or raises StepFailed."""

    fleet: Fleet
    served: Served

    def all(self) -> Iterator[tuple[str, Callable[[], str]]]:
        yield "converges from nothing", self.converges
        yield "weights 100/0, 50/50, 0/100 by commits, under live traffic", self.weights
        yield "a commit that does not validate is refused whole", self.invalid
        yield "what only Envoy would refuse is caught before it is sent", self.gated
        yield "the same with that gate off: taken out, the rest in force", self.refused
        yield "an Envoy killed: healed", self.envoy_killed
        yield "an application killed: marked, then healed", self.application_killed
        yield "an application replaced under live traffic", self.replaced
        yield "an application removed in Git: pruned after its route", self.removed
        mishaps = Mishaps(self.fleet, self.served)
        yield "an emptied repository: refused, nothing touched, released by a commit", mishaps.emptied
        yield "convoy serve killed in the middle of a change, started again: nothing doubled", mishaps.killed_at_work
        yield "a bad change rolled back by one command, under live traffic: it stays out", mishaps.rolled_back

    def converges(self) -> str:
        until("every resource synced and healthy", lambda: bool(self.served.status()["converged"]), pause_s=0.2)
        answers = {proxy: ask(port) for proxy, port in self.fleet.ports.items()}
        if set(answers.values()) != {"blue"}:
            raise StepFailed(f"every Envoy should answer blue: {answers}")
        return f"{len(answers)} Envoys answer blue"

    def _all_weigh(self, wanted: Mapping[str, int]) -> bool:
        return all(envoys.weights(self.served.admin(proxy)) == wanted for proxy in PROXIES)

    def weights(self) -> str:
        seen = []
        with Traffic(self.fleet.ports.values()) as traffic:
            for blue, green in ((50, 50), (0, 100)):
                self.fleet.write("edge.yaml", self.fleet.edge({"blue": blue, "green": green}))
                begun = time.monotonic()
                self.fleet.commit(f"Weights {blue}/{green}")
                until(f"weights {blue}/{green} at every Envoy", lambda: self._all_weigh({"blue": blue, "green": green}))  # noqa: B023
                seen.append(time.monotonic() - begun)
                answering = {name for name, weight in (("blue", blue), ("green", green)) if weight}
                until(f"{' and '.join(sorted(answering))} alone answering", lambda: self._answering(traffic) == answering)  # noqa: B023
        return f"{none_lost(traffic)}; commit to every Envoy {max(seen):.2f} s"

    def _answering(self, traffic: Traffic) -> set[str]:
        """Who answers within a second from now. The first may be what was asked before, or of a worker that the Envoy's main
        thread, which its admin page tells of, has not told yet (https://www.envoyproxy.io/docs/envoy/latest/intro/life_of_a_request)."""
        before = traffic.answers.copy()
        time.sleep(1.0)
        return set(traffic.answers - before)

    def invalid(self) -> str:
        text = (self.fleet.clone / "edge.yaml").read_text()
        with Traffic(self.fleet.ports.values()) as traffic:
            (self.fleet.clone / "edge.yaml").write_text(text.replace("weights:", "weight:"))
            revision = self.fleet.commit("A typing error")
            until("the revision refused", lambda: self.served.status()["refused"] == revision)
            problems = self.served.status()["problems"]
            time.sleep(0.5)
        line = next(i for i, line in enumerate(text.splitlines(), 1) if "weights:" in line)
        if not any(problem["file"] == "edge.yaml" and problem["line"] == line for problem in problems):
            raise StepFailed(f"the Problem should point to edge.yaml:{line}: {problems}")
        if not self._all_weigh({"blue": 0, "green": 100}):
            raise StepFailed("the Envoys' routes should be untouched")
        self.fleet.revert()
        until("the revert accepted", lambda: not self.served.status()["refused"])
        first = problems[0]
        return f"{first['file']}:{first['line']}: {first['what']}; {none_lost(traffic)}"

    def gated(self) -> str:
        self.fleet.write("edge.yaml", self.fleet.edge({"blue": 0, "green": 100}, (BROKEN,)))
        revision = self.fleet.commit("A cluster that only an Envoy can find fault with")
        until("the revision refused", lambda: self.served.status()["refused"] == revision)
        problem = self.served.status()["problems"][0]
        if problem["file"] != "edge.yaml" or "ring" not in problem["what"]:
            raise StepFailed(f"Envoy's words at edge.yaml expected: {problem}")
        for proxy in PROXIES:
            if self._rejected(proxy):
                raise StepFailed(f"{proxy} was sent something that it refused")
        self.fleet.revert()
        until("the revert accepted", lambda: not self.served.status()["refused"])
        return f"{problem['file']}:{problem['line']}: {problem['what']}"

    def _rejected(self, proxy: str) -> int:
        stats = envoys.admin(self.served.admin(proxy), "/stats?format=json&filter=update_rejected")["stats"]
        return sum(int(one.get("value", 0)) for one in stats)

    def refused(self) -> str:
        with Traffic(self.fleet.ports.values()) as traffic:
            self.fleet.write("settings.yaml", self.fleet.settings(gate=False))
            self.fleet.write("edge.yaml", self.fleet.edge({"blue": 30, "green": 70}, (BROKEN,)))
            self.fleet.commit("The same cluster, with the gate off, and new weights")
            until("the new weights at every Envoy", lambda: self._all_weigh({"blue": 30, "green": 70}))
            until("the Configuration shown as refused", lambda: self._of("Configuration/edge")["sync"] == "refused")
            why = str(self._of("Configuration/edge")["why"])
            if "edge.yaml:" not in why or "ring" not in why:
                raise StepFailed(f"Envoy's words and our file and line expected: {why}")
            if any("broken" in envoys.clusters(self.served.admin(proxy)) for proxy in PROXIES):
                raise StepFailed("the refused cluster should be nowhere")
            rejected = [self._rejected(proxy) for proxy in PROXIES]
            time.sleep(1.0)
            if [self._rejected(proxy) for proxy in PROXIES] != rejected:
                raise StepFailed("what was refused is sent again and again")
        words = none_lost(traffic)
        self._kill("Proxy/edge-3")
        until(
            "the restarted Envoy told the same",
            lambda: envoys.weights(self.served.admin("edge-3")) == {"blue": 30, "green": 70},
        )
        if "broken" in envoys.clusters(self.served.admin("edge-3")):
            raise StepFailed("the restarted Envoy was given the refused cluster")
        self.fleet.write("settings.yaml", self.fleet.settings(gate=True))
        self.fleet.write("edge.yaml", self.fleet.edge({"blue": 0, "green": 100}))
        self.fleet.commit("Mended")
        until("mended", lambda: bool(self.served.status()["converged"]), pause_s=0.2)
        return f"{why}; {words}"

    def _of(self, ref: str) -> dict[str, Any]:
        return next(one for one in self.served.status()["resources"] if one["ref"] == ref)

    def _kill(self, ref: str) -> int:
        instance = self.served.instances(ref)[0]
        os.kill(int(instance["pid"]), signal.SIGKILL)
        return int(instance["pid"])

    def envoy_killed(self) -> str:
        begun = time.monotonic()
        pid = self._kill("Proxy/edge-1")
        until("another Envoy", lambda: self.served.instances("Proxy/edge-1")[0]["pid"] not in (pid, 0, None))
        until("it answers", lambda: ask(self.fleet.ports["edge-1"]) == "green")
        until("healed", lambda: bool(self.served.status()["converged"]), pause_s=0.2)
        return f"answers again; converged after {time.monotonic() - begun:.1f} s"

    def application_killed(self) -> str:
        admin = self.served.admin("edge-2")
        pid = self._kill("Container/green-1")
        until("its endpoint marked unhealthy", lambda: not all(envoys.health(admin)["green"]), pause_s=0.01)
        until(
            "its endpoint healthy again", lambda: all(envoys.health(admin)["green"]) and len(envoys.health(admin)["green"]) == 2
        )
        until("healed", lambda: bool(self.served.status()["converged"]), pause_s=0.2)
        return f"process {pid} marked unhealthy at the Envoys, then healthy again"

    def replaced(self) -> str:
        with Traffic(self.fleet.ports.values()) as traffic:
            self.fleet.write("apps/green.yaml", application("green", "green-2"))
            self.fleet.commit("Green runs a new command")
            until("converged on the new one", lambda: bool(self._new_green()), pause_s=0.2)
            until("the new one alone answering", lambda: self._answering(traffic) == {"green-2"})
        return none_lost(traffic)

    def _new_green(self) -> bool:
        if not self.served.status()["converged"]:
            return False
        return all(ask(port) == "green-2" for port in self.fleet.ports.values())

    def removed(self) -> str:
        with Traffic(self.fleet.ports.values()) as traffic:
            admins = {proxy: self.served.admin(proxy) for proxy in PROXIES}
            self.fleet.remove("apps/blue.yaml")
            self.fleet.write("edge.yaml", self.fleet.edge({"green": 100}))
            self.fleet.commit("Blue is gone")

            def pruned() -> bool:
                gone = []
                for proxy in PROXIES:
                    # The clusters are read first: one that is gone now while a later answer still names it was taken too early.
                    there, named = envoys.clusters(admins[proxy]), envoys.weights(admins[proxy])
                    if "blue" not in there and "blue" in named:
                        raise StepFailed(f"{proxy} lost the cluster before its route")
                    gone.append("blue" not in there)
                return all(gone)

            until("the cluster gone from every Envoy", pruned, pause_s=0.01)
            until("its processes gone", lambda: bool(self.served.status()["converged"]), pause_s=0.2)
        names = [one["ref"] for one in self.served.ask("get", "Container") if "blue" in one["ref"]]
        if names:
            raise StepFailed(f"these should be gone: {names}")
        return none_lost(traffic)
