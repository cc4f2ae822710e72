"""GitLab: merge requests, their notes, and statuses of commits.

https://docs.gitlab.com/api/merge_requests/, https://docs.gitlab.com/api/notes/#merge-requests, https://docs.gitlab.com/api/commits/#set-commit-pipeline-status
"""

import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.forge.said import Comment, Pull, field
from reconciler.forge.wire import ForgeError, Gone, Refused, Wire

# "The content of a note. Limited to 1,000,000 characters." Counted in bytes: that is never more than it says.
LIMIT = 1_000_000
# A description longer than 255 characters is refused.
DESCRIPTION = 255
STATES = {"pending": "pending", "success": "success", "failure": "failed", "error": "failed"}


def headers(token: str) -> Mapping[str, str]:
    # https://docs.gitlab.com/api/rest/authentication/. A job's own token may only read notes (ci_job_token).
    return {"Accept": "application/json", "PRIVATE-TOKEN": token}


class GitLab:
    """`repository` is a project's number, or its path GROUP/…/NAME."""

    def __init__(self, wire: Wire, repository: str) -> None:
        self._wire = wire
        self._root = f"/projects/{urllib.parse.quote(repository, safe='')}"

    def author(self) -> str | None:
        try:
            user = self._wire.send("GET", "/user").value
        except (Refused, Gone):
            return None
        name = user.get("username") if isinstance(user, dict) else None
        return name if isinstance(name, str) and name else None

    def comments(self, number: int) -> Iterator[Comment]:
        path = f"{self._root}/merge_requests/{number}/notes?sort=asc&order_by=created_at&per_page=100"
        for one in self._wire.pages(path):
            # What GitLab itself noted ("added 1 commit") is nobody's comment.
            if isinstance(one, dict) and not one.get("system"):
                yield _said(one)

    def create(self, number: int, body: str) -> Comment:
        return _said(self._wire.send("POST", f"{self._root}/merge_requests/{number}/notes", {"body": body}).value)

    def edit(self, number: int, comment: int, body: str) -> Comment:
        return _said(self._wire.send("PUT", f"{self._root}/merge_requests/{number}/notes/{comment}", {"body": body}).value)

    def delete(self, number: int, comment: int) -> None:
        self._wire.send("DELETE", f"{self._root}/merge_requests/{number}/notes/{comment}")

    def pull(self, branch: str, base: str) -> Pull | None:
        query = urllib.parse.urlencode({"source_branch": branch, "target_branch": base, "state": "all"})
        found = self._wire.send("GET", f"{self._root}/merge_requests?{query}").value
        there = (one for one in found if isinstance(one, dict) and one.get("source_branch") == branch)
        return next(map(_pull, there if isinstance(found, list) else ()), None)

    def pull_numbered(self, number: int) -> Pull:
        return _pull(self._wire.send("GET", f"{self._root}/merge_requests/{number}").value)

    def open_pull(self, branch: str, base: str, title: str, body: str) -> Pull:
        made = {"source_branch": branch, "target_branch": base, "title": title, "description": body}
        made |= {"remove_source_branch": "true"}
        return _pull(self._wire.send("POST", f"{self._root}/merge_requests", made).value)

    def set_status(self, revision: str, state: str, description: str, url: str = "", name: str = "convoy") -> None:
        body = {"state": STATES[state], "description": description[:DESCRIPTION], "name": name}
        self._wire.send("POST", f"{self._root}/statuses/{revision}", {**body, **({"target_url": url} if url else {})})


def _pull(value: Any) -> Pull:
    if not isinstance(value, dict):
        raise ForgeError("GitLab answered with something that is not a merge request")
    number, url, state = field(value, "iid", int), field(value, "web_url", str), value.get("state")
    if state == "merged":
        # Where nothing but the branch was moved, it is the request's own last commit.
        made = value.get("merge_commit_sha") or value.get("squash_commit_sha") or value.get("sha")
        return Pull(number, url, "merged", str(made or ""))
    return Pull(number, url, "closed" if state == "closed" else "open")


def _said(value: Any) -> Comment:
    if not isinstance(value, dict):
        raise ForgeError("GitLab answered with something that is not a note")
    author = value.get("author")
    name = author.get("username") if isinstance(author, dict) else ""
    # A note has no address of its own in an answer.
    return Comment(field(value, "id", int), str(name or ""), str(value.get("body") or ""), "")
