"""Real Envoys and the traffic through them, for the tests of the xDS server."""

import http.client
import http.server
import json
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

XDS_CLUSTER = "xds"
HTTP2 = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


class Backend:
    """An app that says its name."""

    def __init__(self, name: str) -> None:
        class Answer(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("content-length", str(len(name)))
                self.end_headers()
                self.wfile.write(name.encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def bootstrap(node: str, socket_path: Path, token: str, admin: int, delta: bool) -> dict[str, Any]:
    ads = {"ads": {}, "resource_api_version": "V3"}
    service = {
        "envoy_grpc": {"cluster_name": XDS_CLUSTER},
        "initial_metadata": [{"key": "authorization", "value": f"Bearer {token}"}],
    }
    options = {
        "@type": f"type.googleapis.com/{HTTP2}",
        "explicit_http_config": {"http2_protocol_options": {"connection_keepalive": {"interval": "30s", "timeout": "5s"}}},
    }
    endpoint = {"endpoint": {"address": {"pipe": {"path": str(socket_path)}}}}
    return {
        "node": {"id": node, "cluster": "test"},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin}}},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC" if delta else "GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [service],
            },
            "cds_config": ads,
            "lds_config": ads,
        },
        "static_resources": {
            "clusters": [
                {
                    "name": XDS_CLUSTER,
                    "type": "STATIC",
                    "typed_extension_protocol_options": {HTTP2: options},
                    "load_assignment": {"cluster_name": XDS_CLUSTER, "endpoints": [{"lb_endpoints": [endpoint]}]},
                }
            ]
        },
    }


@contextmanager
def envoy(binary: Path, directory: Path, config: dict[str, Any]) -> Iterator[None]:
    """One Envoy for as long as the block runs; its log is printed when the block fails."""
    file = directory / "envoy.json"
    file.write_text(json.dumps(config))
    log = directory / "envoy.log"
    command = [binary, "-c", file, "--concurrency", "2", "--disable-hot-restart", "-l", "warn"]
    with log.open("w") as output:
        process = subprocess.Popen(list(map(str, command)), stdout=output, stderr=output)
    try:
        yield
    except BaseException:
        print(log.read_text()[-4000:])
        raise
    finally:
        process.kill()
        process.wait()


def admin(port: int, path: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


class Traffic:
    """Requests without pause through one listener; every answer and every failure is counted."""

    def __init__(self, port: int) -> None:
        self._port, self._stopped = port, threading.Event()
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        # Requests that have come to an end, by thread.
        self._ended = [0, 0]
        self._threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(2)]
        for thread in self._threads:
            thread.start()

    def _run(self, number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        while not self._stopped.is_set():
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                body = answer.read().decode()
                if answer.status == 200:
                    self.answers[body] += 1
                else:
                    self.failures.append(f"{answer.status} {body}")
            except OSError as error:
                self.failures.append(repr(error))
                connection.close()
            self._ended[number] += 1
            time.sleep(0.001)
        connection.close()

    def sample(self, requests: int = 200) -> Counter[str]:
        """The answers to so many requests that are asked from now on, by what Envoy has acknowledged until now.

        Of each thread the first two are left out: one is under way, and the next may be read by a worker of Envoy's that has
        still to turn to what its main thread told it.
        """
        old, deadline = list(self._ended), time.monotonic() + 120
        while any(now < before + 2 for now, before in zip(self._ended, old, strict=True)):
            assert time.monotonic() < deadline, f"no answers: {self.failures}"
            time.sleep(0.01)
        before = self.answers.copy()
        # Of a copy, which is made at once: while it is looked through, a thread may add the first answer of its kind.
        while (found := self.answers.copy() - before).total() < requests:
            assert time.monotonic() < deadline, f"no answers: {self.failures}"
            time.sleep(0.01)
        return found

    def close(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()
