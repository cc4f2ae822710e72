"""`convoy plan --against`: the plan that a running Convoy makes from what it sees, so that whoever asks needs no key."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from reconciler.commands import sources
from reconciler.commands.options import FAILED, Call, Failure

if TYPE_CHECKING:
    from reconciler.core.against import Answer, Question
    from reconciler.git import Source
    from reconciler.seams import Seams

F = TypeVar("F", bound=Callable[..., Any])

# How the command shows what is wrong with a revision: call, revision, problems, source.
Problems = Callable[[Call, str, tuple[Any, ...], Any], None]

CHANGES = 2
LONGEST_TOKEN_FILE = 4096
PLAN = "/convoy/v1/plan"
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def elsewhere(function: F) -> F:
    """`--against` and what belongs to it."""
    for option in (
        click.option("--plaintext", is_flag=True, help="With --against: send the token over http, the network being your own."),
        click.option("--ca-file", type=FILE, metavar="FILE", help="With --against: whose certificates to believe (PEM)."),
        click.option(
            "--token-file", type=FILE, metavar="FILE", help="With --against: where the token is, if not in $CONVOY_TOKEN."
        ),
        click.option(
            "--message-file",
            type=click.File("rb"),
            metavar="FILE",
            help="With --against: what the commit will say, for its trailers; - for standard input.",
        ),
        click.option("--against", metavar="URL", help="Ask the Convoy that runs there, from what it sees."),
    ):
        function = option(function)
    return function


def plan_against(
    call: Call, place: sources.Place, url: str, exit_code: bool, options: dict[str, Any], show_problems: Problems
) -> None:
    """Ask, and show the answer exactly as a plan that was made here."""
    from reconciler.core import show
    from reconciler.core.against import AnswerError, question_json, read_answer
    from reconciler.remote import Remote, post
    from reconciler.seams import Seams

    seams = Seams()
    remote = Remote(url.rstrip("/"), _token(call, options["token_file"]), options["ca_file"], options["plaintext"])
    # A folder needs no state directory, and CI jobs have none.
    wishes = place.source(call.state if place.branch else Path(), seams)
    try:
        asked = _question(call, wishes, options["message_file"], options["limit"], seams)
        try:
            answer = read_answer(post(remote, PLAN, question_json(asked), seams), asked.form)
        except AnswerError as error:
            raise Failure(f"{remote.url}: {error}: see whether the URL is right, and that both are of one version") from None
        if answer.problems:
            show_problems(call, asked.revision, answer.problems, wishes)
            raise click.exceptions.Exit(FAILED)
        _show(call, answer, remote.url)
    finally:
        wishes.close()
    for problem in answer.closed[:5]:
        call.terminal.note(show.plain((show.text(str(problem)),)).rstrip(), "wait")
    if exit_code and answer.changes:
        raise click.exceptions.Exit(CHANGES)


def _token(call: Call, file: Path | None) -> str:
    if file is None:
        return call.token
    try:
        with file.open("rb") as stream:
            return stream.read(LONGEST_TOKEN_FILE).decode("ascii", "replace").strip()
    except OSError as error:
        raise Failure(f"cannot read the token in {file}: {error.strerror or error}") from None


def _question(call: Call, wishes: "Source", message_file: Any, limit: int, seams: "Seams") -> "Question":
    """Every file of the revision, and what its commit says."""
    from reconciler.core.against import LARGEST_QUESTION, LONGEST_MESSAGE, MOST_FILES, Question

    revision = wishes.fetch()
    signature = wishes.signature(revision, seams.now(), "")
    if signature.problem is not None:
        return Question({}, revision=revision, problems=(signature.problem,), form=call.output)  # type: ignore[arg-type]  # a choice
    tree, said = wishes.tree(revision), wishes.info(revision)
    if len(tree.files) > MOST_FILES:
        raise Failure(f"the fleet has more than {MOST_FILES} files, and a running Convoy is not asked about as many: split it")
    blobs = wishes.read(set(tree.files.values()))
    if sum(map(len, blobs.values())) > LARGEST_QUESTION:
        raise Failure(f"the fleet's documents are more than {LARGEST_QUESTION} bytes together, too much to ask about: split it")
    message, author = (said.message, said.author) if said.parents or said.author else ("", "")
    if message_file is not None:
        message = message_file.read(4 * LONGEST_MESSAGE).decode("utf-8", "replace")
    return Question(
        {path: blobs[blob] for path, blob in tree.files.items()},
        tree.root,
        revision,
        # A message that is cut would have other trailers; one that is longer has none that count.
        message if len(message) <= LONGEST_MESSAGE else "",
        author[:200],
        tree.problems,
        call.output,  # type: ignore[arg-type]  # the words of a choice
        limit,
    )


def _show(call: Call, answer: "Answer", url: str) -> None:
    from reconciler.core import show

    if call.json:
        call.terminal.json(show.against_json(answer, url))
    elif call.output == "markdown":
        call.terminal.raw(show.against_markdown(answer, url))
    else:
        call.terminal.page(show.against(answer, url))
