"""Looks at one host directory: what bears our mark there and how it is; what has not changed costs one stat and one lock."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.core.model import Health, Observed
from reconciler.drivers.process.instance import Mark, NotAMark, read_json, read_mark, rests
from reconciler.drivers.process.shim.output import NAME as LOG

# Time stamps of files move in ticks of some milliseconds: a directory changed so recently may change again unseen.
FRESH_NS = 50_000_000
# How much of a log may stand in a message, and how far back it is read to find whole lines and whole secrets.
TAIL_CHARACTERS, TAIL_BYTES = 400, 8192
STATES = frozenset({"starting", "running", "stopping", "stopped", "failed"})


@dataclass(frozen=True, slots=True)
class _Entry:
    stamp: int
    settled: bool
    # As it is to be shown while its shim is alive, and when it is not; None when it does not bear our mark.
    alive: Observed | None
    dead: Observed | None


class Look:
    """Remembers what it has parsed, by the time at which anything in an instance's directory was last replaced."""

    def __init__(self, host: str, directory: str, installation: str, address: str, secret: Callable[[Mark], str]) -> None:
        self._host, self._directory, self._installation, self._address = host, directory, installation, address
        self._secret = secret
        self._entries: dict[tuple[str, int], _Entry] = {}

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
            return _Entry(stamp, settled, None, None)
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
            return self._observed(mark, directory, want, state, state["state"], self._worded(mark, directory, state, health))
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

    def _worded(self, mark: Mark, directory: str, state: Mapping[str, Any], health: Health) -> Health:
        """With the last words of its log, where those say why it is not well."""
        if health.status == "healthy" or (state["exit"] is None and not state["health"]["failed"]):
            return health
        message = health.message
        if state["exit"] is not None and "status" not in message and "killed" not in message:
            message += f"; its last run ended with {state['exit']}"
        tail = _tail(f"{directory}/{LOG}", self._secret(mark))
        if tail:
            message += f"; last output: {tail}"
        return Health(
            health.status, health.checked_at, health.code, health.latency_ms, health.passed, health.failed, message[:1000]
        )


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


def _tail(path: str, secret: str) -> str:
    for name in (path, f"{path}.1"):
        try:
            with open(name, "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
                data = file.read(TAIL_BYTES)
        except OSError:
            continue
        if data:
            break
    else:
        return ""
    text = data.decode(errors="replace")
    if secret:
        text = text.replace(secret, "[token]")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    text = " | ".join(lines)
    return text if len(text) <= TAIL_CHARACTERS else "…" + text[-TAIL_CHARACTERS:]
