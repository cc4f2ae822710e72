"""Whatever a revision was come to by, it is the same: what was found out of those before saves work and changes no answer."""

import hashlib
import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from reconciler.core import validate
from reconciler.core.connect import Connector
from reconciler.core.edition import Edition, differing
from reconciler.core.laid import laid
from reconciler.core.layers import ENVIRONMENT
from reconciler.core.model import FleetState, ObservedState
from reconciler.files import Parses
from reconciler.git import NotThere, Tree
from reconciler.git.layers import tree
from reconciler.load import Loaded, Loader
from reconciler.seams import Seams

WORKLOAD = "{command: [run], ports: [{name: http}]%s}"
ROUTES = (
    "{listeners: [{name: http, port: %d, routes: main}], routes: [{name: main, virtualHosts: [{routes: [{prefix: /, %s}]}]}]}"
)
# What may be declared, and what it may say; what is sound stands first, so that most of what is come to is sound.
POOL: dict[tuple[str, str], tuple[str, ...]] = {
    ("Settings", "fleet"): ("{}", "{drainSeconds: 1}"),
    ("Settings", "second"): ("{}",),
    ("Host", "local"): ("{}", "{address: localhost}", "{state: cordoned}"),
    ("Host", "other"): ("{}", "{ports: 30000-30001}"),
    ("Application", "web"): (WORKLOAD % "", WORKLOAD % ", replicas: 2", "{command: [x]}", WORKLOAD % ", restart: never"),
    ("Application", "spare"): (WORKLOAD % "", WORKLOAD % ", hosts: [local]", WORKLOAD % ", hosts: [nowhere]"),
    ("Container", "web-2"): (WORKLOAD % "", WORKLOAD % ", host: local"),
    ("Container", "files"): (WORKLOAD % "", "{command: [x], host: local, ports: [{name: http, port: 10000}]}"),
    ("ProxyGroup", "edge"): ("{configuration: edge}", "{}", "{configuration: second}", "{configuration: nothing}"),
    ("ProxyGroup", "inner"): ("{}", "{configuration: second}", "{configuration: edge, concurrency: 2}"),
    ("Proxy", "edge-1"): ("{group: edge, host: local}", "{group: inner, host: local}", "{group: edge, configuration: second}"),
    ("Proxy", "edge-2"): ("{group: edge, host: other}", "{group: inner, host: other}", "{group: edge, host: local}", "PIN"),
    ("Configuration", "edge"): (
        ROUTES % (10000, "cluster: web"),
        ROUTES % (10000, "cluster: c-1"),
        ROUTES % (10001, "weights: {c-1: 1, c-2: 2}"),
        ROUTES % (10000, "cluster: nothing"),
    ),
    ("Configuration", "second"): (
        (ROUTES % (10002, "cluster: own"))[:-1] + ", clusters: [{name: own, application: spare}]}",
        ROUTES % (10000, "cluster: web"),
    ),
    ("Cluster", "c-1"): ("{endpoints: [127.0.0.1:80]}", "{endpoints: [127.0.0.1:81]}", "{container: files}"),
    ("Cluster", "c-2"): ("{application: web}", "{application: spare, port: http}", "{application: spare, port: other}"),
    ("VirtualHost", "shop"): (
        "{group: edge, port: 8080, domains: [a.example], backend: web}",
        "{group: inner, port: 8080, domains: [a.example], backend: c-1}",
        "{group: edge, port: 8080, domains: [a.example], backend: c-2, tls: {certificate: shop}}",
    ),
    ("VirtualHost", "blog"): (
        "{group: edge, port: 8080, domains: [b.example], backend: c-1}",
        "{group: edge, port: 8080, domains: [a.example], backend: c-1}",
    ),
    ("Certificate", "shop"): ("{selfSigned: {names: [a.example]}}", "{selfSigned: {names: [a.example], days: 9}}"),
}
NEEDED = [one for one in POOL if one not in (("Settings", "second"), ("Container", "web-2"), ("Container", "files"))]
ABOUT = (
    "",
    ", labels: {a: b}",
    ", uid: 0c0a8a52-6f0e-4b8e-9d8b-51b8a1d8a1c4",
    ", needs: [Container/files]",
    ", needs: [Application/web]",
)
PATHS = ("a.yaml", "b.yaml", "c/d.yaml", "tenants/acme/a.yaml", "tenants/acme/b.yaml")
BROKEN = (
    "kind: [",
    "kind: Hots\nmetadata: {name: x}\n",
    "apiVersion: convoy/v1\nkind: Cluster\nmetadata: {name: c-1}\nspec: {x: 1}\n",
)
BASE, TOP = "bases/shop/", "environments/test/"
ENVIRONMENTS = (
    "{bases: [../../bases/shop]}",
    "{bases: [../../bases/shop], labels: {team: shop}}",
    "{bases: [../../bases/shop], patches: [{target: {kind: Application}, merge: {spec: {restart: always}}}]}",
    "{bases: [../../bases/shop], patches: [{target: {kind: Cluster, name: c-1}, delete: true}]}",
)
Text = tuple[str, str, int, int]


