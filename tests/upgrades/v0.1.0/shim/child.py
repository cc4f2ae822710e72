"""Starts a program in a process group of its own that cannot outlive us."""

import contextlib
import os
import signal
import stat

from .system import die_with_parent

# Python ignores or handles these; a program expects to begin with what the system does by itself.
RESET = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)


def spawn(command: list[str], environment: dict[str, str], directory: str, output: int, alive: int = -1) -> tuple[int, str]:
    """The new process's number, and "" or why the program could not be run (then the process ends with 127).

    To be called by the main thread only: the kernel ties a child's life to the thread that forked it.
    """
    heard, say = os.pipe()
    us = os.getpid()
    try:
        pid = os.fork()
    except OSError:
        os.close(heard)
        os.close(say)
        raise
    if pid == 0:
        try:
            _become(us, command, environment, directory, output, alive)
        except Exception as error:  # noqa: BLE001 - this process has nowhere else to go
            reason = (getattr(error, "strerror", None) or str(error)) if isinstance(error, OSError) else str(error)
            os.write(say, f"cannot run {command[0]!r} in {directory}: {reason}".encode()[:1000])
        finally:
            os._exit(127)
    os.close(say)
    # Both sides do it, so that the group is there whoever is first.
    with contextlib.suppress(OSError):
        os.setpgid(pid, pid)
    said = b""
    while piece := os.read(heard, 1000):
        said += piece
    os.close(heard)
    return pid, said.decode(errors="replace")


def remove_sockets(paths: list[str]) -> None:
    """A socket that an earlier run has left would be "address in use" to the next."""
    for path in paths:
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.lstat(path).st_mode):
                os.unlink(path)


def _become(us: int, command: list[str], environment: dict[str, str], directory: str, output: int, alive: int) -> None:
    signal.set_wakeup_fd(-1)
    for number in RESET:
        signal.signal(number, signal.SIG_DFL)
    os.setpgid(0, 0)
    die_with_parent()
    if os.getppid() != us:
        # The shim was killed before the kernel knew that we are to go with it.
        os._exit(127)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(output if output >= 0 else null, 1)
    os.dup2(output if output >= 0 else null, 2)
    if alive >= 0:
        os.set_inheritable(alive, True)
    os.chdir(directory)
    os.execvpe(command[0], command, environment)  # noqa: S606 - what we are for; a shell is the last thing wanted
