"""Gitea and Forgejo: pull requests, their comments (they are issues), and statuses of commits.

Each instance documents its API at /api/swagger: issueGetComments, issueCreateComment, issueEditComment, issueDeleteComment,
repoCreateStatus, repoCreatePullRequest, repoGetPullRequestByBaseHead.
"""

import urllib.parse
from collections.abc import Mapping

from reconciler.forge.issues import Issues, pull_said
from reconciler.forge.said import Pull
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

    def pull(self, branch: str, base: str) -> Pull | None:
        here, there = (urllib.parse.quote(one, safe="/") for one in (branch, base))
        try:
            # The repository itself is asked for first: of one that is not there, 404 says nothing about a pull request.
            self._wire.send("GET", self._root)
            return pull_said(self._wire.send("GET", f"{self._root}/pulls/{there.replace('/', '%2F')}/{here}").value)
        except Gone as error:
            if "/pulls/" not in str(error):
                raise
            return None

    def set_status(self, revision: str, state: str, description: str, url: str = "", name: str = "convoy") -> None:
        body = {"state": state, "description": description, "context": name, "target_url": url}
        self._wire.send("POST", f"{self._root}/statuses/{revision}", body)
