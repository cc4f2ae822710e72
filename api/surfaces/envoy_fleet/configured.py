"""What a proxy is configured with: its own Configuration, its group's, or a version that it is pinned to; and who else is."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from api.surfaces.envoy_fleet.mapping.deployments import group_of, served_by
from api.surfaces.envoy_fleet.mapping.proxies import Active, Fares
from reconciler.core.declared import Declared, version_id
from reconciler.core.handover import node_id
from reconciler.core.model import Ref
from reconciler.core.native import PortOf
from reconciler.store import Has, Store, Which, Window

NOTHING: frozenset[str | None] = frozenset({None})
# How many groups that may serve the same are looked at at once.
AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Configured:
    """`name` is of the Configuration, "" where the proxy has none; `own` is it where the proxy itself names it, `now` what is
    declared under that name today. `active` is the version that is served, None where nobody knows what that says."""

    proxy: Declared
    group: Declared | None
    name: str
    own: bool
    pinned: str
    now: Declared | None
    active: Active | None

    @property
    def ref(self) -> Ref:
        return Ref("Configuration", self.name, self.proxy.tenant)


def configured(store: Store, proxies: Iterable[Declared]) -> list[Configured]:
    """Of each of these, in their order, with as few questions as there are kinds of things to ask for."""
    every = list(proxies)
    groups = store.declared({str(_group(one)) for one in every})
    named = [(one, groups.get(str(_group(one)))) for one in every]
    wanted = {str(Ref("Configuration", name, one.tenant)) for one, group in named if (name := served_by(one, group))}
    found = store.declared(wanted)
    past: dict[tuple[str, str], Active | None] = {}
    return [_configured(store, one, group, found, past) for one, group in named]


def _configured(
    store: Store,
    proxy: Declared,
    group: Declared | None,
    found: Mapping[str, Declared],
    past: dict[tuple[str, str], Active | None],
) -> Configured:
    name, pinned = served_by(proxy, group), _text(proxy, "revision")
    ref = str(Ref("Configuration", name, proxy.tenant))
    now = found.get(ref)
    one = Configured(proxy, group, name, bool(_text(proxy, "configuration")), pinned, now, active(now) if now else None)
    if not pinned:
        return one
    if (ref, pinned) not in past:
        past[ref, pinned] = _declared_by(store, ref, now, pinned)
    return replace(one, active=past[ref, pinned])


def active(now: Declared) -> Active:
    version = now.version or version_id(now.uid, now.revision)
    return Active(now.uid, version, now.n, now.author, now.at, now.message, now.document, now.digest)


def version(store: Store, ref: Ref, n: int) -> Active | None:
    """The `n`th of a Configuration; None where there is none, or what it said is not kept any more."""
    return _active(store.nth(str(ref), n))


def _declared_by(store: Store, ref: str, now: Declared | None, revision: str) -> Active | None:
    kept = store.version(version_id(now.uid, revision)) if now is not None else None
    if now is not None and kept is not None and kept.ref == ref:
        return active(now) if kept.n == now.n else _active(store.nth(ref, kept.n))
    return _active(store.declared_by(ref, revision))


def _active(one: Any) -> Active | None:
    if one is None or one.after is None:
        return None
    return Active(one.uid, one.version, one.n, one.author, one.at, one.message, one.after, one.digest)


def fares(store: Store, proxies: Iterable[Declared]) -> dict[str, Fares]:
    """By printed ref."""
    every = list(proxies)
    nodes = {one.ref: node_id(Ref.parse(one.ref)) for one in every}
    rows, standings, now = store.status(nodes), store.standings(nodes.values()), time.time()
    return {ref: Fares(rows.get(ref), standings.get(node), now) for ref, node in nodes.items()}


def shared(store: Store, one: Configured) -> bool:
    """Whether another proxy would be told of it too if this Configuration changed."""
    name = Has(("spec", "configuration"), frozenset({one.name}))
    if _another(store, one.proxy, name, Has(("spec", "revision"), NOTHING)):
        return True
    window = Window(most=AT_ONCE, counted=False)
    while True:
        groups = store.pages.page(Which("ProxyGroup", one.proxy.tenant, has=(name,)), window).rows
        for group in groups:
            # Those of the group that name one of their own do not serve the group's.
            named = Has(("spec", "group"), frozenset({group.declared.name}))
            if _another(store, one.proxy, named, Has(("spec", "configuration"), NOTHING)):
                return True
        if len(groups) < AT_ONCE:
            return False
        window = replace(window, beyond=(groups[-1].key, groups[-1].tie))


def _another(store: Store, proxy: Declared, *has: Has) -> bool:
    # Of two at least one is not this one.
    page = store.pages.page(Which("Proxy", proxy.tenant, has=has), Window(most=2, counted=False))
    return any(one.declared.ref != proxy.ref for one in page.rows)


def ports(store: Store, tenant: str) -> PortOf:
    """Which port of an Application or a Container its clusters send to."""

    def port_of(kind: str, name: str, port: str | None) -> str:
        if port:
            return port
        ref = str(Ref(kind, name, tenant))
        declared = store.declared([ref]).get(ref)
        spec = declared.spec if declared is not None else {}
        if isinstance(spec.get("port"), str):
            return str(spec["port"])
        named = spec.get("ports")
        first = named[0] if isinstance(named, list) and named else {}
        return str(first.get("name", "http")) if isinstance(first, Mapping) else "http"

    return port_of


def _group(proxy: Declared) -> Ref:
    return Ref("ProxyGroup", group_of(proxy), proxy.tenant)


def _text(one: Declared, field: str) -> str:
    value = one.spec.get(field)
    return value if isinstance(value, str) else ""
