"""Clusters of the document ⇔ Cluster documents: what a cluster says is laid under `envoy`, where Envoy's whole message is."""

import ipaddress
import uuid
from collections.abc import Mapping
from typing import Any

from api.surfaces.envoy_fleet.mapping.envoy import duration, get, items, milliseconds, number, spelled, without_none
from api.surfaces.envoy_fleet.wire import Conflict, Invalid, moment
from reconciler.core.declared import Declared
from reconciler.core.model import Ref
from reconciler.core.proposal import Change

KIND = "Cluster"
# How the Envoy of a cluster is told what an endpoint's metadata are: where subsets are chosen by.
LB = "envoy.lb"
# Since version 1 of Convoy's short spelling: an Envoy sends to sick endpoints only when no other is left (core/clusters.py).
PANIC = {"common_lb_config": {"healthy_panic_threshold": {"value": 1}}}
# Endpoints of one cluster; its document has to be read by a person now and then.
MOST_ENDPOINTS = 1_000


def created(body: Mapping[str, Any], tenant: str) -> Change:
    """Raises Invalid."""
    name, envoy = body["name"], {"type": "STRICT_DNS", "lb_policy": "ROUND_ROBIN"}
    if body.get("type") == "LOGICAL_DNS":
        raise Invalid(
            "type", "LOGICAL_DNS needs its one endpoint from the beginning, which cannot be said here: use STRICT_DNS"
        )
    envoy |= _said(body, {})
    _fits(envoy, {})
    return Change("put", Ref(KIND, name, tenant), {"spec": {"envoy": envoy}}, new=True)


def changed(body: Mapping[str, Any], declared: Declared) -> Change:
    """A merge patch: what is left out stays. Raises Invalid."""
    if body.get("name", declared.name) != declared.name:
        raise Invalid("name", "a name stays: create another cluster, and delete this one")
    spec = declared.spec
    envoy = _envoy(spec)
    patch = _said(body, envoy)
    _fits({"type": _type(spec), "lb_policy": _policy(spec)} | patch, spec)
    document = {"spec": {"envoy": spelled(envoy, patch)}} if patch else {}
    return Change("patch", _ref(declared), document, match=(declared.digest,))


def endpoint_added(body: Mapping[str, Any], declared: Declared) -> Change:
    """Raises Invalid and Conflict."""
    spec = declared.spec
    address, port = body["address"], body["port"]
    for kind in ("application", "container"):
        if spec.get(kind):
            raise Invalid("address", f"the endpoints of this cluster are those of its {kind.capitalize()}")
    there = endpoints(declared)
    if any((one["address"], one["port"]) == (address, port) for one in there):
        raise Conflict("the cluster has an endpoint of this address and port already")
    if len(there) >= MOST_ENDPOINTS:
        raise Invalid("address", f"a cluster has at most {MOST_ENDPOINTS} endpoints")
    kind = _type(spec)
    if kind == "ORIGINAL_DST" or (kind == "LOGICAL_DNS" and there):
        raise Invalid("address", f"a cluster of type {kind} takes no {'further ' if there else ''}endpoint")
    if kind == "STATIC" and not _is_address(address):
        raise Invalid("address", "a cluster of type STATIC takes IP addresses: a host name needs STRICT_DNS")
    short, envoy = list(spec.get("endpoints") or ()), _envoy(spec)
    plain = body.get("weight") is None and not body.get("metadata")
    if plain and get(envoy, "load_assignment") is None:
        return Change(
            "patch", _ref(declared), {"spec": {"endpoints": [*short, _printed(address, port)]}}, match=(declared.digest,)
        )
    return Change("patch", _ref(declared), {"spec": _assigned(body, short, envoy)}, match=(declared.digest,))


