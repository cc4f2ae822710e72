"""Words what instances have printed: as it was where a program reads it, harmless where a terminal would obey it."""

import base64
import re
from datetime import UTC, datetime
from typing import Any

from reconciler.core.running import LogLine
from reconciler.core.show_layout import harmless

# A line on a screen: whoever wants more of it has a pipe.
MOST_SHOWN = 8192
# Colours alone, https://ecma-international.org/publications-and-standards/standards/ecma-48/ 8.3.117: nothing moves by them.
COLOURS = re.compile("(\x1b\\[[0-9;:]{0,40}m)")
PLAIN = "\x1b[0m"


def moment(at: float | None) -> str:
    """In UTC, to the tenth of a second; "-" where nobody knows."""
    if at is None or not 0 <= at < 2**37:
        return "-"
    shown = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return shown.removesuffix("+00:00")[:-2] + "Z"


def log_text(line: LogLine, *, colors: bool, times: bool) -> str:
    """For a terminal: nothing of it is obeyed but colours, and those end with the line."""
    text = line.text.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8", "replace")
    more = len(text) - MOST_SHOWN
    parts = COLOURS.split(text[:MOST_SHOWN])
    shown = "".join(
        (part if colors else "") if place % 2 else "\t".join(map(harmless, part.split("\t")))
        for place, part in enumerate(parts)
    )
    if colors and len(parts) > 1:
        shown += PLAIN
    if more > 0:
        shown += f"… ({more:,} more characters)"
    return f"{moment(line.at)} {shown}" if times else shown


def log_bytes(line: LogLine, prefix: str, *, times: bool, begins: bool) -> bytes:
    """For a pipe or a file: what was printed, byte by byte. `begins`: the piece before it was the end of a line."""
    head = f"{prefix}{f'{moment(line.at)} ' if times else ''}".encode() if begins else b""
    # What stands between pieces of other streams must end where it is.
    tail = b"\n" if prefix and not line.whole else b""
    return head + line.text + tail


def log_json(line: LogLine, ref: str, instance: str, host: str) -> dict[str, Any]:
    """`bytes` (base64) stands there where the text cannot say what was printed; `partial` where the line goes on."""
    raw = line.text.removesuffix(b"\n")
    found: dict[str, Any] = {"at": line.at, "ref": ref, "instance": instance, "host": host}
    try:
        found["text"] = raw.decode()
    except UnicodeDecodeError:
        found |= {"text": raw.decode("utf-8", "replace"), "bytes": base64.b64encode(raw).decode()}
    return found if line.whole else found | {"partial": True}
