"""`convoy apply` and `down`: what changes the world, once."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.commands import sources
from reconciler.commands.look import kept
from reconciler.commands.options import FAILED, INTERRUPTED, Call, Command, Failure, common, ending, quiet
from reconciler.commands.shown import background, planned_or_fail, show_problems, tell_unopened, told_before

if TYPE_CHECKING:
    from reconciler.loop import View

UNFINISHED = 2
# A failure is final for `apply` when nothing else has moved for this long: the loop itself would try for ever.
SETTLED_S = 10.0


@click.command(
    cls=Command,
    examples=[
        ("convoy apply", "make this machine run the fleet in this directory"),
        ("convoy apply examples/hello --yes", "without being asked about what is deleted"),
        ("convoy apply --source . --branch main --deadline 60", "what is committed, within a minute"),
    ],
    exits=[
        (0, "everything is as declared"),
        (1, "there are problems, or something failed or waits for a person"),
        (2, "the deadline passed first; or the command line cannot be understood"),
    ],
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask before something is deleted.")
@click.option(
    "--deadline", default=300.0, show_default=True, type=click.FloatRange(min=1), metavar="SECONDS", help="How long to go on."
)
@sources.from_anywhere
@common()
def apply(
    call: Call, path: Path | None, source: str | None, branch: str, subdirectory: str, yes: bool, deadline: float
) -> None:
    """Make it so, once; then leave it running.

    PATH is the folder with the documents, this one where left out. The plan is shown and carried out until everything is as
    declared. What this state directory has made before and PATH does not declare is removed. Heals and follows commits:
    `convoy serve`.
    """
    place = sources.place(path, source, branch, subdirectory)
    from reconciler.control import open_control
    from reconciler.core import show
    from reconciler.seams import Seams

    seams = Seams()
    wishes = place.source(call.state, seams)
    try:
        with open_control(call.state, store=call.store, source=wishes, seams=seams, log=quiet()) as control:
            preview = control.preview()
            planned = planned_or_fail(call, preview, wishes)
            tell_unopened(call, preview.unopened)
            if not call.json:
                page = show.plan(planned, told_before(control, planned), background(preview))
                call.terminal.page((*page, show.BLANK) if show.steps(planned) else page)
            _ask(call, yes, sum(step.change == "delete" for step in show.steps(planned)))
            place.remember(call.state)
            with call.terminal.progress("applying") as update, ending(control.stop) as heard:
                view = control.run(_Watch(call, update, seams.monotonic), deadline)
        _finish(call, view, heard, wishes)
    finally:
        wishes.close()


def _ask(call: Call, yes: bool, deletes: int) -> None:
    """Only a person can be asked: in a script, what is declared is what is meant."""
    if deletes and not yes and not call.json and sys.stdin.isatty() and call.terminal.live:
        from reconciler.core import show

        click.confirm(f"{show.count(deletes, 'workload')} will be deleted. Go on?", abort=True, err=True)


class _Watch:
    """Told of every round: says what was done, moves the bar, and knows when to stop."""

    def __init__(self, call: Call, update: Callable[[int, int, str], None], clock: Callable[[], float]) -> None:
        self._call, self._update, self._clock = call, update, clock
        self._moved_at = clock()
        self._last: object = None

    def __call__(self, view: "View") -> bool:
        from reconciler.core import show

        if not self._call.json:
            for outcome in view.outcomes:
                self._call.terminal.line(show.outcome(outcome))
        self._update(*show.progress(view.status))
        now = {ref: (one.sync, one.health) for ref, one in view.status.items()}
        if now != self._last:
            self._last, self._moved_at = now, self._clock()
        # Where only a person can take it further, that person is told so sooner by our ending than by our waiting.
        if view.converged or view.asks or view.refused or view.problems or view.unreadable:
            return True
        return stuck(view) and self._clock() - self._moved_at > SETTLED_S


def stuck(view: "View") -> bool:
    """Whether something failed or waits for a person, declared or not."""
    holds = view.plan.held if view.plan else ()
    return any(one.sync in ("failed", "refused", "held", "drifted") for one in view.status.values()) or any(
        held.release for held in holds
    )


def _finish(call: Call, view: "View", heard: list[int], wishes: object) -> None:
    from reconciler.core import show

    if heard:
        call.terminal.note("interrupted: what was begun goes on running; `convoy apply` again takes it further", "wait")
        raise click.exceptions.Exit(INTERRUPTED)
    if view.unreadable:
        raise Failure(view.unreadable)
    if view.refused or view.problems:
        show_problems(call, view.refused, view.problems, wishes)  # type: ignore[arg-type]
        raise click.exceptions.Exit(FAILED)
    fleet = show.Standing(view.revision, converged=view.converged)
    with kept(call) as store:
        rows = store.status() if store else show.rows(view.status)
    call.page((show.BLANK, *show.status(fleet, rows, time.time(), most_well=0)), show.status_json(fleet, {}, rows))
    if not view.converged:
        raise click.exceptions.Exit(FAILED if stuck(view) else UNFINISHED)


@click.command(
    cls=Command,
    examples=[("convoy down", "stop and remove all that Convoy runs from this state directory")],
    exits=[(0, "nothing of it is left"), (1, "something is still there")],
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--retained", is_flag=True, help="Also what its document says to retain.")
@click.option(
    "--deadline", default=120.0, show_default=True, type=click.FloatRange(min=1), metavar="SECONDS", help="How long to go on."
)
@common()
def down(call: Call, yes: bool, retained: bool, deadline: float) -> None:
    """Stop and remove everything that bears our mark.

    What Git declares stays as it is there: the next `apply` or `serve` makes it all again.
    """
    from reconciler.core import show

    with kept(call) as store:
        if store is None:
            call.page((show.text(f"nothing to stop: no Convoy has worked in {call.state}"),), {"down": True})
            return
    from reconciler.control import open_control

    if not yes and not call.json and sys.stdin.isatty() and call.terminal.live:
        click.confirm(f"Stop everything that runs from {call.state}?", abort=True, err=True)
    with open_control(call.state, store=call.store, source=None, log=quiet()) as control, ending(control.stop) as heard:
        view = control.down(deadline, retained=retained)
    if heard:
        raise click.exceptions.Exit(INTERRUPTED)
    if not view.converged:
        call.page(
            (show.text(show.Span("not everything is gone", "bad"), f" after {deadline:g} s: run `convoy down` again"),),
            {"down": False},
        )
        raise click.exceptions.Exit(FAILED)
    left = sorted(str(ref) for ref in view.plan.left) if view.plan else []
    words = f", save what is to be retained: {', '.join(left)} (--retained stops that too)" if left else ""
    call.page((show.text(show.Span("all stopped", "good"), words),), {"down": True, "retained": left})
