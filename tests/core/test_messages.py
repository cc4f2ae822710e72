"""Envoy messages in JSON form: what is read, what is wrong with it, and how one is laid over another."""

from typing import Any

import pytest
from envoy.config.cluster.v3 import cluster_pb2  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.messages import dotted, message_class, overlay, parse, spelled
from reconciler.core.rules import broken_rules

TYPE = "type.googleapis.com/"
TLS = TYPE + "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"


def faults(said: dict[str, Any]) -> list[str]:
    _, found = parse(said, cluster_pb2.Cluster, ())
    return [f"{dotted(fault.path)}: {fault.what}" + (f" ({fault.hint})" if fault.hint else "") for fault in found]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"nme": "x"}, ["nme: Cluster has no field 'nme' (did you mean 'name'?)"]),
        ({"connectTimeout": 5}, ["connectTimeout: must be a duration such as '5s' or '0.25s', not 5"]),
        ({"name": 3}, ["name: must be text, not 3"]),
        ({"ignore_health_on_host_removal": "yes"}, ["ignore_health_on_host_removal: must be true or false, not 'yes'"]),
        ({"per_connection_buffer_limit_bytes": -1}, ["per_connection_buffer_limit_bytes: must be a number, not -1"]),
        ({"per_connection_buffer_limit_bytes": 10**30}, [f"per_connection_buffer_limit_bytes: must be a number, not {10**30}"]),
        ({"load_assignment": [1]}, ["load_assignment: must be an object (ClusterLoadAssignment), not a list"]),
        ({"load_assignment": {"endpoints": {"a": 1}}}, ["load_assignment.endpoints: must be a list, not an object"]),
        ({"metadata": {"filter_metadata": 1}}, ["metadata.filter_metadata: must be an object, not 1"]),
        (
            {"type": "EDS", "cluster_type": {"name": "x"}, "nme": 1},
            [
                "cluster_type: 'cluster_type' and 'type' exclude each other: give one cluster discovery type",
                "nme: Cluster has no field 'nme' (did you mean 'name'?)",
            ],
        ),
        ({"transport_socket": {"name": "tls", "typed_config": {"sni": 1}}}, ["transport_socket.typed_config: needs '@type'"]),
        (
            {"transport_socket": {"name": "tls", "typed_config": {"@type": TYPE + "google.protobuf.Struct"}}},
            ["transport_socket.typed_config: needs 'value', the Struct that it holds"],
        ),
        (
            {"transport_socket": {"name": "tls", "typed_config": {"@type": TYPE + "envoy.nothing.v3.Nothing"}}},
            ["transport_socket.typed_config.@type: 'type.googleapis.com/envoy.nothing.v3.Nothing' is no type that this build"],
        ),
        (
            {"transport_socket": {"name": "tls", "typed_config": {"@type": TLS, "snii": "a", "common_tls_context": 1}}},
            [
                "transport_socket.typed_config.snii: UpstreamTlsContext has no field 'snii' (did you mean 'sni'?)",
                "transport_socket.typed_config.common_tls_context: must be an object (CommonTlsContext), not 1",
            ],
        ),
    ],
    ids=str,
)
def test_every_fault_at_its_path(said: dict[str, Any], expected: list[str]) -> None:
    """Whatever cannot be read is told at the key or value that a person would change, all of it at once."""
    found = faults(said)
    assert len(found) == len(expected)
    assert all(one.startswith(start) for one, start in zip(found, expected, strict=True)), found


def test_an_enum_offers_its_names() -> None:
    """A misspelled name of an enum gets the nearest one."""
    (one,) = faults({"lb_policy": "round_robn"})
    assert one.startswith("lb_policy: must be one of ROUND_ROBIN, LEAST_REQUEST")
    assert one.endswith("not 'round_robn' (did you mean 'ROUND_ROBIN'?)")


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["name", "type", "endpoints", "typed_config", "@type", "load_assignment", "metadata", "address", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["name", "load_assignment", "transport_socket", "metadata", "lb_policy"]), JSON))
def test_no_input_breaks_the_reader(said: dict[str, Any]) -> None:
    """Any JSON is either read or told what is wrong with it; nothing is raised."""
    message, found = parse(said, cluster_pb2.Cluster, ())
    assert isinstance(message, cluster_pb2.Cluster)
    if not found:
        list(broken_rules(message))


def test_types_are_found_where_they_are_declared() -> None:
    """Every kind of extension of the API is known by its type's name; anything else is not looked for."""
    assert message_class("envoy.extensions.filters.http.lua.v3.Lua") is not None
    assert message_class("google.protobuf.StringValue") is not None
    assert message_class("xds.type.v3.TypedStruct") is not None
    assert message_class("reconciler.demo.app.Answer") is None
    assert message_class("envoy._bin.Envoy") is None


def test_laying_one_over_another() -> None:
    """Messages merge field by field, lists and typed configs change as a whole, null takes away, and a default can be set."""
    under, _ = parse(
        {
            "name": "a",
            "type": "EDS",
            "connect_timeout": "5s",
            "lb_policy": "RANDOM",
            "eds_cluster_config": {"service_name": "x", "eds_config": {"ads": {}}},
            "health_checks": [{"timeout": "1s"}, {"timeout": "2s"}],
            "common_lb_config": {"healthy_panic_threshold": {"value": 1}},
            "typed_extension_protocol_options": {"a": {"@type": TLS, "sni": "a"}, "b": {"@type": TLS, "sni": "b"}},
        },
        cluster_pb2.Cluster,
        (),
    )
    said: dict[str, Any] = {
        "lbPolicy": "ROUND_ROBIN",
        "edsClusterConfig": {"service_name": "y"},
        "health_checks": [{"timeout": "3s"}],
        "common_lb_config": {"healthy_panic_threshold": None, "zone_aware_lb_config": {}},
        "typed_extension_protocol_options": {"b": {"@type": TLS, "sni": "c"}},
    }
    over, found = parse(said, cluster_pb2.Cluster, ())
    assert not found
    overlay(under, over, said)
    assert under.lb_policy == cluster_pb2.Cluster.ROUND_ROBIN
    assert under.eds_cluster_config.service_name == "y"
    assert under.eds_cluster_config.eds_config.HasField("ads")
    assert [one.timeout.seconds for one in under.health_checks] == [3]
    assert not under.common_lb_config.HasField("healthy_panic_threshold")
    assert under.common_lb_config.HasField("zone_aware_lb_config")
    assert [
        b"a" in under.typed_extension_protocol_options["a"].value,
        b"c" in under.typed_extension_protocol_options["b"].value,
    ] == [
        True,
        True,
    ]


def test_choosing_another_of_several() -> None:
    """What excludes something else takes its place."""
    under, _ = parse({"type": "EDS"}, cluster_pb2.Cluster, ())
    said: dict[str, Any] = {"cluster_type": {"name": "envoy.clusters.aggregate"}}
    over, _ = parse(said, cluster_pb2.Cluster, ())
    overlay(under, over, said)
    assert under.WhichOneof("cluster_discovery_type") == "cluster_type"


def test_paths_as_they_are_written() -> None:
    """A path in protobuf's names leads through the keys a person used, as far as they wrote anything."""
    said: dict[str, Any] = {"loadAssignment": {"endpoints": [{"lb_endpoints": []}]}}
    path = ("load_assignment", "endpoints", 0, "lb_endpoints", 3, "x")
    assert spelled(said, path) == ("loadAssignment", "endpoints", 0, "lb_endpoints")
    assert spelled(said, ("name",)) == ()
