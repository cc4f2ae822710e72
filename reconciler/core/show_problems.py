"""Words Problems: where, what, and how to mend it, with the lines they are about and a mark under the very word."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from reconciler.core.model import Problem
from reconciler.core.show_layout import BLANK, Block, Fixed, Page, Span, cells, harmless, text

# What a mark runs under: a quoted string, or a word up to what ends one in YAML.
WORD = re.compile(r"""'[^']*'|"(?:\\.|[^"\\])*"|[^\s:,\[\]{}#]+""")
# A line is shown up to here; what stands further to the right is found by its column alone.
LONGEST_SHOWN = 400


def problems(found: Iterable[Problem], texts: Mapping[str, str], *, limit: int | None = None) -> Page:
    """`texts`: file ⇒ its content; a Problem in a file that is not there is shown without an excerpt."""
    listed = sorted(found, key=lambda problem: (problem.where, problem.what))
    page: list[Block] = []
    split = {file: content.split("\n") for file, content in texts.items()}
    shown = listed if limit is None else listed[:limit]
    hidden: dict[str, set[int]] = defaultdict(set)
    for problem in listed:
        if problem.quiet:
            hidden[problem.where.file].add(problem.where.line)
    for problem in shown:
        page += [*_one(problem, split.get(problem.where.file), hidden[problem.where.file]), BLANK]
    if len(listed) > len(shown):
        page += [text(f"… and {count(len(listed) - len(shown), 'more problem')}"), BLANK]
    files = len({problem.where.file for problem in listed})
    page.append(text(Span(count(len(listed), "problem"), "bad"), f" in {count(files, 'file')}"))
    return tuple(page)


def _one(problem: Problem, lines: list[str] | None, hidden: Collection[int]) -> Iterable[Block]:
    """`hidden` lines may hold a secret that somebody has written openly: what is read of them ends up in logs of CI."""
    where = problem.where
    yield text(Span(str(where), "strong"), ": ", Span(problem.what, "bad"), hang=2)
    if lines is not None and where.line not in hidden and 0 < where.line <= len(lines) and where.column <= LONGEST_SHOWN:
        yield from _excerpt(lines, where.line, where.column, hidden)
    if problem.hint:
        yield text(Span("hint: ", "good"), problem.hint, indent=2, hang=6)


def _excerpt(lines: list[str], number: int, column: int, hidden: Collection[int]) -> Iterable[Block]:
    """The line, the one before it for company, and a mark."""
    margin = len(str(number))
    line = lines[number - 1].rstrip("\r")[:LONGEST_SHOWN].replace("\t", " ")
    at = min(column - 1, len(line))
    focus = cells(harmless(line[:at]))
    word = WORD.match(line, at)
    length = max(1, cells(harmless(word.group() if word else "")))
    for n in (number - 1, number):
        line = lines[n - 1].rstrip("\r")[:LONGEST_SHOWN] if n else ""
        if n == number or (line.strip() and n not in hidden):
            # Tabs are written as one space: what stands in this line and under it must agree about columns.
            shown = (Span(line.replace("\t", " "), "" if n == number else "dim"),)
            yield Fixed(shown, 2, (Span(f"{n:>{margin}} │ ", "dim"),), focus)
    yield Fixed((Span(" " * focus), Span("^" + "~" * (length - 1), "bad")), 2, (Span(" " * margin + " │ ", "dim"),), focus)


def problem_json(problem: Problem) -> dict[str, Any]:
    where = problem.where
    return {
        "file": where.file,
        "line": where.line,
        "column": where.column,
        "what": problem.what,
        "hint": problem.hint,
        "ref": str(problem.ref) if problem.ref else None,
    }


def validated(revision: str, resources: Mapping[str, int], workloads: int, environment: str = "") -> Page:
    """A fleet without Problems: how many of each kind (`resources`), and how many workloads follow from them.

    `environment` is the directory that it is, where it is one of several.
    """
    total = sum(resources.values())
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(resources.items()))
    head = text(
        *_which(environment),
        Span("valid", "good"),
        f": {count(total, 'resource')}, {count(workloads, 'workload')}",
        Span(f"  {short(revision)}", "dim"),
    )
    return (head, text(Span(kinds, "dim"), indent=2)) if kinds else (head,)


def invalid(number: int, environment: str) -> Page:
    """One of several environments, with Problems that are shown below."""
    return (text(*_which(environment), Span(count(number, "problem"), "bad")),)


def _which(environment: str) -> Iterable[Span]:
    return [Span(f"{environment}: ", "strong")] if environment else []


def problems_markdown(found: Iterable[Problem], *, limit: int = 100) -> str:
    """For a pull request; nothing that a fleet file holds is read as Markdown or HTML there."""
    listed = sorted(found, key=lambda problem: (problem.where, problem.what))
    lines = [f"**{count(len(listed), 'problem')}**", ""]
    for problem in listed[:limit]:
        hint = f"<br>{inert(problem.hint)}" if problem.hint else ""
        lines += [f"- {code(str(problem.where))} {inert(problem.what)}{hint}"]
    if len(listed) > limit:
        lines.append(f"- … and {len(listed) - limit} more")
    return "\n".join(lines) + "\n"


def count(number: int, noun: str) -> str:
    """`1 resource`, `2 resources`."""
    plural = noun[:-1] + "ies" if noun.endswith("y") and noun[-2] not in "aeiou" else noun + "s"
    return f"{number:,} {noun if number == 1 else plural}"


def short(revision: str) -> str:
    """A commit by as much of its name as people use; any other revision as it is."""
    return revision[:12] if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", revision) else revision


def inert(words: str) -> str:
    """Text that Markdown shows as it is: no links, mentions, references, images or HTML."""
    one_line = " ".join(harmless(words).split())
    # Forges look for mentions, issues and addresses in what is shown, where escapes are no more: a joint without width
    # parts them.
    parted = re.sub(r"(?<=@)|(?=://)|(?<=\bwww)(?=\.)|(?<=[#!~%$&])(?=\d)|(?<=\b[Gg][Hh])(?=-\d)", "\u200b", one_line)
    escaped = re.sub(r"([\\`*_{}\[\]<>()#+!|~-])", r"\\\1", parted.replace("&", "&amp;"))
    return escaped.replace("\\<", "&lt;").replace("\\>", "&gt;")


def code(words: str) -> str:
    """Text in a code span, whatever backticks it holds itself."""
    one_line = " ".join(harmless(words).split()).replace("|", "\\|")
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", one_line)), default=0))
    pad = " " if one_line.startswith("`") or one_line.endswith("`") else ""
    return f"{fence}{pad}{one_line}{pad}{fence}"
