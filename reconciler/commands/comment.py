"""`convoy comment`: one comment on a pull request, kept up to date."""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconciler.commands.options import Call, Command, Failure, common

if TYPE_CHECKING:
    from reconciler.core.show import Style
    from reconciler.core.show_comment import Mark
    from reconciler.forge.ci import Job
    from reconciler.forge.posting import Posted

# GitHub shows a summary of at most 1 MiB a step.
MOST_SUMMARY_BYTES = 1_000_000
# Some times what any forge takes: the rest is cut anyway.
MOST_READ = 16 << 20
# Never an option: command lines are read by others.
VARIABLE = "CONVOY_FORGE_TOKEN"


@click.command(
    cls=Command,
    examples=[
        ("convoy comment --revision 4f1c2ab plan.md", "in a job of CI, which tells all the rest"),
        ("convoy comment --outdated --revision 4f1c2ab", "first thing in a job: what stands there is for another commit"),
        (
            "convoy comment --forge gitea --api https://git.example/api/v1 --repository us/fleet --number 7 --revision 4f1c -",
            "from anywhere, what is on standard input; the token is in $CONVOY_FORGE_TOKEN",
        ),
    ],
    exits=[
        (0, "the comment is there; or, where the token may not write it, the text is in the job's summary or log"),
        (1, "the forge could not be asked, or did not take it"),
    ],
)
@click.argument("file", required=False, type=click.Path(path_type=Path, allow_dash=True))
@click.option("--outdated", is_flag=True, help="Only say in the comment, if there is one, that --revision has come since.")
@click.option("--forge", type=click.Choice(["github", "gitlab", "gitea"]), help="Which API; gitea is also Forgejo.")
@click.option("--api", metavar="URL", help="The root of its API, like https://git.example/api/v1.")
@click.option("--repository", metavar="NAME", help="OWNER/NAME; on GitLab also the project's number.")
@click.option("--number", type=click.IntRange(1), help="The pull request's, or merge request's, number.")
@click.option("--revision", metavar="COMMIT", help="The commit that the text is for.")
@click.option("--name", default="fleet", show_default=True, help="Tells several comments of one pull request apart.")
@click.option("--author", default="", metavar="LOGIN", help="As whom the token writes, where the forge does not tell.")
@click.option(
    "--plaintext", is_flag=True, envvar="CONVOY_PLAINTEXT", help="Speak to a forge without TLS; also $CONVOY_PLAINTEXT."
)
@common()
def comment(call: Call, file: Path | None, outdated: bool, name: str, author: str, plaintext: bool, **named: Any) -> None:
    """Keep one comment on a pull request up to date.

    The Markdown is read from FILE, or from standard input. Our own earlier comment is found and edited; where there is none, it
    is written. In a job of GitHub Actions, GitLab CI, Gitea or Forgejo Actions nothing needs to be named but the commit; what
    is named wins. Text that is too long is cut between lines, with a link to the whole of it.

    The token is read from $CONVOY_FORGE_TOKEN, else from the forge's own variable ($GITHUB_TOKEN, $GITLAB_TOKEN, $GITEA_TOKEN).
    """
    from reconciler.core import show_comment
    from reconciler.forge import FORGES, ForgeError, Gone, Refused, Wire
    from reconciler.forge.posting import mark_outdated, post
    from reconciler.forge.wire import checked_token
    from reconciler.seams import Seams

    here, forge = _here(named)
    mark = _mark(name, here.revision, here.run)
    text = "" if outdated else _read(file)
    kind = FORGES[forge]
    token = checked_token(os.environ.get(VARIABLE) or here.token)
    if not token:
        _elsewhere(call, here, mark, text, outdated, f"no token is here that may: put one into ${VARIABLE}")
        return
    wire = Wire(here.api, token, kind.headers(token), Seams(), plain=plaintext)
    client = kind.client(wire, here.repository)
    body = show_comment.comment(text, mark, kind.limit, more=here.url)
    try:
        if outdated:
            posted = mark_outdated(client, here.number, mark, kind.limit, author=author)
        else:
            posted = post(client, here.number, mark, body, author=author)
    except (Refused, Gone) as error:
        _elsewhere(call, here, mark, text, outdated, str(error))
        return
    except ForgeError as error:
        if not outdated:
            _keep(here, mark, text, "The comment could not be written.")
        raise Failure(str(error)) from error
    if show_comment.CUT in body and not outdated and posted.done != "newer":
        _show(call, here, mark, text, "The comment has only the beginning of it.")
    _tell(call, posted, here.number)


