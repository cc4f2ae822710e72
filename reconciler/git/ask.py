"""Asks a repository where its branch is, without a mirror and without leaving anything behind."""

from reconciler.git.command import Git, GitFailed, local_path, redacted, remote_settings
from reconciler.git.mirror import LOCAL_UPLOAD
from reconciler.git.names import checked_branch
from reconciler.git.source import SourceError


def tip(url: str, branch: str, deadline_s: float) -> str:
    """The commit that the branch names now; raises SourceError."""
    path, name = local_path(url), f"refs/heads/{checked_branch(branch)}"
    upload = ["--upload-pack", LOCAL_UPLOAD] if path is not None else []
    settings = {"remote.origin.url": str(path.absolute())} if path is not None else remote_settings(url)
    try:
        said = Git(deadline_s).run(None, ["ls-remote", *upload, "origin", name], settings)
    except GitFailed as error:
        raise SourceError(f"cannot read branch {branch} of {redacted(url)}: {error}") from error
    found = next((line.split("\t")[0] for line in said.splitlines() if line.endswith(f"\t{name}")), "")
    if not found:
        raise SourceError(
            f"there is no branch {branch} in {redacted(url)}: make it, or follow another (`convoy serve --branch`)"
        )
    return found
