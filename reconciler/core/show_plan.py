"""Words plans: the size of a change first, then each resource, what happens to it and why."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reconciler.core.edits import Edit
from reconciler.core.model import XDS, Action, Plan, Ref
from reconciler.core.show_blast import NOTHING, Background, Blast, blast, blast_json, reach_page, summary
from reconciler.core.show_fields import edit_json, edits_page, fields_page, in_text
from reconciler.core.show_holds import held_json, holds, left
from reconciler.core.show_layout import BLANK, Block, Line, Page, Span, Table, line_cells, text
from reconciler.core.show_problems import count, short
from reconciler.core.show_steps import SIGNS, Step, in_order, stands_alone, steps
from reconciler.core.show_tells import Running, tell_json, tell_page


def plan(planned: Plan, running: Running | None = None, background: Background = NOTHING) -> Page:
    """`running`: node ⇒ what that proxy was last told, where that is known; only then can differences be named."""
    listed = in_order(steps(planned, background.owners))
    size = blast(listed, background)
    page: list[Block] = [*_head(planned, listed, size, background), BLANK]
    said = in_text(background.edits, whole=_is_new(background))
    edits = {edit.ref: edit for edit in said}
    shown, told = _rows(listed, edits)
    page += [*shown, BLANK] if shown else []
    for step in listed:
        if step.change == "tell":
            page += [*tell_page(step, running or {}), BLANK]
    rest = tuple(edit for edit in said if edit.ref not in told)
    if rest:
        page += [text(Span("changed in the documents", "strong")), *edits_page(rest), BLANK]
    if said != background.edits and not _is_new(background):
        page += [text(Span("what a new document says: `convoy plan --only KIND/NAME`, or `-o markdown`", "dim")), BLANK]
    alone = [hold for step in listed for hold in step.held if stands_alone(hold, step)]
    if alone:
        page += [text(Span("held back", "wait")), *holds(alone), BLANK]
    if planned.left:
        page += [text(Span("left alone", "dim")), *left(planned.left), BLANK]
    return tuple(page[:-1])


def _is_new(background: Background) -> bool:
    """Whether nothing at all was declared before."""
    if background.fleet is None or background.selected:
        return False
    return len(background.edits) >= len(background.fleet.resources) and all(edit.made == "added" for edit in background.edits)


def _head(planned: Plan, listed: Sequence[Step], size: Blast, background: Background) -> Iterable[Block]:
    revision = Span(f"  {_revisions(planned, background)}", "dim")
    if listed:
        yield text(Span("plan", "strong"), ": ", *summary(size), revision)
    elif background.left_out:
        yield text(Span("nothing to do", "good"), " for what is selected", revision)
    elif background.before:
        yield text(Span("nothing changes", "good"), " for what runs", revision)
    else:
        yield text(Span("nothing to do", "good"), ": the fleet is as declared", revision)
    yield from reach_page(size)
    if background.selected:
        yield text(Span(left_out(background), "wait"), indent=2, hang=2)


def _revisions(planned: Plan, background: Background) -> str:
    now = short(planned.revision)
    return f"{short(background.before)} → {now}" if background.before else now


def left_out(background: Background) -> str:
    """What `--only` said, and what it left out."""
    rest = background.left_out
    if not rest:
        return f"only {background.selected}: nothing else is to do"
    return f"only {background.selected}: {count(rest, 'more resource')} of this plan {'is' if rest == 1 else 'are'} not shown"


def _rows(listed: Iterable[Step], edits: Mapping[Ref, Edit]) -> tuple[list[Block], set[Ref]]:
    """A row for each step, and under the last one of those that come from the same document what was changed in it.

    Also the documents that need no other mention.
    """
    done = [step for step in listed if step.change not in ("tell", "hold")]
    rows = [_row(step) for step in done]
    least = tuple(max((line_cells(row[i]) for row in rows), default=0) for i in range(4))
    last = {step.owner: i for i, step in enumerate(done)}
    blocks: list[Block] = []
    begun = 0
    for i, step in enumerate(done):
        edit = edits.get(step.owner)
        if edit is not None and (edit.made == "changed" or edit.fields.listed) and last[step.owner] == i:
            blocks.append(Table(("", "", "", ""), tuple(rows[begun : i + 1]), 2, least))
            blocks += fields_page(edit, 6)
            begun = i + 1
    if rows[begun:]:
        blocks.append(Table(("", "", "", ""), tuple(rows[begun:]), 2, least))
    return blocks, {*last}


def _row(step: Step) -> tuple[Line, ...]:
    sign, style = SIGNS[step.change]
    on = "on " + ", ".join(step.hosts) if step.hosts else ""
    reason = step.reason if step.change != "create" or step.reason != "missing" else ""
    return (Span(sign, style),), (Span(str(step.ref), "name"),), (Span(on, "dim"),), (Span(reason),)


def plan_json(planned: Plan, running: Running | None = None, background: Background = NOTHING) -> dict[str, Any]:
    """Plain data of a plan; what workloads are made of stays out of it, for it may name secrets."""
    listed = steps(planned, background.owners)
    answer: dict[str, Any] = {
        "blast": blast_json(blast(listed, background)),
        "revision": planned.revision,
        "from": background.before or None,
        "changes": bool(planned.actions),
        "selected": background.selected or None,
        "leftOut": background.left_out,
        "summary": dict(sorted(Counter(step.change for step in listed).items())),
        "steps": [
            {
                "change": step.change,
                "ref": str(step.ref),
                "owner": str(step.owner),
                "reason": step.reason,
                "drift": step.drift,
                "hosts": step.hosts,
                "actions": [_action_json(action, running or {}) for action in step.actions],
                "held": [held_json(hold) for hold in step.held],
            }
            for step in listed
        ],
        "documents": {str(edit.ref): edit_json(edit) for edit in background.edits},
        "left": {str(ref): why for ref, why in sorted(planned.left.items())},
        "wakeAt": planned.wake_at,
    }
    return answer


def _action_json(action: Action, running: Running) -> dict[str, Any]:
    result: dict[str, Any] = {"verb": action.verb, "host": action.host, "instance": action.instance, "reason": action.reason}
    if action.restarts:
        result["restarts"] = True
    if action.fields:
        result["fields"] = list(action.fields)
    if action.host == XDS and isinstance(action.want, Mapping):
        result["proxies"] = tell_json(action.want, running)
    return result
