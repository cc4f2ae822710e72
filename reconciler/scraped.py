"""Serves the metrics, and whether all is well, over plain HTTP to whoever may reach that address."""

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from reconciler.metrics import EXPOSITION, STALE_S, Metrics
from reconciler.seams import Seams

LOOPBACK = "127.0.0.1"
# A client that sends its request slower than this only holds a thread.
CLIENT_S = 10.0


class MetricsError(Exception):
    """The metrics cannot be served where they were asked for; the message says why."""


def serve(metrics: Metrics, seams: Seams, address: str = f"{LOOPBACK}:0", stale_s: float = STALE_S) -> "Served":
    """Serve /metrics, /health and /ready at HOST:PORT (or PORT alone, on loopback); port 0 takes a free one.

    Raises MetricsError.
    """
    host, port = _split(address)
    seams.point("metrics.listen", address)
    try:
        return Served(metrics, host, port, stale_s)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise MetricsError(f"cannot serve metrics at {address}: {why}; name another HOST:PORT") from error


class Served:
    """The HTTP server of the metrics, in threads of its own."""

    def __init__(self, metrics: Metrics, host: str, port: int, stale_s: float) -> None:
        class Answer(_Answer):
            of, patience_s = metrics, stale_s

        self._server = (_Server6 if ":" in host else _Server)((host, port), Answer)
        shown = f"[{host}]" if ":" in host else host
        self.port = int(self._server.server_address[1])
        self.address = f"{shown}:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # A scraper that connects and says nothing must not keep us from ending.
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Answer(BaseHTTPRequestHandler):
    of: Metrics
    patience_s: float
    timeout = CLIENT_S
    server_version, sys_version = "convoy", ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._send(200, EXPOSITION, self.of.exposition())
        elif path == "/health":
            self._say(self.of.alive(self.patience_s), "ok", f"no round of the loop has ended within {self.patience_s:g} s")
        elif path == "/ready":
            self._say(self.of.ready(self.patience_s), "ready", "no revision is in force yet, or the loop is stuck")
        else:
            self._send(404, "text/plain; charset=utf-8", b"/metrics, /health and /ready are here\n")

    do_HEAD = do_GET

    def _say(self, good: bool, yes: str, no: str) -> None:
        self._send(200 if good else 503, "text/plain; charset=utf-8", f"{yes if good else no}\n".encode())

    def _send(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes are not events."""


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or not port.isascii() or int(port) > 65535:
        raise MetricsError(f"cannot serve metrics at {address!r}: it looks like {LOOPBACK}:9090, or a port alone")
    return host.strip("[]") or LOOPBACK, int(port)
