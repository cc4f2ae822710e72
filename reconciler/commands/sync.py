"""`convoy sync`: the Convoy at work reads its source now, makes what a person releases, and is waited for."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from reconciler.commands.look import kept
from reconciler.commands.options import FAILED, INTERRUPTED, Call, Command, Failure, common, duration, ending, only
from reconciler.commands.orders import who

if TYPE_CHECKING:
    from reconciler.core.select import Selector
    from reconciler.store import Store

UNFINISHED = 3


@click.command(
    cls=Command,
    examples=[
        ("convoy sync", "read the repository now; wait until all of it is as declared"),
        ("convoy sync --only application/web --only team=shop", "with `sync: manual`: this part of it, and what that needs"),
        ("convoy sync --override-window 'fixes the outage'", "let this revision through though no sync window is open"),
        ("convoy sync --retry", "let hooks that failed run again"),
    ],
    exits=[
        (0, "everything is as declared, or (--no-wait) it is being made so"),
        (1, "the revision is refused, something failed or waits for a person, or no Convoy is at work"),
        (3, "the time was over first"),
    ],
)
@only("Only what this selects, and what that needs: KIND[/NAME], label=value; a comma means and.")
@click.option("--override-window", "override", metavar="REASON", help="Do it though a sync window holds it; this revision.")
@click.option(
    "--for", "for_s", callback=duration, default="1h", show_default=True, metavar="TIME", help="How long that counts: 90s, 2h."
)
@click.option("--retry", is_flag=True, help="Let hooks that failed run again.")
@click.option("--wait/--no-wait", default=True, help="Wait until it is so.  [--wait]")
@click.option(
    "--timeout", default=300.0, show_default=True, type=click.FloatRange(min=0), metavar="SECONDS", help="How long to wait."
)
@common()
def sync(
    call: Call, only: "Selector", override: str | None, for_s: float | None, retry: bool, wait: bool, timeout: float
) -> None:
    """Let the Convoy at work here read its source and carry it out now.

    A Convoy that follows a branch notices commits by itself: this is for whoever does not want to wait for that, for fleets
    whose Settings say `sync: manual`, and for letting a revision through that a sync window holds. What a person releases is
    of the revision that is in force then, and of no later one. What runs is put right at any time, without this.
    """
    if override is not None and not override.strip():
        raise click.UsageError("--override-window takes a reason: it is shown wherever a person may wonder")
    from reconciler import syncing

    with kept(call) as store:
        if store is None:
            raise Failure(f"no Convoy has worked in {call.state} yet: start with `convoy serve`")
        with call.terminal.progress("reading the source") as update, ending(lambda: None) as heard:
            found = _read(call, fetch=True)
            syncing.readable(found)
            wish = syncing.Wish(only, override, for_s, retry)
            if syncing.release(store, found, wish, who(), time.time()):
                found = _read(call, fetch=False)

            def told(rows: Mapping[str, Mapping[str, Any]]) -> None:
                listed = [row for _, row in sorted(rows.items()) if not _well(row)]
                first = next((f"{row['ref']}: {row['why'] or row['health']}" for row in listed), "")
                update(len(rows) - len(listed), len(rows), first)

            converged = syncing.wait(store, found["revision"], timeout, lambda: bool(heard), told) if wait else True
        _finish(call, store, converged, heard)


def _read(call: Call, *, fetch: bool) -> dict[str, Any]:
    from reconciler import syncing
    from reconciler.ask import AskError
    from reconciler.rundir import run_path

    try:
        return syncing.read(run_path(call.state), fetch=fetch)
    except AskError as error:
        if error.code != "away":
            raise Failure(f"{error.what}: {error.hint}".rstrip(": ")) from None
        raise Failure(
            f"no Convoy is at work in {call.state}: `convoy serve` starts one that follows a repository, "
            "`convoy apply` carries a folder out once"
        ) from None


def _well(row: Mapping[str, Any]) -> bool:
    return row["sync"] == "synced" and row["health"] in ("healthy", "none")


def _finish(call: Call, store: "Store", converged: bool | None, heard: list[int]) -> None:
    from reconciler.core import show

    if heard:
        call.terminal.note("interrupted: what was begun goes on", "wait")
        raise click.exceptions.Exit(INTERRUPTED)
    state, rows = store.state() or {}, store.status()
    fleet = show.standing(state, acting=True)
    call.page(show.status(fleet, rows, time.time(), most_well=0), show.status_json(fleet, state, rows))
    if converged is False:
        raise click.exceptions.Exit(FAILED)
    if converged is None:
        raise click.exceptions.Exit(UNFINISHED)
