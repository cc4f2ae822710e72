"""`convoy plan`: what would be done now, and nothing done to find out."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconciler.commands import sources
from reconciler.commands.against import CHANGES, elsewhere, plan_against
from reconciler.commands.options import FAILED, Call, Command, Failure, common, quiet

if TYPE_CHECKING:
    from reconciler.control import Control, Preview
    from reconciler.core.model import Plan, Snapshot
    from reconciler.git import Source

MOST_UNOPENED = 5


@click.command(
    cls=Command,
    examples=[
        ("convoy plan", "for the fleet in this directory, on the hosts as they are"),
        ("convoy plan examples/hello", "for another folder"),
        ("convoy plan --source . --branch next", "for a branch as it is committed"),
        ("convoy plan --exit-code -o markdown > plan.md", "for a pull request"),
        ("convoy plan --against https://convoy.example -o markdown", "the same in CI, as the Convoy at work there sees things"),
    ],
    exits=[
        (0, "the plan is shown"),
        (1, "there are problems, or the source cannot be read, or that Convoy cannot be asked"),
        (2, "with --exit-code: there are changes; or the command line cannot be understood"),
    ],
)
@click.option("--exit-code", is_flag=True, help="Exit with 2 when something would change.")
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
    against: str | None,
    **beside: Any,
) -> None:
    """Show what `apply` would do, and why.

    PATH is the folder with the documents, this one where left out. Hosts are looked at; nothing on them is changed. With
    --against, a Convoy that runs elsewhere (`convoy serve --http`) is sent the documents and looks at what it sees already:
    no key of any host is needed here, but a token of that Convoy's in $CONVOY_TOKEN.
    """
    place = sources.place(path, source, branch, subdirectory)
    if against is not None:
        plan_against(call, place, against, exit_code, beside, show_problems)
        return
    if any(beside.values()):
        raise click.UsageError("--token-file, --ca-file, --message-file and --plaintext belong to --against")
    from reconciler.control import open_control
    from reconciler.core import show
    from reconciler.seams import Seams

    seams = Seams()
    wishes = place.source(call.state, seams)
    try:
        with open_control(call.state, store=call.store, source=wishes, seams=seams, log=quiet()) as control:
            preview = control.preview()
            planned = planned_or_fail(call, preview, wishes)
            running = told_before(control, planned)
    finally:
        wishes.close()
    if call.output == "markdown":
        call.terminal.raw(show.plan_markdown(planned, running))
    else:
        answer = show.plan_json(planned, running)
        answer["unopened"] = [show.problem_json(problem) for problem in preview.unopened]
        call.page(show.plan(planned, running), answer)
    tell_unopened(call, preview)
    if exit_code and planned.actions:
        raise click.exceptions.Exit(CHANGES)


def planned_or_fail(call: Call, preview: "Preview", wishes: "Source") -> "Plan":
    """The plan; where there is none, why not is shown and the command ends."""
    if preview.unreadable:
        raise Failure(preview.unreadable)
    if preview.plan is None or preview.problems:
        show_problems(call, preview.revision, preview.problems, wishes)
        raise click.exceptions.Exit(FAILED)
    return preview.plan


def tell_unopened(call: Call, preview: "Preview") -> None:
    """To a person: whose secrets cannot be used here. The plan is the same without them, for it is made from hashes."""
    for problem in preview.unopened[:MOST_UNOPENED]:
        call.terminal.note(str(problem), "wait")
    if len(preview.unopened) > MOST_UNOPENED:
        call.terminal.note(
            f"and {len(preview.unopened) - MOST_UNOPENED} more documents whose secrets cannot be used here", "wait"
        )


def show_problems(call: Call, revision: str, problems: "tuple[Any, ...]", wishes: "Source") -> None:
    from reconciler.core import show
    from reconciler.git import SourceError

    if call.json:
        call.terminal.json({"revision": revision, "problems": [show.problem_json(problem) for problem in problems]})
    elif call.output == "markdown":
        call.terminal.raw(show.problems_markdown(problems))
    else:
        try:
            texts = sources.texts(wishes, wishes.tree(revision), problems)
        except SourceError:
            texts = {}
        call.terminal.page(show.problems(problems, texts))


def told_before(control: "Control", planned: "Plan") -> "dict[str, Snapshot]":
    """What the proxies that would be told something run now, as far as the store knows."""
    from reconciler.core.model import XDS

    nodes = {node for action in planned.actions if action.host == XDS for node in action.want}
    kept = {node: control.store.good(node) for node in nodes}
    return {node: snapshot for node, snapshot in kept.items() if snapshot is not None}
