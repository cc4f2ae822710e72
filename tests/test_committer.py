"""Changes over the API are commits: the same checks as a pull request's, only what is named touched, each exactly once."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from api.tags import digest
from reconciler.core.facts import Order
from reconciler.seams import Seams
from tests import people
from tests.committing import HEAD, Committing, cluster, error, together, value
from tests.repos import Origin, git, hermetic, make_clone, make_origin
from tests.signing import Ssh, needs_ssh_keygen, signed_commit
from tests.working import until

pytestmark = pytest.mark.slow

FILES = {"clusters/a.yaml": cluster("a"), "hosts.yaml": HEAD.format("Host", "h") + "spec:\n  driver: process # here\n"}


@pytest.fixture
def origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Origin:
    hermetic(monkeypatch)
    made = make_origin(tmp_path)
    made.commit(FILES)
    return made


@pytest.fixture
def convoy(tmp_path: Path, sockets: Path, origin: Origin) -> Iterator[Committing]:
    with closing(Committing(tmp_path, sockets, origin)) as opened:
        yield opened


def test_a_patch_touches_what_it_names(convoy: Committing) -> None:
    """One commit, one line, comments kept; by the token's author, with the request and the account as trailers."""
    answer = convoy("PATCH", "Cluster/a", {"spec": {"connectTimeoutSeconds": 3}}, "?message=Wait+longer")
    said = json.loads(answer.get_data())

    assert answer.status_code == 200
    assert convoy.file("clusters/a.yaml") == cluster("a") + "  connectTimeoutSeconds: 3\n"
    assert said["revision"] == convoy.log("%H")[0]
    assert (said["file"], said["changed"], said["created"]) == ("clusters/a.yaml", True, False)
    assert convoy.log("%an <%ae> %cn: %B")[:4] == [
        "Ada <ada@example.com> Convoy: Wait longer",
        "",
        f"Convoy-Request: {said['proposal']}",
        "Convoy-Account: ada",
    ]
    convoy.follow()
    read = convoy("GET", "Cluster/a")
    assert answer.headers["ETag"] == f'"{said["digest"]}"'
    assert digest(read.headers["ETag"]) == said["digest"]
    assert json.loads(read.get_data())["document"]["spec"]["connectTimeoutSeconds"] == 3


def test_a_put_is_only_what_differs(convoy: Committing) -> None:
    """The whole document is given, and the lines that say something else are written; the same again is no commit."""
    new = {"apiVersion": "convoy/v1", "kind": "Cluster", "metadata": {"name": "a"}, "spec": {"endpoints": ["127.0.0.1:9"]}}
    first, again = convoy("PUT", "clusters/a", new), convoy("PUT", "cluster/default/a", new)
    assert (first.status_code, again.status_code) == (200, 200)
    assert convoy.file("clusters/a.yaml") == cluster("a", 9)
    assert json.loads(again.get_data())["changed"] is False
    assert len(convoy.log()) == 2


def test_new_and_gone(convoy: Committing) -> None:
    """A new resource has a file and a uid of its own; deleted, its file goes, and the commit says that this was meant."""
    assert convoy("PUT", "Cluster/b", value("b"), If_None_Match="*").status_code == 201
    assert convoy("PUT", "Cluster/eu/b", value("b")).status_code == 201
    assert error(convoy("PUT", "Cluster/b", value("b"), If_None_Match="*"))["code"] == "exists"
    written = convoy.file("clusters/b.yaml")
    assert written.startswith("apiVersion: convoy/v1\nkind: Cluster\nmetadata:\n  name: b\n  uid: ")
    assert "127.0.0.1:1" in convoy.file("tenants/eu/clusters/b.yaml")

    gone = convoy("DELETE", "Cluster/b")
    assert gone.status_code == 200
    assert convoy.files() == ["clusters/a.yaml", "hosts.yaml", "tenants/eu/clusters/b.yaml"]
    assert "Convoy-Confirm: Cluster/b" in convoy.log("%B")
    assert convoy("DELETE", "Cluster/b").status_code == 404
    assert convoy("PATCH", "Cluster/b", {}).status_code == 404


