"""`convoy sync`: the Convoy at work reads its source now, makes what a person releases, and is waited for."""

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from reconciler.commands.look import kept
from reconciler.commands.options import FAILED, INTERRUPTED, Call, Command, Failure, common, duration, ending, only
from reconciler.commands.orders import who

if TYPE_CHECKING:
    from reconciler.core.facts import OrderVerb
    from reconciler.core.select import Selector
    from reconciler.store import Store

UNFINISHED = 3
LOOK_S = 0.2
# Where nothing has moved for so long, and something waits for a person, more waiting brings nothing.
SETTLED_S = 5.0
# How long the Convoy at work may take to read its source: a forge may be slow.
ASK_S = 60.0


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
    with kept(call) as store:
        if store is None:
            raise Failure(f"no Convoy has worked in {call.state} yet: start with `convoy serve`")
        with call.terminal.progress("reading the source") as update, ending(lambda: None) as heard:
            found = _ask(call, b"fetch")
            _readable(found)
            given = _orders(store, found, only, override, for_s, retry)
            if given:
                found = _ask(call, b"")
            converged = _wait(store, found["revision"], timeout, update, heard) if wait else True
        _finish(call, store, converged, heard)


def _ask(call: Call, what: bytes) -> dict[str, Any]:
    import json

    from reconciler.ask import AskError, ask
    from reconciler.rundir import run_path

    try:
        answer: dict[str, Any] = json.loads(ask(run_path(call.state), "sync", what, ASK_S))
    except AskError as error:
        if error.code != "away":
            raise Failure(f"{error.what}: {error.hint}".rstrip(": ")) from None
        raise Failure(
            f"no Convoy is at work in {call.state}: `convoy serve` starts one that follows a repository, "
            "`convoy apply` carries a folder out once"
        ) from None
    return answer


def _readable(found: dict[str, Any]) -> None:
    if found["unreadable"]:
        raise Failure(found["unreadable"])
    if found["refused"]:
        listed = "\n  ".join(found["problems"][:10])
        raise Failure(f"revision {found['refused'][:12]} is refused, and the one before stays in force:\n  {listed}")
    if not found["revision"]:
        raise Failure("no revision is in force yet: `convoy status` says why")


def _orders(
    store: "Store",
    found: dict[str, Any],
    only: "Selector",
    override: str | None,
    for_s: float | None,
    retry: bool,
) -> int:
    """Write down what is released, of which revision, by whom and why; how many orders that were."""
    from reconciler.core.facts import FLEET, Order
    from reconciler.core.release import subject
    from reconciler.orders import write_down

    manual = found["sync"] == "manual"
    if only and not manual and override is None:
        raise Failure(
            "everything is synced by itself here (`sync: automatic`): --only is for `sync: manual`, or with --override-window"
        )
    strange = only.unknown(_known(store))
    if strange:
        raise Failure(f"--only: {strange}")
    texts = [",".join(map(str, words)) for words in only.any_of] or [""]
    subjects = [subject(found["revision"], text) for text in texts]
    now, by = time.time(), who()
    orders: list[Order] = []

    def give(verb: "OrderVerb", about: Iterable[str], until: float | None = None) -> None:
        orders.extend(Order(verb, one, override or "", by, now, until) for one in about)

    if manual:
        give("sync", subjects)
    if override is not None:
        give("override", subjects, None if for_s is None else now + for_s)
    if retry:
        give("retry", [FLEET])
    write_down(store, orders)
    return len(orders)


def _known(store: "Store") -> "list[Any]":
    from reconciler.core.model import Ref

    return [Ref.parse(name) for name in store.status()]


def _wait(store: "Store", revision: str, timeout: float, update: Any, heard: list[int]) -> bool | None:
    """True once it is as declared; False where a person is waited for; None when the time was over."""
    begun = moved = time.monotonic()
    before: object = None
    while not heard:
        state, rows = store.state() or {}, store.status()
        ill = [row for _, row in sorted(rows.items()) if row["sync"] != "synced" or row["health"] not in ("healthy", "none")]
        first = next(iter(ill), None)
        update(len(rows) - len(ill), len(rows), f"{first['ref']}: {first['why'] or first['health']}" if first else "")
        if state.get("revision") == revision and state.get("converged"):
            return True
        now = {ref: (row["sync"], row["health"], row["why"]) for ref, row in rows.items()}
        if now != before:
            before, moved = now, time.monotonic()
        waits = any(row["sync"] in ("failed", "refused", "held", "drifted") for row in rows.values())
        if waits and time.monotonic() - moved > SETTLED_S:
            return False
        if time.monotonic() - begun >= timeout:
            return None
        time.sleep(LOOK_S)
    return None


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
