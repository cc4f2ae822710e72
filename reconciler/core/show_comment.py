"""Words the one comment that Convoy keeps on a pull request: for which commit it is, and what had to be left out of it."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from reconciler.core.show_layout import harmless
from reconciler.core.show_problems import code, short

# A line longer than this is nobody's reading, and alone could crowd out all others.
LONGEST_LINE = 4_000
# Kept free for what a cut comment ends with.
ROOM_FOR_END = 1_000
# No two hyphens in a row, which would end the comment of HTML that the mark stands in.
NAME = re.compile(r"(?=.{1,63}$)[a-z0-9]+(?:[.-][a-z0-9]+)*")
REVISION = re.compile(r"(?=.{1,128}$)[0-9A-Za-z]+(?:[._-][0-9A-Za-z]+)*")
MARK = re.compile(
    r"<!-- convoy:(?P<name>[a-z0-9.-]+) revision=(?P<revision>[0-9A-Za-z._-]+) run=(?P<run>\d+(?:\.\d+)*)"
    r"(?: next=(?P<next>[0-9A-Za-z._-]+))? -->"
)
FENCE = re.compile(r" {0,3}(?P<fence>`{3,}|~{3,})(?P<info>[^`]*)$")
# What forges and their bots take for an order (`/merge`, `/close`) when a line begins with it.
ORDER = re.compile(r"^(?P<before>[\s>*+-]*)/(?=\w)")
OUTDATED = "> **Out of date.**"
CUT = "**Cut here**"


@dataclass(frozen=True, slots=True)
class Mark:
    """What a comment of ours says of itself, in a line that forges do not show.

    `name` tells our comments on one pull request apart. `run` orders the runs that write it: an older one does not write over
    a newer one's. `next`, where it is not empty, is a newer commit for which nothing is known yet.
    """

    name: str
    revision: str
    run: tuple[int, ...] = (0,)
    next: str = ""

    def __str__(self) -> str:
        later = f" next={self.next}" if self.next else ""
        return f"<!-- convoy:{self.name} revision={self.revision} run={'.'.join(map(str, self.run))}{later} -->"


def read_mark(body: str) -> Mark | None:
    """The mark of a comment: it is the first line or none, so that nothing a fleet holds can pass for one."""
    found = MARK.fullmatch(body.split("\n", 1)[0].strip())
    if found is None:
        return None
    run = tuple(int(part[:18]) for part in found["run"].split("."))
    return Mark(found["name"], found["revision"], run, found["next"] or "")


def comment(markdown: str, mark: Mark, limit: int, *, more: str = "", title: str = "Fleet") -> str:
    """The comment's body, in at most `limit` bytes. `more` is the address where the whole of it, or the run, can be seen."""
    return _whole(f"### {title}: {code(short(mark.revision))}", markdown, mark, limit, more)


def summary(markdown: str, mark: Mark, limit: int, *, why: str = "", title: str = "Fleet") -> str:
    """The same for a page of the run's own; `why` says why it stands there."""
    head = f"### {title}: {code(short(mark.revision))}" + (f"\n\n{why}" if why else "")
    return _whole(head, markdown, mark, limit, "")


def _whole(head: str, markdown: str, mark: Mark, limit: int, more: str) -> str:
    text = markdown.strip() or "**No plan could be made.** The run's log says why."
    foot = f"\n\n<sub>[the run that wrote this]({more})</sub>" if _address(more) else ""
    start = f"{mark}\n{head}\n\n"
    room = limit - _size(start) - _size(foot)
    return start + cut(text, room, more) + foot + "\n"


def outdated(body: str, mark: Mark, limit: int) -> str:
    """The comment as it is, below a line which says that `mark.next` has come and is not in it."""
    rest = body.split("\n", 1)[1] if "\n" in body else ""
    if rest.startswith(OUTDATED):
        rest = rest.split("\n\n", 1)[1] if "\n\n" in rest else ""
    line = f"{OUTDATED} {code(short(mark.next))} has come since; this is for {code(short(mark.revision))}."
    start = f"{mark}\n{line}\n\n"
    return start + cut(rest.strip(), limit - _size(start) - 1, "") + "\n"


def cut(markdown: str, room: int, more: str) -> str:
    """Whole lines, up to `room` bytes; it is said how much is missing and where it is.

    Where that costs less than half of the room, the cut is made where nothing is open; else what is open is closed.
    """
    # A lone carriage return ends a line for Markdown as well.
    lines = list(_tame(re.split(r"\r\n?|\n", markdown)))
    if sum(_size(line) + 1 for line in lines) <= room + 1:
        return "\n".join(lines)
    kept: list[str] = []
    used, border = 0, 0
    open_parts: list[str] = []
    for line in lines:
        after = _opened(line, open_parts)
        used += _size(line) + 1
        if used + sum(len(part) + 2 for part in after) > room - ROOM_FOR_END:
            break
        kept.append(line)
        open_parts = after
        if not open_parts and used > (room - ROOM_FOR_END) // 2:
            border = len(kept)
    shown = border or len(kept)
    ends = [] if border else list(reversed(open_parts))
    where = f": [the whole of it]({more})" if _address(more) else "; the run has the whole of it"
    said = f"{CUT}, {len(lines) - shown:,} lines are not shown{where}."
    return "\n".join([*kept[:shown], *ends, "", said])


def _opened(line: str, before: list[str]) -> list[str]:
    """What is open after this line, each by how it is closed: code, folded parts."""
    fence = before[-1] if before and before[-1][0] in "`~" else ""
    found = FENCE.match(line)
    if fence:
        closes = found is not None and not found["info"].strip() and found["fence"].startswith(fence)
        return before[:-1] if closes else before
    if found is not None:
        return [*before, found["fence"]]
    parts = list(before)
    for tag in re.findall(r"<(/?)details\b", line):
        if not tag:
            parts.append("</details>")
        elif "</details>" in parts:
            parts.remove("</details>")
    return parts


def _tame(lines: Iterable[str]) -> Iterator[str]:
    """No line gives an order to a forge, and none is so long that it hides the others."""
    open_parts: list[str] = []
    for line in lines:
        if len(line) > LONGEST_LINE:
            said = f"… ({len(line):,} characters that are not shown)"
            line = f"| {said} |" if line.lstrip().startswith("|") else said
        in_code = bool(open_parts) and open_parts[-1][0] in "`~"
        open_parts = _opened(line, open_parts)
        # In code an entity would be shown as it is written; a joint without width is not shown at all.
        yield ORDER.sub(r"\g<before>" + ("\u200b/" if in_code else "&#47;"), line, count=1)


def logged(markdown: str) -> Iterator[str]:
    """The text for a run's log: no line begins with what a runner obeys (`::…`, `##[…`)."""
    for line in re.split(r"\r\n?|\n", markdown.strip()):
        shown = harmless(line if len(line) <= LONGEST_LINE else line[:LONGEST_LINE] + " …")
        yield "│ " + shown.replace("##[", "## [").replace("::", ": :")


def _address(url: str) -> bool:
    """Only what is an address and ends where a Markdown link does."""
    return re.fullmatch(r"https?://[^\s()<>\[\]\"'`\\]+", url) is not None


def _size(text: str) -> int:
    return len(text.encode(errors="replace"))
