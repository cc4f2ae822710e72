"""Gitea and Forgejo: comments of pull requests, which are issues, and statuses of commits.

Each instance documents its API at /api/swagger: issueGetComments, issueCreateComment, issueEditComment, issueDeleteComment,
repoCreateStatus.
"""

import urllib.parse
from collections.abc import Iterator, Mapping

from reconciler.forge.said import Comment, field
from reconciler.forge.wire import ForgeError, Gone, Refused, Wire

# Neither documents a limit; what a browser shows without pause is about this much.
LIMIT = 65_536


def headers(token: str) -> Mapping[str, str]:
    # https://docs.gitea.com/development/api-usage, https://forgejo.org/docs/latest/user/api-usage/
    return {"Accept": "application/json", "Authorization": f"token {token}"}


class Gitea:
    """`repository` is OWNER/NAME."""

    def __init__(self, wire: Wire, repository: str) -> None:
        self._wire = wire
        self._root = f"/repos/{urllib.parse.quote(repository)}"

    def author(self) -> str | None:
        try:
            user = self._wire.send("GET", "/user").value
        except (Refused, Gone):
            # A token that may write comments need not be one that may ask who it is (read:user).
            return None
        login = user.get("login") if isinstance(user, dict) else None
        return login if isinstance(login, str) and login else None

    def comments(self, number: int) -> Iterator[Comment]:
        # This list has no pages: `since` and `before` are all that it takes.
        for one in self._wire.pages(f"{self._root}/issues/{number}/comments"):
            yield _said(one)

    def create(self, number: int, body: str) -> Comment:
        return _said(self._wire.send("POST", f"{self._root}/issues/{number}/comments", {"body": body}).value)

    def edit(self, number: int, comment: int, body: str) -> Comment:
        return _said(self._wire.send("PATCH", f"{self._root}/issues/comments/{comment}", {"body": body}).value)

    def delete(self, number: int, comment: int) -> None:
        self._wire.send("DELETE", f"{self._root}/issues/comments/{comment}")

    def set_status(self, revision: str, state: str, description: str, url: str = "", name: str = "convoy") -> None:
        body = {"state": state, "description": description, "context": name, "target_url": url}
        self._wire.send("POST", f"{self._root}/statuses/{revision}", body)


def _said(value: object) -> Comment:
    if not isinstance(value, dict):
        raise ForgeError("the forge answered with something that is not a comment")
    user = value.get("user")
    login = user.get("login") if isinstance(user, dict) else ""
    return Comment(field(value, "id", int), str(login or ""), str(value.get("body") or ""), str(value.get("html_url") or ""))
