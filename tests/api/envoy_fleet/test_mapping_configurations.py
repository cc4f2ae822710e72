"""What the document says of configurations, listeners and routes is an entry of a Configuration, which says it again."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.surfaces.envoy_fleet.mapping import configurations, entries
from api.surfaces.envoy_fleet.mapping.filters import Untyped, type_of, typed, untyped
from api.surfaces.envoy_fleet.wire import Invalid
from reconciler.core import native
from reconciler.core.kinds.configuration import Configuration
from reconciler.core.proposal import Refused
from reconciler.core.values import CLEAR

LISTENER = {
    "name": "http_listener",
    "address": "0.0.0.0",
    "port": 8080,
    "protocol": "HTTP",
    "filter_chains": [
        {
            "filters": [
                {
                    "name": "envoy.filters.network.http_connection_manager",
                    "config": {
                        "stat_prefix": "http",
                        "route_config": {"name": "local_route", "virtual_hosts": []},
                        "http_filters": [{"name": "envoy.filters.http.router"}],
                    },
                }
            ]
        }
    ],
}
ROUTE = {
    "name": "api_route",
    "virtual_host": "api.example.com",
    "domains": ["api.example.com", "api.example.org"],
    "routes": [
        {"match": {"prefix": "/v1/"}, "route": {"cluster": "api_v1_cluster", "timeout_ms": 30000}},
        {"match": {"path": "/health"}, "direct_response": {"status": 200, "body": {"inline_string": "OK"}}},
    ],
    "retry_policy": {"retry_on": "5xx", "num_retries": 3, "per_try_timeout_ms": 10000},
}
CLUSTER = {
    "name": "service_b",
    "type": "STRICT_DNS",
    "lb_policy": "ROUND_ROBIN",
    "load_assignment": {
        "cluster_name": "service_b",
        "endpoints": [
            {
                "lb_endpoints": [
                    {"endpoint": {"address": {"socket_address": {"address": "service-b.internal", "port_value": 8080}}}}
                ]
            }
        ],
    },
}
EDS = {"eds_config": {"ads": {}}, "service_name": "x"}


def port_of(kind: str, name: str, port: str | None) -> str:
    return port or "http"


def answered(spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "i",
        "active_version": {"version_number": 5},
        "static_resources": configurations.static_resources(spec, "default", port_of),
        "dynamic_resources": {"ads_config": {"api_type": "GRPC"}, "lds_config": {"ads": {}}},
        "admin_config": {"address": {"pipe": {"path": "/run/admin.sock"}}},
    }


def wanted(body: dict[str, Any], spec: dict[str, Any]) -> configurations.Wanted:
    return configurations.wanted(body, spec, answered(spec), "default", port_of)


def wrong(body: dict[str, Any], spec: dict[str, Any] | None = None) -> tuple[str, str]:
    with pytest.raises(Invalid) as why:
        wanted(body, spec or {})
    return why.value.field, why.value.reason


def test_the_documents_listener_is_an_entry_and_back() -> None:
    """Filters get their type by their names (EF-C16), the manager's own too; what is said of it is the same again."""
    entry = entries.listener_entry(LISTENER, "default", port_of)
    assert (entry["name"], entry["address"], entry["port"]) == ("http_listener", "0.0.0.0", 8080)
    manager = entry["envoy"]["filter_chains"][0]["filters"][0]["typed_config"]
    assert manager["@type"].endswith("http_connection_manager.v3.HttpConnectionManager")
    assert manager["http_filters"][0]["typed_config"]["@type"].endswith("filters.http.router.v3.Router")
    again = entries.listener_view(entry, "default", port_of)
    # A list without anything in it is one that is not there.
    del LISTENER["filter_chains"][0]["filters"][0]["config"]["route_config"]["virtual_hosts"]  # type: ignore[index]
    assert again == LISTENER
    Configuration.model_validate({"listeners": [entry]})


def test_the_documents_route_is_an_entry_and_back() -> None:
    """A route configuration of one virtual host, short where Convoy has words for it."""
    entry = entries.route_entry(ROUTE, "default", port_of)
    assert entry == {
        "name": "api_route",
        "virtualHosts": [
            {
                "name": "api.example.com",
                "domains": ["api.example.com", "api.example.org"],
                "routes": [
                    {"prefix": "/v1/", "cluster": "api_v1_cluster", "timeoutSeconds": 30},
                    {"path": "/health", "envoy": {"direct_response": {"status": 200, "body": {"inline_string": "OK"}}}},
                ],
                "envoy": {"retry_policy": {"retry_on": "5xx", "num_retries": 3, "per_try_timeout": "10s"}},
            }
        ],
    }
    assert list(entries.route_views(entry, "default", port_of)) == [ROUTE]


