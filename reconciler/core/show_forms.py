"""Words one event as a webhook of the envoy-fleet document carries it, by that document's names for what happens."""

import hashlib
import hmac
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from reconciler.core.show_events import fared_before
from reconciler.core.show_notice import one_line

SIGNATURE = "X-Webhook-Signature"
# What Convoy calls an event ⇒ what that document does, and the status that a deployment has then.
DEPLOYMENTS: Mapping[str, tuple[str, str]] = {
    "rollout.started": ("deployment.started", "in_progress"),
    "rollout.progress": ("deployment.progress", "in_progress"),
    "rollout.completed": ("deployment.completed", "completed"),
    "rollout.failed": ("deployment.failed", "failed"),
}
# How a proxy fares in Convoy's words ⇒ in that document's (EF-C28); whatever else it is, it is not known to be either.
STATUSES: Mapping[str, str] = {"healthy": "healthy", "degraded": "unhealthy", "unhealthy": "unhealthy"}
# The end of the year 9999: what is beyond it was spoiled by somebody.
LAST_MOMENT = 253_402_300_799.0
HEALTH, PROXY = "health.", "Proxy/"
TEST = "webhook.test"


def proxy_status(health: str) -> str:
    return STATUSES.get(health, "unknown")


def moment(at: float) -> str:
    """Unix seconds as that document writes them."""
    return datetime.fromtimestamp(min(max(at, 0.0), LAST_MOMENT), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def told(kind: str, ref: str, message: str) -> bool:
    """Whether this is anything in that document's words: a proxy that is as well as before is not."""
    if not kind.startswith(HEALTH):
        return True
    return ref.startswith(PROXY) and proxy_status(fared_before(message)) != proxy_status(kind.removeprefix(HEALTH))


def payload(message: Mapping[str, Any]) -> dict[str, Any]:
    """{id, event, timestamp, data} of a message with one event, or with none, which is a test."""
    id = _uuid(message["id"])
    if not message["events"]:
        words = f"a test of {one_line(message['notification'])}: whoever reads it would be told"
        return {"id": id, "event": TEST, "timestamp": moment(message["at"]), "data": {"message": words}}
    one = message["events"][0]
    kind, at, uid, name = one["kind"], moment(one["at"]), one.get("uid", ""), one["ref"].rpartition("/")[2]
    about = {"message": one_line(one["message"]), "timestamp": at}
    if kind in DEPLOYMENTS:
        event, status = DEPLOYMENTS[kind]
        data = {"deployment_id": uid, "name": one_line(name), "status": status, **about}
    elif kind.startswith(HEALTH):
        before, now = proxy_status(fared_before(one["message"])), proxy_status(kind.removeprefix(HEALTH))
        event, data = "proxy.status.changed", {"proxy_id": uid, "old_status": before, "new_status": now, **about}
    else:
        event, data = one_line(kind), {"resource": one_line(one["ref"]), "resource_id": uid, **about}
    return {"id": id, "event": event, "timestamp": at, "data": data}


def _uuid(id: str) -> str:
    try:
        return str(uuid.UUID(id))
    except ValueError:
        return str(uuid.uuid5(uuid.NAMESPACE_OID, id))


def signature(secret: bytes, body: bytes) -> str:
    """Of the body as it is sent."""
    return f"sha256={hmac.new(secret, body, hashlib.sha256).hexdigest()}"
