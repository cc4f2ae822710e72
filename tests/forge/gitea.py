"""Gitea's and Forgejo's REST API as its swagger document has it (issueGetComments, issueCreateComment, issueEditComment,
issueDeleteComment, userGetCurrent, repoCreateStatus), and docs.gitea.com/development/api-usage for tokens.
"""

import re
from typing import Any

from tests.forge.stand_in import Account, Pull, Remark, Reply, Request, StandIn


class Gitea(StandIn):
    """The comments of an issue come all at once. A token of a narrow scope may not ask who it is."""

    root = "/api/v1"

    def answer(self, request: Request) -> Reply:
        account = self.accounts.get(re.sub(r"^(?:token|Bearer) ", "", request.headers.get("authorization", "")))
        if account is None:
            return Reply(401, {"message": "invalid username, password or token"})
        path = request.path.removeprefix(self.root)
        if path == "/user":
            if not account.asks:
                return Reply(403, {"message": "token does not have at least one of required scope(s), required=[read:user]"})
            return Reply(200, {"id": account.id, "login": account.login})
        repository = re.fullmatch(r"/repos/([^/]+/[^/]+)(?:/(.+))?", path)
        if repository is None or repository[1] != self.repository or not account.reads:
            return Reply(404, {"message": "The target couldn't be found."})
        if request.method != "GET" and not account.writes:
            return Reply(403, {"message": "user should have a permission to write to a pull request"})
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
            return Reply(200, self.pull_shown(pull)) if pull else Reply(404, {"message": "The target couldn't be found."})
        if one := re.fullmatch(r"pulls/([^/]+)/(.+)", path):
            # repoGetPullRequestByBaseHead
            found = self.between(one[2], one[1].replace("%2F", "/"))
            return Reply(200, self.pull_shown(found[0])) if found else Reply(404, {"message": "The target couldn't be found."})
        if path == "pulls":
            head, base = request.body["head"], request.body["base"]
            if self.between(head, base, open=True):
                return Reply(409, {"message": "pull request already exists for these targets"})
            made = self.propose(head, base, request.body["title"], request.body["body"])
            return Reply(201, self.pull_shown(made)) if made else Reply(404, {"message": "The target couldn't be found."})
        if one := re.fullmatch(r"issues/comments/(\d+)", path):
            remark = self.found(one[1])
            if remark is None:
                return Reply(404, {"message": "The target couldn't be found."})
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
        return Reply(404, {"message": "The target couldn't be found."})

    def pull_shown(self, pull: Pull) -> dict[str, Any]:
        return {
            "number": pull.number,
            "html_url": f"{self.address}/{self.repository}/pulls/{pull.number}",
            "state": "open" if pull.open else "closed",
            "merged": bool(pull.merged),
            "merge_commit_sha": pull.merged or None,
        }

    def shown(self, remark: Remark) -> dict[str, Any]:
        return {
            "id": remark.id,
            "html_url": f"{self.address}/{self.repository}/pulls/{self.number}#issuecomment-{remark.id}",
            "user": {"id": remark.author.id, "login": remark.author.login},
            "body": remark.body,
        }