def test_the_documents_cluster_is_laid_over_the_others() -> None:
    """It is told apart by its name; what is not named keeps its words, and what is the same again does too."""
    spec = {"clusters": [{"name": "a", "application": "web"}, {"name": "b", "endpoints": ["10.0.0.1:80"]}]}
    said = {"change_description": "Add service B", "static_resources": {"clusters": [CLUSTER]}}
    found = wanted(said, spec)
    assert found.description == "Add service B"
    assert [one["name"] for one in found.entries["clusters"]] == ["service_b"]
    assert configurations.static_resources({"clusters": found.entries["clusters"]}, "default", port_of)["clusters"] == [
        {**CLUSTER, "connect_timeout": "5s"}
    ]
    # What was read and is sent back as it is says nothing new.
    assert wanted(answered(spec), spec).entries["clusters"] == spec["clusters"]


@pytest.mark.parametrize(
    ("body", "field", "reason"),
    [
        ({"static_resource": {}}, "static_resource", "did you mean 'static_resources'?"),
        ({"change_description": "x"}, "static_resources", "required"),
        ({"static_resources": {"secrets": []}}, "static_resources.secrets", "Certificates"),
        ({"static_resources": {"clusters": [{}]}}, "static_resources.clusters[0].name", "must be given"),
        ({"static_resources": {"clusters": [{"name": "a b"}]}}, "static_resources.clusters[0].name", "none of them blank"),
        ({"static_resources": {"clusters": [CLUSTER, CLUSTER]}}, "static_resources.clusters[1].name", "has this name"),
        ({"static_resources": {"clusters": [{**CLUSTER, "typ": 1}]}}, "static_resources.clusters[0].typ", "no field"),
        ({"static_resources": {"listeners": [{"name": "a", "address": 7}]}}, "static_resources.listeners[0].address", "object"),
        ({"dynamic_resources": {"lds_config": {"path": "/x"}}}, "dynamic_resources.lds_config.path", "as Convoy starts"),
        ({"admin_config": {"address": {"socket_address": {}, "pipe": {"path": "/x"}}}}, "admin_config.address.pipe.path", "as"),
        ({"id": "j", "static_resources": {}}, "id", "given by Convoy"),
        (
            {"static_resources": {"clusters": [{"name": "a", "type": "EDS", "eds_cluster_config": EDS}]}},
            "static_resources.clusters[0]",
            "come from Convoy",
        ),
    ],
)
def test_what_the_model_cannot_say_is_refused_by_name(body: dict[str, Any], field: str, reason: str) -> None:
    """Nothing is dropped: the member, and why."""
    found = wrong(body)
    assert found[0].startswith(field)
    assert reason in found[1]


def test_what_our_envoys_have_may_be_said_as_it_is() -> None:
    """And in part: what is left out says nothing. A version that is not active any more is a conflict."""
    spec: dict[str, Any] = {}
    assert not any(wanted({"dynamic_resources": {"lds_config": {}}, "admin_config": {}}, spec).entries.values())
    assert not any(wanted({"dynamic_resources": {"ads_config": {"api_type": "GRPC"}}}, spec).entries.values())
    with pytest.raises(Refused, match="not the active one"):
        wanted({"active_version": {"version_number": 4}, "static_resources": {}}, spec)


