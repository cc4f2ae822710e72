"""What somebody outside is to be told: which events are news, and what of them is put into one message."""

import base64
import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.core.show_events import Happened, wanted

# What of a burst stands in one message; the rest is counted.
MOST_ITEMS = 50
LONGEST_BACKOFF_S = 900.0
LONGEST_MESSAGE = 500
# After these, the same trouble is news again.
GOOD = frozenset(
    {"status.synced", "health.healthy", "revision.accepted", "action.done", "fleet.converged", "rollout.completed"}
)
# Nobody is told about the telling: each message would be the reason for another.
OURS = "Notification/"


@dataclass(frozen=True, slots=True)
class Told:
    """What a Notification has told last about one subject, and when (Unix seconds)."""

    state: str
    at: float


# (subject, topic) ⇒ what was told.
Memory = Mapping[tuple[str, str], Told]


@dataclass(frozen=True, slots=True)
class News:
    """What is to be told now, and what is to be remembered: (subject, topic) ⇒ what was told, or None for nothing any more."""

    items: tuple[Happened, ...]
    more: int
    told: Mapping[tuple[str, str], Told | None]


def topic(kind: str) -> str:
    """What belongs together: `status` of `status.failed`."""
    return kind.partition(".")[0]


def subjects(events: Iterable[Happened]) -> set[tuple[str, str]]:
    return {(one.ref, topic(one.kind)) for one in events}


def news(
    events: Sequence[Happened],
    on: Sequence[str],
    about: Callable[[str], bool],
    told: Memory,
    repeat_after_s: float,
    most: int = MOST_ITEMS,
) -> News:
    """Of these events, in their order. The same state of the same subject is news once, until it was good in between or
    happens again after so long; `about` says which subjects are meant."""
    known: dict[tuple[str, str], Told | None] = {}
    items: list[Happened] = []
    for one in events:
        if one.ref.startswith(OURS):
            continue
        key = (one.ref, topic(one.kind))
        before = known[key] if key in known else told.get(key)
        chosen = wanted(one.kind, on) and about(one.ref)
        repeats = before is not None and before.state == one.kind and abs(one.at - before.at) < repeat_after_s
        if chosen and not repeats:
            items.append(one)
            known[key] = Told(one.kind, one.at)
        elif one.kind in GOOD and before is not None and before.state != one.kind:
            known[key] = None
    return News(tuple(items[:most]), max(0, len(items) - most), known)


def message(name: str, installation: str, found: News, first: int, at: float) -> dict[str, Any]:
    """As it is kept and as a webhook carries it. Its id is the same whenever it is made of the same events, so that whoever
    is told twice can know."""
    items = [
        {"kind": one.kind, "ref": one.ref, "message": one.message[:LONGEST_MESSAGE], "at": one.at, "number": one.number}
        for one in found.items
    ]
    key = [installation, name, str(first), *(f"{one['kind']}:{one['number']}" for one in items)]
    id = hashlib.sha256("\0".join(key).encode()).hexdigest()[:32]
    return {"id": id, "notification": name, "installation": installation, "at": at, "events": items, "more": found.more}


def each(name: str, installation: str, found: News, uids: Callable[[str], str], at: float) -> list[dict[str, Any]]:
    """A message of its own for each event, with the uid of what it is about ("" where that is not declared any more)."""
    made = []
    for place, item in enumerate(found.items):
        # What is sent first was first: they are handed out in the order of `at`.
        one = message(name, installation, News((item,), 0, {}), item.number, at + place * 1e-4)
        one["events"][0]["uid"] = uids(item.ref)
        made.append(one)
    return made


def is_message(body: Mapping[str, Any]) -> bool:
    """Whether this is what `message` made: it was kept meanwhile where others may have written."""
    events = body.get("events")
    return (
        all(isinstance(body.get(name), str) for name in ("id", "notification", "installation"))
        and _is_number(body.get("at"))
        and _is_number(body.get("more"))
        and isinstance(events, list)
        and all(
            isinstance(one, dict)
            and all(isinstance(one.get(name), str) for name in ("kind", "ref", "message"))
            and _is_number(one.get("at"))
            for one in events
        )
    )


def _is_number(value: object) -> bool:
    return isinstance(value, float | int) and abs(value) < 2**53


def signature(secret: bytes, id: str, at: int, body: bytes) -> str:
    """https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md"""
    key = secret.strip()
    if key.startswith(b"whsec_"):
        try:
            key = base64.b64decode(key.removeprefix(b"whsec_"), validate=True)
        except ValueError:
            key = secret.strip()
    signed = hmac.new(key, f"{id}.{at}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"


def backoff_s(tries: int) -> float:
    """How long to wait after so many tries: from five seconds to a quarter of an hour."""
    return float(min(LONGEST_BACKOFF_S, 5.0 * 2 ** min(tries - 1, 10)))
