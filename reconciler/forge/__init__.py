"""Forges: where a fleet's repository is kept and its pull requests are talked about.

A forge keeps comments on pull requests and statuses of commits. Each module here speaks to one kind of them, by its documented
REST API; who uses it knows none of that.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from reconciler.forge import gitea, github, gitlab
from reconciler.forge.said import Comment, Pull
from reconciler.forge.wire import ForgeError, Gone, Refused, Wire

State = Literal["pending", "success", "failure", "error"]

__all__ = ["FORGES", "Comment", "Forge", "ForgeError", "Gone", "Kind", "Pull", "Refused", "State", "Wire"]


class Forge(Protocol):
    """One repository on one forge. All of it raises ForgeError: Refused where the token may not, Gone where nothing is."""

    def author(self) -> str | None:
        """As whom we write; None where the forge does not tell a token like ours."""

    def comments(self, number: int) -> Iterable[Comment]:
        """All comments of a pull request, the oldest first."""

    def create(self, number: int, body: str) -> Comment: ...

    def edit(self, number: int, comment: int, body: str) -> Comment: ...

    def delete(self, number: int, comment: int) -> None: ...

    def pull(self, branch: str, base: str) -> Pull | None:
        """The pull request from one branch of this repository to another, open or not any more; None where there was none."""

    def pull_numbered(self, number: int) -> Pull: ...

    def open_pull(self, branch: str, base: str, title: str, body: str) -> Pull: ...

    def set_status(self, revision: str, state: State, description: str, url: str = "", name: str = "convoy") -> None:
        """What a commit is worth, shown beside it; `name` tells statuses of one commit apart. Too long a description is cut."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of forge: how large a comment may be, in bytes, and how a client is made."""

    limit: int
    client: Callable[[Wire, str], Forge]
    headers: Callable[[str], Mapping[str, str]]


FORGES: Mapping[str, Kind] = {
    "github": Kind(github.LIMIT, github.GitHub, github.headers),
    "gitlab": Kind(gitlab.LIMIT, gitlab.GitLab, gitlab.headers),
    "gitea": Kind(gitea.LIMIT, gitea.Gitea, gitea.headers),
}
