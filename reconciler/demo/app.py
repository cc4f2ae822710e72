"""A small web application: says which version it is. Ends what it has begun before it stops."""

import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

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


server = ThreadingHTTPServer((os.environ["ADDRESS"], int(os.environ["PORT"])), Answer)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
sys.stdout.write(f"{version} answers on {server.server_address}\n")
sys.stdout.flush()
server.serve_forever(poll_interval=0.1)
