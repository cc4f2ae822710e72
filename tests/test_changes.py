"""Several changes are one commit or nothing; and whoever has changed something is shown it, at once and when he reads next."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api import changes
from api.changes import Done, Terms, Writer
from api.written import written
from reconciler.acceptance import MOST_PATCHED
from reconciler.core.model import Ref
from reconciler.core.proposal import MOST_CHANGES, MOST_TOLD, Change, Proposed, Refused, checked
from tests.committing import HEAD, Committing, cluster, together, value
from tests.repos import Origin, git, hermetic, make_origin

pytestmark = pytest.mark.slow

FILES = {
    "clusters/a.yaml": cluster("a"),
    "clusters/b.yaml": cluster("b"),
    "hosts.yaml": HEAD.format("Host", "h") + "spec:\n  driver: process # here\n",
    "group.yaml": HEAD.format("ProxyGroup", "g") + "spec: {}\n",
    "proxy.yaml": HEAD.format("Proxy", "p") + "spec:\n  group: g\n",
}
ADA = Writer("ada", "ada", "Ada <ada@example.com>")


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


def patch(name: str, seconds: int) -> Change:
    return Change("patch", Ref("Cluster", name), {"spec": {"connectTimeoutSeconds": seconds}})


def put(kind: str, name: str, spec: Mapping[str, Any], **more: Any) -> Change:
    return Change("put", Ref(kind, name), {"metadata": {"name": name}, "spec": spec}, **more)


def make(convoy: Committing, *each: Change, terms: Terms = Terms()) -> Done:
    return changes.make(convoy.reach, each, ADA, terms)


def test_several_are_one_commit(convoy: Committing) -> None:
    """In one file or many; what it does is in its message, and each delete of it is confirmed."""
    made = make(
        convoy,
        patch("a", 3),
        put("Cluster", "c", {"endpoints": ["127.0.0.1:3"]}),
        Change("delete", Ref("Cluster", "b")),
        terms=Terms(message="Move b to c"),
    )
    assert made.proposal is not None
    assert convoy.log() == ["Move b to c", "change"]
    assert convoy.log("%H")[0] == made.proposal.revision
    assert [one["created"] for one in made.proposal.changes] == [False, True, False]
    assert made.proposal.changes[2]["digest"] == ""
    assert "clusters/b.yaml" not in convoy.files()
    assert convoy.file("clusters/a.yaml") == cluster("a") + "  connectTimeoutSeconds: 3\n"
    assert "127.0.0.1:3" in convoy.file("clusters/c.yaml")
    said = convoy.log("%B")
    assert said[:7] == [
        "Move b to c",
        "",
        "  Change Cluster/a",
        "  Set Cluster/c",
        "  Delete Cluster/b",
        "",
        "Convoy-Confirm: Cluster/b",
    ]


def test_a_new_document_is_written_as_people_write_them(convoy: Committing, origin: Origin) -> None:
    """Its fields as the schema has them, all below them as it was given; what exists already keeps its own order."""
    assigned = {"name": "c", "load_assignment": {"policy": {"weighted_priority_health": False}, "cluster_name": "c"}}
    spec = {"envoy": assigned, "endpoints": ["127.0.0.1:3"]}
    make(convoy, Change("put", Ref("Cluster", "c"), {"spec": spec, "metadata": {"labels": {"z": "1", "a": "2"}}}))
    make(convoy, Change("put", Ref("Cluster", "a"), {"spec": {"connectTimeoutSeconds": 3, "endpoints": ["127.0.0.1:1"]}}))
    new, old = (git(origin.path, "show", f"main:clusters/{name}.yaml") for name in "ca")
    words = [line.strip(" -").partition(":")[0] for line in new.splitlines()]
    assert words == [
        *("apiVersion", "kind", "metadata", "name", "uid", "labels", "z", "a"),
        *(
            "spec",
            "endpoints",
            "127.0.0.1",
            "envoy",
            "name",
            "load_assignment",
            "policy",
            "weighted_priority_health",
            "cluster_name",
        ),
    ]
    assert old.index("endpoints") < old.index("connectTimeoutSeconds")


@pytest.mark.parametrize("own", ["", "environments/production/"])
def test_several_of_one_file(own: str, tmp_path: Path, sockets: Path, origin: Origin) -> None:
    """Whichever comes first: one is deleted, others are changed, and every other byte stays; also beside a base's."""
    every = "# ours\n" + "---\n".join(cluster(name, more="  # its end\n") for name in ("one", "two", "three", "four"))
    files: dict[str, str | None] = {f"{own}many.yaml": every}
    if own:
        environment = HEAD.format("Environment", "production") + "spec:\n  bases: [../../base]\n"
        files |= {f"{own}environment.yaml": environment, "base/a.yaml": cluster("a")} | dict.fromkeys(FILES)
    origin.commit(files)
    with closing(Committing(tmp_path, sockets, origin, subdirectory=own)) as convoy:
        make(convoy, Change("delete", Ref("Cluster", "two")), patch("three", 3), patch("a", 5), patch("one", 4))
        said = convoy.file(f"{own}many.yaml").rstrip("\n")
        one, three = (said.index(f"name: {name}") for name in ("one", "three"))
        assert said.startswith("# ours\n")
        assert said.index("connectTimeoutSeconds: 4") in range(one, three)
        assert said.index("connectTimeoutSeconds: 3") > three
        assert "name: two" not in said
        assert said.endswith(cluster("four", more="  # its end\n").rstrip("\n"))
        assert said.count("# its end") == 3
        convoy.follow()
        for name, seconds in {"one": 4, "three": 3, "a": 5}.items():
            found = convoy.reach.fleet.get(Ref("Cluster", name))
            assert found is not None
            assert found.declared.spec["connectTimeoutSeconds"] == seconds