@pytest.mark.parametrize("subdirectory", ["", "fleet"])
def test_the_last_that_is_declared_goes_too(tmp_path: Path, sockets: Path, origin: Origin, subdirectory: str) -> None:
    """Whoever asks for the delete of one thing by its name empties no repository; and there may be others afterwards."""
    under = f"{subdirectory}/" if subdirectory else ""
    origin.commit({"clusters/a.yaml": None, "hosts.yaml": None, f"{under}x.yaml": cluster("a") + "---\n" + cluster("b")})
    with closing(Committing(tmp_path, sockets, origin, subdirectory=subdirectory)) as convoy:
        assert [convoy("DELETE", f"Cluster/{name}").status_code for name in "ab"] == [200, 200]
        assert convoy("DELETE", "Cluster/a").status_code == 404
        assert convoy("PUT", "Cluster/c", value("c")).status_code == 201


def test_one_of_several_in_a_file_goes_alone(tmp_path: Path, sockets: Path, origin: Origin) -> None:
    """The others keep every byte; wherever it stands among them."""
    parts = [cluster(name) for name in "abc"]
    origin.commit({"clusters/a.yaml": None, "all.yaml": "# all of them\n---\n" + "---\n".join(parts)})
    with closing(Committing(tmp_path, sockets, origin)) as convoy:
        assert convoy("DELETE", "Cluster/b").status_code == 200
        assert convoy.file("all.yaml") == "# all of them\n---\n" + "---\n".join([parts[0], parts[2]])
        assert convoy("DELETE", "Cluster/a").status_code == 200
        assert convoy.file("all.yaml") == "# all of them\n---\n" + parts[2]
        assert convoy("PATCH", "Cluster/c", {"spec": {"endpoints": ["127.0.0.1:2"]}}).status_code == 200
        assert convoy.file("all.yaml") == "# all of them\n---\n" + cluster("c", 2)


def test_what_adds_a_problem_is_refused_alone(tmp_path: Path, sockets: Path, origin: Origin) -> None:
    """One bad among twenty, each bad in a way that only the whole fleet shows; the others are commits of one push."""
    with closing(Committing(tmp_path, sockets, origin, start=False)) as convoy, ExitStack() as later:
        bad = {"spec": {"group": "nowhere"}, "metadata": {"name": "edge"}}
        asks = [lambda n=n: convoy("PUT", f"Cluster/n{n}", value(f"n{n}")) for n in range(19)]

        def start() -> None:
            while len(convoy.store.proposals.waiting(100)) < 20:
                threading.Event().wait(0.01)
            later.callback(convoy.committer.start(sockets).close)

        answers = together(*asks, lambda: convoy("PUT", "Proxy/edge", bad), start)
        assert [one.status_code for one in answers[:19]] == [201] * 19
        assert answers[19].status_code == 422
        assert "nowhere" in error(answers[19])["problems"][0]
        assert len(convoy.log()) == 20
        assert convoy.pushes == 1


def test_a_branch_that_is_broken_already(convoy: Committing, origin: Origin) -> None:
    """Problems that were there before stand in nobody's way; adding to them does."""
    origin.commit({"broken.yaml": "apiVersion: convoy/v1\nkind: Proxy\nmetadata: {name: p}\nspec: {group: gone}\n"})
    assert convoy("PATCH", "Cluster/a", {"spec": {"connectTimeoutSeconds": 2}}).status_code == 200
    assert convoy("PUT", "Proxy/q", {"spec": {"group": "gone too"}}).status_code == 422
    assert convoy("PUT", "Cluster/bad", {"spec": {"endpoints": 7}}).status_code == 422


def test_what_is_read_first_is_what_is_changed(convoy: Committing, origin: Origin) -> None:
    """412 for a tag that was old when it was sent, 409 where Git moved meanwhile; the tag of a write is good for the next."""
    tag = convoy("GET", "Cluster/a").headers["ETag"]
    written = convoy("PATCH", "Cluster/a", {"spec": {"connectTimeoutSeconds": 2}}, If_Match=tag)
    assert written.status_code == 200
    moved = convoy("PATCH", "Cluster/a", {"spec": {"connectTimeoutSeconds": 3}}, If_Match=tag)
    assert (moved.status_code, error(moved)["code"]) == (409, "conflict")
    next_one = convoy("PATCH", "Cluster/a", {"spec": {"connectTimeoutSeconds": 3}}, If_Match=written.headers["ETag"])
    assert next_one.status_code == 200
    convoy.follow()
    old = convoy("PATCH", "Cluster/a", {"spec": {"connectTimeoutSeconds": 4}}, If_Match=tag)
    assert (old.status_code, error(old)["code"]) == (412, "precondition")
    assert convoy("DELETE", "Cluster/none", If_Match="*").status_code == 404


