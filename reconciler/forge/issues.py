"""Comments as GitHub's API has them, and Gitea's and Forgejo's after it: a pull request is an issue."""

import urllib.parse
from collections.abc import Iterator

from reconciler.forge.said import Comment, Pull, field
from reconciler.forge.wire import ForgeError, Wire


class Issues:
    """`repository` is OWNER/NAME."""

    # What the list of comments is asked with.
    _query = ""

    def __init__(self, wire: Wire, repository: str) -> None:
        self._wire = wire
        self._root = f"/repos/{urllib.parse.quote(repository)}"

    def comments(self, number: int) -> Iterator[Comment]:
        for one in self._wire.pages(f"{self._root}/issues/{number}/comments{self._query}"):
            yield _said(one)

    def create(self, number: int, body: str) -> Comment:
        return _said(self._wire.send("POST", f"{self._root}/issues/{number}/comments", {"body": body}).value)

    def edit(self, number: int, comment: int, body: str) -> Comment:
        return _said(self._wire.send("PATCH", f"{self._root}/issues/comments/{comment}", {"body": body}).value)

    def delete(self, number: int, comment: int) -> None:
        self._wire.send("DELETE", f"{self._root}/issues/comments/{comment}")

    def pull_numbered(self, number: int) -> Pull:
        return pull_said(self._wire.send("GET", f"{self._root}/pulls/{number}").value)

    def open_pull(self, branch: str, base: str, title: str, body: str) -> Pull:
        made = {"title": title, "head": branch, "base": base, "body": body}
        return pull_said(self._wire.send("POST", f"{self._root}/pulls", made).value)


def pull_said(value: object) -> Pull:
    if not isinstance(value, dict):
        raise ForgeError("the forge answered with something that is not a pull request")
    number, url = field(value, "number", int), field(value, "html_url", str)
    # Gitea says `merged`; a list of GitHub's only when.
    if value.get("merged") is True or value.get("merged_at"):
        # Of one that is open, GitHub tells what a merge would be.
        return Pull(number, url, "merged", str(value.get("merge_commit_sha") or ""))
    return Pull(number, url, "closed" if value.get("state") == "closed" else "open")


def _said(value: object) -> Comment:
    if not isinstance(value, dict):
        raise ForgeError("the forge answered with something that is not a comment")
    user = value.get("user")
    # The account of somebody who is gone is null.
    author = user.get("login") if isinstance(user, dict) else ""
    return Comment(field(value, "id", int), str(author or ""), str(value.get("body") or ""), str(value.get("html_url") or ""))