def _here(named: dict[str, Any]) -> tuple["Job", str]:
    """What the environment of a job of CI says, and what options say instead."""
    from reconciler.forge.ci import Job, job

    found = job(os.environ)
    said = {name: value for name, value in named.items() if value}
    if found.forge is None and "forge" not in said:
        raise Failure("this is no job of a CI that Convoy knows: name --forge, --api, --repository, --number and --revision")
    # Another forge than the one this runs on: nothing that the environment says is about it.
    here = replace(found if said.get("forge", found.forge) == found.forge else Job(), **said)
    hints = {"api": "", "repository": "", "number": " (is this run for a pull request?)", "revision": ""}
    missing = [f"--{name}{hint}" for name, hint in hints.items() if not getattr(here, name)]
    if missing:
        raise Failure(f"the environment does not say what has to be known: name {', '.join(missing)}")
    return here, str(here.forge)


def _mark(name: str, revision: str, run: tuple[int, ...]) -> "Mark":
    from reconciler.core.show_comment import NAME, REVISION, Mark

    if not NAME.fullmatch(name):
        raise click.UsageError("--name is made of small letters, digits, dots and hyphens")
    if not REVISION.fullmatch(revision):
        raise click.UsageError("--revision is a commit's name, like 4f1c2ab")
    return Mark(name, revision, run)


def _read(file: Path | None) -> str:
    try:
        if file is None or str(file) == "-":
            return sys.stdin.buffer.read(MOST_READ).decode(errors="replace")
        with file.open("rb") as opened:
            return opened.read(MOST_READ).decode(errors="replace")
    except OSError as error:
        raise Failure(f"cannot read {file}: {error.strerror or error}") from error


def _elsewhere(call: Call, here: "Job", mark: "Mark", text: str, outdated: bool, why: str) -> None:
    """A fork's run may read and not write: what it found is shown where the run itself is shown."""
    where = "nowhere" if outdated else _show(call, here, mark, text, "This run may not write on the pull request.")
    if call.json:
        call.terminal.json({"done": where, "comment": None, "url": "", "why": why})
        return
    call.terminal.note(f"no comment was written: {why}", "wait")
    if where == "summary":
        call.terminal.note("the text is in the job's summary")


def _show(call: Call, here: "Job", mark: "Mark", text: str, why: str) -> str:
    """On the run's own page, else in its log."""
    if _keep(here, mark, text, why):
        return "summary"
    from reconciler.core.show_comment import logged

    for line in () if call.json else logged(text):
        call.terminal.raw(line)
    return "log"


def _keep(here: "Job", mark: "Mark", text: str, why: str) -> bool:
    """Put the whole text where the run's own page shows it; False where it has no such page."""
    if not here.summary:
        return False
    from reconciler.core.show_comment import summary

    try:
        with Path(here.summary).open("a") as opened:
            opened.write(summary(text, mark, MOST_SUMMARY_BYTES, why=why))
    except OSError:
        return False
    return True


def _tell(call: Call, posted: "Posted", number: int) -> None:
    from reconciler.core import show

    said: dict[str, tuple[str, Style]] = {
        "created": ("a comment was written", "good"),
        "updated": ("the comment was updated", "good"),
        "unchanged": ("the comment says so already", "good"),
        "newer": ("a newer run has written the comment: it was left as it is", "wait"),
        "none": ("there is no comment of ours yet", "dim"),
    }
    words, style = said[posted.done]
    address = posted.comment.url if posted.comment is not None else ""
    answer = {"done": posted.done, "comment": posted.comment.id if posted.comment else None, "url": address}
    call.page((show.text(show.Span(words, style), f" on {number}", f": {address}" if address else ""),), answer)
