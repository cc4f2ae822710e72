"""Starts shims, speaks to them by signals, and ends them: by asking, and at the deadline by force."""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from reconciler.drivers import DriverError
from reconciler.drivers.process.instance import read_json
from reconciler.drivers.process.look import locked
from reconciler.drivers.process.shim.launch import ALREADY, TAKEN_OVER
from reconciler.drivers.process.shim.system import birth, end_leftovers, kill
from reconciler.seams import Seams

MAIN = Path(__file__).with_name("shim") / "__main__.py"
# What is kept of a deadline for the end by force and for removing files.
FORCE_S = 2.0
LONGEST_LOOK_S = 0.05


class Until:
    """A deadline, and waiting that grows rarer."""

    def __init__(self, seams: Seams, seconds: float) -> None:
        self._seams = seams
        self.at = seams.monotonic() + seconds
        self._pause_s = 0.002

    @property
    def left_s(self) -> float:
        return self.at - self._seams.monotonic()

    def pause(self) -> None:
        self._seams.sleep(min(self._pause_s, max(0.0, self.left_s)))
        self._pause_s = min(self._pause_s * 1.5, LONGEST_LOOK_S)


def start(directory: Path, until: Until) -> bool:
    """Start a shim there; False when one has the lock already. Raises DriverError, OSError."""
    # -I -S: no environment, no site packages. It must start, and go on, whatever becomes of Convoy's own installation.
    command = [sys.executable, "-I", "-S", "-B", str(MAIN), str(directory)]
    environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    launched = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    )
    with launched:
        try:
            _, errors = launched.communicate(timeout=max(0.1, until.left_s))
        except subprocess.TimeoutExpired:
            launched.kill()
            raise DriverError(f"the shim for {directory} did not take over in time: is this machine overloaded?") from None
    if launched.returncode == ALREADY:
        return False
    if launched.returncode != TAKEN_OVER:
        said = errors.decode(errors="replace").strip()[-500:] or f"exit status {launched.returncode}"
        raise DriverError(f"the shim for {directory} cannot start: {said}")
    return True


def tell(directory: Path, number: int) -> bool:
    """Send a signal to the shim; False when there is none that could understand it (yet)."""
    pid = shim_of(directory)
    if not pid:
        return False
    return _send(directory, pid, number)


def end(directory: Path, until: Until) -> None:
    """Stop the shim and all it started; afterwards nothing of this instance runs. Raises DriverError."""
    asked = False
    while locked(str(directory / "lock")):
        if not asked:
            # A shim that is only just starting cannot be asked yet.
            asked = tell(directory, signal.SIGTERM)
        if until.left_s < FORCE_S:
            _force(directory)
            break
        until.pause()
    state = read_json(directory / "state.json") or {}
    if state.get("ended") not in ("asked", "finished"):
        end_leftovers(str(directory))
    while locked(str(directory / "lock")):
        if until.left_s <= 0:
            raise DriverError(f"cannot end the shim of {directory}: it does not die; look for process {shim_of(directory)}")
        until.pause()


@contextlib.contextmanager
def alone(path: Path, until: Until, what: str) -> Iterator[None]:
    """Hold a lock file; raises DriverError when somebody else keeps it until the deadline."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if until.left_s <= 0:
                    raise DriverError(f"cannot {what}: {path} is locked by somebody else") from None
                until.pause()
        yield
    finally:
        os.close(lock)


def reap(directory: Path) -> None:
    """Where Convoy is a container's first process, shims that ended are its children to bury."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        os.waitpid(int((directory / "lock").read_text().split()[0]), os.WNOHANG)


def shim_of(directory: Path) -> int:
    """The shim's process number, if it is still the process that wrote it down; else 0."""
    try:
        number, born = (directory / "lock").read_text().split()
        return int(number) if birth(int(number)) == born else 0
    except (OSError, ValueError):
        return 0


def _send(directory: Path, pid: int, number: int) -> bool:
    try:
        held = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else -1
    except ProcessLookupError:
        return False
    except OSError:
        # A sandbox without this call: a number that was checked a moment ago has to do.
        held = -1
    try:
        if held < 0:
            os.kill(pid, number)
        elif shim_of(directory) == pid:
            # Whoever has the number now, the descriptor means the process that had it when it was looked at.
            signal.pidfd_send_signal(held, number)
        else:
            return False
    except ProcessLookupError:
        return False
    finally:
        if held >= 0:
            os.close(held)
    return True


def _force(directory: Path) -> None:
    """Kill the child with its group, then the shim; what escaped both is for end_leftovers."""
    state = read_json(directory / "state.json") or {}
    pid, born = state.get("pid"), state.get("born")
    if isinstance(pid, int) and pid > 1 and born and birth(pid) == born:
        kill(pid, group=True)
    tell(directory, signal.SIGKILL)
