"""Who is connected, what each should be told, and what is known of it; no I/O, guarded by one lock."""

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from reconciler.core.model import Connected, Nack, Snapshot
from reconciler.xds.counters import Count
from reconciler.xds.snapshots import Library, Told
from reconciler.xds.stream import Stream

# Refusals remembered per node: more than a person will read, enough for one snapshot in which everything is wrong.
NACKS_KEPT = 64

Link = TypeVar("Link")


@dataclass(slots=True)
class Member(Generic[Link]):
    """One open stream; `link` is what carries its bytes."""

    stream: Stream
    link: Link
    since: float
    order: int


@dataclass(slots=True)
class Node(Generic[Link]):
    """One node id: what it should be told, and the streams open under it (two while one Envoy replaces another)."""

    told: Told | None = None
    members: list[Member[Link]] = field(default_factory=list)
    nacks: deque[Nack] = field(default_factory=lambda: deque(maxlen=NACKS_KEPT))


class Registry(Generic[Link]):
    """Every method takes the lock itself, except those that say otherwise."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.library = Library()
        self.count = Count()
        self._nodes: dict[str, Node[Link]] = {}
        self._stale: set[str] = set()
        self._known: dict[str, Connected] = {}
        self._published: set[str] = set()
        self._joined = 0

    def publish(self, snapshots: Mapping[str, Snapshot]) -> bool:
        """Take these, by node, as what each should be told; True when somebody must now call `spread`."""
        with self.lock:
            due = not self._published
            for node, snapshot in snapshots.items():
                entry = self._nodes.setdefault(node, Node())
                if entry.told is None or entry.told.version != snapshot.version:
                    entry.told = self.library.told(snapshot)
                    self._published.add(node)
            return due and bool(self._published)

    def spread(self) -> list[Link]:
        """Hand what was published to the streams of those nodes; gives back whose turn it is to write."""
        with self.lock:
            published, self._published = self._published, set()
        links = []
        for node in published:
            # The lock is let go between nodes, so that a publish to thousands holds nobody up.
            with self.lock:
                entry = self._nodes.get(node)
                if entry is None or entry.told is None:
                    continue
                self._stale.add(node)
                for member in entry.members:
                    member.stream.on_snapshot(entry.told)
                    links.append(member.link)
        return links

    def forget(self, node: str) -> list[Link]:
        """Drop what is known of this node; gives back the streams to end."""
        with self.lock:
            entry = self._nodes.get(node)
            if entry is None:
                return []
            entry.told = None
            entry.nacks.clear()
            self._tidy(node, entry)
            return [member.link for member in entry.members]

    def links(self) -> list[Link]:
        """What carries the open streams."""
        with self.lock:
            return [member.link for entry in self._nodes.values() for member in entry.members]

    def join(self, stream: Stream, link: Link, now: float) -> Member[Link]:
        """A stream has said which node it is. Call with the lock held."""
        entry = self._nodes.setdefault(stream.node, Node())
        self._joined += 1
        member = Member(stream, link, now, self._joined)
        entry.members.append(member)
        self._stale.add(stream.node)
        if entry.told is not None:
            stream.on_snapshot(entry.told)
        return member

    def leave(self, member: Member[Link]) -> None:
        with self.lock:
            node = member.stream.node
            entry = self._nodes[node]
            entry.members.remove(member)
            self._stale.add(node)
            self._tidy(node, entry)

    def _tidy(self, node: str, entry: Node[Link]) -> None:
        if not entry.members:
            self._known.pop(node, None)
            self._stale.discard(node)
            if entry.told is None:
                del self._nodes[node]

    def heard(self, stream: Stream) -> bool:
        """Book what a request brought; True when it was an answer to something. Call with the lock held."""
        self._stale.add(stream.node)
        tally = stream.tally
        if not tally.acks and not tally.refusals and not tally.nacks:
            return False
        for type in tally.acks:
            self.count.acks[type] += 1
        self.count.latencies_s.extend(tally.latencies_s)
        if tally.nacks:
            self.count.nacks.update(nack.type for nack in tally.nacks)
            self._nodes[stream.node].nacks.extend(tally.nacks)
        tally.clear()
        return True

    def touched(self, stream: Stream) -> None:
        """What is known of this stream changed. Call with the lock held."""
        self._stale.add(stream.node)

    def overdue(self) -> int:
        """Count the responses nobody answered in time; gives back how many there are more than at the last call."""
        with self.lock:
            members = [member for entry in self._nodes.values() for member in entry.members]
            late = [flight for member in members for flight in member.stream.overdue()]
            self.count.overdue.update(flight.body.type for flight in late)
            return len(late)

    def connected(self) -> Mapping[str, Connected]:
        """Node ⇒ what is known of it, for the nodes with a stream open. Computed anew only where something happened."""
        with self.lock:
            for node in self._stale:
                entry = self._nodes.get(node)
                if entry is not None and entry.members:
                    self._known[node] = _connected(node, entry)
            self._stale.clear()
            return dict(self._known)


def _connected(node: str, entry: Node[Link]) -> Connected:
    """One view of all streams under a node id: of each type, what the one that is furthest behind has acknowledged."""
    ranked = sorted(entry.members, key=lambda member: (member.stream.synced, member.order))
    acked: dict[str, Mapping[str, str]] = {}
    for member in ranked:
        for type, versions in member.stream.acked().items():
            # What only the newer one holds is in use as well.
            acked[type] = versions if type not in acked else {**versions, **acked[type]}
    last = ranked[0]
    synced = all(member.stream.synced for member in ranked)
    sent = last.stream.told.version if last.stream.told is not None else ""
    instances: dict[str, bool] = {}
    for stream in (member.stream for member in ranked if member.stream.instance):
        # An Envoy off ADS has several streams.
        instances[stream.instance] = instances.get(stream.instance, True) and stream.synced
    unnamed = sum(not member.stream.instance for member in ranked)
    envoys = frozenset(member.stream.envoy for member in ranked)
    return Connected(node, last.stream.envoy, last.since, sent, synced, acked, tuple(entry.nacks), instances, unnamed, envoys)
