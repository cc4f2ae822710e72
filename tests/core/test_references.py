"""References: which clusters, routes and certificates a group is told, and what is said of those that are missing."""

import pytest
from envoy.config.cluster.v3 import cluster_pb2  # type: ignore[import-untyped]
from envoy.config.listener.v3 import listener_pb2  # type: ignore[import-untyped]
from envoy.config.route.v3 import route_pb2  # type: ignore[import-untyped]

from reconciler.core.model import Ref
from reconciler.core.rules import broken_rules
from tests.core.test_virtualhosts import SHOP
from tests.core.written import CONFIGURATION, EDGE, HOST, WEB, read, told, traffic, written


def test_nearer_clusters_win() -> None:
    """A Configuration's own cluster comes before a Cluster of that name, and that before an Application."""
    cluster = "kind: Cluster\nmetadata: {name: web}\nspec: {application: web, port: admin}"
    files = {"web": WEB, "edge": EDGE, "host": HOST, "cluster": cluster}
    fleet = written(**files, configuration=CONFIGURATION).fleet()
    assert told(fleet, "cds", "web").eds == "Application/web/admin"
    inline = CONFIGURATION + '  clusters: [{name: web, endpoints: ["127.0.0.1:1"]}]'
    fleet = written(**files, configuration=inline).fleet()
    assert told(fleet, "cds", "web").eds == ""


def test_only_what_is_referred_to_is_told() -> None:
    """Clusters nobody in the group mentions stay out; those that mentioned clusters mention come along."""
    clusters = """
kind: Cluster
metadata: {name: both}
spec:
  envoy:
    lb_policy: CLUSTER_PROVIDED
    cluster_type:
      name: envoy.clusters.aggregate
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig
        clusters: [web, spare]
---
kind: Cluster
metadata: {name: spare}
spec: {endpoints: ["127.0.0.1:9000"]}
---
kind: Cluster
metadata: {name: unused}
spec: {endpoints: ["127.0.0.1:9001"]}
"""
    configuration = CONFIGURATION.replace("cluster: web", "cluster: both")
    fleet = written(web=WEB, edge=EDGE, host=HOST, clusters=clusters, configuration=configuration).fleet()
    assert traffic(fleet)["cds"] == ["both", "spare", "web"]
    assert told(fleet, "cds", "both").refers == (("cds", "web"), ("cds", "spare"))


def test_endpoints_of_ones_own() -> None:
    """Addresses make a static cluster, and one host name among them one that Envoy resolves."""
    clusters = """
kind: Cluster
metadata: {name: fixed}
spec: {endpoints: ["127.0.0.1:9000", "[::1]:9001"]}
---
kind: Cluster
metadata: {name: named}
spec: {endpoints: ["127.0.0.1:9000", "db.internal:9001"], connectTimeoutSeconds: 0.25}
"""
    configuration = CONFIGURATION.replace("cluster: web", "weights: {fixed: 1, named: 0}")
    fleet = written(edge=EDGE, host=HOST, clusters=clusters, configuration=configuration).fleet()
    fixed, named = (read(told(fleet, "cds", name), cluster_pb2.Cluster) for name in ("fixed", "named"))
    assert (fixed.type, named.type) == (cluster_pb2.Cluster.STATIC, cluster_pb2.Cluster.STRICT_DNS)
    sockets = [one.endpoint.address.socket_address for one in fixed.load_assignment.endpoints[0].lb_endpoints]
    assert [(one.address, one.port_value) for one in sockets] == [("127.0.0.1", 9000), ("::1", 9001)]
    assert named.connect_timeout.ToMilliseconds() == 250


def test_a_raw_listener_brings_its_cluster() -> None:
    """A TCP proxy written as an Envoy message finds its cluster, and a wrong name is a Problem where it is written."""
    raw = """
kind: Configuration
metadata: {name: edge}
spec:
  listeners:
    - name: tcp
      port: 10000
      envoy:
        filterChains:
          - filters:
              - name: tcp
                typedConfig:
                  "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
                  statPrefix: tcp
                  cluster: web
"""
    files = {"web": WEB, "edge": EDGE, "host": HOST}
    fleet = written(**files, configuration=raw).fleet()
    assert traffic(fleet) == {"cds": ["web"], "lds": ["tcp"], "rds": [], "sds": []}
    assert told(fleet, "lds", "tcp").refers == (("cds", "web"),)
    problems = written(**files, configuration=raw.replace("cluster: web", "cluster: wep")).problems()
    assert problems == ["configuration.yaml:15:28: there is no cluster 'wep' (did you mean 'web'?)"]


