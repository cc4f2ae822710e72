"""Changes over the API that become pull requests: a branch and a pull request for each, exactly one, whatever happens."""

import json
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from reconciler import addressed
from reconciler.committer import Opens
from reconciler.core.kinds.pulls import PullRequests
from reconciler.core.model import FleetState, Ref
from reconciler.core.proposal import Change, Proposed, message
from reconciler.core.trailers import REQUEST
from reconciler.git import SourceError
from reconciler.log import Log
from reconciler.pulls import Pulls, Told, opens, told_by
from reconciler.seams import Seams
from reconciler.secrets import Opener, keygen, seal
from reconciler.store.proposals import Mode
from reconciler.undecided import Undecided
from tests import people
from tests.committing import Committing, cluster, error, value
from tests.forge.conftest import BLIND, TOKEN, stand_in
from tests.forge.stand_in import Pull, Reply, Request, StandIn
from tests.repos import Origin, git, hermetic, make_origin

pytestmark = pytest.mark.slow


class Killed(BaseException):
    pass


class Fatal(Seams):
    """Ends whoever comes to this point, once."""

    def __init__(self, at: str = "") -> None:
        self.at = at

    def point(self, name: str, *about: object) -> None:
        if name == self.at:
            self.at = ""
            raise Killed


class Opening(Committing):
    """With a forge, and whoever opens pull requests there; in this test's thread, or in one of its own."""

    def __init__(self, directory: Path, run: Path, origin: Origin, forge: StandIn, kind: str, **more: Any) -> None:
        self.mode: Opens = "declined"
        super().__init__(directory, run, origin, **more)
        identity, recipient = keygen()
        token = seal(addressed.addressed(TOKEN.encode(), addressed.origin(forge.api)), [recipient], None)
        self.identity, self.recipient = identity, recipient
        said = PullRequests(forge=kind.partition("-")[0], api=forge.api, repository="us/fleet", token=token, allow_private=True)
        self.told: Told | None = Told(Ref("Settings", "fleet"), said)
        forge.branches = lambda: set(git(origin.path, "for-each-ref", "--format=%(refname:short)", "refs/heads").split())
        self.opened: list[str] = []
        opener = Opener([identity], lambda ref, purpose: self.opened.append(f"{ref}: {purpose}"))
        assert self.desk is not None
        self.committer._opens = lambda: opens(self.told) if self.mode != "always" else "always"
        self.pulls = Pulls(
            self.store,
            self.desk,
            self.committer,
            lambda: self.told,
            opener,
            lambda: self.acting,
            Log(level="error"),
            self.seams,
        )

    def token_is(self, token: str, **more: Any) -> None:
        """And other fields of `pullRequests`."""
        assert self.told is not None
        pulls = self.told.pulls.model_copy(update=more)
        sealed = seal(addressed.addressed(token.encode(), addressed.origin(pulls.api)), [self.recipient], None)
        self.told = Told(self.told.ref, pulls.model_copy(update={"token": sealed}))

    def close(self) -> None:
        self.pulls.close()
        super().close()


@pytest.fixture
def origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Origin:
    hermetic(monkeypatch)
    made = make_origin(tmp_path)
    made.commit({"clusters/a.yaml": cluster("a")})
    return made


