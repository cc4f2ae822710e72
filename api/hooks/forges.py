"""Each forge's push, as its documentation has it: one pure function a forge, headers and body in, an Event out, or Malformed.

A forge is told from another by the hook's address, never by guessing from headers. Of what is pushed only the names are taken:
what has changed is found out from Git.
"""

from collections.abc import Mapping
from typing import Any

from api.hooks.delivery import Delivery, Event, Malformed, branch, document, keys, part, parts, text, word
from reconciler.repository import NOWHERE, anywhere, key

OURS = ("clone_url", "ssh_url", "html_url", "git_url", "url")


def github(delivery: Delivery) -> Event:
    """https://docs.github.com/en/webhooks/webhook-events-and-payloads#push"""
    return _like_github(delivery, delivery.header("x-github-event"), delivery.header("x-github-delivery"))


def gitea(delivery: Delivery) -> Event:
    """https://docs.gitea.com/usage/webhooks, and https://forgejo.org/docs/latest/user/webhooks/"""
    name = delivery.header("x-gitea-event") or delivery.header("x-forgejo-event")
    return _like_github(delivery, name, delivery.header("x-gitea-delivery") or delivery.header("x-forgejo-delivery"))


def gogs(delivery: Delivery) -> Event:
    """https://gogs.io/advancing/webhooks"""
    return _like_github(delivery, delivery.header("x-gogs-event"), delivery.header("x-gogs-delivery"))


def _like_github(delivery: Delivery, name: str, id: str) -> Event:
    said = document(delivery, form=True)
    if name != "push":
        return Event("ping" if name == "ping" else "other", word(name), id=word(id))
    return Event("push", name, keys(part(said, "repository"), OURS), branch(text(said, "ref")), word(id))


def gitlab(delivery: Delivery) -> Event:
    """https://docs.gitlab.com/user/project/integrations/webhook_events/#push-events, and system hooks of the same kind."""
    said = document(delivery)
    name = delivery.header("x-gitlab-event")
    # One push may be told by a project's hook and a group's: each has an id of its own, and only a retry has the same.
    id = word(delivery.header("webhook-id") or delivery.header("idempotency-key") or delivery.header("x-gitlab-event-uuid"))
    pushed = name == "Push Hook" or (name == "System Hook" and said.get("event_name") == "push")
    if not pushed:
        return Event("other", word(name), id=id)
    found = keys(part(said, "project"), ("git_http_url", "git_ssh_url", "web_url", "http_url", "ssh_url"))
    return Event("push", word(name), found, branch(text(said, "ref")), id)


def bitbucket(delivery: Delivery) -> Event:
    """https://support.atlassian.com/bitbucket-cloud/docs/event-payloads/#Push"""
    said = document(delivery)
    name, id = delivery.header("x-event-key"), word(delivery.header("x-request-uuid"))
    if name != "repo:push":
        return Event("other", word(name), id=id)
    branches: set[str] = set()
    for change in parts(part(said, "push"), "changes"):
        # One of them is null where a branch was made or deleted.
        for side in (change.get("new"), change.get("old")):
            if side is None:
                continue
            if not isinstance(side, dict):
                raise Malformed("a change's `new` or `old` is no object")
            if side.get("type") in ("branch", "named_branch"):
                branches.add(text(side, "name"))
    return Event("push", name, _linked(part(said, "repository")), frozenset(branches), id)


def _linked(repository: Mapping[str, Any]) -> frozenset[str]:
    return keys(part(part(repository, "links"), "html"), ("href",))


def bitbucket_server(delivery: Delivery) -> Event:
    """https://confluence.atlassian.com/bitbucketserver/event-payload-938025882.html: not every version names the repository's
    URL, but all its project and its name, of which the path is made."""
    said = document(delivery)
    name, id = delivery.header("x-event-key"), word(delivery.header("x-request-id"))
    if name != "repo:refs_changed":
        return Event("ping" if name == "diagnostics:ping" else "other", word(name), id=id)
    repository = part(said, "repository")
    project, slug = text(part(repository, "project"), "key"), text(repository, "slug")
    found = {anywhere(f"{project}/{slug}")}
    links = repository.get("links")
    if isinstance(links, dict) and isinstance(links.get("clone"), list):
        found |= {key(text(link, "href")) for link in parts(links, "clone")}
    branches: frozenset[str] = frozenset()
    for change in parts(said, "changes"):
        branches |= branch(text(part(change, "ref"), "id"))
    found -= {NOWHERE}
    if not found:
        raise Malformed("the repository has no name")
    return Event("push", name, frozenset(found), branches, id)


def azure(delivery: Delivery) -> Event:
    """https://learn.microsoft.com/azure/devops/service-hooks/events#git.push"""
    said = document(delivery)
    name, id = text(said, "eventType"), word(text(said, "id"))
    if name != "git.push":
        return Event("other", word(name), id=id)
    resource = part(said, "resource")
    branches: frozenset[str] = frozenset()
    for update in parts(resource, "refUpdates"):
        branches |= branch(text(update, "name"))
    return Event("push", name, keys(part(resource, "repository"), ("remoteUrl", "sshUrl", "webUrl")), branches, id)


def generic(delivery: Delivery) -> Event:
    """Ours, for whatever sends JSON: `{"repository": URL, "branch": NAME}`, or `ref` instead of `branch`; `{"ping": true}`."""
    said = document(delivery)
    id = word(delivery.header("x-delivery-id"))
    if said.get("ping") is True:
        return Event("ping", "ping", id=id)
    if "ref" in said and "branch" in said:
        raise Malformed("give either `branch` or `ref`")
    branches = branch(text(said, "ref")) if "ref" in said else frozenset({text(said, "branch")})
    return Event("push", "push", keys(said, ("repository",)), branches, id)
