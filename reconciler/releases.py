"""What is in force, from one round to the next and over restarts: kept in the store, and put together again from Git."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from reconciler.core import hooks
from reconciler.core.model import FleetState, ObservedState, Ref
from reconciler.core.release import NOTHING, InForce, Orders, changed, compose, decide
from reconciler.earlier import IN_FORCE
from reconciler.store import Store
from reconciler.wanted import Accepted

HOOK = "hook/"


class Releases:
    """Called from the loop's thread alone. Nothing is acted upon before what is in force is kept."""

    def __init__(self, store: Store) -> None:
        rows = store.guards()
        self._row: Mapping[str, Any] = rows.get(IN_FORCE, {})
        kept = {name.removeprefix(HOOK): row for name, row in rows.items() if name.startswith(HOOK)}
        self._runs: hooks.Runs = dict(hooks.read_runs(kept))
        self._base: FleetState | None = None
        self._next = InForce(NOTHING)

    @property
    def runs(self) -> hooks.Runs:
        """The hooks' last runs, as they are kept."""
        return self._runs

    def decide(self, accepted: Accepted, wanted: FleetState, orders: Orders, seen: ObservedState, now: float) -> InForce:
        """What of the wanted revision is in force now."""
        base = self.base(accepted, wanted)
        self._next = decide(base, wanted, hooks.advance(self._runs, base, seen, now), orders, now)
        return self._next

    def base(self, accepted: Accepted, wanted: FleetState) -> FleetState:
        """What is in force before that is decided."""
        if self._base is None:
            self._base = _restored(self._row, wanted, accepted)
        return self._base

    def changes(self) -> dict[str, Mapping[str, Any] | None]:
        """What of that is to be kept, by the name of its row, before anything of it is done."""
        force = self._next
        runs = {ref: run for ref, run in force.runs.items() if self._runs.get(ref) != run}
        rows: dict[str, Mapping[str, Any] | None] = {f"{HOOK}{ref}": hooks.run_json(run) for ref, run in runs.items()}
        rows |= {f"{HOOK}{ref}": None for ref in self._runs.keys() - force.runs.keys()}
        row = self._now(force)
        return rows if row == self._row else rows | {IN_FORCE: row}

    def kept(self) -> None:
        """It is kept: the next round starts from here."""
        self._row = self._now(self._next)
        self._base, self._runs = self._next.fleet, self._next.runs

    def _now(self, force: InForce) -> Mapping[str, Any]:
        """All is as in `revision`, save what is withheld: printed ref ⇒ the revision it is of, "" for what was not there."""
        was, before = str(self._row.get("revision", "")), _withheld(self._row)
        base = self._base if self._base is not None else NOTHING
        withheld = {str(ref): before.get(str(ref), was) if ref in base.resources else "" for ref in force.withheld}
        return {"revision": force.fleet.revision, "withheld": withheld}


def _withheld(row: Mapping[str, Any]) -> dict[str, str]:
    said = row.get("withheld")
    return {str(ref): str(revision) for ref, revision in said.items()} if isinstance(said, dict) else {}


def _restored(row: Mapping[str, Any], wanted: FleetState, accepted: Accepted) -> FleetState:
    """What an earlier Convoy had in force. What of it nobody can tell any more is as if it had not been there: then what
    differs is left alone as it is, until it may be changed."""
    known = {**accepted.before, wanted.revision: wanted}
    revision = str(row.get("revision", "")) or accepted.was
    base = known.get(revision, NOTHING)
    of: dict[str, set[Ref]] = defaultdict(set)
    for printed, origin in _withheld(row).items():
        try:
            of[origin].add(Ref.parse(printed))
        except ValueError:
            continue
    for origin, refs in of.items():
        fleet = known.get(origin, NOTHING)
        differing = changed(fleet, base)
        base = compose(fleet, base, refs.intersection(differing), differing)
    return base
