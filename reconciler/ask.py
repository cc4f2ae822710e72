"""How other processes of ours ask control: a request and its answer, each a frame over a Unix socket in the run directory."""

import contextlib
import json
import os
import socket
import struct
import time
from pathlib import Path
from typing import Any

NAME = "control.sock"
# What can be asked: a plan for documents; and with it what differs in them from those in force.
PLAN, PLAN_AND_DOCUMENTS = "plan", "plan-and-documents"
# The same for one change to what the branch holds now.
REHEARSE, REHEARSE_WITH_DOCUMENTS = "rehearse", "rehearse-with-documents"
# {name: plain text} ⇒ {name: what a document holds of it}.
SEAL = "seal"
# A Notification's printed ref ⇒ the id of the test message that is sent to whom it names.
TELL = "tell"
# A frame is a head, a JSON object that says what is asked or answered, and a body of bytes; these are their lengths.
LENGTHS = struct.Struct("!II")
LARGEST_HEAD = 64 * 1024
LARGEST_BODY = 128 * 1024 * 1024
PIECE = 1024 * 1024


class AskError(Exception):
    """Control could not be asked: `code`, why in words, and what to do."""

    def __init__(self, code: str, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.code, self.what, self.hint = code, what, hint


def ask(run: Path, request: str, body: bytes, deadline_s: float) -> bytes:
    """The answer's body. Raises AskError, also with what control says when it has no answer."""
    deadline = time.monotonic() + deadline_s
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as calling:
        try:
            calling.settimeout(deadline_s)
            calling.connect(str(run / NAME))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                # Whoever refuses may not have waited for all of it, and what was said is still there to be read.
                send(calling, {"request": request, "deadlineSeconds": deadline_s}, body, deadline)
            head, answer = receive(calling, deadline)
        except TimeoutError:
            raise AskError("late", f"Convoy has not answered within {deadline_s:g} s", "ask again") from None
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise AskError("away", f"the Convoy behind this is not there at the moment ({why})", "ask again soon") from None
    if head.get("error"):
        raise AskError(str(head["error"]), str(head.get("message", "")), str(head.get("hint", "")))
    return answer


def send(to: socket.socket, head: dict[str, Any], body: bytes, deadline: float) -> None:
    """Raises OSError; TimeoutError after the deadline (by the monotonic clock)."""
    words = json.dumps(head).encode()
    to.settimeout(_left(deadline))
    to.sendall(LENGTHS.pack(len(words), len(body)) + words)
    for start in range(0, len(body), PIECE):
        to.settimeout(_left(deadline))
        to.sendall(body[start : start + PIECE])


def receive(of: socket.socket, deadline: float) -> tuple[dict[str, Any], bytes]:
    """Head and body. Raises OSError (TimeoutError after the deadline) and ValueError for what is no frame."""
    lengths = _read(of, LENGTHS.size, deadline)
    head_bytes, body_bytes = LENGTHS.unpack(lengths)
    if head_bytes > LARGEST_HEAD or body_bytes > LARGEST_BODY:
        raise ValueError("a frame that is too large")
    try:
        head = json.loads(_read(of, head_bytes, deadline))
    except RecursionError:
        raise ValueError("a frame whose head is nested too deeply") from None
    if not isinstance(head, dict):
        raise ValueError("a frame without a head")
    return head, _read(of, body_bytes, deadline)


def _read(of: socket.socket, size: int, deadline: float) -> bytes:
    pieces: list[bytes] = []
    while size:
        of.settimeout(_left(deadline))
        piece = of.recv(min(size, PIECE))
        if not piece:
            raise ConnectionError("it was cut short")
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def is_ours(peer: socket.socket) -> bool:
    """Whether this user, or root, is at the other end; where the system does not say, the directory's mode has to do."""
    credentials = getattr(socket, "SO_PEERCRED", None)
    if credentials is None:
        return True
    _, user, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, credentials, struct.calcsize("3i")))
    return user in (0, os.geteuid())
