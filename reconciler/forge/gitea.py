"""Gitea and Forgejo: comments of pull requests, which are issues, and statuses of commits.

Each instance documents its API at /api/swagger: issueGetComments, issueCreateComment, issueEditComment, issueDeleteComment,
repoCreateStatus.
"""

from collections.abc import Mapping

from reconciler.forge.issues import Issues
from reconciler.forge.wire import Gone, Refused

# Neither documents a limit; what a browser shows without pause is about this much.
LIMIT = 65_536


def headers(token: str) -> Mapping[str, str]:
    # https://docs.gitea.com/development/api-usage, https://forgejo.org/docs/latest/user/api-usage/
    return {"Accept": "application/json", "Authorization": f"token {token}"}


class Gitea(Issues):
    """The list of comments has no pages: `since` and `before` are all that it takes."""

    def author(self) -> str | None:
        try:
            user = self._wire.send("GET", "/user").value
        except (Refused, Gone):
            # A token that may write comments need not be one that may ask who it is (read:user).
            return None
        login = user.get("login") if isinstance(user, dict) else None
        return login if isinstance(login, str) and login else None

    def set_status(self, revision: str, state: str, description: str, url: str = "", name: str = "convoy") -> None:
        body = {"state": state, "description": description, "context": name, "target_url": url}
        self._wire.send("POST", f"{self._root}/statuses/{revision}", body)
