"""Reads over HTTP beside an empty Flask view of the same process: the same gunicorn worker, its threads and its socket.

The empty view stands outside `Outer`, the surfaces and the store: what those cost (ids, headers, a line of the log, the audit,
who asks and how often) is all in the ratio.
"""

import http.client
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from api.signed import Claims, signed
from reconciler.core.declared import Declaration, Maker
from reconciler.load import Loader
from reconciler.log import Log
from reconciler.seams import Seams
from reconciler.store import Store, default_url
from reconciler.web import Http, told
from tests.bench.load import Fake
from tests.bench.writes import kept

Row = tuple[str, float, str, float | None]
CLUSTERS, CONNECTIONS, BLOCK = 1_000, 4, 60
EMPTY, COST = "/bench/empty", "/bench/cost"
# The dialect lets each have 1,000 in a minute.
ACCOUNTS, A_MINUTE = 40, 1_000


def run(quick: bool) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="convoy-bench-") as directory:
        state = Path(directory)
        state.chmod(0o700)
        tokens = _filled(state)
        asked = {
            "an empty Flask view": EMPTY,
            # The document has no operation for one cluster.
            "one proxy's configuration, envoy-fleet": "/api/v1/proxies/edge-1/configuration",
            "20 of 1,000 clusters, envoy-fleet": "/api/v1/clusters",
            "one resource, convoy": "/convoy/v1/resources/cluster/c-7",
        }
        with _serving(state) as port:
            return _rows(_Asking(port, tokens), asked, 5 if quick else 25)


def _filled(state: Path) -> list[str]:
    """A store that declares a fleet; access tokens for it."""
    with closing(Store(default_url(state), Seams())) as store:
        declare(store, Fake(CLUSTERS))
        return [token(store, f"reader-{n}@example.org") for n in range(ACCOUNTS)]


def declare(store: Store, fake: Fake, revision: str = "r0") -> None:
    """This revision is in force, and all of it is as it should be."""
    loaded = Loader(None, Seams()).load(fake.tree(revision), fake.read)
    if loaded.fleet is None:
        raise AssertionError(loaded.problems[:3])
    documents, resources = loaded.documents, loaded.fleet.resources
    by = Maker(revision, "Ada <ada@example.org>")
    every = Declaration(revision, resources, lambda ref: documents[ref].value, lambda _, files: dict.fromkeys(files, by))
    store.record_revision(revision, "good", (), (), (), every)
    store.put_status({str(ref): {"sync": "synced", "health": "healthy"} for ref in resources})


def token(store: Store, email: str) -> str:
    """Of an account that reads on both surfaces."""
    account = store.accounts.create(email, "default", {"envoy-fleet": "viewer", "convoy": "viewer"}).id
    claims, now = Claims(account, store.sessions.open(account)[0], ""), time.time()
    return signed("access", claims, store.installation(), store.sessions.signing(), now, now + 3600)


@contextmanager
def _serving(state: Path) -> Iterator[int]:
    with closing(socket.create_server(("127.0.0.1", 0), backlog=100)) as listening:
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        about = told(Http("0"), default_url(state), state, Log(form="json"))
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.reads", json.dumps({**about, "listen": listening.fileno()})],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=(listening.fileno(),),
        )
        try:
            yield listening.getsockname()[1]
        finally:
            process.terminate()
            process.wait(300)
            if process.stdin is not None:
                process.stdin.close()


class _Asking:
    """Clients that keep their connections, and do nothing with what they are told."""

    def __init__(self, port: int, tokens: list[str]) -> None:
        self._port, self._tokens, self._asked = port, tokens, 0
        self._open = [http.client.HTTPConnection("127.0.0.1", port, timeout=300) for _ in range(CONNECTIONS)]

    def one(self, connection: http.client.HTTPConnection, path: str, token: str) -> bytes:
        kept(connection).request("GET", path, headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise AssertionError((path, answer.status, body[:500]))
        return body

    def cost_s(self) -> float:
        return float(self.one(self._open[0], COST, ""))

    def block(self, path: str) -> tuple[list[float], float, float]:
        """How long each of a block's requests takes, all of them, and what processor time the server spends on them."""
        token = self._tokens[self._asked // (A_MINUTE // 2) % len(self._tokens)]
        latencies_s: list[float] = []

        def ask(connection: http.client.HTTPConnection) -> None:
            for _ in range(BLOCK // CONNECTIONS):
                begun = time.perf_counter()
                self.one(connection, path, token)
                latencies_s.append(time.perf_counter() - begun)

        before_s, begun = self.cost_s(), time.perf_counter()
        together(ask, self._open)
        took_s = time.perf_counter() - begun
        self._asked += BLOCK
        if len(latencies_s) != BLOCK:
            raise AssertionError(f"{len(latencies_s)} of {BLOCK} requests for {path} were answered")
        return latencies_s, took_s, self.cost_s() - before_s


def together(work: Callable[[Any], None], each: Iterable[Any]) -> None:
    """Each in a thread of its own, until all are done."""
    threads = [threading.Thread(target=work, args=(one,)) for one in each]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _rows(asking: _Asking, asked: dict[str, str], rounds: int) -> list[Row]:
    for path in asked.values():
        asking.block(path)
    # In turns, so that whatever else this machine does is in the way of all alike.
    every = [{what: asking.block(path) for what, path in asked.items()} for _ in range(rounds)]
    rows: list[Row] = []
    first: tuple[float, float] | None = None
    for what in asked:
        blocks = [one[what] for one in every]
        a_second = BLOCK * rounds / sum(took_s for _, took_s, _ in blocks)
        cpu_us = 1e6 * sum(cpu_s for _, _, cpu_s in blocks) / (BLOCK * rounds)
        p50_ms = 1e3 * statistics.median(one for latencies_s, _, _ in blocks for one in latencies_s)
        first = first or (a_second, cpu_us)
        rows += [
            (f"REST reads, {what} (ratio: to an empty view)", a_second, "/s", a_second / first[0]),
            (f"REST reads, {what}: median", p50_ms, "ms", None),
            (f"REST reads, {what}: server CPU (ratio: an empty view's to this)", cpu_us, "us", first[1] / cpu_us),
        ]
    return rows


def serve(about: dict[str, Any]) -> None:
    """The web process as `convoy serve` starts it, with an empty view beside what it serves."""
    from flask import Flask, Response
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    from api.serve import Application

    flask = Flask("bench", static_folder=None)

    @flask.get("/empty")
    def empty() -> Response:
        return Response(b"{}", mimetype="application/json")

    @flask.get("/cost")
    def cost() -> Response:
        return Response(str(time.process_time()))

    class Beside(Application):
        def load(self) -> Any:
            return DispatcherMiddleware(super().load(), {"/bench": flask})

    Beside(about).run()


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
