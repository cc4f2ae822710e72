"""The demo's steps, each checked by real requests, the Envoys' admin pages and Convoy's own status."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.demo import envoys
from reconciler.demo.fleet import Fleet, application
from reconciler.demo.mishaps import Mishaps
from reconciler.demo.served import Served, StepFailed, none_lost, until
from reconciler.demo.traffic import Traffic, ask
from reconciler.drivers.process.instance import HOME

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
        until("every resource synced and healthy", self.served.at_rest, pause_s=0.2)
        until("every Envoy answering blue", lambda: {ask(port) for port in self.fleet.ports.values()} == {"blue"})
        return f"{len(self.fleet.ports)} Envoys answer blue"

    def _all_weigh(self, wanted: Mapping[str, int]) -> bool:
        return all(envoys.weights(admin) == wanted for admin in self.served.admins().values())

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
                until(f"{' and '.join(sorted(answering))} alone answering", lambda: traffic.answering() == answering)  # noqa: B023
        return f"{none_lost(traffic)}; commit to every Envoy {max(seen):.2f} s"

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
        for proxy, admin in self.served.admins().items():
            if self._rejected(admin):
                raise StepFailed(f"{proxy} was sent something that it refused")
        self.fleet.revert()
        until("the revert accepted", lambda: not self.served.status()["refused"])
        return f"{problem['file']}:{problem['line']}: {problem['what']}"

    def _rejected(self, admin: str) -> int:
        stats = envoys.admin(admin, "/stats?format=json&filter=update_rejected")["stats"]
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
            admins = self.served.admins()
            if any("broken" in envoys.clusters(admin) for admin in admins.values()):
                raise StepFailed("the refused cluster should be nowhere")
            rejected = [self._rejected(admin) for admin in admins.values()]
            time.sleep(1.0)
            if [self._rejected(admin) for admin in admins.values()] != rejected:
                raise StepFailed("what was refused is sent again and again")
        words = none_lost(traffic)
        self._kill("Proxy/edge-3")
        # The same instance in another process: its socket is where it was.
        until("the restarted Envoy told the same", lambda: envoys.weights(admins["edge-3"]) == {"blue": 30, "green": 70})
        if "broken" in envoys.clusters(admins["edge-3"]):
            raise StepFailed("the restarted Envoy was given the refused cluster")
        self.fleet.write("settings.yaml", self.fleet.settings(gate=True))
        self.fleet.write("edge.yaml", self.fleet.edge({"blue": 0, "green": 100}))
        revision = self.fleet.commit("Mended")
        until("mended", lambda: self.served.at_rest(revision), pause_s=0.2)
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
        until("healed", self.served.at_rest, pause_s=0.2)
        return f"answers again; converged after {time.monotonic() - begun:.1f} s"

    def application_killed(self) -> str:
        admin = self.served.admins()["edge-2"]
        instance = self.served.instances("Container/green-1")[0]["instance"]
        program = self.served.host / f"Container-green-1-{instance}" / HOME / "app.py"
        # Without it, what is started anew ends at once: it stays unhealthy until somebody has seen that.
        away = program.rename(program.with_name("away"))
        pid = self._kill("Container/green-1")
        until("its endpoint marked unhealthy", lambda: sorted(envoys.health(admin)["green"]) == [False, True])
        away.rename(program)
        until("its endpoint healthy again", lambda: envoys.health(admin)["green"] == [True, True])
        until("healed", self.served.at_rest, pause_s=0.2)
        return f"process {pid} marked unhealthy at the Envoys, then healthy again"

    def replaced(self) -> str:
        with Traffic(self.fleet.ports.values()) as traffic:
            self.fleet.write("apps/green.yaml", application("green", "green-2"))
            revision = self.fleet.commit("Green runs a new command")
            until("converged on the new one", lambda: self.served.at_rest(revision), pause_s=0.2)
            until("the new one alone answering", lambda: traffic.answering() == {"green-2"})
        return none_lost(traffic)

    def removed(self) -> str:
        with Traffic(self.fleet.ports.values()) as traffic:
            admins = self.served.admins()
            self.fleet.remove("apps/blue.yaml")
            self.fleet.write("edge.yaml", self.fleet.edge({"green": 100}))
            revision = self.fleet.commit("Blue is gone")

            def pruned() -> bool:
                gone = []
                for proxy, admin in admins.items():
                    # The clusters are read first: one that is gone now while a later answer still names it was taken too early.
                    there, named = envoys.clusters(admin), envoys.weights(admin)
                    if "blue" not in there and "blue" in named:
                        raise StepFailed(f"{proxy} lost the cluster before its route")
                    gone.append("blue" not in there)
                return all(gone)

            until("the cluster gone from every Envoy", pruned, pause_s=0.01)
            until("its processes gone", lambda: self.served.at_rest(revision), pause_s=0.2)
        names = [one["ref"] for one in self.served.ask("get", "Container") if "blue" in one["ref"]]
        if names:
            raise StepFailed(f"these should be gone: {names}")
        return none_lost(traffic)
