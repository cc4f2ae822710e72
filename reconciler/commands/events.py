"""`convoy events`: what happened and what became of actions, line by line, as it happens."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from reconciler.commands.history import since
from reconciler.commands.look import kept_or_fail, names
from reconciler.commands.options import Call, Command, common
from reconciler.commands.seeing import Selected, selector_of

if TYPE_CHECKING:
    from reconciler.core.show_events import Happened
    from reconciler.store import Store

# How often the store is asked while following: what happens is seen within this.
POLL_S = 0.5


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
    from reconciler import chronicle

    with kept_or_fail(call) as store:
        reader = chronicle.Reader(store, _chosen(store, what, only))
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
