"""Checks of what Convoy keeps: the state directory, its keys and sockets, who works in it, and the store."""

import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from reconciler.core.show_doctor import Finding, Verdict
from reconciler.core.show_holds import ago
from reconciler.doctor.ground import Ground, Nothing
from reconciler.rundir import not_ours, run_path
from reconciler.secrets import IDENTITY_FILE
from reconciler.store import NoStore, StoreError

# With less than this nothing is written any more, and with less than that it is time to make room.
NO_ROOM, LITTLE_ROOM = 32 << 20, 512 << 20
FEW_INODES = 1000
# sun_path holds so many bytes on Linux; the names of sockets inside the run directory have about forty.
LONGEST_SOCKET, SOCKET_NAME = 107, 40


def state_directory(ground: Ground) -> Iterator[Finding]:
    state = ground.state
    try:
        found = state.stat()
    except FileNotFoundError:
        raise Nothing(f"{state} is not there: nothing was made here yet") from None
    except OSError as error:
        yield Finding("bad", f"{state} cannot be looked at: {error.strerror}", "see who owns it and what is mounted there")
        return
    if not stat.S_ISDIR(found.st_mode):
        yield Finding("bad", f"{state} is not a directory", "name another with --state, or move it away")
        return
    if found.st_mode & 0o077:
        yield Finding("bad", f"{state} can be read by others, and it holds keys", f"chmod 700 {state}")
    if found.st_uid != os.geteuid():
        yield Finding(
            "bad", f"{state} belongs to user {found.st_uid}, and this is user {os.geteuid()}", f"chown -R it: {state}"
        )
    if not os.access(state, os.W_OK | os.X_OK):
        yield Finding("bad", f"{state} cannot be written to", "see its permissions, and whether its disk is mounted read-only")
    yield Finding("ok", f"{state}")


def room(ground: Ground) -> Iterator[Finding]:
    place = next(one for one in (ground.state, *ground.state.parents) if one.exists())
    free, inodes = shutil.disk_usage(place).free, os.statvfs(place).f_favail
    shown = f"{free / (1 << 30):.1f} GiB free" if free >= 1 << 30 else f"{free >> 20} MiB free"
    hint = f"make room on the disk of {place}"
    if free < NO_ROOM:
        yield Finding("bad", f"the disk of {place} is full: {shown}", hint)
    elif free < LITTLE_ROOM:
        yield Finding("warn", f"the disk of {place} is nearly full: {shown}", hint)
    # Some file systems do not count them and say 0.
    if 0 < inodes < FEW_INODES:
        yield Finding("bad", f"the disk of {place} has room for {inodes} more files", f"{hint}: many small ones")
    yield Finding("ok", shown)


def keys(ground: Ground) -> Iterator[Finding]:
    looked = 0
    names = ("convoy.db", "convoy.db-wal", IDENTITY_FILE, "hosts", "mirrors")
    for path in (ground.state / name for name in names):
        try:
            found = path.lstat()
        except OSError:
            continue
        looked += 1
        if stat.S_ISLNK(found.st_mode):
            yield Finding("warn", f"{path} is a symbolic link", "let it be the thing itself: whoever owns its target owns it")
        elif found.st_mode & 0o077 and path.name not in ("hosts", "mirrors"):
            hint = f"chmod 600 {path}, and take what is in it for known to them"
            yield Finding("bad", f"others can read {path}", hint)
        if found.st_uid != os.geteuid():
            yield Finding("bad", f"{path} belongs to user {found.st_uid}, and this is user {os.geteuid()}", f"chown it: {path}")
    if not looked:
        raise Nothing("there are none yet")
    yield Finding("ok", f"{looked} files and directories are this user's alone")


def sockets(ground: Ground) -> Iterator[Finding]:
    if not ground.state.exists():
        raise Nothing("nothing was made here yet")
    places = [ground.state, *(ground.hosts / name for name in _names(ground.hosts))]
    for run in sorted({run_path(place) for place in places}):
        if len(os.fsencode(run)) + SOCKET_NAME > LONGEST_SOCKET:
            hint = "set TMPDIR to a directory with a short path for Convoy and for every command"
            yield Finding("bad", f"the path {run} is too long for sockets", hint)
        try:
            wrong = not_ours(run)
        except FileNotFoundError:
            continue
        except OSError as error:
            wrong = f"{run} cannot be looked at: {error.strerror}"
        if wrong:
            yield Finding("bad", wrong, f"remove {run} if nobody needs it: it is made again")
    yield Finding("ok", f"{run_path(ground.state)}")