class Walk:
    """A repository in which somebody edits at random, and what it has been."""

    def __init__(self, seed: int, *, layered: bool) -> None:
        self.random, self.layered = random.Random(seed), layered
        self.root = TOP if layered else ""
        self.files: dict[str, list[Text | str]] = {}
        self.past: dict[str, Tree] = {}
        self.texts: dict[str, bytes] = {}
        self.listed: Edition[str, str] = Edition()
        self.environment = 0
        self._mend()

    def step(self, *, sound: bool) -> None:
        """What the next commit says: mostly one edit, and sooner or later everything is mended."""
        if not sound and self.random.random() < 0.4:
            self._mend()
            return
        for _ in range(self.random.choice((1, 1, 1, 2, 4))):
            self.random.choice((self._edit, self._edit, self._edit, self._add, self._take, self._move, self._rename))()
        if self.layered and self.random.random() < 0.2:
            self.environment = self.random.randrange(len(ENVIRONMENTS))

    def _roots(self) -> tuple[str, ...]:
        return (BASE, TOP) if self.layered else ("",)

    def _put(self, path: str, text: Text | str) -> None:
        into = self.files.setdefault(path, [])
        into.insert(self.random.randint(0, len(into)), text)

    def _some(self) -> tuple[str, int] | None:
        places = [(path, i) for path, texts in self.files.items() for i in range(len(texts))]
        return self.random.choice(places) if places else None

    def _any_path(self) -> str:
        return self.random.choice(self._roots()) + self.random.choice(PATHS)

    def _variant(self, kind: str, name: str) -> Text:
        most = len(POOL[kind, name])
        return (
            kind,
            name,
            min(self.random.randrange(most), self.random.randrange(most)),
            max(0, self.random.randrange(-9, len(ABOUT))),
        )

    def _edit(self) -> None:
        at = self._some()
        if at is not None:
            old = self.files[at[0]][at[1]]
            self.files[at[0]][at[1]] = self._variant(*old[:2]) if isinstance(old, tuple) else old + "# more\n"

    def _add(self) -> None:
        declared = {one[:2] for texts in self.files.values() for one in texts if isinstance(one, tuple)}
        left = [one for one in POOL if one not in declared] if self.random.random() < 0.9 else list(POOL)
        if self.random.random() < 0.1:
            self._put(self._any_path(), self.random.choice(BROKEN))
        elif left:
            self._put(self._any_path(), self._variant(*self.random.choice(left)))

    def _take(self) -> Text | str | None:
        at = self._some()
        if at is None:
            return None
        taken = self.files[at[0]].pop(at[1])
        if not self.files[at[0]]:
            del self.files[at[0]]
        return taken

    def _move(self) -> None:
        taken = self._take()
        if taken is not None:
            self._put(
                self._any_path() if self.random.random() < 0.3 else self.random.choice(list(self.files) or ["a.yaml"]), taken
            )

    def _rename(self) -> None:
        at = self._some()
        if at is not None:
            texts = self.files.pop(at[0])
            self.files.setdefault(
                at[0].replace(".yaml", "x.yaml") if self.random.random() < 0.5 else self._any_path(), []
            ).extend(texts)

    def _mend(self) -> None:
        """Everything that the others need is there once, and says what is sound."""
        files, self.files, self.environment = self.files, {}, 0
        left = list(NEEDED)
        for path, texts in files.items():
            for one in texts:
                if one[:2] in left and "tenants" not in path:
                    left.remove((one[0], one[1]))
                    self._put(path, (one[0], one[1], 0, 0))
        for kind, name in left:
            self._put(self.random.choice(self._roots()) + self.random.choice(PATHS[:3]), (kind, name, 0, 0))

    def _text(self, one: Text | str) -> str:
        if isinstance(one, str):
            return one
        kind, name, variant, about = one
        pin = self.random.choice(list(self.past)) if self.past else "0" * 40
        spec = POOL[kind, name][variant].replace("PIN", f"{{group: edge, host: other, configuration: edge, revision: {pin}}}")
        return f"apiVersion: convoy/v1\nkind: {kind}\nmetadata: {{name: {name}{ABOUT[about]}}}\nspec: {spec}\n"

    def commit(self) -> Tree:
        """The tree of the files as they are now. Each knows the last."""
        written = {path: "---\n".join(map(self._text, texts)) for path, texts in self.files.items()}
        if self.layered:
            spec = ENVIRONMENTS[self.environment]
            written[TOP + ENVIRONMENT] = f"apiVersion: convoy/v1\nkind: Environment\nmetadata: {{name: test}}\nspec: {spec}\n"
        blobs: dict[str, str] = {}
        for path, text in sorted(written.items()):
            content = text.encode()
            blobs[path] = hashlib.sha1(content, usedforsecurity=False).hexdigest()
            self.texts[blobs[path]] = content
        changes: dict[str, str | None] = {path: blobs.get(path) for path in differing(self.listed, blobs)}
        self.listed = laid(self.listed, changes).whole() if self.random.random() < 0.5 else self.listed.edited(changes)
        revision = hashlib.sha1(repr(blobs).encode(), usedforsecurity=False).hexdigest()

        def listed(root: str) -> tuple[Mapping[str, str], tuple[()]]:
            return (self.listed if not root else {path: blob for path, blob in blobs.items() if path.startswith(root)}), ()

        self.past[revision] = tree(revision, self.root, listed, self.read)
        return self.past[revision]

    def read(self, blobs: Iterable[str]) -> Mapping[str, bytes]:
        return {blob: self.texts[blob] for blob in blobs}

    class Past:
        """The commits that there have been."""

        def __init__(self, walk: "Walk") -> None:
            self.walk, self.read = walk, walk.read

        def past(self, _revision: str, commit: str) -> Tree:
            if commit not in self.walk.past:
                raise NotThere("there is no such commit", "")
            return self.walk.past[commit]


