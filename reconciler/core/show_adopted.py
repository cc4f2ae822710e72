"""Words an import: what became of every part of what an Envoy runs, and whether the fleet says what it runs."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from reconciler.core.adopt.carry import Adopted
from reconciler.core.adopt.check import Unlike, Verdict
from reconciler.core.adopt.ledger import Line
from reconciler.core.show_layout import BLANK, Block, Page, Span, Style, text
from reconciler.core.show_problems import code, count, inert, problem_json

STYLES: dict[str, Style] = {"carried": "good", "changed": "change", "replaced": "dim", "left out": "wait", "note": "dim"}
# What is carried as it is needs no line of its own; the number says it. Everything else has one.
SHOWN = ("left out", "changed", "replaced", "note")
MOST_UNLIKE = 20
# Of one fate, for people; JSON has them all.
MOST_LINES = 1000


def adopted(found: Adopted, verdict: Verdict | None) -> Page:
    """What was left out first: that is what somebody has to see to."""
    page: list[Block] = [text(*_counted(found))]
    for fate in SHOWN:
        lines = [line for line in found.lines if line.fate == fate]
        if lines:
            page += [BLANK, text(Span(_heading(fate), STYLES[fate]))]
        for line in lines[:MOST_LINES]:
            page.append(text(Span(_subject(line), "strong"), f": {line.what}", indent=2, hang=4))
            if line.hint:
                page.append(text(Span("hint: ", "good"), line.hint, indent=4, hang=6))
        if len(lines) > MOST_LINES:
            page.append(text(Span(_more(lines), "dim"), indent=2, hang=4))
    return (*page, BLANK, *_verdict(verdict, _left(found)))


def _counted(found: Adopted) -> tuple[Span, ...]:
    kinds = Counter(draft.kind for draft in found.drafts)
    numbers = Counter(line.fate for line in found.lines)
    said = ", ".join(f"{number} {kind}" for kind, number in kinds.items())
    parts = ", ".join(f"{numbers[fate]} {fate}" for fate in ("carried", "changed", "replaced", "left out") if numbers[fate])
    return (Span("imported", "good"), Span(f": {said}; of what the Envoy runs, {parts or 'nothing'}"))


def _heading(fate: str) -> str:
    return {
        "left out": "left out: see to these",
        "changed": "changed: says it in another way than the Envoy had it",
        "replaced": "replaced: Convoy writes its own",
        "note": "to know",
    }[fate]


def _more(lines: Sequence[Line]) -> str:
    return f"… and {len(lines) - MOST_LINES} more: --report FILE.json names them all"


def _subject(line: Line) -> str:
    name = f" ({line.name})" if line.name else ""
    return f"{line.section}{name}" + (f" {line.where}" if line.where else "")


def _verdict(verdict: Verdict | None, left: int) -> Iterable[Block]:
    if verdict is None:
        return
    for problem in verdict.problems[:MOST_UNLIKE]:
        yield text(Span(str(problem.where), "strong"), ": ", Span(problem.what, "bad"), hang=2)
    unmeant = [one for one in verdict.unlike if not one.meant]
    for one in unmeant[:MOST_UNLIKE]:
        yield text(
            Span(_unlike(one), "strong"),
            f": the Envoy runs {one.runs or 'nothing'}, and would be told ",
            Span(one.told or "nothing", "bad"),
            hang=2,
        )
    yield text(*_judged(verdict, left))


def _left(found: Adopted) -> int:
    return sum(line.fate == "left out" for line in found.lines)


def _judged(verdict: Verdict, left: int) -> Iterable[Span]:
    unmeant = sum(not one.meant for one in verdict.unlike)
    if verdict.problems:
        return (Span(count(len(verdict.problems), "problem"), "bad"), Span(" in the documents: nothing was compared"))
    if unmeant:
        return (Span(count(unmeant, "field"), "bad"), Span(" would be another than the Envoy runs"))
    but = [f"{count(len(verdict.unlike), 'field')} named as changed"] if verdict.unlike else []
    but += [f"{count(left, 'part')} left out"] if left else []
    if but:
        return (Span("checked", "wait"), Span(f": the imported fleet says what the Envoy runs, but for {' and '.join(but)}"))
    return (Span("checked", "good"), Span(": the imported fleet says exactly what the Envoy runs"))


def _unlike(one: Unlike) -> str:
    return f"{one.type} {one.name} {one.field}".replace("  ", " ").strip()


def adopted_json(found: Adopted, verdict: Verdict | None, files: Sequence[str]) -> dict[str, Any]:
    """With the documents as text, unless they were written into `files`."""
    said: dict[str, Any] = {
        "documents": [{"kind": one.kind, "name": one.name, **({} if files else {"text": one.text})} for one in found.drafts],
        "files": list(files),
        "report": [_line_json(line) for line in found.lines],
    }
    if verdict is not None:
        unlike = [
            {"type": one.type, "name": one.name, "field": one.field, "runs": one.runs, "told": one.told, "meant": one.meant}
            for one in verdict.unlike
        ]
        problems = [problem_json(one) for one in verdict.problems]
        said["check"] = {"same": verdict.same, "compared": verdict.compared, "differences": unlike, "problems": problems}
    return said


def _line_json(line: Line) -> dict[str, str]:
    names = ("fate", "section", "name", "what", "hint", "into", "where")
    return {name: getattr(line, name) for name in names}


def adopted_markdown(found: Adopted, verdict: Verdict | None) -> str:
    """For a pull request that brings the fleet in."""
    lines = [inert("".join(span.text for span in _counted(found))), ""]
    for fate in SHOWN:
        told = [line for line in found.lines if line.fate == fate]
        if told:
            lines += [f"**{_heading(fate)}**", ""]
        for line in told[:MOST_LINES]:
            hint = f"<br>{inert(line.hint)}" if line.hint else ""
            lines.append(f"- {code(_subject(line))} {inert(line.what)}{hint}")
        lines += [f"- {_more(told)}"] if len(told) > MOST_LINES else []
        lines += [""] if told else []
    if verdict is not None:
        lines += [f"- {code(_unlike(one))} {inert(one.runs)} ⇒ {inert(one.told)}" for one in verdict.unlike if not one.meant][
            :MOST_UNLIKE
        ]
        lines += [f"- {code(str(one.where))} {inert(one.what)}" for one in verdict.problems[:MOST_UNLIKE]]
        lines.append("**" + inert("".join(span.text for span in _judged(verdict, _left(found)))) + "**")
    return "\n".join(lines) + "\n"
