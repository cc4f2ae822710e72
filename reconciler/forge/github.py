"""GitHub and GitHub Enterprise Server: pull requests, their comments (they are issues), and statuses of commits.

https://docs.github.com/rest/issues/comments, https://docs.github.com/rest/commits/statuses, https://docs.github.com/rest/pulls/pulls
"""

import urllib.parse
from collections.abc import Mapping

from reconciler.forge.issues import Issues, pull_said
from reconciler.forge.said import Pull
from reconciler.forge.wire import Gone, Refused

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


class GitHub(Issues):
    """Comments come a hundred to a page, and no more."""

    _query = "?per_page=100"

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

    def pull(self, branch: str, base: str) -> Pull | None:
        owner = self._root.split("/")[2]
        query = urllib.parse.urlencode({"head": f"{urllib.parse.unquote(owner)}:{branch}", "base": base, "state": "all"})
        found = self._wire.send("GET", f"{self._root}/pulls?{query}").value
        # A filter that the forge does not understand is left out by it.
        there = (one for one in found if _from(one) == branch) if isinstance(found, list) else iter(())
        return next(map(pull_said, there), None)

    def set_status(self, revision: str, state: str, description: str, url: str = "", name: str = "convoy") -> None:
        body = {"state": state, "description": description[:DESCRIPTION], "context": name}
        self._wire.send("POST", f"{self._root}/statuses/{revision}", {**body, **({"target_url": url} if url else {})})


def _from(value: object) -> object:
    head = value.get("head") if isinstance(value, dict) else None
    return head.get("ref") if isinstance(head, dict) else None
