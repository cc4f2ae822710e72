"""Has a process that serves HTTP, starts it again when it dies, replaces it by a new one when asked, and ends it with us.

The listening socket is ours, so that a port that is taken is known at once, and nobody is refused while it starts again: who
has connected waits there for whichever process comes next. See docs/decisions/0030-the-web-process-is-replaced.md.
"""

import contextlib
import ipaddress
import os
import queue
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.listening import ListenError, listen
from reconciler.log import Log
from reconciler.metrics import Metrics
from reconciler.seams import Seams
from reconciler.web_process import WebProcess

# One that dies at once would die at once again: it is started this long after, then twice that, up to the longest.
AGAIN_S, LONGEST_AGAIN_S = 0.5, 30.0
# One that has lived so long was well: the next is started soon.
WELL_S = 60.0
# What it may take to finish the requests that it has when we end, and where another answers already and nobody is in a hurry;
# api/serve.py gives itself less.
ENDING_S, FINISHING_S = 15.0, 300.0
# How long a new one may take until it answers; and so many are replaced at once, before the next waits for one to have ended.
COMING_S, MOST_FINISHING = 60.0, 3
# How often is looked whether one that finishes what it has is overdue.
LOOK_S = 5.0
ORIGIN = re.compile(r"https?://(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(:[1-9][0-9]{0,4})?")


class WebError(Exception):
    """HTTP cannot be served as it was asked for; the message says why."""


@dataclass(frozen=True, slots=True)
class Http:
    """Where to serve: HOST:PORT, or a port alone on loopback; port 0 takes a free one. With `certificate` and `key` (PEM
    files) by TLS; `plaintext` says that a proxy in front does that, and that this may be reached from elsewhere. `followed` are
    the URL, without a password, and the branch that forges' webhooks are about; "" for a folder. Where another process follows,
    it writes them into the file `source`."""

    address: str
    certificate: Path | None = None
    key: Path | None = None
    plaintext: bool = False
    followed: tuple[str, str] = ("", "")
    # Proxies (addresses or networks) that are believed in X-Forwarded-For and -Proto; pages of others that may read answers.
    trusted: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    # What is critical is taken only where it is signed.
    signed: bool = False
    source: Path | None = None


