"""`convoy plan`: what would be done now, and nothing done to find out."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconciler.commands import sources
from reconciler.commands.against import CHANGES, elsewhere, plan_against
from reconciler.commands.options import Call, Command, common, only, quiet
from reconciler.commands.plan_between import between
from reconciler.commands.shown import (
    Shown,
    background,
    labels,
    narrowed,
    planned_or_fail,
    show_plan,
    show_problems,
    told_before,
)

if TYPE_CHECKING:
    from reconciler.core.select import Selector

# As reconciler/core/show_plan_markdown.py has it, which is not loaded to show `--help`.
LEAST_LIMIT = 3_000


@click.command(
    cls=Command,
    examples=[
        ("convoy plan", "for the fleet in this directory, on the hosts as they are"),
        ("convoy plan examples/hello", "for another folder"),
        ("convoy plan --source . --branch next", "for a branch as it is committed"),
        ("convoy plan --at v1.4", "as if that commit were wanted"),
        ("convoy plan --only app/web --only proxies,team=shop", "an Application, and some proxies"),
        ("convoy plan --from main --to HEAD", "what commits change; no host is looked at"),
        ("convoy plan --from main -o markdown --limit 60000 > plan.md", "this folder against main, for a pull request"),
        ("convoy plan --against https://convoy.example -o markdown", "the same in CI, as the Convoy at work there sees things"),
    ],
    exits=[
        (0, "the plan is shown"),
        (1, "there are problems, or the source cannot be read, or that Convoy cannot be asked"),
        (2, "with --exit-code: there are changes; or the command line cannot be understood"),
    ],
)
@click.option("--exit-code", is_flag=True, help="Exit with 2 when something would change.")
@click.option("--at", metavar="REV", help="Plan for this commit instead of the newest.")
@click.option("--from", "since", metavar="REV", help="Show what is declared otherwise than in this commit.")
@click.option("--to", "until", metavar="REV", help="The commit to compare with --from.  [the folder, or the branch]")
@only("Show only what this selects: KIND[/NAME] or label=value; a comma means and.")
@click.option("--limit", type=click.IntRange(LEAST_LIMIT), default=60_000, metavar="N", help="Characters of Markdown.  [60000]")
@elsewhere
@sources.from_anywhere
@common("markdown")
def plan(
    call: Call,
    path: Path | None,
    source: str | None,
    branch: str,
    subdirectory: str,
    exit_code: bool,
    at: str | None,
    since: str | None,
    until: str | None,
    only: "Selector",
    limit: int,
    against: str | None,
    **beside: Any,
) -> None:
    """Show what `apply` would do, and why.

    PATH is the folder with the documents, this one where left out. Hosts are looked at; nothing on them is changed. How much of
    the fleet is touched comes first, then each resource with what was changed in its document.

    \b
      +  created       ~  updated in place   ↻  restarted
      ±  replaced      -  deleted            ⇐  taken over
      →  told to proxies   ‖  held, until released   …  waits

    A REV is whatever git takes for a commit: a branch, a tag, digits, HEAD~2.

    With --against, a Convoy that runs elsewhere (`convoy serve --http`) is sent the documents and looks at what it sees
    already: no key of any host is needed here, but a token of that Convoy's in $CONVOY_TOKEN.
    """
    if until is not None and since is None:
        raise click.UsageError("--to belongs to --from: name both commits")
    if since is not None and at is not None:
        raise click.UsageError("--from compares two commits, and --at plans for one on the hosts: give one of them")
    place = sources.place(path, source, branch, subdirectory)
    if against is not None:
        if at or since or only:
            raise click.UsageError("--against is about all of the newest documents: leave out --at, --from and --only")
        plan_against(call, place, against, exit_code, {**beside, "limit": limit}, show_problems)
        return
    if any(beside.values()):
        raise click.UsageError("--token-file, --ca-file, --message-file and --plaintext belong to --against")
    shown = between(call, place, since, until, only) if since is not None else _now(call, place, at, only)
    show_plan(call, shown, limit)
    if exit_code and shown.plan.actions:
        raise click.exceptions.Exit(CHANGES)


def _now(call: Call, place: sources.Place, at: str | None, only: "Selector") -> Shown:
    from reconciler.control import open_control
    from reconciler.seams import Seams

    seams = Seams()
    wishes = place.source(call.state, seams) if at is None else place.source_at(call.state, seams, at)
    try:
        with open_control(call.state, store=call.store, source=wishes, seams=seams, log=quiet()) as control:
            preview = control.preview()
            planned = planned_or_fail(call, preview, wishes)
            running = told_before(control, planned)
    finally:
        wishes.close()
    shown = Shown(planned, running, background(preview), preview.unopened)
    return narrowed(shown, only, labels(preview.fleet)) if only else shown
