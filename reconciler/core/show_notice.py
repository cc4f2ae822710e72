"""Words a message for whoever is told outside: a title, lines, and the forms that Slack and forges take."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reconciler.core.show_layout import Block, Line, Span, Table, harmless, text
from reconciler.core.show_logs import moment
from reconciler.core.show_problems import count, short

# https://docs.slack.dev/reference/block-kit/blocks: a section's text, and sections of a message.
SECTION, SECTIONS = 2900, 20
LONGEST_TITLE = 150
REVISION = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# What a commit is worth ⇒ by which event.
WORTH: Mapping[str, tuple[str, str]] = {
    "revision.refused": ("failure", "refused: the fleet stays on what was good before"),
    "revision.accepted": ("pending", "accepted, and being made so"),
    "fleet.converged": ("success", "the fleet is as declared"),
}


def one_line(words: str) -> str:
    return harmless(" ".join(words.split()))


def title(message: Mapping[str, Any]) -> str:
    """One line, bounded."""
    events = message["events"]
    if not events:
        return "convoy: a test"
    first = events[0]
    ref = short(first["ref"]) if REVISION.fullmatch(first["ref"]) else first["ref"]
    others = len(events) - 1 + int(message["more"])
    more = f" and {count(others, 'more event')}" if others else ""
    return one_line(f"convoy: {first['kind']} {ref}"[: LONGEST_TITLE - len(more)]) + more


def lines(message: Mapping[str, Any]) -> Iterator[str]:
    """A line for each event, and one for those that are not listed."""
    if not message["events"]:
        yield f"This is a test of {one_line(message['notification'])}: whoever reads it would be told."
    for one in message["events"]:
        said = f": {one_line(one['message'])}" if one["message"] else ""
        yield f"{moment(one['at'])}  {one_line(one['kind'])}  {one_line(one['ref'])}{said}"
    if message["more"]:
        yield f"… and {message['more']:,} more: `convoy events` lists them"


def slack(message: Mapping[str, Any]) -> dict[str, Any]:
    """As plain text: no name of anything is a mention, a link or an emoji. Only where blocks are not shown is `text`."""
    escaped = title(message).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    sections: list[str] = [title(message)]
    for line in lines(message):
        if len(sections[-1]) + len(line) + 1 > SECTION and len(sections) < SECTIONS:
            sections.append(line[:SECTION])
        elif len(sections[-1]) + len(line) + 1 <= SECTION:
            sections[-1] += f"\n{line}"
    blocks = [{"type": "section", "text": {"type": "plain_text", "text": each, "emoji": False}} for each in sections]
    return {"text": escaped, "blocks": blocks, "unfurl_links": False, "unfurl_media": False}


def statuses(message: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Revision ⇒ what it is worth, and why: the last that is known of each. Folders have no commits."""
    found: dict[str, tuple[str, str]] = {}
    for one in message["events"]:
        if one["kind"] in WORTH and REVISION.fullmatch(one["ref"]):
            state, words = WORTH[one["kind"]]
            said = one_line(one["message"])
            found[one["ref"]] = (state, said if state == "failure" and said else words)
    return found


def tries(rows: Sequence[Mapping[str, Any]]) -> Iterator[Block]:
    """The log of what was told to one receiver, newest first."""
    if not rows:
        yield text("nothing has been told yet")
        return
    listed = tuple(
        (
            (Span(moment(row["at"]), "dim"),),
            (Span(row["outcome"], "good" if row["outcome"] == "told" else "bad"),),
            (Span(one_line(row["events"]) or "a test"),),
            (Span(f"try {row['try']}", "dim"),),
            (Span(f"{row['seconds']:.1f} s", "dim"),),
            (Span(one_line(row["error"])),),
        )
        for row in rows
    )
    yield Table(("WHEN", "OUTCOME", "EVENTS", "", "TOOK", "WHY"), listed)


def untold(rows: Sequence[Mapping[str, Any]]) -> Iterator[Block]:
    """Notifications with messages that did not arrive, for `convoy status`."""
    for row in rows:
        parts = [
            f"{row['dead']:,} given up" if row["dead"] else "",
            f"{row['waiting']:,} tried again" if row["waiting"] else "",
        ]
        head: Line = (Span("not told", "bad" if row["dead"] else "wait"), Span(f": {row['notification']}, "))
        yield text(*head, " and ".join(part for part in parts if part), f": {row['error']}", hang=2)
