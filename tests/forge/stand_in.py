"""A small HTTP server on loopback that answers as a forge's documentation says; what it says is in a module for each forge.

No real forge runs in tests: neither GitHub's nor GitLab's server is to be had, and a Gitea takes minutes to build. So each of
these keeps to the documents named in it, also in what it refuses, and has the vices of a real one: it may be overloaded, limit,
redirect, be slow, and lose a comment between two requests.
"""

import json
import ssl
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Account:
    """Whom a token stands for. `asks`: whether it may ask who it is."""

    login: str
    id: int
    reads: bool = True
    writes: bool = True
    asks: bool = True


@dataclass
class Remark:
    id: int
    author: Account
    body: str
    system: bool = False


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class Reply:
    status: int
    # As JSON; bytes as text.
    value: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    after_s: float = 0.0


@dataclass
class Pull:
    """A pull request from a branch: `open`, or merged by a commit, or closed."""

    number: int
    head: str
    base: str
    title: str
    body: str
    open: bool = True
    merged: str = ""
    # From a repository of this number, where it is another.
    fork: int = 0


Vice = Callable[[Request], Reply | None]


@dataclass
class StandIn:
    """One repository `us/fleet` with pull request 7, and whoever has a token for it."""

    accounts: dict[str, Account] = field(default_factory=dict)
    remarks: list[Remark] = field(default_factory=list)
    statuses: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    heard: list[Request] = field(default_factory=list)
    pulls: list[Pull] = field(default_factory=list)
    # Which branches the repository has.
    branches: Callable[[], set[str]] = set
    # Each is asked before the forge itself, until it has answered once.
    vices: list[Vice] = field(default_factory=list)
    address: str = ""
    last_id: int = 100
    lock: threading.Lock = field(default_factory=threading.Lock)

    repository = "us/fleet"
    number = 7
    # Below the server's address.
    root = ""

    @property
    def api(self) -> str:
        return self.address + self.root

    def answer(self, request: Request) -> Reply:
        raise NotImplementedError

    def reply(self, request: Request) -> Reply:
        with self.lock:
            self.heard.append(request)
            for vice in self.vices:
                found = vice(request)
                if found is not None:
                    self.vices.remove(vice)
                    return found
            return self.answer(request)

    def say(self, author: Account, body: str, *, system: bool = False) -> Remark:
        self.last_id += 1
        self.remarks.append(Remark(self.last_id, author, body, system))
        return self.remarks[-1]

    def propose(self, head: str, base: str, title: str, body: str) -> Pull | None:
        """None where there is no such branch."""
        if head not in self.branches():
            return None
        self.last_id += 1
        self.pulls.append(Pull(self.last_id, head, base, title, body))
        return self.pulls[-1]

    def between(self, head: str, base: str, *, open: bool = False) -> list[Pull]:
        return [one for one in self.pulls if (one.head, one.base, one.fork) == (head, base, 0) and (one.open or not open)]

    def numbered(self, number: str) -> Pull | None:
        return next((one for one in self.pulls if str(one.number) == number), None)

    def of(self, login: str) -> list[str]:
        return [remark.body for remark in self.remarks if remark.author.login == login]

    def found(self, id: str) -> Remark | None:
        return next((remark for remark in self.remarks if str(remark.id) == id), None)

    def page(self, request: Request, items: list[Any], default: int) -> Reply:
        """RFC 8288 links, `page` and `per_page` (at most 100), as GitHub and GitLab document them."""
        size = min(int(request.query.get("per_page", default)), 100)
        number = int(request.query.get("page", 1))
        last = max(1, -(-len(items) // size))
        here = self.address + request.path

        def link(page: int, rel: str) -> str:
            query = urllib.parse.urlencode({**request.query, "page": page, "per_page": size})
            return f'<{here}?{query}>; rel="{rel}"'

        links = [link(number - 1, "prev")] if number > 1 else []
        links += [link(number + 1, "next"), link(last, "last")] if number < last else []
        return Reply(200, items[(number - 1) * size : number * size], {"Link": ", ".join(links)} if links else {})


@contextmanager
def serving(stand_in: StandIn, context: ssl.SSLContext | None = None) -> Iterator[StandIn]:
    """`context`: speak TLS."""

    class Answer(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            content = self.rfile.read(int(self.headers.get("content-length", 0)))
            parts = urllib.parse.urlsplit(self.path)
            request = Request(
                self.command,
                parts.path,
                dict(urllib.parse.parse_qsl(parts.query)),
                {name.lower(): value for name, value in self.headers.items()},
                json.loads(content) if content else None,
            )
            reply = stand_in.reply(request)
            if reply.after_s:
                time.sleep(reply.after_s)
            text = isinstance(reply.value, bytes)
            body = b"" if reply.status == 204 else reply.value if text else json.dumps(reply.value).encode()
            self.send_response(reply.status)
            for name, value in {"content-type": "text/plain" if text else "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            # Whoever asked may not have waited for it.
            with suppress(ConnectionError):
                self.end_headers()
                self.wfile.write(body)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = handle_any

        def log_message(self, *about: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    stand_in.address = f"http{'s' if context else ''}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield stand_in
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
