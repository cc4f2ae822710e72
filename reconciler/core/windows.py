"""Sync windows in time: whether changes may be made now, and when that ends or begins."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from math import inf, isfinite

from cronsim import CronSim

from reconciler.core.kinds import KINDS
from reconciler.core.kinds.window import Window, zone
from reconciler.core.model import Ref
from reconciler.core.select import Selector

# Clocks are put back by at most so much: what a schedule calls earlier may be later by then.
CLOCKS_BACK = timedelta(hours=3)
MINUTE_S = 60.0
# Openings that follow each other without a gap are one; behind so many of them nobody asks for the end.
MOST_JOINED, MOST_TURNS = 100, 20


@dataclass(frozen=True, slots=True)
class Opening:
    """Whether changes may be made. `until`: when that changes (Unix seconds), None where it does not as far as is known;
    `why` says in words what holds them back. `finish`: what has been begun may be gone on with."""

    open: bool
    until: float | None = None
    why: str = ""
    finish: bool = True


ALWAYS = Opening(True)


class Windows:
    """Those of one fleet at one moment, asked about one resource after another."""

    def __init__(self, windows: Sequence[Window], now: float) -> None:
        self._windows = [(window, Selector.parse(window.only, KINDS)) for window in windows]
        self._now = now
        # As many as there are ways to be about windows, which are few, and not as many as there are documents.
        self._said: dict[tuple[Window, ...], Opening] = {}

    def __bool__(self) -> bool:
        return bool(self._windows)

    def opening(self, ref: Ref, labels: Mapping[str, str]) -> Opening:
        """Whether this may be changed now."""
        mine = tuple(window for window, selector in self._windows if selector.covers(ref, labels))
        if mine not in self._said:
            self._said[mine] = opening(mine, self._now)
        return self._said[mine]


def opening(windows: Sequence[Window], now: float) -> Opening:
    """What these windows, all about the same thing, say of this moment: deny goes before allow, and where there is any
    allow, nothing is done outside."""
    if not windows:
        return ALWAYS
    denied = [end for one in windows if one.kind == "deny" and (end := closes(one, now)) is not None]
    allowing = [one for one in windows if one.kind == "allow"]
    allowed = [end for one in allowing if (end := closes(one, now)) is not None]
    if not denied and (allowed or not allowing):
        turns = turn(windows, now)
        return Opening(True, turns if isfinite(turns) else None)
    why = "a sync window denies changes now" if denied else "no sync window is open"
    closing = [one for one in windows if (one.kind == "deny") == bool(denied)]
    finish = all(one.overrun == "finish" for one in closing)
    return Opening(False, _next(windows, now), why, finish)


def _next(windows: Sequence[Window], now: float) -> float | None:
    """When changes may be made again."""
    allowing = [one for one in windows if one.kind == "allow"]
    at = now
    for _ in range(MOST_TURNS):
        denied = [end for one in windows if one.kind == "deny" and (end := closes(one, at)) is not None]
        if denied:
            at = max(denied)
        elif allowing and not any(closes(one, at) is not None for one in allowing):
            begins = [begin for one in allowing if (begin := opens(one, at)) is not None]
            if not begins:
                return None
            at = min(begins)
        else:
            return at
    return None


def turn(windows: Sequence[Window], now: float) -> float:
    """When any of these opens or closes next, so that there may be another answer; infinity where none ever does."""
    return min((at for one in windows for at in (closes(one, now), opens(one, now)) if at is not None), default=inf)


def closes(window: Window, now: float) -> float | None:
    """When the window that is open now closes; None when it is not open. Openings that overlap are one."""
    begun = _before(window.schedule, window.time_zone, now // MINUTE_S)
    if begun is None or now >= begun + window.duration_s:
        return None
    return _end(window.schedule, window.time_zone, window.duration_s, begun)


def opens(window: Window, now: float) -> float | None:
    """When it opens next, after now."""
    return _after(window.schedule, window.time_zone, now // MINUTE_S)


# By the minute: schedules know nothing smaller, and every document asks at the same time.


@lru_cache(4096)
def _before(schedule: str, time_zone: str, minute: float) -> float | None:
    """The last opening up to and including this minute (Unix minutes)."""
    now = minute * MINUTE_S
    # From later on: by a clock that is put back, what has been may have a later time than now.
    start = datetime.fromtimestamp(now, zone(time_zone)) + CLOCKS_BACK
    return _first(CronSim(schedule, start, reverse=True), lambda at: at <= now)


@lru_cache(4096)
def _after(schedule: str, time_zone: str, minute: float) -> float | None:
    """The first opening after this minute."""
    now = minute * MINUTE_S
    start = datetime.fromtimestamp(now, zone(time_zone)) - CLOCKS_BACK
    return _first(CronSim(schedule, start), lambda at: at > now)


@lru_cache(4096)
def _end(schedule: str, time_zone: str, duration_s: float, begun: float) -> float:
    """When what opened then closes, with all that opens before it has closed."""
    end = begun + duration_s
    for at in islice(CronSim(schedule, datetime.fromtimestamp(begun, zone(time_zone))), MOST_JOINED):
        following = at.astimezone(UTC).timestamp()
        if following > end:
            break
        end = max(end, following + duration_s)
    return end


def _first(times: CronSim, fits: Callable[[float], bool]) -> float | None:
    """It looks at the minutes of a few hours at most, and gives up after fifty years without any."""
    for at in times:
        seconds = at.astimezone(UTC).timestamp()
        if fits(seconds):
            return seconds
    return None
