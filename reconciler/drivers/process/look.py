"""Looks at one host directory: what bears our mark there and how it is; what has not changed costs one stat and one lock."""

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from reconciler.core.hiding import hide_secrets
from reconciler.core.model import Health, Observed, Ref
from reconciler.drivers.process.instance import HOME, SEALED, Mark, NotAMark, read_json, read_mark, rests
from reconciler.drivers.process.shim.output import NAME as LOG

# Time stamps of files move in ticks of some milliseconds: a directory changed so recently may change again unseen.
FRESH_NS = 50_000_000
# How much of a log may stand in a message, and how far back it is read to find whole lines and whole secrets.
TAIL_CHARACTERS, TAIL_BYTES = 400, 8192
# What is sealed is shorter (MOST_BYTES of `convoy secret seal`).
LONGEST_SECRET = 1 << 20
QUIETLY = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
STATES = frozenset({"starting", "running", "stopping", "stopped", "failed"})


@dataclass(frozen=True, slots=True)
class _Entry:
    stamp: int
    settled: bool
    # As it is to be shown while its shim is alive, and when it is not; None when it does not bear our mark.
    alive: Observed | None
    dead: Observed | None
    # Another installation's mark.
    foreign: Mark | None = None


class Look:
    """Remembers what it has parsed, by the time at which anything in an instance's directory was last replaced."""

    def __init__(self, host: str, directory: str, installation: str, address: str, secret: Callable[[Mark], str]) -> None:
        self._host, self._directory, self._installation, self._address = host, directory, installation, address
        self._secret = secret
        self._entries: dict[tuple[str, int], _Entry] = {}
        # (ref, instance) ⇒ installation, of what bears another installation's mark.
        self.foreign: Mapping[tuple[Ref, str], str] = {}

    def __call__(self) -> list[Observed]:
        """Raises DriverError, OSError."""
        entries: dict[tuple[str, int], _Entry] = {}
        found: list[Observed] = []
        for name, inode, stamp in self._scan():
            entry = self._entries.get((name, inode))
            if entry is None or not entry.settled or entry.stamp != stamp:
                entry = self._read(name, stamp)
            if entry.alive is not None and not locked(f"{self._directory}/{name}/lock"):
                if not entry.settled or _stamp(f"{self._directory}/{name}") != stamp:
                    # It may have written its last words and ended between our two looks.
                    entry = self._read(name, 0)
                if entry.dead is not None:
                    found.append(entry.dead)
            elif entry.alive is not None:
                found.append(entry.alive)
            entries[name, inode] = entry
        self._entries = entries
        others = [entry.foreign for entry in entries.values() if entry.foreign is not None]
        self.foreign = {(mark.ref, mark.instance): mark.installation for mark in others}
        return found

    def _scan(self) -> Iterator[tuple[str, int, int]]:
        try:
            with os.scandir(self._directory) as scanned:
                for one in scanned:
                    # A kind begins with a capital; what else is here is not an instance.
                    if one.name[0].isupper() and (stamp := _stamp(one.path)):
                        yield one.name, one.inode(), stamp
        except FileNotFoundError:
            # Nothing was ever made here.
            return

    def _read(self, name: str, stamp: int) -> _Entry:
        # By the clock of files, whatever clock a test has given us.
        settled = 0 < stamp < time.time_ns() - FRESH_NS
        directory = f"{self._directory}/{name}"
        try:
            mark = read_mark(directory)
        except NotAMark:
            mark = None
        if mark is None or mark.installation != self._installation:
            return _Entry(stamp, settled, None, None, mark)
        want, state = read_json(f"{directory}/want.json"), read_json(f"{directory}/state.json")
        begun = state is not None or os.path.exists(f"{directory}/state.json")
        return _Entry(
            stamp, settled, self._alive(mark, directory, want, state, begun), self._dead(mark, directory, want, state)
        )

    def _alive(
        self, mark: Mark, directory: str, want: Mapping[str, Any] | None, state: Mapping[str, Any] | None, begun: bool
    ) -> Observed:
        if state is None and not begun:
            return self._observed(mark, directory, want, None, "starting", Health("starting", message="its shim is starting"))
        try:
            if state is None:
                raise ValueError("no state")
            health = Health(**state["health"])
            if state["state"] not in STATES:
                raise ValueError(state["state"])
            return self._observed(
                mark, directory, want, state, state["state"], self._worded(mark, directory, want, state, health)
            )
        except (ValueError, KeyError, TypeError):
            health = Health("unknown", message=f"{directory}/state.json cannot be read; its shim will write it again")
            return self._observed(mark, directory, want, None, "unknown", health)

    def _dead(self, mark: Mark, directory: str, want: Mapping[str, Any] | None, state: Mapping[str, Any] | None) -> Observed:
        restart = str((want or {}).get("restart", "always"))
        if state is None or not rests(restart, state):
            health = Health("unhealthy", message="nothing supervises it: its shim has ended")
            return self._observed(mark, directory, want, state, "lost", health)
        if state.get("ended") != "finished":
            health = Health("unhealthy", message=f"its shim was killed while it ran, not restarted (restart: {restart})")
            return self._observed(mark, directory, want, state, "failed", health)
        shown = self._alive(mark, directory, want, state, True)
        # Nothing is left that could tell us of an update: what is written is in force.
        return Observed(
            shown.ref,
            shown.instance,
            shown.host,
            {**shown.fields, "live": (want or {}).get("live", "")},
            shown.health,
            shown.since,
        )

    def _observed(
        self,
        mark: Mark,
        directory: str,
        want: Mapping[str, Any] | None,
        state: Mapping[str, Any] | None,
        word: str,
        health: Health,
    ) -> Observed:
        source = state or {}
        fields = {
            "uid": mark.uid,
            "owner": mark.owner,
            "deletion": mark.deletion,
            # What the shim says it has taken in, not what was written for it.
            "live": source.get("live", ""),
            "state": word,
            "address": self._address,
            "ports": dict(mark.ports),
            "pid": source.get("pid") or None,
            "restarts": source.get("restarts", 0),
            "exit": source.get("exit"),
            "log": f"{directory}/{LOG}",
            "stop_s": _number(((want or {}).get("stop") or {}).get("longest_s"), 11.0),
        }
        if word == "lost":
            fields["pid"] = None
        return Observed(mark.ref, mark.instance, self._host, fields, health, _number(source.get("since"), mark.created))

    def _worded(
        self, mark: Mark, directory: str, want: Mapping[str, Any] | None, state: Mapping[str, Any], health: Health
    ) -> Health:
        """With the last words of its log, where those say why it is not well; without its secrets, whoever prints them."""
        if health.status == "healthy":
            return health
        secrets = known_secrets(directory, want)
        message = health.message
        if state["exit"] is not None or state["health"]["failed"]:
            if state["exit"] is not None and "status" not in message and "killed" not in message:
                message += f"; its last run ended with {state['exit']}"
            tail = _tail(f"{directory}/{LOG}", self._secret(mark), secrets)
            if tail:
                message += f"; last output: {tail}"
        return replace(health, message=hide_secrets(message, secrets)[:1000])


