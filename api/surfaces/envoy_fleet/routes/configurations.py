"""What proxies are configured with (sections 6.2 to 6.4), and the listeners and routes of a configuration (8 and 9)."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from flask import request

from api.changes import Done, Terms
from api.fleet import SETTLING_S
from api.kept import Text, dumped
from api.surfaces.envoy_fleet import pages, wire
from api.surfaces.envoy_fleet.configured import Configured, configured, fares, ports, shared, version
from api.surfaces.envoy_fleet.mapping import configurations, entries, proxies
from api.surfaces.envoy_fleet.mapping.envoy import entry_id
from api.surfaces.envoy_fleet.mapping.proxies import Active
from api.surfaces.envoy_fleet.operations import Answer, Asked, Operations, tagged
from api.surfaces.envoy_fleet.routes.proxies import KIND as PROXY
from api.surfaces.envoy_fleet.routes.proxies import WORD as PROXY_WORD
from reconciler.core.declared import Declared
from reconciler.core.envelope import LONGEST_NAME
from reconciler.core.model import Ref
from reconciler.core.named import upserted
from reconciler.core.patches import copied
from reconciler.core.proposal import Change, Refused
from reconciler.core.show_layout import harmless

KIND, WORD = "Configuration", "configuration"
LISTS = ("listeners", "routes", "clusters")
Spec = dict[str, Any]
# What a change makes of one that is configured so: what is laid over its Configuration, the whole of it as it is then, and in
# which words.
Make = Callable[[Configured], tuple[Change, Spec, str]]


def add(served: Operations) -> None:
    @served("proxies.configuration.get")
    def get(asked: Asked, id: str) -> Answer:
        proxy = asked.find(PROXY, id, PROXY_WORD)
        digest, _, text = asked.reach.store.by_heart((_read, proxy.uid), lambda: _read(asked, proxy)).partition(b"\0")
        return Answer(Text(text), digest=digest.decode())

    @served("proxies.configuration.update")
    def update(asked: Asked, id: str) -> Answer:
        def make(one: Configured) -> tuple[Change, Spec, str]:
            active = _known(one)
            said = _said(asked, one, active) if active is not None else _unsaid(asked, one)
            spec = copied(dict(active.spec)) if active is not None else {}
            port_of = ports(asked.reach.store, one.proxy.tenant)
            wanted = configurations.wanted(asked.body, spec, said, one.proxy.tenant, port_of)
            laid = {which: list(given) for which, given in wanted.entries.items() if given or wanted.whole}
            document = {"spec": laid} if laid else {}
            if not wanted.whole:
                return Change("upsert", one.ref, document), upserted(copied(spec), copied(laid)), wanted.description
            # What has come meanwhile is not among what is to stay.
            match = (active.digest,) if active is not None and active.digest else ()
            return Change("patch", one.ref, document, match=match), spec | copied(laid), wanted.description

        return _changed(asked, id, make)

    @served("proxies.configuration.rollback")
    def rollback(asked: Asked, id: str) -> Answer:
        n = asked.body["target_version"]

        def make(one: Configured) -> tuple[Change, Spec, str]:
            old = version(asked.reach.store, one.ref, n) if one.name else None
            if old is None:
                raise wire.NotFound("version of this configuration")
            spec = {name: copied(old.spec[name]) for name in LISTS if name in old.spec}
            # What it had not is taken away.
            document = {"spec": {name: spec.get(name) for name in LISTS}}
            words = asked.body.get("reason") or f"Return {one.ref} to version {n}"
            return Change("patch", one.ref, document), spec, words

        return _changed(asked, id, make)

    @served("listeners.list")
    def listeners(asked: Asked, config_id: str) -> dict[str, Any]:
        return _listed(asked, config_id, "listeners", _listener_views)

    @served("listeners.create")
    def create_listener(asked: Asked, config_id: str) -> Answer:
        return _added(asked, config_id, "listeners", entries.listener_entry, _listener_views)

    @served("routes.list")
    def routes(asked: Asked, config_id: str) -> dict[str, Any]:
        return _listed(asked, config_id, "routes", _route_views)

    @served("routes.create")
    def create_route(asked: Asked, config_id: str) -> Answer:
        return _added(asked, config_id, "routes", entries.route_entry, _route_views)


# A proxy's


def _of(asked: Asked, id: str) -> Configured:
    (one,) = configured(asked.reach.store, [asked.find(PROXY, id, PROXY_WORD)])
    return one


def _read(asked: Asked, proxy: Declared) -> bytes:
    """The digest of what it serves, NUL, and what is said of that, as JSON. Raises NotFound."""
    (one,) = configured(asked.reach.store, [proxy])
    if one.active is None:
        raise wire.NotFound("configuration of this proxy")
    return one.active.digest.encode() + b"\0" + dumped(_said(asked, one, one.active, _static(asked, one.active)))


def _known(one: Configured) -> Active | None:
    """What it serves; raises Refused where it is pinned to what nobody here knows."""
    if one.pinned and one.active is None:
        what = f"this proxy is pinned to commit {one.pinned[:12]}, and what that declares is not kept here"
        raise Refused("conflict", what, "roll it back, or deploy another version to it")
    return one.active


def _shown(asked: Asked, one: Configured) -> Answer:
    if one.active is None:
        raise wire.NotFound("configuration of this proxy")
    return _tagged(one.active, _said(asked, one, one.active))


def _tagged(active: Active, said: dict[str, Any]) -> Answer:
    return Answer(said, digest=active.digest)


def _static(asked: Asked, active: Active) -> Text | None:
    """Its listeners and clusters as they were said before; None where they say of an Application or a Container what stands in
    that: its port."""
    tenant, spec = asked.account.tenant, active.spec
    if any({"application", "container"} & one.keys() for one in configurations.entries(spec, "clusters")):
        return None
    key = ("static_resources", tenant, active.uid, active.id, active.n, active.digest)
    return asked.reach.kept.under(key, lambda: configurations.static_resources(spec, tenant, ports(asked.reach.store, tenant)))


def _said(asked: Asked, one: Configured, active: Active, static: Text | None = None) -> dict[str, Any]:
    store, proxy = asked.reach.store, one.proxy
    fare = fares(store, [proxy])[proxy.ref]
    seen = (store.state() or {}).get("revision") == store.last_good()
    delivered = proxies.delivery(active, fare, store.status([str(one.ref)]).get(str(one.ref)), seen=seen)
    port_of = ports(store, proxy.tenant)
    said = static or configurations.static_resources(active.spec, proxy.tenant, port_of)
    return proxies.shown_configuration(proxy, one.name, one.group, active, fare, delivered, said)


def _unsaid(asked: Asked, one: Configured) -> dict[str, Any]:
    """What would be answered of a proxy that has no configuration yet."""
    nothing = Active("", "", 0, "", 0.0, "", {}, "")
    said = _said(asked, one, nothing)
    return {name: said[name] for name in ("proxy_id", "dynamic_resources", "admin_config")}


def _changed(asked: Asked, id: str, make: Make) -> Answer:
    asked.find(PROXY, id, PROXY_WORD)

    def plan(terms: Terms) -> tuple[tuple[Change, ...], Terms]:
        one = _of(asked, id)
        change, spec, words = make(one)
        terms = replace(terms, message=terms.message or words)
        if one.now is not None and not one.pinned and not shared(asked.reach.store, one):
            return (change,), terms
        # It gets one of its own: what others serve stays as it is, and what was pinned goes on from there.
        digest = one.active.digest if one.active is not None else ""
        if terms.match and not {digest, "*"} & {*terms.match} - {""}:
            raise Refused("precondition", "the configuration is not what If-Match says", "read it again, and decide anew")
        return _own(asked, one, spec), replace(terms, match=())

    done = asked.worked_out(plan)
    made = done.proposal if isinstance(done, Done) else done
    if made is not None and not asked.reach.fleet.in_force(made, SETTLING_S, judged=True):
        request.environ["convoy.late"] = True
        return _committed(asked, _of(asked, id))
    return _shown(asked, _of(asked, id))


def _committed(asked: Asked, one: Configured) -> Answer:
    """It is in Git and not in force: what is served is what was before, and why that is so is told where it is known."""
    judged = asked.reach.store.current()
    problems = judged.problems if judged is not None and judged.status == "refused" else ()
    why = str(problems[0]) if problems else "it is committed, and not in force yet"
    if one.active is None:
        raise Refused("conflict", f"this is committed, and not in force: {why}", "commit something else")
    answer = _shown(asked, one)
    late = answer.body["delivery"] | {"state": "refused" if problems else "pending", "message": harmless(why)}
    return Answer(answer.body | {"delivery": late})


def _own(asked: Asked, one: Configured, spec: Spec) -> tuple[Change, ...]:
    """A Configuration of this proxy's own, and the proxy that serves it: by one commit."""
    proxy = one.proxy
    ref = Ref(PROXY, proxy.name, proxy.tenant)
    if one.own and one.now is not None and not shared(asked.reach.store, one):
        # Nobody else serves what it was pinned to a version of.
        whole = {"spec": {name: spec.get(name) for name in LISTS}}
        changed = Change("patch", one.ref, whole, match=(one.now.digest,))
        return changed, Change("patch", ref, {"spec": {"revision": None}}, match=(proxy.digest,))
    made = Change("put", Ref(KIND, _free(asked, proxy), proxy.tenant), {"spec": spec}, new=True)
    served = {"configuration": made.ref.name, "revision": None}
    return made, Change("patch", ref, {"spec": served}, match=(proxy.digest,))


