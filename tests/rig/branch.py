"""A branch of wishes that outlives every Convoy, in memory: every revision that was ever its head, and who follows it."""

import hashlib
import json
import threading
from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.core.model import Problem
from reconciler.git import Commit, NotThere, SourceError, Tree
from reconciler.git.source import Signature
from reconciler.seams import Seams

Documents = Mapping[str, Mapping[str, Any]]
REFUSED_DOMAIN = "refused-by-envoy.example"


def spec_of(ref: str, words: Mapping[str, Any]) -> dict[str, Any]:
    """The few words of a world's events ⇒ what a person would have written."""
    kind = ref.partition("/")[0]
    hosts = {"host": words["host"]} if words.get("host") else {}
    if "hook" in words:
        return {"command": ["migrate", f"--version={words.get('version', 1)}"]}
    if "command" in words:
        replicas = {"replicas": words["replicas"]} if "replicas" in words else {}
        return {"command": words["command"], "stop": {"graceSeconds": 1}} | replicas
    if kind in ("Container", "Application"):
        spec: dict[str, Any] = {
            "command": ["serve", f"--version={words.get('version', 1)}"],
            "ports": [{"name": "http"}],
            "check": {"tcp": {}, "intervalSeconds": 1 + words.get("live", 0)},
        }
        if kind == "Container":
            return spec | hosts
        return spec | {"replicas": words.get("replicas", 1)} | ({"hosts": words["hosts"]} if words.get("hosts") else {})
    if kind == "Proxy":
        own = {"configuration": "own"} if words.get("own") else {}
        pin = {"configuration": "own", "revision": f"{words['pin']:040x}"} if words.get("pin") else {}
        return {"group": "edge"} | hosts | own | pin
    if kind == "Configuration":
        domain = REFUSED_DOMAIN if words.get("refused") else "own.example"
        routes = [{"domains": [domain], "routes": [{"prefix": "/", "cluster": words["backend"]}]}]
        listeners = [{"name": "own", "port": 8090, "routes": "own"}]
        return {"listeners": listeners, "routes": [{"name": "own", "virtualHosts": routes}]}
    if kind == "VirtualHost":
        domain = REFUSED_DOMAIN if words.get("refused") else "site.example"
        name = ref.partition("/")[2]
        return {"group": "edge", "port": 8080, "domains": [f"{name}.{domain}"], "backend": words["backend"]}
    if kind == "Settings":
        budget = {"deleteBudget": {"count": 20, "share": 0.3, "always": words["budget"]}} if "budget" in words else {}
        synced = {"sync": words["sync"]} if "sync" in words else {}
        # For a minute, every other minute.
        window = {"kind": words.get("window"), "schedule": "*/2 * * * *", "durationSeconds": 60}
        said = budget | synced | ({"windows": [window]} if words.get("window") else {})
        return {"validateWithEnvoy": False, "drainSeconds": words.get("drain", 2)} | said
    return dict(words)


def text_of(ref: str, words: Mapping[str, Any]) -> str:
    kind, _, name = ref.partition("/")
    metadata = {"name": name} | {word: words[word] for word in ("deletion", "drift", "needs", "hook") if word in words}
    document = {"apiVersion": "convoy/v1", "kind": kind, "metadata": metadata, "spec": spec_of(ref, words)}
    return json.dumps(document, indent=1)


class Branch:
    """`head` is always a revision of `revisions`, which stand in the order in which they were made."""

    def __init__(self) -> None:
        self.revisions: dict[str, dict[str, str]] = {}
        self.head = ""
        self.blobs: dict[str, bytes] = {}
        self.bells: list[threading.Event] = []
        self.messages: dict[str, str] = {}

    def commit(self, files: Mapping[str, str], message: str = "a change") -> str:
        tree: dict[str, str] = {}
        for path, text in files.items():
            blob = hashlib.sha1(text.encode()).hexdigest()
            self.blobs[blob] = text.encode()
            tree[path] = blob
        self.head = f"r{len(self.revisions) + 1:03}"
        self.revisions[self.head] = tree
        self.messages[self.head] = message
        for bell in self.bells:
            bell.set()
        return self.head

    def number(self, revision: str) -> int:
        """When it was made, counted."""
        return int(revision[1:])


class Followed:
    """The Source that one life has of a branch."""

    def __init__(self, branch: Branch, seams: Seams) -> None:
        self._branch, self._seams = branch, seams
        self._bell = threading.Event()
        self._closed = False
        branch.bells.append(self._bell)

    def fetch(self) -> str:
        self._seams.point("source.fetch")
        if not self._branch.head:
            raise SourceError("the branch is not there yet")
        return self._branch.head

    def signature(self, revision: str, at: float, after: str) -> Signature:
        return Signature()

    def tree(self, revision: str) -> Tree:
        self._seams.point("source.tree", revision)
        problems: tuple[Problem, ...] = ()
        return Tree(revision, self._branch.revisions[revision], problems)

    def past(self, revision: str, commit: str) -> Tree:
        """Commits are named in documents by their number, in as many digits as real ones have."""
        self._seams.point("source.past", commit)
        number = int(commit, 16)
        if not 0 < number <= self._branch.number(revision):
            raise NotThere("there is no such commit", "name another")
        named = f"r{number:03}"
        return Tree(named, self._branch.revisions[named])

    def read(self, blob_ids: Iterable[str]) -> Mapping[str, bytes]:
        self._seams.point("source.read")
        return {id: self._branch.blobs[id] for id in blob_ids}

    def info(self, revision: str) -> Commit:
        return Commit(revision, "Somebody <somebody@example.org>", 0.0, 0.0, self._branch.messages[revision], ())

    def commits(self, old: str, new: str) -> tuple[Commit, ...]:
        made = [self.info(revision) for revision in self._branch.revisions]
        numbers = range(self._branch.number(old) + 1 if old else 1, self._branch.number(new) + 1)
        return tuple(one for one in reversed(made) if self._branch.number(one.revision) in numbers)

    def makers(self, old: str, new: str, files: Iterable[str]) -> Mapping[str, Commit]:
        return {}

    def changed(self, timeout_s: float | None) -> bool:
        rung = self._seams.wait(self._bell, timeout_s)
        self._bell.clear()
        return rung and not self._closed

    def hint(self) -> None:
        self._bell.set()

    def close(self) -> None:
        self._closed = True
        self._bell.set()
