"""Certificates with their keys, and documents that name them."""

import time
from typing import Any

from reconciler import tls
from tests.api.envoy_fleet.playing import Dialect
from tests.committing import HEAD

NAME = "api-example-com"


def pair(*names: str, days: float = 90, ago_s: float = 0) -> tls.Pair:
    return tls.self_signed(names or ("api.example.com",), days, 7, time.time() - ago_s)


def body(name: str = NAME, made: tls.Pair | None = None) -> dict[str, Any]:
    made = made or pair()
    return {"name": name, "certificate_pem": made.chain_pem.decode(), "private_key": made.key_pem.decode()}


def uploaded(dialect: Dialect) -> dict[str, Any]:
    """What is uploaded, to a Convoy that can seal."""
    dialect.seals()
    return body()


def used_by_a_listener(dialect: Dialect, name: str) -> None:
    """Of a Configuration `edge`, called `https`."""
    assert dialect.origin is not None
    listener = f"{{name: https, port: 8443, routes: main, tls: {{certificate: {name}}}}}"
    spec = f"spec:\n  listeners: [{listener}]\n  routes: [{{name: main, virtualHosts: []}}]\n"
    dialect.origin.commit({"edge.yaml": HEAD.format("Configuration", "edge") + spec})
    dialect.follow()
