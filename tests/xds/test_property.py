"""Whatever is published, refused, lost and delayed: no route ever leads to a cluster that was taken away, and all ends well."""

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from reconciler.core.model import XdsResource
from reconciler.xds.snapshots import Library

from .peer import DeltaPeer, SotwPeer, Told
from .snapshot import raw

NAMES = "abcd"
# Waits stay below the deadline of a step all together: after that it goes on unanswered.
# A world: each cluster's version by name, and to which of them the route leads. Version 9 is one that clients refuse.
worlds = st.dictionaries(st.sampled_from(NAMES), st.sampled_from("1239"), min_size=1).flatmap(
    lambda clusters: st.tuples(
        st.just(clusters),
        st.sets(st.sampled_from(sorted(n for n in clusters if clusters[n] != "9") or [""])),
        st.sampled_from("12"),
    )
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), worlds),
        st.tuples(st.just("answer"), st.booleans()),
        st.tuples(st.just("wait"), st.sampled_from([0.2, 0.6])),
        st.tuples(st.just("again"), st.none()),
    ),
    max_size=25,
)


def resources(world: Any) -> list[XdsResource]:
    clusters, routed, version = world
    refers = tuple(("cds", name) for name in sorted(routed) if name)
    return [
        *(raw("cds", name, version, eds=name) for name, version in clusters.items()),
        *(raw("eds", name, version) for name, version in clusters.items()),
        raw("lds", "l", version, refers=(("rds", "r"),)),
        raw("rds", "r", version + "".join(sorted(routed)), refers=refers),
    ]


class Envoy:
    """A client that keeps what it accepts, takes a refused response in part or not at all, and notices when a route dangles.

    `worked`: its route led to clusters it had; from then on it must never do otherwise.
    """

    def __init__(self, peer: DeltaPeer | SotwPeer) -> None:
        self.peer = peer
        self.held: dict[str, dict[str, str]] = {type: {} for type in ("cds", "eds", "lds", "rds")}
        self.inbox: list[Told] = []
        self.dangling = self.started = self.worked = self.partly = False

    def connect(self) -> None:
        self.inbox.clear()
        # A starting Envoy asks for listeners once it has heard of its clusters, one that comes back for all at once.
        for type in ("cds", "eds", "lds", "rds") if self.started else ("cds", "eds"):
            self.ask(type)

    def names(self, type: str) -> tuple[str, ...]:
        return tuple(sorted(self.held["cds"])) if type == "eds" else ("r",) if type == "rds" else ()

    def ask(self, type: str) -> None:
        if isinstance(self.peer, DeltaPeer):
            self.peer.subscribe(type, *self.names(type), have=self.held[type])
        elif self.names(type) or type in ("cds", "lds"):
            self.peer.subscribe(type, *self.names(type), version=self.peer.version.get(type, ""))

    def pull(self) -> None:
        self.inbox += self.peer.pull()

    def answer(self, named: bool) -> None:
        """Take the oldest response in and answer it, as Envoy does: refused contents named or not."""
        told = self.inbox.pop(0)
        refused = sorted(name for name, version in told.named.items() if told.type == "cds" and version == "9")
        if refused and not named:
            self.peer.nack(told, "something is wrong")
            self.start(told.type)
            return
        before = self.names("eds")
        self.take(told, refused)
        if told.type == "cds":
            self.partly = bool(refused)
        words = "Error adding/updating cluster(s) " + ", ".join(f"{name}: bad" for name in refused)
        self.peer.nack(told, words) if refused else self.peer.ack(told)
        if told.type == "cds":
            self.follow(before)
        self.start(told.type)

    def start(self, type: str) -> None:
        if type == "cds" and not self.started:
            self.started = True
            self.ask("lds")
            self.ask("rds")

    def take(self, told: Told, refused: list[str]) -> None:
        held, new = self.held[told.type], {name: v for name, v in told.named.items() if name not in refused}
        if not told.delta and told.type in ("cds", "lds"):
            new |= {name: held[name] for name in refused if name in held}
            held.clear()
        held |= new
        for name in told.removed:
            held.pop(name, None)
        whole = "r" in self.held["rds"] and set(self.held["rds"]["r"][1:]) <= self.held["cds"].keys()
        self.worked |= whole
        self.dangling |= self.worked and not whole

    def follow(self, before: tuple[str, ...]) -> None:
        """Subscribe to the endpoints of the clusters there are now."""
        names = self.names("eds")
        if names == before:
            return
        gone = set(before) - set(names)
        self.held["eds"] = {name: version for name, version in self.held["eds"].items() if name not in gone}
        if isinstance(self.peer, DeltaPeer):
            self.peer.subscribe("eds", *(set(names) - set(before)), leave=gone)
        else:
            nonce = next((told.nonce for told in reversed(self.peer.heard) if told.type == "eds"), "")
            # An Envoy answers what it has got; what is still on its way it has not.
            waiting = [told.nonce for told in self.inbox if told.type == "eds"]
            self.peer.subscribe("eds", *names, nonce="" if nonce in waiting else nonce)


