"""`convoy rollback`: one resource's document put back to what it was, as a commit."""

import dataclasses
import re
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconciler.commands import sources
from reconciler.commands.look import Rows, kind_of, names
from reconciler.commands.options import FAILED, Call, Command, Failure, common, quiet
from reconciler.commands.shown import background, show_problems, told_before

if TYPE_CHECKING:
    from reconciler.control import Control
    from reconciler.core.model import Plan, Problem, Ref
    from reconciler.core.show_rollback import Rollback as Shown
    from reconciler.git import Branch, Person, Words
    from reconciler.preview import Preview
    from reconciler.rollback import At, Rollback
    from reconciler.rollback_layers import Back
    from reconciler.store import Store

# How often a commit is made anew because the branch has moved under it: a busy branch moves every few seconds.
MOST_TRIES = 10
# Shorter than any name of a commit.
NUMBER = re.compile(r"\d{1,3}|#\d{1,9}")
MOST_CHANGES = 1_000


@click.command(
    cls=Command,
    examples=[
        ("convoy rollback Configuration/edge", "to what it was before its last change"),
        ('convoy rollback app/web --reason "503s since noon"', "and say why, in the commit and to whoever brings it back"),
        ("convoy rollback Configuration/edge --to 1a2b3c4 --dry-run", "what that would do, and nothing done"),
        ("convoy rollback Application/web --to 3", "to what change 3 in `convoy history Application/web` made it"),
        ("convoy rollback Configuration/edge --propose back-to-blue", "as a branch of its own, for a pull request"),
        ("convoy rollback Proxy/edge-1 --source . --branch live", "in another repository than the one that is followed here"),
    ],
    exits=[
        (0, "the commit is on the branch; with --dry-run: it could be"),
        (1, "there is nothing to go back to, it would add problems, or the branch does not take it"),
    ],
)
@click.argument("what", metavar="KIND/NAME", shell_complete=names)
@click.option(
    "--to",
    metavar="REVISION|N",
    default="",
    help="The commit in which it was right, or the number that `convoy history` gives what it was.  [before its last change]",
)
@click.option("--reason", default="", metavar="TEXT", help="Why; the commit says so.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--author", metavar="'NAME <MAIL>'", help="Who makes the commit.  [by your Git settings]")
@click.option("--sign", is_flag=True, help="Sign it by your Git settings, as is done anyway where commits must be signed.")
@click.option("--propose", metavar="BRANCH", default="", help="Push it as this new branch instead.")
@click.option("--source", metavar="URL", help="The repository.  [what this state directory follows]")
@click.option("--branch", help="The branch of --source.  [main]")
@click.option("--subdirectory", default="", metavar="PATH", help="The fleet's directory in the repository of --source.")
@sources.signed
@common()
def rollback(
    call: Call,
    what: str,
    to: str,
    reason: str,
    dry_run: bool,
    yes: bool,
    author: str | None,
    sign: bool,
    propose: str,
    source: str | None,
    branch: str | None,
    subdirectory: str,
) -> None:
    """Put one resource's document back to what it was, by a commit.

    Only that document's lines change. What it is now is held: a later commit that brings that content back is refused until
    one says `Convoy-Release: KIND/NAME`. The plan is shown first.
    """
    place = _place(call, source, branch, subdirectory)
    from reconciler.control import open_control
    from reconciler.core import show
    from reconciler.git import Branch, Past, Words
    from reconciler.rollback import At, Rollback, message
    from reconciler.seams import Seams

    seams = Seams()
    at = At(place.source(call.state, seams))
    directory = place.directory(call.state)
    branches = [Branch(place.url, name, directory, seams) for name in (place.branch, propose or place.branch)]
    past = Past(place.url, place.branch, directory, seams, subdirectory=place.subdirectory)
    with ExitStack() as stack:
        for close in (at.close, past.close, *(one.close for one in branches)):
            stack.callback(close)
        control = stack.enter_context(open_control(call.state, store=call.store, source=at, seams=seams, log=quiet()))
        ref = _meant(what, control.store.status())
        if not propose:
            branches[0].writable()
        held = (order.subject for order in control.store.orders() if order.verb == "hold")
        back = (finder := Rollback(at.source, past, ref, held, seams.now())).find(_commit(control.store, ref, to))
        by, committer = _who(author, place.url)
        words = Words(message(back, reason), by, committer, sign or bool(place.signers))
        if not call.json:
            call.terminal.page(show.rollback(_shown(back, place.branch)))
        turn = _Turn(call, control, at, finder, branches[0], words)
        revision = turn.make(back)
        planned = turn.planned(back, revision)
        answer = _answer(back, place, planned)
        if not dry_run:
            _ask(call, yes, f"branch {propose or place.branch} of {place.shown}")
            revision = turn.push(back, revision, branches[1], new=bool(propose))
    if dry_run:
        call.page((), answer)
    else:
        call.page(show.rolled_back(revision, propose or place.branch, bool(propose)), {**answer, "revision": revision})


