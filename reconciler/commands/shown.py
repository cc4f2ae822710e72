"""What commands that show a plan share: what it is shown against, what of it is selected, and what is said without one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from reconciler.commands import sources
from reconciler.commands.options import FAILED, Call, Failure

if TYPE_CHECKING:
    from reconciler.control import Control
    from reconciler.core.model import FleetState, Plan, Problem, Ref, Snapshot
    from reconciler.core.select import Selector
    from reconciler.core.show import Background
    from reconciler.git import Source
    from reconciler.preview import Preview

MOST_UNOPENED = 5


@dataclass(frozen=True)
class Shown:
    """A plan as it is to be shown, with what it is shown against."""

    plan: "Plan"
    running: "Mapping[str, Snapshot]"
    background: "Background"
    unopened: "Sequence[Problem]" = ()


def background(preview: "Preview") -> "Background":
    """What a preview's plan is shown against."""
    from reconciler.core.show import Background

    return Background(preview.fleet, preview.owners, preview.edits)


def labels(*fleets: "FleetState | None") -> "dict[Ref, Mapping[str, str]]":
    """Resource ⇒ its labels; of one that several fleets declare, as the last does."""
    return {ref: resource.labels for fleet in fleets if fleet is not None for ref, resource in fleet.resources.items()}


def narrowed(shown: Shown, only: "Selector", labels: "Mapping[Ref, Mapping[str, str]]") -> Shown:
    """What is selected of it; raises Failure where a name in it is nobody's."""
    from reconciler.core.narrow import narrow
    from reconciler.core.select import Selection

    background = shown.background
    gone = {edit.ref for edit in background.edits}
    unknown = only.unknown({*labels, *background.owners, *background.owners.values(), *gone, *_refs(shown.plan)})
    if unknown:
        raise Failure(f"--only: {unknown}")
    part = narrow(shown.plan, Selection(only, labels, background.owners), shown.running, background.edits)
    background = replace(background, edits=part.edits, selected=str(only), left_out=part.left_out)
    return Shown(part.plan, part.running, background, shown.unopened)


def _refs(planned: "Plan") -> "set[Ref]":
    return {*(action.ref for action in planned.actions), *(hold.ref for hold in planned.held), *planned.left}


def show_plan(call: Call, shown: Shown, limit: int) -> None:
    from reconciler.core import show

    if call.output == "markdown":
        call.terminal.raw(show.plan_markdown(shown.plan, shown.running, shown.background, limit=limit))
    else:
        answer = show.plan_json(shown.plan, shown.running, shown.background)
        answer["unopened"] = [show.problem_json(problem) for problem in shown.unopened]
        call.page(show.plan(shown.plan, shown.running, shown.background), answer)
    tell_unopened(call, shown.unopened)


def planned_or_fail(call: Call, preview: "Preview", wishes: "Source") -> "Plan":
    """The plan; where there is none, why not is shown and the command ends."""
    if preview.unreadable:
        raise Failure(preview.unreadable)
    if preview.plan is None or preview.problems:
        show_problems(call, preview.revision, preview.problems, wishes)
        raise click.exceptions.Exit(FAILED)
    return preview.plan


def tell_unopened(call: Call, unopened: "Sequence[Problem]") -> None:
    """To a person: whose secrets cannot be used here. The plan is the same without them, for it is made from hashes."""
    for problem in unopened[:MOST_UNOPENED]:
        call.terminal.note(str(problem), "wait")
    if len(unopened) > MOST_UNOPENED:
        call.terminal.note(f"and {len(unopened) - MOST_UNOPENED} more documents whose secrets cannot be used here", "wait")


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
