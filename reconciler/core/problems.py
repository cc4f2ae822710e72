"""Problems as JSON, there and back: what one Convoy finds in a fleet, another shows with the lines that it is about."""

from collections.abc import Iterable
from typing import Any

from reconciler.core.model import Problem, Ref, Where

# More than anybody reads at once.
MOST_PROBLEMS = 10_000


def problem_json(problem: Problem) -> dict[str, Any]:
    said: dict[str, Any] = {"file": problem.where.file, "line": problem.where.line, "column": problem.where.column}
    said |= {"what": problem.what, "hint": problem.hint, "ref": str(problem.ref) if problem.ref else ""}
    return said | {"quiet": True} if problem.quiet else said


def read_problems(listed: object, wrong: type[Exception]) -> tuple[Problem, ...]:
    if not isinstance(listed, list) or len(listed) > MOST_PROBLEMS:
        raise wrong("`problems` is no list, or too long")
    return tuple(_problem(one, wrong) for one in listed)


def _problem(said: object, wrong: type[Exception]) -> Problem:
    words = ("file", "what", "hint", "ref")
    if not isinstance(said, dict) or not all(isinstance(said.get(name, ""), str) for name in words):
        raise wrong("a problem that is none")
    line, column = said.get("line", 0), said.get("column", 0)
    if not all(isinstance(number, int) and 0 <= number < 1 << 31 for number in (line, column)):
        raise wrong("a problem nowhere")
    try:
        ref = Ref.parse(said["ref"]) if said.get("ref") else None
    except ValueError:
        raise wrong("a problem of nothing") from None
    where = Where(said.get("file", ""), line, column)
    return Problem(where, said.get("what", ""), said.get("hint", ""), ref, said.get("quiet") is True)


def problems_first(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """As many as an answer holds."""
    return tuple(problems)[:MOST_PROBLEMS]
