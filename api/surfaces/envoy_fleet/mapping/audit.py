"""The audit in this dialect's words: which calls are meant, and each as it is shown."""

import datetime
import re
import uuid
from collections.abc import Mapping
from typing import Any

from api.surfaces.envoy_fleet.wire import Invalid, moment
from reconciler.store import Call, Wanted

DAY = datetime.timedelta(days=1)
WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def wanted(query: Mapping[str, Any], tenants: tuple[str, ...]) -> Wanted:
    """Raises Invalid."""
    user = query.get("user_id")
    if user is not None:
        try:
            user = str(uuid.UUID(user))
        except ValueError:
            raise Invalid("user_id", "must be a UUID") from None
    for name in ("action", "resource_type"):
        if name in query and not WORD.fullmatch(query[name]):
            raise Invalid(name, "must be a word")
    return Wanted(
        tenants,
        user,
        query["action"].upper() if "action" in query else None,
        query["resource_type"].lower() if "resource_type" in query else None,
        _time("start_date", query, end=False),
        _time("end_date", query, end=True),
    )


def _time(name: str, query: Mapping[str, Any], *, end: bool) -> float | None:
    """Unix seconds of a day, or of a moment; the end of a day is its last second."""
    text = query.get(name)
    if text is None:
        return None
    try:
        found = datetime.datetime.fromisoformat(text)
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            found += DAY if end else datetime.timedelta()
        elif end:
            # A moment is a second, and what happened in it is meant.
            found += datetime.timedelta(seconds=1)
        return (found if found.tzinfo is not None else found.replace(tzinfo=datetime.UTC)).timestamp()
    except (ValueError, OverflowError):
        raise Invalid(name, "must be a day (2024-01-15) or a moment (2024-01-15T10:30:00Z)") from None


def shown(call: Call) -> dict[str, Any]:
    return {
        "id": call.id,
        "user": {"id": call.account or None, "email": call.by if call.account else None},
        "token": call.by or None if not call.account else None,
        "action": call.action,
        "resource_type": call.resource_type,
        "resource_id": call.resource_id or None,
        "changes": {"before": call.before, "after": call.after},
        "ip_address": call.address,
        "user_agent": call.agent,
        "timestamp": moment(call.at),
        "surface": call.surface,
        "status": call.status,
        "request_id": call.request,
    }
