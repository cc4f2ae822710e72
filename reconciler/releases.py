"""What is in force, from one round to the next and over restarts: kept in the store, and put together again from Git."""

from collections import defaultdict
from collections.abc import Container, Mapping
from dataclasses import replace
from typing import Any

from reconciler.core import hooks
from reconciler.core.model import FleetState, Key, ObservedState, Ref, settings_of
from reconciler.core.release import NOTHING, InForce, Orders, changed, compose, decide
from reconciler.core.windows import turn
from reconciler.earlier import IN_FORCE
from reconciler.store import Store
from reconciler.wanted import Accepted

HOOK = "hook/"
OWN = "told/"


class Releases:
    """Called from the loop's thread alone. Nothing is acted upon before what is in force is kept."""

    def __init__(self, store: Store) -> None:
        rows = store.guards()
        self._row: Mapping[str, Any] = rows.get(IN_FORCE, {})
        kept = {name.removeprefix(HOOK): row for name, row in rows.items() if name.startswith(HOOK)}
        self._runs: hooks.Runs = dict(hooks.read_runs(kept))
        self._base: FleetState | None = None
        self._next = InForce(NOTHING)
        self._next_row: Mapping[str, Any] = self._row
        # What was asked last, and from when until when the answer counts (Unix seconds).
        self._asked: tuple[FleetState, FleetState, hooks.Runs, Orders] | None = None
        self._counts = (0.0, 0.0)

    @property
    def runs(self) -> hooks.Runs:
        """The hooks' last runs, as they are kept."""
        return self._runs

    def decide(
        self,
        accepted: Accepted,
        wanted: FleetState,
        orders: Orders,
        seen: ObservedState,
        now: float,
        in_flight: Container[Key] = frozenset(),
    ) -> InForce:
        """What of the wanted revision is in force now."""
        base = self.base(accepted, wanted)
        runs = hooks.advance(self._runs, base, seen, now, in_flight)
        if self._asked_before(base, wanted, runs, orders, now):
            return self._next
        force = decide(base, wanted, runs, orders, now)
        if force.fleet == base:
            force = replace(force, fleet=base)
        self._asked, self._counts = (base, wanted, runs, orders), (now, turn(settings_of(wanted).windows, now))
        self._next, self._next_row = force, _kept_as(force, base, wanted, self._row)
        return force

    def base(self, accepted: Accepted, wanted: FleetState) -> FleetState:
        """What is in force before that is decided."""
        if self._base is None:
            self._base = _restored(self._row, wanted, accepted)
        return self._base

    def _asked_before(self, base: FleetState, wanted: FleetState, runs: hooks.Runs, orders: Orders, now: float) -> bool:
        """The same is asked in round after round while something waits: the answer is another only when a window turns."""
        begins, ends = self._counts
        if self._asked is None or not begins <= now < ends:
            return False
        return self._asked[0] is base and self._asked[1] is wanted and self._asked[2:] == (runs, orders)

    def changes(self) -> dict[str, Mapping[str, Any] | None]:
        """What of that is to be kept, by the name of its row, before anything of it is done."""
        force = self._next
        runs = {ref: run for ref, run in force.runs.items() if self._runs.get(ref) != run}
        rows: dict[str, Mapping[str, Any] | None] = {f"{HOOK}{ref}": hooks.run_json(run) for ref, run in runs.items()}
        rows |= {f"{HOOK}{ref}": None for ref in self._runs.keys() - force.runs.keys()}
        return rows if self._next_row == self._row else rows | {IN_FORCE: self._next_row}

    def kept(self) -> None:
        """It is kept: the next round starts from here."""
        self._row = self._next_row
        self._base, self._runs = self._next.fleet, self._next.runs


def _kept_as(force: InForce, base: FleetState, wanted: FleetState, row: Mapping[str, Any]) -> dict[str, Any]:
    """All is as in `revision`, save what is withheld: printed ref ⇒ the revision it is of, "" for what was not there.

    `told`: the same for what the proxies of a ProxyGroup are told, and for a Proxy's Envoy, which is made of its group too:
    either is of one revision as a whole, which may be older than that of a part of it that was withheld later. What a Proxy
    with a Configuration of its own is told stands there beside its Envoy, after OWN.
    """
    before, told = _withheld(row), _withheld(row, "told")
    origins = {ref: before.get(str(ref), base.revision) if ref in base.resources else "" for ref in force.withheld}
    older: list[str] = []
    if force.withheld:
        now, then = force.fleet.traffic, wanted.traffic
        keys = dict.fromkeys((*now, *(key for key in then if key.kind == "Proxy" and key in force.fleet.resources)))
        older += [_told_as(key) for key in keys if now.get(key) != then.get(key)]
        envoys = ((ref, want) for ref, want in force.fleet.workloads.items() if ref.kind == "Proxy")
        older += [str(ref) for ref, want in envoys if want != wanted.workloads.get(ref)]
    return {
        "revision": force.fleet.revision,
        "withheld": {str(ref): origin for ref, origin in origins.items()},
        "told": {name: told.get(name, base.revision) for name in older},
    }


def _told_as(ref: Ref) -> str:
    """What is said to a ProxyGroup's proxies goes by its name; a Proxy's own name stands for its Envoy."""
    return f"{OWN}{ref}" if ref.kind == "Proxy" else str(ref)


def _withheld(row: Mapping[str, Any], field: str = "withheld") -> dict[str, str]:
    said = row.get(field)
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
    if "told" not in row:
        return base
    told = _withheld(row, "told")
    traffic, workloads = {}, {ref: want for ref, want in base.workloads.items() if ref.kind != "Proxy"}
    for ref in base.resources:
        if ref.kind in ("Proxy", "ProxyGroup"):
            teller = known.get(told.get(_told_as(ref), revision), NOTHING)
            if ref in teller.traffic:
                traffic[ref] = teller.traffic[ref]
        fleet = known.get(told.get(str(ref), revision), NOTHING)
        if ref.kind == "Proxy" and ref in fleet.workloads:
            workloads[ref] = fleet.workloads[ref]
    return replace(base, traffic=traffic, workloads=workloads)
