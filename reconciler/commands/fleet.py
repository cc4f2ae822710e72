"""`convoy init`: a fleet repository to start from."""

import shutil
from pathlib import Path

import click

from reconciler.commands.options import Call, Command, Failure, common

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
