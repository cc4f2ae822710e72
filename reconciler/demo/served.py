"""`convoy serve` as a process of its own over the demo's origin, and the questions one asks it."""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from reconciler.core import show
from reconciler.demo.fleet import DemoError, Fleet
from reconciler.demo.traffic import ENOUGH, Traffic
from reconciler.seams import Seams
from reconciler.store import Store, default_url

# The longest that any wait of the demo may take, so that it ends; on a busy machine most take a hundredth of it.
DEADLINE_S = 180.0


class StepFailed(Exception):
    """What a step expected and did not see."""


@dataclass
class Served:
    """`convoy serve` as a process of its own over the demo's origin, and the questions one asks it."""

    fleet: Fleet
    process: subprocess.Popen[bytes] | None = None
    metrics: str = ""
    # Where the API is served; "" for nowhere.
    http: str = ""

    @property
    def state(self) -> Path:
        return self.fleet.directory / "state"

    @property
    def host(self) -> Path:
        """Where the process driver keeps its instances, each in a directory of its own."""
        return self.state / "hosts" / "local"

    def start(self, metrics_port: int) -> None:
        self.metrics = f"127.0.0.1:{metrics_port}"
        http = ["--http", self.http] if self.http else []
        with (self.fleet.directory / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *self.command(),
                    "serve",
                    "--source",
                    str(self.fleet.origin),
                    "--branch",
                    "main",
                    "--metrics",
                    self.metrics,
                    *http,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until("convoy serve at work", self._begun)

    def start_again(self) -> None:
        self.start(int(self.metrics.rpartition(":")[2]))

    def _begun(self) -> bool:
        self.alive()
        return (self.state / "convoy.db").exists()

    def command(self) -> list[str]:
        return [sys.executable, "-m", "reconciler", "--state", str(self.state), "--store", default_url(self.state)]

    def ask(self, *arguments: str) -> Any:
        """A `convoy` command's JSON."""
        done = subprocess.run(
            [*self.command(), *arguments, "--output", "json"], capture_output=True, text=True, timeout=DEADLINE_S
        )
        try:
            return json.loads(done.stdout)
        except ValueError:
            raise DemoError(f"convoy {arguments[0]} answered: {(done.stdout + done.stderr).strip()[-500:]}") from None

    def told(self, *arguments: str) -> str:
        """What a `convoy` command says to a person."""
        done = subprocess.run([*self.command(), *arguments], capture_output=True, text=True, timeout=DEADLINE_S)
        return done.stdout + done.stderr

    def stop(self) -> None:
        """End `convoy serve`, then remove everything that bears its mark."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        done = subprocess.run([*self.command(), "down"], capture_output=True, text=True, timeout=180)
        if done.returncode:
            raise DemoError(f"convoy down failed: {(done.stdout + done.stderr).strip()[-500:]}")

    def end_orphan(self) -> None:
        """End a `convoy serve` that outlived its demo: whoever holds the lock of this state directory."""
        lock = self.state / "lock"
        if not lock.exists():
            return
        over, asked = time.monotonic() + 60, {""}
        while time.monotonic() < over:
            handle = os.open(lock, os.O_RDWR)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError:
                pid = os.pread(handle, 20, 0).decode().strip()
                # Asked once: a second time would cut short how it ends. It may have ended since.
                with contextlib.suppress(ProcessLookupError, ValueError):
                    if pid not in asked:
                        os.kill(int(pid), signal.SIGTERM)
                asked.add(pid)
            finally:
                os.close(handle)
            time.sleep(0.2)
        raise DemoError(f"another Convoy is at work in {self.state} and does not end: stop it")

    def status(self) -> Any:
        """What `convoy status --output json` prints; read here without a process for each of the many questions."""
        self.alive()
        with self._store() as store:
            state = store.state() or {}
            return show.status_json(show.standing(state), state, store.status())

    def at_rest(self, revision: str = "") -> bool:
        """Everything as this revision (or any) declares it."""
        status = self.status()
        return bool(status["converged"]) and revision in ("", status["revision"])

    def _store(self) -> contextlib.closing[Store]:
        return contextlib.closing(Store(default_url(self.state), Seams()))

    def alive(self) -> None:
        if self.process is None or self.process.poll() is not None:
            tail = (self.fleet.directory / "serve.log").read_text(errors="replace")[-2000:]
            raise DemoError(f"convoy serve has ended:\n{tail}")

    def everything(self) -> dict[str, list[dict[str, Any]]]:
        """Ref ⇒ its instances, of all that is declared or seen."""
        with self._store() as store:
            return {ref: list(row["instances"]) for ref, row in store.status().items()}

    def instances(self, ref: str) -> list[dict[str, Any]]:
        with self._store() as store:
            return list(store.status()[ref]["instances"])

    def admins(self) -> dict[str, str]:
        """Proxy ⇒ its admin socket, once all are healthy."""
        found: dict[str, str] = {}

        def known() -> bool:
            found.update({proxy: self.admin(proxy) for proxy in self.fleet.ports})
            return True

        until("every Envoy healthy", known)
        return found

    def admin(self, proxy: str) -> str:
        """The admin socket of a proxy's newest instance that is healthy."""
        for instance in self.instances(f"Proxy/{proxy}"):
            if instance["health"] == "healthy":
                return str(instance["ports"]["admin"])
        raise OSError(f"{proxy} is not healthy")


def none_lost(traffic: Traffic) -> str:
    if traffic.lost:
        raise StepFailed(
            f"{len(traffic.lost)} of {sum(traffic.answers.values()) + len(traffic.lost)} requests lost: {traffic.lost[:3]}"
        )
    if sum(traffic.answers.values()) < ENOUGH:
        raise StepFailed(f"only {sum(traffic.answers.values())} requests were answered: nothing is shown by that")
    return f"{sum(traffic.answers.values())} requests, none lost"


def until(what: str, seen: Callable[[], bool], deadline_s: float = DEADLINE_S, pause_s: float = 0.05) -> None:
    """Wait until `seen`; raises StepFailed at the deadline. Envoys that are just starting refuse connections meanwhile."""
    over = time.monotonic() + deadline_s
    last = ""
    while time.monotonic() < over:
        try:
            if seen():
                return
        except (OSError, HTTPException, LookupError) as error:
            last = f" ({error})"
        time.sleep(pause_s)
    raise StepFailed(f"not seen within {deadline_s:g} s: {what}{last}")