def test_what_is_hidden_comes_back_as_it_was() -> None:
    """A secret in the clear is not told, and whoever sends back what he read changes nothing of it."""
    key = "-----BEGIN PRIVATE KEY----- abc"
    context = {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": {
            "tls_certificates": [{"private_key": {"inline_string": key}, "certificate_chain": {"inline_string": "c"}}]
        },
    }
    envoy = {"transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": context}}
    spec = {"clusters": [{"name": "a", "endpoints": ["10.0.0.1:80"], "envoy": envoy}]}
    told = answered(spec)
    assert key not in str(told)
    assert CLEAR in str(told)
    assert wanted({"static_resources": told["static_resources"]}, spec).entries["clusters"] == spec["clusters"]
    told["static_resources"]["clusters"][0]["lb_policy"] = "RANDOM"
    (changed,) = wanted({"static_resources": told["static_resources"]}, spec).entries["clusters"]
    assert key in str(changed)
    assert changed["envoy"]["lb_policy"] == "RANDOM"
    assert wrong({"static_resources": told["static_resources"]})[0] == "static_resources.clusters[0]"


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"address": "localhost"}, "address", "is no IP address"),
        ({"port": 70000}, "port", "must be at most 65535"),
        ({"port": None}, "port", "is required"),
        ({"protocol": "TCP"}, "protocol", "make HTTP of it"),
        ({"filter_chains": []}, "body", "does nothing"),
        ({"filter_chains": [{"filters": [{"name": "mine", "config": {}}]}]}, "filter_chains[0].filters[0].name", "no filter"),
        (
            {"filter_chains": [{"filters": [{"name": "envoy.filters.network.tcp_proxy", "config": {"stat_prefx": "x"}}]}]},
            "filter_chains[0].filters[0].config.stat_prefx",
            "no field",
        ),
        (
            {"filter_chains": [{"filters": [{"name": "envoy.filters.network.tcp_proxy", "config": {"stat_prefix": ""}}]}]},
            "filter_chains[0].filters[0].config.stat_prefix",
            "must not be empty",
        ),
        (
            {"filter_chains": [{"filters": [{"name": "a", "config": {}, "typed_config": {}}]}]},
            "filter_chains[0].filters[0].config",
            "exclude each other",
        ),
        ({"per_conection": 1}, "per_conection", "no field"),
    ],
)
def test_a_listener_that_cannot_be_is_refused_by_name(change: dict[str, Any], field: str, reason: str) -> None:
    """In the words of the body, whatever Envoy calls it."""
    with pytest.raises(Invalid) as why:
        entries.listener_entry({**LISTENER, **change}, "default", port_of)
    assert why.value.field == field
    assert reason in why.value.reason


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"routes": [{"match": {"prefix": "/"}}]}, "routes[0]", "needs one of"),
        ({"routes": [{"match": {"prefix": "/"}, "route": {"cluster": "a"}, "redirect": {}}]}, "routes[0].redirect", "exclude"),
        ({"routes": [{"route": {"cluster": "a"}}]}, "routes[0].match", "must be given"),
        (
            {"routes": [{"match": {"prefix": "/"}, "route": {"cluster": "a", "timeout_ms": -1}}]},
            "routes[0].route.timeout_ms",
            "whole number",
        ),
        (
            {"routes": [{"match": {"prefix": "/"}, "route": {"cluster": "a", "timeout_ms": 1, "timeout": "1s"}}]},
            "routes[0].route.timeout_ms",
            "exclude each other",
        ),
        ({"domains": []}, "domains", "at least 1"),
        ({"retry_policy": {"num_retrys": 1}}, "retry_policy.num_retrys", "did you mean 'num_retries'?"),
    ],
)
def test_a_route_that_cannot_be_is_refused_by_name(change: dict[str, Any], field: str, reason: str) -> None:
    """In the words of the body, whatever Envoy calls it."""
    with pytest.raises(Invalid) as why:
        entries.route_entry({**ROUTE, **change}, "default", port_of)
    assert why.value.field == field
    assert reason in why.value.reason


def test_a_route_without_a_policy_is_tried_again_as_convoy_does() -> None:
    """What nothing is said of stays short, and is told as it is."""
    given = {"name": "a", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "web"}}]}
    entry = entries.route_entry(given, "default", port_of)
    hosts = [{"name": "a", "domains": ["*"], "routes": [{"prefix": "/", "cluster": "web"}]}]
    assert entry == {"name": "a", "virtualHosts": hosts}
    (view,) = entries.route_views(entry, "default", port_of)
    assert view["retry_policy"]["num_retries"] == 2


@pytest.mark.parametrize(
    "name",
    [
        "envoy.filters.http.cors",
        "envoy.filters.http.header_to_metadata",
        "envoy.filters.http.jwt_authn",
        "envoy.filters.http.lua",
        "envoy.filters.http.grpc_stats",
        "envoy.filters.network.redis_proxy",
        "envoy.filters.listener.tls_inspector",
        "envoy.access_loggers.stdout",
    ],
)
def test_filters_are_known_by_their_names(name: str) -> None:
    """Each name leads to a type of Envoy's API."""
    assert native.known(type_of(name))


def test_names_that_lead_nowhere_do_not() -> None:
    """Whatever is in them: nothing is imported because a client names it."""
    assert [
        type_of(name) for name in ("os.path", "envoy.os", "envoy.filters.http.", "envoy." + "a." * 500, "envoy...", "")
    ] == [""] * 6