def locked(path: str) -> bool:
    """Whether a shim holds this lock."""
    try:
        lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _stamp(path: str) -> int:
    try:
        return os.stat(path, follow_symlinks=False).st_mtime_ns
    except FileNotFoundError:
        return 0


def _number(value: object, otherwise: float) -> float:
    return float(value) if isinstance(value, int | float) else otherwise


def known_secrets(directory: str, want: Mapping[str, Any] | None) -> list[str]:
    """What was opened for this instance, from where it was put for it."""
    sealed = (want or {}).get(SEALED)
    if not want or not isinstance(sealed, dict):
        return []
    found = [want["start"]["environment"].get(name, "") for name in sealed.get("environment", ())]
    for name in sealed.get("files", ()):
        # The workload may have put anything in its place by now, also what would keep a reader waiting.
        with contextlib.suppress(OSError), os.fdopen(os.open(f"{directory}/{HOME}/{name}", QUIETLY), "rb") as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                found.append(file.read(LONGEST_SECRET).decode(errors="replace"))
    return found


def _tail(path: str, token: str, secrets: Collection[str]) -> str:
    # So far back that a secret of one line which reaches into what is shown is seen whole.
    length = TAIL_BYTES + max(map(len, secrets), default=0)
    for name in (path, f"{path}.1"):
        try:
            with open(name, "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - length))
                data = file.read(length)
        except OSError:
            continue
        if data:
            break
    else:
        return ""
    text = data.decode(errors="replace")
    if token:
        text = text.replace(token, "[token]")
    text = hide_secrets(text, secrets)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    text = " | ".join(lines)
    return text if len(text) <= TAIL_CHARACTERS else "…" + text[-TAIL_CHARACTERS:]
