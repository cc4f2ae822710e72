"""A gate for each Envoy that proxies run: a revision is checked by the very program that will be told it."""

import threading
from pathlib import Path

from reconciler.core.model import Snapshot
from reconciler.gate.gate import Gate, Kept, Verdict
from reconciler.gate.search import CHECK_S
from reconciler.gate.validate import envoy_version
from reconciler.seams import Seams, Wake


class Gates:
    """Thread-safe. `envoy` is asked wherever nobody says otherwise."""

    def __init__(self, envoy: Path, kept: Kept, seams: Seams, wake: Wake) -> None:
        self._kept, self._seams, self._wake = kept, seams, wake
        self._lock = threading.Lock()
        self._default = Gate(envoy, kept, seams, wake)
        self._own: dict[str, Gate] = {}

    def check(
        self,
        snapshot: Snapshot,
        program: str = "",
        *,
        deadline_s: float = CHECK_S,
        closed: threading.Event | None = None,
    ) -> Verdict:
        """The verdict of the Envoy that the command of a Proxy names: a path, or a word for the one that is found.

        Where it is not on this machine, or cannot say, the default one is asked: a program that does not start is the
        trouble of the proxies that run it, and must not keep a whole fleet from every other change.
        """
        own = self._of(program)
        if own is not None:
            verdict = own.check(snapshot, deadline_s=deadline_s, closed=closed)
            if verdict.refused or not verdict.unchecked:
                return verdict
        return self._default.check(snapshot, deadline_s=deadline_s, closed=closed)

    def _of(self, program: str) -> Gate | None:
        if not Path(program).is_absolute() or not envoy_version(Path(program)):
            return None
        with self._lock:
            if program not in self._own:
                self._own[program] = Gate(Path(program), self._kept, self._seams, self._wake)
            return self._own[program]

    def close(self) -> None:
        """End every check and kill its Envoy."""
        with self._lock:
            for gate in (self._default, *self._own.values()):
                gate.close()
