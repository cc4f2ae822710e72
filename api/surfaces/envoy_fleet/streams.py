"""What is said on a WebSocket of this API (16.1): a client subscribes, and is told what happens, from where it left off.

Documented are `subscribe` with `events` and `filters.proxy_ids`, and `event`. The rest is ours: `after` in both, the number to
go on from after a break; `subscribed`, `unsubscribe`, `unsubscribed`, `ping`, `pong`, `error`, and `lost` for numbers that are
not kept any more. Frames to ping with, and how it ends: api/websocket.py.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from api.events import Events, Message
from api.people import Account, Forbidden, Unknown
from api.reach import Reach
from api.surfaces.envoy_fleet import wire
from api.surfaces.envoy_fleet.happenings import NAMES
from api.surfaces.envoy_fleet.wire import Invalid, NotFound
from reconciler.core.near import did_you_mean, listing
from reconciler.store import StoreError

MOST_PROXY_IDS, LONGEST_ID = 200, 256
# Said at once; more when that is taken.
PIECE = 100
MEMBERS = {
    "subscribe": ("type", "events", "filters", "after"),
    "unsubscribe": ("type", "events"),
    "ping": ("type",),
}
NOT_KEPT = "what happened under these numbers is not kept any more: read anew what you follow"


class Listener:
    """One client's place and wishes (api.websocket.Talk)."""

    def __init__(self, events: Events, reach: Reach, account: Account, again: Callable[[], Account], request_id: str) -> None:
        self._events, self._reach, self._account, self._again = events, reach, account, again
        self._request_id = request_id
        # Name of an event ⇒ the proxies that it is wanted of (ids), None for all.
        self._wanted: dict[str, frozenset[str] | None] = {}
        self._place = 0
        self._due: Iterator[bytes] = iter(())

    def hear(self, text: str) -> Iterable[bytes]:
        try:
            yield self._answer(_read(text))
        except Invalid as why:
            yield self._error(422, "Invalid request parameters", {"field": why.field[:LONGEST_ID], "reason": why.reason})
        except NotFound as why:
            yield self._error(404, str(why))
        except StoreError:
            yield self._error(503, "Convoy's store cannot be read at the moment: try again")

    def tell(self) -> Iterable[bytes]:
        said = 0
        for text in self._due:
            yield text
            said += 1
            if said == PIECE:
                return
        if self._wanted and not said:
            try:
                taken = self._events.take(self._place)
            except StoreError:
                # Nothing is lost by it: it is asked again.
                return
            if taken.lost is not None:
                first, last = taken.lost
                yield _said({"type": "lost", "from": first, "to": last, "after": taken.place, "message": NOT_KEPT})
            self._due = self._texts(taken.told)
            moved, self._place = taken.place != self._place, taken.place
            if moved:
                # It is known only now whether there is anything for this client in it.
                yield from self.tell()

    def over(self) -> str:
        try:
            now = self._again()
        except (Unknown, Forbidden):
            return "the token is no longer good for this: connect again with another"
        except StoreError:
            return ""
        return "" if now.tenant == self._account.tenant else "the account is another tenant's now: connect again"

    def _texts(self, told: Iterable[tuple[int, tuple[Message, ...]]]) -> Iterator[bytes]:
        for number, messages in told:
            for place, one in enumerate(messages, 1):
                if one.tenant != self._account.tenant or one.name not in self._wanted:
                    continue
                proxies = self._wanted[one.name]
                if proxies is None or proxies & one.about:
                    # Who goes on from the middle of an event hears all of it again.
                    after = number if place == len(messages) else number - 1
                    yield _said({"type": "event", "event": one.name, "data": one.data, "after": after})

    def _answer(self, said: Mapping[str, Any]) -> bytes:
        kind = said["type"]
        if kind == "ping":
            return _said({"type": "pong"})
        names = _names(said, needed=kind == "subscribe")
        if kind == "unsubscribe":
            for name in names or tuple(self._wanted):
                self._wanted.pop(name, None)
            return _said({"type": "unsubscribed", "events": sorted(self._wanted)})
        proxies, after = self._proxies(said.get("filters")), _after(said)
        if after is not None:
            self._place, self._due = after, iter(())
        elif not self._wanted:
            self._place = self._events.newest()
        self._wanted |= dict.fromkeys(names, proxies)
        return _said({"type": "subscribed", "events": sorted(self._wanted), "after": self._place})

    def _proxies(self, filters: Any) -> frozenset[str] | None:
        """The ids of the proxies that are named, by any name of theirs. Raises Invalid, NotFound and StoreError."""
        if filters is None:
            return None
        if not isinstance(filters, dict):
            raise Invalid("filters", "must be an object")
        unknown = min((str(name) for name in filters if name != "proxy_ids"), default=None)
        if unknown is not None:
            raise Invalid(f"filters.{unknown}", "is not known here: there is proxy_ids")
        listed = filters.get("proxy_ids")
        if listed is None:
            return None
        if not isinstance(listed, list) or not 0 < len(listed) <= MOST_PROXY_IDS:
            raise Invalid("filters.proxy_ids", f"must be a list of 1 to {MOST_PROXY_IDS} proxies")
        found = set()
        for place, id in enumerate(listed):
            if not isinstance(id, str) or not id.isprintable() or len(id) > LONGEST_ID:
                raise Invalid(f"filters.proxy_ids[{place}]", "must be a UUID, a name, or the first 8 digits or more of a UUID")
            one = self._reach.fleet.find("Proxy", id, self._account.tenant)
            if one is None:
                raise NotFound("proxy")
            found.add(one.uid)
        return frozenset(found)

    def _error(self, status: int, message: str, details: Mapping[str, str] | None = None) -> bytes:
        error = {
            "code": wire.CODES[status],
            "message": message,
            "details": dict(details or {}),
            "request_id": self._request_id,
            "timestamp": wire.moment(time.time()),
        }
        return _said({"type": "error", "error": error})


def _said(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message, ensure_ascii=False).encode("utf-8", "replace")


def _read(text: str) -> dict[str, Any]:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise Invalid("message", "must be a JSON object")
    kind = said.get("type")
    if not isinstance(kind, str) or kind not in MEMBERS:
        raise Invalid("type", f"must be one of {', '.join(MEMBERS)}")
    unknown = min((str(name) for name in said if name not in MEMBERS[kind]), default=None)
    if unknown is not None:
        known = MEMBERS[kind]
        raise Invalid(unknown, f"is not known here: {did_you_mean(unknown, known, f'there is {listing(known)}')}")
    return said


def _names(said: Mapping[str, Any], *, needed: bool) -> tuple[str, ...]:
    listed = said.get("events")
    if listed is None and not needed:
        return ()
    if not isinstance(listed, list) or not listed or len(listed) > len(NAMES):
        raise Invalid("events", f"must be a list of some of {', '.join(NAMES)}")
    for place, name in enumerate(listed):
        if name not in NAMES:
            raise Invalid(f"events[{place}]", f"must be one of {', '.join(NAMES)}")
    return tuple(listed)


def _after(said: Mapping[str, Any]) -> int | None:
    after = said.get("after")
    if after is None:
        return None
    if not isinstance(after, int) or isinstance(after, bool) or not 0 <= after < 2**53:
        raise Invalid("after", "must be a number that an event, or an answer here, gave as its `after`")
    return after