def test_all_or_nothing(convoy: Committing) -> None:
    """One that cannot be, and none of them is: told alone, by what the fleet would be then, or by what its sender has read."""
    tries: list[tuple[str, tuple[Change, ...]]] = [
        ("not-found", (patch("a", 3), patch("none", 3))),
        ("invalid", (patch("a", 3), put("Cluster", "bad", {"endpoints": 7}))),
        ("invalid", (patch("a", 3), Change("delete", Ref("ProxyGroup", "g")))),
        ("precondition", (patch("a", 3), Change("patch", Ref("Cluster", "b"), {"spec": {}}, match=("0" * 16,)))),
        ("exists", (patch("a", 3), put("Cluster", "b", {"endpoints": ["127.0.0.1:2"]}, new=True))),
        ("bad-change", (patch("a", 3), patch("a", 4))),
        ("too-many", tuple(Change("delete", Ref("Cluster", f"n{n}")) for n in range(MOST_TOLD + 1))),
        ("too-many", tuple(put("Cluster", f"n{n}", {"endpoints": ["127.0.0.1:2"]}) for n in range(MOST_CHANGES + 1))),
    ]
    for code, each in tries:
        with pytest.raises(Refused) as refused:
            make(convoy, *each)
        assert refused.value.code == code
    assert len(convoy.log()) == 1


def test_what_only_together_is_right(convoy: Committing) -> None:
    """The fleet is judged as it is after all of them: in between it may be one that nobody could accept."""
    made = make(
        convoy,
        Change("delete", Ref("ProxyGroup", "g")),
        Change("patch", Ref("Proxy", "p"), {"spec": {"group": "new"}}),
        put("ProxyGroup", "new", {}),
    )
    assert made.proposal is not None
    assert len(convoy.log()) == 2


def test_among_others(convoy: Committing) -> None:
    """Beside others in one batch each is taken or refused for itself."""

    def bad() -> str:
        try:
            make(convoy, patch("a", 9), Change("delete", Ref("ProxyGroup", "g")))
        except Refused as error:
            return error.code
        return ""

    fine = [
        lambda n=n: make(
            convoy,
            put("Cluster", f"x{n}", {"endpoints": ["127.0.0.1:2"]}),
            put("Cluster", f"y{n}", {"endpoints": ["127.0.0.1:2"]}),
        )
        for n in range(6)
    ]
    answers = together(*fine[:3], bad, *fine[3:])
    assert answers[3] == "invalid"
    assert len(convoy.log()) == 7
    assert len([one for one in convoy.files() if one.startswith(("clusters/x", "clusters/y"))]) == 12
    assert convoy.file("clusters/a.yaml") == cluster("a")


def test_many_at_once(convoy: Committing) -> None:
    """As many as one commit may delete: each is confirmed by it, and its message is one that is read."""
    names = [f"n{n}" for n in range(MOST_TOLD)]
    make(convoy, *(put("Cluster", name, {"endpoints": ["127.0.0.1:2"]}) for name in names))
    make(convoy, *(Change("delete", Ref("Cluster", name)) for name in names))
    assert len(convoy.log()) == 3
    said = convoy.log("%B")
    assert "  and 150 more" in said
    assert sum(line.startswith("Convoy-Confirm: Cluster/n") for line in said) == MOST_TOLD