def said(loaded: Loaded) -> dict[str, Any]:
    """All that is made of a revision, also in the order in which it is given."""
    fleet = loaded.fleet
    if fleet is None:
        return {"problems": loaded.problems}
    return {
        "resources": list(fleet.resources.items()),
        "of": [(kind, list(fleet.of(kind))) for kind, _ in POOL],
        "workloads": dict(fleet.workloads),
        "traffic": dict(fleet.traffic),
        "documents": [(ref, one.source, one.value) for ref, one in loaded.documents.items()],
        "found": {ref: loaded.documents[ref].raw for ref in fleet.resources},
        "snapshots": Connector().connect(fleet, ObservedState({}), {}),
    }


@pytest.mark.parametrize("layered", [False, True])
def test_incremental_equals_from_scratch(monkeypatch: pytest.MonkeyPatch, *, layered: bool) -> None:
    """A random walk of edits, renames, moves, deletes and mistakes: after each, a loader that has come all the way says what
    one says that has seen nothing else, and proxies are told the same."""
    # Else no walk is long enough for what is carried along to become a whole.
    monkeypatch.setattr("reconciler.core.laid.MOST_OVER", 3)
    whole, wholes = validate._whole, list[int]()

    def counted(*given: Any) -> Any:
        wholes.append(1)
        return whole(*given)

    monkeypatch.setattr(validate, "_whole", counted)
    sound = stepped = 0
    for seed in range(6):
        walk = Walk(seed, layered=layered)
        loader, connector, last = Loader(None, Seams()), Connector(), FleetState("", {}, {})
        parses = Parses()
        for _ in range(40):
            there = walk.commit()
            before = len(wholes)
            kept = loader.load(there, walk.read, Walk.Past(walk))
            stepped += len(wholes) == before
            same = replace(there, files=dict(there.files))
            fresh = Loader(None, Seams(), parses).load(same, walk.read, Walk.Past(walk))
            assert said(kept) == said(fresh), f"seed {seed}"
            if kept.fleet is not None:
                sound, last = sound + 1, kept.fleet
            assert connector.connect(last, ObservedState({}), {}) == Connector().connect(last, ObservedState({}), {})
            walk.step(sound=kept.fleet is not None)
    # Else nothing would have been tried.
    assert sound > 60
    assert stepped > 30


