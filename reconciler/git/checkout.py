"""Whose working tree stands on a branch of a repository on this machine."""

from pathlib import Path

import pygit2


def checked_out(repository: Path, branch: str) -> str:
    """The repository in which the branch is checked out, or "" where a push to it harms nobody. Raises pygit2's errors.

    Git itself refuses such a push unless told otherwise (receive.denyCurrentBranch): told to ignore it, it would leave the
    working tree behind; told to bring the tree along, it does so or refuses, and that is its own business.
    """
    # Read, never run: see `read_only` in bare.py about other people's repositories.
    pygit2.settings.owner_validation = False
    found = pygit2.Repository(str(repository), pygit2.enums.RepositoryOpenFlag.NO_SEARCH)
    try:
        there = found.branches.local.get(branch)
        if there is None or not there.is_checked_out():
            return ""
        try:
            rule = found.config["receive.denyCurrentBranch"]
        except KeyError:
            rule = ""
        return "" if (rule or "").lower() == "updateinstead" else str(repository)
    finally:
        found.free()
