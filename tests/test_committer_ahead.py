"""What waits is prepared while what it stands on is pushed: that saves time, and decides nothing that it would not after."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from reconciler.committer import LOOK_S
from reconciler.desk import Drafted
from reconciler.seams import Seams, Thread
from tests.committing import Committing, cluster, value
from tests.repos import Origin, git, hermetic, make_origin
from tests.working import until

pytestmark = pytest.mark.slow

Opened = Callable[..., Committing]


class Meanwhile(Seams):
    """While the nth push is under way, the nth of `comes` happens, then what waits is prepared; only then it goes on."""

    def __init__(self, *comes: Callable[[], object]) -> None:
        self.comes, self.points = list(comes), list[str]()
        self.prepared = threading.Event()
        # What happens one after the other in the same push, once all that came before is prepared.
        self.later: list[Callable[[], object]] = []
        self.pushing: Callable[[], object] = lambda: None

    def thread(self, run: Callable[[], None], name: str) -> Thread:
        if name != "committer-ahead":
            return super().thread(run, name)
        self.prepared.clear()

        def both() -> None:
            if self.comes:
                self.comes.pop(0)()
            run()
            self.prepared.set()

        return super().thread(both, name)

    def wait(self, event: threading.Event, timeout_s: float | None) -> bool:
        if threading.current_thread().name == "committer-ahead" and timeout_s == LOOK_S:
            # Nothing waits any more that is not prepared.
            if self.later:
                self.later.pop(0)()
                event.set()
            else:
                self.prepared.set()
        return super().wait(event, timeout_s)

    def point(self, name: str, *about: object) -> None:
        self.points.append(name)
        if name == "git.push":
            # A half of a declined batch is pushed with nothing beside it.
            assert self.prepared.wait(60)
            self.pushing()


@pytest.fixture
def origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Origin:
    hermetic(monkeypatch)
    made = make_origin(tmp_path)
    made.commit({"clusters/a.yaml": cluster("a")})
    return made


@pytest.fixture
def opened(tmp_path: Path, sockets: Path, origin: Origin) -> Iterator[Opened]:
    every: list[Committing] = []

    def make(seams: Seams, **more: Any) -> Committing:
        every.append(Committing(tmp_path, sockets, origin, seams=seams, start=False, **more))
        return every[-1]

    yield make
    for one in every:
        one.close()


def asked(convoy: Committing, verb: str, ref: str, document: object = None, *, new: bool = False) -> str:
    change = {"verb": verb, "ref": ref, "document": document, "match": [], "seen": "", "new": new, "uid": ""}
    body = {"changes": [change], "account": "ada", "author": "Ada <a@b.c>", "message": ""}
    return convoy.store.proposals.add("t", "", "d", body).id


def patched(convoy: Committing, ref: str, seconds: int = 2) -> str:
    return asked(convoy, "patch", ref, {"spec": {"connectTimeoutSeconds": seconds}})


def end(convoy: Committing, id: str) -> tuple[str, str]:
    """The state of a proposal, and why it was refused."""
    one = convoy.store.proposals.get(id)
    assert one is not None
    return one.state, str(one.answer.get("code", ""))


def declining(origin: Origin, what: str) -> None:
    """Commits with this in them are not taken there."""
    hook = origin.path / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\nread old new ref\n! git diff $old $new | grep -q {what}\n")
    hook.chmod(0o755)


def test_it_stands_on_what_is_being_pushed(opened: Opened, origin: Origin) -> None:
    """Changed, refused and nothing at all, each as if it had come after; and for its push nothing is read again."""
    ids: list[str] = []
    seams = Meanwhile(
        lambda: ids.extend(
            (
                patched(convoy, "Cluster/b"),
                asked(convoy, "put", "Cluster/b", value("b"), new=True),
                patched(convoy, "Cluster/none"),
                asked(convoy, "patch", "Cluster/a", {}),
            )
        )
    )
    convoy = opened(seams)
    first = asked(convoy, "put", "Cluster/b", value("b"), new=True)
    assert convoy.committer.drain() == 1
    assert [end(convoy, id)[0] for id in (first, *ids)] == ["committed", *["waiting"] * 4]

    seams.points.clear()
    assert convoy.committer.drain() == 4
    assert not {"git.fetch", "git.tree"} & set(seams.points)
    assert [end(convoy, id) for id in ids] == [
        ("committed", ""),
        ("refused", "exists"),
        ("refused", "not-found"),
        ("committed", ""),
    ]
    assert convoy.log() == ["Change Cluster/b", "Set Cluster/b", "change"]
    assert "connectTimeoutSeconds: 2" in convoy.file("clusters/b.yaml")
    assert convoy.committer.drain() == 0


def test_what_comes_later_stands_on_what_came_before(opened: Opened, origin: Origin) -> None:
    """Several times in one push: all of it is the next one, each as if it had come after those before it."""
    ids: list[str] = []
    seams = Meanwhile(lambda: ids.append(asked(convoy, "put", "Cluster/b", value("b"), new=True)))
    seams.later = [
        lambda: ids.extend((patched(convoy, "Cluster/b", 2), patched(convoy, "Cluster/none"))),
        lambda: ids.extend((asked(convoy, "put", "Cluster/b", value("b"), new=True), patched(convoy, "Cluster/b", 3))),
    ]
    convoy = opened(seams)
    patched(convoy, "Cluster/a")
    assert convoy.committer.drain() == 1
    assert convoy.committer.drain() == 5
    assert [end(convoy, id) for id in ids] == [
        ("committed", ""),
        ("committed", ""),
        ("refused", "not-found"),
        ("refused", "exists"),
        ("committed", ""),
    ]
    assert seams.points.count("git.push") == 2
    assert convoy.log() == ["Change Cluster/b", "Change Cluster/b", "Set Cluster/b", "Change Cluster/a", "change"]
    assert "connectTimeoutSeconds: 3" in convoy.file("clusters/b.yaml")


def test_what_it_stood_on_is_declined(opened: Opened, origin: Origin) -> None:
    """Then it is judged without: what would have been there is not, and what was taken is free."""
    declining(origin, "127.0.0.1:666")
    ids: list[str] = []
    seams = Meanwhile(
        lambda: ids.extend((patched(convoy, "Cluster/b"), asked(convoy, "put", "Cluster/b", value("b"), new=True)))
    )
    convoy = opened(seams)
    first = asked(convoy, "put", "Cluster/b", value("b", 666), new=True)
    convoy.committer.drain()
    convoy.committer.drain()
    assert [end(convoy, id) for id in (first, *ids)] == [("refused", "declined"), ("refused", "not-found"), ("committed", "")]
    assert convoy.log() == ["Set Cluster/b", "change"]


def test_what_it_stood_on_is_declined_beside_it(opened: Opened, origin: Origin) -> None:
    """The same where they came together: what was refused for what the branch does not take is judged without."""
    declining(origin, "127.0.0.1:666")
    convoy = opened(Meanwhile())
    every = [("b", 666), ("b", 1), ("a", 2), ("c", 1), ("c", 2)]
    ids = [asked(convoy, "put", f"Cluster/{name}", value(name, port), new=True) for name, port in every]
    assert convoy.committer.drain() == 5
    assert [end(convoy, id)[1] for id in ids] == ["declined", "", "exists", "", "exists"]
    assert convoy.log() == ["Set Cluster/c", "Set Cluster/b", "change"]


def test_what_was_pushed_and_not_written_down(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it was that failed in between, the commit is found, and not made again."""
    convoy = opened(Meanwhile())
    id = asked(convoy, "put", "Cluster/b", value("b"), new=True)
    with monkeypatch.context() as broken:
        broken.setattr(convoy.store.proposals, "decide", _away)
        with pytest.raises(OSError, match="away"):
            convoy.committer.drain()
    assert convoy.committer.drain() == 1
    assert end(convoy, id) == ("committed", "")
    assert convoy.log() == ["Set Cluster/b", "change"]