def _assigned(body: Mapping[str, Any], short: list[str], envoy: Mapping[str, Any]) -> dict[str, Any]:
    """Beside an endpoint that says more than its address, all of them have to be in Envoy's words."""
    known = get(envoy, "load_assignment")
    localities = [dict(one) for one in items(known, "endpoints") if isinstance(one, Mapping)] or [{}]
    one = spelled(localities[0], {"lb_endpoints": []})
    (name,) = one
    was = items(localities[0], "lb_endpoints") + [_lb_endpoint(*_parsed(text)) for text in short]
    added = _lb_endpoint(body["address"], body["port"], body.get("weight"), body.get("metadata"))
    localities[0] = localities[0] | {name: [*was, added]}
    patch = spelled(envoy, {"load_assignment": {"endpoints": localities}})
    if short and get(envoy, "common_lb_config") is None:
        patch |= PANIC
    return {"envoy": patch} | ({"endpoints": None} if short else {})


def shown(declared: Declared) -> dict[str, Any]:
    spec = declared.spec
    envoy = _envoy(spec)
    return {
        "id": declared.uid,
        "name": declared.name,
        "type": _type(spec),
        "lb_policy": {"type": _policy(spec)},
        "circuit_breaker": _circuit_breaker(envoy),
        "outlier_detection": _outlier_detection(envoy),
        "health_checks": [_health_check(one) for one in items(envoy, "health_checks")],
        "endpoints": endpoints(declared),
        "created_at": moment(declared.created),
        "updated_at": moment(declared.at),
    }


def endpoints(declared: Declared) -> list[dict[str, Any]]:
    """Those that are declared: those of an Application are where it runs, and no part of the cluster."""
    spec = declared.spec
    assigned = get(_envoy(spec), "load_assignment")
    every = [_lb_endpoint(*_parsed(text)) for text in spec.get("endpoints") or ()] if assigned is None else []
    for locality in items(assigned, "endpoints"):
        every += items(locality, "lb_endpoints")
    found = []
    for one in every:
        socket = get(get(get(one, "endpoint"), "address"), "socket_address")
        port = number(get(socket, "port_value"))
        if port is None or not isinstance(get(socket, "address"), str):
            # A pipe, or an address that Envoy finds out in another way.
            continue
        metadata = get(get(get(one, "metadata"), "filter_metadata"), LB)
        found.append(
            {
                "id": endpoint_id(declared.uid, get(socket, "address"), port),
                "cluster_id": declared.uid,
                "address": get(socket, "address"),
                "port": port,
                "weight": number(get(one, "load_balancing_weight")) or 1,
                "metadata": dict(metadata) if isinstance(metadata, Mapping) else {},
            }
        )
    return found


def endpoint_id(cluster: str, address: str, port: int) -> str:
    """An endpoint is its address and port in its cluster: that is what its id is made of."""
    return str(uuid.uuid5(uuid.UUID(cluster), _printed(address, port)))


# The document's words ⇒ Envoy's


def _said(body: Mapping[str, Any], envoy: Mapping[str, Any]) -> dict[str, Any]:
    """A merge patch of `envoy` with what a body says."""
    patch: dict[str, Any] = {}
    if "type" in body:
        patch["type"] = body["type"]
    if "lb_policy" in body:
        policy = body["lb_policy"]
        patch["lb_policy"] = policy if isinstance(policy, str) else policy["type"]
    if "circuit_breaker" in body:
        patch["circuit_breakers"] = _thresholds(body["circuit_breaker"], envoy)
    if "outlier_detection" in body:
        said = body["outlier_detection"]
        patch["outlier_detection"] = (
            None
            if said is None
            else without_none(
                {
                    "consecutive_5xx": said.get("consecutive_5xx"),
                    "interval": duration(said["interval_ms"]) if "interval_ms" in said else None,
                    "max_ejection_percent": said.get("eject_percent"),
                }
            )
        )
    if "health_checks" in body:
        patch["health_checks"] = [_checked(one) for one in body["health_checks"]] or None
    # A whole document holds no null: there is nothing to take away.
    return patch if envoy else without_none(patch)


