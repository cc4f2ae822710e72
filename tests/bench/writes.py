"""Writes over HTTP that become commits: 32 writers, each change its own commit, on a bare repository on the same disk."""

import http.client
import json
import os
import select
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from reconciler.seams import Seams
from reconciler.store import Store, default_url
from tests import repos
from tests.bench.load import cluster

Row = tuple[str, float, str, float | None]
WRITERS, BUDGET_A_SECOND = 32, 100.0
HEADERS = {"Content-Type": "application/json"}


def run(quick: bool) -> list[Row]:
    rows: list[Row] = []
    for files in (1_000,) if quick else (1_000, 10_000):
        with tempfile.TemporaryDirectory(prefix="convoy-bench-") as directory:
            rows += _measured(Path(directory), files, 4.0 if quick else 10.0)
    return rows


def _measured(directory: Path, files: int, for_s: float) -> list[Row]:
    origin = repos.make_origin(directory)
    with served(directory, origin, files) as (port, token):
        _ask(port, token, "PATCH", "c-0", 0)
        latencies_s, took_s = _written(port, token, files, for_s)
    commits = int(repos.git(origin.path, "rev-list", "--count", "main")) - 2
    if commits != len(latencies_s):
        raise AssertionError(f"{len(latencies_s)} writes were acknowledged, and {commits} are in the history")
    a_second = len(latencies_s) / took_s
    what = f"{WRITERS} writers, {files:,}-file repository"
    return [
        (f"REST writes, {what}", a_second, "/s", a_second / BUDGET_A_SECOND),
        (f"REST writes, {what}: median", 1e3 * statistics.median(latencies_s), "ms", None),
        (f"REST writes, {what}: 99 %", 1e3 * statistics.quantiles(latencies_s, n=100)[98], "ms", None),
    ]


@contextmanager
def served(directory: Path, origin: repos.Origin, files: int) -> Iterator[tuple[int, str]]:
    """`convoy serve` on a repository of so many clusters, which it knows already: its port, and a token that may write."""
    origin.commit({f"clusters/{i // 100}/c-{i}.yaml": cluster(i) for i in range(files)})
    state = directory / "state"
    state.mkdir(mode=0o700)
    with closing(Store(default_url(state), Seams())) as store:
        token = store.tokens.create("bench", ("read", "write"), None)[1]
    words = ["serve", "--source", str(origin.path), "--branch", "main", "--state", str(state), "--http", "0"]
    log = directory / "log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "reconciler", *words, "--log", "json"],
            stderr=errors,
            env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull},
        )
    try:
        port = _port(log)
        while _ask(port, token, "GET", "c-0")[0] != 200:
            time.sleep(0.2)
        yield port, token
    finally:
        process.terminate()
        process.wait(300)


def _port(log: Path) -> int:
    end = time.monotonic() + 300
    while time.monotonic() < end:
        for line in log.read_text().splitlines():
            with suppress(ValueError):
                said = json.loads(line)
                if said.get("event") == "web.started" or said.get("message") == "web.started":
                    return int(str(said["address"]).rpartition(":")[2])
        time.sleep(0.1)
    raise AssertionError(log.read_text()[-2000:])


def _ask(port: int, token: str, method: str, name: str, number: int | None = None) -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=300)) as connection, suppress(OSError):
        return _sent(connection, token, method, name, number)
    return 0, b""


def _sent(connection: http.client.HTTPConnection, token: str, method: str, name: str, number: int | None) -> tuple[int, bytes]:
    body = None if number is None else json.dumps({"metadata": {"annotations": {"n": str(number)}}})
    path = f"/convoy/v1/resources/cluster/{name}"
    kept(connection).request(method, path, body, {**HEADERS, "Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    return answer.status, answer.read()


def kept(connection: http.client.HTTPConnection) -> http.client.HTTPConnection:
    """The same, to be opened anew where the server has closed it: what was idle for 5 s, since this machine stood still."""
    if connection.sock is not None and select.select([connection.sock], [], [], 0)[0]:
        connection.close()
    return connection


def _written(port: int, token: str, files: int, for_s: float) -> tuple[list[float], float]:
    latencies_s: list[float] = []
    begun = time.perf_counter()

    def write(writer: int) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=300)) as connection:
            number = 1
            while time.perf_counter() - begun < for_s:
                start = time.perf_counter()
                status, body = _sent(
                    connection, token, "PATCH", f"c-{(writer * 31 + number * 7) % files}", number * 100 + writer
                )
                if status != 200:
                    raise AssertionError(body)
                latencies_s.append(time.perf_counter() - start)
                number += 1

    threads = [threading.Thread(target=write, args=(n,)) for n in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return latencies_s, time.perf_counter() - begun
