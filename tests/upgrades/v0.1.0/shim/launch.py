"""From a started program to a supervisor of its own: lock, fork, new session, and word back when it has taken over."""

import fcntl
import os
import signal
import sys
import time

from .supervisor import Supervisor
from .system import become_subreaper, birth, end_leftovers

# Exit statuses of the launcher, as the driver reads them.
TAKEN_OVER, FAILED, ALREADY = 0, 1, 3
# A look at the lock by a driver holds it for some microseconds: no reason to think that another shim is there.
LOCK_PATIENCE_S = 0.25


def launch(directory: str) -> int:
    """Start the shim of this instance directory; ALREADY when one runs."""
    os.umask(0o077)
    os.chdir(directory)
    lock = _take("lock")
    if lock < 0:
        return ALREADY
    # Until the new shim has written who it is, nobody must signal the old one's number.
    os.ftruncate(lock, 0)
    heard, say = os.pipe()
    if os.fork():
        os.close(say)
        error = os.read(heard, 4096)
        if error == b"ok":
            return TAKEN_OVER
        sys.stderr.write(error.decode(errors="replace") or "the shim ended while it started\n")
        return FAILED
    os.close(heard)
    os.setsid()
    try:
        supervisor = _take_over(directory, lock)
    except Exception as error:  # noqa: BLE001 - whatever it is, whoever started us must hear of it
        os.write(say, f"{type(error).__name__}: {error}\n".encode()[:4096])
        os._exit(FAILED)
    os.write(say, b"ok")
    os.close(say)
    supervisor.run()
    return TAKEN_OVER


def _take(name: str) -> int:
    """The locked file, or -1 when somebody else holds it."""
    lock = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until = time.monotonic() + LOCK_PATIENCE_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except BlockingIOError:
            if time.monotonic() > until:
                os.close(lock)
                return -1
            time.sleep(0.002)


def _take_over(directory: str, lock: int) -> Supervisor:
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    # What only a mistake of ours would print.
    errors = os.open("shim.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    os.dup2(errors, 2)
    os.close(errors)
    become_subreaper()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_leftovers(directory)
    supervisor = Supervisor(directory)
    # From here on signals are understood, and only from here on may anybody send one.
    os.pwrite(lock, f"{os.getpid()} {birth(os.getpid())}\n".encode(), 0)
    supervisor.start()
    return supervisor