class _Turn:
    """One rollback on its way: made, checked, and made anew on a branch that has moved."""

    def __init__(self, call: Call, control: "Control", at: "At", finder: "Rollback", branch: "Branch", words: "Words") -> None:
        self._call, self._control, self._at = call, control, at
        self._finder, self._branch, self._words = finder, branch, words

    def make(self, back: "Back") -> str:
        return self._branch.make({back.path: back.text}, back.tip, self._words)

    def planned(self, back: "Back", revision: str, *, quietly: bool = False) -> "Plan | None":
        """What the commit would do, shown; None where Problems that were there before stand in its way.

        Ends the command where the commit would bring Problems of its own.
        """
        from reconciler.core import show

        preview = self._preview(revision)
        if preview.plan is not None and not preview.problems:
            if not self._call.json and not quietly:
                self._call.terminal.page(
                    (*show.plan(preview.plan, told_before(self._control, preview.plan), background(preview)), show.BLANK)
                )
            return preview.plan
        known = {_key(problem) for problem in self._preview(back.tip).problems}
        new = tuple(problem for problem in preview.problems if _key(problem) not in known)
        if new:
            show_problems(self._call, revision, new, self._at)
            raise click.exceptions.Exit(FAILED)
        stay = show.count(len(preview.problems), "problem")
        self._call.terminal.note(
            f"{stay} that the branch has already will keep it from coming into force: mend them too", "wait"
        )
        return None

    def _preview(self, revision: str) -> "Preview":
        self._at.revision = revision
        preview = self._control.preview()
        if preview.unreadable:
            raise Failure(preview.unreadable)
        return preview

    def push(self, back: "Back", revision: str, onto: "Branch", *, new: bool) -> str:
        """The commit on the branch, or on a new one; made anew where the branch has moved and the document has not."""
        from reconciler.git import Conflict

        for _ in range(MOST_TRIES):
            try:
                onto.push(revision, "" if new else back.tip)
                return revision
            except Conflict as conflict:
                if new:
                    raise
                self._call.terminal.note(f"{conflict}: once more, on that", "wait")
            back = self._finder.again(back)
            revision = self.make(back)
            self.planned(back, revision, quietly=True)
        raise Failure(f"the branch has moved {MOST_TRIES} times meanwhile, and nothing was done: try again")


def _key(problem: "Problem") -> tuple[object, ...]:
    """The same Problem, whatever lines moved."""
    return (problem.where.file, problem.what, problem.ref)


def _place(call: Call, source: str | None, branch: str | None, subdirectory: str) -> sources.Place:
    if source is not None:
        return sources.place(None, source, branch or "main", subdirectory)
    if branch or subdirectory:
        raise click.UsageError("--branch and --subdirectory belong to --source")
    place = sources.remembered(call.state)
    if place is None:
        raise Failure(f"no Convoy has worked in {call.state} yet: name the repository with --source")
    if not place.branch:
        raise Failure(f"{place.shown} is followed as a folder, which has no past: name a repository with --source")
    if "***@" in place.url:
        raise Failure(f"the name or password that {place.shown} was followed with is not kept: give it again with --source")
    return dataclasses.replace(place, signers=call.signers or place.signers)


def _meant(what: str, rows: Rows) -> "Ref":
    """The resource a person means, whether it is still declared or not."""
    from reconciler.core.model import Ref

    kind, _, name = what.partition("/")
    try:
        ref = Ref.parse(f"{kind_of(kind, {})}/{name}")
    except ValueError:
        raise click.UsageError(f"{what!r} names no resource: write KIND/NAME, as `convoy get` shows it") from None
    row = rows.get(str(ref), {})
    if row.get("where") and not row.get("declared", True):
        raise Failure(f"{ref} has no document of its own: it follows from what is declared at {row['where']}")
    return Ref.parse(str(ref))


def _commit(store: "Store", ref: "Ref", to: str) -> str:
    """The commit that a person names, by its name or by a number of the history."""
    if not NUMBER.fullmatch(to):
        return to
    number = int(to.lstrip("#"))
    changes = store.history(str(ref), most=MOST_CHANGES, documents=False)
    for one in changes:
        if one.n == number and one.change == "deleted":
            raise Failure(f"change {number} of {ref} deleted it: name what it was before by its own number")
        if one.n == number:
            return one.revision
    known = f"{changes[-1].n} to {changes[0].n}" if changes else "none"
    raise Failure(f"change {number} of {ref} is not known: `convoy history {ref}` lists them ({known})")


def _who(author: str | None, url: str) -> "tuple[Person, Person]":
    """The commit's author and committer."""
    from reconciler.git import Person, person
    from reconciler.git.command import local_path
    from reconciler.git.person import repository_of

    if author is not None:
        return Person.parse(author), Person.parse(author)
    settings = repository_of(Path.cwd()) or repository_of(local_path(url) or Path("/"))
    return person("AUTHOR", settings), person("COMMITTER", settings)


def _shown(back: "Back", branch: str) -> "Shown":
    from reconciler.core.show_rollback import Commit, Rollback

    was, since = (Commit(one.revision, one.subject, one.author) for one in (back.was, back.since))
    return Rollback(str(back.ref), back.path, branch, was, since, bool(back.hold), back.before, back.text)


def _answer(back: "Back", place: sources.Place, planned: "Plan | None") -> dict[str, Any]:
    from reconciler.core import show

    return {
        "ref": str(back.ref),
        "file": back.path,
        "branch": place.branch,
        "tip": back.tip,
        "to": back.was.revision,
        "from": back.since.revision,
        "hold": back.hold or None,
        "revision": None,
        "plan": show.plan_json(planned) if planned is not None else None,
    }


def _ask(call: Call, yes: bool, where: str) -> None:
    """Only a person can be asked."""
    if not yes and not call.json and sys.stdin.isatty() and call.terminal.live:
        click.confirm(f"Commit this to {where}?", abort=True, err=True)
