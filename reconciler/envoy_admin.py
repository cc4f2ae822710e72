"""Asks a local Envoy's admin page over its socket: one request, bounded in time and in size."""

import socket
import time

# A thousand listeners' worth of what is asked for.
MOST_BYTES = 8 << 20


class AdminError(Exception):
    """The Envoy did not answer as one does."""


def get(path: str, target: str, patience_s: float) -> bytes:
    """The body of the answer to `GET target` on this Unix socket; raises AdminError."""
    until = time.monotonic() + patience_s
    request = f"GET {target} HTTP/1.0\r\nHost: admin\r\nConnection: close\r\n\r\n".encode()
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
                if len(answer) > MOST_BYTES:
                    raise AdminError(f"the Envoy at {path} answers {target} with more than {MOST_BYTES} bytes")
    except OSError as error:
        raise AdminError(f"the Envoy at {path} does not answer {target}: {error.strerror or error}") from error
    head, found, body = bytes(answer).partition(b"\r\n\r\n")
    words = head.split(maxsplit=2)
    if not found or len(words) < 2 or words[1] != b"200":
        raise AdminError(f"the Envoy at {path} refuses {target}")
    return body
