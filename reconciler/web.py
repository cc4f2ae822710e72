"""Starts the process that serves HTTP, starts it again when it dies, and ends it with us.

It is started by exec and never by a fork: grpc has threads in here that no child of a fork would have. It gets the listening
socket, so that a port that is taken is known at once and nobody is refused while it starts again; and what it must know comes
over a pipe, since the store's URL may hold a password. When the pipe closes we are gone, however that came about, and so is it.
"""

import contextlib
import ipaddress
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.log import Log
from reconciler.metrics import Metrics
from reconciler.seams import Seams

# One that dies at once would die at once again: it is started this long after, then twice that, up to the longest.
AGAIN_S, LONGEST_AGAIN_S = 0.5, 30.0
# One that has lived so long was well: the next is started soon.
WELL_S = 60.0
# What it may take to finish the requests that it has; api/serve.py gives itself less.
ENDING_S = 10.0
BACKLOG = 128
ORIGIN = re.compile(r"https?://(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(:[1-9][0-9]{0,4})?")
# What gunicorn, or a service manager's protocol, would read from the environment; and what may hold passwords of ours.
KEPT_BACK = ("CONVOY_", "FORWARDED_ALLOW_IPS", "GUNICORN_", "LISTEN_", "NOTIFY_SOCKET", "WEB_CONCURRENCY")


class WebError(Exception):
    """HTTP cannot be served as it was asked for; the message says why."""


@dataclass(frozen=True, slots=True)
class Http:
    """Where to serve: HOST:PORT, or a port alone on loopback; port 0 takes a free one. With `certificate` and `key` (PEM
    files) by TLS; `plaintext` says that a proxy in front does that, and that this may be reached from elsewhere. `followed` are
    the URL, without a password, and the branch that forges' webhooks are about; "" for a folder."""

    address: str
    certificate: Path | None = None
    key: Path | None = None
    plaintext: bool = False
    followed: tuple[str, str] = ("", "")
    # Proxies (addresses or networks) that are believed in X-Forwarded-For and -Proto; pages of others that may read answers.
    trusted: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()


class Web:
    """Listens at once, and has one process that answers. Raises WebError."""

    def __init__(self, http: Http, store: str, run: Path, metrics: Metrics, log: Log, seams: Seams) -> None:
        self._metrics, self._log, self._seams = metrics, log, seams
        _check_tls(http)
        about = told(http, store, run, log)
        self._socket = _listening(http)
        host, port = self._socket.getsockname()[:2]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._told = {**about, "listen": self._socket.fileno()}
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = seams.thread(self._watch, "web")
        self._thread.start()

    @property
    def pid(self) -> int:
        """Of the process that answers; 0 while there is none."""
        with self._lock:
            return self._process.pid if self._process is not None else 0

    def _watch(self) -> None:
        again_s = AGAIN_S
        while not self._closed.is_set():
            begun = self._seams.monotonic()
            why = self._run()
            if self._closed.is_set():
                return
            if self._seams.monotonic() - begun >= WELL_S:
                again_s = AGAIN_S
            self._log.error("web.ended", why=why, again_in_s=again_s)
            self._seams.wait(self._closed, again_s)
            again_s = min(2 * again_s, LONGEST_AGAIN_S)

    def _run(self) -> str:
        """One life of it; how it ended."""
        try:
            with self._lock:
                if self._closed.is_set():
                    return ""
                # -P: whatever lies in the directory that we were started in is not what is meant by `api`.
                self._process = process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "api"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    pass_fds=(self._socket.fileno(),),
                    env={name: value for name, value in os.environ.items() if not name.startswith(KEPT_BACK)},
                    # Ctrl-C in a terminal is for us to hear, and then to tell it.
                    start_new_session=True,
                )
        except OSError as error:
            return f"cannot be started: {error.strerror or error}"
        self._metrics.web_started()
        self._log.info("web.started", address=self.address, pid=process.pid)
        # It may be dead already, or never read what it is told.
        with contextlib.suppress(OSError), process.stdin or contextlib.nullcontext() as pipe:
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.write(json.dumps(self._told).encode() + b"\n")
                    pipe.flush()
            # A worker that outlives its master ends when the pipe does.
            code = process.wait()
        with self._lock:
            self._process = None
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def close(self) -> None:
        """Requests under way are finished, for a while."""
        with self._lock:
            self._closed.set()
            process = self._process
            if process is not None:
                with contextlib.suppress(OSError):
                    process.terminate()
        if process is not None:
            try:
                process.wait(ENDING_S)
            except subprocess.TimeoutExpired:
                process.kill()
        self._thread.join()
        self._socket.close()


def told(http: Http, store: str, run: Path, log: Log) -> dict[str, Any]:
    """What the process that serves HTTP must know, for JSON, save which socket it listens on. Raises WebError."""
    return {
        "store": store,
        "run": str(run),
        "certificate": str(http.certificate or ""),
        "key": str(http.key or ""),
        "followed": http.followed,
        "trusted": [*map(_network, http.trusted)],
        "origins": [*map(_origin, http.origins)],
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


def _no_passphrase() -> str:
    raise ValueError("the key is protected by a passphrase, and there is nobody to ask")


def _listening(http: Http) -> socket.socket:
    host, _, port = http.address.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not port.isdecimal() or not port.isascii() or int(port) > 65535:
        raise WebError(f"cannot serve HTTP at {http.address!r}: it looks like 127.0.0.1:8080, or a port alone")
    try:
        family, _, _, _, place = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        if http.certificate is None and not http.plaintext and not _is_loopback(str(place[0])):
            raise WebError(
                f"plain HTTP at {http.address} would show tokens to the network: give it a certificate (--http-cert and "
                "--http-key), or serve on loopback behind a proxy that ends TLS (an Envoy, say); where that proxy is on "
                "another machine, say --http-plaintext"
            )
        listening = socket.create_server((str(place[0]), int(port)), family=family, backlog=BACKLOG)
        # Gunicorn asks for this too, once it runs; whoever has connected before would have waited 40 ms for every answer, its
        # body behind its head until the client says that it has that.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise WebError(f"cannot serve HTTP at {http.address}: {why}; name another HOST:PORT") from None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