def test_an_edition_tells_in_what_it_differs() -> None:
    """From those before it, as far back as that is known; and from any other by looking."""
    first = Edition({i: object() for i in range(50)})
    steps: list[dict[int, object | None]] = [{1: object()}, {2: None, 60: object()}, {1: None}, {2: object()}]
    every: list[Edition[int, object]] = [first]
    for step in steps:
        every.append(every[-1].edited(step))
    for i, old in enumerate(every):
        for later in every[i:]:
            told, found = set(differing(old, later)), set(differing(dict(old), dict(later)))
            assert found <= told <= {1, 2, 60}
            assert {key for key in old.keys() | later.keys() if old.get(key) is not later.get(key)} == found
    assert every[0].differing(every[-1]) is None
    assert list(every[-1])[-2:] == [60, 2]


def test_a_document_that_only_stands_elsewhere_among_the_others() -> None:
    """A listing puts what is new last until it is read anew; then its place is another, and it can still be edited."""
    texts: dict[str, bytes] = {}

    def put(name: str, port: int) -> str:
        text = f"apiVersion: convoy/v1\nkind: Cluster\nmetadata: {{name: {name}}}\nspec: {{endpoints: [127.0.0.1:{port}]}}\n"
        texts[f"{name}{port}"] = text.encode()
        return f"{name}{port}"

    def read(blobs: Iterable[str]) -> Mapping[str, bytes]:
        return {blob: texts[blob] for blob in blobs}

    def there(files: Mapping[str, str]) -> Tree:
        return tree("r", TOP, lambda root: ({path: blob for path, blob in files.items() if path.startswith(root)}, ()), read)

    texts["environment"] = (
        b"apiVersion: convoy/v1\nkind: Environment\nmetadata: {name: test}\nspec: %s\n" % ENVIRONMENTS[0].encode()
    )
    files = {f"{BASE}{i}.yaml": put(f"c-{i}", 80) for i in range(10, 40)}
    files |= {TOP + ENVIRONMENT: "environment", TOP + "z.yaml": put("z", 80), TOP + "y.yaml": put("y", 80)}
    edits = [files, dict(sorted(files.items())), *({**files, f"{TOP}{name}.yaml": put(name, 81)} for name in "yz")]
    loader = Loader(None, Seams())
    for one in (edits[0], edits[1], dict(sorted(edits[2].items())), dict(sorted(edits[3].items()))):
        assert said(loader.load(there(one), read)) == said(Loader(None, Seams()).load(there(one), read))
