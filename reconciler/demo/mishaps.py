"""The steps in which people and machines go wrong: an emptied repository, a Convoy killed at work, a bad change taken back."""

import os
import signal
import time
from collections import Counter
from dataclasses import dataclass

from reconciler.demo.fleet import REPLICAS, Fleet, application
from reconciler.demo.served import DEADLINE_S, Served, StepFailed, none_lost, until
from reconciler.demo.traffic import Traffic, ask
from reconciler.drivers.process.driver import HALF

# Whether Convoy is caught at work is a matter of who is given the processor: nearly always at the first try on a machine with
# nothing else to do, and now and then on one that is busy. Each try is a change of its own.
MOST_TRIES = 30


@dataclass
class Mishaps:
    """Each method is one step; it returns what was seen, or raises StepFailed. Green alone answers before and after."""

    fleet: Fleet
    served: Served

    def emptied(self) -> str:
        """Every document removed by one commit."""
        before = self._running()
        with Traffic(self.fleet.ports.values()) as traffic:
            for path in sorted(self.fleet.clone.glob("**/*.yaml")):
                path.unlink()
            revision = self.fleet.commit("Tidied up")
            until("the emptied revision refused", lambda: self.served.status()["refused"] == revision)
            what = str(self.served.status()["problems"][0]["what"])
            # Time enough for a Convoy that deletes to have begun.
            time.sleep(1.0)
            if "declares nothing" not in what or self._running() != before:
                raise StepFailed(f"nothing should have been touched, and the Problem say so: {what}")
            revision = self.fleet.revert()
            until("the documents back in force", lambda: not self.served.status()["refused"])
            until("everything as it was", lambda: self.served.at_rest(revision))
        if self._running() != before:
            raise StepFailed(f"the same processes should run: {before} became {self._running()}")
        return f"{what}; {len(before)} processes untouched; {none_lost(traffic)}"

    def killed_at_work(self) -> str:
        """`convoy serve` ends by SIGKILL after an instance has been made and before it runs."""
        envoys = {name: pid for name, pid in self._running().items() if name.startswith("Proxy-")}
        with Traffic(self.fleet.ports.values()) as traffic:
            for number in range(MOST_TRIES):
                words = f"green-3.{number}"
                self.fleet.write("apps/green.yaml", application("green", words))
                known = self._green()
                revision = self.fleet.commit(f"Green says {words}")
                made = self._killed(known)
                self.served.start_again()
                until("the change carried out", lambda: self.served.at_rest(revision), pause_s=0.2)  # noqa: B023
                if made:
                    break
            else:
                raise StepFailed(f"convoy serve was never caught at work in {MOST_TRIES} changes")
            until("the new one alone answering", lambda: traffic.answering() == {words})
            until("nothing left half made", lambda: not os.listdir(self.served.host / HALF))
        running = self._running()
        doubled = [name for name, count in Counter(name.rpartition("-")[0] for name in running).items() if count > 1]
        if doubled or not envoys.items() <= running.items():
            raise StepFailed(f"one of each and the same Envoys expected: {doubled}, {envoys}, {running}")
        return f"killed while {made} was being made; then {len(running)} instances, one of each; {none_lost(traffic)}"

    def rolled_back(self) -> str:
        """A bad change of what the Envoys are told, taken back by one command, stays out."""
        good = ask(self.fleet.ports["edge-1"])
        with Traffic(self.fleet.ports.values()) as traffic:
            self.fleet.write("edge.yaml", self.fleet.edge({"green": 100}, says="bad"))
            bad = self.fleet.commit("Every answer says that it is bad")
            until("the bad change in force", lambda: self.served.at_rest(bad) and traffic.answering() == {"bad"})
            done = self.served.ask(
                *("rollback", "Configuration/edge", "--reason", "it is bad", "--author", "Convoy demo <demo@convoy.invalid>")
            )
            if done.get("from") != bad or not done.get("hold"):
                raise StepFailed(f"a rollback of {bad[:12]} with a hold expected: {done}")
            back = str(done["revision"])
            until("it taken back", lambda: self.served.at_rest(back) and traffic.answering() == {good})
            since = len(traffic.heard)
            self.fleet.pull()
            again = self.fleet.revert()
            until("the bad content refused", lambda: self.served.status()["refused"] == again)
            problem = self.served.status()["problems"][0]
            if problem["file"] != "edge.yaml" or "held" not in problem["what"]:
                raise StepFailed(f"a Problem at edge.yaml expected: {problem}")
            until(f"{good} alone answering", lambda: traffic.answering() == {good})
            self.fleet.revert()
            until("the branch good again", lambda: not self.served.status()["refused"])
        if "bad" in traffic.heard[since:]:
            raise StepFailed("the bad change came back after it had been taken back")
        return f"{problem['file']}:{problem['line']}: {problem['what']}; {none_lost(traffic)}"

    def _green(self) -> set[str]:
        return {name for name in os.listdir(self.served.host) if name.startswith("Container-green-")}

    def _killed(self, known: set[str]) -> str:
        """Stop `convoy serve` as soon as another instance is there, look at what it was doing, and kill it.

        The instance that was under way, or "" when each had been started already.
        """
        process = self.served.process
        if process is None:
            raise StepFailed("convoy serve is not running")
        under_way: list[str] = []
        seen: set[str] = set()
        over = time.monotonic() + DEADLINE_S
        while not under_way and len(seen) < REPLICAS and time.monotonic() < over:
            if not (new := self._green() - known - seen):
                continue
            process.send_signal(signal.SIGSTOP)
            # Made, but its process not started: the action is under way.
            under_way = sorted(name for name in new if not (self.served.host / name / "state.json").exists())
            if not under_way:
                process.send_signal(signal.SIGCONT)
            seen |= new
        process.kill()
        process.wait()
        return under_way[0] if under_way else ""

    def _running(self) -> dict[str, int]:
        """Instance ⇒ process, of everything that is there."""
        found = {
            f"{ref.replace('/', '-')}-{one['instance']}": int(one["pid"] or 0)
            for ref, instances in self.served.everything().items()
            for one in instances
        }
        there = {name for name in os.listdir(self.served.host) if (self.served.host / name / "mark.json").exists()}
        if there != found.keys():
            raise StepFailed(f"what is shown and what is there differ: {sorted(there ^ found.keys())}")
        return found
