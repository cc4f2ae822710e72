"""One type on one stream: what is subscribed, what the client holds, what is on its way, and what it refused."""

from collections.abc import Collection
from dataclasses import dataclass, field
from types import MappingProxyType

from reconciler.xds.blame import Blame
from reconciler.xds.entries import EMPTY, NO_NAMES, Entries, Entry, differing, missing, select
from reconciler.xds.snapshots import Body, Library, merged

# A repeated body must not reuse the nonce of one that a late answer may still speak of.
NONCES_KEPT = 4


@dataclass(slots=True)
class Flight:
    """A response that was sent and not yet answered."""

    body: Body
    at: float
    late: bool = False


def nothing() -> Entries:
    return EMPTY


@dataclass(slots=True)
class Topic:
    """Pure state; the rules that move it are in `stream.py`, `sotw.py` and `delta.py`."""

    type: str
    url: str
    library: Library
    wildcard: bool = False
    # Whether names were ever given: before that, an empty list means everything.
    explicit: bool = False
    names: frozenset[str] = NO_NAMES
    # What the client should hold of what it subscribes to. The same object as `expected` when there is nothing to send.
    goal: Entries = field(default_factory=nothing)
    held: Entries = field(default_factory=nothing)
    # What it will hold once everything on its way is accepted.
    expected: Entries = field(default_factory=nothing)
    flight: list[Flight] = field(default_factory=list)
    # Names that must be answered although nothing changed, and whether the type itself must be.
    owed: frozenset[str] = NO_NAMES
    first: bool = False
    # A state-of-the-world client that had something before this stream; what that was may be unknown.
    returning: bool = False
    blame: Blame = field(default_factory=Blame)
    # Names of which the client must be told again what it has, or that it has nothing.
    undo: frozenset[str] = NO_NAMES
    nonces: tuple[str, ...] = ()

    def aim(self, goal: Entries) -> None:
        """Take this as what the client should come to hold."""
        if goal is self.goal and self.expected is goal and not self.blame:
            return
        self.goal = goal
        if self.blame:
            self.blame.prune(goal)
        self.expected = self.canonical(self.expected)
        self.held = self.canonical(self.held)

    def canonical(self, entries: Entries) -> Entries:
        """The goal itself where these are equal to it, so that a thousand streams hold one mapping."""
        if entries is self.goal:
            return entries
        memo = self.library.memo
        if len(entries) == len(self.goal) and not memo(differing, entries, self.goal) and not memo(missing, entries, self.goal):
            return self.goal
        return entries

    def subscribe(self, names: frozenset[str]) -> None:
        """Make this the set of names; what the client no longer asks for it no longer holds."""
        self.names = self.library.names(names)
        self.trim()

    def trim(self) -> None:
        if self.wildcard:
            return
        self.held = self.library.memo(select, self.held, self.names)
        self.expected = self.library.memo(select, self.expected, self.names)
        self.owed = self.owed & self.names if self.owed else NO_NAMES

    @property
    def active(self) -> bool:
        return self.wildcard or bool(self.names)

    def launch(self, body: Body, now: float) -> None:
        """Note that this response is on its way."""
        self.flight.append(Flight(body, now))
        self.nonces = (*self.nonces[1 - NONCES_KEPT :], body.nonce)
        if self.owed:
            self.owed -= {entry.name for entry in body.entries} | set(body.removed) | set(body.errors)
        self.undo = NO_NAMES
        self.first = self.returning = False
        self.expected = self.canonical(self.library.memo(merged, self.expected, body))

    def salted(
        self, full: bool, delta: bool, entries: tuple[Entry, ...], removed: tuple[str, ...], errors: tuple[str, ...]
    ) -> Body:
        """The shared response with this content, under a nonce that was not used lately."""
        salt = 0
        while True:
            body = self.library.body(delta, full, self.type, self.url, entries, removed, errors, salt)
            if body.nonce not in self.nonces:
                return body
            salt += 1

    def accept(self, index: int) -> Flight:
        """The client took flight `index` in, and with it all before it: it answers in order."""
        flight = self.flight[index]
        if len(self.flight) == 1 and not self.blame:
            self.flight.clear()
            self.held = self.expected
            return flight
        for one in self.flight[: index + 1]:
            self.held = self.library.memo(merged, self.held, one.body)
            if self.blame:
                self.blame.clear(one.body.entries)
        del self.flight[: index + 1]
        self._landed()
        return flight

    def refuse(self, index: int, names: Collection[str], now: float) -> tuple[Entry, ...]:
        """The client refused flight `index`: these names of it, or it did not say which. Gives back what is known as refused.

        What it does not name of a response in which it names some took effect; when it names none, nothing is assumed to.
        """
        if index:
            self.accept(index - 1)
        body = self.flight.pop(0).body
        self.blame.at = now
        brought = tuple(e for e in body.entries if (old := self.held.get(e.name)) is None or old.version != e.version)
        suspects = brought or body.entries
        guilty = tuple(e for e in body.entries if e.name in names) if names else suspects if len(suspects) == 1 else ()
        if guilty:
            self.held = MappingProxyType(_without(merged(self.held, body), guilty, self.held))
            self.blame.clear(body.entries)
            self.blame.refuse(guilty)
        elif suspects:
            self.blame.suspect(suspects, body.nonce)
        else:
            # It only took something away: said again it would be refused again.
            self.held = self.library.memo(merged, self.held, body)
        if self.type == "cds":
            # An Envoy may refuse a cluster when it is half made, and then counts it as warming for ever: it acknowledges no
            # clusters any more until that one is removed or replaced (seen with 1.40: a ring hash it cannot build).
            self.undo |= {entry.name for entry in brought if not guilty or entry in guilty}
        # The goal may have moved on while this was on its way.
        self.blame.prune(self.goal)
        self._landed()
        return guilty

    def _landed(self) -> None:
        expected = self.held
        for flight in self.flight:
            expected = self.library.memo(merged, expected, flight.body)
        self.held = self.canonical(self.held)
        self.expected = self.canonical(expected)
        self.trim()

    def changed(self) -> tuple[Entry, ...]:
        """What the client lacks of the goal, without what it refused."""
        entries: tuple[Entry, ...] = self.library.memo(differing, self.expected, self.goal)
        if self.blame:
            return tuple(entry for entry in entries if not self.blame.withholds(entry))
        return entries

    def gone(self) -> tuple[str, ...]:
        """What the client holds that the goal lacks."""
        names: tuple[str, ...] = self.library.memo(missing, self.expected, self.goal)
        return names

    @property
    def idle(self) -> bool:
        """Nothing owed, on its way or refused."""
        return self.answered and not self.blame

    @property
    def answered(self) -> bool:
        """Nothing owed or on its way, and known what was refused."""
        return not self.flight and not self.owed and not self.first and not self.undo and not self.blame.groups


def _without(after: Entries, guilty: tuple[Entry, ...], before: Entries) -> dict[str, Entry]:
    """What is held after a response of which these were refused: of their names, what was held before."""
    result = dict(after)
    for entry in guilty:
        old = before.get(entry.name)
        if old is None:
            result.pop(entry.name, None)
        else:
            result[entry.name] = old
    return result
