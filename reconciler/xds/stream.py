"""One client's stream without I/O: what to tell it next, so that nothing it uses is taken away before its replacement works."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from reconciler.core.model import XDS_TYPES, Nack
from reconciler.seams import Seams
from reconciler.xds import admission, nacks, wire
from reconciler.xds.counters import Tally
from reconciler.xds.entries import EMPTY, NO_NAMES, Entries, endpoints, select, versions
from reconciler.xds.pace import Pace
from reconciler.xds.snapshots import Body, Library, Told, endpoints_after
from reconciler.xds.topics import Flight, Topic

# Clusters, endpoints and secrets must be there before listeners, and those before routes, that use them.
BEFORE = {"lds": ("cds", "eds", "sds"), "rds": ("cds", "eds", "sds", "lds")}
ORDER = {type: position for position, type in enumerate(XDS_TYPES)}
# Types of which a state of the world is always whole, and of which an empty subscription means everything.
# https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#grouping-resources-into-responses
WHOLE = ("cds", "lds")


class Stream(ABC):
    """What `sotw.Sotw` and `delta.Delta` have in common. `next` gives what to send now; nothing here waits or writes."""

    delta = False

    def __init__(self, library: Library, seams: Seams, pace: Pace | None = None, only: str = "") -> None:
        self.library, self.seams, self.pace, self.only = library, seams, pace or Pace(), only
        # Which of a node's Envoys it is, as `model.instance_on` says it: "" where the client does not say.
        self.node, self.envoy, self.instance = "", "", ""
        self.told: Told | None = None
        self.topics: dict[str, Topic] = {}
        # When to ask `next` again although nothing happened (monotonic seconds), or None.
        self.look_at: float | None = None
        self.tally = Tally()
        self._quiet_since: float | None = None

    # What comes in

    @abstractmethod
    def on_request(self, request: Any) -> None:
        """Take a parsed request in; raises Rejected when the stream must end."""

    def on_snapshot(self, told: Told) -> None:
        """Take in what this client should be told from now on; the newest wins, whatever is half done."""
        before, self.told = self.told, told
        if before is not None and self.only == "eds":
            # Clusters are another stream's, which we cannot see: a changed one waits for its endpoints to come again.
            clusters = (before.contents.get("cds", EMPTY), told.contents.get("cds", EMPTY))
            self._repeat(self.library.memo(endpoints, *clusters))
        for topic in self.topics.values():
            topic.aim(self._goal(topic))

    def identify(self, node: Any) -> None:
        """Take the node of a request in: the first must name one, and later ones may not name another."""
        if self.node and node.id in ("", self.node):
            return
        admission.check_node(node, self.node)
        if not self.node:
            self.node, self.envoy = node.id, admission.agent(node)

    def topic(self, url: str) -> tuple[Topic, bool]:
        """The topic for this type URL, and whether this is the first request for it on the stream."""
        known = self.topics.get(url)
        if known is not None:
            return known, False
        url = admission.check_type(url, wire.TYPE_URLS[self.only] if self.only else "", self.topics)
        known = self.topics.get(url)
        if known is not None:
            return known, False
        made = self.topics[url] = Topic(wire.TYPES.get(url, url), url, self.library)
        self.topics = dict(sorted(self.topics.items(), key=lambda item: ORDER.get(item[1].type, len(ORDER))))
        return made, True

    def of(self, type: str) -> Topic | None:
        return self.topics.get(wire.TYPE_URLS[type])

    def bound(self, names: frozenset[str]) -> None:
        admission.check_names(names, sum(len(topic.names) for topic in self.topics.values()))

    def aim(self, topic: Topic) -> None:
        topic.aim(self._goal(topic))

    def _goal(self, topic: Topic) -> Entries:
        content = EMPTY if self.told is None else self.told.contents.get(topic.type, EMPTY)
        if topic.wildcard:
            return content
        chosen: Entries = self.library.memo(select, content, topic.names)
        return chosen

    def settle(self, topic: Topic, nonce: str, error: str | None) -> bool:
        """Take an ACK or (with Envoy's words) a NACK in; False when it speaks of nothing that is on its way."""
        for index, one in enumerate(topic.flight):  # noqa: B007 - used below
            if one.body.nonce == nonce:
                break
        else:
            return False
        if error is None:
            flight = topic.accept(index)
            self.tally.acks.append(topic.type)
            self.tally.latencies_s.append(self.seams.monotonic() - flight.at)
        else:
            self._refuse(topic, index, error)
        return True

    def _refuse(self, topic: Topic, index: int, error: str) -> None:
        body = topic.flight[index].body
        words = nacks.blamed(error, {entry.name for entry in body.entries})
        guilty = topic.refuse(index, words, self.seams.monotonic())
        for entry in guilty:
            message = nacks.normalised(words.get(entry.name) or error)
            self.tally.nacks.append(Nack(topic.type, (entry.name,), (entry.version,), message, self.seams.now(), self.envoy))
        if not body.entries:
            self.tally.nacks.append(Nack(topic.type, (), (), nacks.normalised(error), self.seams.now(), self.envoy))
        if topic.blame.groups:
            topic.blame.spared = not self.library.may_try(topic.blame.cause, self, topic.blame.at, self.pace.step_s)
        self.tally.refusals += 1

    def unsendable(self, topic: Topic, body: Body, why: str) -> None:
        """The last response could not be put together (a secret did not open): as if the client had refused it."""
        index = next(i for i, flight in enumerate(topic.flight) if flight.body is body)
        self._refuse(topic, index, why)

    # What goes out

    def next(self) -> tuple[Topic, Body] | None:
        """The response to send now, which is on its way from here on; None when there is nothing to say at present."""
        self.look_at = None
        if self.told is None:
            return None
        unfinished = False
        for topic in self.topics.values():
            if topic.expected is topic.goal and not topic.owed and not topic.first and not topic.undo:
                continue
            unfinished = True
            if topic.blame.spared:
                self._take_over(topic)
            waits = topic.type in BEFORE and self._waits(topic.type)
            if waits and self._searching(topic.type):
                continue
            body = self._offer(topic, waits=waits, breaking=False)
            if body is not None:
                return self._launch(topic, body)
        if unfinished and self._made():
            for type in ("cds", "eds"):
                found = self.of(type)
                if found is None or found.expected is found.goal:
                    continue
                body = self._offer(found, waits=False, breaking=True)
                if body is not None:
                    return self._launch(found, body)
        return None

    @abstractmethod
    def _offer(self, topic: Topic, *, waits: bool, breaking: bool) -> Body | None:
        """What to send of this type, or None. `waits`: something it may need is not acknowledged yet. `breaking`: all that
        is new is in use, and what is no longer needed may go."""

    def _take_over(self, topic: Topic) -> None:
        """Try suspects ourselves when the client that was to try them has not found the guilty in time."""
        blame = topic.blame
        blame.spared = not self.library.may_try(blame.cause, self, self.seams.monotonic(), self.pace.step_s)
        if blame.spared:
            self.later(self.seams.monotonic() + self.pace.step_s)

    def later(self, at: float) -> None:
        self.look_at = at if self.look_at is None else min(at, self.look_at)

    def holds_back(self, topic: Topic) -> bool:
        """Whether newer content should wait for the answer to what is on its way."""
        if not topic.flight or topic.owed or topic.first or topic.undo:
            return False
        # A state of the world is refused whole, and so may clusters be by difference: while two responses are on their way,
        # nobody could tell what either left behind, and a cluster might be missed by its route or stay for ever.
        alone = not self.delta or topic.type == "cds"
        at = topic.flight[-1].at + (self.pace.step_s if alone else self.pace.overtake_s)
        if self.seams.monotonic() >= at:
            return False
        self.later(at)
        return True

    def _launch(self, topic: Topic, body: Body) -> tuple[Topic, Body]:
        if topic.type == "cds":
            # A changed cluster warms until its endpoints come again, changed or not, and a delta client does not even ask:
            # https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#eventual-consistency-considerations
            self._repeat(self.library.memo(endpoints_after, topic.expected, body))
            if topic.undo:
                self._repeat(endpoints(EMPTY, {entry.name: entry for entry in body.entries if entry.name in topic.undo}))
        topic.launch(body, self.seams.monotonic())
        if topic.type in ("cds", *BEFORE):
            self._quiet_since = None
        return topic, body

    def _repeat(self, names: frozenset[str]) -> None:
        """Owe these endpoints once more, as far as they are subscribed."""
        topic = self.of("eds")
        if topic is not None and names:
            topic.owed |= names if topic.wildcard else names & topic.names

    def _waits(self, type: str) -> bool:
        """Whether something that must come before this type is not acknowledged, and not overdue either.

        After a refusal there is time for a snapshot without the refused: its routes may need what is not there now.
        """
        now = self.seams.monotonic()
        until = [
            at + self.pace.step_s
            for before in BEFORE[type]
            if (topic := self.of(before)) is not None
            for at in (*(flight.at for flight in topic.flight), *((topic.blame.at,) if topic.blame else ()))
        ]
        waiting = [at for at in until if at > now]
        if waiting:
            self.later(min(waiting))
        return bool(waiting)

    def _searching(self, type: str) -> bool:
        """Whether it is being found out what a client refused of that which comes before: not even a new one goes on then."""
        return any((topic := self.of(before)) is not None and topic.blame.groups for before in BEFORE[type])

    def _made(self) -> bool:
        """Whether everything new is acknowledged, for long enough that what it replaced is out of use."""
        if not any((topic := self.of(type)) is not None and topic.expected is not topic.goal for type in ("cds", "eds")):
            return False
        for topic in self.topics.values():
            if not topic.answered or (topic.type in BEFORE and topic.expected is not topic.goal and topic.changed()):
                return False
        if any(topic.blame for topic in self.topics.values()) and self._uses_what_goes():
            return False
        now = self.seams.monotonic()
        if self._quiet_since is None:
            self._quiet_since = now
        if now < self._quiet_since + self.pace.linger_s:
            self.later(self._quiet_since + self.pace.linger_s)
            return False
        return True

    def _uses_what_goes(self) -> bool:
        """Whether a listener or route that the client kept, having refused a newer one, may lead to a cluster that goes."""
        clusters = self.of("cds")
        gone = {("cds", name) for name in clusters.gone()} if clusters is not None else set()
        kept = (entry for type in BEFORE if (topic := self.of(type)) is not None for entry in topic.held.values())
        return any(entry.resource is None or not gone.isdisjoint(entry.resource.refers) for entry in kept)

    # What is known

    @property
    def synced(self) -> bool:
        """All of the snapshot that this client subscribes to is acknowledged."""
        if self.told is None or not self.topics:
            return False
        if not all(topic.idle and self._reached(topic) for topic in self.topics.values()):
            return False
        if not any(topic.wildcard and topic.type in WHOLE for topic in self.topics.values()):
            return True
        # An Envoy that is starting asks for listeners once its clusters are up, and for routes and endpoints after that.
        for type in WHOLE:
            found = self.of(type)
            if not self.only and self.told.contents.get(type) and (found is None or not found.active):
                return False
        return all(self._has(type, names) for type, names in self.told.needs.items() if names and not self.only)

    def _has(self, type: str, names: frozenset[str]) -> bool:
        topic = self.of(type)
        if topic is None:
            return False
        have: Entries = self.library.memo(select, topic.held, names)
        return len(have) == len(names)

    def _reached(self, topic: Topic) -> bool:
        if topic.expected is topic.goal:
            return True
        removable = topic.type in ("cds", "eds", "lds") or (topic.type == "rds" and self.delta)
        return not topic.changed() and not (removable and topic.gone())

    def acked(self) -> Mapping[str, Mapping[str, str]]:
        """Type ⇒ name ⇒ version of what the client has acknowledged."""
        return {topic.type: self.library.memo(versions, topic.held) for topic in self.topics.values()}

    def overdue(self) -> list[Flight]:
        """Responses that were not answered in time, each reported once."""
        limit = self.seams.monotonic() - self.pace.step_s
        late = [flight for topic in self.topics.values() for flight in topic.flight if not flight.late and flight.at < limit]
        for flight in late:
            flight.late = True
        return late


def explicit(names: frozenset[str]) -> frozenset[str]:
    """The names in a subscription that are names: neither the wildcard nor empty."""
    return names - {"*", ""} if names else NO_NAMES