def test_halves_look_at_themselves_alone(opened: Opened, origin: Origin) -> None:
    """Of a batch that is declined, what comes meanwhile is no part; it is committed once, after it."""
    declining(origin, "127.0.0.1:666")
    ids: list[str] = []
    seams = Meanwhile(lambda: ids.append(patched(convoy, "Cluster/a")))
    convoy = opened(seams)
    ids += [asked(convoy, "put", f"Cluster/n{port}", value(f"n{port}", port)) for port in (1, 2, 3, 666)]
    convoy.committer.drain()
    convoy.committer.drain()
    assert [end(convoy, id)[0] for id in ids] == [*["committed"] * 3, "refused", "committed"]
    # The four, two and two, one and one; and what came meanwhile.
    assert seams.points.count("git.push") == 6
    assert convoy.log() == ["Change Cluster/a", "Set Cluster/n3", "Set Cluster/n2", "Set Cluster/n1", "change"]


@pytest.mark.parametrize("push", [1, 2], ids=["what it stands on", "itself"])
def test_a_person_pushes_meanwhile(push: int, opened: Opened, origin: Origin) -> None:
    """Before the push of what it stands on, or before its own: both are made anew on theirs, and judged by it."""
    ids: list[str] = []
    seams = Meanwhile(lambda: ids.extend((patched(convoy, "Cluster/a"), patched(convoy, "Cluster/b"))))
    convoy = opened(seams)
    pushes = 0

    def pushing() -> None:
        nonlocal pushes
        pushes += 1
        if pushes == push:
            origin.commit({"clusters/a.yaml": None, "theirs.yaml": cluster("theirs")})

    seams.pushing = pushing
    ids.insert(0, asked(convoy, "put", "Cluster/b", value("b")))
    while convoy.committer.drain():
        pass
    assert [end(convoy, id) for id in ids] == [("committed", ""), ("refused", "not-found"), ("committed", "")]
    mine = ["Change Cluster/b", "Set Cluster/b"]
    assert convoy.log() == ([*mine, "change", "change"] if push == 1 else [mine[0], "change", mine[1], "change"])
    assert pushes == 3
    assert git(origin.path, "rev-list", "--merges", "main") == ""


