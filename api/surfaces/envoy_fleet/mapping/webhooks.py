"""Webhooks of the document ⇔ Notification documents whose webhook has the document's form."""

import ipaddress
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from api.surfaces.envoy_fleet.wire import Invalid, moment
from reconciler.core.declared import Declared
from reconciler.core.model import Ref
from reconciler.core.near import did_you_mean, listing
from reconciler.core.proposal import Change
from reconciler.core.show_events import EVENT_KINDS
from reconciler.core.show_forms import DEPLOYMENTS, HEALTH, TEST
from reconciler.core.values import host_only
from reconciler.store import Attempt

KIND, FORM = "Notification", "envoy-fleet"
AT = ("spec", "to", "webhook", "form")
# The document's names for what happens ⇒ Convoy's; the rest of what is about resources bears Convoy's own.
EVENTS: Mapping[str, str] = {event: kind for kind, (event, _) in DEPLOYMENTS.items()} | {
    "proxy.status.changed": HEALTH.rstrip(".")
}
OWN = tuple(kind for kind in EVENT_KINDS if kind.partition(".")[0] in ("action", "status", "xds") and "*" not in kind)
STATUSES = {"told": "delivered", "failed": "failed", "given up": "given_up"}


def patterns(body: Mapping[str, Any]) -> list[str]:
    """What of Convoy's events is told. Raises Invalid."""
    known = (*EVENTS, *OWN)
    for place, name in enumerate(body["events"]):
        if name == "configuration.updated":
            raise Invalid(f"events[{place}]", "it is told over the WebSocket alone (/api/v1/ws)")
        if name not in known:
            reason = f"there is no such event: {did_you_mean(name, known, f'there is {listing(known, 40)}')}"
            raise Invalid(f"events[{place}]", reason)
    return [EVENTS.get(name, name) for name in body["events"]]


def public(url: str) -> None:
    """What is plainly no public address is refused at once; names are looked at whenever something is sent. Raises Invalid."""
    try:
        host = urlsplit(url).hostname or ""
        urlsplit(url).port  # noqa: B018 - it is read by that
    except ValueError:
        raise Invalid("url", "is no address: it looks like https://hooks.example/path") from None
    try:
        inside = not ipaddress.ip_address(host.partition("%")[0]).is_global
    except ValueError:
        inside = host.rstrip(".").lower().endswith("localhost")
    if inside:
        raise Invalid("url", "is not a public address: a document in Git can allow that (`allowPrivate`)")


def created(body: Mapping[str, Any], name: str, tenant: str, secret: Mapping[str, str] | None) -> Change:
    """`secret` is sealed. Raises Invalid."""
    webhook: dict[str, Any] = {"url": body["url"], "form": FORM}
    if secret is not None:
        webhook["secret"] = dict(secret)
    spec: dict[str, Any] = {"on": patterns(body), "to": {"webhook": webhook}, "repeatAfterSeconds": 0}
    if not body.get("active", True):
        spec["active"] = False
    return Change("put", Ref(KIND, name, tenant), {"spec": spec}, new=True)


def is_webhook(declared: Declared) -> bool:
    """Whether it is one of these: the others say what this document has no words for."""
    return _webhook(declared).get("form") == FORM


def is_active(declared: Declared) -> bool:
    return declared.spec.get("active") is not False


def shown(declared: Declared, last: Attempt | None, *, whole: bool) -> dict[str, Any]:
    """`whole`: with all of its address, which often is a secret itself, for whoever may change it."""
    webhook, spec = _webhook(declared), declared.spec
    on, url = spec.get("on"), webhook.get("url")
    names = {kind: event for event, kind in EVENTS.items()}
    return {
        "id": declared.uid,
        "name": declared.name,
        "url": (url if whole else host_only(url)) if isinstance(url, str) else None,
        "events": [names.get(str(one), str(one)) for one in on] if isinstance(on, list) else [],
        "active": is_active(declared),
        "signed": webhook.get("secret") is not None,
        "last_delivery": delivered(last) if last is not None else None,
        "created_at": moment(declared.created),
        "updated_at": moment(declared.at),
    }


def delivered(one: Attempt) -> dict[str, Any]:
    names = {kind: event for event, kind in EVENTS.items()}
    return {
        "id": str(uuid.UUID(one.message)) if len(one.message) == 32 else str(uuid.uuid5(uuid.NAMESPACE_OID, one.message)),
        "event": names.get(one.events, "proxy.status.changed" if one.events.startswith(HEALTH) else one.events) or TEST,
        "status": STATUSES[one.outcome],
        "attempt": one.tries,
        "error": one.error or None,
        "duration_ms": round(1000 * one.took_s),
        "timestamp": moment(one.at),
    }


def pending(id: str, at: float) -> dict[str, Any]:
    """A test whose outcome is not known yet."""
    said = {"id": str(uuid.UUID(id)), "event": TEST, "status": "pending", "attempt": 1}
    return {**said, "error": None, "duration_ms": None, "timestamp": moment(at)}


def _webhook(declared: Declared) -> Mapping[str, Any]:
    to = declared.spec.get("to")
    webhook = to.get("webhook") if isinstance(to, Mapping) else None
    return webhook if isinstance(webhook, Mapping) else {}
