"""Deliveries of a forge, signed, acknowledged by `convoy serve` in a small fleet and in a large one that it looks at then."""

import hashlib
import hmac
import http.client
import json
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path

from reconciler.seams import Seams
from reconciler.store import Store, default_url
from tests import repos
from tests.bench.writes import kept, served

Row = tuple[str, float, str, float | None]
BUDGET_MS = 50.0
FOLLOWED = "https://git.example/ops/fleet.git"
# A hook may have 240 in a minute.
HOOKS, EVERY_S = 10, 0.02


def run(quick: bool) -> list[Row]:
    rows: list[Row] = []
    for files in (100, 1_000) if quick else (100, 10_000):
        with tempfile.TemporaryDirectory(prefix="convoy-bench-") as directory:
            rows += _measured(Path(directory), files, 100 if quick else 500)
    return rows


def _measured(directory: Path, files: int, deliveries: int) -> list[Row]:
    with served(directory, repos.make_origin(directory), files) as (port, _):
        with closing(Store(default_url(directory / "state"), Seams(), make=False)) as store:
            hooks = [store.hooks.create(f"bench-{n}", "github", FOLLOWED) for n in range(HOOKS)]
        latencies_s = []
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=300)) as connection:
            for n in range(deliveries):
                _, place, secret = hooks[n % HOOKS]
                latencies_s.append(_delivered(connection, place, secret.encode(), n))
                time.sleep(EVERY_S)
    p50_ms, p99_ms = 1e3 * statistics.median(latencies_s), 1e3 * statistics.quantiles(latencies_s, n=100)[98]
    what = f"forge webhook acknowledged, {files:,}-file repository"
    return [(f"{what}: median", p50_ms, "ms", None), (f"{what}: 99 % (ratio: to 50 ms)", p99_ms, "ms", p99_ms / BUDGET_MS)]


def _delivered(connection: http.client.HTTPConnection, place: str, secret: bytes, number: int) -> float:
    body = json.dumps({"ref": "refs/heads/main", "repository": {"clone_url": FOLLOWED}}).encode()
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": str(number),
        "X-Hub-Signature-256": f"sha256={hmac.new(secret, body, hashlib.sha256).hexdigest()}",
    }
    begun = time.perf_counter()
    kept(connection).request("POST", f"/hooks/github/{place}", body, headers)
    answer = connection.getresponse()
    said = answer.read()
    took_s = time.perf_counter() - begun
    if answer.status != 202 or json.loads(said)["verdict"] != "woken":
        raise AssertionError((answer.status, said))
    return took_s
