"""`convoy plan --from REV [--to REV]`: what one commit declares otherwise than another, without a look at any host."""

from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from reconciler.commands import sources
from reconciler.commands.options import FAILED, Call
from reconciler.commands.shown import Shown, labels, narrowed, show_problems

if TYPE_CHECKING:
    from reconciler.compare import Compared
    from reconciler.core.model import Ref
    from reconciler.core.select import Selector


def between(call: Call, place: sources.Place, since: str, until: str | None, only: "Selector") -> Shown:
    """The plan of what changes; where a revision has Problems they are shown and the command ends."""
    from reconciler.compare import compared
    from reconciler.core.show import Background
    from reconciler.load import Loader
    from reconciler.seams import Seams

    seams = Seams()
    with ExitStack() as stack:
        old = place.source_at(call.named, seams, since)
        stack.callback(old.close)
        new = place.source_at(call.named, seams, until) if until is not None else place.newest(call.named, seams)
        stack.callback(new.close)
        with call.terminal.progress("comparing"):
            found = compared(old, old.fetch(), new, new.fetch(), Loader(None, seams))
        if found.plan is None:
            call.terminal.note(f"{found.faulty} has problems, so nothing can be compared with it", "bad")
            show_problems(call, found.faulty, found.problems, old if found.faulty == found.before else new)
            raise click.exceptions.Exit(FAILED)
    background = Background(found.fleet, _owners(found), found.edits, found.before)
    shown = Shown(found.plan, found.running, background)
    return narrowed(shown, only, labels(found.was, found.fleet)) if only else shown


def _owners(found: "Compared") -> "dict[Ref, Ref]":
    fleets = [fleet for fleet in (found.was, found.fleet) if fleet is not None]
    return {ref: want.owner for fleet in fleets for ref, want in fleet.workloads.items()}
