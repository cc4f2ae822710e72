"""`convoy events`: what happened and what became of actions, line by line, as it happens."""

import heapq
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import click

from reconciler.commands.history import since
from reconciler.commands.look import kept_or_fail, names
from reconciler.commands.options import Call, Command, common
from reconciler.commands.seeing import Selected, selector_of

if TYPE_CHECKING:
    from reconciler.core.show_events import Happened
    from reconciler.store import Event, Store

# How often the store is asked while following: what happens is seen within this.
POLL_S = 0.5
PIECE = 500


def kinds(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Completion."""
    from reconciler.core.show_events import EVENT_KINDS

    return [kind for kind in EVENT_KINDS if kind.startswith(incomplete)]


@click.command(
    cls=Command,
    examples=[
        ("convoy events", "the last of what happened"),
        ("convoy events -f", "and what happens, until Ctrl-C"),
        ("convoy events app/web --since 2h", "what befell one resource and its workloads"),
        ("convoy events -f --only 'status.failed' --only '*.refused'", "only what is bad"),
        ("convoy events -f -o json | jq -r .message", "a JSON object a line, for other programs"),
    ],
    exits=[(0, "it is shown"), (1, "there is nothing to read, or no such resource")],
)
@click.argument("what", nargs=-1, metavar="[KIND/NAME...]", shell_complete=names)
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens, until Ctrl-C.")
@click.option(
    "--only", multiple=True, metavar="EVENT", shell_complete=kinds, help="status.failed, action or '*.refused'; also several."
)
@click.option("--since", "since_", callback=since, metavar="TIME", help="Not older than this: 10m, 2h, or a date.")
@click.option("-n", "most", type=click.IntRange(0, 100_000), help="The last so many.  [50, or all since --since]")
@common()
def events(call: Call, what: Sequence[str], follow: bool, only: Sequence[str], since_: float | None, most: int | None) -> None:
    """Show what happened, the newest last: revisions, statuses, orders, refusals, and what became of actions."""
    with kept_or_fail(call) as store:
        reader = _Reader(store, _chosen(store, what, only))
        if most is None:
            most = 50 if since_ is None else 100_000
        for one in reader.past(since_ or 0.0, most):
            _write(call, one)
        while follow:
            for one in reader.news():
                _write(call, one)
            if call.terminal.left():
                raise BrokenPipeError
            time.sleep(POLL_S)


def of_event(one: "Event") -> "Happened":
    from reconciler.core.show_events import Happened

    return Happened(one.at, one.kind, one.ref, one.message, one.number)


def _write(call: Call, one: "Happened") -> None:
    from reconciler.core.show_events import event_json, event_line

    if call.json:
        call.terminal.json_line(event_json(one))
    else:
        call.terminal.line(event_line(one))


def _chosen(store: "Store", what: Sequence[str], only: Sequence[str]) -> "Callable[[Happened], bool]":
    from reconciler.core.show_events import wanted

    if not what:
        return lambda one: wanted(one.kind, only)
    rows = store.status()
    selected = Selected(selector_of(what, rows), store)

    def chosen(one: "Happened") -> bool:
        if not wanted(one.kind, only):
            return False
        # What is gone by now has no row that says what it came from.
        row = rows.get(one.ref)
        return selected.covers(row if row is not None else {"ref": one.ref})

    return chosen


class _Reader:
    """Events and outcomes in the order of time; each kind has numbers of its own."""

    def __init__(self, store: "Store", chosen: "Callable[[Happened], bool]") -> None:
        self._happened, self._chosen = store.happened(), chosen
        self._event, self._outcome = self._happened.last_numbers()

    def past(self, since: float, most: int) -> "list[Happened]":
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

    def _events(self) -> "Iterator[Happened]":
        """Newest first."""
        number = self._event + 1
        while piece := self._happened.events_before(number, PIECE):
            yield from map(of_event, piece)
            number = piece[-1].number

    def _outcomes(self) -> "Iterator[Happened]":
        from reconciler.core.show_events import of_action

        number = self._outcome + 1
        while piece := self._happened.outcomes_before(number, PIECE):
            yield from (of_action(place, record) for place, record in piece if record)
            number = piece[-1][0]

    def news(self) -> "list[Happened]":
        """What came since, at most a piece of each."""
        from reconciler.core.show_events import of_action

        events = self._happened.events_after(self._event, PIECE)
        outcomes = self._happened.outcomes_after(self._outcome, PIECE)
        if events:
            self._event = events[-1].number
        if outcomes:
            self._outcome = outcomes[-1][0]
        found = [*map(of_event, events)]
        found += [of_action(number, record) for number, record in outcomes if record]
        return sorted((one for one in found if self._chosen(one)), key=lambda one: one.at)