def test_a_wait_is_bounded(convoy: Committing) -> None:
    """200 once it is carried out, 202 where that takes longer than was asked for: it is committed either way, once."""

    def patched(seconds: int, query: str) -> int:
        return convoy("PATCH", "Cluster/a", {"spec": {"connectTimeoutSeconds": seconds}}, query).status_code

    begun = time.monotonic()
    assert patched(2, "?wait=synced&timeoutSeconds=1") == 202
    assert time.monotonic() - begun > 0.9
    assert convoy.log() == ["Change Cluster/a", "change"]

    def carried_out() -> None:
        while len(convoy.log()) < 3:
            time.sleep(0.05)
        convoy.store.put_status({"Cluster/a": {"ref": "Cluster/a", "sync": "synced"}})
        convoy.store.put_state({"revision": convoy.follow()})

    later = threading.Thread(target=carried_out)
    later.start()
    assert patched(3, "?wait=synced&timeoutSeconds=60") == 200
    later.join()
    for query in ("?wait=ever", "?wait=synced&timeoutSeconds=61", "?wait=synced&timeoutSeconds=0"):
        assert patched(4, query) == 400, query
    assert len(convoy.log()) == 3


def test_asked_twice_done_once(convoy: Committing) -> None:
    """Under one Idempotency-Key: the same answer for the same change, and none for another; other tokens have their own."""
    other = convoy.store.tokens.create("bob", ("write",), None)[1]
    patch = {"spec": {"connectTimeoutSeconds": 2}}
    first, again = (convoy("PATCH", "Cluster/a", patch, Idempotency_Key="k-1") for _ in range(2))
    assert first.get_data() == again.get_data()
    assert len(convoy.log()) == 2
    reused = convoy("PATCH", "Cluster/a", {"spec": {"connectTimeoutSeconds": 3}}, Idempotency_Key="k-1")
    assert (reused.status_code, error(reused)["code"]) == (422, "key-reused")
    assert (
        convoy("PATCH", "Cluster/a", {"spec": {"connectTimeoutSeconds": 4}}, Idempotency_Key="k-1", token=other).status_code
        == 200
    )
    assert convoy.log("%an")[0] == "bob"
    id = json.loads(first.get_data())["proposal"]
    mine, theirs = (convoy("GET", f"/convoy/v1/proposals/{id}", token=one) for one in (None, other))
    assert json.loads(mine.get_data())["state"] == "committed"
    assert theirs.status_code == 404


@pytest.mark.parametrize("key", ["a b", " a", "\xa0", "\x85k", "k\x1f", "k" * 201])
def test_a_key_is_taken_as_it_is_or_not_at_all(key: str, convoy: Committing) -> None:
    """What only looks like a key, or like none, is refused: taken for none, the same would be done again when asked twice."""
    answer = convoy("PATCH", "Cluster/a", {"spec": {"connectTimeoutSeconds": 2}}, Idempotency_Key=key)
    assert (answer.status_code, error(answer)["code"]) == (400, "bad-query")
    assert convoy.log() == ["change"]


def test_a_person_pushes_meanwhile(tmp_path: Path, sockets: Path, origin: Origin) -> None:
    """What still applies is made anew on top of theirs; nothing of either is lost."""

    class Busy(Seams):
        left = 2

        def point(self, name: str, *about: object) -> None:
            if name == "git.push" and self.left:
                self.left -= 1
                origin.commit({f"theirs-{self.left}.yaml": cluster(f"theirs-{self.left}")})

    with closing(Committing(tmp_path, sockets, origin, seams=Busy())) as convoy:
        assert convoy("PATCH", "Cluster/a", {"spec": {"connectTimeoutSeconds": 2}}).status_code == 200
        assert convoy.log() == ["Change Cluster/a", "change", "change", "change"]


