"""Gitea and Forgejo: pull requests, their comments (they are issues), and statuses of commits.

Each instance documents its API at /api/swagger: issueGetComments, issueCreateComment, issueEditComment, issueDeleteComment,
repoCreateStatus, repoCreatePullRequest, repoListPullRequests, and repoGetPullRequestByBaseHead, which Gitea before 1.22
and Forgejo before 7.0 do not have. Tried with Gitea 1.21.11 and 1.22.0.
"""

import urllib.parse
from collections.abc import Mapping
from typing import Any

from reconciler.forge.issues import Issues, pull_said
from reconciler.forge.said import Pull
from reconciler.forge.wire import ForgeError, Gone, Refused, Unknown

# Neither documents a limit; what a browser shows without pause is about this much.
LIMIT = 65_536
# What a page holds at most, and how many of them are looked through: ours is about a change of the last hour.
ON_A_PAGE, MOST_PAGES = 50, 4


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
        # The repository itself is asked for first: of one that is not there, 404 says nothing about a pull request.
        self._wire.send("GET", self._root)
        try:
            return pull_said(self._wire.send("GET", f"{self._root}/pulls/{there.replace('/', '%2F')}/{here}").value)
        except Unknown:
            return self._listed(branch, base)
        except Gone:
            return None

    def _listed(self, branch: str, base: str) -> Pull | None:
        """The same, among the newest."""
        for page in range(1, MOST_PAGES + 1):
            # Its links to further pages have the address that the forge thinks it has, which need not be the one that we ask.
            found = self._wire.send("GET", f"{self._root}/pulls?state=all&limit={ON_A_PAGE}&page={page}").value
            if not isinstance(found, list):
                raise ForgeError("the forge answered with something that is not a list of pull requests")
            for one in found:
                if isinstance(one, dict) and _between(one, branch, base):
                    return pull_said(one)
            if not found:
                break
        return None

    def set_status(self, revision: str, state: str, description: str, url: str = "", name: str = "convoy") -> None:
        body = {"state": state, "description": description, "context": name, "target_url": url}
        self._wire.send("POST", f"{self._root}/statuses/{revision}", body)


def _between(pull: Mapping[str, Any], branch: str, base: str) -> bool:
    """Whether it is from this branch of the repository itself. (Where a branch is gone, `ref` is another: `label` stays.)"""
    head, onto = pull.get("head"), pull.get("base")
    if not isinstance(head, dict) or not isinstance(onto, dict):
        return False
    return (head.get("label"), onto.get("label"), head.get("repo_id")) == (branch, base, onto.get("repo_id"))