class Web:
    """Listens at once, and has one process that answers. Raises WebError."""

    def __init__(
        self,
        http: Http,
        store: str,
        run: Path,
        metrics: Metrics,
        log: Log,
        seams: Seams,
        ended: Callable[[], bool] = lambda: False,
        *,
        alone: bool = False,
    ) -> None:
        """`ended`: whether we are to end, so that a port is not waited for. `alone`: there is no control in this process."""
        self._http, self._metrics, self._log, self._seams = http, metrics, log, seams
        _check_tls(http)
        self._told = told(http, store, run, log)
        try:
            # One of an earlier life that was still coming when that was killed hears of it only when it has come.
            plain = _is_plain(http)
            self._listening = listen(http.address, run, COMING_S, log, seams, ended, plain=plain, alone=alone)
        except ListenError as error:
            raise WebError(str(error)) from None
        host, port = self._listening.socket.getsockname()[:2]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        # What follows is one thread's, woken by this; others only set these two.
        self._bell = queue.SimpleQueue[None]()
        self._closed = self._asked = False
        self._answering: WebProcess | None = None
        self._finishing: list[WebProcess] = []
        self._thread = seams.thread(self._watch, "web")
        self._thread.start()

    @property
    def pid(self) -> int:
        """Of the process that answers; 0 while there is none."""
        answering = self._answering
        return answering.pid if answering is not None and not answering.ended else 0

    def replace(self) -> None:
        """Soon another process answers, with the code and the certificate that are there then; nobody is dropped. One that does
        not come up changes nothing. Safe in a signal handler."""
        self._asked = True
        self._ring()

    def close(self) -> None:
        """Whoever connects is refused from now on; requests under way are finished, for a while."""
        self._closed = True
        self._ring()
        self._thread.join()

    def _ring(self) -> None:
        self._bell.put(None)

    def _hear(self, until: float) -> None:
        """Wait for anything to happen, at most until then."""
        now = self._seams.monotonic()
        for one in self._finishing:
            if now >= one.due:
                self._log.warning("web.cut", pid=one.pid, why=f"it has not finished within {FINISHING_S:g} s")
                one.cut()
        left_s = min(until - now, LOOK_S if self._finishing else float("inf"))
        with contextlib.suppress(queue.Empty):
            self._bell.get(timeout=max(0.0, left_s) if left_s < float("inf") else None)
        self._finishing = [one for one in self._finishing if not one.ended]

    def _watch(self) -> None:
        again_s = AGAIN_S
        while not self._closed:
            begun = self._seams.monotonic()
            why = self._serve()
            if self._closed:
                break
            ended = self._seams.monotonic()
            if ended - begun >= WELL_S:
                again_s = AGAIN_S
            self._log.error("web.ended", why=why, again_in_s=again_s)
            while not (self._closed or self._asked) and self._seams.monotonic() < ended + again_s:
                self._hear(ended + again_s)
            again_s = min(2 * again_s, LONGEST_AGAIN_S)
        self._end()

    def _serve(self) -> str:
        """From one that is started until the last of those that replace each other has ended; how it did."""
        self._asked = False
        try:
            self._answering = self._started()
        except OSError as error:
            return f"cannot be started: {error.strerror or error}"
        while not (self._closed or self._answering.ended):
            self._hear(float("inf"))
            if self._asked and not self._closed and len(self._finishing) < MOST_FINISHING:
                self._answering = self._replaced(self._answering)
        return self._answering.ended

    def _started(self) -> WebProcess:
        made = WebProcess(self._told, self._listening.socket, self._listening.alive, self._ring, self._seams)
        self._metrics.web_started()
        self._log.info("web.started", address=self.address, pid=made.pid)
        return made

    def _replaced(self, old: WebProcess) -> WebProcess:
        """Who answers then: the new one, or the old one where that has not come up."""
        self._asked = False
        try:
            _check_tls(self._http)
            new = self._started()
        except (OSError, WebError) as error:
            return self._kept(old, str(error))
        begun = self._seams.monotonic()
        while not (self._closed or new.answers or new.ended) and self._seams.monotonic() < begun + COMING_S:
            self._hear(begun + COMING_S)
        if new.answers:
            self._finishing.append(old)
            old.hand_over(self._seams.monotonic() + FINISHING_S)
            self._metrics.web_replaced("done")
            self._log.info("web.replaced", pid=new.pid, old=old.pid)
            return new
        why = f"the new one has ended: {new.ended}" if new.ended else f"the new one has not answered within {COMING_S:g} s"
        new.kill()
        new.join()
        if self._closed:
            # We end while it was coming: who answers has what is under way.
            return old
        return self._kept(old, why)

    def _kept(self, old: WebProcess, why: str) -> WebProcess:
        self._metrics.web_replaced("failed")
        self._log.error("web.not_replaced", pid=old.pid, why=why)
        return old

    def _end(self) -> None:
        self._listening.leave()
        # Who has it last, takes what waits there to be accepted: whoever comes later is refused, and does not wait for nobody.
        self._listening.socket.close()
        every = [*self._finishing]
        for one in every:
            one.cut()
        if self._answering is not None:
            every.append(self._answering)
            # One that is still coming has nothing to finish.
            (self._answering.end if self._answering.answers else self._answering.kill)()
        until = self._seams.monotonic() + ENDING_S
        while not all(one.ended for one in every) and self._seams.monotonic() < until:
            self._hear(until)
        for one in every:
            one.kill()
            one.join()
        os.close(self._listening.alive)


def told(http: Http, store: str, run: Path, log: Log) -> dict[str, Any]:
    """What the process that serves HTTP must know, for JSON, save which socket it listens on. Raises WebError."""
    return {
        "store": store,
        "run": str(run),
        "certificate": str(http.certificate or ""),
        "key": str(http.key or ""),
        "followed": http.followed,
        "source": str(http.source or ""),
        "trusted": [*map(_network, http.trusted)],
        "origins": [*map(_origin, http.origins)],
        "signed": http.signed,
        **log.told(),
    }


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise WebError(f"cannot trust {text!r}: {error}; an address or a network looks like 10.0.0.5 or 10.0.0.0/24") from None


def _origin(text: str) -> str:
    """As browsers write it. Never `*`: who may read is listed."""
    if not ORIGIN.fullmatch(text):
        raise WebError(
            f"{text!r} is no origin: it looks like https://console.example.com, with a port only where it is unusual"
        )
    return text


def _check_tls(http: Http) -> None:
    if (http.certificate is None) != (http.key is None):
        raise WebError("a certificate and its key belong together: name both, with --http-cert and --http-key")
    if http.certificate is None or http.key is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(http.certificate, http.key, password=_no_passphrase)
    except (OSError, ValueError) as error:
        # ssl's words name neither the files nor what is in them.
        why = getattr(error, "strerror", None) or error
        raise WebError(f"cannot serve HTTPS with {http.certificate} and {http.key}: {why}") from None


def _is_plain(http: Http) -> bool:
    return http.certificate is None and not http.plaintext


def _no_passphrase() -> str:
    raise ValueError("the key is protected by a passphrase, and there is nobody to ask")