def test_pushed_and_never_told(tmp_path: Path, sockets: Path, origin: Origin) -> None:
    """Killed between the push and writing down that it succeeded: the next one knows its own commit, even merged away."""
    with closing(Committing(tmp_path, sockets, origin, start=False)) as convoy:
        convoy.store.proposals.add("t", "", "d", _body("Cluster/a"))
        decide = convoy.store.proposals.decide
        convoy.store.proposals.decide = _dies  # type: ignore[assignment, method-assign]
        with pytest.raises(KeyboardInterrupt):
            convoy.committer.drain()
        convoy.store.proposals.decide = decide  # type: ignore[method-assign]
    assert len(git(origin.path, "log", "--format=%s", "main").splitlines()) == 2
    clone = make_clone(origin, tmp_path / "clone")
    git(clone, "checkout", "-q", "-b", "mine", "HEAD~1")
    git(clone, "commit", "-q", "--allow-empty", "-m", "mine")
    git(clone, "merge", "-q", "--no-edit", "origin/main")
    git(clone, "push", "-q", "origin", "HEAD:main")
    with closing(Committing(tmp_path, sockets, origin, start=False, name="again")) as convoy:
        assert convoy.committer.drain()
        assert not convoy.store.proposals.waiting(10)
    assert git(origin.path, "log", "--format=%s", "main").splitlines().count("Change Cluster/a") == 1


class Killed(Seams):
    """Of one who dies where it would push: `made` has what."""

    def __init__(self, made: list[object]) -> None:
        self._made = made

    def point(self, name: str, *about: object) -> None:
        if name == "git.push":
            self._made.append(about[1])
            raise KeyboardInterrupt


class Late(Seams):
    """Of its successor, a minute later: what that one would have pushed arrives `at` its first push or after it."""

    def __init__(self, made: list[object], origin: Origin, mirror: Path, at: str) -> None:
        self._made, self._origin, self._mirror, self._at, self._pushes = made, origin.path, mirror, at, 0
        self._hook = origin.path / "hooks" / "pre-receive"

    def decline(self) -> None:
        """Nothing is taken there until then."""
        self._hook.parent.mkdir(exist_ok=True)
        self._hook.write_text("#!/bin/sh\nexit 1\n")
        self._hook.chmod(0o755)

    def now(self) -> float:
        return time.time() + 60.0

    def point(self, name: str, *about: object) -> None:
        self._pushes += name == "git.push"
        if self._made and self._pushes == 1 and name == self._at:
            self._hook.unlink(missing_ok=True)
            git(self._mirror, "push", "-q", str(self._origin), f"{self._made.pop()}:refs/heads/main")


@pytest.mark.parametrize("declined", [True, False], ids=["declined", "moved"])
def test_a_push_of_an_earlier_life_comes_late(declined: bool, tmp_path: Path, sockets: Path, origin: Origin) -> None:
    """Its git outlives it: what that pushes after the successor has looked is not made again either, by a smaller batch."""
    made: list[object] = []
    new = {"verb": "put", "match": [], "seen": "", "new": True, "uid": ""}
    with closing(Committing(tmp_path, sockets, origin, start=False, seams=Killed(made))) as convoy:
        for name in ("b", "c"):
            asked = _body("Cluster/a") | {"changes": [new | {"ref": f"Cluster/{name}", "document": value(name)}]}
            convoy.store.proposals.add("t", "", "d", asked)
        with pytest.raises(KeyboardInterrupt):
            convoy.committer.drain()
    late = Late(made, origin, tmp_path / "mirror", "git.fetch" if declined else "git.push")
    if declined:
        late.decline()
    with closing(Committing(tmp_path, sockets, origin, start=False, seams=late, name="again")) as convoy:
        assert convoy.committer.drain()
        convoy.committer.drain()
        assert [one.state for row in convoy.rows("proposals") if (one := convoy.store.proposals.get(row[2]))] == [
            "committed"
        ] * 2
        assert convoy.log() == ["Set Cluster/c", "Set Cluster/b", "change"]
    assert not made