def test_the_end_of_a_push_is_not_slept_through(opened: Opened) -> None:
    """It rings just when whoever prepares is about to forget what has rung so far."""
    going, rung, waits = threading.Event(), threading.Event(), list[object]()

    class Rung(threading.Event):
        def clear(self) -> None:
            going.set()
            assert rung.wait(60)
            super().clear()

        def set(self) -> None:
            super().set()
            rung.set()

    class Waits(Seams):
        def point(self, name: str, *about: object) -> None:
            assert name != "git.push" or going.wait(60)

        def wait(self, event: threading.Event, timeout_s: float | None) -> bool:
            waits.append(event)
            return super().wait(event, timeout_s)

    convoy = opened(Waits())
    convoy.committer._rung = Rung()
    patched(convoy, "Cluster/a")
    assert convoy.committer.drain() == 1
    assert convoy.committer._rung not in waits


def test_killed_where_it_would_be_pushed(opened: Opened, origin: Origin) -> None:
    """The next life finds the first on the branch and makes the second, each once."""
    ids: list[str] = []
    seams = Meanwhile(lambda: ids.append(patched(convoy, "Cluster/a", 3)))
    convoy = opened(seams)
    ids.append(patched(convoy, "Cluster/a", 2))
    convoy.committer.drain()

    def dies() -> None:
        raise KeyboardInterrupt

    seams.pushing = dies
    with pytest.raises(KeyboardInterrupt):
        convoy.committer.drain()
    again = opened(Seams(), name="again")
    while again.committer.drain():
        pass
    assert [end(again, id) for id in ids] == [("committed", "")] * 2
    assert again.log() == ["Change Cluster/a", "Change Cluster/a", "change"]
    assert "connectTimeoutSeconds: 3" in again.file("clusters/a.yaml")


def test_what_fails_there_is_met_where_it_stands_alone(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is away while it is prepared stops nothing that is being pushed."""
    ids: list[str] = []

    def away() -> None:
        ids.append(patched(convoy, "Cluster/a", 3))
        monkeypatch.setattr(convoy.store.proposals, "waiting", _away)

    seams = Meanwhile(away)
    convoy = opened(seams)
    ids.append(patched(convoy, "Cluster/a", 2))
    assert convoy.committer.drain() == 1
    monkeypatch.undo()
    assert [end(convoy, id)[0] for id in ids] == ["committed", "waiting"]
    assert convoy.committer.drain() == 1
    assert [end(convoy, id)[0] for id in ids] == ["committed", "committed"]


def _away(*_: object, **__: object) -> None:
    raise OSError("away")


def test_what_is_to_be_a_pull_request_by_then(opened: Opened) -> None:
    """The settings that count are those of the moment at which it would be pushed."""
    ids: list[str] = []
    convoy = opened(Meanwhile(lambda: ids.append(patched(convoy, "Cluster/a", 3))))
    patched(convoy, "Cluster/a", 2)
    convoy.committer.drain()
    convoy.committer._opens = lambda: "always"
    convoy.committer.drain()
    assert [one.id for one in convoy.store.proposals.waiting(10, mode="pull-request")] == ids
    assert len(convoy.log()) == 2


def test_who_asks_beside_writers_without_a_break_is_answered(opened: Opened, sockets: Path) -> None:
    """While one batch always follows another, a draft is made between two of them, and not when nobody writes any more."""
    enough, pushes = threading.Event(), 0

    class Endless(Meanwhile):
        def thread(self, run: Callable[[], None], name: str) -> Thread:
            if not enough.is_set():
                self.comes.append(lambda: patched(convoy, "Cluster/a", len(self.points)))
            return super().thread(run, name)

    seams = Endless()
    convoy = opened(seams)

    def counts() -> None:
        nonlocal pushes
        pushes += 1

    seams.pushing = counts
    one = convoy.store.proposals.get(patched(convoy, "Cluster/a"))
    assert one is not None
    with closing(convoy.committer.start(sockets)):
        until(lambda: pushes >= 3)
        drafted: list[Drafted] = []
        asking = threading.Thread(target=lambda: drafted.append(convoy.committer.draft(one)), daemon=True)
        asking.start()
        until(lambda: drafted)
        asking.join()
        enough.set()
        assert drafted[0].answer["changes"][0]["ref"] == "Cluster/a"
        until(lambda: not convoy.store.proposals.waiting_ids())