EVERYTHING = [
    "configuration.yaml:6:41: there is no route configuration 'mian' (did you mean 'main'?)",
    (
        "configuration.yaml:11:9: Listener has no field 'per_connection_bufer_limit_bytes' (did you mean "
        "'per_connection_buffer_limit_bytes'?)"
    ),
    "configuration.yaml:12:52: must be an object (ExactBalance), not 1",
    "configuration.yaml:16:32: domain 'A.example' is already in host 'host-0'",
    "configuration.yaml:21:34: must be a duration such as '5s' or '0.25s', not 'soon'",
    (
        "configuration.yaml:25:58: virtual_hosts[0].routes[1].route.cluster_not_found_response_code: must be one "
        "of SERVICE_UNAVAILABLE, NOT_FOUND, INTERNAL_SERVER_ERROR"
    ),
    "configuration.yaml:29:32: connect_timeout: must be more than 0s, not -1s",
    "configuration.yaml:30:13: two clusters are named 'slow' (rename one of them)",
    "configuration.yaml:32:13: Application/web has no port 'htp' (did you mean 'http'?)",
]


def test_everything_wrong_at_once() -> None:
    """Every Problem of every document is told in one go, each at its own line and column."""
    wrong = """
kind: Configuration
metadata: {name: edge}
spec:
  listeners:
    - {name: http, port: 10000, routes: mian}
    - name: odd
      port: 10001
      routes: main
      envoy:
        per_connection_bufer_limit_bytes: 5
        connection_balance_config: {exact_balance: 1}
  routes:
    - name: main
      virtualHosts:
        - domains: [a.example, A.example]
          routes:
            - prefix: /
              cluster: web
              envoy:
                route: {timeout: soon}
            - prefix: /x
              cluster: web
              envoy:
                route: {cluster_not_found_response_code: 5000}
  clusters:
    - name: slow
      endpoints: ["127.0.0.1:1"]
      envoy: {connect_timeout: -1s}
    - name: slow
      application: web
      port: htp
"""
    problems = written(web=WEB, edge=EDGE, host=HOST, configuration=wrong).problems()
    assert problems == EVERYTHING


def test_hosts_have_addresses() -> None:
    """Endpoints reach Envoys as addresses, so a host's name in the place of one is a Problem."""
    host = "kind: Host\nmetadata: {name: local}\nspec: {address: localhost}"
    assert written(host=host).problems() == ["host.yaml:3:17: 'localhost' is not an IP address (127.0.0.1 is this machine)"]


def test_an_application_without_a_port_cannot_be_sent_requests() -> None:
    """It is fine by itself, and a Problem as soon as a route leads to it."""
    portless = "kind: Application\nmetadata: {name: web}\nspec: {command: [run]}"
    assert written(web=portless).fleet()
    problems = written(web=portless, edge=EDGE, host=HOST, configuration=CONFIGURATION).problems()
    assert problems == ["web.yaml:3:7: Application/web is sent requests but has no port (give it `ports`)"]


def test_tenants_do_not_see_each_other() -> None:
    """The same names in another tenant are other things, under other EDS names."""
    files = {"web": WEB, "edge": EDGE, "configuration": CONFIGURATION, "host": HOST}
    both = written(**files, **{f"acme__{name}": text for name, text in files.items()}).fleet()
    acme = both.traffic[Ref("ProxyGroup", "edge", "acme")]
    assert acme["cds"]["web"].eds == "Application/acme/web/http"
    assert str(Ref("Proxy", "edge-1", "acme")) in map(str, both.workloads)
    alone = written(**{f"acme__{name}": text for name, text in files.items() if name != "web"}, web=WEB)
    assert "acme__configuration.yaml:11:36: there is no cluster 'web'" in alone.problems()[0]


