"""Words and tables of what the API answers: as pages for people, and as text in JSON and YAML that no terminal obeys."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from reconciler.core.scalars import Unreadable, meaning
from reconciler.core.show_layout import BLANK, GAP, Line, Page, Span, Style, Table, cells, harmless, text, words

STYLES: Mapping[str, Style] = {
    **dict.fromkeys(("healthy", "active", "running", "completed", "acknowledged", "delivered"), "good"),
    **dict.fromkeys(("unknown", "pending", "in_progress", "not_connected", "maintenance", "created"), "wait"),
    **dict.fromkeys(("unhealthy", "failed", "refused", "given_up"), "bad"),
}
LONGEST_CELL, FEW = 200, 3


@dataclass(frozen=True, slots=True)
class Column:
    """A head, and the way to its value: members with dots between them, or what makes words of the whole. `least`: which are
    left out first where there is no room, the highest number before the others; 0 never."""

    head: str
    value: str | Callable[[Mapping[str, Any]], object]
    least: int = 0
    style: bool = False


def at(value: Any, path: str) -> Any:
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def cell(value: object) -> str:
    """In one line; `-` for nothing."""
    if value is None or value in ("", [], {}):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list) and all(not isinstance(one, list | dict) for one in value):
        return ", ".join(map(cell, value))
    if isinstance(value, list | dict):
        return compact(value)
    return str(value)


def few(value: object, words: Callable[[Mapping[str, Any]], str]) -> str:
    """The first of a list of things, and how many more there are."""
    found = [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
    more = len(found) - FEW
    return ", ".join(map(words, found[:FEW])) + (f" and {more} more" if more > 0 else "")


def compact(value: object) -> str:
    said = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return said if len(said) <= LONGEST_CELL else said[: LONGEST_CELL - 1] + "…"


def listing(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]], nothing: str, width: int | None = None) -> Page:
    """A table; columns that matter less are left out where the width has no room for them."""
    if not rows:
        return (text(nothing),)
    shown = [[_cell(column, row) for row in rows] for column in columns]
    kept = list(range(len(columns)))
    while width is not None and len(kept) > 1 and _wide(columns, shown, kept) > width:
        last = max(kept, key=lambda i: columns[i].least)
        if not columns[last].least:
            break
        kept.remove(last)
    heads = tuple(columns[i].head for i in kept)
    return (Table(heads, tuple(tuple(shown[i][number] for i in kept) for number in range(len(rows)))),)


def _cell(column: Column, row: Mapping[str, Any]) -> Line:
    said = cell(at(row, column.value) if isinstance(column.value, str) else column.value(row))
    return words(said, STYLES.get(said, "") if column.style else "")


def _wide(columns: Sequence[Column], shown: Sequence[Sequence[Line]], kept: Sequence[int]) -> int:
    widths = (max(len(columns[i].head), *(cells(harmless(one[0].text)) for one in shown[i])) for i in kept)
    return sum(widths) + len(GAP) * (len(kept) - 1)


def details(value: Mapping[str, Any], etag: str = "") -> Page:
    """One thing: what is simple as a table, what is not as YAML below it."""
    simple: dict[str, Any] = {}
    for name, one in value.items():
        if isinstance(one, dict) and one and not any(isinstance(inner, list | dict) for inner in one.values()):
            simple |= {f"{name}.{inner}": said for inner, said in one.items()}
        elif not _deep(one):
            simple[name] = one
    if etag:
        simple["etag"] = etag
    rows = tuple((words(name, "dim"), words(cell(one), STYLES.get(cell(one), ""))) for name, one in simple.items())
    page: Page = (Table(("", ""), rows),)
    for name, one in value.items():
        if _deep(one):
            page += (BLANK, text(Span(name, "strong")))
            page += tuple(text(line, indent=2, hang=4) for line in as_yaml(one).splitlines())
    return page


def _deep(value: object) -> bool:
    if isinstance(value, list):
        return any(isinstance(one, list | dict) for one in value)
    return isinstance(value, dict) and any(isinstance(one, list | dict) for one in value.values())


def as_yaml(value: object) -> str:
    said = _dumped(value, allow_unicode=True)
    return said if harmless(said) == said else _dumped(value, allow_unicode=False)


class _Plain(yaml.SafeDumper):
    """Without anchors: what is the same twice is written twice."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """In quotes where it would be read as something else."""
    try:
        is_text = meaning(text) == text
    except Unreadable:
        is_text = False
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if is_text else '"')


_Plain.add_representer(str, _text)


def _dumped(value: object, *, allow_unicode: bool) -> str:
    return str(yaml.dump(value, Dumper=_Plain, sort_keys=False, allow_unicode=allow_unicode, width=1000))


def plan(said: Mapping[str, Any]) -> Page:
    """What a change would do: documents by field, then what would be made of it."""
    page: Page = ()
    inner = said.get("plan")
    planned: Mapping[str, Any] = inner if isinstance(inner, dict) else said
    documents = planned.get("documents")
    for ref, edit in documents.items() if isinstance(documents, dict) else ():
        where = f"  {at(edit, 'file')}:{at(edit, 'line')}" if at(edit, "file") else ""
        page += (text(Span(str(ref), "strong"), Span(f"  {at(edit, 'change')}{where}", "dim")),)
        fields = [one for one in at(edit, "fields") or [] if isinstance(one, dict)]
        page += tuple(text(str(one.get("path")), Span(f"  {_sides(one)}"), indent=2, hang=4) for one in fields)
    steps = [one for one in planned.get("steps") or [] if isinstance(one, dict)]
    rows = tuple((words(cell(one.get("change"))), words(cell(one.get("ref"))), words(cell(one.get("reason")))) for one in steps)
    if rows:
        page += ((BLANK,) if page else ()) + (Table(("CHANGE", "WHAT", "WHY"), rows),)
    for one in steps:
        for hold in one.get("held") or []:
            page += (text(Span(f"held: {cell(one.get('ref'))}: {cell(at(hold, 'reason'))}", "wait"), indent=2, hang=4),)
    problems = [one for one in said.get("problems") or [] if one]
    page += tuple(text(Span(cell(one), "bad"), hang=4) for one in problems)
    if not rows and not problems:
        page += (text("nothing that runs would change", indent=0),)
    return (*page, text(Span("this was only tried: nothing has been committed", "dim")))


def _sides(one: Mapping[str, Any]) -> str:
    before, after = one.get("before"), one.get("after")
    if before is None:
        return f"+ {after}"
    return f"- {before}" if after is None else f"{before} → {after}"


def progress(said: Mapping[str, Any]) -> str:
    """Of a deployment, in one line."""
    counts = [
        f"{at(said, f'progress.{name}') or 0} {name.replace('_', ' ')}"
        for name in ("completed", "in_progress", "pending", "failed")
    ]
    total = cell(at(said, "progress.total_proxies"))
    return f"{cell(said.get('name'))}  {cell(said.get('status'))}: {', '.join(counts)}, of {total}"


def series(said: Mapping[str, Any]) -> Page:
    """A row for each moment, a column for each metric."""
    metrics = said.get("metrics")
    named = {name: points for name, points in metrics.items() if isinstance(points, list)} if isinstance(metrics, dict) else {}
    moments: dict[str, dict[str, object]] = {}
    for name, points in named.items():
        for point in points:
            if isinstance(point, dict):
                moments.setdefault(str(point.get("timestamp")), {})[name] = point.get("value")
    span = f"{cell(at(said, 'time_range.start'))} to {cell(at(said, 'time_range.end'))}, each {cell(said.get('resolution'))}"
    if not moments:
        return (text(f"nothing was measured from {span}"),)
    heads = ("TIME", *(name.upper() for name in named))
    rows = tuple((words(moment), *(words(cell(moments[moment].get(name))) for name in named)) for moment in sorted(moments))
    return (Table(heads, rows), text(Span(span, "dim")))