def test_in_an_environment(tmp_path: Path, sockets: Path, origin: Origin) -> None:
    """Its own layer takes all of them, in one commit."""
    own = "environments/production/"
    environment = HEAD.format("Environment", "production") + "spec:\n  bases: [../../base] # shared\n"
    files = {"base/a.yaml": cluster("a"), "base/b.yaml": cluster("b"), f"{own}environment.yaml": environment}
    origin.commit({**files, **dict.fromkeys(FILES)})
    with closing(Committing(tmp_path, sockets, origin, subdirectory=own)) as convoy:
        made = make(convoy, patch("a", 3), patch("b", 4), put("Cluster", "c", {"endpoints": ["127.0.0.1:3"]}))
        assert made.proposal is not None
        assert len(convoy.log()) == 3
        assert convoy.file(f"{own}environment.yaml").count("target:") == 2
        convoy.follow()
        for name, told in zip("abc", made.proposal.changes, strict=True):
            found = convoy.reach.fleet.get(Ref("Cluster", name))
            assert found is not None
            assert found.declared.digest == told["digest"]
        with pytest.raises(Refused) as refused:
            make(convoy, *(put("Cluster", f"n{n}", {"endpoints": ["127.0.0.1:2"]}) for n in range(MOST_PATCHED + 1)))
        assert refused.value.code == "too-many"


def test_beside_an_environment(tmp_path: Path, sockets: Path, origin: Origin) -> None:
    """A document in the file of the environment itself is where the patches before it have moved it to."""
    own = "environments/production/"
    environment = HEAD.format("Environment", "production") + "spec:\n  bases: [../../base]\n---\n" + cluster("c")
    origin.commit({"base/a.yaml": cluster("a"), f"{own}environment.yaml": environment, **dict.fromkeys(FILES)})
    with closing(Committing(tmp_path, sockets, origin, subdirectory=own)) as convoy:
        make(convoy, patch("a", 3), patch("c", 4))
        convoy.follow()
        for name, seconds in {"a": 3, "c": 4}.items():
            found = convoy.reach.fleet.get(Ref("Cluster", name))
            assert found is not None
            assert found.declared.spec["connectTimeoutSeconds"] == seconds


