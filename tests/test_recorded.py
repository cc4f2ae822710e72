"""Recorded documents: what their commands print is written by this test, whole, so that it cannot lie.

A document is recorded when its first line is the MARK. Its `console` blocks are typed as in `tests/test_docs.py`, and all that
each command prints has to be there, save what is never the same twice (ids, times, sizes, chosen ports), for which `…` stands.
`pytest tests/test_recorded.py --update` writes it anew; read the difference as a reviewer would.
"""

import re
from itertools import groupby
from pathlib import Path

import pytest

from tests.test_docs import DOCUMENTS, FENCE, TEST_S, Typed, alone, free_soon, name_of, play, ports_of, typed

__all__ = ["alone"]

MARK = "<!-- recorded -->"
RECORDED = [document for document in DOCUMENTS if document.read_text().startswith(MARK)]
# Longer output is cut in the middle of a page, and nobody reads it there.
MOST_LINES = 60
# What is never the same twice. The unit stays, so that a reader knows what stood there.
VARYING = re.compile(
    r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?: ?Z|\+\d\d:?\d\d)?"  # a moment
    r"|\b\d\d:\d\d:\d\d\b"  # a time of day
    r"|\b(?=[a-f]*\d)[0-9a-f]{7,64}\b"  # an id, a digest, a commit
    r"|\b\d+[smhd]\b"  # an age: its unit changes with it
    r"|\b\d+(?:\.\d+)?(?= ?(?:ms|s|m|min|h|d|%|[KMG]i?B|B|req/s)\b)"  # a duration, a size, a share
    r"|(?<![\w.])2\d{4}\b"  # a port that a driver chose
    r"|(?<=\bpid )\d+|(?<=\bport )\d+"
)

# Where `play` keeps what a person has at home.
HOME = re.compile(r"[^\s\"]*/convoy-doc-\w+")


def steady(text: str) -> str:
    """The text with `…` for what differs each time; the rest of a table keeps its columns."""
    return VARYING.sub(lambda found: _padded(found, text), text)


def _padded(found: "re.Match[str]", text: str) -> str:
    in_table = text[found.end() : found.end() + 2] == "  "
    return "…" + " " * (len(found[0]) - 1 if in_table else 0)


def squeezed(lines: list[str]) -> list[str]:
    """Without widths: a longer number elsewhere in a column moves everything beside it. What ends, or prints, side by side does
    so in any order."""
    plain = [re.sub(r"\s+", " ", line).strip() for line in lines]
    # How long it took is said from a tenth of a second on.
    plain = [line.removesuffix(" (… s)") if line.startswith("✓ ") else line for line in plain]
    runs = groupby(plain, lambda line: line.startswith("✓ ") or " … | " in line)
    return [line for together, run in runs for line in (sorted(run) if together else run)]


def printed_lines(printed: str, place: Path) -> list[str]:
    """What a command printed, without the marks of the one who played it, and with `~` for where that was."""
    text = HOME.sub("~", printed.split("\n@end ")[0].strip("\n").replace(str(place), "~"))
    return [steady(line.rstrip()) for line in without_pids(text.splitlines())]


def without_pids(lines: list[str]) -> list[str]:
    """The lines with `…` below `PID` at the head of a table."""
    result: list[str] = []
    column = -1
    for line in lines:
        column = line.find(" PID ") + 1 if " PID " in line else -1 if not line.strip() else column
        cell = re.compile(r"\d+(?= |$)").match(line, column) if column > 0 else None
        result.append(line[:column] + "…".ljust(len(cell[0])) + line[cell.end() :] if cell else line)
    return result


def rewritten(text: str, outputs: dict[int, list[str]]) -> str:
    """The document with these outputs below its commands."""
    number = -1

    def block(found: "re.Match[str]") -> str:
        nonlocal number
        if found["language"] != "console":
            return found[0]
        lines: list[str] = []
        for line in found["text"].splitlines():
            if line.startswith("$ "):
                number += 1
                lines += [line, *outputs[number]]
        return "```console\n" + "".join(f"{line}\n" for line in lines) + "```"

    return FENCE.sub(block, text)


@pytest.mark.slow
@pytest.mark.timeout(TEST_S, func_only=True)
@pytest.mark.parametrize("document", RECORDED, ids=name_of)
def test_a_recorded_document_shows_all_that_its_commands_print(
    document: Path, tmp_path: Path, alone: None, request: pytest.FixtureRequest
) -> None:
    """Every line that each command printed stands below it, in order, and no other."""
    commands = typed(document)
    assert all(free_soon(port) for port in ports_of(commands)), "something else listens on the ports of this document"
    ran, printed = play(commands, tmp_path, fleet=None, author=("Ada", "ada@example.com"))
    outputs = checked(commands, ran, printed, tmp_path)
    if request.config.getoption("--update"):
        document.write_text(rewritten(document.read_text(), outputs))
        commands = typed(document)
    for number, command in enumerate(commands):
        shown = [line for line in outputs[number] if line.strip()]
        assert squeezed(list(command.shown)) == squeezed(shown), f"`{command.line}` printed something else"


def checked(commands: list[Typed], ran: dict[int, int], printed: dict[int, str], place: Path) -> dict[int, list[str]]:
    """What each printed; every one of them was reached and ended as the document says."""
    outputs: dict[int, list[str]] = {}
    for number, command in enumerate(commands):
        assert number in ran, f"`{command.line}` was not reached:\n{printed.get(number - 1, '')[-2000:]}"
        assert ran[number] == command.exit_code, f"`{command.line}` exited with {ran[number]}:\n{printed[number][-2000:]}"
        outputs[number] = printed_lines(printed[number], place)
        assert len(outputs[number]) <= MOST_LINES, f"`{command.line}` printed {len(outputs[number])} lines: show less of it"
    return outputs


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("revision 4d1f0c2 after 12.5 s", "revision … after … s"),
        ("2026-01-31 10:20:30  created", "…                    created"),
        ("hello from version 2, port 20017", "hello from version 2, port …"),
        ("3 to create, 1 to replace, 18000 stays", "3 to create, 1 to replace, 18000 stays"),
        ("synced for 59s, created 1m ago", "synced for …, created … ago"),
        ("facade of 42 beads", "facade of 42 beads"),
    ],
)
def test_only_what_varies_is_left_out(text: str, shown: str) -> None:
    """Counts, names and fixed ports are what a reader is to see; ids and times would differ each time."""
    assert steady(text) == shown


def test_processes_are_numbered_anew_each_time() -> None:
    """What stands below PID varies, and only that."""
    lines = ["  HOST   PID  RESTARTS", "  local  271  3", "", "  local  271  3"]
    assert without_pids(lines) == ["  HOST   PID  RESTARTS", "  local  …    3", "", "  local  271  3"]


def test_outputs_are_written_below_their_commands() -> None:
    """Commands and everything outside of console blocks stay; old output goes."""
    between = "```\n\n```sh\n# not played: shown\n```\n"
    text = f"words\n\n```console\n$ one\nold\n$ two # exits with 1\n{between}```console\n$ three\n```\n"
    new = rewritten(text, {0: ["1"], 1: ["2", "2"], 2: []})
    assert new == f"words\n\n```console\n$ one\n1\n$ two # exits with 1\n2\n2\n{between}```console\n$ three\n```\n"
