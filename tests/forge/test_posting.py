"""One comment of ours on a pull request, on each forge, whatever the forge and others do meanwhile."""

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from reconciler.core.show_comment import Mark, comment, read_mark
from reconciler.forge import Forge, ForgeError, Refused
from reconciler.forge.posting import mark_outdated, post
from tests.forge.conftest import BLIND, BOT, EVIL, FORK, TOKEN
from tests.forge.stand_in import Account, Reply, Request, StandIn

Client = Callable[..., Forge]
FIRST, SECOND = Mark("fleet", "a" * 40, (1, 1)), Mark("fleet", "b" * 40, (2, 1))


def body(mark: Mark, text: str = "**1 to create**") -> str:
    return comment(text, mark, 65_536)


def test_the_same_comment_is_edited_by_every_run(forge: StandIn, client: Client, kind: str) -> None:
    """The first run writes it, later ones edit it, and one with nothing new to say leaves it."""
    assert post(client(), 7, FIRST, body(FIRST)).done == "created"
    assert post(client(), 7, SECOND, body(SECOND, "**2 to create**")).done == "updated"
    assert post(client(), 7, SECOND, body(SECOND, "**2 to create**")).done == "unchanged"

    (said,) = forge.of(BOT[kind])
    assert "**2 to create**" in said
    assert read_mark(said) == SECOND


def test_comments_of_others_are_never_touched(forge: StandIn, client: Client, kind: str) -> None:
    """A mark proves nothing: what another account has written with ours in it is not ours, whatever the token may edit."""
    forged = forge.say(forge.accounts[EVIL], body(FIRST, "all is well"))
    ours = forge.say(forge.accounts[TOKEN], "see `<!-- convoy:fleet revision=a run=9 -->`\n" + body(SECOND))
    other = forge.say(forge.accounts[TOKEN], body(replace(FIRST, name="staging")))
    before = [forged.body, ours.body, other.body]

    assert post(client(), 7, FIRST, body(FIRST)).done == "created"
    assert [forged.body, ours.body, other.body] == before
    assert len(forge.remarks) == 4


def test_our_comment_is_found_behind_hundreds_of_others(forge: StandIn, client: Client) -> None:
    """Lists come in pages."""
    for number in range(120):
        forge.say(forge.accounts[EVIL], f"me too {number}", system=number % 2 == 0)
    post(client(), 7, FIRST, body(FIRST))
    for number in range(230):
        forge.say(forge.accounts[EVIL], f"and me {number}")

    assert post(client(), 7, SECOND, body(SECOND)).done == "updated"
    assert len(forge.of(next(iter(forge.accounts.values())).login)) == 1


def test_jobs_at_the_same_time_leave_one_comment(forge: StandIn, client: Client, kind: str) -> None:
    """Each of them finds none, writes one, and looks again: the oldest stays, with the words of the newest run."""
    together = threading.Barrier(5, timeout=120)

    class Late:
        """Everybody has looked before anybody writes."""

        def __init__(self, inner: Forge) -> None:
            self.inner, self.looked = inner, False

        def __getattr__(self, name: str) -> object:
            return getattr(self.inner, name)

        def create(self, number: int, text: str) -> object:
            together.wait()
            return self.inner.create(number, text)

    marks = [Mark("fleet", f"{run:040x}", (run, 1)) for run in range(1, 6)]
    jobs = [threading.Thread(target=post, args=(Late(client()), 7, mark, body(mark))) for mark in marks]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(120)

    assert not any(job.is_alive() for job in jobs)
    assert len(forge.of(BOT[kind])) == 1
    # Whoever was overtaken between two requests is put right by the next run of all.
    last = Mark("fleet", "f" * 40, (9, 1))
    assert post(client(), 7, last, body(last)).done == "updated"
    assert [read_mark(said) for said in forge.of(BOT[kind])] == [last]


def test_an_older_run_does_not_write_over_a_newer_one(forge: StandIn, client: Client, kind: str) -> None:
    """A job that was slow finds the plan of a later commit, and leaves it."""
    post(client(), 7, SECOND, body(SECOND))

    assert post(client(), 7, FIRST, body(FIRST)).done == "newer"
    assert mark_outdated(client(), 7, FIRST, 65_536).done == "newer"
    assert [read_mark(said) for said in forge.of(BOT[kind])] == [SECOND]


def test_a_comment_deleted_meanwhile_is_written_anew(forge: StandIn, client: Client, kind: str) -> None:
    """Somebody takes it away between finding and editing it."""
    post(client(), 7, FIRST, body(FIRST))

    def lose(request: Request) -> Reply | None:
        if request.method not in ("PATCH", "PUT"):
            return None
        forge.remarks.clear()
        return Reply(404, {"message": "Not Found"})

    forge.vices.append(lose)

    assert post(client(), 7, SECOND, body(SECOND)).done == "created"
    assert [read_mark(said) for said in forge.of(BOT[kind])] == [SECOND]


def test_what_stands_there_is_marked_when_a_newer_commit_comes(forge: StandIn, client: Client, kind: str) -> None:
    """It says so on top, once, and the new plan takes its place."""
    assert mark_outdated(client(), 7, SECOND, 65_536).done == "none"
    assert forge.remarks == []
    post(client(), 7, FIRST, body(FIRST))

    assert mark_outdated(client(), 7, SECOND, 65_536).done == "updated"
    (said,) = forge.of(BOT[kind])
    assert said.split("\n")[1] == f"> **Out of date.** `{'b' * 12}` has come since; this is for `{'a' * 12}`."
    assert "**1 to create**" in said
    assert mark_outdated(client(), 7, SECOND, 65_536).done == "unchanged"
    third = replace(SECOND, revision="c" * 40, run=(3, 1))
    assert mark_outdated(client(), 7, third, 65_536).done == "updated"
    assert forge.of(BOT[kind])[0].count("Out of date") == 1

    assert post(client(), 7, third, body(third)).done == "updated"
    assert "Out of date" not in forge.of(BOT[kind])[0]


def test_who_we_are_is_learnt_from_what_we_write(forge: StandIn, client: Client, kind: str) -> None:
    """A token that may not ask who it is writes, sees as whom, and keeps the older of its comments."""
    forge.accounts[TOKEN] = Account(BOT[kind], 41898282, asks=False)
    forge.say(forge.accounts[EVIL], body(FIRST))

    assert post(client(), 7, FIRST, body(FIRST)).done == "created"
    assert post(client(), 7, SECOND, body(SECOND)).done == "updated"
    assert [read_mark(said) for said in forge.of(BOT[kind])] == [SECOND]
    assert post(client(), 7, SECOND, body(SECOND, "more"), author=BOT[kind]).done == "updated"
    assert len(forge.of(BOT[kind])) == 1


def test_a_token_that_may_not(forge: StandIn, client: Client) -> None:
    """A fork's may read and not write; a stranger's sees no such repository; nobody's is not known."""
    with pytest.raises(Refused):
        post(client(FORK), 7, FIRST, body(FIRST))
    with pytest.raises(ForgeError, match="no such thing, or none that this token may see"):
        post(client(BLIND), 7, FIRST, body(FIRST))
    with pytest.raises(ForgeError, match="does not know this token"):
        post(client("wrong"), 7, FIRST, body(FIRST))
    assert forge.remarks == []
