"""The validation rules of Envoy's API: what breaks them, where, and that every kind of rule is known."""

from typing import Any

import pytest
from envoy.config.cluster.v3 import cluster_pb2  # type: ignore[import-untyped]
from envoy.config.listener.v3 import listener_pb2  # type: ignore[import-untyped]
from envoy.config.route.v3 import route_components_pb2  # type: ignore[import-untyped]
from google.protobuf import descriptor_pool  # type: ignore[import-untyped]
from validate import validate_pb2  # type: ignore[import-untyped]

from reconciler.core.messages import dotted, message_class, parse
from reconciler.core.rules import broken_rules

TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"


def broken(cls: Any, said: dict[str, Any]) -> list[str]:
    message, found = parse(said, cls, ())
    assert not found
    return [f"{dotted(fault.path)}: {fault.what}" for fault in broken_rules(message)]


@pytest.mark.parametrize(
    ("cls", "said", "expected"),
    [
        (cluster_pb2.Cluster, {"name": "a", "connect_timeout": "1s"}, []),
        (cluster_pb2.Cluster, {}, ["name: must be given: must not be empty"]),
        (cluster_pb2.Cluster, {"name": "a", "connect_timeout": "-1s"}, ["connect_timeout: must be more than 0s, not -1s"]),
        (
            cluster_pb2.Cluster,
            {"name": "a", "type": 99},
            ["type: must be one of STATIC, STRICT_DNS, LOGICAL_DNS, EDS, ORIGINAL_DST"],
        ),
        (
            cluster_pb2.Cluster,
            {"name": "a", "health_checks": [{"timeout": "1s", "interval": "1s"}]},
            [
                "health_checks[0].unhealthy_threshold: must be given",
                "health_checks[0].healthy_threshold: must be given",
                "health_checks[0]: needs one of http_health_check, tcp_health_check, grpc_health_check, custom_health_check",
            ],
        ),
        (
            cluster_pb2.Cluster,
            {"name": "a", "common_lb_config": {"healthy_panic_threshold": {"value": 101}}},
            ["common_lb_config.healthy_panic_threshold.value: must be at most 100, not 101"],
        ),
        (
            cluster_pb2.Cluster,
            {"name": "a", "outlier_detection": {"max_ejection_percent": 101}},
            ["outlier_detection.max_ejection_percent: must be at most 100, not 101"],
        ),
        (
            cluster_pb2.Cluster,
            {"name": "a", "transport_socket": {"name": "", "typed_config": {"@type": TLS, "sni": "x" * 256}}},
            [
                "transport_socket.typed_config.sni: may have at most 255 bytes",
                "transport_socket.name: must be given: must not be empty",
            ],
        ),
        (
            listener_pb2.Listener,
            {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 65536}}},
            ["address.socket_address.port_value: must be at most 65535, not 65536"],
        ),
        (
            route_components_pb2.VirtualHost,
            {
                "name": "a",
                "domains": ["a"],
                "require_tls": 7,
                "request_headers_to_add": [{"header": {"key": "a b\n", "value": "c"}}],
                "request_headers_to_remove": ["bad\r"],
            },
            [
                "require_tls: must be one of NONE, EXTERNAL_ONLY, ALL",
                "request_headers_to_add[0].header.key: must be an HTTP header's name, without line breaks",
                "request_headers_to_remove[0]: must be an HTTP header's name, without line breaks",
            ],
        ),
        (route_components_pb2.VirtualHost, {"name": "a"}, ["domains: needs at least 1"]),
        (route_components_pb2.Route, {"match": {"prefix": "/"}}, [": needs one of route, redirect, direct_response"]),
        (
            route_components_pb2.Route,
            {"match": {}, "direct_response": {"status": 700}},
            ["match: needs one of", "direct_response.status"],
        ),
    ],
    ids=str,
)
def test_rules_of_the_api(cls: Any, said: dict[str, Any], expected: list[str]) -> None:
    """The rules that Envoy checks on its side are checked here first."""
    found = broken(cls, said)
    assert len(found) == len(expected), found
    assert all(any(one.startswith(start) for one in found) for start in expected), found


def test_every_rule_of_the_api_is_known() -> None:
    """No message of the gateway's parts of the API has a rule of a kind that we would pass over in silence."""
    known = {
        "string": "const min_len max_len min_bytes max_bytes pattern prefix suffix in not_in well_known_regex strict"
        " ignore_empty",
        "bytes": "min_len max_len",
        "bool": "const",
        "enum": "const defined_only in not_in",
        "repeated": "min_items max_items unique items ignore_empty",
        "map": "min_pairs keys values ignore_empty",
        "any": "required in not_in",
        "duration": "required const lt lte gt gte in not_in",
        "message": "skip required",
    }
    numbers = "const lt lte gt gte in not_in ignore_empty"

    def unknown(rules: Any) -> list[str]:
        kind = rules.WhichOneof("type")
        missing = ["message." + f.name for f, _ in rules.message.ListFields() if f.name not in known["message"].split()]
        if kind is None:
            return missing
        words = known.get(kind, numbers).split()
        own = getattr(rules, kind)
        missing += [f"{kind}.{field.name}" for field, _ in own.ListFields() if field.name not in words]
        for inner in ("items", "keys", "values"):
            if inner in words and own.HasField(inner):
                missing += unknown(getattr(own, inner))
        return missing

    seen: set[str] = set()

    def walk(descriptor: Any) -> None:
        if descriptor.full_name in seen or descriptor.full_name.startswith("google."):
            return
        seen.add(descriptor.full_name)
        for field in descriptor.fields:
            options = field.GetOptions()
            if options.HasExtension(validate_pb2.rules):
                assert not unknown(options.Extensions[validate_pb2.rules]), field.full_name
            if field.message_type is not None:
                walk(field.message_type)

    pool = descriptor_pool.Default()
    for name in ("bootstrap.v3.Bootstrap", "cluster.v3.Cluster", "listener.v3.Listener", "route.v3.RouteConfiguration"):
        assert message_class(f"envoy.config.{name}") is not None
        walk(pool.FindMessageTypeByName(f"envoy.config.{name}"))
    for name in (
        "network.http_connection_manager.v3.HttpConnectionManager",
        "network.tcp_proxy.v3.TcpProxy",
        "http.jwt_authn.v3.JwtAuthentication",
    ):
        assert message_class(f"envoy.extensions.filters.{name}") is not None
        walk(pool.FindMessageTypeByName(f"envoy.extensions.filters.{name}"))
    assert len(seen) > 200
