"""Asks the Convoy at work to read its source now, writes down what a person releases of it, and waits until it is so."""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.ask import ask
from reconciler.core.facts import FLEET, Order, OrderVerb
from reconciler.core.model import Ref
from reconciler.core.proposal import Refused
from reconciler.core.release import subject
from reconciler.core.select import Selector
from reconciler.orders import write_down
from reconciler.store import Store

Rows = Mapping[str, Mapping[str, Any]]
LOOK_S = 0.2
# Where nothing has moved for so long, and something waits for a person, more waiting brings nothing.
SETTLED_S = 5.0
# How long the Convoy at work may take to read its source: a forge may be slow.
ASK_S = 60.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person releases: all, or what is selected; `override` is the reason to do it though a window holds it, for
    `for_s` seconds (None: until it is taken back); `retry`: hooks that failed run again."""

    only: Selector
    override: str | None = None
    for_s: float | None = None
    retry: bool = False


def read(run: Path, *, fetch: bool) -> dict[str, Any]:
    """Where the fleet stands, as control's `sync` says it, after a look at the source (`fetch`). Raises AskError."""
    answer: dict[str, Any] = json.loads(ask(run, "sync", b"fetch" if fetch else b"", ASK_S))
    return answer


def readable(found: Mapping[str, Any]) -> None:
    """Raises Refused where there is no revision that could be released."""
    if found["unreadable"]:
        raise Refused("unreadable", str(found["unreadable"]))
    if found["refused"]:
        listed = tuple(map(str, found["problems"][:10]))
        what = f"revision {found['refused'][:12]} is refused, and the one before stays in force"
        raise Refused("refused", "\n  ".join([f"{what}:", *listed]), problems=listed)
    if not found["revision"]:
        raise Refused("no-revision", "no revision is in force yet: `convoy status` says why")


def release(store: Store, found: Mapping[str, Any], wish: Wish, by: str, now: float) -> int:
    """Write down what is released, of which revision, by whom and why; how many orders that were. Raises Refused."""
    manual, override = found["sync"] == "manual", wish.override
    if wish.only and not manual and override is None:
        raise Refused(
            "bad-order",
            "everything is synced by itself here (`sync: automatic`): --only is for `sync: manual`, or with --override-window",
        )
    strange = wish.only.unknown([Ref.parse(name) for name in store.status()])
    if strange:
        raise Refused("bad-order", f"--only: {strange}")
    texts = [",".join(map(str, words)) for words in wish.only.any_of] or [""]
    subjects = [subject(found["revision"], text) for text in texts]
    orders: list[Order] = []

    def give(verb: OrderVerb, about: Iterable[str], until: float | None = None) -> None:
        orders.extend(Order(verb, one, override or "", by, now, until) for one in about)

    if manual:
        give("sync", subjects)
    if override is not None:
        give("override", subjects, None if wish.for_s is None else now + wish.for_s)
    if wish.retry:
        give("retry", [FLEET])
    write_down(store, orders)
    return len(orders)


def wait(
    store: Store,
    revision: str,
    timeout_s: float,
    over: Callable[[], bool],
    told: Callable[[Rows], None] = lambda _: None,
    look_s: float = LOOK_S,
) -> bool | None:
    """True once it is as declared; False where a person is waited for; None when the time was over, or `over` says so."""
    begun = moved = time.monotonic()
    before: object = None
    while not over():
        state, rows = store.state() or {}, store.status()
        told(rows)
        if state.get("revision") == revision and state.get("converged"):
            return True
        now = {ref: (row["sync"], row["health"], row["why"]) for ref, row in rows.items()}
        if now != before:
            before, moved = now, time.monotonic()
        waits = any(row["sync"] in ("failed", "refused", "held", "drifted") for row in rows.values())
        if waits and time.monotonic() - moved > SETTLED_S:
            return False
        if time.monotonic() - begun >= timeout_s:
            return None
        time.sleep(look_s)
    return None
