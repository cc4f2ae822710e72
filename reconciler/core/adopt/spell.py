"""What an Envoy is told, as people write it in a Configuration: short where that says exactly the same, else as Envoy does."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from reconciler.core import clusters, listeners, routes
from reconciler.core.adopt.same import differences, overlaid
from reconciler.core.clusters import is_address
from reconciler.core.eds import eds_target
from reconciler.core.envoy import content
from reconciler.core.kinds.traffic import InlineCluster, Listener, Routes
from reconciler.core.messages import Fault, Message
from reconciler.core.pieces import Piece
from reconciler.core.references import mentions

# A short spelling whose content is then replaced as a whole says nothing.
REPLACED = (("routes", "filter_chains"), ("endpoints", "load_assignment"))
Spelling = dict[str, Any]
Made = tuple[Piece | None, Sequence[Fault]]


def spelled_cluster(message: Message, *, plain: bool) -> Spelling | str:
    """An entry of `clusters`; or in words why a Configuration cannot say it."""
    return _first(_cluster_heads(message, plain), message, _cluster)


def spelled_listener(message: Message, *, plain: bool) -> Spelling | str:
    return _first(_listener_heads(message, plain), message, _listener)


def spelled_routes(message: Message, *, plain: bool) -> Spelling | str:
    name = {"name": message.name}
    if not plain:
        short = {**name, "virtualHosts": [_host(one) for one in message.virtual_hosts]} if message.virtual_hosts else name
        found = _first(iter((short,)), message, _routes)
        if not isinstance(found, str) and "virtual_hosts" not in found.get("envoy", {}):
            return found
    return _first(iter((name,)), message, _routes)


def _first(heads: Iterator[Spelling], message: Message, make: Any) -> Spelling | str:
    """The first short beginning that, with the rest in Envoy's words, says this message and nothing else."""
    why = "Convoy has no words for it"
    for head in heads:
        try:
            start = _started(head, message, make)
            over = overlaid(start, message)
            over.pop("name", None)
            if any(short in head and whole in over for short, whole in REPLACED):
                continue
            said = {**head, "envoy": over} if over else head
            piece, faults = make(said)
        except ValidationError as error:
            why = str(error.errors()[0]["msg"])
            continue
        if piece is None:
            why = faults[0].what if faults else why
            continue
        if next(differences(message, type(message).FromString(content(piece.body))), None) is None:
            return said
    return why


def _started(head: Spelling, message: Message, make: Any) -> Message:
    """What this beginning says by itself; where it says too little to stand alone, what it would be laid over."""
    try:
        piece, _ = make(head)
    except ValidationError:
        piece = None
    started: Message = type(message).FromString(content(piece.body)) if piece is not None else make.bare(head, message)
    return started


class _Cluster:
    def __call__(self, said: Spelling) -> Made:
        spec = InlineCluster.model_validate(said)
        target = spec.application or spec.container
        kind = "Application" if spec.application else "Container"
        return clusters.cluster(spec.name, spec, f"{kind}/{target}/{spec.port}" if target else "", ())

    def bare(self, head: Spelling, message: Message) -> Message:
        base: Message = type(message)(name=head["name"])
        base.connect_timeout.FromNanoseconds(int(head.get("connectTimeoutSeconds", 5) * 1e9))
        return base


class _Listener:
    def __call__(self, said: Spelling) -> Made:
        return listeners.listener(Listener.model_validate(said), ())

    def bare(self, head: Spelling, message: Message) -> Message:
        base: Message = type(message)(name=head["name"])
        if message.WhichOneof("listener_specifier") != "internal_listener" and not message.HasField("api_listener"):
            base.address.socket_address.address = head.get("address", "127.0.0.1")
            base.address.socket_address.port_value = head.get("port", 0)
        return base


class _Routes:
    def __call__(self, said: Spelling) -> Made:
        return routes.routes(Routes.model_validate(said), ())

    def bare(self, head: Spelling, message: Message) -> Message:
        return type(message)(name=head["name"])


_cluster, _listener, _routes = _Cluster(), _Listener(), _Routes()