def test_clusters_of_the_bootstrap_may_be_named() -> None:
    """A route may lead to a cluster that the group's Envoys have from their bootstrap; it is not told again."""
    bootstrap = "{configuration: edge, bootstrap: {static_resources: {clusters: [{name: local-agent, connect_timeout: 1s}]}}}"
    edge = EDGE.replace("{configuration: edge}", bootstrap)
    configuration = CONFIGURATION.replace("cluster: web", "cluster: local-agent")
    fleet = written(edge=edge, host=HOST, configuration=configuration).fleet()
    assert traffic(fleet)["cds"] == []
    assert told(fleet, "rds", "main").refers == ()


def test_short_spellings_break_no_rule() -> None:
    """What is made of short spellings alone is not checked each time, so it is checked here."""
    clusters = 'kind: Cluster\nmetadata: {name: fixed}\nspec: {endpoints: ["127.0.0.1:9000"]}'
    configuration = CONFIGURATION.replace("cluster: web", "weights: {fixed: 1, web: 0}, timeoutSeconds: 1")
    fleet = written(web=WEB, edge=EDGE, host=HOST, clusters=clusters, configuration=configuration, shop=SHOP).fleet()
    types = {"cds": cluster_pb2.Cluster, "lds": listener_pb2.Listener, "rds": route_pb2.RouteConfiguration}
    checked = [
        list(broken_rules(read(resource, cls)))
        for type, cls in types.items()
        for resource in fleet.traffic[Ref("ProxyGroup", "edge")][type].values()
    ]
    assert checked == [[]] * 6


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("{envoy: {type: EDS, eds_cluster_config: {eds_config: {ads: {}}}}}", "c.yaml:3:22"),
        ("{application: web, envoy: {eds_cluster_config: {service_name: other}}}", "c.yaml:3:69"),
    ],
)
def test_endpoints_that_only_convoy_knows(spec: str, problem: str) -> None:
    """A cluster cannot make up the name under which Convoy sends endpoints."""
    found = written(web=WEB, c=f"kind: Cluster\nmetadata: {{name: c}}\nspec: {spec}").problems()
    assert found == [f"{problem}: these endpoints come from Convoy (say whose by `application` or `container`)"]


def test_endpoints_from_elsewhere() -> None:
    """A cluster may take its endpoints from a file or another server; then they are none of ours."""
    spec = "{envoy: {type: EDS, eds_cluster_config: {eds_config: {path_config_source: {path: /tmp/eds.yaml}}}}}"
    cluster = f"kind: Cluster\nmetadata: {{name: web}}\nspec: {spec}"
    fleet = written(edge=EDGE, host=HOST, configuration=CONFIGURATION, cluster=cluster).fleet()
    assert told(fleet, "cds", "web").eds == ""


def test_broken_things_are_not_called_missing() -> None:
    """What is declared but wrong is told as wrong, not as missing by everything that refers to it."""
    clusters = "kind: Cluster\nmetadata: {name: web}\nspec: {envoy: {nme: 1}}"
    problems = written(edge=EDGE, host=HOST, configuration=CONFIGURATION, clusters=clusters).problems()
    assert problems == ["clusters.yaml:3:16: Cluster has no field 'nme' (did you mean 'name'?)"]


def test_routes_and_secrets_from_elsewhere() -> None:
    """Only what is asked of us must be declared; what an Envoy reads from a file of its own is its own business."""
    raw = """
kind: Configuration
metadata: {name: edge}
spec:
  listeners:
    - name: http
      port: 10000
      envoy:
        filter_chains:
          - filters:
              - name: http
                typed_config:
                  "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                  stat_prefix: http
                  rds: {route_config_name: theirs, config_source: {path_config_source: {path: /tmp/routes.yaml}}}
            transport_socket:
              name: tls
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
                common_tls_context:
                  tls_certificate_sds_secret_configs:
                    - {name: theirs, sds_config: {path_config_source: {path: /tmp/secret.yaml}}}
"""
    fleet = written(edge=EDGE, host=HOST, configuration=raw).fleet()
    assert told(fleet, "lds", "http").refers == ()
    problems = written(
        edge=EDGE, host=HOST, configuration=raw.replace("path_config_source: {path: /tmp/secret.yaml}", "ads: {}")
    ).problems()
    assert problems == ["configuration.yaml:22:30: there is no Certificate 'theirs' (declare a Certificate of that name)"]
