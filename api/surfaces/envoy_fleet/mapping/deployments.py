"""Deployments of the document ⇔ Rollout documents, and the pins of the proxies that they name."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from api.surfaces.envoy_fleet.wire import Invalid, moment
from reconciler.core.declared import Declared, Version
from reconciler.core.envelope import LONGEST_NAME
from reconciler.core.model import Ref
from reconciler.core.proposal import Change
from reconciler.core.rollout import COMPLETED, FAILED, counts_said

KIND, CONFIGURATION, PROXY = "Rollout", "Configuration", "Proxy"
ALL_AT_ONCE = "all_at_once"
# A commit's whole name, by which proxies are pinned (Proxy.revision).
REVISION = re.compile(r"[0-9a-f]{40}")
# As the document calls it; what came after it came instead of it.
STATUSES = {"superseded": "failed"}
COUNTS = ("completed", "in_progress", "pending", "failed")


def refused(body: Mapping[str, Any]) -> None:
    """What can be said and cannot be done. Raises Invalid."""
    strategy = body.get("deployment_strategy", ALL_AT_ONCE)
    if strategy != ALL_AT_ONCE:
        reason = f"{strategy} is not served: all proxies are told at once, which is {ALL_AT_ONCE}"
        raise Invalid("deployment_strategy", reason)
    if "canary_config" in body:
        raise Invalid("canary_config", "it belongs to the strategy canary, which is not served: leave it out")
    if ("version_id" in body) == ("version" in body):
        raise Invalid("version_id", "say which version is deployed: by version_id, or by its number in version")


def pinnable(version: Version, field: str) -> None:
    """Raises Invalid where no proxy can name what declares it."""
    if not REVISION.fullmatch(version.commit):
        reason = (
            f"version {version.n} was read from a plain folder, and no commit declares it: commit what it said again, "
            "or roll back to it, and deploy the version that comes of that"
        )
        raise Invalid(field, reason)


def created(version: Version, proxies: Sequence[Declared], word: str) -> tuple[Change, ...]:
    """The Rollout and, in the same commit, what each proxy is pinned to. `word` tells its name from others'."""
    configuration = Ref.parse(version.ref)
    ending = f"-v{version.n}-{word}"
    name = configuration.name[: LONGEST_NAME - len(ending)].rstrip("-") + ending
    pin = {"configuration": configuration.name, "revision": version.commit}
    rollout = {"spec": {**pin, "proxies": [one.name for one in proxies]}}
    return (
        Change("put", Ref(KIND, name, configuration.tenant), rollout, new=True),
        *(Change("patch", Ref(PROXY, one.name, one.tenant), {"spec": pin}) for one in proxies),
    )


def proxies_of(declared: Declared) -> list[str]:
    """Their names."""
    listed = declared.spec.get("proxies")
    return [str(one) for one in listed] if isinstance(listed, list) else []


def configuration_of(declared: Declared) -> Ref:
    return Ref(CONFIGURATION, str(declared.spec.get("configuration", "")), declared.tenant)


def revision_of(declared: Declared) -> str:
    return str(declared.spec.get("revision", ""))


def served_by(proxy: Declared, group: Declared | None) -> str:
    """The name of the Configuration that a proxy serves: its own, or its group's; "" for none."""
    own = proxy.spec.get("configuration")
    return str(own or (group.spec.get("configuration") if group is not None else "") or "")


def group_of(proxy: Declared) -> str:
    return str(proxy.spec.get("group", ""))


def shown(declared: Declared, row: Mapping[str, Any] | None) -> dict[str, Any]:
    """`row` is its status, as far as anybody has looked. Before that all its proxies wait."""
    names = proxies_of(declared)
    found = row.get("rollout") if row is not None else None
    counts: dict[str, int] = {"pending": len(names)}
    said: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    if said:
        counts = {name: int(said.get(name, 0)) for name in COUNTS}
        counts["failed"] += int(said.get("superseded", 0))
    state = str(said.get("state", "pending"))
    return {
        "id": declared.uid,
        "name": declared.name,
        "status": STATUSES.get(state, state),
        "strategy": str(declared.spec.get("strategy", "all-at-once")).replace("-", "_"),
        "started_at": moment(said.get("startedAt", declared.created)),
        "completed_at": moment(said.get("endedAt")),
        "progress": {"total_proxies": len(names), **{name: counts.get(name, 0) for name in COUNTS}},
        "canary_status": None,
        "message": str(row.get("why", "")) if row is not None else "",
        "created_at": moment(declared.created),
        "updated_at": moment(declared.at),
    }


def told(declared: Declared, kind: str, message: str, at: float, began: object) -> dict[str, Any]:
    """The same as it was when an event told of it: `kind` and `message` are the event's, `at` is when, and `began` when it
    began (Unix seconds), as far as that is known."""
    total, ended = len(proxies_of(declared)), kind in (COMPLETED, FAILED)
    counts = {"completed": total} if kind == COMPLETED else counts_said(message) or {"pending": total}
    state = kind.removeprefix("rollout.") if ended else "in_progress"
    known = isinstance(began, float | int) and began <= at
    row = {
        "why": message,
        "rollout": {"state": state, "startedAt": began if known else at, "endedAt": at if ended else None, **counts},
    }
    return shown(declared, row)


def followed(
    declared: Declared, row: Mapping[str, Any] | None, version: Version | None, uids: Mapping[str, str]
) -> dict[str, Any]:
    """The same, with what it takes where. `uids`: proxy's name ⇒ its id, for those that are still there."""
    found = row.get("rollout") if row is not None else None
    listed = found.get("proxies") if isinstance(found, Mapping) else None
    turns = {str(one["proxy"]): one for one in listed} if isinstance(listed, list) else {}
    every = [(name, turns.get(name, {"state": "pending", "why": ""})) for name in proxies_of(declared)]
    return {
        **shown(declared, row),
        "version_id": version.id if version is not None else None,
        "version_number": version.n if version is not None else None,
        "configuration": configuration_of(declared).name,
        "revision": revision_of(declared),
        "proxies": [
            {
                "proxy_id": uids.get(name),
                "name": name,
                "status": STATUSES.get(str(turn["state"]), str(turn["state"])),
                "message": str(turn["why"]),
            }
            for name, turn in every
        ],
    }