def _names(directory: Path) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []


def at_work(ground: Ground) -> Iterator[Finding]:
    pid, kept = ground.working(), ground.kept()
    now = ground.seams.now()
    if kept is not None and kept.now is not None:
        now = kept.now
    held = kept is not None and bool(kept.holder) and kept.expires_at > now
    mine = kept is not None and f":{ground.state.resolve()} (" in kept.holder
    if pid and kept is not None and kept.holder and not held:
        what = f"process {pid} holds {ground.state / 'lock'}, but has not renewed its lease for {ago(now - kept.expires_at)}"
        yield Finding(
            "bad", what, f"it hangs or cannot reach the store: see its log, then end process {pid} and start it again"
        )
    elif pid and kept is not None and held and not mine:
        yield Finding("ok", f"process {pid} stands by here; {kept.holder} acts")
    elif pid:
        yield Finding("ok", f"process {pid} is at work in {ground.state}")
    elif held and kept is not None and not mine:
        yield Finding("ok", f"{kept.holder} acts on this store")
    elif held:
        yield Finding("warn", "the Convoy that was at work here has ended without giving back its lease", "wait 15 s")
    elif kept is not None and any(row.get("instances") for row in kept.status.values()):
        hint = "`convoy serve`, unless it was only to be applied once"
        yield Finding("warn", "no Convoy is at work here: what breaks is not healed, and commits are not followed", hint)
    else:
        yield Finding("ok", "no Convoy is at work here")


def store(ground: Ground) -> Iterator[Finding]:
    try:
        kept = ground.store()
    except NoStore:
        raise Nothing("no Convoy has worked here yet") from None
    except StoreError as error:
        yield Finding("bad", str(error), "`convoy restore` brings back a backup; what runs is found again by its marks")
        return
    if kept.damage:
        hint = "stop Convoy, keep a copy, and bring back a backup (`convoy restore`)"
        yield Finding("bad", f"{kept.shown} is damaged: {kept.damage[0]}", hint)
    if kept.unreadable:
        yield Finding(
            "bad", f"part of {kept.shown} cannot be read: {kept.unreadable}", "bring back a backup (`convoy restore`)"
        )
    if kept.step > kept.newest:
        what = f"{kept.shown} was written by a newer Convoy (its tables are at step {kept.step}, this one knows {kept.newest})"
        yield Finding("bad", what, "use that Convoy, or bring back a backup from before it")
    elif kept.step < kept.newest:
        yield Finding("ok", f"{kept.shown} is at step {kept.step} of {kept.newest}; the next Convoy at work takes the rest")
    yield Finding("ok", f"{kept.shown}, step {kept.step}")


def standing(ground: Ground) -> Iterator[Finding]:
    try:
        kept = ground.store()
    except StoreError as error:
        raise Nothing(str(error)) from None
    if not kept.state:
        raise Nothing("nothing was in force here yet")
    state = kept.state
    if state.get("unreadable"):
        yield Finding(
            "bad", f"the source could not be read: {state['unreadable']}", "mend that; what was read before stays in force"
        )
    if state.get("refused"):
        first: Mapping[str, Any] = next(iter(state.get("problems", ())), {})
        where = f": {first.get('file')}:{first.get('line')}: {first.get('what')}" if first else ""
        hint = "mend it in Git; `convoy status` shows all that is wrong with it"
        yield Finding("bad", f"revision {str(state['refused'])[:12]} is refused{where}", hint)
    ill = [
        row for row in kept.status.values() if row.get("declared", True) and row.get("sync") in ("failed", "refused", "held")
    ]
    for row in ill[:5]:
        verdict: Verdict = "warn" if row["sync"] == "held" else "bad"
        yield Finding(verdict, f"{row['ref']} is {row['sync']}: {row.get('why', '')}", f"`convoy explain {row['ref']}`")
    if len(ill) > 5:
        yield Finding("bad", f"and {len(ill) - 5} more resources are not as declared", "`convoy status`")
    planned = f"; planned last {ago(ground.seams.now() - kept.planned_at)} ago" if kept.planned_at else ""
    revision = str(state.get("revision", ""))[:20] or "nothing"
    said = "as declared" if state.get("converged") else "not as declared yet"
    yield Finding("ok", f"{revision} in force, {said}{planned}")
