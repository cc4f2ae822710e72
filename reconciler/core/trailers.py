"""The trailers of a commit's message, by git's own rules: only the block at its end counts."""

import re
from dataclasses import dataclass

# What git itself writes there, and takes as a sign that the block is one: trailer.c, https://git-scm.com/docs/git-interpret-trailers
GIT_WRITES = ("Signed-off-by: ", "(cherry picked from commit ")
# What is read of a commit's message: ten times the longest that anybody reads. A thousand of them have to fit into memory.
LONGEST_MESSAGE = 64 * 1024
# By which Convoy knows the commits that it made for somebody who asked over the API: which request, and whose.
REQUEST, ACCOUNT = "Convoy-Request", "Convoy-Account"
TOKEN = re.compile(r"([A-Za-z0-9-]+)[ \t]*:")
SPACES = " \t\r\v\f"
# What of a message is kept beside what it changed.
LONGEST_DESCRIPTION = 500


@dataclass(frozen=True, slots=True)
class Trailer:
    """`Token: value`, the value in one line."""

    token: str
    value: str


def trailers(message: str) -> tuple[Trailer, ...]:
    """In their order. What is no trailer in a block that is one (a quarter of it may be such) is left out."""
    found: list[Trailer] = []
    last = False
    for line in _block(message):
        if line.startswith("#"):
            # Left out, and what is indented below it belongs to nothing, as in git.
            last = False
            continue
        token = TOKEN.match(line)
        if line[:1] in SPACES and last:
            found[-1] = Trailer(found[-1].token, f"{found[-1].value} {line.strip(SPACES)}".strip())
        elif token is not None:
            found.append(Trailer(token[1], line[token.end() :].strip(SPACES)))
            last = True
        else:
            last = False
    return tuple(found)


def description(message: str) -> str:
    """What a commit says it is for: its title, or all of it where Convoy itself had to cut the title (core/proposal.py)."""
    title, _, rest = message.partition("\n")
    whole = rest.strip("\n").partition("\n")[0]
    if title.endswith("…") and whole.startswith(f"  {title[:-1]}"):
        title = whole.strip()
    return "".join(c if c.isprintable() else " " for c in title[:LONGEST_DESCRIPTION]).strip()


def _block(message: str) -> list[str]:
    """The lines of the last paragraph, where that is a block of trailers; the first paragraph is the title and never one."""
    lines = message.split("\n")
    while lines and (not lines[-1].strip() or lines[-1].startswith("#")):
        lines.pop()
    start = next((number for number in range(len(lines), 0, -1) if not lines[number - 1].strip()), 0)
    if not start:
        return []
    block = lines[start:]
    trailing, other, continued, recognized = 0, 0, 0, False
    # From the end, as git does: a line that begins with a space belongs to the trailer above it, if there is one.
    for line in reversed(block):
        if line.startswith("#"):
            other, continued = other + continued, 0
        elif line.startswith(GIT_WRITES):
            trailing, continued, recognized = trailing + 1, 0, True
        elif TOKEN.match(line):
            trailing, continued = trailing + 1, 0
        elif line[:1] in SPACES:
            continued += 1
        else:
            other, continued = other + 1 + continued, 0
    other += continued
    if (recognized and trailing * 3 >= other) or (trailing and not other):
        return block
    return []
