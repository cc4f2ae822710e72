"""Answers `convoy sync`: reads the source at once, lets the loop go round, and says where the fleet stands by then."""

import json
import threading
from collections.abc import Callable
from typing import Protocol

from reconciler.core.model import settings_of
from reconciler.core.premises import Premises
from reconciler.seams import Seams
from reconciler.wanted import Accepted

# How often whoever waits for a round looks whether it is over.
LOOK_S = 0.02


class Rounds(Protocol):
    """The loop, as far as it is asked here."""

    @property
    def rounds(self) -> int: ...

    @property
    def premises(self) -> Premises | None: ...


class Syncs:
    """It decides nothing: what is to be done is told by the orders in the store, and this only wakes whoever reads them."""

    def __init__(
        self,
        look_now: Callable[[float], bool],
        accepted: Callable[[], Accepted],
        loop: Rounds,
        wake: threading.Event,
        seams: Seams,
    ) -> None:
        self._look_now, self._accepted, self._loop, self._wake, self._seams = look_now, accepted, loop, wake, seams

    def asked(self, body: bytes, deadline: float) -> bytes:
        """`fetch` asks for a look at the source, anything else for a round of the loop alone. The answer is JSON."""
        fetched = body != b"fetch" or self._look_now(deadline)
        # One that is under way may have begun before what it is to take into account.
        enough = self._loop.rounds + 2
        while self._loop.rounds < enough and self._seams.monotonic() < deadline:
            self._wake.set()
            self._seams.sleep(LOOK_S)
        accepted, premises = self._accepted(), self._loop.premises
        said = {
            "fetched": fetched,
            "revision": accepted.fleet.revision if accepted.fleet is not None else "",
            "refused": accepted.refused,
            "problems": [str(problem) for problem in accepted.problems],
            "unreadable": accepted.unreadable,
            "sync": settings_of(accepted.fleet).sync if accepted.fleet is not None else "automatic",
            "withheld": sorted(str(ref) for ref in premises.facts.withheld) if premises is not None else [],
        }
        return json.dumps(said).encode()
