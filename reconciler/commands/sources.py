"""Where a command gets the wishes from: a folder as it is, or a branch of a repository."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from reconciler.commands.options import Failure, call

if TYPE_CHECKING:
    from reconciler.core.model import Problem
    from reconciler.desk import Desk
    from reconciler.git import Source, Tree
    from reconciler.seams import Seams

F = TypeVar("F", bound=Callable[..., Any])

# In the state directory: what is followed from it.
REMEMBERED = "source.json"
SIGNERS = {"--signers": "ssh", "--revoked-signers": "revoked", "--gpg-keyring": "gpg"}

# A file's text is shown around at most this many Problems' files; each is read again for it.
MOST_FILES = 50


@dataclass(frozen=True)
class Place:
    """A folder (`branch` empty) or a branch of a repository, as a person named it; `url` may hold a password."""

    url: str
    branch: str = ""
    subdirectory: str = ""
    # Whose commits count; by the names of reconciler.git.Files.
    signers: Mapping[str, Path] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        from reconciler.git.command import redacted

        place = redacted(self.url) + (f" branch {self.branch}" if self.branch else "")
        return place + (f" in {self.subdirectory}" if self.subdirectory else "")

    @property
    def followed(self) -> tuple[str, str]:
        """URL and branch as others may know them, without a password; nothing for a folder."""
        from reconciler.git.command import redacted

        return (redacted(self.url), self.branch) if self.branch else ("", "")

    def source(self, state: Path, seams: "Seams", poll_s: float | None = None) -> "Source":
        """Touches nothing yet; raises SourceError where the words cannot be right."""
        from reconciler.git import Directory, Files, Mirror

        if not self.branch:
            return Directory(Path(self.url), seams, **({} if poll_s is None else {"poll_s": poll_s}))
        return Mirror(
            self.url,
            self.branch,
            self.directory(state),
            seams,
            subdirectory=self.subdirectory,
            poll_s=poll_s,
            signers=Files(**self.signers),
        )

    def desk(self, state: Path | None, seams: "Seams") -> "Desk | None":
        """Where what is proposed over the API is committed; None for a folder."""
        from reconciler.desk import Desk
        from reconciler.git import Branch

        if not self.branch:
            return None
        directory = self.directory(_needed(state))

        def named(name: str) -> Branch:
            return Branch(self.url, name, directory, seams)

        return Desk(self.source(_needed(state), seams), named(self.branch), bool(self.signers), named)

    def source_at(self, state: Path | None, seams: "Seams", name: str) -> "Source":
        """One commit of it, as a person names it; raises SourceError where there is none of that name.

        A repository on this machine is read where it is: a branch's own mirror knows no other branches, and no tags. Where
        somebody has to sign, only what the branch has gone through is anybody's word.
        """
        from reconciler.git import Commits
        from reconciler.git.command import local_path

        if not self.branch:
            return Commits.around(Path(self.url), seams).at(name)
        if local_path(self.url) is not None and not self.signers:
            return Commits(self._repository(), self.subdirectory, seams).at(name)
        return self._gone_through(state, seams, name)

    def newest(self, state: Path | None, seams: "Seams") -> "Source":
        """The newest of it, without a state directory where none is needed; raises SourceError."""
        from reconciler.git import Commits
        from reconciler.git.command import local_path

        if self.branch and local_path(self.url) is not None and not self.signers:
            return Commits(self._repository(), self.subdirectory, seams).at(f"refs/heads/{self.branch}")
        return self._gone_through(state, seams, "HEAD") if self.branch else self.source(Path(), seams)

    def _repository(self) -> str:
        from reconciler.git.command import local_path
        from reconciler.git.person import repository_of

        path = local_path(self.url)
        found = repository_of(path) if path is not None else None
        return str(found or self.url)

    def _gone_through(self, state: Path | None, seams: "Seams", name: str) -> "Source":
        from reconciler.git import Past, SourceError
        from reconciler.rollback import At

        directory = self.directory(_needed(state))
        source = self.source(_needed(state), seams)
        try:
            tip = source.fetch()
            past = Past(self.url, self.branch, directory, seams, subdirectory=self.subdirectory)
            try:
                revision = past.named(tip, name)[0].revision
            finally:
                past.close()
            problem = source.signature(tip, seams.now(), "").problem or source.signature(revision, seams.now(), "").problem
            if problem is not None:
                raise SourceError(f"revision {revision[:12]} is not read: {problem.what}; {problem.hint}")
        except BaseException:
            source.close()
            raise
        at = At(source)
        at.revision = revision
        return at

    def directory(self, state: Path) -> Path:
        """Where the mirror of this repository is; the same whatever password it is read with."""
        from reconciler.git.command import redacted

        return state / "mirrors" / hashlib.sha256(redacted(self.url).encode()).hexdigest()[:16]

    def remember(self, state: Path) -> None:
        """So that `status` and `explain` know what is followed here; without any password."""
        from reconciler.git.command import redacted

        signers = {name: str(path) for name, path in self.signers.items()}
        kept = {"url": redacted(self.url), "branch": self.branch, "subdirectory": self.subdirectory, "signers": signers}
        new = state / f"{REMEMBERED}.new"
        new.write_text(json.dumps(kept))
        new.replace(state / REMEMBERED)


def _needed(state: Path | None) -> Path:
    if state is None:
        raise Failure("there is no HOME to keep a mirror in: name a directory with --state or $CONVOY_STATE")
    return state


def remembered(state: Path) -> Place | None:
    """What was followed here last; good for reading what is in the mirror, not for fetching."""
    try:
        kept = json.loads((state / REMEMBERED).read_text())
        signers = {name: Path(path) for name, path in kept.get("signers", {}).items()}
        return Place(kept["url"], kept["branch"], kept["subdirectory"], signers)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def from_anywhere(function: F) -> F:
    """`[PATH]`, or `--source` with `--branch`, `--subdirectory` and whose commits count."""
    function = signed(function)
    for option in (
        click.option("--subdirectory", default="", metavar="PATH", help="The fleet's directory in the repository."),
        click.option("--branch", default="main", show_default=True, help="The branch of --source."),
        click.option("--source", metavar="URL", help="A repository (URL or path) instead of a folder."),
        click.argument("path", required=False, type=click.Path(path_type=Path)),
    ):
        function = option(function)
    return function


def signed(function: F) -> F:
    """Whose signatures a commit needs. It is kept in the Call, where `place` finds it, so that no command can forget it."""

    def keep(context: click.Context, parameter: click.Parameter, value: Path | None) -> None:
        if value is not None:
            call(context).signers[SIGNERS[f"--{str(parameter.name).replace('_', '-')}"]] = value.absolute()

    for option, words in (
        ("--gpg-keyring", "Accept only commits signed by these GPG keys (a file from gpg --export)."),
        ("--revoked-signers", "SSH keys that count no longer (a KRL, or public keys)."),
        ("--signers", "Accept only commits signed by these SSH keys (an allowed-signers file)."),
    ):
        file = click.Path(dir_okay=False, path_type=Path)
        function = click.option(option, type=file, metavar="FILE", callback=keep, expose_value=False, help=words)(function)
    return function


def place(path: Path | None, source: str | None, branch: str, subdirectory: str) -> Place:
    """What those options say together."""
    context = click.get_current_context(silent=True)
    signers = call(context).signers if context is not None else {}
    if source is not None:
        if path is not None:
            raise click.UsageError("give either a folder or --source, not both")
        if "revoked" in signers and "ssh" not in signers:
            raise click.UsageError("--revoked-signers belongs to --signers")
        _outside(source, signers)
        return Place(absolute(source), branch, subdirectory, signers)
    if signers:
        raise click.UsageError("a folder has no commits that anybody could sign: name a repository with --source, and a branch")
    if subdirectory:
        raise click.UsageError("--subdirectory belongs to --source: name the folder itself instead")
    return Place(str(folder(path or Path())))


def _outside(source: str, signers: Mapping[str, Path]) -> None:
    """Whoever can push to a repository could otherwise add themselves to those who may."""
    from reconciler.git.command import local_path

    repository = local_path(source)
    if repository is None:
        return
    here = repository.resolve()
    here = here.parent if here.name == ".git" else here
    for file in signers.values():
        if file.resolve().is_relative_to(here):
            raise click.UsageError(f"{file} lies in the repository whose commits it is to judge: keep it somewhere else")


def folder(path: Path) -> Path:
    if path.is_file():
        raise Failure(f"{path} is one file, and a fleet is a folder of them: name the folder it is in")
    if not path.is_dir():
        raise Failure(f"there is no folder {path}: name the folder with the fleet's documents, or make one with `convoy init`")
    return path.resolve()


def absolute(source: str) -> str:
    """A path on this machine stays the same place whatever directory Convoy is started in next."""
    from reconciler.git.command import local_path

    path = local_path(source)
    return str(Path(path).absolute()) if path is not None else source


def texts(source: "Source", tree: "Tree", problems: Iterable["Problem"]) -> Mapping[str, str]:
    """The content of the files that Problems are about, where it can be read."""
    from reconciler.git import SourceError

    files = [file for file in dict.fromkeys(problem.where.file for problem in problems) if file in tree.files][:MOST_FILES]
    try:
        blobs = source.read({tree.files[file] for file in files})
    except SourceError:
        return {}
    return {file: blobs[tree.files[file]].decode("utf-8", "replace") for file in files if tree.files[file] in blobs}
