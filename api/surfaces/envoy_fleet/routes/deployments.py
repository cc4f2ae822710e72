"""Deployments (section 11): one commit takes a version of a Configuration to proxies, and each tells how far it is."""

from typing import Any

from api.surfaces.envoy_fleet import pages
from api.surfaces.envoy_fleet.mapping import deployments as mapping
from api.surfaces.envoy_fleet.operations import Answer, Asked, Operations, tagged
from api.surfaces.envoy_fleet.wire import Invalid
from reconciler.core.declared import Declared, Version, version_id
from reconciler.core.model import Ref
from reconciler.store import Which, Window

KIND, WORD = mapping.KIND, "deployment"


def add(served: Operations) -> None:
    @served("deployments.list")
    def every(asked: Asked) -> dict[str, Any]:
        def read(window: Window) -> tuple[list[pages.Entry], int | None]:
            page = asked.reach.store.pages.page(Which(KIND, asked.account.tenant), window)
            return [pages.Entry(one.key, one.tie, mapping.shown(one.declared, one.status)) for one in page.rows], page.total

        return asked.page(read)

    @served("deployments.create")
    def create(asked: Asked) -> Answer:
        mapping.refused(asked.body)
        proxies = _proxies(asked)
        version = _version(asked, proxies)
        mapping.pinnable(version, "version_id" if "version_id" in asked.body else "version")
        made = asked.make(*mapping.created(version, proxies, asked.fresh()))
        return tagged(made.declared, _followed(asked, made.declared))

    @served("deployments.status")
    def status(asked: Asked, id: str) -> Answer:
        found = asked.find(KIND, id, WORD)
        return tagged(found, _followed(asked, found))


def _proxies(asked: Asked) -> list[Declared]:
    """Those that are named, each once. Raises Invalid."""
    found: dict[str, Declared] = {}
    for number, id in enumerate(asked.body["proxy_ids"]):
        one = asked.reach.fleet.find(mapping.PROXY, id, asked.account.tenant)
        if one is None:
            raise Invalid(f"proxy_ids[{number}]", "there is no such proxy")
        if one.name in found:
            raise Invalid(f"proxy_ids[{number}]", f"{one.name} is named twice")
        found[one.name] = one
    return list(found.values())


def _version(asked: Asked, proxies: list[Declared]) -> Version:
    """The version that is named. A number is one of the Configuration that all these proxies serve. Raises Invalid."""
    store, tenant = asked.reach.store, asked.account.tenant
    if "version_id" in asked.body:
        found = store.version(asked.body["version_id"].lower())
        ref = Ref.parse(found.ref) if found is not None else None
        if found is None or ref is None or (ref.kind, ref.tenant) != (mapping.CONFIGURATION, tenant):
            raise Invalid("version_id", "there is no such version of a configuration")
        return found
    groups = store.declared({str(Ref("ProxyGroup", mapping.group_of(one), tenant)) for one in proxies})
    served = {mapping.served_by(one, groups.get(str(Ref("ProxyGroup", mapping.group_of(one), tenant)))) for one in proxies}
    if len(served) != 1 or not any(served):
        raise Invalid("version", "these proxies do not all serve one configuration: name a version by version_id")
    numbered = store.numbered(str(Ref(mapping.CONFIGURATION, served.pop(), tenant)), asked.body["version"])
    if numbered is None:
        raise Invalid("version", "the configuration of these proxies has no version of this number")
    return numbered


def _followed(asked: Asked, rollout: Declared) -> dict[str, Any]:
    store, tenant = asked.reach.store, rollout.tenant
    configuration = str(mapping.configuration_of(rollout))
    names = {str(Ref(mapping.PROXY, name, tenant)): name for name in mapping.proxies_of(rollout)}
    known = store.declared({configuration, *names})
    version = None
    if configuration in known:
        version = store.version(version_id(known[configuration].uid, mapping.revision_of(rollout)))
    uids = {name: known[ref].uid for ref, name in names.items() if ref in known}
    return mapping.followed(rollout, store.status([rollout.ref]).get(rollout.ref), version, uids)
