"""A proxy's configuration as section 6 writes it ⇔ a Configuration document.

`static_resources` are Envoy's own messages; what is given is laid over what there is, listeners and clusters by their names
(EF-C10), so that the documented PUT of one cluster adds it and takes nothing away. Who means the whole says so, by a member of
our own: with `replace: true` the lists that are named are all there is then, and what they leave out is gone. A list that is
not named stays in either case.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.surfaces.envoy_fleet.mapping.faults import faulty, refused
from api.surfaces.envoy_fleet.wire import Invalid
from reconciler.core import native
from reconciler.core.masked import shown, shown_again
from reconciler.core.messages import Path
from reconciler.core.native import PortOf, Unsaid, Which
from reconciler.core.near import did_you_mean
from reconciler.core.patches import Unfit
from reconciler.core.proposal import Refused

Spec = Mapping[str, Any]
# What a PUT may say of `static_resources`, which are two of the three things a Configuration holds: routes are section 9's.
STATIC: tuple[Which, ...] = ("listeners", "clusters")
# Each of them is read, checked and compared, which takes a millisecond or more.
MOST_AT_ONCE = 500
# Answered, and not for whoever sends it back to decide.
ANSWERED = ("id", "proxy_id", "name", "active_version")
# Answered, and another one with each answer.
PASSING = ("delivery",)
GIVEN = ("change_description", "static_resources", "dynamic_resources", "admin_config", "replace")
WHY_OURS = "is as Convoy starts its Envoys; leave it out, or say it as it is"
WHY_NOT = {
    "secrets": "secrets are Certificates here (section 10), and reach a proxy by SDS alone",
    "routes": "routes are added by section 9",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be laid over a Configuration: entries of its lists, by their names; and in which words. `whole`: of the lists
    that are in `entries`, no others stay."""

    entries: Mapping[Which, Sequence[dict[str, Any]]]
    description: str
    whole: bool = False


def static_resources(spec: Spec, tenant: str, port_of: PortOf) -> dict[str, Any]:
    """As Envoy's messages; what is secret is hidden."""
    return {which: [_said(which, entry, tenant, port_of) for entry in entries(spec, which)] for which in STATIC}


def entries(spec: Spec, which: Which) -> list[Mapping[str, Any]]:
    found = spec.get(which)
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def _said(which: Which, entry: Mapping[str, Any], tenant: str, port_of: PortOf) -> dict[str, Any]:
    try:
        said = native.said(which, entry, tenant, port_of)
    except Unsaid:
        said = {"name": entry.get("name", "")}
    found: dict[str, Any] = shown(said)
    return found


def counts(spec: Spec) -> dict[str, int]:
    """How many there are in the document; of routes each one of each virtual host."""
    hosts = [host for config in entries(spec, "routes") for host in _hosts(config)]
    routes = sum(len(host["routes"]) for host in hosts if isinstance(host.get("routes"), list))
    return {"listeners": len(entries(spec, "listeners")), "clusters": len(entries(spec, "clusters")), "routes": routes}


def _hosts(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Of a route configuration, in either spelling."""
    message = config.get("envoy")
    for found in (message.get("virtual_hosts") if isinstance(message, Mapping) else None, config.get("virtualHosts")):
        if isinstance(found, list):
            return [one for one in found if isinstance(one, Mapping)]
    return []


def wanted(body: Mapping[str, Any], spec: Spec, answered: Mapping[str, Any], tenant: str, port_of: PortOf) -> Wanted:
    """What a PUT asks for, of this spec, which is answered as `answered`.

    Raises Invalid; and Refused for a version that is not the active one any more.
    """
    for name in body:
        if name not in (*GIVEN, *ANSWERED, *PASSING):
            raise refused((name,), f"is not known here: {did_you_mean(name, GIVEN, 'there is ' + ', '.join(GIVEN))}")
    if not any(name in body for name in GIVEN[1:-1]):
        raise Invalid("static_resources", "one of static_resources, dynamic_resources and admin_config is required")
    for name in ANSWERED:
        _as_it_is(name, body, answered)
    for name in ("dynamic_resources", "admin_config"):
        path = _otherwise(body.get(name), answered.get(name), (name,)) if name in body else None
        if path is not None:
            raise refused(path, WHY_OURS)
    given = body.get("static_resources") or {}
    if not isinstance(given, Mapping):
        raise refused(("static_resources",), "must be an object")
    for name in given:
        if name not in STATIC:
            raise refused(("static_resources", name), WHY_NOT.get(name, f"there is {' and '.join(STATIC)} here"))
    named = [which for which in STATIC if given.get(which) is not None]
    found = {which: _entries(which, given[which], body, spec, answered, tenant, port_of) for which in named}
    return Wanted(found, str(body.get("change_description") or ""), body.get("replace") is True)


def _as_it_is(name: str, body: Mapping[str, Any], answered: Mapping[str, Any]) -> None:
    if name not in body or body[name] == answered.get(name):
        return
    if name == "active_version":
        # It was read before somebody else changed it.
        raise Refused("conflict", "active_version is not the active one", "read it again, and decide anew; or leave it out")
    raise refused((name,), "is given by Convoy; leave it out, or say it as it is")


def _otherwise(given: Any, there: Any, path: Path) -> Path | None:
    """Where something is given that is not so; what is left out says nothing."""
    if isinstance(given, Mapping) and isinstance(there, Mapping):
        wrong = (_otherwise(one, there.get(key), (*path, key)) for key, one in given.items())
        return next((one for one in wrong if one is not None), None)
    return None if given == there or (given == {} and there is None) else path


def _entries(
    which: Which,
    given: Any,
    body: Mapping[str, Any],
    spec: Spec,
    answered: Mapping[str, Any],
    tenant: str,
    port_of: PortOf,
) -> list[dict[str, Any]]:
    path: Path = ("static_resources", which)
    if not isinstance(given, list) or len(given) > MOST_AT_ONCE:
        raise refused(path, f"must be a list of at most {MOST_AT_ONCE}")
    there = {str(one.get("name")): one for one in entries(spec, which)}
    told = {str(one.get("name")): one for one in (answered.get("static_resources") or {}).get(which, ())}
    found: dict[str, dict[str, Any]] = {}
    for place, one in enumerate(given):
        at = (*path, place)
        if not isinstance(one, Mapping):
            raise refused(at, "must be an object")
        name = str(one.get("name"))
        if name in found:
            raise refused((*at, "name"), "another one has this name")
        try:
            # What was hidden from whoever reads it is sent back hidden, and stays what it is.
            plain = shown_again(dict(one), _unhidden(which, there.get(name), told.get(name), tenant, port_of))
        except Unfit as error:
            raise refused(at, f"{error.what}: {error.hint}") from None
        entry, faults = native.written(which, plain, at, tenant, there.get(name), port_of)
        if entry is None:
            raise faulty(faults, body)
        found[name] = entry
    return list(found.values())


def _unhidden(which: Which, entry: Mapping[str, Any] | None, told: Any, tenant: str, port_of: PortOf) -> Any:
    if entry is None or told is None:
        return None
    try:
        return native.said(which, entry, tenant, port_of)
    except Unsaid:
        return None
