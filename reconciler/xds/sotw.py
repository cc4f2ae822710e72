"""The state-of-the-world protocol: clusters and listeners are told whole, everything else as far as it changed."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from reconciler.xds.entries import ABSENT, Entries, Entry, differing, missing, select, union, values
from reconciler.xds.snapshots import Body, Library
from reconciler.xds.stream import WHOLE, Stream, explicit
from reconciler.xds.topics import Topic

# The version of what a client had before this stream, in a type that is not told whole.
UNKNOWN = "unknown"


class Sotw(Stream):
    """A client of StreamAggregatedResources or of one of the Stream services."""

    def on_request(self, request: Any) -> None:
        """Take a DiscoveryRequest in. One that answers an older response than the last says nothing about its wishes."""
        self.identify(request.node)
        topic, first = self.topic(request.type_url)
        nonce = request.response_nonce
        error = request.error_detail.message if request.HasField("error_detail") else None
        last = topic.nonces[-1] if topic.nonces else ""
        # A nonce of an earlier stream means nothing on this one: the request is a first one.
        anew = not nonce or not last
        answered = not anew and self.settle(topic, nonce, error)
        if not anew and nonce != last:
            return
        names = frozenset(request.resource_names)
        self.bound(names)
        before, was_wild = topic.names, topic.wildcard
        if names or topic.explicit or not _whole(topic):
            topic.explicit = topic.explicit or bool(names)
            topic.wildcard = "*" in names
            topic.subscribe(explicit(names))
        else:
            topic.wildcard = True
        if first and request.version_info:
            topic.held = topic.expected = self._brought(topic, request.version_info)
            topic.returning = True
        if anew:
            topic.first = topic.active
            topic.owed |= topic.names
        elif topic.names != before or topic.wildcard != was_wild:
            topic.first = topic.first or (topic.wildcard and not was_wild)
            topic.owed |= topic.names - before
        elif not answered and error is None and not topic.blame and not _whole(topic):
            # The same request again: a cluster or listener that warms asks for what we told before, in the words of an ACK.
            topic.owed |= topic.names
        self.aim(topic)

    def _brought(self, topic: Topic, version: str) -> Entries:
        """What a client that comes back still has, as far as that can be known.

        It names the last version it accepted; what it took of a later one that it refused in part remains unknown, until it
        accepts the next.
        """
        if _whole(topic):
            sent = self.library.sent(topic.url, version)
            return sent if topic.wildcard else select(sent, topic.names)
        # It has something of what it names, and what that is stays in use until it is told otherwise.
        return self.library.shared(tuple(self.library.entry(topic.type, name, UNKNOWN) for name in sorted(topic.names)))

    def _goal(self, topic: Topic) -> Entries:
        goal = super()._goal(topic)
        if topic.type != "eds" or len(goal) == len(topic.names) or self.told is None:
            return goal
        found: Entries = self.library.memo(with_absent, self.library, goal, topic.names)
        return found

    def _offer(self, topic: Topic, *, waits: bool, breaking: bool) -> Body | None:
        # What the client has nothing of yet cannot break it, and may be what it waits for.
        fresh = not topic.returning and (
            (topic.first and not topic.expected) or any(name not in topic.expected for name in topic.owed)
        )
        if (waits and not fresh) or (not waits and self.holds_back(topic)):
            return None
        return self._whole(topic, breaking) if _whole(topic) else self._partial(topic, waits, breaking)

    def _whole(self, topic: Topic, breaking: bool) -> Body | None:
        memo = self.library.memo
        desired: Entries = topic.goal if breaking or topic.type != "cds" else memo(union, topic.expected, topic.goal)
        if topic.blame:
            desired = _without_withheld(topic, desired)
        if not (
            topic.first
            or topic.owed
            or topic.undo
            or memo(differing, topic.expected, desired)
            or memo(missing, topic.expected, desired)
        ):
            return None
        errors = tuple(name for name in sorted(topic.owed) if name not in topic.goal)
        topic.owed = topic.owed & frozenset(errors)
        return topic.salted(True, False, memo(values, desired), (), errors)

    def _partial(self, topic: Topic, waits: bool, breaking: bool) -> Body | None:
        have, owed = topic.expected, topic.owed
        changed = topic.changed()
        if waits:
            owed = frozenset(name for name in owed if name not in have)
            changed = tuple(entry for entry in changed if entry.name in owed)
        elif not breaking:
            changed = tuple(entry for entry in changed if not (_is_absent(entry) and _has(topic, entry.name)))
        told = {entry.name for entry in changed}
        again, errors = [], []
        for name in sorted(owed):
            entry = topic.goal.get(name)
            if entry is None or _is_absent(entry):
                # Endpoints are emptied only when nothing routes there any more, however often they are asked for.
                if _has(topic, name) and not breaking:
                    continue
                errors.append(name)
            if entry is not None and name not in told and not topic.blame.withholds(entry):
                again.append(entry)
        if not (changed or again or errors or (topic.first and topic.wildcard)):
            topic.owed = topic.owed - owed
            topic.first = topic.first and waits
            return None
        return topic.salted(False, False, (*changed, *again), (), tuple(errors))


def _whole(topic: Topic) -> bool:
    return topic.type in WHOLE or topic.type == topic.url


def _has(topic: Topic, name: str) -> bool:
    """Whether the client has something of this name that it may be using."""
    entry = topic.expected.get(name)
    return entry is not None and not _is_absent(entry)


def _is_absent(entry: Entry) -> bool:
    return entry.version == ABSENT


def with_absent(library: Library, goal: Entries, names: frozenset[str]) -> Entries:
    """The goal, and an empty assignment for every name without one: silence would hold a client up for 15 s."""
    return MappingProxyType({name: goal.get(name) or library.absent(name) for name in sorted(names)})


def _without_withheld(topic: Topic, desired: Mapping[str, Entry]) -> Entries:
    """What the client refused is told as it has it: a whole answer that left it out would remove it."""
    result = {}
    for name, entry in desired.items():
        kept: Entry | None = topic.expected.get(name) if topic.blame.withholds(entry) else entry
        if kept is not None and kept.resource is not None:
            result[name] = kept
    return MappingProxyType(result)
