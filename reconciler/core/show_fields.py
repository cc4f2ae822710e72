"""Words what was changed in documents: field by field, what it was, what it is, and how that takes effect."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from reconciler.core.edits import NONE, Edit
from reconciler.core.fields import EFFECTS, Field
from reconciler.core.show_holds import names
from reconciler.core.show_layout import Block, Line, Span, Style, Table, text
from reconciler.core.show_problems import code, count, inert

# Of one document, and of documents: who wants every field asks for JSON.
MOST_FIELDS, MOST_EDITS = 12, 20
# Of so many new documents a text shows what they say: a whole new fleet is better read in its files.
MOST_NEW = 5
SIGNS: dict[str, tuple[str, Style]] = {"added": ("+", "add"), "changed": ("~", "change"), "removed": ("-", "remove")}
SEALED_AGAIN = "its secrets were sealed again, or only their order or spelling differs: nothing follows from it"
NOT_COMPARED = "too many documents differ to tell how: see it with --only"


def fields_page(edit: Edit, indent: int) -> Iterable[Block]:
    """The fields of one document that was changed, or that is new."""
    if not edit.fields.listed:
        if edit.made != "changed":
            return
        words = SEALED_AGAIN if edit.compared and edit.fields.whole else NOT_COMPARED
        yield text(Span(words, "dim"), indent=indent, hang=2)
        return
    listed = edit.fields.listed[:MOST_FIELDS]
    # All of what is new comes into being with it.
    rows = tuple(field_row(one, effect=edit.made != "added") for one in listed)
    yield Table(("", "", "", ""), rows, indent)
    more = _more(edit, len(listed))
    if more:
        yield text(Span(more, "dim"), indent=indent, hang=2)


def _more(edit: Edit, shown: int) -> str:
    rest = len(edit.fields.listed) - shown + edit.fields.more
    words = f"… and {count(rest, 'more field')}" if rest else ""
    if edit.fields.whole:
        return words
    return (words or "…") + ", and the document is too large to compare the rest"


def field_row(one: Field, *, effect: bool) -> tuple[Line, ...]:
    """Sign, path, with `effect` how the change takes effect, and both sides."""
    how = EFFECTS[one.effect] if effect else ""
    return (Span(*sign_of(one)),), (Span(one.path),), (Span(how, "dim"),), (Span(words(one)),)


def sign_of(one: Field) -> tuple[str, Style]:
    return SIGNS["added" if one.before is None else "removed" if one.after is None else "changed"]


def words(one: Field) -> str:
    """`80 → 8080`, or the one side there is."""
    if one.before is None or one.after is None:
        return one.after if one.before is None else one.before  # type: ignore[return-value]  # one side is there
    return f"{one.before} → {one.after}"


def edits_page(edits: Sequence[Edit]) -> Iterable[Block]:
    """Documents that differ and have no step of their own. Of those that go, their names say all."""
    changed = [edit for edit in edits if edit.made == "changed" or edit.fields.listed]
    for edit in changed[:MOST_EDITS]:
        yield text(Span(*SIGNS[edit.made]), " ", Span(str(edit.ref), "name"), Span(f"  {place(edit)}", "dim"), indent=2, hang=2)
        yield from fields_page(edit, 6)
    if len(changed) > MOST_EDITS:
        yield text(Span(f"… and {count(len(changed) - MOST_EDITS, 'more document')}", "dim"), indent=2)
    for made, word in (("added", "new"), ("removed", "gone")):
        listed = [edit.ref for edit in edits if edit.made == made and not edit.fields.listed]
        if listed:
            yield text(Span(*SIGNS[made]), " ", Span(names(listed), "name"), Span(f"  {word}", "dim"), indent=2, hang=2)


def in_text(edits: Sequence[Edit], *, whole: bool) -> tuple[Edit, ...]:
    """The same, without what new documents say where they are many, or the `whole` fleet is new."""
    if not whole and sum(edit.made == "added" for edit in edits) <= MOST_NEW:
        return tuple(edits)
    return tuple(replace(edit, fields=NONE) if edit.made == "added" else edit for edit in edits)


def place(edit: Edit) -> str:
    """Where it stands, or stood; "" where nobody knows."""
    where = f"{edit.where.file}:{edit.where.line}" if edit.where.file else ""
    return f"was at {where}" if where and edit.made == "removed" else where


def edit_json(edit: Edit) -> dict[str, Any]:
    return {
        "change": edit.made,
        "file": edit.where.file,
        "line": edit.where.line,
        "fields": [field_json(one) for one in edit.fields.listed],
        "more": edit.fields.more,
        "whole": edit.compared and edit.fields.whole,
    }


def field_json(one: Field) -> dict[str, Any]:
    """A side that was not there is null; every other is text as people are shown it."""
    return {"path": one.path, "before": one.before, "after": one.after, "effect": one.effect}


def edit_markdown(edit: Edit) -> list[str]:
    """Lines of a table, or a line of text."""
    if not edit.fields.listed:
        return [inert(SEALED_AGAIN if edit.compared and edit.fields.whole else NOT_COMPARED)] if edit.made == "changed" else []
    new = edit.made == "added"
    lines = ["| field | |", "|---|---|"] if new else ["| | field | | effect |", "|---|---|---|---|"]
    for one in edit.fields.listed[:MOST_FIELDS]:
        sides = " → ".join(code(side) if side else "" for side in (one.before, one.after) if side is not None)
        cells = (code(one.path), sides) if new else (code(sign_of(one)[0]), code(one.path), sides, EFFECTS[one.effect])
        lines.append(f"| {' | '.join(cells)} |")
    more = _more(edit, min(len(edit.fields.listed), MOST_FIELDS))
    return [*lines, "", inert(more)] if more else lines
