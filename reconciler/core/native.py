"""The entries of a Configuration as the Envoy messages they stand for, in JSON form, and the entries for such messages."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

from envoy.config.cluster.v3 import cluster_pb2  # type: ignore[import-untyped]
from envoy.config.listener.v3 import listener_pb2  # type: ignore[import-untyped]
from envoy.config.route.v3 import route_pb2  # type: ignore[import-untyped]
from google.protobuf import duration_pb2  # type: ignore[import-untyped]

from reconciler.core import clusters, listeners, routes
from reconciler.core.adopt.same import as_said, differences
from reconciler.core.adopt.spell import spelled_cluster, spelled_listener, spelled_routes
from reconciler.core.eds import eds_name, eds_target
from reconciler.core.envoy import content
from reconciler.core.kinds.traffic import InlineCluster, Listener, Routes
from reconciler.core.messages import Fault, Message, Path, message_class, parse
from reconciler.core.model import Ref
from reconciler.core.rules import broken_rules
from reconciler.core.settle import settle

Which = Literal["listeners", "clusters", "routes"]
Said = dict[str, Any]
Entry = dict[str, Any]
# "Application" or "Container", its name, and the port asked for ⇒ the port's name.
PortOf = Callable[[str, str, str | None], str]
CLASSES: dict[Which, Any] = {
    "listeners": listener_pb2.Listener,
    "clusters": cluster_pb2.Cluster,
    "routes": route_pb2.RouteConfiguration,
}
SPELLED: dict[Which, Callable[..., Entry | str]] = {
    "listeners": spelled_listener,
    "clusters": spelled_cluster,
    "routes": spelled_routes,
}
# As kinds/traffic.py has it.
NAME = re.compile(r"[^\s\x00]{1,253}")
# Envoy's own, of a cluster that says none: envoy.config.cluster.v3.Cluster.
CONNECT_TIMEOUT_S = 5


class Unsaid(Exception):
    """What is declared stands for no message; the message says why."""


def known(type_name: str) -> bool:
    """Whether Envoy's API has a type of this full name."""
    return message_class(type_name) is not None


def nanoseconds(duration: str) -> int | None:
    """Of a duration in JSON form ("1.5s"); None for what is none."""
    found = duration_pb2.Duration()
    try:
        found.FromJsonString(duration)
        return int(found.ToNanoseconds())
    except (ValueError, TypeError, AttributeError):
        return None


def said(which: Which, entry: Mapping[str, Any], tenant: str, port_of: PortOf) -> Said:
    """The message that an entry of a document stands for, all defaults that decide something written out. Raises Unsaid."""
    message = _message(which, entry, tenant, port_of)
    found = _plain(as_said(message))
    if which == "clusters" and not message.HasField("load_balancing_policy"):
        # The zero of an enumeration is left out by protobuf, and people look for it.
        found.setdefault("lb_policy", "ROUND_ROBIN")
    first = {"name": found.pop("name", "")}
    return {**first, **found}


def _message(which: Which, entry: Mapping[str, Any], tenant: str, port_of: PortOf) -> Message:
    # Each raises pydantic's errors, which are ValueErrors, for what is no such entry.
    try:
        if which == "listeners":
            piece, faults = listeners.listener(Listener.model_validate(entry), ())
        elif which == "routes":
            piece, faults = routes.routes(Routes.model_validate(entry), ())
        else:
            spec = InlineCluster.model_validate(entry)
            kind, name = ("Application", spec.application) if spec.application else ("Container", spec.container)
            eds = eds_name(Ref(kind, name, tenant), port_of(kind, name, spec.port)) if name else ""
            piece, faults = clusters.cluster(spec.name, spec, eds, ())
    except ValueError as error:
        raise Unsaid(str(error)) from None
    if piece is None:
        raise Unsaid(faults[0].what if faults else "it stands for nothing")
    return CLASSES[which].FromString(content(piece.body))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        found = {str(key): _plain(one) for key, one in value.items()}
        type_ = found.pop("@type", None)
        return {"@type": type_, **found} if type_ is not None else found
    return [_plain(one) for one in value] if isinstance(value, list) else value


def written(
    which: Which, given: Mapping[str, Any], path: Path, tenant: str, now: Mapping[str, Any] | None, port_of: PortOf
) -> tuple[Entry | None, tuple[Fault, ...]]:
    """The entry that stands for this message: `now`, the one that is there, where it does already; or what is wrong.

    Paths of faults begin with `path`, and use protobuf's field names.
    """
    message, faults = _read(which, given, path)
    if faults:
        return None, faults
    if now is not None and _stands_for(which, now, message, tenant, port_of):
        return dict(now), ()
    if which == "clusters":
        if not message.HasField("connect_timeout"):
            message.connect_timeout.seconds = CONNECT_TIMEOUT_S
        service = message.eds_cluster_config.service_name
        target = eds_target(service)
        if target is not None and message.type == cluster_pb2.Cluster.EDS:
            ref, port = target
            if ref.tenant != tenant:
                what = f"there is no {ref.kind} {ref.name!r}"
                return None, (Fault((*path, "eds_cluster_config", "service_name"), what),)
            # An entry names what is of its own tenant.
            message.eds_cluster_config.service_name = eds_name(Ref(ref.kind, ref.name), port)
        if now is not None and _stands_for(which, now, message, tenant, port_of):
            return dict(now), ()
    entry = SPELLED[which](message, plain=False)
    if isinstance(entry, str):
        return None, (Fault(path, entry),)
    return _plain(entry), ()


def _read(which: Which, given: Mapping[str, Any], path: Path) -> tuple[Message, tuple[Fault, ...]]:
    message, faults = parse(given, CLASSES[which], path)
    if faults:
        return message, faults
    settle(message)
    if not message.name:
        return message, (Fault((*path, "name"), "must be given"),)
    if not NAME.fullmatch(message.name):
        return message, (Fault((*path, "name"), "must have at most 253 characters, none of them blank"),)
    return message, tuple(Fault((*path, *one.path), one.what) for one in broken_rules(message))


def _stands_for(which: Which, entry: Mapping[str, Any], message: Message, tenant: str, port_of: PortOf) -> bool:
    try:
        here = _message(which, entry, tenant, port_of)
    except Unsaid:
        return False
    return next(differences(here, message), None) is None
