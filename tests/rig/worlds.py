"""Random worlds, as plain lists of events; and a failing one made smaller as long as it breaks the same law."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .making import Event, Maker
from .play import Report, play

World = dict[str, Any]
FOLDER = Path(__file__).parent / "worlds"


def random_world(seed: int) -> World:
    """The same for the same seed."""
    return {
        "seed": seed,
        "events": Maker(seed).events(),
    }


def law_of(report: Report) -> str:
    return report.broken[0][0] if report.broken else ""


def shrink(world: World, law: str, tries: int = 300, run: Callable[[World], Report] = play) -> World:
    """Fewer events, as long as the same law is broken: chunks are left out, from half of them down to each."""
    seed = world["seed"]
    events: list[Event] = list(world["events"])
    left = tries

    def breaks(some: Sequence[Event]) -> bool:
        nonlocal left
        left -= 1
        return left >= 0 and any(name == law for name, _ in run({"seed": seed, "events": list(some)}).broken)

    size = max(1, len(events) // 2)
    while left > 0:
        at, smaller = 0, False
        while at < len(events) and left > 0:
            some = events[:at] + events[at + size :]
            if breaks(some):
                events, smaller = some, True
            else:
                at += size
        if size == 1 and not smaller:
            break
        size = size if smaller and size == 1 else max(1, size // 2)
    return {"seed": seed, "events": _simpler(events, breaks)}


def _simpler(events: list[Event], breaks: Callable[[Sequence[Event]], bool]) -> list[Event]:
    """Fewer documents in each commit."""
    for n, event in enumerate(events):
        if event["do"] != "commit":
            continue
        for ref in sorted(event.get("set", {})):
            fewer = {**events[n], "set": {other: words for other, words in events[n]["set"].items() if other != ref}}
            some = [*events[:n], fewer, *events[n + 1 :]]
            if breaks(some):
                events = some
    return events


def written(world: World, law: str, what: str) -> str:
    """As a file that is played for ever."""
    lines = ",\n  ".join(json.dumps(event) for event in world["events"])
    return (
        f'{{"seed": {world["seed"]},\n "law": {json.dumps(law)},\n "what": {json.dumps(what)},\n "events": [\n  {lines}\n ]}}\n'
    )
