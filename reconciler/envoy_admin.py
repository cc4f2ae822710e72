"""Asks a local Envoy's admin page over its socket: one request, bounded in time and in size."""

import io
import socket
import time
from http.client import HTTPException, HTTPResponse

# A thousand listeners' worth of what is asked for.
MOST_BYTES = 8 << 20


class AdminError(Exception):
    """The Envoy did not answer as one does."""


def get(path: str, target: str, patience_s: float, most_bytes: int = MOST_BYTES) -> bytes:
    """The body of the answer to `GET target` on this Unix socket; raises AdminError."""
    until = time.monotonic() + patience_s
    request = f"GET {target} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n".encode()
    answer = bytearray()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
            asking.settimeout(patience_s)
            asking.connect(path)
            asking.sendall(request)
            while True:
                asking.settimeout(max(0.001, until - time.monotonic()))
                piece = asking.recv(65536)
                if not piece:
                    break
                answer += piece
                if len(answer) > most_bytes:
                    raise AdminError(f"the Envoy at {path} answers {target} with more than {most_bytes} bytes")
    except OSError as error:
        raise AdminError(f"the Envoy at {path} does not answer {target}: {error.strerror or error}") from error
    try:
        read = HTTPResponse(_Answered(bytes(answer)))  # type: ignore[arg-type]  # all it asks of a socket is a file
        read.begin()
        body = read.read()
    except (HTTPException, ValueError, OverflowError) as error:
        raise AdminError(f"the Envoy at {path} does not answer {target} as one does") from error
    if read.status != 200:
        raise AdminError(f"the Envoy at {path} refuses {target} ({read.status})")
    return body


class _Answered:
    """An answer that is here as a whole; Envoy takes HTTP/1.1 alone and may send it in chunks."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._answer)
