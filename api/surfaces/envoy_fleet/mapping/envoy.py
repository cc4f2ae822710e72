"""Reads and writes Envoy's JSON as documents hold it: members in either spelling, durations, numbers."""

import re
import uuid
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

SECONDS = re.compile(r"(-?[0-9]{1,12})(?:\.([0-9]{1,9}))?s")


# A list of 20 clusters asks 600 times, for a few dozen names.
@lru_cache(1024)
def camel(name: str) -> str:
    """`maxConnections` for max_connections: both are Envoy's."""
    first, *more = name.split("_")
    return first + "".join(word.capitalize() for word in more)


def get(message: Any, name: str) -> Any:
    """A member, however it is spelled; None where it is not there, or where this is no message."""
    if not isinstance(message, Mapping):
        return None
    return message[name] if name in message else message.get(camel(name))


def items(message: Any, name: str) -> list[Any]:
    found = get(message, name)
    return list(found) if isinstance(found, list) else []


def number(value: Any) -> int | None:
    """A whole number, which JSON may write as text."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 20:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def duration(ms: int) -> str:
    """`0.250s` for 250."""
    return f"{ms // 1000}s" if ms % 1000 == 0 else f"{ms // 1000}.{ms % 1000:03}s"


def milliseconds(value: Any) -> int | None:
    found = SECONDS.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    return int(found[1]) * 1000 + int((found[2] or "").ljust(3, "0")[:3])


def without_none(message: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in message.items() if value is not None}


def spelled(there: Any, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """A merge patch in the spelling of what is there: in both spellings at once a member would be there twice."""
    found: dict[str, Any] = {}
    for name, value in wanted.items():
        known = camel(name) if isinstance(there, Mapping) and name not in there and camel(name) in there else name
        old = there.get(known) if isinstance(there, Mapping) else None
        found[known] = spelled(old, value) if isinstance(value, dict) and isinstance(old, Mapping) else value
    return found


def entry_id(configuration: str, which: str, name: str, tie: str = "") -> str:
    """The id of a listener or a route of a Configuration: its name there is all that it is known by."""
    return str(uuid.uuid5(uuid.UUID(configuration), f"{which}/{name}/{tie}"))
