"""What of Convoy's events this API tells, in the document's words (16.1): a proxy's health, configurations, deployments."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from api.events import Message
from api.surfaces.envoy_fleet.mapping import deployments
from api.surfaces.envoy_fleet.then import KINDS, Then, was
from api.surfaces.envoy_fleet.wire import moment
from reconciler.core.declared import Changed, Declared, version_id
from reconciler.core.model import Ref
from reconciler.core.show_events import fared_before
from reconciler.core.show_forms import HEALTH, PROXY, proxy_status
from reconciler.store import Event, Store

STATUS, CONFIGURATION, DEPLOYMENT = "proxy.status.changed", "configuration.updated", "deployment.progress"
NAMES = (STATUS, CONFIGURATION, DEPLOYMENT)
# Of a revision that gives more proxies something else, the Configurations are told, and not each proxy.
MOST_PROXIES = 1_000
MOST_CHANGES = 1_000
# What of each says which configuration, and which version of it, proxies are given.
SAYS = {"Proxy": ("configuration", "revision", "group"), "ProxyGroup": ("configuration",), "Configuration": ()}


class Happenings:
    """Reads what an event does not say. Raises StoreError."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def told(self, event: Event) -> Iterable[Message]:
        if event.kind.startswith(HEALTH) and event.ref.startswith(PROXY):
            return self._status(event)
        if event.kind.startswith("rollout."):
            return self._deployment(event)
        if event.kind == "revision.accepted":
            return self._configurations(event)
        return ()

    def _status(self, event: Event) -> Iterator[Message]:
        old, new = proxy_status(fared_before(event.message)), proxy_status(event.kind.removeprefix(HEALTH))
        found = self._declared(event.ref, event.at) if old != new else None
        if found is not None:
            data = {"proxy_id": found.uid, "old_status": old, "new_status": new, "timestamp": moment(event.at)}
            yield Message(STATUS, found.tenant, frozenset({found.uid}), data)

    def _deployment(self, event: Event) -> Iterator[Message]:
        found = self._declared(event.ref, event.at)
        if found is None:
            return
        refs = [str(Ref("Proxy", name, found.tenant)) for name in deployments.proxies_of(found)]
        about = frozenset(one.uid for one in self._store.declared(refs).values())
        now = self._store.status([event.ref]).get(event.ref, {}).get("rollout")
        began = now.get("startedAt") if isinstance(now, Mapping) else None
        data = deployments.told(found, event.kind, event.message, event.at, began)
        yield Message(DEPLOYMENT, found.tenant, about, data)

    def _declared(self, ref: str, at: float) -> Declared | None:
        """How it was declared at that time, also where it is not any more."""
        now = self._store.declared([ref]).get(ref)
        return now if now is not None and now.at <= at else was(self._store.declared_at(ref, at), None) or now

    def _configurations(self, event: Event) -> Iterator[Message]:
        """Each proxy that this revision gave another version of a configuration, or another configuration."""
        every = [one for one in self._changes(event) if Ref.parse(one.ref).kind in KINDS]
        changed = {one.ref: one for one in every if one.change in ("created", "changed")}
        if not changed:
            return
        then = Then(self._store, max(one.number for one in every))
        # Kind and tenant ⇒ the names of what has changed so that its proxies are given something else.
        given: dict[tuple[str, str], list[str]] = {}
        for change in changed.values():
            ref = Ref.parse(change.ref)
            if any(_differs(change, name) for name in SAYS[ref.kind]) or ref.kind == "Configuration":
                given.setdefault((ref.kind, ref.tenant), []).append(ref.name)
        proxies: dict[str, Declared] = {}
        for (kind, tenant), names in given.items():
            if kind == "Configuration":
                proxies |= _serving(then, tenant, names)
            elif kind == "ProxyGroup":
                proxies |= _of_groups(then, tenant, names)
            else:
                proxies |= then.declared([str(Ref(kind, name, tenant)) for name in names])
        served = _served(then, proxies.values())
        configurations = {name: one for name, one in changed.items() if Ref.parse(name).kind == "Configuration"}
        known = then.declared(served.keys() | configurations.keys())
        at, singly = moment(event.at), len(proxies) <= MOST_PROXIES
        for name, those in served.items():
            if singly and name in known:
                yield from (self._configuration(known[name], one, at) for one in those)
        for name in configurations:
            if name in known and not (singly and name in served):
                about = frozenset(one.uid for one in served.get(name, ()))
                data = _updated(None, known[name].uid, known[name].version, known[name].n, at)
                yield Message(CONFIGURATION, known[name].tenant, about, data)

    def _configuration(self, configuration: Declared, proxy: Declared, at: str | None) -> Message:
        pin = str(proxy.spec.get("revision") or "")
        id, n = configuration.version, configuration.n
        if pin:
            version = self._store.version(version_id(configuration.uid, pin))
            id, n = (version.id, version.n) if version is not None else (version_id(configuration.uid, pin), 0)
        data = _updated(proxy.uid, configuration.uid, id, n or None, at)
        return Message(CONFIGURATION, proxy.tenant, frozenset({proxy.uid}), data)

    def _changes(self, event: Event) -> Iterator[Changed]:
        """Those of the last time that this revision came into force, up to then."""
        before: int | None = None
        when: float | None = None
        while True:
            page = self._store.history(accepted=event.ref, before=before, most=MOST_CHANGES)
            for change in page:
                if change.at > event.at + 1.0:
                    continue
                if when is not None and change.at != when:
                    return
                when = change.at
                yield change
            if len(page) < MOST_CHANGES:
                return
            before = page[-1].number


def _served(then: Then, proxies: Collection[Declared]) -> dict[str, list[Declared]]:
    """Printed ref of a Configuration ⇒ those of these that served it."""
    groups = then.declared({str(Ref("ProxyGroup", deployments.group_of(one), one.tenant)) for one in proxies})
    found: dict[str, list[Declared]] = {}
    for one in proxies:
        name = deployments.served_by(one, groups.get(str(Ref("ProxyGroup", deployments.group_of(one), one.tenant))))
        if name:
            found.setdefault(str(Ref("Configuration", name, one.tenant)), []).append(one)
    return found


def _serving(then: Then, tenant: str, configurations: Collection[str]) -> dict[str, Declared]:
    """The proxies that served one of these as it was declared."""
    found = then.naming("Proxy", tenant, configurations, "configuration")
    groups = then.naming("ProxyGroup", tenant, configurations, "configuration")
    found |= _of_groups(then, tenant, [one.name for one in groups.values()])
    return {ref: one for ref, one in found.items() if not one.spec.get("revision")}


def _of_groups(then: Then, tenant: str, groups: Collection[str]) -> dict[str, Declared]:
    """Those that served what one of these said."""
    found = then.naming("Proxy", tenant, groups, "group")
    return {ref: one for ref, one in found.items() if not one.spec.get("configuration")}


def _updated(proxy: str | None, configuration: str, version: str, n: int | None, at: str | None) -> dict[str, object]:
    return {
        "proxy_id": proxy,
        "configuration_id": configuration,
        "version_id": version,
        "version_number": n,
        "timestamp": at,
    }


def _differs(change: Changed, name: str) -> bool:
    return _spec(change.before).get(name) != _spec(change.after).get(name) or change.before is None


def _spec(document: Mapping[str, Any] | None) -> Mapping[str, Any]:
    spec = document.get("spec") if document is not None else None
    return spec if isinstance(spec, Mapping) else {}
