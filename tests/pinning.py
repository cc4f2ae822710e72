"""A real repository with a small fleet, of which a Proxy may be pinned to a commit."""

import subprocess
from pathlib import Path

from reconciler.core.connect import Connector
from reconciler.core.model import FleetState, ObservedState, Ref, Snapshot
from reconciler.git import Mirror
from reconciler.load import Loaded, Loader
from reconciler.seams import Seams

HEAD = "apiVersion: convoy/v1\nkind: {}\nmetadata: {{name: {}}}\nspec: {}\n---\n"
PINNED = Ref("Proxy", "edge-2")


def document(kind: str, name: str, spec: str) -> str:
    return HEAD.format(kind, name, spec)


def configuration(cluster: str = "web", port: int = 10000, name: str = "edge") -> str:
    listeners = f"[{{name: http, port: {port}, routes: main}}]"
    routes = f"[{{name: main, virtualHosts: [{{routes: [{{prefix: /, cluster: {cluster}}}]}}]}}]"
    return document("Configuration", name, f"{{listeners: {listeners}, routes: {routes}}}")


def proxy(number: int, more: str = "") -> str:
    return document("Proxy", f"edge-{number}", f"{{group: edge, host: local, ports: {{http: {10000 + number}}}{more}}}")


def cluster(name: str) -> str:
    return document("Cluster", name, '{endpoints: ["127.0.0.1:1"]}')


BASE = {
    "fleet/hosts.yaml": document("Host", "local", "{}"),
    "fleet/edge.yaml": document("ProxyGroup", "edge", "{configuration: edge}") + configuration(),
    "fleet/one.yaml": proxy(1),
    "fleet/two.yaml": proxy(2),
    "fleet/clusters.yaml": cluster("web") + cluster("spare"),
}


class Repository:
    """A real repository with a fleet in `fleet/`, and the mirror that follows it with one loader."""

    def __init__(self, tmp_path: Path, root: str = "fleet") -> None:
        self.path = tmp_path / "work"
        self.git("init", "-q", "-b", "main", str(self.path), at=tmp_path)
        self.source = Mirror(str(self.path), "main", tmp_path / "mirror", Seams(), subdirectory=root)
        self.loader = Loader(None, Seams())

    def git(self, *words: str, at: Path | None = None) -> str:
        who = ["-c", "user.name=me", "-c", "user.email=me@example.com", "-c", "commit.gpgSign=false"]
        done = subprocess.run(["git", *who, *words], cwd=at or self.path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self, files: dict[str, str]) -> str:
        for path, text in files.items():
            (self.path / path).parent.mkdir(parents=True, exist_ok=True)
            (self.path / path).write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "a change", "--allow-empty")
        return self.git("rev-parse", "HEAD")

    def load(self, loader: Loader | None = None) -> Loaded:
        return (loader or self.loader).load(self.source.tree(self.source.fetch()), self.source.read, self.source)

    def fleet(self) -> FleetState:
        """Loaded with what is remembered, and from nothing: both are the same."""
        loaded, fresh = self.load(), self.load(Loader(None, Seams()))
        assert loaded.fleet is not None, "\n".join(map(str, loaded.problems))
        assert loaded.fleet == fresh.fleet
        return loaded.fleet

    def problems(self) -> list[str]:
        loaded, fresh = self.load(), self.load(Loader(None, Seams()))
        assert loaded.fleet is None
        assert loaded.problems == fresh.problems
        return [str(one) for one in loaded.problems]


def told(fleet: FleetState) -> dict[str, Snapshot]:
    return Connector().connect(fleet, ObservedState({}), {})


def pin(commit: str, name: str = "edge") -> str:
    return f",\n  configuration: {name},\n  revision: {commit}"