def _thresholds(said: Mapping[str, Any] | None, envoy: Mapping[str, Any]) -> dict[str, Any] | None:
    """The limits of ordinary requests; those of other priorities stay."""
    every = items(get(envoy, "circuit_breakers"), "thresholds")
    others = [one for one in every if not _ordinary(one)]
    if said is None:
        return {"thresholds": others} if others else None
    was: Mapping[str, Any] = next((one for one in every if _ordinary(one) and isinstance(one, Mapping)), {})
    return {"thresholds": [dict(was) | spelled(was, said), *others]}


def _ordinary(threshold: Any) -> bool:
    return get(threshold, "priority") in (None, "DEFAULT", 0)


def _checked(said: Mapping[str, Any]) -> dict[str, Any]:
    path = said.get("path")
    return {
        "timeout": duration(said.get("timeout_ms", 5_000)),
        "interval": duration(said.get("interval_ms", 10_000)),
        "healthy_threshold": said.get("healthy_threshold", 2),
        "unhealthy_threshold": said.get("unhealthy_threshold", 3),
    } | ({"http_health_check": {"path": path}} if path is not None else {"tcp_health_check": {}})


def _lb_endpoint(
    address: str, port: int, weight: int | None = None, metadata: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    found: dict[str, Any] = {"endpoint": {"address": {"socket_address": {"address": address, "port_value": port}}}}
    if weight is not None:
        found["load_balancing_weight"] = weight
    if metadata:
        found["metadata"] = {"filter_metadata": {LB: dict(metadata)}}
    return found


def _fits(envoy: Mapping[str, Any], spec: Mapping[str, Any]) -> None:
    """What Envoy would refuse, or Convoy cannot carry out, is refused before it is committed. Raises Invalid."""
    kind, policy, theirs = envoy.get("type"), envoy.get("lb_policy"), spec.get("application") or spec.get("container")
    if (kind == "EDS") != bool(theirs):
        words = "the endpoints of this cluster are those of an Application: its type is EDS"
        raise Invalid("type", words if theirs else "EDS is for endpoints that an Application has, which cannot be said here")
    if (kind == "ORIGINAL_DST") != (policy == "CLUSTER_PROVIDED"):
        raise Invalid("lb_policy", "ORIGINAL_DST and CLUSTER_PROVIDED go together")


# Envoy's words ⇒ the document's


def _type(spec: Mapping[str, Any]) -> str:
    if spec.get("application") or spec.get("container"):
        return "EDS"
    said, given = get(_envoy(spec), "type"), spec.get("endpoints") or ()
    if isinstance(said, str):
        return said
    return "STRICT_DNS" if any(not _is_address(_parsed(text)[0]) for text in given) else "STATIC"


def _policy(spec: Mapping[str, Any]) -> str:
    said = get(_envoy(spec), "lb_policy")
    return said if isinstance(said, str) else "ROUND_ROBIN"


def _circuit_breaker(envoy: Mapping[str, Any]) -> dict[str, Any] | None:
    every = items(get(envoy, "circuit_breakers"), "thresholds")
    one = next((one for one in every if _ordinary(one)), None)
    names = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
    return None if one is None else without_none({name: number(get(one, name)) for name in names})


def _outlier_detection(envoy: Mapping[str, Any]) -> dict[str, Any] | None:
    one = get(envoy, "outlier_detection")
    if not isinstance(one, Mapping):
        return None
    found = {
        "consecutive_5xx": number(get(one, "consecutive_5xx")),
        "interval_ms": milliseconds(get(one, "interval")),
        "eject_percent": number(get(one, "max_ejection_percent")),
    }
    return without_none(found)


def _health_check(one: Any) -> dict[str, Any]:
    found = {
        "timeout_ms": milliseconds(get(one, "timeout")),
        "interval_ms": milliseconds(get(one, "interval")),
        "path": get(get(one, "http_health_check"), "path"),
        "healthy_threshold": number(get(one, "healthy_threshold")),
        "unhealthy_threshold": number(get(one, "unhealthy_threshold")),
    }
    return without_none(found)


def _ref(declared: Declared) -> Ref:
    return Ref(KIND, declared.name, declared.tenant)


def _envoy(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    envoy = spec.get("envoy")
    return envoy if isinstance(envoy, Mapping) else {}


def _parsed(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _printed(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
