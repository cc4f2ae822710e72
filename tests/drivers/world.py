"""A process host in a directory of its own that leaves nothing running, and says so where something was."""

import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from reconciler.core.kinds.host import Host
from reconciler.core.kinds.spec import Run
from reconciler.core.model import Observed
from reconciler.drivers import Driver
from reconciler.drivers.process import Process
from reconciler.drivers.process.driver import OpenSecret
from reconciler.rundir import run_path

from .contract import Faults


def script(text: str, **more: object) -> Run:
    """What runs this in a shell, in Convoy's own spelling of everything else."""
    return Run.model_validate({"command": ["/bin/sh", "-c", text], **more})


def python(text: str, **more: object) -> Run:
    return Run.model_validate({"command": ["python3", "-I", "-S", "-c", text], **more})


def failing(one: Observed) -> bool:
    return one.health.status == "unhealthy"


def belonging(directory: Path) -> list[psutil.Process]:
    """Every process that has this directory on its command line, in its environment or as its working directory."""
    return [process for process, _, _ in running(directory)]


def running(directory: Path) -> list[tuple[psutil.Process, list[str], dict[str, str]]]:
    """The same with each one's command line and environment, which nobody can ask it for once it has ended."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            command, environment, place = process.cmdline(), process.environ(), process.cwd()
        except (psutil.Error, OSError):
            continue
        if process.pid != os.getpid() and any(str(directory) in word for word in (*command, *environment.values(), place)):
            found.append((process, command, environment))
    return found


def named(directory: Path, *words: str) -> dict[int, dict[str, str]]:
    """Process number ⇒ environment, of those whose command begins so (and who are no longer whoever started them)."""
    return {one.pid: environment for one, command, environment in running(directory) if command[: len(words)] == [*words]}


def alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def soon(holds: Callable[[], object], within_s: float = 60.0) -> None:
    """Wait until calling `holds` gives something true."""
    until = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < until, f"not within {within_s} s"
        time.sleep(0.02)


class ProcessWorld:
    """One process host."""

    def __init__(self, root: Path, spec: Host | None = None) -> None:
        self.root, self.seams = root, Faults()
        self.host = root / "hosts" / "here"
        self.spec = spec or Host(ports="21000-29999")
        self._drivers: list[Driver] = []

    def driver(self, installation: str = "ours", spec: Host | None = None, open_secret: OpenSecret | None = None) -> Driver:
        driver = Process(
            "here",
            spec or self.spec,
            self.host,
            installation,
            "/run/xds.sock",
            lambda node: f"token-of-{node}",
            self.seams,
            open_secret,
        )
        self._drivers.append(driver)
        return driver

    def directory(self, name: str, instance: str = "i1", kind: str = "Container") -> Path:
        return self.host / f"{kind}-{name}-{instance}"

    def shim(self, name: str, instance: str = "i1") -> int:
        return int((self.directory(name, instance) / "lock").read_text().split()[0])

    def log(self, name: str, kind: str = "Container") -> str:
        try:
            return (self.directory(name, kind=kind) / "output.log").read_text()
        except FileNotFoundError:
            # Before the first output, or just between two files.
            return ""

    def close(self) -> None:
        for driver in self._drivers:
            driver.close()
        # A test may have put the host elsewhere.
        left = [*belonging(self.root), *belonging(self.host)]
        for process in left:
            with contextlib.suppress(psutil.Error):
                # Shims end what they have started; whoever ignores that is killed below.
                process.send_signal(signal.SIGTERM)
        until = time.monotonic() + 3.0
        while any(alive(process.pid) for process in left) and time.monotonic() < until:
            time.sleep(0.01)
        for process in (*belonging(self.root), *belonging(self.host)):
            with contextlib.suppress(psutil.Error):
                process.kill()
        shutil.rmtree(self.root, ignore_errors=True)
        # Where the host is too deep for sockets, they stand elsewhere.
        shutil.rmtree(run_path(self.host), ignore_errors=True)


@contextlib.contextmanager
def process_world(spec: Host | None = None) -> Iterator[ProcessWorld]:
    # Not pytest's own: its paths are long, and nobody else may enter them.
    world = ProcessWorld(Path(tempfile.mkdtemp(prefix="convoy-test-")), spec)
    try:
        yield world
    finally:
        world.close()
