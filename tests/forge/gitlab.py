"""GitLab's REST API as documented at docs.gitlab.com/api: notes, users, commits, rest/{authentication,_index#pagination}; what
a job's own token may do at ci/jobs/ci_job_token, and what a line that begins with a slash does at user/project/quick_actions.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from tests.forge.stand_in import Account, Pull, Remark, Reply, Request, StandIn

LONGEST = 1_000_000
QUICK_ACTION = re.compile(r"^/(?:merge|close|approve|assign|label|lock)\b.*$", re.MULTILINE)
CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


@dataclass
class GitLab(StandIn):
    """Notes are edited by their authors alone. Whoever says `/merge` in one merges."""

    orders: list[str] = field(default_factory=list)

    root = "/api/v4"
    project = "41"

    def answer(self, request: Request) -> Reply:
        token = request.headers.get("private-token", "")
        account = self.accounts.get(token or request.headers.get("authorization", "").removeprefix("Bearer "))
        if account is None and self.accounts.get(request.headers.get("job-token", "")) is not None:
            # A job's own token reads notes, and that is all.
            account = self.accounts[request.headers["job-token"]]
            if request.method != "GET" or "/notes" not in request.path:
                return Reply(401, {"message": "401 Unauthorized"})
        if account is None:
            return Reply(401, {"message": "401 Unauthorized"})
        path = request.path.removeprefix(self.root)
        if path == "/user":
            if not account.asks:
                return Reply(
                    403, {"error": "insufficient_scope", "error_description": "The request requires higher privileges"}
                )
            return Reply(200, {"id": account.id, "username": account.login, "state": "active"})
        project = re.fullmatch(r"/projects/([^/]+)/(.+)", path)
        if project is None or project[1] not in (self.project, "us%2Ffleet") or not account.reads:
            return Reply(404, {"message": "404 Project Not Found"})
        if request.method != "GET" and not account.writes:
            return Reply(403, {"message": "403 Forbidden"})
        return self.below(request, project[2], account)

    def below(self, request: Request, path: str, account: Account) -> Reply:
        if path == f"merge_requests/{self.number}/notes":
            if request.method == "GET":
                newest_first = request.query.get("sort", "desc") == "desc"
                notes = [self.shown(remark) for remark in sorted(self.remarks, key=lambda r: r.id, reverse=newest_first)]
                return self.page(request, notes, 20)
            return self.too_long(request) or Reply(201, self.shown(self.say(account, self.obeyed(request.body["body"]))))
        if one := re.fullmatch(rf"merge_requests/{self.number}/notes/(\d+)", path):
            remark = self.found(one[1])
            if remark is None:
                return Reply(404, {"message": "404 Note Not Found"})
            if request.method != "GET" and remark.author != account:
                return Reply(403, {"message": "403 Forbidden"})
            if request.method == "DELETE":
                self.remarks.remove(remark)
                return Reply(204)
            if request.method == "PUT":
                if refused := self.too_long(request):
                    return refused
                remark.body = self.obeyed(request.body["body"])
            return Reply(200, self.shown(remark))
        if one := re.fullmatch(r"merge_requests/(\d+)", path):
            pull = self.numbered(one[1])
            return Reply(200, self.pull_shown(pull)) if pull else Reply(404, {"message": "404 Not found"})
        if path == "merge_requests" and request.method == "GET":
            query = request.query
            found = self.between(query["source_branch"], query["target_branch"], open=query.get("state") == "opened")
            return Reply(200, [self.pull_shown(one) for one in found])
        if path == "merge_requests":
            head, base = request.body["source_branch"], request.body["target_branch"]
            if self.between(head, base, open=True):
                return Reply(409, {"message": ["Another open merge request already exists for this source branch: !1"]})
            made = self.propose(head, base, request.body["title"], self.obeyed(request.body["description"]))
            return Reply(201, self.pull_shown(made)) if made else Reply(400, {"message": ["source_branch is invalid"]})
        if one := re.fullmatch(r"statuses/([0-9a-f]+)", path):
            if request.body["state"] not in ("pending", "running", "success", "failed", "canceled", "skipped"):
                return Reply(400, {"error": "state does not have a valid value"})
            if len(request.body["description"]) > 255:
                return Reply(400, {"message": {"description": ["is too long (maximum is 255 characters)"]}})
            self.statuses.append((one[1], request.body))
            return Reply(201, request.body)
        return Reply(404, {"error": "404 Not Found"})

    def pull_shown(self, pull: Pull) -> dict[str, Any]:
        return {
            "iid": pull.number,
            "state": "opened" if pull.open else "merged" if pull.merged else "closed",
            "merge_commit_sha": None,
            "squash_commit_sha": pull.merged or None,
            "sha": "0" * 40,
            "web_url": f"https://gitlab.com/{self.repository}/-/merge_requests/{pull.number}",
            "source_branch": pull.head,
            "target_branch": pull.base,
        }

    def obeyed(self, body: str) -> str:
        """Quick actions outside of code are carried out, and taken out of the note."""
        self.orders += QUICK_ACTION.findall(CODE.sub("", body))
        return QUICK_ACTION.sub("", body).strip()

    def too_long(self, request: Request) -> Reply | None:
        if len(request.body["body"]) <= LONGEST:
            return None
        return Reply(400, {"message": {"note": ["is too long (maximum is 1000000 characters)"]}})

    def shown(self, remark: Remark) -> dict[str, Any]:
        return {
            "id": remark.id,
            "body": remark.body,
            "author": {"id": remark.author.id, "username": remark.author.login, "state": "active"},
            "system": remark.system,
            "noteable_type": "MergeRequest",
            "noteable_iid": self.number,
        }
