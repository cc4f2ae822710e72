"""Who makes a commit: a name and a mail address, given or taken from the person's own git settings."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import pygit2

from reconciler.git.command import Git, GitFailed
from reconciler.git.source import SourceError

# What git does not take into a commit's header, and what would end a field early.
CRUD = re.compile(r"[\0-\x1f<>\x7f]")
WRITTEN = re.compile(r"\s*([^<>]+?)\s*<([^<>\s]+)>\s*")
# How a person tells git who they are without a file; heeded here alone, for it says nothing about where to work.
TOLD = re.compile(r"(GIT_(AUTHOR|COMMITTER)_(NAME|EMAIL)|EMAIL)$")


@dataclass(frozen=True, slots=True)
class Person:
    """As a commit's header names them."""

    name: str
    mail: str

    def __post_init__(self) -> None:
        """Raises SourceError on what no header can hold."""
        if not self.name.strip() or not self.mail.strip() or CRUD.search(self.name + self.mail):
            raise SourceError(
                f"{self.name!r} <{self.mail!r}> is nobody that git can name: write it as 'Name <mail@example.org>'"
            )

    def __str__(self) -> str:
        return f"{self.name} <{self.mail}>"

    @classmethod
    def parse(cls, text: str) -> "Person":
        """`Name <mail>`; raises SourceError on anything else."""
        found = WRITTEN.fullmatch(text)
        if found is None:
            raise SourceError(f"{text!r} is not an author: write it as 'Name <mail@example.org>'")
        return cls(found[1], found[2])

    def variables(self, role: str) -> dict[str, str]:
        """For a git that is to write this person; `role` is AUTHOR or COMMITTER."""
        return {f"GIT_{role}_NAME": self.name, f"GIT_{role}_EMAIL": self.mail}


def repository_of(directory: Path) -> Path | None:
    """The Git repository that a directory belongs to; it may have settings of its own."""
    found = pygit2.discover_repository(str(directory)) if directory.is_dir() else None
    return Path(found) if found else None


def person(role: str, directory: Path | None = None) -> Person:
    """Who git says is at work here, as `git commit` would write it; `directory` is a repository with settings of its own.

    `role` is AUTHOR or COMMITTER. Git's guesses (the login at this machine's name) are nobody's address, so they do not count.
    """
    told = {name: value for name, value in os.environ.items() if TOLD.fullmatch(name)}
    git = Git(30.0)
    try:
        words = git.run(directory, ["-c", "user.useConfigOnly=true", "var", f"GIT_{role}_IDENT"], variables=told)
    except GitFailed as error:
        hint = 'git config --global user.name "Your Name"; git config --global user.email you@example.org; or give --author'
        raise SourceError(f"git does not know who you are, and a commit must say who made it: {hint}") from error
    return Person.parse(words.strip().rpartition(" ")[0].rpartition(" ")[0])