def _cluster_heads(message: Message, plain: bool) -> Iterator[Spelling]:
    name = {"name": message.name}
    target = eds_target(message.eds_cluster_config.service_name or message.name) if _from_us(message) else None
    if target is not None:
        ref, port = target
        yield {**name, ref.kind.lower(): ref.name, "port": port}
    # Without the share below which a short spelling sends to sick endpoints too, it would say more than was there.
    if not plain and message.common_lb_config.healthy_panic_threshold.value == clusters.PANIC_PERCENT:
        ends = _endpoints(message)
        if ends:
            yield {**name, "endpoints": ends}
    yield name


def _from_us(message: Message) -> bool:
    return message.eds_cluster_config.eds_config.WhichOneof("config_source_specifier") in ("ads", "self")


def _endpoints(message: Message) -> list[str]:
    found = []
    for group in message.load_assignment.endpoints:
        for one in group.lb_endpoints:
            socket = one.endpoint.address.socket_address
            if not socket.address or not socket.port_value:
                return []
            found.append(
                f"[{socket.address}]:{socket.port_value}" if ":" in socket.address else f"{socket.address}:{socket.port_value}"
            )
    return found


def _listener_heads(message: Message, plain: bool) -> Iterator[Spelling]:
    head: Spelling = {"name": message.name}
    socket = message.address.socket_address
    if is_address(socket.address) and socket.port_value:
        head = {**head, "address": socket.address, "port": socket.port_value}
        if socket.address == "127.0.0.1":
            del head["address"]
    if not plain and len(message.filter_chains):
        for short in _served(message):
            yield {**head, **short}
    yield head


def _served(message: Message) -> Iterator[Spelling]:
    """`routes`, and `tls` beside it, where the first chain looks like it; whether it is so is seen by trying."""
    mentioned: dict[str, list[str]] = {"rds": [], "sds": []}
    for one in mentions(message):
        mentioned.setdefault(one.type, []).append(one.name)
    for name in mentioned["rds"][:1]:
        if mentioned["sds"]:
            yield {"routes": name, "tls": {"certificate": mentioned["sds"][0]}}
        else:
            yield {"routes": name}


def _host(message: Message) -> Spelling:
    said: Spelling = {"name": message.name, "domains": list(message.domains)}
    made = [_route(one) for one in message.routes]
    if made:
        said["routes"] = made
    base: Message = type(message)(name=message.name, domains=message.domains)
    routes.retried(base)
    base.routes.extend(message.routes)
    over = overlaid(base, message)
    return {**said, "envoy": over} if over else said


def _route(message: Message) -> Spelling:
    said: Spelling = {}
    match = message.match.WhichOneof("path_specifier")
    if match in ("prefix", "path") and getattr(message.match, match).startswith("/"):
        said[match] = getattr(message.match, match)
    if message.WhichOneof("action") == "route":
        said.update(_target(message.route))
        timeout = message.route.timeout
        seconds = timeout.ToNanoseconds() / 1e9
        if said.keys() & {"cluster", "weights"} and 0 < seconds <= 86400 and int(seconds * 1e9) == timeout.ToNanoseconds():
            said["timeoutSeconds"] = int(seconds) if seconds.is_integer() else seconds
    base: Message = type(message)()
    _lay(base, said)
    over = overlaid(base, message)
    return {**said, "envoy": over} if over else said


def _target(action: Message) -> Spelling:
    which = action.WhichOneof("cluster_specifier")
    if which == "cluster":
        return {"cluster": action.cluster}
    if which == "weighted_clusters":
        weights = {one.name: one.weight.value for one in action.weighted_clusters.clusters if one.name}
        alone = all(
            {field.name for field, _ in one.ListFields()} == {"name", "weight"} for one in action.weighted_clusters.clusters
        )
        if alone and len(weights) == len(action.weighted_clusters.clusters) and any(weights.values()):
            return {"weights": weights}
    return {}


def _lay(base: Message, said: Mapping[str, Any]) -> None:
    """What the short spelling says, as core/routes.py lays it."""
    for key in ("prefix", "path"):
        if key in said:
            setattr(base.match, key, said[key])
    if "cluster" in said:
        base.route.cluster = said["cluster"]
    for name, weight in said.get("weights", {}).items():
        base.route.weighted_clusters.clusters.add(name=name).weight.value = weight
    if "timeoutSeconds" in said and not math.isnan(said["timeoutSeconds"]):
        base.route.timeout.FromNanoseconds(int(said["timeoutSeconds"] * 1e9))
