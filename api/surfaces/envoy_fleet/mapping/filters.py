"""Filters as the document writes them (`name` and `config`), and as today's Envoys want them (`typed_config` with its `@type`):
EF-C16."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from reconciler.core.messages import TYPE_PREFIX
from reconciler.core.native import known

# Where filters and the like stand, each by its name: as a list, or alone.
LISTS = frozenset({"filters", "http_filters", "upstream_http_filters", "listener_filters", "access_log"})
ALONE = frozenset({"transport_socket"})
# What is in these is anybody's own.
FREE = frozenset({"metadata", "filter_metadata", "typed_filter_metadata"})
# Those whose message is not called as they are, by the name without `envoy.`.
CALLED = {
    "filters.http.csrf": "filters.http.csrf.v3.CsrfPolicy",
    "filters.http.ext_proc": "filters.http.ext_proc.v3.ExternalProcessor",
    "filters.http.fault": "filters.http.fault.v3.HTTPFault",
    "filters.http.ip_tagging": "filters.http.ip_tagging.v3.IPTagging",
    "filters.http.jwt_authn": "filters.http.jwt_authn.v3.JwtAuthentication",
    "filters.http.local_ratelimit": "filters.http.local_ratelimit.v3.LocalRateLimit",
    "filters.http.oauth2": "filters.http.oauth2.v3.OAuth2",
    "filters.http.ratelimit": "filters.http.ratelimit.v3.RateLimit",
    "filters.http.rbac": "filters.http.rbac.v3.RBAC",
    "filters.network.ext_proc": "filters.network.ext_proc.v3.NetworkExternalProcessor",
    "filters.network.local_ratelimit": "filters.network.local_ratelimit.v3.LocalRateLimit",
    "filters.network.ratelimit": "filters.network.ratelimit.v3.RateLimit",
    "filters.network.rbac": "filters.network.rbac.v3.RBAC",
    "filters.network.zookeeper_proxy": "filters.network.zookeeper_proxy.v3.ZooKeeperProxy",
    "filters.listener.local_ratelimit": "filters.listener.local_ratelimit.v3.LocalRateLimit",
    "access_loggers.file": "access_loggers.file.v3.FileAccessLog",
    "access_loggers.stdout": "access_loggers.stream.v3.StdoutAccessLog",
    "access_loggers.stderr": "access_loggers.stream.v3.StderrAccessLog",
    "access_loggers.http_grpc": "access_loggers.grpc.v3.HttpGrpcAccessLogConfig",
    "access_loggers.tcp_grpc": "access_loggers.grpc.v3.TcpGrpcAccessLogConfig",
    "access_loggers.open_telemetry": "access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig",
    "access_loggers.wasm": "access_loggers.wasm.v3.WasmAccessLog",
    # Of those that a listener has; what clusters have is written as Envoy wants it.
    "transport_sockets.tls": "transport_sockets.tls.v3.DownstreamTlsContext",
    "transport_sockets.quic": "transport_sockets.quic.v3.QuicDownstreamTransport",
}


class Untyped(Exception):
    """A filter of which nobody knows the type: `path` leads to its name."""

    def __init__(self, path: tuple[str | int, ...], reason: str) -> None:
        super().__init__(reason)
        self.path, self.reason = path, reason


@cache
def type_of(name: str) -> str:
    """The full name of the message that configures the filter of this name; "" where that cannot be told."""
    short = name.removeprefix("envoy.")
    if short == name or len(name) > 200:
        return ""
    if short in CALLED:
        return f"envoy.extensions.{CALLED[short]}"
    camel = "".join(word.capitalize() for word in short.rpartition(".")[2].split("_"))
    for message in (camel, f"{camel}Config", f"{camel}FilterConfig", "FilterConfig", "Config"):
        found = f"envoy.extensions.{short}.v3.{message}"
        if known(found):
            return found
    return ""


def typed(value: Any, path: tuple[str | int, ...] = ()) -> Any:
    """With every filter's `config` as its `typed_config`; a filter that has neither gets an empty one. Raises Untyped."""
    if isinstance(value, Mapping):
        return {key: _typed_member(key, one, (*path, key)) for key, one in value.items()}
    return [typed(one, (*path, place)) for place, one in enumerate(value)] if isinstance(value, list) else value


def _typed_member(key: str, value: Any, path: tuple[str | int, ...]) -> Any:
    if key in FREE:
        return value
    if key in LISTS and isinstance(value, list):
        return [_typed_one(one, (*path, place)) for place, one in enumerate(value)]
    return _typed_one(value, path) if key in ALONE else typed(value, path)


def _typed_one(value: Any, path: tuple[str | int, ...]) -> Any:
    inner = typed(value, path)
    if not isinstance(inner, dict) or not isinstance(inner.get("name"), str):
        return inner
    said = inner.get("config", {})
    if "typed_config" in inner or "config_discovery" in inner or not isinstance(said, dict):
        if "config" in inner and isinstance(said, dict):
            raise Untyped((*path, "config"), "exclude each other: give `config`, or `typed_config` with its `@type`")
        return inner
    type_ = type_of(inner["name"])
    if "@type" not in said and not type_:
        raise Untyped((*path, "name"), "is no filter whose type is known here: give `typed_config` with its `@type`")
    rest = {key: one for key, one in inner.items() if key != "config"}
    return {**rest, "typed_config": {"@type": f"{TYPE_PREFIX}{type_}", **said}}


def untyped(value: Any) -> Any:
    """And back: `config` wherever the name tells the type, and nothing for a filter that has nothing to say."""
    if isinstance(value, Mapping):
        return {key: _untyped_member(key, one) for key, one in value.items()}
    return [untyped(one) for one in value] if isinstance(value, list) else value


def _untyped_member(key: str, value: Any) -> Any:
    if key in FREE:
        return value
    if key in LISTS and isinstance(value, list):
        return [_untyped_one(one) for one in value]
    return _untyped_one(value) if key in ALONE else untyped(value)


def _untyped_one(value: Any) -> Any:
    inner = untyped(value)
    said = inner.get("typed_config") if isinstance(inner, dict) else None
    if not isinstance(said, dict) or not isinstance(inner.get("name"), str):
        return inner
    type_ = type_of(inner["name"])
    if not type_ or said.get("@type") != f"{TYPE_PREFIX}{type_}":
        return inner
    config = {key: one for key, one in said.items() if key != "@type"}
    rest = {key: one for key, one in inner.items() if key != "typed_config"}
    return {**rest, "config": config} if config else rest
