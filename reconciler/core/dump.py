"""Reads what an Envoy says it runs (its `config_dump`), and compares that by content with what it was told."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson
from google.protobuf import any_pb2, json_format  # type: ignore[import-untyped]

from reconciler.core.messages import message_class, type_name
from reconciler.core.model import XdsResource

# https://www.envoyproxy.io/docs/envoy/latest/operations/admin#get--config_dump
DUMP = "/config_dump?include_eds"
# Ten thousand clusters with a route each. What an Envoy says is not trusted to end.
LARGEST_DUMP = 64 << 20
# What Envoy writes in the place of what is secret: in text, and in bytes as JSON spells them.
REDACTED = ("[redacted]", "W3JlZGFjdGVkXQ==")
DEEPEST = 100
# Kinds of messages within one resource.
MOST_TYPES = 500
TYPE_URL = re.compile(r"[a-z0-9.]+/[A-Za-z0-9_.]+")
# Where the resources of each type stand: the dump's list, the state in an entry (where it has several), and the resource.
LISTS = (
    ("cds", "dynamic_active_clusters", "", "cluster", "active"),
    ("cds", "dynamic_warming_clusters", "", "cluster", "warming"),
    ("lds", "dynamic_listeners", "active_state", "listener", "active"),
    ("lds", "dynamic_listeners", "warming_state", "listener", "warming"),
    ("rds", "dynamic_route_configs", "", "route_config", "active"),
    ("eds", "dynamic_endpoint_configs", "", "endpoint_config", "active"),
    ("sds", "dynamic_active_secrets", "", "secret", "active"),
    ("sds", "dynamic_warming_secrets", "", "secret", "warming"),
)
NAMES = {"cds": "name", "lds": "name", "rds": "name", "eds": "cluster_name", "sds": "name"}
# What Envoy adds to an assignment by itself; leaving it out says the same.
ADDED: Mapping[str, tuple[object, ...]] = {
    "load_balancing_weight": (0, 1),
    "overprovisioning_factor": (140,),
    "health_check_config": ({},),
    "locality": ({},),
    "policy": ({},),
    "metadata": ({},),
    "endpoints": ([],),
    "lb_endpoints": ([],),
    "health_status": ("HEALTHY", "UNKNOWN"),
}


class NotADump(Exception):
    """What was answered is no `config_dump`."""


@dataclass(frozen=True, slots=True)
class Run:
    """One resource as an Envoy says it runs it: its version there, its content as JSON, and whether it is still `warming`."""

    version: str
    value: Any = field(repr=False)
    state: str = "active"


Running = Mapping[str, Mapping[str, Run]]


def read(body: bytes) -> Running:
    """Type ⇒ name ⇒ what runs; raises NotADump. Of two states of one resource the active one counts."""
    try:
        configs = orjson.loads(body)["configs"]
        found: dict[str, dict[str, Run]] = {type: {} for type in NAMES}
        for config in configs:
            for type, name, run in _runs(config):
                if name not in found[type] or run.state == "active":
                    found[type][name] = run
    except (ValueError, KeyError, TypeError, AttributeError):
        raise NotADump("what it answers is no config_dump") from None
    return found


def _runs(config: Mapping[str, Any]) -> Iterator[tuple[str, str, Run]]:
    for type, listed, part, inside, state in LISTS:
        for entry in config.get(listed, ()):
            holder = entry.get(part) if part else entry
            value = holder.get(inside) if isinstance(holder, Mapping) else None
            if not isinstance(holder, Mapping) or not isinstance(value, Mapping):
                continue
            # A secret's own name may be left out of what is shown of it.
            name = value.get(NAMES[type]) or entry.get("name")
            if isinstance(name, str) and name:
                yield type, name, Run(str(holder.get("version_info", "")), value, state)


@lru_cache(maxsize=4096)
def _content(body: bytes) -> Any:
    try:
        packed = any_pb2.Any.FromString(body)
        for _ in range(MOST_TYPES):
            try:
                return json_format.MessageToDict(packed, preserving_proto_field_name=True)
            except TypeError as error:
                # A type that nothing here has needed yet: its module makes it known.
                found = TYPE_URL.search(str(error))
                if found is None or message_class(type_name(found[0])) is None:
                    return None
    except Exception:  # noqa: BLE001 - protobuf's errors differ between its implementations
        return None
    return None


def content(resource: XdsResource) -> Any:
    """What this resource says, as Envoy would show it; None where that cannot be told (a secret, a type of another API)."""
    return None if resource.type == "sds" else _content(resource.body)


def alike(resource: XdsResource, run: Run) -> bool | None:
    """Whether an Envoy runs just what it was told of this resource; None where nobody can tell."""
    if content(resource) is None:
        # A secret's content is shown by nobody, and its version only where each resource has its own.
        return True if resource.version == run.version else None
    ours, theirs = sides(resource, run)
    try:
        return bool(ours == theirs)
    except RecursionError:
        return False


def sides(resource: XdsResource, run: Run) -> tuple[Any, Any]:
    """What was told and what runs, without what says nothing: defaults that Envoy adds, what it hides, the order of endpoints.

    Both None where one of them cannot be told.
    """
    ours, theirs = content(resource), run.value
    if ours is None:
        return None, None
    try:
        if resource.type == "eds":
            ours, theirs = _assignment(ours), _assignment(theirs)
            theirs = _without_own_findings(ours, theirs)
        return plain(ours), plain(_unhidden(theirs, ours))
    except RecursionError:
        return ours, {"…": "deeper than anything that was told"}


def plain(value: Any, depth: int = 0) -> Any:
    """Whole numbers are whole however they are spelled, and nothing is deeper than anybody looks."""
    if depth > DEEPEST:
        return "…"
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {name: plain(one, depth + 1) for name, one in value.items()}
    if isinstance(value, list):
        return [plain(one, depth + 1) for one in value]
    return value


def _unhidden(theirs: Any, ours: Any, depth: int = 0) -> Any:
    """What Envoy hides counts as what it was told."""
    if depth > DEEPEST:
        return theirs
    if isinstance(theirs, str) and theirs in REDACTED:
        return ours
    if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
        return {name: _unhidden(one, ours.get(name), depth + 1) for name, one in theirs.items()}
    if isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        return [_unhidden(one, other, depth + 1) for one, other in zip(theirs, ours, strict=True)]
    return theirs


def _assignment(value: Any, depth: int = 0) -> Any:
    """An assignment without what Envoy adds, and its endpoints in order."""
    if depth > DEEPEST:
        return value
    if isinstance(value, Mapping):
        said = {name: _assignment(one, depth + 1) for name, one in value.items()}
        return {name: one for name, one in said.items() if one not in ADDED.get(name, ())}
    if isinstance(value, list):
        items = [_assignment(one, depth + 1) for one in value]
        return sorted((one for one in items if one != {}), key=_place)
    return value


def _place(value: Any) -> bytes:
    address = value.get("endpoint") if isinstance(value, Mapping) and "endpoint" in value else value
    try:
        return orjson.dumps(address, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return b""


def endpoints(value: Any) -> list[tuple[str, int, str]]:
    """Address, port (0 for a pipe) and health of each endpoint in an assignment's content."""
    found: list[tuple[str, int, str]] = []
    groups = value.get("endpoints", ()) if isinstance(value, Mapping) else ()
    for group in groups if isinstance(groups, Sequence) else ():
        listed = group.get("lb_endpoints", ()) if isinstance(group, Mapping) else ()
        for one in listed if isinstance(listed, Sequence) else ():
            try:
                address = one["endpoint"]["address"]
                health = str(one.get("health_status", "HEALTHY"))
                if "socket_address" in address:
                    found.append(
                        (str(address["socket_address"]["address"]), int(address["socket_address"]["port_value"]), health)
                    )
                else:
                    found.append((str(address["pipe"]["path"]), 0, health))
            except (KeyError, TypeError, ValueError, AttributeError):
                continue
    return found


def _without_own_findings(ours: Any, theirs: Any) -> Any:
    """An Envoy that finds an endpoint unhealthy by itself runs what it was told all the same; one that does not know that it
    should be spared does not."""
    told = {(address, port): health for address, port, health in endpoints(ours)}

    def mend(value: Any) -> Any:
        if isinstance(value, list):
            return [mend(one) for one in value]
        if not isinstance(value, Mapping):
            return value
        if "endpoint" not in value:
            return {name: mend(one) for name, one in value.items()}
        here = endpoints({"endpoints": [{"lb_endpoints": [value]}]})
        wanted = told.get(here[0][:2]) if here else None
        if wanted is None or here[0][2] == "HEALTHY":
            return value
        rest = {name: one for name, one in value.items() if name != "health_status"}
        return rest if wanted == "HEALTHY" else {**rest, "health_status": wanted}

    return mend(theirs)