# There and back

names = st.from_regex(r"[a-z][a-z0-9_-]{0,10}", fullmatch=True)
milliseconds = st.integers(0, 10_000_000)
manager = st.builds(
    lambda prefix, timeout, cors: {
        "name": "envoy.filters.network.http_connection_manager",
        "config": {
            "stat_prefix": prefix,
            "rds": {"config_source": {"ads": {}, "resource_api_version": "V3"}, "route_config_name": prefix},
            "http_filters": [*([{"name": "envoy.filters.http.cors"}] if cors else []), {"name": "envoy.filters.http.router"}],
            **({"request_timeout": f"{timeout}s"} if timeout else {}),
        },
    },
    names,
    st.integers(0, 100),
    st.booleans(),
)
tcp = st.builds(
    lambda prefix, cluster: {"name": "envoy.filters.network.tcp_proxy", "config": {"stat_prefix": prefix, "cluster": cluster}},
    names,
    names,
)
listeners = st.builds(
    lambda name, address, port, filters, size: {
        "name": name,
        "address": address,
        "port": port,
        "filter_chains": [{"filters": [one]} for one in filters],
        **({"per_connection_buffer_limit_bytes": size} if size else {}),
    },
    names,
    st.sampled_from(["0.0.0.0", "127.0.0.1", "::1", "10.0.1.5"]),
    st.integers(1, 65535),
    st.lists(manager, min_size=1, max_size=1) | st.lists(tcp, min_size=1, max_size=1),
    st.integers(0, 9999),
)
actions = st.one_of(
    st.builds(lambda cluster, ms: {"route": {"cluster": cluster, "timeout_ms": ms}}, names, milliseconds),
    st.builds(lambda cluster, path: {"route": {"cluster": cluster, "prefix_rewrite": f"/{path}"}}, names, names),
    st.builds(
        lambda one, two: {"direct_response": {"status": one, "body": {"inline_string": two}}}, st.integers(200, 599), names
    ),
    st.builds(lambda path: {"redirect": {"path_redirect": f"/{path}"}}, names),
)
matches = st.one_of(
    st.builds(lambda path: {"prefix": f"/{path}"}, names),
    st.builds(lambda path: {"path": f"/{path}"}, names),
    st.builds(lambda path: {"safe_regex": {"regex": f"/{path}"}}, names),
)
routes = st.builds(
    lambda name, host, domains, every, ms: {
        "name": name,
        "virtual_host": host,
        "domains": domains,
        "routes": [{"match": match, **action} for match, action in every],
        "retry_policy": {"retry_on": "5xx", **({"per_try_timeout_ms": ms} if ms else {})},
    },
    names,
    names,
    st.lists(names, min_size=1, max_size=3, unique=True),
    st.lists(st.tuples(matches, actions), min_size=1, max_size=3),
    milliseconds,
)


@settings(max_examples=30, deadline=None)
@given(listeners)
def test_a_listener_there_and_back_is_the_same(body: dict[str, Any]) -> None:
    """What is said of an entry makes that entry again, and says the same again."""
    entry = entries.listener_entry(body, "default", port_of)
    view = entries.listener_view(entry, "default", port_of)
    assert {**body, "protocol": view["protocol"]} == view
    assert entries.listener_entry(view, "default", port_of) == entry
    said = native.said("listeners", entry, "default", port_of)
    spec = {"listeners": [entry]}
    assert wanted({"static_resources": {"listeners": [said]}}, spec).entries["listeners"] == [entry]
    assert wanted({"static_resources": {"listeners": [said]}}, {}).entries["listeners"] == [entry]


@settings(max_examples=30, deadline=None)
@given(routes)
def test_a_route_there_and_back_is_the_same(body: dict[str, Any]) -> None:
    """Milliseconds and durations, and what the document has no words for."""
    entry = entries.route_entry(body, "default", port_of)
    (view,) = entries.route_views(entry, "default", port_of)
    assert view == body
    assert entries.route_entry(view, "default", port_of) == entry


@settings(max_examples=30, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["name", "config", "typed_config", "filters", "http_filters", "transport_socket", "x"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_is_walked_through(value: Any) -> None:
    """Whatever is where: a refusal by name, or a value; never an error of ours."""
    try:
        once = typed(value)
    except Untyped:
        return
    untyped(once)
