"""What the guards remember from one round to the next and over restarts, and what people told Convoy: kept in the store."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from reconciler.core import guard, order, release
from reconciler.core.diff import as_declared
from reconciler.core.facts import DELETES, Facts, Order
from reconciler.core.model import FleetState, Observed, ObservedState, Outcome, Ref, settings_of
from reconciler.log import Log
from reconciler.seams import Seams
from reconciler.store import Store

LOT, SETTLED, NEEDS = "lot", "settled/", "needs/"


class Guards:
    """Called from the loop's thread alone. Nothing is acted upon before what allowed it is kept."""

    def __init__(self, store: Store, log: Log, seams: Seams) -> None:
        self._store, self._log, self._seams = store, log, seams
        self._corrections: dict[Ref, tuple[float, ...]] = {}
        self.recall()

    def recall(self) -> None:
        """What an earlier Convoy has kept."""
        rows = self._store.guards()
        # What somebody has spoiled is as if it were not there: with nothing let pass, the guards only hold more.
        kept = rows.get(LOT, {})
        before, passed = kept.get("before"), kept.get("passed")
        self._before: int | None = before if isinstance(before, int) else None
        self._passed = frozenset(_refs(passed if isinstance(passed, list) else ()))
        self._settled: dict[Ref, tuple[str, str, str]] = {
            ref: tuple(row["as"])
            for name, row in rows.items()
            if name.startswith(SETTLED) and isinstance(row.get("as"), list) and len(row["as"]) == 3
            for ref in _refs((name.removeprefix(SETTLED),))
        }
        self._needed: dict[Ref, tuple[Ref, ...]] = {
            ref: tuple(sorted(_refs(row["needs"])))
            for name, row in rows.items()
            if name.startswith(NEEDS) and isinstance(row.get("needs"), list)
            for ref in _refs((name.removeprefix(NEEDS),))
        }

    def orders(self, given: Iterable[Order] | None, revision: str, noticed_at: float) -> dict[tuple[str, str], Order]:
        """Verb and subject ⇒ what people said that counts now. `given`: instead of what is in the store; `revision`: what is in
        force, and `noticed_at` when it was first seen."""
        now = self._seams.now()
        every = self._store.orders() if given is None else given
        # What a commit said holds for the revision that it came with, not for the one before, which is still in force for a
        # moment after that is recorded. Otherwise a later order was given by somebody who knows what is in force.
        mine = (one for one in every if one.subject != DELETES or one.at <= noticed_at or self._store.last_good() == revision)
        return {(one.verb, one.subject): one for one in mine if one.until is None or now < one.until}

    def know(self, facts: Facts, orders: Mapping[tuple[str, str], Order], outcomes: Iterable[Outcome]) -> Facts:
        """These facts, with what is remembered and the `orders` that count."""
        for outcome in outcomes:
            if outcome.status == "done" and guard.corrects(outcome.action, replace(facts, settled=self._settled)):
                ref = outcome.action.ref
                self._corrections[ref] = (*self._corrections.get(ref, ()), outcome.at)[-guard.FIGHT_TIMES :]
                self._log.warning("drift.corrected", ref=str(ref), reason=outcome.action.reason)
        for verb, subject in orders:
            if verb == "resume":
                self._corrections = {ref: times for ref, times in self._corrections.items() if str(ref) != subject}
        return replace(
            facts,
            orders=orders,
            settled=self._settled,
            corrections=self._corrections,
            before=self._before,
            passed=self._passed,
            needed=self._needed,
        )

    def keep(
        self,
        fleet: FleetState,
        seen: ObservedState,
        facts: Facts,
        noticed_at: float,
        more: Mapping[str, Mapping[str, Any] | None] = {},
    ) -> None:
        """Write down what this round has let pass and found to be as declared, and `more` with it; before any of its actions
        begins."""
        gone = guard.undeclared(fleet, seen.resources.values(), facts)
        running = len({one.ref for one in seen.resources.values()})
        before: int | None
        before, passed = guard.remembered_lot(gone, facts, settings_of(fleet), running)
        if seen.blind:
            # What is not seen now has not gone: nothing is forgotten, and the fleet's size is not known.
            before, passed = self._before, passed | self._passed
        changes: dict[str, Mapping[str, Any] | None] = dict(more)
        if (before, passed) != (self._before, self._passed):
            changes[LOT] = {"before": before, "passed": sorted(str(ref) for ref in passed)}
        settled = guard.settled(fleet.workloads, _as_declared(fleet, seen), self._settled)
        changes |= {f"{SETTLED}{ref}": {"as": value} if value else None for ref, value in settled.items()}
        needed = order.remembered(fleet, seen, self._needed)
        changes |= {f"{NEEDS}{ref}": {"needs": [str(one) for one in needs]} if needs else None for ref, needs in needed.items()}
        if changes:
            self._store.put_guards(changes)
        if needed:
            kept_needs = self._needed | {ref: needs for ref, needs in needed.items() if needs}
            self._needed = {ref: needs for ref, needs in kept_needs.items() if needed.get(ref, needs) is not None}
        self._before, self._passed = before, passed
        if settled:
            kept = self._settled | {ref: value for ref, value in settled.items() if value}
            self._settled = {ref: value for ref, value in kept.items() if settled.get(ref, value) is not None}
            # What is as another revision wants it, or is gone, is a new thing to fight about.
            self._corrections = {ref: times for ref, times in self._corrections.items() if ref not in settled}
        self._store.drop_orders(*self._done(fleet, seen, facts, gone, noticed_at))

    def _done(
        self, fleet: FleetState, seen: ObservedState, facts: Facts, gone: Iterable[Observed], noticed_at: float
    ) -> list[tuple[str, str]]:
        """The orders that have had their effect."""
        if not facts.orders:
            return []
        names = {str(one.ref) for one in gone} | {guard.owner_of(one) for one in gone}
        declared = {str(ref) for ref in (*fleet.resources, *fleet.workloads)}
        installations = set(seen.foreign.values())
        done: list[tuple[str, str]] = []
        for (verb, subject), given in facts.orders.items():
            if verb == "take-over":
                over = subject not in installations and not seen.blind
            elif verb == "confirm" and subject == DELETES:
                over = not seen.blind
            elif verb == "confirm" and given.at <= noticed_at:
                over = subject in declared or (subject not in names and not seen.blind)
            elif verb in ("sync", "override"):
                # Said of a revision that is in force no more: the next is another matter.
                over = release.about(subject)[0] != fleet.revision
            else:
                over = verb in ("resume", "retry")
            done += [(verb, subject)] if over else []
        return done


def _refs(printed: Iterable[str]) -> Iterator[Ref]:
    for text in printed:
        with contextlib.suppress(ValueError, AttributeError):
            yield Ref.parse(text)


def _as_declared(fleet: FleetState, seen: ObservedState) -> dict[Ref, str]:
    """Workload ⇒ the host on which it is as declared now."""
    found: dict[Ref, str] = {}
    for one in seen.resources.values():
        want = fleet.workloads.get(one.ref)
        if want is not None and one.instance == want.instance and one.host not in seen.blind and as_declared(want, one):
            found[one.ref] = one.host
    return found
