"""`convoy render`: an environment's documents as they are after bases, variables and patches."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.commands import sources
from reconciler.commands.options import FAILED, Call, Command, Failure, common, only
from reconciler.commands.shown import show_problems

if TYPE_CHECKING:
    from reconciler.core.select import Selector


@click.command(
    cls=Command,
    examples=[
        ("convoy render environments/production", "all of it, as YAML"),
        ("convoy render environments/production --only Application/web --explain", "and which file says what"),
        ("convoy render --source . --branch next --subdirectory environments/staging", "as it is committed on a branch"),
        ("convoy render environments/staging -o json | jq -r '.documents[].ref'", "for other programs"),
    ],
    exits=[(0, "it is printed"), (1, "something cannot be read, filled in or patched: all of that is shown")],
)
@click.option("--explain", is_flag=True, help="Say above each document which files it comes from.")
@only("Only the documents that this selects: KIND[/NAME], label=value; a comma means and.")
@sources.from_anywhere
@common()
def render(
    call: Call, path: Path | None, source: str | None, branch: str, subdirectory: str, explain: bool, only: "Selector"
) -> None:
    """Print an environment's documents as Convoy reads them: with those of its bases, variables filled in, patches applied.

    PATH is the environment's directory, this one where left out. Sealed secrets stay sealed. Whether what comes out is sound is
    not asked: `convoy validate` does.
    """
    place = sources.place(path, source, branch, subdirectory)
    from reconciler.core import show_render
    from reconciler.core.validate import ordered_problems
    from reconciler.git import SourceError
    from reconciler.load import Loader, misplaced
    from reconciler.seams import Seams

    seams = Seams()
    wishes = place.source(call.state if place.branch else Path(), seams)
    try:
        revision = wishes.fetch()
        problem = wishes.signature(revision, seams.now(), "").problem
        if problem is not None:
            raise SourceError(f"{problem.where}: {problem.what}; {problem.hint}")
        tree = wishes.tree(revision)
        written = Loader(None, seams).render(tree, wishes.read)
        problems = written.problems or ([] if tree.layers else misplaced(written.documents))
        if problems:
            show_problems(call, revision, ordered_problems(problems), wishes)
            raise click.exceptions.Exit(FAILED)
    finally:
        wishes.close()
    documents = show_render.ordered(written.documents, tree.roots)
    unknown = only.unknown({ref for ref, _ in documents})
    if unknown:
        raise Failure(f"{unknown}; `convoy render` without --only shows all there is")
    documents = [(ref, one) for ref, one in documents if only.covers(ref, show_render.labels_of(one))]
    if call.json:
        call.terminal.json({"revision": revision, "documents": show_render.rendered_json(documents)})
        return
    if documents:
        call.terminal.raw(show_render.rendered_yaml(documents, explain=explain))
    else:
        call.terminal.note(f"no documents in {place.shown}" + (f" are {only}" if only else ""), "wait")
