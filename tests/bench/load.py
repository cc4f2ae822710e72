"""Loading a fleet: cold at 1,000 and 10,000 documents, with the parse cache on disk, and after a one-file commit."""

import gc
import hashlib
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from reconciler.core.connect import Connector
from reconciler.core.edition import Edition
from reconciler.core.model import ObservedState
from reconciler.git import Tree
from reconciler.load import Loader
from reconciler.seams import Seams

Row = tuple[str, float, str, float | None]

FIXED = """\
apiVersion: convoy/v1
kind: Host
metadata: {name: local}
spec: {driver: process}
---
apiVersion: convoy/v1
kind: ProxyGroup
metadata: {name: edge}
spec: {configuration: edge}
---
apiVersion: convoy/v1
kind: Proxy
metadata: {name: edge-1}
spec: {group: edge, host: local}
---
apiVersion: convoy/v1
kind: Configuration
metadata: {name: edge}
spec:
  listeners: [{name: http, port: 10000, routes: main}]
  routes: [{name: main, virtualHosts: [{routes: [{prefix: /, cluster: c-0}]}]}]
"""


def cluster(i: int, timeout_s: float = 5) -> bytes:
    return f"""\
apiVersion: convoy/v1
kind: Cluster
metadata:
  name: c-{i}
  labels: {{team: team-{i % 17}, tier: backend}}
spec:
  endpoints:
    - 127.0.0.1:{1024 + i % 60000}
    - 127.0.0.2:{1024 + i % 60000}
  connectTimeoutSeconds: {timeout_s}
  envoy:
    lb_policy: LEAST_REQUEST
    circuit_breakers:
      thresholds:
        - {{max_connections: 1024, max_requests: {1000 + i}}}
""".encode()


class Fake:
    """A revision in memory, so that only loading is measured."""

    def __init__(self, documents: int) -> None:
        self.files = {"fleet/edge.yaml": FIXED.encode()} | {f"fleet/clusters/c-{i}.yaml": cluster(i) for i in range(documents)}
        self.ids = Edition((path, blob(text)) for path, text in self.files.items())
        self.texts = {self.ids[path]: text for path, text in self.files.items()}

    def change(self, i: int, timeout_s: float) -> None:
        self.put(f"fleet/clusters/c-{i}.yaml", cluster(i, timeout_s))

    def put(self, path: str, text: bytes) -> None:
        self.files[path] = text
        self.ids = self.ids.edited({path: blob(self.files[path])})
        self.texts[self.ids[path]] = self.files[path]

    def tree(self, revision: str) -> Tree:
        # As a mirror lists them.
        return Tree(revision, self.ids)

    def read(self, ids: Iterable[str]) -> Mapping[str, bytes]:
        return {id: self.texts[id] for id in ids}


def blob(text: bytes) -> str:
    return hashlib.sha1(text, usedforsecurity=False).hexdigest()


def _ready(loader: Loader, connector: Connector, fake: Fake, revision: str) -> float:
    """Seconds from a revision seen to its snapshots ready."""
    tree = fake.tree(revision)
    begun = time.perf_counter()
    loaded = loader.load(tree, fake.read)
    if loaded.fleet is None:
        raise AssertionError(loaded.problems[:3])
    connector.connect(loaded.fleet, ObservedState({}), {})
    return time.perf_counter() - begun


def _read(loader: Loader, fake: Fake) -> float:
    """Seconds until all documents are read, and nothing is made of them yet; without the collector, as in a load."""
    tree = fake.tree("read")
    gc.disable()
    begun = time.perf_counter()
    written = loader.render(tree, fake.read)
    seconds = time.perf_counter() - begun
    gc.enable()
    if written.problems:
        raise AssertionError(written.problems[:3])
    return seconds


def run(quick: bool) -> list[Row]:
    rows: list[Row] = []
    first: dict[str, float] = {}
    for documents in (100, 1_000, 10_000):
        fake = Fake(documents)
        with tempfile.TemporaryDirectory() as cache:
            loader, connector = Loader(Path(cache), Seams()), Connector()
            cold_s = _ready(loader, connector, fake, "r0")
            gc.collect()
            gc.freeze()
            ones = []
            for n in range(5 if quick else 20):
                fake.change(n * 7 % documents, 6 + n)
                ones.append(_ready(loader, connector, fake, f"r{n + 1}"))
            one_s = sorted(ones)[len(ones) // 2]
            warm_s = _ready(Loader(Path(cache), Seams()), Connector(), fake, "warm")
            parsed_s, unpacked_s = _read(Loader(None, Seams()), fake), _read(Loader(Path(cache), Seams()), fake)
            gc.unfreeze()
        first.setdefault("one", one_s)
        rows.append((f"load {documents} documents, cold", cold_s, "s", None))
        rows.append((f"load {documents} documents, parse cache on disk", warm_s, "s", warm_s / cold_s))
        # Most of a load is compiling, which the cache cannot save, and which swings by more than all that it does save.
        what = f"of that, reading {documents} documents with the cache (ratio: to parsing)"
        rows.append((what, unpacked_s * 1000, "ms", unpacked_s / parsed_s))
        rows.append((f"one-file commit at {documents} documents (ratio: to 100)", one_s * 1000, "ms", one_s / first["one"]))
    return rows