def test_an_answer_shows_what_was_written(convoy: Committing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without waiting until it is in force, and exactly: also where somebody else's change comes between."""
    monkeypatch.setattr("api.written.SETTLING_S", 60.0)
    made = make(
        convoy, patch("a", 3), put("Cluster", "c", {"endpoints": ["127.0.0.1:3"]}), Change("delete", Ref("Cluster", "b"))
    )
    with monkeypatch.context() as patched:
        patched.setattr(convoy.reach.fleet, "in_force", lambda *_: pytest.fail("it is waited for"))
        changed, new, gone = written(convoy.reach, made)
    assert changed is not None
    assert new is not None
    assert gone is None
    convoy.follow()
    for found in (changed, new):
        there = convoy.reach.fleet.get(Ref.parse(found.declared.ref))
        assert there is not None
        assert (there.declared.document, there.declared.uid) == (found.declared.document, found.declared.uid)
        assert (there.declared.digest, there.declared.n, there.declared.file) == (
            found.declared.digest,
            found.declared.n,
            found.declared.file,
        )

    make(convoy, Change("patch", Ref("Cluster", "a"), {"metadata": {"labels": {"x": "1"}}}))
    made = make(convoy, patch("a", 4))
    later = threading.Timer(0.3, convoy.follow)
    later.start()
    (after,) = written(convoy.reach, made)
    later.join()
    assert after is not None
    assert after.declared.document["metadata"]["labels"] == {"x": "1"}
    assert after.declared.document["spec"]["connectTimeoutSeconds"] == 4


def test_an_answer_never_shows_what_was_before(convoy: Committing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where others have changed it meanwhile, and nothing of that comes into force in time, or it is refused."""
    make(convoy, Change("patch", Ref("Cluster", "a"), {"metadata": {"labels": {"x": "1"}}}))
    made = make(convoy, patch("a", 4))
    assert made.proposal is not None
    with monkeypatch.context() as soon:
        soon.setattr("api.written.SETTLING_S", 0.1)
        with pytest.raises(changes.Unshown) as unshown:
            written(convoy.reach, made)
    assert made.proposal.revision[:12] in str(unshown.value)
    monkeypatch.setattr("api.written.SETTLING_S", 200.0)
    convoy.store.record_revision(made.proposal.revision, "refused", ())
    with pytest.raises(changes.Unshown):
        written(convoy.reach, made)
    later = threading.Timer(0.3, convoy.follow)
    convoy.store.record_revision("0" * 40, "refused", ())
    later.start()
    (after,) = written(convoy.reach, made)
    later.join()
    assert after is not None
    assert (after.declared.document["metadata"]["labels"], after.declared.spec["connectTimeoutSeconds"]) == ({"x": "1"}, 4)


def test_who_wrote_reads_it(convoy: Committing, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GET, of one or of all, waits until what the same client has written is in force, and for nothing that others have; but
    no longer than a moment after it was committed."""
    other = convoy.store.tokens.create("bob", ("read",), None)[1]

    def labels(token: str | None = None) -> Any:
        return json.loads(convoy("GET", "Cluster/a", token=token).get_data())["document"]["metadata"].get("labels")

    monkeypatch.setattr("api.fleet.SETTLING_S", 60.0)
    for n, read in enumerate(("Cluster/a", "/convoy/v1/resources?kind=cluster")):
        assert convoy("PATCH", "Cluster/a", {"metadata": {"labels": {"x": str(n)}}}).status_code == 200
        assert labels(other) == ({"x": str(n - 1)} if n else None)
        later = threading.Timer(0.3, convoy.follow)
        later.start()
        assert f'"labels": {{"x": "{n}"}}' in convoy("GET", read).text
        later.join()
    monkeypatch.setattr("api.fleet.SETTLING_S", 2.0)
    began = time.monotonic()
    assert convoy("PUT", "Cluster/new", value("new")).status_code == 201
    assert convoy("GET", "Cluster/new").status_code == 404
    assert time.monotonic() - began >= 2.0
    monkeypatch.setattr(convoy.reach.fleet, "in_force", lambda *_: pytest.fail("the moment is over"))
    assert convoy("GET", "Cluster/new").status_code == 404


def test_who_wrote_twice_reads_both(convoy: Committing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the last of it changes nothing, or takes back what is not in force yet: that alone would be there already."""
    monkeypatch.setattr("api.fleet.SETTLING_S", 60.0)
    before = convoy("GET", "Cluster/b").get_json()["document"]
    for n, (label, document) in enumerate((("x", before), ("y", {**before, "metadata": {"name": "b"}}))):
        if n:
            assert convoy("PATCH", "Cluster/b", {"metadata": {"labels": {"away": "soon"}}}).status_code == 200
        assert convoy("PATCH", "Cluster/a", {"metadata": {"labels": {"n": label}}}).status_code == 200
        assert convoy("PUT", "Cluster/b", document).status_code == 200
        later = threading.Timer(0.3, convoy.follow)
        later.start()
        assert convoy("GET", "Cluster/a").get_json()["document"]["metadata"]["labels"] == {"n": label}
        later.join()


def test_a_webhooks_address_is_for_those_who_may_change_it(convoy: Committing, origin: Origin) -> None:
    """Who may only read sees its host; sent back as it was shown it stays what it is; elsewhere the words stand for nothing."""
    url, shown = "https://hooks.example/canary?key=canary", "https://hooks.example/(hidden)"
    spec = {"on": ["status.failed"], "to": {"webhook": {"url": url}}}
    assert convoy("PUT", "Notification/a", {"spec": spec}).status_code == 201
    convoy.follow()
    writer, reader = convoy.token, convoy.store.tokens.create("reader", ("read",), None, "")[1]
    for token, seen in ((writer, url), (reader, shown)):
        convoy.token = token
        one, listed = (
            json.loads(convoy("GET", path).get_data()) for path in ("Notification/a", "/convoy/v1/resources?kind=Notification")
        )
        assert one["document"]["spec"]["to"]["webhook"]["url"] == seen
        assert [each["document"] for each in listed["resources"]] == [one["document"]]
    convoy.token = writer
    back = {"spec": {"on": ["status"], "to": {"webhook": {"url": shown}}}}
    assert convoy("PUT", "Notification/a", back).status_code == 200
    assert url in git(origin.path, "show", "main:notifications/a.yaml")
    refused = convoy("PUT", "Notification/b", back)
    assert refused.status_code == 422
    assert "(hidden) in the place of what is not shown" in refused.text


def test_what_came_after_it_counts_too(convoy: Committing, origin: Origin) -> None:
    """Of two writes only the later one is ever in force; and under a person's push nothing of ours is missed."""
    first = make(convoy, patch("a", 3)).proposal
    second = make(convoy, patch("a", 4)).proposal
    assert first is not None
    assert second is not None
    assert not convoy.reach.fleet.in_force(first, 0.0)
    convoy.follow()
    assert convoy.reach.fleet.in_force(first, 0.0)
    assert convoy.reach.fleet.in_force(second, 0.0)
    third = make(convoy, patch("a", 5)).proposal
    assert third is not None
    origin.commit({"theirs.yaml": cluster("theirs")})
    convoy.follow()
    assert convoy.reach.fleet.in_force(third, 0.0)
    # Of one that was found in the history after a restart, only the commit is known.
    fourth = make(convoy, patch("a", 6)).proposal
    assert fourth is not None
    known = replace(fourth, answer={"found": True})
    origin.commit({"more.yaml": cluster("more")})
    assert not convoy.reach.fleet.in_force(known, 0.0)
    convoy.follow()
    assert convoy.reach.fleet.in_force(known, 0.0)


def test_a_read_after_a_write_is_not_from_before_it(convoy: Committing) -> None:
    """It waits as long as it may, and is not answered with what was there before: not in time, nor where control is gone."""

    def read(query: str = "&timeoutSeconds=1") -> tuple[int, str, str]:
        answer = convoy("GET", "Cluster/a", query=f"?after={id}{query}")
        said = json.loads(answer.get_data())
        return answer.status_code, said.get("error", {}).get("code", ""), said.get("error", {}).get("message", "")

    mine = convoy.store.tokens.every()[0].id
    convoy.acting = False
    waiting = convoy.reach.fleet.propose(checked(Proposed((patch("a", 3),), "ada", "Ada <ada@example.com>")), mine, "")
    id = waiting.id
    assert read() == (504, "late", f"Cluster/a is not committed yet (proposal {id})")
    convoy.acting = True
    assert convoy.reach.fleet.wait(waiting, 60.0).state == "committed"
    assert read() == (504, "late", f"Cluster/a is not in force yet (proposal {id})")
    later = threading.Timer(0.3, convoy.follow)
    later.start()
    assert read("&timeoutSeconds=60") == (200, "", "")
    later.join()
    id = convoy("PATCH", "Cluster/a", {"spec": {"connectTimeoutSeconds": 4}}).get_json()["proposal"]
    convoy.reach.over.set()
    assert read("") == (503, "away", f"Cluster/a is not in force yet (proposal {id})")
    convoy.follow()
    assert read("") == (200, "", "")


def test_a_read_after_a_write_that_somebody_has_pushed_over(convoy: Committing, origin: Origin) -> None:
    """It is in the history of what is in force, and is not waited for; nor is what was in force before, whatever is pushed."""

    def read(id: str) -> tuple[int, float]:
        answer = convoy("GET", "Cluster/a", query=f"?after={id}&timeoutSeconds=1")
        return answer.status_code, json.loads(answer.get_data()).get("document", {}).get("spec", {}).get(
            "connectTimeoutSeconds"
        )

    first = convoy("PATCH", "Cluster/a", {"spec": {"connectTimeoutSeconds": 3}}).get_json()["proposal"]
    assert read(first)[0] == 504
    origin.commit({"clusters/a.yaml": cluster("a") + "  connectTimeoutSeconds: 7\n"})
    convoy.follow()
    assert read(first) == (200, 7)
    second = convoy("DELETE", "Cluster/a").get_json()["proposal"]
    assert read(second)[0] == 504
    origin.commit({"clusters/a.yaml": cluster("a") + "  connectTimeoutSeconds: 8\n"})
    origin.commit({"clusters/b.yaml": cluster("b") + "  connectTimeoutSeconds: 9\n"})
    convoy.follow()
    origin.commit({"clusters/a.yaml": cluster("a") + "  connectTimeoutSeconds: 9\n"})
    convoy.follow()
    assert [read(one) for one in (first, second)] == [(200, 9)] * 2


def test_a_read_after_what_nobody_has_asked_for(convoy: Committing) -> None:
    """Neither a proposal that is none nor another's is waited for, or passed over."""
    convoy.acting = False
    theirs = convoy.reach.fleet.propose(checked(Proposed((patch("a", 3),), "bob", "Bob <bob@example.com>")), "bob", "")
    for id in (theirs.id, "0" * 32, "", "a%00b"):
        answer = convoy("GET", "Cluster/a", query=f"?after={id}&timeoutSeconds=60")
        assert (answer.status_code, json.loads(answer.get_data())["error"]["message"]) == (404, "there is no such proposal"), id
