"""`convoy status` and `get`: where the fleet stands, from what is kept, whether a Convoy is at work or not."""

import difflib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from reconciler.commands import sources
from reconciler.commands.options import Call, Command, Failure, common
from reconciler.commands.options import names as names

if TYPE_CHECKING:
    from reconciler.store import Store

Rows = Mapping[str, Mapping[str, Any]]


@contextmanager
def kept(call: Call) -> "Iterator[Store | None]":
    """The store of this call, or None where no Convoy has ever worked."""
    from contextlib import closing

    from reconciler.store import NoStore

    try:
        opened = call.open_store(make=False)
    except NoStore:
        yield None
        return
    with closing(opened) as store:
        yield store


@contextmanager
def kept_or_fail(call: Call) -> "Iterator[Store]":
    """The same for whoever can do nothing without it; raises Failure that says how to begin."""
    with kept(call) as store:
        if store is None:
            raise Failure(f"no Convoy has worked in {call.state} yet: start with `convoy apply` or `convoy serve`")
        yield store


@click.command(
    cls=Command,
    examples=[
        ("convoy status", "what is in force, and what is not as declared"),
        ("convoy status -o json | jq .converged", "for a script that waits"),
    ],
    exits=[(0, "the status is shown, whatever it is"), (1, "it cannot be read")],
)
@common()
def status(call: Call) -> None:
    """Show where the fleet stands; what needs attention comes first."""
    from reconciler.core import show, show_notice

    with kept(call) as store:
        state = (store.state() if store else None) or {}
        rows = store.status() if store else {}
        acting = (store.holder("control") if store else None) or ""
        orders = store.orders() if store else ()
        untold = store.notices().troubled() if store else []
    place = sources.remembered(call.state)
    fleet = show.standing(state, bool(acting), place.shown if place else "", acting)
    foreign, now = state.get("foreign", {}), time.time()
    page = (*show.status(fleet, rows, now), *show.orders(orders, foreign, now), *show_notice.untold(untold))
    answer = {**show.status_json(fleet, state, rows), **show.orders_json(orders, foreign), "untold": untold}
    call.page(page, answer)


@click.command(
    cls=Command,
    examples=[
        ("convoy get", "everything"),
        ("convoy get proxies", "everything of one kind"),
        ("convoy get Application/web", "one resource, its instances, their addresses and logs"),
        ("convoy get Proxy/edge-1 -o json | jq '.instances[0].pid'", "for other programs"),
    ],
    exits=[(0, "it is shown"), (1, "there is no such resource")],
)
@click.argument("what", required=False, default="", metavar="[KIND[/NAME]]", shell_complete=names)
@common()
def get(call: Call, what: str) -> None:
    """List resources, or show one with its instances."""
    from reconciler.core import show

    with kept_or_fail(call) as store:
        rows = store.status()
    now = time.time()
    if "/" in what:
        row = found(what, rows)
        call.page(show.one(row, now), row)
        return
    kind = kind_of(what, rows) if what else ""
    listed = [row for ref, row in sorted(rows.items()) if not kind or ref.split("/")[0] == kind]
    call.page(show.listing(listed, now), listed)


def found(what: str, rows: Rows) -> Mapping[str, Any]:
    """The row a person means; raises Failure with what they may have meant."""
    kind, _, name = what.partition("/")
    ref = f"{kind_of(kind, rows)}/{name}"
    if ref in rows:
        return rows[ref]
    near = difflib.get_close_matches(ref, rows, 3, 0.6)
    raise Failure(
        f"there is no {ref}" + (f": did you mean {' or '.join(near)}?" if near else "; `convoy get` lists what there is")
    )


def meant(what: str, rows: Rows) -> str:
    """`edge-1` is the proxy of that name, or the one resource that has it."""
    if "/" in what:
        return str(found(what, rows)["ref"])
    if f"Proxy/{what}" in rows:
        return f"Proxy/{what}"
    named = [ref for ref in rows if ref.partition("/")[2] == what]
    if len(named) == 1:
        return named[0]
    if named:
        raise Failure(f"{what} is the name of {', '.join(sorted(named))}: say which")
    return str(found(f"Proxy/{what}", rows)["ref"])


def kind_of(word: str, rows: Rows) -> str:
    """`Proxy` for proxy, proxies and PROXY, `Application` for app; raises Failure for what is no kind."""
    from reconciler.core.kinds import KINDS
    from reconciler.core.select import SelectorError, kind_named

    try:
        return kind_named(word, {*KINDS, *(ref.split("/")[0] for ref in rows)})
    except SelectorError as error:
        raise Failure(str(error)) from error
