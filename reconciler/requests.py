"""Control's local socket: answers what other processes of ours ask, in threads of its own, and never makes the loop wait."""

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from reconciler.ask import NAME, AskError, is_ours, receive, send
from reconciler.log import Log
from reconciler.metrics import Metrics
from reconciler.seams import Seams

# What answers is Python that computes: more threads would only share the same processor.
AT_ONCE = 2
# Beyond these nobody waits: whoever asks is told at once.
MOST_WAITING = 32
LONGEST_S = 120.0
# Whoever has connected has so long to say what is wanted.
SAYING_S = 10.0
# And whoever is refused, to have said it: meanwhile nobody else is let in.
REFUSING_S = 1.0

# A request's body and the deadline (by the monotonic clock) ⇒ the answer's body; raises AskError.
Answering = Callable[[bytes, float], bytes]


class Requests:
    """Listens until it is closed. `answers`: request ⇒ what answers it. Raises OSError where no socket can be made."""

    def __init__(self, run: Path, answers: Mapping[str, Answering], metrics: Metrics, log: Log, seams: Seams) -> None:
        self._path, self._answers = run / NAME, answers
        self._metrics, self._log, self._seams = metrics, log, seams
        self._waiting = threading.BoundedSemaphore(MOST_WAITING)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._over = False
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # Under the name that others know once it listens: whoever finds that is not refused.
        new = run / f"{NAME}.new"
        try:
            # Left by a Convoy that was killed: only one at a time works on a state directory.
            new.unlink(missing_ok=True)
            self._socket.bind(str(new))
            os.chmod(new, 0o600)
            self._socket.listen(MOST_WAITING)
            new.replace(self._path)
        except OSError:
            self._socket.close()
            raise
        self._pool = seams.pool(AT_ONCE, "answer")
        self._thread = seams.thread(self._listen, "requests")
        self._thread.start()

    def _listen(self) -> None:
        while not self._over:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                if not self._over:
                    # Out of file descriptors, say: what waits is still there afterwards.
                    self._seams.sleep(0.1)
                continue
            if self._over or not is_ours(peer):
                peer.close()
                continue
            with self._lock:
                self._open.add(peer)
            if not self._waiting.acquire(blocking=False):
                self._refuse(peer)
                continue
            try:
                self._pool.submit(self._serve, peer)
            except RuntimeError:  # closed meanwhile
                self._done(peer)

    def _refuse(self, peer: socket.socket) -> None:
        error = AskError("busy", f"{MOST_WAITING} others are being answered", "ask again in a few seconds")
        deadline = self._seams.monotonic() + REFUSING_S
        with contextlib.suppress(OSError, ValueError):
            send(peer, _told(error), b"", deadline)
            # A socket that is closed with something unread in it takes along what was said on it.
            receive(peer, deadline)
        self._metrics.request("", "busy", 0.0)
        self._close(peer)

    def _serve(self, peer: socket.socket) -> None:
        begun, request, outcome = self._seams.monotonic(), "", "gone"
        try:
            head, body = receive(peer, begun + SAYING_S)
            request = str(head.get("request", ""))
            deadline = begun + min(float(head.get("deadlineSeconds", LONGEST_S)), LONGEST_S)
            try:
                answering = self._answers.get(request)
                if answering is None:
                    raise AskError("unknown-request", "this Convoy knows no such request", "use the `convoy` of its version")
                answer, head = answering(body, deadline), {}
                outcome = "answered"
            except AskError as error:
                answer, head, outcome = b"", _told(error), error.code
            send(peer, head, answer, max(deadline, self._seams.monotonic() + 1.0))
        except (OSError, ValueError, TypeError, OverflowError):
            # Whoever asked has gone away, or is none of ours.
            outcome = "gone"
        except Exception as error:  # noqa: BLE001 - one question that we cannot bear must not end the answering of others
            outcome = "broken"
            self._log.error("request.broken", request=request, error=f"{type(error).__name__}: {error}")
            broken = AskError(
                "broken", "Convoy has failed on this in a way that it must not; its log says how", "please report it"
            )
            with contextlib.suppress(OSError):
                send(peer, _told(broken), b"", self._seams.monotonic() + 1.0)
        finally:
            self._metrics.request(request if request in self._answers else "", outcome, self._seams.monotonic() - begun)
            self._done(peer)

    def _done(self, peer: socket.socket) -> None:
        self._waiting.release()
        self._close(peer)

    def _close(self, peer: socket.socket) -> None:
        with self._lock:
            self._open.discard(peer)
        peer.close()

    def close(self) -> None:
        """Whoever is waiting is not answered any more; what is being computed is computed to its end."""
        self._over = True
        # Closing a socket alone does not end an accept of it everywhere; somebody who connects does.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError), contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as knocking:
            knocking.settimeout(1.0)
            knocking.connect(str(self._path))
        self._thread.join()
        self._socket.close()
        self._path.unlink(missing_ok=True)
        with self._lock:
            waiting = list(self._open)
        for peer in waiting:
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
        self._pool.shutdown(wait=True, cancel_futures=True)
        with self._lock:
            waiting = list(self._open)
        for peer in waiting:
            self._close(peer)


def _told(error: AskError) -> dict[str, str]:
    return {"error": error.code, "message": error.what, "hint": error.hint}
