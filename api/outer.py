"""Around every app: an id for each request, who in front is believed, headers that browsers heed, one line in the log, and no
traceback to anybody."""

import contextlib
import json
import re
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from api import cors, peer
from api.audit import Asker, harmless
from api.counts import Counts
from api.recorder import Recorder
from reconciler.log import Log
from reconciler.store import Store

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
HEADERS = [
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
]
# https://datatracker.ietf.org/doc/html/rfc6797: a browser that has come by TLS comes by nothing else for a year.
SECURE = [("Strict-Transport-Security", "max-age=31536000")]
QUIET = frozenset({"/health", "/ready"})

Start = Callable[..., Any]
Wsgi = Callable[[dict[str, Any], Start], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Front:
    """What is in front of us: `trusted` are proxies that are believed about who asks, `origins` the pages of others that may
    read answers. By default nobody is either."""

    trusted: tuple[peer.Network, ...] = ()
    origins: frozenset[str] = frozenset()


class Viewed:
    """A WSGI app around `inner`: what one request reads it reads in one consistent view of the store. What comes after its
    head, a stream, is no part of that."""

    def __init__(self, inner: Wsgi, store: Store) -> None:
        self.inner, self._store = inner, store

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        with self._store.view() if environ.get("REQUEST_METHOD") in ("GET", "HEAD") else contextlib.nullcontext():
            return self.inner(environ, start)


class Outer:
    """A WSGI app around another. Where that fails, whoever asked is told no more than that it has."""

    def __init__(
        self,
        inner: Wsgi,
        log: Log,
        secure: bool,
        recorder: Recorder | None = None,
        front: Front | None = None,
        counts: Counts | None = None,
    ) -> None:
        self._inner, self._log, self._secure, self._recorder, self._front = inner, log, secure, recorder, front or Front()
        self._counts = counts or Counts()

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        begun = time.monotonic()
        peer.believe(environ, self._front.trusted)
        given = environ.get("HTTP_X_REQUEST_ID", "")
        id = environ["convoy.id"] = given if REQUEST_ID.fullmatch(given) else str(uuid.uuid4())
        status, length = ["500"], [""]
        secure = self._secure or environ.get("wsgi.url_scheme") == "https"
        ours = [*HEADERS, *(SECURE if secure else []), *cors.headers(environ, self._front.origins)]

        def started(line: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            status[0], length[0] = line[:3], next((text for name, text in headers if name.lower() == "content-length"), "")
            return start(line, [*headers, *ours, ("X-Request-Id", id)], *more)

        try:
            allowed = cors.preflight(environ, self._front.origins)
            answer: Iterable[bytes] = [] if allowed is not None else self._inner(environ, started)
            if allowed is not None:
                started("204 No Content", allowed)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is ours, and nobody else's to read
            self._log.error("http.broken", id=id, error=f"{type(error).__name__}: {error}")
            words = {"code": "broken", "message": "Convoy has failed on this; its log says how", "hint": f"request {id}"}
            answer = [json.dumps({"error": words}).encode()]
            started(
                "500 Internal Server Error", [("Content-Type", "application/json"), ("Content-Length", str(len(answer[0])))]
            )
        path, method = environ.get("PATH_INFO", ""), environ.get("REQUEST_METHOD", "")
        if environ.get("SCRIPT_NAME"):
            path = environ["SCRIPT_NAME"] + path
        # Where part of it is a secret, its app says what may be shown.
        path = environ.get("convoy.path", path)
        # A scrape comes every few seconds; one that was refused is worth a line.
        say = self._log.debug if path in QUIET or (path, status[0]) == ("/metrics", "200") else self._log.info
        seconds = time.monotonic() - begun
        took = round(1000 * seconds, 1)
        # Of the query nothing: it may hold a token.
        said: dict[str, object] = {
            "id": id,
            "method": method,
            "path": path,
            "status": status[0],
            "ms": took,
            "bytes": length[0],
        }
        who, agent = environ.get("convoy.who", Asker()), harmless(environ.get("HTTP_USER_AGENT", ""))
        account = who.account if who.known else ""
        said |= {"by": environ.get("convoy.by", ""), "account": account, "from": peer.address(environ), "agent": agent}
        say("http.request", **said)
        if self._recorder is not None:
            self._recorder.hear(environ, int(status[0]))
        return self._counts.answered(environ, int(status[0]), seconds, answer)
