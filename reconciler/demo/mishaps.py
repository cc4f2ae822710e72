"""The steps in which people and machines go wrong: an emptied repository, a Convoy killed at work, a bad change taken back."""

import os
import signal
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.demo.fleet import Fleet, application
from reconciler.demo.served import Served, StepFailed, none_lost, until
from reconciler.demo.traffic import Traffic, ask

# Convoy is killed at work in one try of three on a busy machine, in every one on another; each try is a change of its own.
MOST_TRIES = 8


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
            self.fleet.revert()
            until("the documents back in force", lambda: not self.served.status()["refused"])
            until("everything as it was", self._at_rest)
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
                known = set(os.listdir(self.host))
                revision = self.fleet.commit(f"Green says {words}")
                made = self._killed(known)
                self.served.start_again()
                until("the change carried out", lambda: self._at_rest(revision), pause_s=0.2)  # noqa: B023
                if made:
                    break
            else:
                raise StepFailed(f"convoy serve was never caught at work in {MOST_TRIES} changes")
        answers = {ask(port) for port in self.fleet.ports.values()}
        running = self._running()
        doubled = [name for name, count in Counter(name.rpartition("-")[0] for name in running).items() if count > 1]
        left = set(os.listdir(self.host / ".half")) if (self.host / ".half").is_dir() else set()
        if answers != {words} or doubled or left or not envoys.items() <= running.items():
            raise StepFailed(f"one of each and the same Envoys expected: {answers}, {doubled}, {left}, {envoys}, {running}")
        return f"killed while {made} was being made; then {len(running)} instances, one of each; {none_lost(traffic)}"

    def rolled_back(self) -> str:
        """A bad change of what the Envoys are told, taken back by one command, stays out."""
        good = ask(self.fleet.ports["edge-1"])
        with Traffic(self.fleet.ports.values()) as traffic:
            self.fleet.write("edge.yaml", self.fleet.edge({"green": 100}, says="bad"))
            bad = self.fleet.commit("Every answer says that it is bad")
            until("the bad change in force", lambda: self._answer("bad"))
            done = self.served.ask(
                *("rollback", "Configuration/edge", "--reason", "it is bad", "--author", "Convoy demo <demo@convoy.invalid>")
            )
            if done.get("from") != bad or not done.get("hold"):
                raise StepFailed(f"a rollback of {bad[:12]} with a hold expected: {done}")
            until("it taken back", lambda: self._answer(good, str(done["revision"])))
            self.fleet.pull()
            again = self.fleet.revert()
            until("the bad content refused", lambda: self.served.status()["refused"] == again)
            problem = self.served.status()["problems"][0]
            if problem["file"] != "edge.yaml" or "held" not in problem["what"] or not self._answer(good):
                raise StepFailed(f"a Problem at edge.yaml and {good} answering expected: {problem}")
            self.fleet.revert()
            until("the branch good again", lambda: not self.served.status()["refused"])
        if not traffic.answers["bad"]:
            raise StepFailed(f"the bad change was never in force: {dict(traffic.answers)}")
        return f"{problem['file']}:{problem['line']}: {problem['what']}; {none_lost(traffic)}"

    @property
    def host(self) -> Path:
        return self.served.state / "hosts" / "local"

    def _killed(self, known: set[str]) -> str:
        """Stop `convoy serve` as soon as an instance is there, look at what it was doing, and kill it.

        The instance that was under way, or "" when it had been started already.
        """
        process = self.served.process
        if process is None:
            raise StepFailed("convoy serve is not running")
        new: set[str] = set()
        over = time.monotonic() + 20
        while not new and time.monotonic() < over:
            new = {name for name in os.listdir(self.host) if name.startswith("Container-green-")} - known
        process.send_signal(signal.SIGSTOP)
        # Made, but its process not started: the action is under way.
        under_way = sorted(name for name in new if not (self.host / name / "state.json").exists())
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
        there = {name for name in os.listdir(self.host) if (self.host / name / "mark.json").exists()}
        if there != found.keys():
            raise StepFailed(f"what is shown and what is there differ: {sorted(there ^ found.keys())}")
        return found

    def _answer(self, words: str, revision: str = "") -> bool:
        return self._at_rest(revision) and all(ask(port) == words for port in self.fleet.ports.values())

    def _at_rest(self, revision: str = "") -> bool:
        """Everything as this revision (or any) declares it."""
        status: Any = self.served.status()
        return bool(status["converged"]) and revision in ("", status["revision"])
