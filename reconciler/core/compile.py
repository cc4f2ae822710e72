"""compile(): checked documents ⇒ FleetState, every workload and everything any proxy is told; or every Problem there is."""

from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.core.compiling import NONE, Known, Locate, Pinned, Run
from reconciler.core.edition import Edition, differing
from reconciler.core.followed import followed
from reconciler.core.memo import Memo
from reconciler.core.model import FleetState, Problem, Ref, Resource
from reconciler.core.tenant import Changes


@dataclass(frozen=True, slots=True)
class Compiled:
    """The fleet, or what is wrong: never both."""

    fleet: FleetState | None
    problems: tuple[Problem, ...]


def compile(revision: str, resources: Mapping[Ref, Resource], locate: Locate, pinned: Pinned = NONE) -> Compiled:
    """What these documents declare, computed from nothing."""
    return Compiler().compile(revision, resources, locate, pinned)


class Compiler:
    """Remembers what it made of each document, so that the next revision costs what changed in it."""

    def __init__(self) -> None:
        self._memo = Memo()
        self._known: Known | None = None

    def compile(self, revision: str, resources: Mapping[Ref, Resource], locate: Locate, pinned: Pinned = NONE) -> Compiled:
        """The same as `compile`. Not thread-safe. What is pinned is the same object as long as it says the same."""
        changes = self._memo.same(resources, pinned.values())
        # Where this fails in the middle, nothing is known any more.
        known, self._known = self._known, None
        run = Run(self._memo, known, _with_pins(changes, known, pinned, self._memo), locate, pinned) if known else None
        if known is None or run is None or run.faults:
            # What is wrong is told of everything, in the order of the documents.
            known = Known(FleetState("", {}, Edition(), Edition()), NONE, {})
            every = {ref: (None, self._memo.documents[ref]) for ref in resources}
            run = Run(self._memo, known, every, locate, pinned)
        if run.faults:
            return Compiled(None, run.problems())
        fleet = followed(known.fleet, revision, resources, run.workloads, run.traffic)
        self._known = Known(fleet, pinned, known.tenants)
        return Compiled(fleet, ())


def _with_pins(changes: Changes, known: Known, pinned: Pinned, memo: Memo) -> Changes:
    """With the Proxies that are pinned to something else now."""
    proxies = (memo.documents.get(ref) for ref in differing(known.pinned, pinned))
    return {**{one.ref: (one, one) for one in proxies if one is not None}, **changes}
