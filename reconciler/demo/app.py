"""A small web application: says which version it is. Ends what it has begun before it stops."""

import contextlib
import os
import signal
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

version = sys.argv[1]


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = f"{version}\n".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.send_header("x-version", version)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *about: object) -> None:
        """Say nothing: one line a request is too much under load."""


class Server(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, *about: Any) -> None:
        super().__init__(*about)
        self.connections: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def end(self) -> None:
        """Answer what has come, on each connection; then close it."""
        for connection in tuple(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RD)
        self.server_close()


server = Server((os.environ["ADDRESS"], int(os.environ["PORT"])), Answer)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
sys.stdout.write(f"{version} answers on {server.server_address}\n")
sys.stdout.flush()
server.serve_forever(poll_interval=0.1)
server.end()
