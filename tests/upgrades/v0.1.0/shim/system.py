"""What only the operating system can tell or do about processes; Linux in full, the rest as far as it goes."""

import ctypes
import fcntl
import json
import os
import signal
import sys
import time

if sys.platform != "linux":
    import subprocess

# https://man7.org/linux/man-pages/man2/prctl.2.html
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
# Put into every child's environment, so that what has left its process group is still known as ours.
MARK = "CONVOY_INSTANCE"

_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def become_subreaper() -> None:
    """Orphans among our descendants become our children, so that none of them escapes."""
    if _prctl is not None:
        _prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent() -> None:
    """The kernel kills this process when the thread that forked it ends."""
    if _prctl is not None:
        _prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def _boot() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read(8)
    except OSError:
        return ""


_BOOT = _boot()


def birth(pid: int) -> str:
    """When this process began, as text that no later process of the same number shares; "" when it is gone or a zombie."""
    if sys.platform != "linux":
        # https://pubs.opengroup.org/onlinepubs/9699919799/utilities/ps.html: the only portable way to a start time.
        found = subprocess.run(["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return "-".join(found.stdout.split())
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name in parentheses may itself hold anything; everything is counted from the last parenthesis.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in (b"Z", b"X") else f"{_BOOT}-{fields[19].decode()}"


def children() -> list[int]:
    """Our direct children, adopted ones included."""
    pid = os.getpid()
    try:
        with open(f"/proc/self/task/{pid}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return [other for other in _pids() if _parent(other) == pid]


def _pids() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def _parent(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except OSError:
        return 0


def kill(pid: int, group: bool = False) -> None:
    """SIGKILL; whoever is gone already is fine."""
    try:
        if group:
            os.killpg(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def reap(ours: set[int]) -> tuple[int, int] | None:
    """One process that has ended and its exit status (negative: a signal); None when there is none.

    The groups of `ours` are killed while the leader's number is still taken: afterwards it may be somebody else's.
    """
    try:
        if hasattr(os, "waitid"):
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if found is None:
                return None
            if found.si_pid in ours:
                kill(found.si_pid, group=True)
            pid, status = os.waitpid(found.si_pid, 0)
        else:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return None
            if pid in ours:
                kill(pid, group=True)
    except ChildProcessError:
        return None
    return pid, os.waitstatus_to_exitcode(status)


def end_children(patience_s: float = 1.0) -> None:
    """Kill every child and what becomes our child thereby, until none is left."""
    until = time.monotonic() + patience_s
    while (left := children()) and time.monotonic() < until:
        for pid in left:
            kill(pid)
        while reap(set()) is not None:
            continue
        time.sleep(0.001)


def marked(directory: str) -> list[int]:
    """Every process that was started, directly or not, by the shim of this instance directory (Linux only)."""
    mark = f"{MARK}={directory}".encode()
    found = []
    for pid in _pids():
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if pid != os.getpid() and mark in file.read().split(b"\0"):
                    found.append(pid)
        except OSError:
            continue
    return found


def end_leftovers(directory: str, patience_s: float = 2.0) -> None:
    """Kill what a shim that was itself killed has left running. Only for whoever knows that no shim is alive."""
    try:
        with open(os.path.join(directory, "state.json"), "rb") as file:
            state = json.load(file)
        pid, born = int(state["pid"]), str(state["born"])
    except FileNotFoundError:
        pid, born = 0, ""
    except (OSError, ValueError, KeyError, TypeError):
        pid, born = -1, ""
    if pid > 1 and born and birth(pid) == born:
        kill(pid, group=True)
    elif pid == 0 and born == "" and not _held(os.path.join(directory, "alive")):
        # Nothing has run here before. Looking through all processes is for where something may have: it is not cheap.
        return
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        left = marked(directory)
        if not left and not _held(os.path.join(directory, "alive")):
            return
        for one in left:
            kill(one)
        time.sleep(0.01)


def _held(path: str) -> bool:
    """Whether a child still holds the lock that it inherited."""
    try:
        lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def alive_lock() -> int:
    """A lock that the child inherits and that is free only when it and all it started have ended or let go of it."""
    while True:
        alive = os.open("alive", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return alive
        except BlockingIOError:
            # Somebody has escaped every kill. The new child gets a new lock.
            os.close(alive)
            os.unlink("alive")
