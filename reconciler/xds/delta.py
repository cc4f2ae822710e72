"""The incremental protocol: the client is told differences, and says what it already has when it comes back."""

from typing import Any

from reconciler.xds.admission import MOST_NAMES, Rejected
from reconciler.xds.entries import EMPTY, Entries
from reconciler.xds.snapshots import Body
from reconciler.xds.stream import WHOLE, Stream, explicit
from reconciler.xds.topics import Topic

# Answered on a new stream even if the client says it has them: an Envoy may name what it no longer uses, and then wait for
# it (envoyproxy/envoy#22418).
ALWAYS_ANSWERED = ("eds", "rds")
# What is never taken back: an Envoy refuses the removal of a secret or fails requests over it (envoyproxy/envoy#32832).
NEVER_REMOVED = ("sds", "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig")


class Delta(Stream):
    """A client of DeltaAggregatedResources or of one of the Delta services."""

    delta = True

    def on_request(self, request: Any) -> None:
        """Take a DeltaDiscoveryRequest in: its answer to what we sent, then its wishes, which hold whatever the nonce."""
        self.identify(request.node)
        topic, first = self.topic(request.type_url)
        if request.response_nonce:
            self.settle(
                topic, request.response_nonce, request.error_detail.message if request.HasField("error_detail") else None
            )
        if not first and not request.resource_names_subscribe and not request.resource_names_unsubscribe:
            return
        subscribe, unsubscribe = frozenset(request.resource_names_subscribe), frozenset(request.resource_names_unsubscribe)
        self.bound(subscribe)
        wanted = explicit(subscribe)
        left = explicit(unsubscribe) & topic.names
        if "*" in subscribe or (first and not subscribe and _wild(topic)):
            topic.wildcard = True
            topic.first = topic.first or not request.initial_resource_versions
        if "*" in unsubscribe:
            topic.wildcard = False
        topic.explicit = True
        topic.subscribe((topic.names | wanted) - left)
        if first:
            topic.held = topic.expected = self._brought(topic, request.initial_resource_versions)
        # Whoever asks again for what it has is told again, save on a new stream, where it says what it has.
        known = frozenset(topic.held) if first and topic.type not in ALWAYS_ANSWERED else frozenset()
        topic.owed = (topic.owed | (wanted - known)) - left
        if topic.wildcard:
            # Still covered by the wildcard: the client must hear whether it exists.
            topic.owed |= left
        self.aim(topic)

    def _brought(self, topic: Topic, initial: Any) -> Entries:
        """What the client says it holds from an earlier stream, as far as it subscribes to it."""
        if len(initial) > MOST_NAMES:
            raise Rejected("RESOURCE_EXHAUSTED", f"initial_resource_versions may name {MOST_NAMES} resources")
        entries = sorted(
            (
                self.library.entry(topic.type, name, version)
                for name, version in initial.items()
                if topic.wildcard or name in topic.names
            ),
            key=lambda entry: entry.name,
        )
        return self.library.shared(tuple(entries))

    def _offer(self, topic: Topic, *, waits: bool, breaking: bool) -> Body | None:
        changed, owed = topic.changed(), topic.owed
        gone = topic.gone() if _removable(topic, breaking) and topic.expected is not topic.goal else ()
        if waits:
            # What the client has nothing of yet cannot break it, and may be what its listener or it itself waits for.
            owed = frozenset(name for name in owed if name not in topic.expected)
            changed = tuple(entry for entry in changed if entry.name in owed or topic.first)
            gone = ()
        elif self.holds_back(topic):
            return None
        resend = owed - {entry.name for entry in changed} if owed else owed
        again = tuple(e for name in sorted(resend) if (e := topic.goal.get(name)) is not None and not topic.blame.withholds(e))
        # What it has and should lose goes when its turn comes, however often it asks.
        stays = topic.expected if not _removable(topic, breaking) else EMPTY
        absent = tuple(name for name in sorted(resend) if name not in topic.goal and name not in stays)
        if not (changed or again or absent or gone or topic.first or topic.undo):
            topic.owed = topic.owed - owed
            return None
        upserts, removed = (*changed, *again), absent if not gone else tuple(dict.fromkeys((*absent, *gone)))
        if topic.undo:
            told = {entry.name for entry in upserts} | set(removed)
            undone = [(name, topic.held.get(name)) for name in sorted(topic.undo - told)]
            upserts = (*upserts, *(entry for _, entry in undone if entry is not None and entry.resource is not None))
            removed = (*removed, *(name for name, entry in undone if entry is None))
        return topic.salted(False, True, upserts, removed, absent)


def _wild(topic: Topic) -> bool:
    return topic.type in WHOLE or topic.type == topic.url


def _kept(topic: Topic) -> bool:
    return topic.type in NEVER_REMOVED


def _removable(topic: Topic, breaking: bool) -> bool:
    return breaking if topic.type in ("cds", "eds") else not _kept(topic)
