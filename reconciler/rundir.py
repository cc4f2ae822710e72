"""Where sockets live: beside the state, or in a short private directory where that path is too long for a socket."""

import hashlib
import os
import stat
import tempfile
from pathlib import Path

# Where proxies find the xDS server.
XDS_SOCKET = "xds.sock"
# sun_path holds 108 bytes on Linux and 104 on macOS; what is left is for the names of sockets inside.
LONGEST_DIRECTORY = 64


def state_directory(state: Path) -> Path:
    """The state directory, resolved, made with mode 0700 where it is missing; raises OSError where others can read it."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = state.resolve()
    if state.stat().st_mode & 0o077:
        raise OSError(f"{state} can be read by others, and it holds keys: chmod 700 it")
    return state


def run_directory(state: Path) -> Path:
    """The directory for sockets of this state directory, made with mode 0700; raises OSError when it cannot be ours."""
    run = run_path(state)
    run.mkdir(mode=0o700, parents=True, exist_ok=True)
    wrong = not_ours(run)
    if wrong:
        raise OSError(wrong)
    return run


def run_path(state: Path) -> Path:
    """Where that directory is, made or not."""
    state = state.resolve()
    run = state / "run"
    if len(os.fsencode(run)) <= LONGEST_DIRECTORY:
        return run
    name = hashlib.sha256(os.fsencode(state)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"convoy-{name}"


def not_ours(run: Path) -> str:
    """Why sockets must not be made in this directory; empty when they may. Raises OSError where it is not there."""
    found = run.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not stat.S_IMODE(found.st_mode) & 0o077:
        return ""
    return f"{run} must be a directory of this user's alone (mode 0700): remove it or set TMPDIR to a place of your own"


def point_to(own: Path) -> None:
    """Let the name that proxies know lead to this socket, and remove those of earlier lives; raises OSError."""
    known, new = own.with_name(XDS_SOCKET), own.with_name(f"{own.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(own.name)
    new.replace(known)
    for old in own.parent.glob("xds-*.sock"):
        if old != own:
            old.unlink(missing_ok=True)
