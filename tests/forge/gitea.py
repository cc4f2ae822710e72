"""Gitea's and Forgejo's REST API as its swagger document has it (issueGetComments, issueCreateComment, issueEditComment,
issueDeleteComment, userGetCurrent, repoCreateStatus), docs.gitea.com/development/api-usage for tokens, and what Gitea
1.21.11 and 1.22.0 were seen to answer.
"""

import re
from typing import Any

from tests.forge.stand_in import Account, Pull, Remark, Reply, Request, StandIn

# Of an address that is none of the API's.
NO_PAGE = Reply(404, b"404 page not found\n")
# The most that a page holds, whatever is asked for.
ON_A_PAGE = 50


class Gitea(StandIn):
    """The comments of an issue come all at once. A token of a narrow scope may not ask who it is."""

    root = "/api/v1"
    # Whether a pull request can be asked for by its branches.
    finds = True

    def said(self, status: int, message: str, **more: Any) -> Reply:
        return Reply(status, {**more, "message": message, "url": f"{self.address}/api/swagger"})

    def nothing(self) -> Reply:
        return self.said(404, "The target couldn't be found.", errors=None)

    def lacking(self, scope: str) -> Reply:
        return self.said(403, f"token does not have at least one of required scope(s): [{scope}]")

    def answer(self, request: Request) -> Reply:
        account = self.accounts.get(re.sub(r"^(?:token|Bearer) ", "", request.headers.get("authorization", "")))
        if account is None:
            return self.said(401, "user does not exist [uid: 0, name: ]")
        path = request.path.removeprefix(self.root)
        if path == "/user":
            if not account.asks:
                return self.lacking("read:user")
            return Reply(200, {"id": account.id, "login": account.login})
        repository = re.fullmatch(r"/repos/([^/]+/[^/]+)(?:/(.+))?", path)
        if repository is None:
            return NO_PAGE
        if repository[1] != self.repository or not account.reads:
            return self.nothing()
        if request.method != "GET" and not account.writes:
            return self.lacking("write:repository")
        if repository[2] is None:
            return Reply(200, {"full_name": self.repository})
        return self.below(request, repository[2], account)

    def below(self, request: Request, path: str, account: Account) -> Reply:
        if path == f"issues/{self.number}/comments":
            if request.method == "GET":
                return Reply(200, [self.shown(r) for r in self.remarks], {"X-Total-Count": str(len(self.remarks))})
            return Reply(201, self.shown(self.say(account, request.body["body"])))
        if one := re.fullmatch(r"pulls/(\d+)", path):
            pull = self.numbered(one[1])
            return Reply(200, self.pull_shown(pull)) if pull else self.nothing()
        if self.finds and (one := re.fullmatch(r"pulls/([^/]+)/(.+)", path)):
            # repoGetPullRequestByBaseHead
            found = self.between(one[2], one[1].replace("%2F", "/"))
            return Reply(200, self.pull_shown(found[0])) if found else self.nothing()
        if path == "pulls" and request.method == "GET":
            return self.listed(request)
        if path == "pulls":
            head, base = request.body["head"], request.body["base"]
            if self.between(head, base, open=True):
                return self.said(
                    409, f"pull request already exists for these targets [head_branch: {head}, base_branch: {base}]"
                )
            made = self.propose(head, base, request.body["title"], request.body["body"])
            return Reply(201, self.pull_shown(made)) if made else self.nothing()
        if one := re.fullmatch(r"issues/comments/(\d+)", path):
            remark = self.found(one[1])
            if remark is None:
                return self.nothing()
            if request.method == "DELETE":
                self.remarks.remove(remark)
                return Reply(204)
            if request.method == "PATCH":
                remark.body = request.body["body"]
            return Reply(200, self.shown(remark))
        if one := re.fullmatch(r"statuses/([0-9a-f]+)", path):
            if request.body["state"] not in ("pending", "success", "error", "failure", "warning"):
                return Reply(422, {"message": "invalid state"})
            self.statuses.append((one[1], request.body))
            return Reply(201, request.body)
        return NO_PAGE

    def listed(self, request: Request) -> Reply:
        """The newest first. The links to other pages have the address of its own settings."""
        state = request.query.get("state", "open")
        found = [one for one in reversed(self.pulls) if state == "all" or one.open == (state == "open")]
        size, number = min(int(request.query.get("limit", 30)), ON_A_PAGE), int(request.query.get("page", 1))
        shown = [self.pull_shown(one) for one in found[(number - 1) * size : number * size]]
        link = f'<https://git.example{request.path}?page={number + 1}>; rel="next"'
        return Reply(200, shown, {"X-Total-Count": str(len(found)), **({"Link": link} if number * size < len(found) else {})})

    def pull_shown(self, pull: Pull) -> dict[str, Any]:
        return {
            "number": pull.number,
            "html_url": f"{self.address}/{self.repository}/pulls/{pull.number}",
            "state": "open" if pull.open else "closed",
            "merged": bool(pull.merged),
            "merge_commit_sha": pull.merged or None,
            "base": {"label": pull.base, "ref": pull.base, "repo_id": 1},
            # Of a branch that is gone, what is kept of it.
            "head": {
                "label": pull.head,
                "ref": pull.head if pull.head in self.branches() else f"refs/pull/{pull.number}/head",
                "repo_id": pull.fork or 1,
            },
        }

    def shown(self, remark: Remark) -> dict[str, Any]:
        return {
            "id": remark.id,
            "html_url": f"{self.address}/{self.repository}/pulls/{self.number}#issuecomment-{remark.id}",
            "user": {"id": remark.author.id, "login": remark.author.login},
            "body": remark.body,
        }


class Older(Gitea):
    """Before 1.22."""

    finds = False
