"""GitHub and GitHub Enterprise Server: comments of pull requests, which are issues, and statuses of commits.

https://docs.github.com/rest/issues/comments, https://docs.github.com/rest/commits/statuses
"""

import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.forge.said import Comment, field
from reconciler.forge.wire import ForgeError, Gone, Refused, Wire

# "Body is too long (maximum is 65536 characters)", 422. Counted in bytes: that is never more than it says.
LIMIT = 65_536
# https://docs.github.com/rest/commits/statuses: a short description; more than 140 characters are refused.
DESCRIPTION = 140


def headers(token: str) -> Mapping[str, str]:
    return {
        "Accept": "application/vnd.github+json",
        "Authorization": f"Bearer {token}",
        "X-GitHub-Api-Version": "2022-11-28",
    }


class GitHub:
    """`repository` is OWNER/NAME."""

    def __init__(self, wire: Wire, repository: str) -> None:
        self._wire = wire
        self._root = f"/repos/{urllib.parse.quote(repository)}"

    def author(self) -> str | None:
        # `GET /user` is closed to the token of a workflow; GraphQL's `viewer` answers for every kind of token.
        api = self._wire.api
        graphql = api.removesuffix("/v3") + "/graphql"
        try:
            answer = self._wire.send("POST", graphql, {"query": "query { viewer { login } }"})
        except (Refused, Gone):
            return None
        data = answer.value.get("data") if isinstance(answer.value, dict) else None
        viewer = data.get("viewer") if isinstance(data, dict) else None
        login = viewer.get("login") if isinstance(viewer, dict) else None
        return login if isinstance(login, str) and login else None

    def comments(self, number: int) -> Iterator[Comment]:
        for one in self._wire.pages(f"{self._root}/issues/{number}/comments?per_page=100"):
            yield _said(one)

    def create(self, number: int, body: str) -> Comment:
        return _said(self._wire.send("POST", f"{self._root}/issues/{number}/comments", {"body": body}).value)

    def edit(self, number: int, comment: int, body: str) -> Comment:
        return _said(self._wire.send("PATCH", f"{self._root}/issues/comments/{comment}", {"body": body}).value)

    def delete(self, number: int, comment: int) -> None:
        self._wire.send("DELETE", f"{self._root}/issues/comments/{comment}")

    def set_status(self, revision: str, state: str, description: str, url: str = "", name: str = "convoy") -> None:
        body = {"state": state, "description": description[:DESCRIPTION], "context": name}
        self._wire.send("POST", f"{self._root}/statuses/{revision}", {**body, **({"target_url": url} if url else {})})


def _said(value: Any) -> Comment:
    user = value.get("user") if isinstance(value, dict) else None
    if not isinstance(value, dict):
        raise ForgeError("GitHub answered with something that is not a comment")
    # The account of somebody who is gone is null.
    author = user.get("login") if isinstance(user, dict) else ""
    return Comment(field(value, "id", int), str(author or ""), str(value.get("body") or ""), str(value.get("html_url") or ""))
