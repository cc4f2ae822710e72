"""Pretend Envoys, which outlive every Convoy, and the server of each life: they acknowledge late, refuse, and come back."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from reconciler.core.envoy import endpoints_of
from reconciler.core.handover import node_id
from reconciler.core.model import Connected, Nack, Ref, Snapshot, XdsResource, instance_on
from reconciler.drivers.memory import Machine
from reconciler.xds.counters import Count, Counters

from .branch import REFUSED_DOMAIN
from .turns import EPOCH, Life, Turns

Content = dict[str, dict[str, XdsResource]]
BAD = REFUSED_DOMAIN.encode()
ENVOY = "1.40.0"
# What a server that does not remember a client's content calls its version (reconciler/xds/sotw.py).
UNKNOWN = "unknown"


@dataclass(eq=False)
class Envoy:
    """One Envoy: `holds` is what it serves by, whether or not anybody knows."""

    node: str
    host: str
    ref: Ref
    instance: str
    holds: Content = field(default_factory=dict)
    link: "Server | None" = None
    since: float = 0.0
    # What its server knows: versions acknowledged, the snapshot it was told last, and whether all of that is done.
    acked: dict[str, dict[str, str]] = field(default_factory=dict)
    taking: Snapshot | None = None
    half: bool = False
    done: Snapshot | None = None
    # It has done with this what it will ever do, also when it refused some of it.
    tried: Snapshot | None = None
    retry_at: float = 0.0

    def ends(self) -> frozenset[tuple[str, int]]:
        """Where it may send requests."""
        return frozenset().union(*(endpoints_of(one) for one in self.holds.get("eds", {}).values()))


class Server:
    """What Proxies and Loop use of xds/server.Server, for one life."""

    def __init__(
        self, turns: Turns, life: Life, wake: Callable[[], None], telling: Callable[[str, Snapshot], None] = lambda *_: None
    ) -> None:
        """`telling` is called with a node and what it is about to be told."""
        self.turns, self.life, self.wake, self.telling = turns, life, wake, telling
        self.told: dict[str, Snapshot] = {}
        self.streams: list[Envoy] = []
        self.nacks: dict[str, list[Nack]] = {}
        self.count = Count()

    def publish_all(self, snapshots: Mapping[str, Snapshot]) -> None:
        for node, snapshot in snapshots.items():
            self.telling(node, snapshot)
        self.told.update(snapshots)

    def forget(self, node: str) -> None:
        self.told.pop(node, None)
        self.nacks.pop(node, None)
        for envoy in [one for one in self.streams if one.node == node]:
            self.leave(envoy)

    def leave(self, envoy: Envoy) -> None:
        self.streams.remove(envoy)
        envoy.link = None

    def connected(self) -> Mapping[str, Connected]:
        result: dict[str, Connected] = {}
        for node in sorted({one.node for one in self.streams}):
            mine = sorted((one for one in self.streams if one.node == node), key=lambda one: (self.synced(one), one.since))
            acked: dict[str, Mapping[str, str]] = {}
            for one in mine:
                for type, versions in one.acked.items():
                    acked[type] = {**versions, **acked.get(type, {})}
            told = self.told.get(node)
            nacks = tuple(self.nacks.get(node, ()))
            synced = all(self.synced(one) for one in mine)
            named = {instance_on(one.host, one.instance): self.synced(one) for one in mine}
            sent, envoys = told.version if told else "", frozenset({ENVOY})
            result[node] = Connected(node, ENVOY, mine[0].since, sent, synced, acked, nacks, named, 0, envoys)
        return result

    def synced(self, envoy: Envoy) -> bool:
        told = self.told.get(envoy.node)
        return told is not None and envoy.done is not None and envoy.done.version == told.version

    def counters(self) -> Counters:
        return replace(self.count.copy(), streams=len(self.streams))


class Envoys:
    """All of them, wherever a Proxy runs. `silent`: none of them reaches any server."""

    def __init__(self, turns: Turns, machines: Mapping[str, Machine], server: Callable[[], Server | None]) -> None:
        self._turns, self._machines, self._server = turns, machines, server
        self.all: dict[tuple[str, Ref, str], Envoy] = {}
        self.silent = False
        self.slow_s = 0.2
        self.did: Counter[str] = Counter()
        # Called with an Envoy, what it is told, and the assignment that is about to replace another.
        self.replacing: Callable[[Envoy, Snapshot, XdsResource, XdsResource], None] = lambda *_: None

    def run(self) -> None:
        while True:
            self._turns.block(lambda: False, self._turns.rng.random() * self.slow_s)
            self._exist()
            if self.all:
                self._step(self._turns.rng.choice(list(self.all.values())))

    def _exist(self) -> None:
        """An Envoy is there as long as a Proxy's process is."""
        there = {
            (host, ref, instance)
            for host, machine in self._machines.items()
            for (ref, instance), thing in machine.things.items()
            if ref.kind == "Proxy" and thing.state == "running"
        }
        for key in sorted(self.all.keys() - there, key=str):
            envoy = self.all.pop(key)
            self._cut(envoy)
        for key in sorted(there - self.all.keys(), key=str):
            host, ref, instance = key
            self.all[key] = Envoy(node_id(ref), host, ref, instance)

    def _cut(self, envoy: Envoy) -> None:
        server = envoy.link
        if server is not None:
            server.leave(envoy)
            server.wake()

    def _step(self, envoy: Envoy) -> None:
        if envoy.link is not None and (self.silent or envoy.link.life.dead or envoy.link.life.ended):
            self._cut(envoy)
            envoy.retry_at = self._turns.t + self._turns.rng.random() * 2
        server = self._server()
        if envoy.link is None:
            if server is not None and not self.silent and self._turns.t >= envoy.retry_at:
                self._join(envoy, server)
            return
        told = envoy.link.told.get(envoy.node)
        if told is None or envoy.tried is told:
            return
        if envoy.taking is not told:
            # What was overtaken half way stays in use as far as it was taken in.
            envoy.taking, envoy.half = told, False
        if not envoy.half and self._turns.rng.random() < 0.5:
            self._take(envoy, told, whole=False)
            envoy.half = True
            return
        clean = self._take(envoy, told, whole=True)
        envoy.tried = told
        envoy.done = told if clean else None
        envoy.link.wake()
        self.did["acks"] += 1

    def _join(self, envoy: Envoy, server: Server) -> None:
        envoy.link, envoy.since = server, EPOCH + self._turns.t
        envoy.taking = envoy.done = envoy.tried = None
        # State of the world: a new server cannot know what the endpoints it holds are.
        envoy.acked = {"eds": dict.fromkeys(envoy.holds.get("eds", {}), UNKNOWN)}
        server.streams.append(envoy)
        server.count.connects += 1
        self.did["connects"] += 1
        server.wake()

    def _take(self, envoy: Envoy, told: Snapshot, *, whole: bool) -> bool:
        """Make before break: first what is new, and only then is anything let go. True when nothing was refused."""
        server = envoy.link
        assert server is not None
        clean = True
        for type, resources in told.resources.items():
            held = envoy.holds.setdefault(type, {})
            acked = envoy.acked.setdefault(type, {})
            bad = {name: one for name, one in resources.items() if BAD in one.body}
            if bad:
                clean = False
                self._refuse(envoy, server, type, bad)
            for name, one in resources.items():
                if name not in bad:
                    if type == "eds" and name in held and held[name].version != one.version:
                        self.replacing(envoy, told, held[name], one)
                    held[name] = one
                    acked[name] = one.version
            if whole:
                for name in [name for name in held if name not in resources]:
                    del held[name]
                for name in [name for name in acked if name not in resources]:
                    del acked[name]
        return clean

    def _refuse(self, envoy: Envoy, server: Server, type: str, bad: Mapping[str, XdsResource]) -> None:
        names = tuple(sorted(bad))
        versions = tuple(bad[name].version for name in names)
        nack = Nack(type, names, versions, "this domain is refused", EPOCH + self._turns.t, ENVOY)
        known = server.nacks.setdefault(envoy.node, [])
        if all(one.versions != versions for one in known):
            known.append(nack)
            server.count.nacks[type] += 1
            self.did["nacks"] += 1
        server.wake()