def play(make: type[DeltaPeer] | type[SotwPeer], script: list[tuple[str, Any]]) -> None:
    library = Library()
    envoy = Envoy(make(library=library))
    world: Any = ({"a": "1"}, {"a"}, "1")
    envoy.peer.publish(*resources(world))
    envoy.connect()
    for verb, what in script:
        envoy.pull()
        if verb == "publish":
            world = what
            envoy.peer.publish(*resources(world))
        elif verb == "answer" and envoy.inbox:
            envoy.answer(what)
        elif verb == "wait":
            envoy.peer.clock.time_s += what
        # A state-of-the-world client that comes back names the last version it accepted: what it took of a later one that it
        # refused in part nobody can know.
        elif verb == "again" and not (envoy.partly and isinstance(envoy.peer, SotwPeer)):
            versions = getattr(envoy.peer, "version", {})
            envoy.peer = make(library=library)
            if isinstance(envoy.peer, SotwPeer):
                envoy.peer.version = versions
            envoy.peer.publish(*resources(world))
            envoy.connect()
    for _ in range(200):
        envoy.pull()
        if envoy.inbox:
            envoy.answer(named=False)
        elif envoy.peer.stream.look_at is not None:
            envoy.peer.clock.time_s = max(envoy.peer.clock.time_s, envoy.peer.stream.look_at)
        else:
            break
    refused = {name for name, version in world[0].items() if version == "9"}
    assert not envoy.dangling
    assert envoy.held["rds"]["r"] == world[2] + "".join(sorted(world[1]))
    have = envoy.held["cds"]
    assert {name: version for name, version in have.items() if name not in refused} == {
        name: version for name, version in world[0].items() if name not in refused
    }
    assert dict(envoy.peer.stream.acked()["cds"]) == have
    assert envoy.peer.stream.synced == (not refused)
    assert {name for nack in envoy.peer.stream.tally.nacks for name in nack.names} >= refused


# A response that overtook another, both refused without a name: a removed cluster stayed at the client.
OVERTAKING = [
    ("publish", ({"a": "1", "b": "9"}, set(), "1")),
    ("answer", False),
    ("wait", 0.6),
    ("wait", 0.6),
    ("publish", ({"a": "1", "b": "1"}, set(), "1")),
    ("publish", ({"a": "9"}, set(), "1")),
]


@settings(max_examples=150, deadline=None)
@example(OVERTAKING)
@given(steps)
def test_delta_ends_well(script: list[tuple[str, Any]]) -> None:
    """Differences, reconnects with what is held, refusals with and without names."""
    play(DeltaPeer, script)


@settings(max_examples=150, deadline=None)
@given(steps)
def test_the_state_of_the_world_ends_well(script: list[tuple[str, Any]]) -> None:
    """Whole answers, reconnects with a version, refusals with and without names."""
    play(SotwPeer, script)
