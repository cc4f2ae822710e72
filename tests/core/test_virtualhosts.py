"""VirtualHosts, ports and hosts: what proxies of one group and machine share, and what they cannot."""

import pytest
from envoy.config.listener.v3 import listener_pb2  # type: ignore[import-untyped]
from envoy.config.route.v3 import route_pb2  # type: ignore[import-untyped]

from reconciler.core.model import Ref
from tests.core.written import CONFIGURATION, EDGE, HOST, WEB, read, told, traffic, written

SHOP = """
kind: VirtualHost
metadata: {name: shop}
spec: {group: edge, port: 8443, domains: [shop.example], backend: web, tls: {certificate: shop}}
---
kind: VirtualHost
metadata: {name: docs}
spec: {group: edge, port: 8443, domains: [docs.example, "*.docs.example"], weights: {web: 3}, tls: {certificate: docs}}
---
kind: Certificate
metadata: {name: shop}
spec: {selfSigned: {names: [shop.example]}}
---
kind: Certificate
metadata: {name: docs}
spec: {selfSigned: {names: [docs.example]}}
"""
BARE = EDGE.replace("{configuration: edge}", "{}")


def test_virtual_hosts_share_a_port() -> None:
    """VirtualHosts of one port become one listener that tells certificates apart by name, and one route configuration."""
    fleet = written(web=WEB, edge=BARE, host=HOST, shop=SHOP).fleet()
    assert traffic(fleet) == {"cds": ["web"], "lds": ["port-8443"], "rds": ["port-8443"], "sds": ["docs", "shop"]}
    listener = read(told(fleet, "lds", "port-8443"), listener_pb2.Listener)
    names = {chain.name: list(chain.filter_chain_match.server_names) for chain in listener.filter_chains}
    assert names == {"docs": ["docs.example", "*.docs.example"], "shop": ["shop.example"]}
    assert [one.name for one in listener.listener_filters] == ["tls_inspector"]
    assert told(fleet, "lds", "port-8443").refers == (("rds", "port-8443"), ("sds", "docs"), ("sds", "shop"))
    routes = read(told(fleet, "rds", "port-8443"), route_pb2.RouteConfiguration)
    assert [(host.name, list(host.domains)) for host in routes.virtual_hosts] == [
        ("docs", ["docs.example", "*.docs.example"]),
        ("shop", ["shop.example"]),
    ]
    assert told(fleet, "sds", "shop").secret == Ref("Certificate", "shop")


def test_one_certificate_is_shown_to_everybody() -> None:
    """With a single certificate on a port, a client that names nobody is answered as well."""
    one = SHOP.replace("certificate: docs", "certificate: shop")
    fleet = written(web=WEB, edge=BARE, host=HOST, shop=one).fleet()
    listener = read(told(fleet, "lds", "port-8443"), listener_pb2.Listener)
    (chain,) = listener.filter_chains
    assert not chain.filter_chain_match.server_names
    assert not listener.listener_filters


ALIKE = "give all VirtualHosts of a port the same address"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            ("docs.example, ", "Shop.example, "),
            "shop.yaml:4:43: domain 'shop.example' on port 8443 is already served by VirtualHost/docs",
        ),
        (
            (", tls: {certificate: docs}", ""),
            "shop.yaml:4:77: port 8443 is plain HTTP for VirtualHost/docs and TLS here (use one port for each)",
        ),
        (
            ("backend: web", "backend: web, address: 0.0.0.0"),
            f"shop.yaml:4:81: port 8443 listens on 127.0.0.1 for VirtualHost/docs ({ALIKE})",
        ),
        (
            ('"*.docs.example"', '"docs.*"'),
            "shop.yaml:8:57: 'docs.*' cannot tell which certificate to show (write it as a whole name or as *.name)",
        ),
        (("weights: {web: 3}", "weights: {wep: 3}"), "shop.yaml:8:91: there is no cluster 'wep' (did you mean 'web'?)"),
        (
            ("{certificate: docs}", "{certificate: dosc}"),
            "shop.yaml:8:114: there is no Certificate 'dosc' (did you mean 'docs'?)",
        ),
    ],
)
def test_what_virtual_hosts_of_one_port_cannot_be(change: tuple[str, str], problem: str) -> None:
    """What one socket cannot be twice is a Problem at the later document."""
    shop = SHOP.replace(*change, 1)
    assert problem in written(web=WEB, edge=BARE, host=HOST, shop=shop).problems()


def test_virtual_hosts_beside_a_configuration() -> None:
    """A Configuration's listener that has the port, or the name, of a VirtualHost's is a Problem."""
    shop = SHOP.replace("8443", "10000")
    problems = written(web=WEB, edge=EDGE, host=HOST, shop=shop, configuration=CONFIGURATION).problems()
    assert any("listeners 'http' and 'port-10000' both want 127.0.0.1:10000" in one for one in problems)
    named = CONFIGURATION.replace("name: http, port: 10000", "name: port-8443, port: 10000")
    problems = written(web=WEB, edge=EDGE, host=HOST, shop=SHOP, configuration=named).problems()
    assert any("Configuration/edge has something named 'port-8443'" in one for one in problems)


MEND = "(give this proxy another under `ports`)"
SECOND = EDGE + "---\nkind: Proxy\nmetadata: {name: edge-2}\nspec: {group: edge, host: local}\n"


@pytest.mark.parametrize(
    ("edge", "configuration", "problem"),
    [
        (
            SECOND,
            CONFIGURATION,
            "edge.yaml:12:7: listener 'http' wants 127.0.0.1:10000, which listener 'http' has in Proxy/edge-1 on the same host "
            + MEND,
        ),
        (
            EDGE.replace("host: local", "ports: {htp: 1}"),
            CONFIGURATION,
            "edge.yaml:8:34: ProxyGroup/edge has no listener 'htp' (did you mean 'http'?)",
        ),
        (
            EDGE,
            CONFIGURATION.replace(", port: 10000", ""),
            "edge.yaml:8:7: listener 'http' has no port, so each Proxy must say which (ports: {http: 10000})",
        ),
    ],
)
def test_ports_of_proxies(edge: str, configuration: str, problem: str) -> None:
    """Two Envoys would silently share a port, so that is a Problem; so are overrides of nothing, and no port at all."""
    assert problem in written(web=WEB, edge=edge, host=HOST, configuration=configuration).problems()


def test_proxies_with_ports_of_their_own() -> None:
    """Overrides take the clash away, and stand in for a port that the listener does not give."""
    edge = SECOND.replace("edge-2}\nspec: {group: edge,", "edge-2}\nspec: {group: edge, ports: {http: 10001},")
    assert written(web=WEB, edge=edge, host=HOST, configuration=CONFIGURATION).fleet()
    edge = EDGE.replace("host: local", "ports: {http: 10001}")
    assert written(web=WEB, edge=edge, host=HOST, configuration=CONFIGURATION.replace(", port: 10000", "")).fleet()
