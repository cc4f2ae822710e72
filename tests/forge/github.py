"""GitHub's REST API as documented at docs.github.com/rest: issues/comments, pulls/pulls, commits/statuses, and
using-the-rest-api/{pagination,rate-limits,getting-started}; and docs.github.com/graphql for `viewer`. Error texts as the pages
and public reports have them.
"""

import re
from typing import Any

from tests.forge.stand_in import Account, Pull, Remark, Reply, Request, StandIn

LONGEST = 65_536


class GitHub(StandIn):
    """A workflow's token is an installation's: `GET /user` is closed to it, `viewer` is not. Who may write edits anybody's."""

    def answer(self, request: Request) -> Reply:
        if not request.headers.get("user-agent"):
            return Reply(403, {"message": "Request forbidden by administrative rules."})
        account = self.accounts.get(request.headers.get("authorization", "").removeprefix("Bearer "))
        if account is None:
            return Reply(401, {"message": "Bad credentials", "status": "401"})
        if request.path == "/graphql":
            if not account.asks:
                return Reply(403, {"message": "Resource not accessible by integration"})
            return Reply(200, {"data": {"viewer": {"login": account.login}}})
        if request.path == "/user":
            return Reply(403, {"message": "Resource not accessible by integration", "status": "403"})
        repository = re.fullmatch(r"/repos/([^/]+/[^/]+)/(.+)", request.path)
        if repository is None or repository[1] != self.repository or not account.reads:
            return Reply(404, {"message": "Not Found", "status": "404"})
        if request.method != "GET" and not account.writes:
            return Reply(403, {"message": "Resource not accessible by integration", "status": "403"})
        return self.below(request, repository[2], account)

    def below(self, request: Request, path: str, account: Account) -> Reply:
        if path == f"issues/{self.number}/comments":
            if request.method == "GET":
                return self.page(request, [self.shown(remark) for remark in self.remarks], 30)
            return self.too_long(request) or Reply(201, self.shown(self.say(account, request.body["body"])))
        if one := re.fullmatch(r"pulls/(\d+)", path):
            pull = self.numbered(one[1])
            return Reply(200, self.pull_shown(pull)) if pull else Reply(404, {"message": "Not Found", "status": "404"})
        if path == "pulls" and request.method == "GET":
            # https://docs.github.com/rest/pulls/pulls#list-pull-requests: `head` is USER:BRANCH, `state` open unless said.
            user, _, branch = request.query.get("head", "").partition(":")
            found = self.between(branch, request.query["base"], open=request.query.get("state", "open") == "open")
            return Reply(200, [self.pull_shown(one) for one in found] if user == "us" else [])
        if path == "pulls":
            head, base = request.body["head"], request.body["base"]
            if self.between(head, base, open=True):
                why = f"A pull request already exists for us:{head}."
                return Reply(422, {"message": "Validation Failed", "errors": [{"resource": "PullRequest", "message": why}]})
            made = self.propose(head, base, request.body["title"], request.body["body"])
            if made is None:
                error = {"resource": "PullRequest", "field": "head", "code": "invalid"}
                return Reply(422, {"message": "Validation Failed", "errors": [error]})
            return Reply(201, self.pull_shown(made))
        if one := re.fullmatch(r"issues/comments/(\d+)", path):
            remark = self.found(one[1])
            if remark is None:
                return Reply(404, {"message": "Not Found", "status": "404"})
            if request.method == "DELETE":
                self.remarks.remove(remark)
                return Reply(204)
            if request.method == "PATCH":
                if refused := self.too_long(request):
                    return refused
                remark.body = request.body["body"]
            return Reply(200, self.shown(remark))
        if one := re.fullmatch(r"statuses/([0-9a-f]+)", path):
            if (
                request.body["state"] not in ("error", "failure", "pending", "success")
                or len(request.body["description"]) > 140
            ):
                return Reply(422, {"message": "Validation Failed"})
            self.statuses.append((one[1], request.body))
            return Reply(201, request.body)
        return Reply(404, {"message": "Not Found", "status": "404"})

    def pull_shown(self, pull: Pull) -> dict[str, Any]:
        return {
            "number": pull.number,
            "state": "open" if pull.open else "closed",
            "merged_at": "2026-01-01T00:00:00Z" if pull.merged else None,
            # Of one that is open, what a merge would be.
            "merge_commit_sha": pull.merged or ("0" * 40 if pull.open else None),
            "html_url": f"https://github.com/{self.repository}/pull/{pull.number}",
            "head": {"ref": pull.head},
            "base": {"ref": pull.base},
        }

    def too_long(self, request: Request) -> Reply | None:
        if len(request.body["body"]) <= LONGEST:
            return None
        error = {
            "resource": "IssueComment",
            "code": "unprocessable",
            "field": "data",
            "message": f"Body is too long (maximum is {LONGEST} characters)",
        }
        return Reply(422, {"message": "Validation Failed", "errors": [error], "status": "422"})

    def shown(self, remark: Remark) -> dict[str, Any]:
        bot = remark.author.login.endswith("[bot]")
        return {
            "id": remark.id,
            "html_url": f"https://github.com/{self.repository}/pull/{self.number}#issuecomment-{remark.id}",
            "user": {"login": remark.author.login, "id": remark.author.id, "type": "Bot" if bot else "User"},
            "body": remark.body,
        }
