"""What of a proxy's news waits: no request that is answered now is sent to a backend of which nothing is healthy yet."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from reconciler.core import envoy
from reconciler.core.blend import Resources, blend, with_live
from reconciler.core.handover import some
from reconciler.core.model import Ref, Snapshot, XdsResource
from reconciler.core.overdue import UNSERVED, Wait
from reconciler.core.virtual_hosts import mixed

Part = tuple[Snapshot, Wait | None]
WHAT = {"cds": "cluster", "lds": "listener", "rds": "routes", "host": "virtual host"}


class Backends(Protocol):
    """What `core.connect` knows of them, by the names of their assignments."""

    @property
    def starting(self) -> Mapping[str, Ref]: ...

    def serves(self, name: str) -> bool: ...

    def live(self, kept: Mapping[str, XdsResource]) -> dict[str, XdsResource]: ...


@dataclass(frozen=True, slots=True)
class _Found:
    """What came of two snapshots, and what else that was made from. While these are kept, nothing else has their identity."""

    wanted: Snapshot
    running: Snapshot
    starting: Mapping[str, Ref]
    good: Resources
    silent: frozenset[str]
    part: Part

    def same(self, starting: Mapping[str, Ref], good: Resources, silent: Collection[str]) -> bool:
        return self.starting == starting and self.silent == silent and self.good.get("eds") == good.get("eds")


class Ready:
    """Remembers what it found: the proxies of one group are mostly told the same, and a wait lasts many rounds."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, int], _Found] = {}
        self._before: dict[tuple[int, int], _Found] = {}
        # Identity of assignments ⇒ those, and which of them start.
        self._starting: dict[int, tuple[Mapping[str, XdsResource], dict[str, Ref]]] = {}

    def turn(self) -> None:
        """A round begins: what no proxy had in the last one is forgotten."""
        self._before, self._found, self._starting = self._found, {}, {}

    def starts(self, wanted: Snapshot, backends: Backends) -> dict[str, Ref]:
        """What of its backends is starting."""
        if not backends.starting:
            return {}
        told = wanted.resources.get("eds", {})
        known = self._starting.get(id(told))
        if known is None:
            names = told.keys() & backends.starting.keys()
            known = self._starting[id(told)] = told, {name: backends.starting[name] for name in sorted(names)}
        return known[1]

    def part(self, wanted: Snapshot, running: Snapshot | None, backends: Backends) -> Part:
        """What of `wanted` may be told now to a proxy that was last told `running`, and what the rest waits for.

        Who was told nothing yet has nothing to lose: it is told everything.
        """
        starting = self.starts(wanted, backends)
        if running is None or not starting or wanted.version == running.version:
            return wanted, None
        key = id(wanted), id(running)
        found = self._found.get(key)
        if found is None:
            good = with_live(running.resources, wanted, backends.live)
            silent = frozenset(name for name in good.get("eds", {}) if not backends.serves(name))
            found = self._before.get(key)
            if found is None or not found.same(starting, good, silent):
                found = _Found(wanted, running, starting, good, silent, _Draft(wanted, good, starting, silent).part())
            self._found[key] = found
        return found.part


