"""Around every app: an id for each request, headers that browsers heed, one line in the log, and no traceback to anybody."""

import json
import re
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from api.recorder import Recorder
from reconciler.log import Log

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
QUIET = frozenset({"/health"})

Start = Callable[..., Any]
Wsgi = Callable[[dict[str, Any], Start], Iterable[bytes]]


class Outer:
    """A WSGI app around another. Where that fails, whoever asked is told no more than that it has."""

    def __init__(self, inner: Wsgi, log: Log, secure: bool, recorder: Recorder | None = None) -> None:
        self._inner, self._log, self._recorder, self._headers = inner, log, recorder, HEADERS + (SECURE if secure else [])

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        begun = time.monotonic()
        given = environ.get("HTTP_X_REQUEST_ID", "")
        id = environ["convoy.id"] = given if REQUEST_ID.fullmatch(given) else str(uuid.uuid4())
        status = ["500"]

        def started(line: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            status[0] = line[:3]
            return start(line, [*headers, *self._headers, ("X-Request-Id", id)], *more)

        try:
            answer = self._inner(environ, started)
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
        say = self._log.debug if path in QUIET else self._log.info
        took = round(1000 * (time.monotonic() - begun), 1)
        say("http.request", id=id, method=method, path=path, status=status[0], ms=took, by=environ.get("convoy.by", ""))
        if self._recorder is not None:
            self._recorder.hear(environ, int(status[0]))
        return answer
