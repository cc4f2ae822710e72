"""blend(): what is wanted, without what an Envoy has refused: the last good in its place, and everything still consistent."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from reconciler.core import envoy
from reconciler.core.model import Snapshot, XdsResource

Resources = Mapping[str, Mapping[str, XdsResource]]


@dataclass(frozen=True, slots=True)
class Change:
    """Where a blend differs from what is wanted, and why.

    `replaced`: the last good content instead. `dropped`: not there at all. `kept`: no longer wanted, but what stays needs it.
    `resource` is what is wanted, for `kept` the old one.
    """

    resource: XdsResource
    became: Literal["replaced", "dropped", "kept"]
    why: str


@dataclass(frozen=True, slots=True)
class Blend:
    """The best consistent snapshot without what is bad; `changes` is empty when that is exactly what is wanted."""

    snapshot: Snapshot
    changes: tuple[Change, ...] = ()


def with_live(
    last_good: Resources, wanted: Snapshot, live: Callable[[Mapping[str, XdsResource]], Mapping[str, XdsResource]]
) -> Resources:
    """The same, with the endpoints of now for what `wanted` asks nothing of: what is kept may be kept for long."""
    asked = wanted.resources.get("eds", {})
    kept = {name: one for name, one in last_good.get("eds", {}).items() if name not in asked}
    return {**last_good, "eds": {**last_good["eds"], **live(kept)}} if kept else last_good


def blend(wanted: Snapshot, refused: Mapping[str, str], last_good: Resources) -> Blend:
    """`refused` maps content versions to Envoy's words; `last_good` is the last complete set this proxy has acknowledged.

    A resource is wanted, or else its last good, or else not there, and only ever moves in that direction, so this ends. What
    comes out passes `connect.check`, whatever goes in.
    """
    mix = _Mix(wanted, {type: dict(resources) for type, resources in wanted.resources.items()}, refused, last_good)
    for resources in wanted.resources.values():
        for resource in resources.values():
            if resource.version in refused:
                mix.retreat(resource, f"Envoy refuses it: {refused[resource.version]}")
    while True:
        missing = envoy.missing(Snapshot("", mix.now))
        if not missing:
            break
        for resource, type, name in missing:
            mix.mend(resource, type, name)
    if not mix.changes:
        return Blend(wanted)
    now = {type: wanted.resources[type] if mix.same(type) else dict(sorted(mix.now[type].items())) for type in mix.now}
    return Blend(envoy.snapshot(now), tuple(mix.changes[key] for key in sorted(mix.changes)))


@dataclass(slots=True)
class _Mix:
    """A snapshot on its way from what is wanted to what is consistent."""

    wanted: Snapshot
    now: dict[str, dict[str, XdsResource]]
    refused: Mapping[str, str]
    last_good: Resources
    changes: dict[tuple[str, str], Change] = field(default_factory=dict)
    gone: set[tuple[str, str]] = field(default_factory=set)

    def good(self, type: str, name: str) -> XdsResource | None:
        """The last good content of this name, unless that is bad by now or was tried here already."""
        old = self.last_good.get(type, {}).get(name)
        return None if old is None or old.version in self.refused or (type, name) in self.gone else old

    def retreat(self, resource: XdsResource, why: str) -> None:
        """Put the last good in the place of this resource; take it out where there is none, or that is what it is."""
        key = (resource.type, resource.name)
        wanted = self.wanted.get(*key)
        old = self.good(*key)
        if old is not None and old.version != resource.version:
            self.now[resource.type][resource.name] = old
            self._note(key, Change(wanted or resource, "replaced", why))
            return
        del self.now[resource.type][resource.name]
        self.gone.add(key)
        if wanted is None:
            self.changes.pop(key, None)
        else:
            self._note(key, Change(wanted, "dropped", why))

    def mend(self, resource: XdsResource, type: str, name: str) -> None:
        """This resource needs something that is not there: bring that back if it is old itself, else let it retreat."""
        if self.now[resource.type].get(resource.name) is not resource or name in self.now.get(type, {}):
            return
        mine = self.last_good.get(resource.type, {}).get(resource.name)
        needed = self.good(type, name)
        if mine is not None and mine.version == resource.version and needed is not None:
            self.now.setdefault(type, {})[name] = needed
            self._note((type, name), Change(needed, "kept", f"{resource.type.upper()} {resource.name} still needs it"))
        else:
            self.retreat(resource, f"it needs {type.upper()} {name}, which is not there")

    def same(self, type: str) -> bool:
        return self.now[type] == self.wanted.resources.get(type)

    def _note(self, key: tuple[str, str], change: Change) -> None:
        before = self.changes.get(key)
        # The first reason is the one to tell: what follows from it says less.
        why = before.why if before is not None else change.why
        self.changes[key] = Change(change.resource, change.became, why)