def test_a_push_that_comes_late_is_of_both_halves(tmp_path: Path, sockets: Path, origin: Origin) -> None:
    """What is found on the branch while one half of a declined batch is looked at is not made again with the other."""
    made: list[object] = []
    with closing(Committing(tmp_path, sockets, origin, start=False, seams=Killed(made))) as convoy:
        for seconds in (2, 3, 4, 5):
            convoy.store.proposals.add("t", "", "d", _body("Cluster/a", seconds))
        with pytest.raises(KeyboardInterrupt):
            convoy.committer.drain()
    late = Late(made, origin, tmp_path / "mirror", "git.fetch")
    late.decline()
    with closing(Committing(tmp_path, sockets, origin, start=False, seams=late, name="again")) as convoy:
        assert convoy.committer.drain()
        convoy.committer.drain()
        requests = [line for line in convoy.log("%B") if line.startswith("Convoy-Request")]
        assert len(requests) == len(set(requests)) == 4
    assert not made


def _dies(_: object) -> None:
    raise KeyboardInterrupt


def _body(ref: str, seconds: int = 2) -> dict[str, object]:
    change: dict[str, object] = {"verb": "patch", "ref": ref, "document": {"spec": {"connectTimeoutSeconds": seconds}}}
    change |= {"match": [], "seen": "", "new": False, "uid": ""}
    return {"changes": [change], "account": "ada", "author": "Ada <a@b.c>", "message": ""}


def test_a_remote_that_refuses(convoy: Committing, origin: Origin) -> None:
    """Its hook's words are told; in a batch, only what it refuses is."""
    hook = origin.path / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(
        "#!/bin/sh\nread old new ref\nif git diff --name-only $old $new | grep -q forbidden; then\n"
        "  printf 'nobody touches \\033[31mthat\\n' >&2; exit 1\nfi\n"
    )
    hook.chmod(0o755)
    names = ["x", "forbidden", "y", "z"]
    answers = together(*(lambda n=n: convoy("PUT", f"Cluster/{n}", value(n)) for n in names))
    assert [one.status_code for one in answers] == [201, 409, 201, 201]
    words = error(answers[1])
    assert words["code"] == "declined"
    assert "nobody touches" in words["message"]
    assert "\x1b" not in words["message"]
    assert len(convoy.log()) == 4