def _free(asked: Asked, proxy: Declared) -> str:
    """A name that no Configuration has."""
    names = [f"{proxy.name}-config", *(f"{proxy.name}-config-{number}" for number in range(2, 10))]
    refs = [Ref(KIND, name, proxy.tenant) for name in names if len(name) <= LONGEST_NAME]
    taken = asked.reach.fleet.digests(refs)
    free = next((ref.name for ref in refs if ref not in taken), "")
    return free or f"{proxy.name[: LONGEST_NAME - 9]}-{proxy.uid[:8]}"


# A Configuration's entries


def _listener_views(declared: Declared, entry: Mapping[str, Any], asked: Asked) -> list[dict[str, Any]]:
    return [entries.listener_view(entry, declared.tenant, ports(asked.reach.store, declared.tenant))]


def _route_views(declared: Declared, entry: Mapping[str, Any], asked: Asked) -> list[dict[str, Any]]:
    return list(entries.route_views(entry, declared.tenant, ports(asked.reach.store, declared.tenant)))


Views = Callable[[Declared, Mapping[str, Any], Asked], list[dict[str, Any]]]


def _listed(asked: Asked, id: str, which: Any, views: Views) -> dict[str, Any]:
    declared = asked.find(KIND, id, WORD)
    every = configurations.entries(declared.spec, which)
    return asked.page(pages.of(_entries(declared, [view for entry in every for view in views(declared, entry, asked)], which)))


def _added(asked: Asked, id: str, which: Any, entry_of: Any, views: Views) -> Answer:
    declared = asked.find(KIND, id, WORD)
    entry = entry_of(asked.body, declared.tenant, ports(asked.reach.store, declared.tenant))
    ref = Ref(KIND, declared.name, declared.tenant)
    made = asked.make(Change("append", ref, {"spec": {which: [entry]}})).declared
    (one,) = _entries(made, views(made, entry, asked), which)
    return tagged(made, one.shown)


def _entries(declared: Declared, views: list[dict[str, Any]], which: str) -> list[pages.Entry]:
    dates = {"created_at": wire.moment(declared.created), "updated_at": wire.moment(declared.at)}
    found = []
    for view in views:
        tie = str(view.get("virtual_host") or "")
        id = entry_id(declared.uid, which, view["name"], tie)
        about = {"id": id, "configuration_id": declared.uid}
        found.append(pages.Entry(str(view["name"]), tie, {**about, **view, **dates}))
    return found
