"""What of Convoy's events this API tells, in the document's words (16.1): a proxy's health, configurations, deployments."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from api.events import Message
from api.surfaces.envoy_fleet.mapping import deployments
from api.surfaces.envoy_fleet.wire import moment
from reconciler.core.declared import Changed, Declared, version_id
from reconciler.core.model import Ref
from reconciler.core.show_events import fared_before
from reconciler.core.show_forms import HEALTH, PROXY, proxy_status
from reconciler.store import Event, Has, Store, Which, Window

STATUS, CONFIGURATION, DEPLOYMENT = "proxy.status.changed", "configuration.updated", "deployment.progress"
NAMES = (STATUS, CONFIGURATION, DEPLOYMENT)
# Of a revision that gives more proxies something else, the Configurations are told, and not each proxy.
MOST_PROXIES = 1_000
EVERY = Window(most=100_000, counted=False)
MOST_CHANGES = 1_000


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
        found = self._store.declared([event.ref]).get(event.ref) if old != new else None
        if found is not None:
            data = {"proxy_id": found.uid, "old_status": old, "new_status": new, "timestamp": moment(event.at)}
            yield Message(STATUS, found.tenant, frozenset({found.uid}), data)

    def _deployment(self, event: Event) -> Iterator[Message]:
        found = self._store.declared([event.ref]).get(event.ref)
        if found is None:
            return
        refs = [str(Ref("Proxy", name, found.tenant)) for name in deployments.proxies_of(found)]
        about = frozenset(one.uid for one in self._store.declared(refs).values())
        yield Message(DEPLOYMENT, found.tenant, about, deployments.shown(found, self._store.status([event.ref]).get(event.ref)))

    def _configurations(self, event: Event) -> Iterator[Message]:
        """Each proxy that this revision gives another version of a configuration, or another configuration."""
        changed: dict[str, Changed] = {}
        proxies: dict[str, Declared] = {}
        for change in self._changes(event):
            ref = Ref.parse(change.ref)
            if ref.kind == "Configuration":
                proxies |= self._serving(ref)
            elif ref.kind == "ProxyGroup" and _differs(change, "configuration"):
                proxies |= self._of_group(ref)
            elif ref.kind == "Proxy" and any(_differs(change, name) for name in ("configuration", "revision", "group")):
                proxies |= self._store.declared([change.ref])
            else:
                continue
            changed[change.ref] = change
        served = self._served(proxies.values(), changed)
        configurations = {name: one for name, one in changed.items() if Ref.parse(name).kind == "Configuration"}
        known = self._store.declared(served.keys() | configurations.keys())
        at, singly = moment(event.at), len(proxies) <= MOST_PROXIES
        for name, every in served.items():
            if singly and name in known:
                yield from (self._configuration(known[name], one, at, configurations.get(name)) for one in every)
        for name, change in configurations.items():
            if name in known and not (singly and name in served):
                about = frozenset(one.uid for one in served.get(name, ()))
                data = _updated(None, known[name].uid, change.version, change.n, at)
                yield Message(CONFIGURATION, known[name].tenant, about, data)

    def _served(self, proxies: Collection[Declared], changed: Mapping[str, Changed]) -> dict[str, list[Declared]]:
        """Printed ref of a Configuration ⇒ those of these that serve it."""
        every = [_then(one, changed) for one in proxies]
        groups = self._store.declared({str(Ref("ProxyGroup", deployments.group_of(one), one.tenant)) for one in every})
        found: dict[str, list[Declared]] = {}
        for one in every:
            group = groups.get(str(Ref("ProxyGroup", deployments.group_of(one), one.tenant)))
            name = deployments.served_by(one, _then(group, changed) if group is not None else None)
            if name:
                found.setdefault(str(Ref("Configuration", name, one.tenant)), []).append(one)
        return found

    def _configuration(self, configuration: Declared, proxy: Declared, at: str | None, change: Changed | None) -> Message:
        """`change` is what the revision that is told of made of the configuration, None for nothing."""
        pin = str(proxy.spec.get("revision") or "")
        id, n = (change.version, change.n) if change is not None else (configuration.version, configuration.n)
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
                if change.change in ("created", "changed"):
                    yield change
            if len(page) < MOST_CHANGES:
                return
            before = page[-1].number

    def _serving(self, configuration: Ref) -> dict[str, Declared]:
        """The proxies that serve it as it is now."""
        found = self._where("Proxy", configuration, "configuration")
        for group in self._where("ProxyGroup", configuration, "configuration").values():
            found |= self._of_group(Ref(group.kind, group.name, group.tenant))
        return {ref: one for ref, one in found.items() if not one.spec.get("revision")}

    def _of_group(self, group: Ref) -> dict[str, Declared]:
        """Those that serve what it says."""
        found = self._where("Proxy", group, "group")
        return {ref: one for ref, one in found.items() if not one.spec.get("configuration")}

    def _where(self, kind: str, named: Ref, field: str) -> dict[str, Declared]:
        """The resources of a kind, in its tenant, that name it there."""
        which = Which(kind, named.tenant, has=(Has(("spec", field), frozenset({named.name})),))
        return {row.declared.ref: row.declared for row in self._store.pages.page(which, EVERY).rows}


def _then(one: Declared, changed: Mapping[str, Changed]) -> Declared:
    """As the revision that is told of declares it, which may be long ago."""
    change = changed.get(one.ref)
    return replace(one, document=change.after) if change is not None and change.after is not None else one


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