def test_a_remote_that_is_away(convoy: Committing, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 with what to ask for; once it is back, what waited is committed, once."""
    monkeypatch.setattr("api.changes.COMMITTING_S", 0.5)
    away = origin.path.rename(origin.path.with_name("away"))
    answer = convoy("PATCH", "Cluster/a", {"spec": {"connectTimeoutSeconds": 2}})
    assert (answer.status_code, error(answer)["code"]) == (503, "waiting")
    place = answer.headers["Location"]
    assert json.loads(convoy("GET", place).get_data())["state"] == "waiting"
    away.rename(origin.path)
    until(lambda: json.loads(convoy("GET", place).get_data())["state"] != "waiting")
    assert json.loads(convoy("GET", place).get_data())["state"] == "committed"
    assert convoy.log().count("Change Cluster/a") == 1


def test_where_nothing_can_be_committed(tmp_path: Path, sockets: Path, origin: Origin) -> None:
    """A folder has no commits; and under a branch that somebody has checked out they would be undone."""
    (tmp_path / "f").mkdir()
    with closing(Committing(tmp_path / "f", sockets, None)) as convoy:
        answer = convoy("PUT", "Cluster/a", value("a"))
        assert (answer.status_code, error(answer)["code"]) == (409, "no-git")
    clone = make_clone(origin, tmp_path / "clone")
    (tmp_path / "c").mkdir()
    with closing(Committing(tmp_path / "c", sockets, Origin(clone))) as convoy:
        answer = convoy("PATCH", "Cluster/a", {"spec": {"connectTimeoutSeconds": 2}})
        assert (answer.status_code, error(answer)["code"]) == (409, "declined")
        assert "is checked out in" in error(answer)["message"]


def test_what_was_rolled_back_stays_so(convoy: Committing) -> None:
    """Content that is held is a Problem, and no write brings it back."""
    tag = digest(convoy("GET", "Cluster/a").headers["ETag"])
    assert convoy("PATCH", "Cluster/a", {"spec": {"connectTimeoutSeconds": 2}}).status_code == 200
    convoy.store.put_order(Order("hold", f"Cluster/a@{tag}", "it was bad", "Eve", 1.0))
    back = convoy("PATCH", "Cluster/a", {"spec": {"connectTimeoutSeconds": None}})
    assert back.status_code == 422
    assert "rolled back and is held" in error(back)["message"]


def test_what_is_held_where_it_stands_is_in_nobodys_way(convoy: Committing) -> None:
    """As after a rollback: the branch still says it. Others are changed all the same, and so is it; then it stays away."""
    held = digest(convoy("PATCH", "Cluster/a", {"spec": {"connectTimeoutSeconds": 2}}).headers["ETag"])
    convoy.store.put_order(Order("hold", f"Cluster/a@{held}", "it was bad", "", 1.0))
    assert convoy("PUT", "Cluster/b", value("b")).status_code == 201
    assert convoy("PATCH", "Cluster/b", {"spec": {"connectTimeoutSeconds": 2}}).status_code == 200
    assert convoy("PATCH", "Cluster/a", {"spec": {"connectTimeoutSeconds": 3}}).status_code == 200
    back = convoy("PATCH", "Cluster/a", {"spec": {"connectTimeoutSeconds": 2}})
    assert back.status_code == 422
    assert "rolled back and is held" in error(back)["message"]


def test_environments_have_a_layer_of_their_own(tmp_path: Path, sockets: Path, origin: Origin) -> None:
    """What a base says is changed by a patch of the environment; its own documents where they stand; the base never."""
    own = "environments/production/"
    environment = HEAD.format("Environment", "production") + "spec:\n  bases: [../../base] # shared\n"
    origin.commit({"base/a.yaml": cluster("a"), f"{own}environment.yaml": environment, f"{own}b.yaml": cluster("b")})
    with closing(Committing(tmp_path, sockets, origin, subdirectory=own)) as convoy:
        changed = convoy("PATCH", "Cluster/a", {"spec": {"connectTimeoutSeconds": 2}})
        assert changed.status_code == 200
        assert convoy("PATCH", "Cluster/b", {"spec": {"connectTimeoutSeconds": 2}}).status_code == 200
        assert convoy("PUT", "Cluster/c", value("c")).status_code == 201
        convoy.follow()
        read = convoy("GET", "Cluster/a")
        assert json.loads(read.get_data())["document"]["spec"]["connectTimeoutSeconds"] == 2
        assert digest(read.headers["ETag"]) == digest(changed.headers["ETag"])
        for patch in ({"spec": {"connectTimeoutSeconds": 3}}, {"metadata": {"labels": {"x": "${var.y}"}}}):
            assert convoy("PATCH", "Cluster/a", patch).status_code == 200
        assert convoy.file(f"{own}environment.yaml").count("target:") == 1
        convoy.follow()
        document = json.loads(convoy("GET", "Cluster/a").get_data())["document"]
        assert (document["spec"]["connectTimeoutSeconds"], document["metadata"]["labels"]) == (3, {"x": "${var.y}"})
        assert convoy("DELETE", "Cluster/a").status_code == 200
        assert convoy.file("base/a.yaml") == cluster("a")
        assert convoy.file(f"{own}b.yaml") == cluster("b") + "  connectTimeoutSeconds: 2\n"
        assert "127.0.0.1:1" in convoy.file(f"{own}clusters/c.yaml")
        assert "bases: [../../base] # shared\n  patches:\n" in convoy.file(f"{own}environment.yaml")
        convoy.follow()
        assert convoy("GET", "Cluster/a").status_code == 404


def test_lists(convoy: Committing) -> None:
    """By kind and selector, page by page, in the order of refs."""
    for n in range(5):
        convoy("PUT", f"Cluster/n{n}", value(f"n{n}") | {"metadata": {"labels": {"team": "ab"[n % 2]}}})
    convoy.follow()

    def listed(query: str) -> tuple[int, list[str]]:
        said = json.loads(convoy("GET", "/convoy/v1/resources", query=query).get_data())
        return said["total"], [one["ref"] for one in said["resources"]]

    assert listed("?perPage=2&page=2&kind=cluster") == (6, ["Cluster/n1", "Cluster/n2"])
    assert listed("?selector=team%3Da") == (3, ["Cluster/n0", "Cluster/n2", "Cluster/n4"])
    assert listed("?selector=cluster/n*&perPage=1") == (5, ["Cluster/n0"])

    def walked(query: str) -> list[str]:
        found, cursor = list[str](), ""
        while True:
            said = json.loads(convoy("GET", "/convoy/v1/resources", query=f"{query}&limit=2&cursor={cursor}").get_data())
            found += [one["name"] for one in said["resources"]]
            cursor = said["next"]
            if not cursor:
                return found

    assert walked("?kind=cluster") == ["a", "n0", "n1", "n2", "n3", "n4"]
    assert walked("?kind=cluster&sort=name&descending=true") == ["n4", "n3", "n2", "n1", "n0", "a"]
    assert walked("?kind=host&tenant=eu") == []
    cursor = json.loads(convoy("GET", "/convoy/v1/resources", query="?limit=2").get_data())["next"]
    bad = ("?limit=0", "?cursor=x", f"?cursor={cursor}&sort=name", f"?cursor={cursor}&page=2", "?sort=uid", "?selector=a%3D[b]")
    for query in (*bad, "?page=0", "?perPage=100000", "?kind=nothing", "?selector=,", "?page=1e9", "?page=-1"):
        assert convoy("GET", "/convoy/v1/resources", query=query).status_code == 400, query


HOSTILE = [
    b"",
    b"[]",
    b"nul",
    b'{"spec": NaN}',
    b'{"spec": 1e999}',
    b'{"a": 1, "a": 2}',
    b"[" * 100_000,
    b'{"metadata": {"name": "other"}}',
    b'{"kind": "Host"}',
    b'{"metadata": 7}',
    b'{"metadata": {"name": "h\\u0000"}}',
    b'{"spec": {"endpoints": ["\\ud800"]}}',
    b'{"spec": {"endpoints": ["a\\nb: c\\n---\\n"]}}',
    b'{"spec": ' + b'{"a":' * 500 + b"1" + b"}" * 500 + b"}",
    b'{"spec": {"endpoints": 123456789012345678901234567890}}',
    b"\xff\xfe",
]


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_bodies(body: bytes, convoy: Committing) -> None:
    """Each gets an answer that says what is wrong, and changes nothing; what comes next is served."""
    for method in ("PUT", "PATCH"):
        answer = convoy(method, "Cluster/a", body)
        assert answer.status_code in (400, 422), answer.text
        assert error(answer)["message"]
    assert len(convoy.log()) == 1
    assert convoy("PATCH", "Cluster/a", {"spec": {"connectTimeoutSeconds": 2}}).status_code == 200


@pytest.mark.parametrize("name", ["..%2f..%2fx", "A", "a_b", "%00", "a" * 64, "-a", "%1b[31m", ".git", "x.yaml"])
def test_hostile_names(name: str, convoy: Committing) -> None:
    """No name leads to a file that is not its own."""
    for path in (f"Cluster/{name}", f"Cluster/{name}/a", f"{name}/a"):
        assert convoy("PUT", path, value("a")).status_code in (400, 404), path
    assert convoy("PUT", "Cluster/a", value("a"), query=f"?message={'x' * 501}").status_code == 400
    assert len(convoy.log()) == 1


def test_messages_carry_no_trailers(convoy: Committing) -> None:
    """Whatever a message says, it confirms and releases nothing."""
    said = "x%0A%0AConvoy-Confirm: deletes%0A" + "Convoy-Confirm: deletes " * 5
    assert convoy("PATCH", "Cluster/a", {"spec": {"connectTimeoutSeconds": 2}}, f"?message={said}").status_code == 200
    assert [line.partition(":")[0] for line in convoy.log("%(trailers)") if line] == ["Convoy-Request", "Convoy-Account"]


def test_who_may(convoy: Committing) -> None:
    """Reading is for those who may read, writing for those who may write; nobody else learns what there is."""
    reader = convoy.store.tokens.create("r", ("read", "plan"), None)[1]
    writer = convoy.store.tokens.create("w", ("write",), None)[1]
    assert convoy("GET", "Cluster/a", token=writer).status_code == 403
    assert convoy("PUT", "Cluster/a", value("a"), token=reader).status_code == 403
    assert convoy("DELETE", "Cluster/a", token="cvy_none").status_code == 401
    assert convoy("GET", "Cluster/a", token=reader).status_code == 200


def test_secrets(tmp_path: Path, sockets: Path, origin: Origin) -> None:
    """Sealed stays sealed; what stands in the clear is not shown, and comes back unchanged from whoever was not shown it."""
    sealed = "-----BEGIN AGE ENCRYPTED FILE-----\nYWJj\n-----END AGE ENCRYPTED FILE-----\n"
    text = HEAD.format("Container", "c") + "spec:\n  host: h\n  command: [x]\n  environment:\n    DB_PASSWORD: hunter2\n"
    lines = "".join(f"        {line}\n" for line in sealed.splitlines())
    text += f"    TOKEN:\n      age: |\n{lines}      hash: {'ab' * 32}\n"
    origin.commit({"c.yaml": text})
    with closing(Committing(tmp_path, sockets, origin)) as convoy:
        read = convoy("GET", "Container/c")
        document = json.loads(read.get_data())["document"]
        assert "hunter2" not in read.text
        assert document["spec"]["environment"]["TOKEN"]["age"] == sealed
        document["spec"]["command"] = ["y"]
        assert convoy("PUT", "Container/c", document).status_code == 200
        assert convoy.file("c.yaml") == text.replace("[x]", '["y"]')
        for value_ in ("plain", {"age": "plain"}, [1]):
            answer = convoy("PATCH", "Container/c", {"spec": {"environment": {"TOKEN": value_}}})
            assert (answer.status_code, error(answer)["code"]) == (422, "sealed")
            assert "plain" not in answer.text
        assert convoy("PUT", "Container/d", document | {"metadata": {"name": "d"}}).status_code == 422


def test_only_whoever_holds_the_lease(tmp_path: Path, sockets: Path, origin: Origin) -> None:
    """Another one leaves what waits to the one that acts."""
    with closing(Committing(tmp_path, sockets, origin, start=False)) as convoy:
        convoy.store.proposals.add("t", "", "d", _body("Cluster/a"))
        convoy.acting = False
        assert not convoy.committer.drain()
        convoy.acting = True
        assert convoy.committer.drain()
        assert len(convoy.log()) == 2


def test_what_somebody_has_spoiled(convoy: Committing) -> None:
    """A row that makes no sense is refused, and stands in nobody's way."""
    spoiled = [convoy.store.proposals.add("t", "", "d", body) for body in ({}, {"verb": "eat"}, {**_body("x"), "ref": 7})]
    assert convoy("PATCH", "Cluster/a", {"spec": {"connectTimeoutSeconds": 2}}).status_code == 200
    states = [found.state for one in spoiled if (found := convoy.store.proposals.get(one.id))]
    assert states == ["refused"] * 3


@needs_ssh_keygen
def test_where_commits_must_be_signed(
    tmp_path: Path, sockets: Path, monkeypatch: pytest.MonkeyPatch, signers: Path, ssh: Ssh
) -> None:
    """Convoy signs what it commits, by the author who asked, on every surface; and never on top of what nobody has signed."""
    hermetic(monkeypatch)
    origin = make_origin(tmp_path)
    signed_commit(origin, ssh.sign("alice"), {**FILES})
    settings = tmp_path / "gitconfig"
    settings.write_text(f"[user]\nsigningKey = {ssh.directory / 'alice'}\n[gpg]\nformat = ssh\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    with closing(Committing(tmp_path, sockets, origin, signers=signers)) as convoy:
        assert convoy("PATCH", "Cluster/a", {"spec": {"connectTimeoutSeconds": 2}}).status_code == 200
        assert convoy.log("%an, %cn")[0] == "Ada, Convoy"
        assert convoy.desk is not None
        signature = convoy.desk.source.signature(convoy.desk.source.fetch(), Seams().now(), "")
        assert signature.signer.startswith("alice@example.org")
        key = people.key(convoy.store, people.account(convoy.store, "operator", email="eve@example.com"))
        assert convoy("POST", "/api/v1/clusters", {"name": "ledger"}, token=key).status_code == 201
        assert convoy.log("%ae, %cn")[0] == "eve@example.com, Convoy"
        signature = convoy.desk.source.signature(convoy.desk.source.fetch(), Seams().now(), "")
        assert (signature.problem, signature.signer.partition(" ")[0]) == (None, "alice@example.org")
        tip = origin.commit({"b.yaml": cluster("b")})
        monkeypatch.setattr("api.changes.COMMITTING_S", 1.5)
        assert convoy("PATCH", "Cluster/a", {"spec": {"connectTimeoutSeconds": 3}}).status_code == 503
        assert origin.tip() == tip
