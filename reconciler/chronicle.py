"""What happened, read from the store: events and what became of actions as they came, and the history of the fleet."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from reconciler.core.show_events import Happened, of_action
from reconciler.core.show_history import Happening, What
from reconciler.store import Event, Store

PIECE = 500
# Revisions ⇒ author and title of each, as far as they are known.
Made = Callable[[Sequence[str]], Mapping[str, tuple[str, str]]]


def fleet(store: Store, most: int, made: Made) -> list[Happening]:
    """Revisions, what people told Convoy, and what failed, newest first; at most so many of each. Raises StoreError."""
    return sorted(_of_fleet(store, most, made), key=lambda one: one.at, reverse=True)


def _of_fleet(store: Store, most: int, made: Made) -> Iterable[Happening]:
    judged = store.judged(most=most)
    counts = store.change_counts(one.revision for one in judged)
    commits = made([one.revision for one in judged])
    signers = {one.ref: one.message for one in store.latest(("revision.accepted",), most)}
    for one in judged:
        by, words = commits.get(one.revision, ("", ""))
        signer = signers.get(one.revision, "").removeprefix("signed by ") if one.status == "good" else ""
        changed = counts.get((one.revision, one.at), {})
        status: What = "accepted" if one.status == "good" else "refused"
        yield Happening(one.at, status, "", one.revision, by, words, signer, changed, one.problems)
    for event in store.latest(("order.",), most):
        verb, _, dropped = event.kind.removeprefix("order.").partition(".")
        by, _, why = event.message.partition(": ")
        if dropped:
            by, why = "", event.message
        yield Happening(event.at, "dropped" if dropped else "order", verb, event.ref, by, why)
    yield from _failed(store.outcomes(2_000))


def _failed(outcomes: Sequence[Mapping[str, Any]]) -> Iterable[Happening]:
    """What fails again and again in the same way is one line, as of when it last did."""
    found: dict[tuple[str, ...], Happening] = {}
    for one in outcomes:
        try:
            key = tuple(str(one[name]) for name in ("verb", "ref", "host", "error"))
            status, at = one["status"], float(one["at"])
        except (KeyError, TypeError, ValueError):
            continue
        if status == "failed":
            before = found.get(key)
            verb, ref, host, error = key
            words = f"on {host}: {error}"
            found[key] = replace(before, times=before.times + 1) if before else Happening(at, "failed", verb, ref, "", words)
    return found.values()


def of_event(one: Event) -> Happened:
    return Happened(one.at, one.kind, one.ref, one.message, one.number)


class Reader:
    """Events and outcomes in the order of time; each kind has numbers of its own."""

    def __init__(self, store: Store, chosen: Callable[[Happened], bool], after: tuple[int, int] | None = None) -> None:
        """`after`: the numbers of the last event and outcome that are known already; None: all that there are now."""
        self._happened, self._chosen = store.happened(), chosen
        self._event, self._outcome = after or self._happened.last_numbers()

    @property
    def numbers(self) -> tuple[int, int]:
        """Of the last event and outcome that were read: what `news` goes on behind."""
        return self._event, self._outcome

    def past(self, since: float, most: int) -> list[Happened]:
        """The last so many up to when this reader was made, oldest first."""
        both = heapq.merge(self._events(), self._outcomes(), key=lambda one: -one.at)
        found: list[Happened] = []
        if most > 0:
            for one in both:
                if one.at < since:
                    break
                if self._chosen(one):
                    found.append(one)
                    if len(found) == most:
                        break
        return found[::-1]

    def _events(self) -> Iterator[Happened]:
        """Newest first."""
        number = self._event + 1
        while piece := self._happened.events_before(number, PIECE):
            yield from map(of_event, piece)
            number = piece[-1].number

    def _outcomes(self) -> Iterator[Happened]:
        number = self._outcome + 1
        while piece := self._happened.outcomes_before(number, PIECE):
            yield from (of_action(place, record) for place, record in piece if record)
            number = piece[-1][0]

    def news(self) -> list[Happened]:
        """What came since, at most a piece of each."""
        events = self._happened.events_after(self._event, PIECE)
        outcomes = self._happened.outcomes_after(self._outcome, PIECE)
        if events:
            self._event = events[-1].number
        if outcomes:
            self._outcome = outcomes[-1][0]
        found = [*map(of_event, events)]
        found += [of_action(number, record) for number, record in outcomes if record]
        return sorted((one for one in found if self._chosen(one)), key=lambda one: one.at)
