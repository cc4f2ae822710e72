"""Deliveries as each forge's documentation has them (the page is named at each), signed as it says.

GitHub's own published payloads are played by test_published.py, from its package.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

ZERO = "0" * 40
BEFORE, AFTER = "28e1879d029cb852e4844d9c718537df08844e03", "bffeb74224043ba2feb48d137756c8a9331c449a"


@dataclass(frozen=True)
class Sent:
    """What one forge sends for a push to `main` of a repository; `urls` are spellings of what it is followed by."""

    payload: dict[str, Any]
    headers: Callable[[bytes, bytes], dict[str, str]]
    urls: tuple[str, ...]
    # A way to name another branch, and another repository.
    elsewhere: tuple[Callable[[dict[str, Any]], None], ...]
    # Whether it signs what a form holds, and not the form.
    encloses: bool = False


def hexed(body: bytes, secret: bytes) -> str:
    return hmac.new(secret, body, hashlib.sha256).hexdigest()


def _set(*path: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(payload: Any) -> None:
        for name in path[:-1]:
            payload = payload[name]
        payload[path[-1]] = to

    return change


def _every(*changes: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    def change(payload: dict[str, Any]) -> None:
        for one in changes:
            one(payload)

    return change


def _hub(host: str) -> dict[str, Any]:
    return {
        "ref": "refs/heads/main",
        "before": BEFORE,
        "after": AFTER,
        "created": False,
        "deleted": False,
        "forced": False,
        "commits": [{"id": AFTER, "message": "Webhooks Yay!", "added": ["a.yaml"], "removed": [], "modified": []}],
        "repository": {
            "id": 140,
            "name": "fleet",
            "full_name": "ops/fleet",
            "html_url": f"https://{host}/ops/fleet",
            "ssh_url": f"git@{host}:ops/fleet.git",
            "clone_url": f"https://{host}/ops/fleet.git",
            "default_branch": "main",
        },
        "pusher": {"name": "me"},
    }


HUB_ELSEWHERE = (
    _set("ref", to="refs/heads/other"),
    _set("ref", to="refs/tags/main"),
    _every(*(_set("repository", name, to="https://host.example/ops/other") for name in ("html_url", "ssh_url", "clone_url"))),
)


def _urls(host: str, path: str = "ops/fleet") -> tuple[str, ...]:
    return (
        f"https://{host}/{path}",
        f"https://user:password@{host.upper()}/{path}.git",
        f"git@{host}:{path}.git",
        f"ssh://git@{host}:22/{path}",
    )


def _standard(body: bytes, secret: bytes) -> dict[str, str]:
    key = base64.b64decode(secret.removeprefix(b"whsec_"))
    signed = base64.b64encode(hmac.new(key, b"msg_1.1674087231." + body, hashlib.sha256).digest()).decode()
    return {
        "X-Gitlab-Event": "Push Hook",
        "webhook-id": "msg_1",
        "webhook-timestamp": "1674087231",
        "webhook-signature": f"v1,AAAA v1,{signed}",
    }


def _basic(secret: bytes) -> str:
    return "Basic " + base64.b64encode(b"convoy:" + secret).decode()


# https://docs.gitlab.com/user/project/integrations/webhook_events/#push-events
GITLAB: dict[str, Any] = {
    "object_kind": "push",
    "event_name": "push",
    "before": BEFORE,
    "after": AFTER,
    "ref": "refs/heads/main",
    "ref_protected": True,
    "checkout_sha": AFTER,
    "user_id": 4,
    "project_id": 15,
    "project": {
        "id": 15,
        "name": "Fleet",
        "web_url": "https://gitlab.example/group/ops/fleet",
        "git_ssh_url": "git@gitlab.example:group/ops/fleet.git",
        "git_http_url": "https://gitlab.example/group/ops/fleet.git",
        "path_with_namespace": "group/ops/fleet",
    },
    "repository": {"name": "Fleet", "url": "git@gitlab.example:group/ops/fleet.git"},
    "commits": [{"id": AFTER, "message": "Update"}],
    "total_commits_count": 1,
}
GITLAB_ELSEWHERE = (
    _set("ref", to="refs/heads/other"),
    _every(*(_set("project", name, to="https://gitlab.example/x/y") for name in ("web_url", "git_ssh_url", "git_http_url"))),
)
GITLAB_URLS = _urls("gitlab.example", "group/ops/fleet")
# https://support.atlassian.com/bitbucket-cloud/docs/event-payloads/#Push
BITBUCKET: dict[str, Any] = {
    "actor": {"type": "user", "nickname": "me"},
    "repository": {
        "type": "repository",
        "links": {"self": {"href": "https://api.bitbucket.org/x"}, "html": {"href": "https://bitbucket.org/ops/fleet"}},
        "full_name": "ops/fleet",
        "name": "fleet",
    },
    "push": {
        "changes": [
            {"new": None, "old": {"type": "branch", "name": "gone", "target": {"hash": BEFORE}}, "closed": True},
            {
                "new": {"type": "branch", "name": "main", "target": {"type": "commit", "hash": AFTER}},
                "old": {"type": "branch", "name": "main", "target": {"type": "commit", "hash": BEFORE}},
                "created": False,
                "forced": False,
                "truncated": False,
            },
        ]
    },
}
# https://confluence.atlassian.com/bitbucketserver/event-payload-938025882.html#Eventpayload-Push
BITBUCKET_SERVER: dict[str, Any] = {
    "eventKey": "repo:refs_changed",
    "date": "2017-09-19T09:45:32+1000",
    "actor": {"name": "admin", "id": 1},
    "repository": {
        "slug": "fleet",
        "id": 84,
        "name": "fleet",
        "scmId": "git",
        "project": {"key": "OPS", "id": 84, "name": "ops", "public": False, "type": "NORMAL"},
        "public": False,
    },
    "changes": [
        {
            "ref": {"id": "refs/heads/main", "displayId": "main", "type": "BRANCH"},
            "refId": "refs/heads/main",
            "fromHash": BEFORE,
            "toHash": AFTER,
            "type": "UPDATE",
        }
    ],
}
# https://learn.microsoft.com/azure/devops/service-hooks/events#git.push
AZURE: dict[str, Any] = {
    "subscriptionId": "00000000-0000-0000-0000-000000000000",
    "notificationId": 1,
    "id": "03c164c2-8912-4d5e-8009-3707d5f83734",
    "eventType": "git.push",
    "publisherId": "tfs",
    "message": {"text": "somebody pushed"},
    "resource": {
        "commits": [{"commitId": AFTER, "comment": "Fixed bug"}],
        "refUpdates": [{"name": "refs/heads/main", "oldObjectId": BEFORE, "newObjectId": AFTER}],
        "repository": {
            "id": "278d5cd2-584d-4b63-824a-2ba458937249",
            "name": "fleet",
            "url": "https://dev.azure.com/org/_apis/git/repositories/278d5cd2-584d-4b63-824a-2ba458937249",
            "defaultBranch": "refs/heads/main",
            "remoteUrl": "https://dev.azure.com/org/my%20project/_git/fleet",
        },
        "pushId": 14,
    },
    "resourceVersion": "1.0",
}

SENT: dict[str, Sent] = {
    # https://docs.github.com/en/webhooks/webhook-events-and-payloads#push
    "github": Sent(
        _hub("github.com"),
        lambda body, secret: {
            "X-GitHub-Event": "push",
            "X-GitHub-Delivery": "f6266f16-1bf3-46a5-9ea4-602e06ead473",
            "X-Hub-Signature-256": f"sha256={hexed(body, secret)}",
        },
        _urls("github.com"),
        HUB_ELSEWHERE,
    ),
    "gitlab": Sent(
        GITLAB,
        lambda _, secret: {"X-Gitlab-Event": "Push Hook", "X-Gitlab-Token": secret.decode(), "Idempotency-Key": "f5e5"},
        GITLAB_URLS,
        GITLAB_ELSEWHERE,
    ),
    # The signing token: https://gitlab.com/gitlab-org/gitlab/-/merge_requests/230944
    "gitlab signed": Sent(GITLAB, _standard, GITLAB_URLS, GITLAB_ELSEWHERE),
    # https://docs.gitea.com/usage/webhooks, and as Gitea 1.21.11 and 1.22.0 send it
    "gitea": Sent(
        _hub("git.example"),
        lambda body, secret: {
            **{f"X-{name}-Event": "push" for name in ("Gitea", "Gogs", "GitHub")},
            **{f"X-{name}-Event-Type": "push" for name in ("Gitea", "Gogs", "GitHub")},
            **{f"X-{name}-Delivery": "f6266f16-1bf3-46a5-9ea4-602e06ead473" for name in ("Gitea", "Gogs", "GitHub")},
            "X-Gitea-Signature": hexed(body, secret),
            "X-Gogs-Signature": hexed(body, secret),
            "X-Hub-Signature": f"sha1={hmac.new(secret, body, hashlib.sha1).hexdigest()}",
            "X-Hub-Signature-256": f"sha256={hexed(body, secret)}",
        },
        _urls("git.example"),
        HUB_ELSEWHERE,
        encloses=True,
    ),
    # https://forgejo.org/docs/latest/user/webhooks/
    "forgejo": Sent(
        _hub("git.example"),
        lambda body, secret: {
            "X-Forgejo-Event": "push",
            "X-Forgejo-Delivery": "f6266f16-1bf3-46a5-9ea4-602e06ead473",
            "X-Forgejo-Signature": hexed(body, secret),
        },
        _urls("git.example"),
        HUB_ELSEWHERE,
        encloses=True,
    ),
    # https://gogs.io/advancing/webhooks
    "gogs": Sent(
        _hub("git.example"),
        lambda body, secret: {
            "X-Gogs-Event": "push",
            "X-Gogs-Delivery": "f6266f16-1bf3-46a5-9ea4-602e06ead473",
            "X-Gogs-Signature": hexed(body, secret),
        },
        _urls("git.example"),
        HUB_ELSEWHERE,
        encloses=True,
    ),
    "bitbucket": Sent(
        BITBUCKET,
        lambda body, secret: {
            "X-Event-Key": "repo:push",
            "X-Request-UUID": "b1e1",
            "X-Hub-Signature": f"sha256={hexed(body, secret)}",
        },
        _urls("bitbucket.org"),
        (
            _set("push", "changes", to=[]),
            _set("repository", "links", "html", "href", to="https://bitbucket.org/ops/other"),
        ),
    ),
    "bitbucket-server": Sent(
        BITBUCKET_SERVER,
        lambda body, secret: {
            "X-Event-Key": "repo:refs_changed",
            "X-Request-Id": "b1e1",
            "X-Hub-Signature": f"sha256={hexed(body, secret)}",
        },
        ("https://bitbucket.example/scm/OPS/fleet.git", "ssh://git@bitbucket.example:7999/ops/fleet.git"),
        (_set("changes", 0, "ref", "id", to="refs/heads/other"), _set("repository", "slug", to="other")),
    ),
    "azure": Sent(
        AZURE,
        lambda _, secret: {"Authorization": _basic(secret)},
        (
            "https://dev.azure.com/org/my%20project/_git/fleet",
            "https://org@dev.azure.com/org/My%20Project/_git/fleet",
            "git@ssh.dev.azure.com:v3/org/my%20project/fleet",
            "https://org.visualstudio.com/DefaultCollection/my%20project/_git/fleet",
            "org@vs-ssh.visualstudio.com:v3/org/my%20project/fleet",
        ),
        (
            _set("resource", "refUpdates", 0, "name", to="refs/heads/other"),
            _set("resource", "repository", "remoteUrl", to="https://dev.azure.com/org/other/_git/fleet"),
        ),
    ),
    "generic": Sent(
        {"repository": "https://git.example/ops/fleet", "ref": "refs/heads/main"},
        lambda body, secret: {"X-Delivery-Id": "1", "X-Signature-256": f"sha256={hexed(body, secret)}"},
        _urls("git.example"),
        (_set("ref", to="main"), _set("repository", to="https://git.example/ops/other")),
    ),
}
# Another way to say the same has the same provider.
PROVIDER = {name: name.split()[0] for name in SENT}