@dataclass(slots=True)
class _Draft:
    """One snapshot, while what waits is being found."""

    wanted: Snapshot
    good: Resources
    starting: Mapping[str, Ref]
    silent: Collection[str]
    bad: dict[str, str] = field(default_factory=dict)
    mixes: dict[str, XdsResource] = field(default_factory=dict)
    # What waits ⇒ for which backends.
    waits: dict[str, set[Ref]] = field(default_factory=lambda: defaultdict(set))

    def part(self) -> Part:
        clusters = self.clusters()
        self.routes(clusters)
        self.listeners(clusters)
        if not self.waits:
            return self.wanted, None
        backends = sorted({ref for refs in self.waits.values() for ref in refs})
        stay = "stays as it was" if len(self.waits) == 1 else "stay as they were"
        why = f"sends no requests to {some(map(str, backends))} before one is healthy there: {some(self.waits)} {stay}"
        return blend(self.put(), self.bad, self.good).snapshot, Wait(why, UNSERVED.format(ref=backends[0]))

    def changed(self, type: str) -> Iterator[tuple[XdsResource, XdsResource]]:
        """What is told already, and is to be something else: new and old."""
        new, old = self.wanted.resources.get(type, {}), self.good.get(type, {})
        if new is not old:
            for name, one in new.items():
                if name in old and old[name].version != one.version:
                    yield one, old[name]

    def stays(self, resource: XdsResource, backends: Collection[Ref]) -> None:
        self.bad[resource.version] = "it waits"
        self.waits[f"{WHAT[resource.type]} {resource.name}"].update(backends)

    def answers(self, cluster: str) -> bool:
        """Whether requests that go there now are answered. What we declare no endpoints of is not ours to judge."""
        old = self.good.get("cds", {}).get(cluster)
        return old is None or not old.eds or old.eds not in self.silent

    def clusters(self) -> dict[str, Ref]:
        """Cluster ⇒ its backend, of those that start and are no cluster that stays."""
        found = {one.name: self.starting[one.eds] for one in self.wanted.resources.get("cds", {}).values() if self._starts(one)}
        for new, old in self.changed("cds"):
            if self._starts(new) and new.eds != old.eds and self.answers(new.name):
                self.stays(new, [found.pop(new.name)])
        return found

    def _starts(self, cluster: XdsResource) -> bool:
        return cluster.eds in self.starting

    def routes(self, clusters: Mapping[str, Ref]) -> None:
        for new, old in self.changed("rds"):
            if not any(type == "cds" and name in clusters for type, name in new.refers):
                continue
            mix = mixed(new, old, clusters, self.answers)
            if mix is None:
                continue
            backends = {clusters[name] for name in mix.clusters}
            if mix.resource is None:
                self.bad[new.version] = "it waits"
            else:
                self.mixes[new.name] = mix.resource
            for what in [f"{WHAT['host']} {host}" for host in mix.hosts] or [f"{WHAT['rds']} {new.name}"]:
                self.waits[what].update(backends)

    def listeners(self, clusters: Mapping[str, Ref]) -> None:
        for new, old in self.changed("lds"):
            known = {name for type, name in old.refers if type == "rds"}
            had = {*_clusters(old), *(name for rds in known for name in self._through(self.good, rds))}
            # Routes that it has had before wait by themselves where they have to.
            fresh = [name for type, name in new.refers if type == "rds" and name not in known]
            led = {*_clusters(new), *(name for rds in fresh for name in self._through(self.wanted.resources, rds))}
            news = (led - had) & clusters.keys()
            if news and (not had or any(map(self.answers, had))):
                self.stays(new, {clusters[name] for name in news})

    def _through(self, among: Resources, rds: str) -> set[str]:
        routes = among.get("rds", {}).get(rds)
        return _clusters(routes) if routes is not None else set()

    def put(self) -> Snapshot:
        """What is wanted with the mixed routes, and what these still need of what was there."""
        if not self.mixes:
            return self.wanted
        now = {type: dict(resources) for type, resources in self.wanted.resources.items()}
        now["rds"].update(self.mixes)
        following = [need for one in self.mixes.values() for need in envoy.needs(one)]
        while following:
            type, name = following.pop()
            old = self.good.get(type, {}).get(name)
            if name not in now.setdefault(type, {}) and old is not None:
                now[type][name] = old
                following += envoy.needs(old)
        same = self.wanted.resources
        return envoy.snapshot({t: same[t] if same.get(t) == one else dict(sorted(one.items())) for t, one in now.items()})


def _clusters(resource: XdsResource) -> set[str]:
    return {name for type, name in resource.refers if type == "cds"}