@pytest.fixture(params=["github", "gitlab", "gitea"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def forge(kind: str) -> Iterator[StandIn]:
    with stand_in(kind) as served:
        yield served


@pytest.fixture
def convoy(tmp_path: Path, sockets: Path, origin: Origin, forge: StandIn, kind: str) -> Iterator[Opening]:
    with closing(Opening(tmp_path, sockets, origin, forge, kind)) as opened:
        yield opened


PATCH = {"spec": {"connectTimeoutSeconds": 3}}


def test_a_change_becomes_a_pull_request(convoy: Opening, forge: StandIn, origin: Origin) -> None:
    """202 with its address; the branch holds the commit, the followed one stays; asked again under its key it is the same."""
    convoy.pulls.start()
    answers = [
        convoy("PATCH", "Cluster/a", PATCH, "?mode=pull-request&message=Wait+@all+%23longer", Idempotency_Key="k")
        for _ in range(2)
    ]
    assert [one.status_code for one in answers] == [202, 202]
    said = json.loads(answers[0].get_data())
    assert said["state"] == "proposed"
    assert "ETag" not in answers[0].headers
    (pull,) = forge.pulls
    assert said["url"].endswith(f"/{pull.number}")
    assert json.loads(answers[1].get_data()) == said
    assert (pull.head, pull.base, pull.title) == (f"convoy/{said['proposal']}", "main", "Wait @all #longer")
    assert "Change `Cluster/a`" in pull.body
    assert convoy.log() == ["change"]
    assert git(origin.path, "log", "-1", "--format=%s|%an|%H", pull.head) == f"Wait @all #longer|Ada|{said['revision']}"
    assert json.loads(convoy("GET", answers[0].headers["Location"]).get_data())["url"] == said["url"]
    assert set(convoy.opened) == {"Settings/fleet: pull requests: token"}
    assert TOKEN not in str(said)


def test_a_dialects_change_becomes_one_too(convoy: Opening, forge: StandIn) -> None:
    """By its own operations, in its own words: 202 with where it is, by the account that asked; nothing is there yet."""
    convoy.pulls.start()
    admin = people.account(convoy.store, "admin", email="eve@example.com")
    key, query = people.key(convoy.store, admin), "?mode=pull-request&message=A+ledger"
    answer = convoy("POST", "/api/v1/clusters", {"name": "ledger"}, query, token=key)
    assert answer.status_code == 202, answer.text
    (pull,) = forge.pulls
    said = json.loads(answer.get_data())
    assert said["pull_request_url"].endswith(f"/{pull.number}")
    assert (pull.title, pull.base) == ("A ledger", "main")
    assert convoy.log() == ["change"]
    assert json.loads(convoy("GET", "/api/v1/clusters", query="?per_page=100", token=key).get_data())["pagination"] == {
        "page": 1,
        "per_page": 100,
        "total_pages": 1,
        "total_items": 1,
    }


def test_what_becomes_of_it(convoy: Opening, forge: StandIn, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Merged, with the commit of what came into force, which tells by its words, or the forge does; or closed, opened
    again, and merged after all. Asked again under its key it is done, or refused."""
    for name in ("pulls.LOOK_S", "undecided.LOOK_S", "undecided.ASK_EVERY_S", "undecided.SOONEST_S"):
        monkeypatch.setattr(f"reconciler.{name}", 0.01)
    convoy.pulls.start()

    def opened(name: str) -> tuple[dict[str, Any], Pull]:
        said = json.loads(convoy("PUT", f"Cluster/{name}", value(name), "?mode=pull-request", Idempotency_Key=name).get_data())
        return said, forge.pulls[-1]

    def becomes(said: dict[str, Any], state: str) -> dict[str, Any]:
        over = time.monotonic() + 60
        while True:
            now: dict[str, Any] = json.loads(convoy("GET", f"/convoy/v1/proposals/{said['proposal']}").get_data())
            if now["state"] == state or time.monotonic() > over:
                break
            time.sleep(0.01)
        assert (now["state"], now["url"]) == (state, said["url"])
        return now

    def squashed(name: str, message: str) -> str:
        return origin.commit({f"clusters/{name}.yaml": cluster(name)}, message=message)

    first, pull = opened("b")
    # A change that somebody has called so is not that.
    called = Proposed((Change("patch", Ref("Cluster", "a")),), "eve", "", f"{REQUEST}: {first['proposal']}")
    origin.commit({"clusters/a.yaml": cluster("a", 7)}, message=message(called, "0" * 32))
    tip = squashed("b", f"A (#1)\n\n* Set\n  {REQUEST}: {first['proposal']}\n\nCo-authored-by: Eve <eve@example.com>\n")
    second, pull = opened("c")
    pull.open, pull.merged = False, squashed("c", "In other words")
    third, closed = opened("d")
    closed.open = False
    assert becomes(third, "closed")["error"]["code"] == "closed"
    again = convoy("PUT", "Cluster/d", value("d"), "?mode=pull-request", Idempotency_Key="d")
    assert (again.status_code, error(again)["code"]) == (409, "closed")
    closed.open = True
    assert becomes(third, "proposed") == third
    again = convoy("PUT", "Cluster/d", value("d"), "?mode=pull-request", Idempotency_Key="d")
    assert (again.status_code, json.loads(again.get_data())) == (202, third)
    closed.open = False
    assert becomes(third, "closed")["error"]["code"] == "closed"
    # Nothing of the others is in force yet.
    assert becomes(first, "proposed") == first
    assert becomes(second, "proposed") == second
    convoy.follow()
    assert becomes(first, "merged")["revision"] == tip
    assert becomes(second, "merged")["revision"] == pull.merged
    again = convoy("PUT", "Cluster/b", value("b"), "?mode=pull-request", Idempotency_Key="b")
    assert (again.status_code, json.loads(again.get_data())["state"]) == (201, "merged")
    git(origin.path, "update-ref", "refs/heads/main", closed.head)
    convoy.follow()
    assert becomes(third, "merged")["revision"] == third["revision"]
    assert len(forge.pulls) == 3


def test_the_forge_is_asked_about_each_in_turn(
    convoy: Opening, forge: StandIn, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where something comes into force before each question, and all are due again."""
    monkeypatch.setattr("reconciler.undecided.LOOK_S", 1e9)
    convoy.pulls.start()
    for name in "bcd":
        assert convoy("PUT", f"Cluster/{name}", value(name), "?mode=pull-request").status_code == 202
    asked: list[int] = []

    def pull(number: int) -> None:
        asked.append(number)

    assert convoy.desk is not None
    undecided = Undecided(convoy.store, convoy.desk.branch, pull, lambda: True, Log(level="error"), convoy.seams)
    for name in ("LOOK_S", "ASK_EVERY_S"):
        monkeypatch.setattr(f"reconciler.undecided.{name}", 0.0)
    for seconds in range(1, 7):
        origin.commit({"clusters/a.yaml": cluster("a", seconds)})
        convoy.follow()
        undecided.look()
    assert asked == [one.number for one in forge.pulls] * 2


def test_where_the_branch_takes_no_pushes(convoy: Opening, forge: StandIn, origin: Origin) -> None:
    """What it declines becomes a pull request; what it takes is a commit; and where all are to be reviewed, none is."""
    hook = origin.path / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text('#!/bin/sh\nread old new ref\n[ "$ref" != refs/heads/main ] || { echo protected >&2; exit 1; }\n')
    hook.chmod(0o755)
    convoy.pulls.start()
    assert convoy("PATCH", "Cluster/a", PATCH).status_code == 202
    hook.unlink()
    assert convoy("PUT", "Cluster/b", value("b")).status_code == 201
    convoy.mode = "always"
    assert convoy("PUT", "Cluster/c", value("c")).status_code == 202
    assert len(forge.pulls) == 2
    assert convoy.log() == ["Set Cluster/b", "change"]


def test_what_cannot_be_is_refused_as_ever(convoy: Opening, forge: StandIn) -> None:
    """A change that adds a Problem, or that nobody may make, opens nothing; one that changes nothing is done already."""
    convoy.pulls.start()
    query = "?mode=pull-request"
    assert convoy("PUT", "Proxy/p", {"spec": {"group": "none"}}, query).status_code == 422
    assert convoy("PATCH", "Cluster/none", {}, query).status_code == 404
    assert convoy("PATCH", "Cluster/a", PATCH, query, If_Match='"old"').status_code == 412
    assert convoy("PATCH", "Cluster/a", {}, query).status_code == 200
    assert convoy("PATCH", "Cluster/a", PATCH, "?mode=maybe").status_code == 400
    assert forge.pulls == []
    convoy.token_is(BLIND)
    refused = convoy("PATCH", "Cluster/a", PATCH, query)
    assert (refused.status_code, error(refused)["code"]) == (409, "forge")
    assert BLIND not in refused.text
    convoy.token_is("two\nlines")
    refused = convoy("PATCH", "Cluster/a", PATCH, query)
    assert (refused.status_code, error(refused)["code"]) == (409, "forge")
    convoy.told = None
    refused = convoy("PATCH", "Cluster/a", PATCH, query)
    assert (refused.status_code, error(refused)["code"]) == (409, "no-forge")


@pytest.mark.parametrize("kind", ["github", "gitlab", "gitea", "gitea-1.21"], indirect=True)
@pytest.mark.parametrize("at", ["git.push", "pulls.open", "pulls.decide"])
def test_killed_in_between(at: str, tmp_path: Path, sockets: Path, origin: Origin, forge: StandIn, kind: str) -> None:
    """Before the push, between it and opening, and before it is written down: whoever comes next finds what is there."""
    fatal = Fatal(at)
    with closing(Opening(tmp_path, sockets, origin, forge, kind, seams=fatal, start=False)) as convoy:
        body = _body()
        one = convoy.store.proposals.add("t", "", "d", body, ["Cluster/a"], "pull-request")
        if at == "pulls.decide":
            decide = convoy.store.proposals.decide
            convoy.store.proposals.decide = _dies  # type: ignore[assignment, method-assign]
        with pytest.raises(Killed):
            convoy.pulls.turn()
        if at == "pulls.decide":
            convoy.store.proposals.decide = decide  # type: ignore[method-assign]
            # Meanwhile somebody merges it, and the forge takes its branch away.
            forge.pulls[0].open = False
            git(origin.path, "update-ref", "-d", f"refs/heads/{forge.pulls[0].head}")
        origin.commit({"theirs.yaml": cluster("theirs")})
        for others in range(60):
            # And somebody opens as many more as do not stand on one page, one of a branch that is called the same in a fork.
            head = forge.pulls[0].head if forge.pulls and not others else f"other-{others}"
            forge.pulls.append(Pull(1_000 + others, head, "main", "Theirs", "", fork=2))
        convoy.pulls.turn()
        found = convoy.store.proposals.get(one.id)
        assert found is not None
        assert found.state == "proposed"
        (ours,) = (one for one in forge.pulls if not one.fork)
        assert found.answer["number"] == ours.number
        assert len([one for one in forge.branches() if one.startswith("convoy/")]) == (at != "pulls.decide")


def _dies(_: object) -> None:
    raise Killed


def _body() -> dict[str, object]:
    change = {"verb": "patch", "ref": "Cluster/a", "document": PATCH, "match": [], "seen": "", "new": False, "uid": ""}
    return {"changes": [change], "account": "ada", "author": "Ada <a@b.c>", "message": ""}


def test_a_forge_at_a_long_address(convoy: Opening, forge: StandIn) -> None:
    """As long as Settings take it, it is asked; where no token can be sealed for it, that is said."""
    assert convoy.told is not None
    convoy.token_is(TOKEN, api=f"{forge.api}/{'a/../' * 80}")
    convoy.pulls.start()
    answer = convoy("PATCH", "Cluster/a", PATCH, "?mode=pull-request")
    assert "is sent nowhere" not in answer.text
    assert forge.heard
    convoy.told = Told(convoy.told.ref, convoy.told.pulls.model_copy(update={"api": f"https://{'a' * 400}/"}))
    refused = convoy("PATCH", "Cluster/a", {"spec": {"connectTimeoutSeconds": 4}}, "?mode=pull-request")
    assert (refused.status_code, error(refused)["code"]) == (409, "forge")
    assert "is sent nowhere" in error(refused)["message"]


def test_a_private_forge_is_told_nothing(convoy: Opening, forge: StandIn) -> None:
    """Unless Settings say so: a document is no way to ask addresses inside."""
    convoy.token_is(TOKEN, api=forge.api.replace("http:", "https:"), allow_private=False)
    convoy.pulls.start()
    refused = convoy("PATCH", "Cluster/a", PATCH, "?mode=pull-request")
    assert (refused.status_code, error(refused)["code"]) == (409, "forge")
    assert "is not a public address" in error(refused)["message"]
    assert forge.pulls == []


def test_a_token_is_not_led_elsewhere(convoy: Opening, forge: StandIn, kind: str) -> None:
    """Whoever writes another address into Settings gets neither the token nor a request; sealed for none it goes nowhere."""
    assert convoy.told is not None
    convoy.pulls.start()
    with stand_in(kind) as other:
        convoy.told = Told(convoy.told.ref, convoy.told.pulls.model_copy(update={"api": other.api}))
        refused = convoy("PATCH", "Cluster/a", PATCH, "?mode=pull-request")
        assert (refused.status_code, error(refused)["code"]) == (409, "forge")
        assert f"it is sealed for {addressed.origin(forge.api)}" in error(refused)["message"]
        assert f"convoy secret seal --for {addressed.origin(other.api)}" in error(refused)["message"]
        assert other.heard == []
    open = seal(TOKEN.encode(), [convoy.recipient], None)
    convoy.told = Told(convoy.told.ref, convoy.told.pulls.model_copy(update={"api": forge.api, "token": open}))
    assert "is not sealed for an address" in error(convoy("PATCH", "Cluster/a", PATCH, "?mode=pull-request"))["message"]
    assert forge.heard == []


def test_a_forge_that_is_away_holds_up_nobody(convoy: Opening, forge: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked again; commits go on meanwhile; and one whose answer was lost is found, not opened twice."""
    monkeypatch.setattr("api.changes.COMMITTING_S", 1.0)
    monkeypatch.setattr("reconciler.pulls.PATIENCE_S", 0.5)
    monkeypatch.setattr("reconciler.pulls.LONGEST_AGAIN_S", 1.0)

    def away(_: Request) -> Reply:
        # As often as it is asked.
        forge.vices.append(away)
        return Reply(502)

    forge.vices.append(away)
    convoy.pulls.start()
    answer = convoy("PATCH", "Cluster/a", PATCH, "?mode=pull-request")
    assert (answer.status_code, error(answer)["code"]) == (503, "waiting")
    monkeypatch.setattr("api.changes.COMMITTING_S", 60.0)
    assert convoy("PUT", "Cluster/b", value("b")).status_code == 201

    def lost(request: Request) -> Reply | None:
        if request.method != "POST" or "graphql" in request.path:
            return None
        forge.answer(request)
        return Reply(502)

    with forge.lock:
        forge.vices[:] = [lost]
    over = time.monotonic() + 60
    while True:
        said = json.loads(convoy("GET", answer.headers["Location"]).get_data())
        if said["state"] != "waiting" or time.monotonic() > over:
            break
        time.sleep(0.05)
    assert said["state"] == "proposed"
    assert len(forge.pulls) == 1


def test_nothing_is_decided_before_the_settings_are_read(convoy: Opening, forge: StandIn, origin: Origin) -> None:
    """What waits when a Convoy begins is neither pushed past people who want to see it first, nor refused: it waits until what
    was in force is in force again. Where nothing ever was, no pull requests are opened."""
    assert convoy.told is not None
    token = json.dumps(convoy.told.pulls.token.model_dump(mode="json"))
    more = f"forge: {convoy.told.pulls.forge}, api: '{forge.api}', repository: us/fleet, allowPrivate: true, always: true"
    head = "apiVersion: convoy/v1\nkind: Settings\nmetadata: {name: fleet}\n"
    origin.commit({"settings.yaml": f"{head}spec:\n  pullRequests: {{{more}, token: {token}}}\n"})
    read: list[FleetState] = []
    told = partial(told_by, lambda: read[-1] if read else None, convoy.store.last_good)
    convoy.committer._opens = lambda: opens(told())
    convoy.pulls._told = told
    convoy.committer.close()
    modes: tuple[Mode, ...] = ("commit", "pull-request")
    for mode in modes:
        convoy.store.proposals.add("t", "", "d", _body(), ["Cluster/a"], mode)
    with pytest.raises(SourceError, match="have not been read yet"):
        convoy.committer.drain()
    with pytest.raises(SourceError, match="have not been read yet"):
        convoy.pulls.turn()
    assert [len(convoy.store.proposals.waiting(10, mode=mode)) for mode in modes] == [1, 1]
    read.append(convoy.fleet())
    convoy.committer.drain()
    convoy.pulls.turn()
    assert len(forge.pulls) == 2
    assert convoy.log() == ["change", "change"]
    assert told_by(lambda: None, lambda: None) is None


def test_what_waits_too_long_is_refused(convoy: Opening, forge: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asked has long gone."""
    monkeypatch.setattr("reconciler.pulls.LONGEST_WAITING_S", -1.0)
    one = convoy.store.proposals.add("t", "", "d", _body(), ["Cluster/a"], "pull-request")
    convoy.pulls.turn()
    found = convoy.store.proposals.get(one.id)
    assert found is not None
    assert (found.state, found.answer["code"]) == ("refused", "expired")
    assert forge.pulls == []


def test_only_whoever_holds_the_lease(convoy: Opening, forge: StandIn) -> None:
    """A standby opens nothing."""
    convoy.acting = False
    convoy.store.proposals.add("t", "", "d", _body(), ["Cluster/a"], "pull-request")
    convoy.pulls.turn()
    assert (forge.pulls, len(convoy.store.proposals.waiting(10, mode="pull-request"))) == ([], 1)
