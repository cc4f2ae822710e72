"""What goes wrong at a point: an error, a deadline passed, a slow answer, nonsense, a kill; armed by events and counted."""

import errno
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from reconciler.drivers import DriverError
from reconciler.git import SourceError

from .turns import Killed, Turns

# Where a task may lose its turn. Not in the store and not where locks are held that are no seam.
TURNING = ("driver.", "memory.", "source.", "rig.")
DEADLINE_S = 30.0
SLOW_S = (0.2, 1.0, 3.0, 8.0)
# Where something has had its effect, and its answer can be lost.
COMMITTED = "store.committed"
DONE = (COMMITTED, "memory.applied")
NONSENSE = ("nothing", "none in it", "of elsewhere", "a surprise")


class Nonsense(Exception):
    """Raised to the rig's own driver, which then answers so."""


def failure(name: str, late: bool) -> Exception | None:
    """What the room of this point expects to be raised there; None where nothing can fail."""
    words = "the deadline passed" if late else "injected by the rig"
    room = name.partition(".")[0]
    if room == "driver":
        return DriverError(f"cannot do it: {words}")
    if room == "source":
        return SourceError(f"cannot read it: {words}")
    if room in ("memory", "store", "process"):
        return OSError(errno.ETIMEDOUT if late else errno.EIO, words)
    return None


def _struck(name: str, point: str) -> bool:
    """What has happened already is struck by its whole name alone: worlds of before there was this point are what they were."""
    return name == point if COMMITTED in (name, point) else name.startswith(point)


@dataclass
class Armed:
    """Happens at the point of this name (or beginning) after so many others of it."""

    kind: str
    point: str
    skip: int
    # How slow; one of SLOW_S where it is 0.
    seconds: float = 0.0


@dataclass
class Faults:
    """Of one world."""

    turns: Turns
    armed: list[Armed] = field(default_factory=list)
    passed: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    # Called when a life is killed at a point.
    killed: Callable[[], None] = lambda: None

    def arm(self, kind: str, point: str, skip: int, seconds: float = 0.0) -> None:
        self.armed.append(Armed(kind, point, skip, seconds))

    def at(self, name: str, about: tuple[object, ...]) -> None:
        """Passing a point."""
        self.passed[name] += 1
        due: Armed | None = None
        for one in self.armed:
            if _struck(name, one.point) and (one.kind != "nonsense" or name.startswith("rig.")):
                if one.skip:
                    one.skip -= 1
                elif due is None:
                    due = one
        turning = name.startswith(TURNING)
        if due is not None:
            self.armed.remove(due)
            self._strike(due, name, turning)
        if turning:
            self.turns.rest()

    def _strike(self, armed: Armed, name: str, turning: bool) -> None:
        if armed.kind == "kill":
            self.struck["kill"] += 1
            self.killed()
            raise Killed
        if armed.kind == "nonsense":
            self.struck["nonsense"] += 1
            raise Nonsense(self.turns.rng.choice(NONSENSE))
        if armed.kind in ("timeout", "slow"):
            seconds = DEADLINE_S if armed.kind == "timeout" else armed.seconds or self.turns.rng.choice(SLOW_S)
            if turning:
                self.turns.block(lambda: False, seconds)
            else:
                self.turns.spend(seconds)
        raised = failure(name, armed.kind == "timeout") if armed.kind != "slow" else None
        if raised is not None or armed.kind == "slow":
            self.struck[armed.kind] += 1
        if raised is not None:
            # A step that had its effect before its answer was lost.
            self.struck["partial"] += name in DONE
            raise raised
