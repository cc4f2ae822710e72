"""Containers of the document ⇔ Container documents: what is declared, with what it has reported or what is observed of it."""

import re
from collections.abc import Mapping
from typing import Any

from api.surfaces.envoy_fleet.wire import Invalid, moment
from reconciler.core import masked
from reconciler.core.declared import Declared
from reconciler.core.model import Ref
from reconciler.core.proposal import Change
from reconciler.core.values import CLEAR, PRIVATE, SEALED, is_sealed, is_secret, without_secrets
from reconciler.store import Has, Report

KIND, MACHINE = "Container", "VirtualMachine"
ENVIRONMENT = ("environment",)
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,255}")
AT = ("spec", "virtualMachine")
NOTHING: frozenset[str | None] = frozenset({None})
CREATED = "created"
# How a container that Convoy runs fares ⇒ in the document's words.
FARES: Mapping[str | None, str] = {
    None: CREATED,
    "none": CREATED,
    "starting": CREATED,
    "healthy": "running",
    "degraded": "running",
    "unhealthy": "failed",
    "unknown": "unknown",
}


def secrets(body: Mapping[str, Any]) -> dict[str, str]:
    """Of its variables, those that have to be sealed. Raises Invalid."""
    given = body.get("environment_vars", {})
    for name, value in given.items():
        if not VARIABLE.fullmatch(name):
            raise Invalid("environment_vars", "names in it are of letters, digits and `_`, no digit first, at most 256")
        if value in (SEALED, CLEAR):
            raise Invalid(f"environment_vars.{name}", "this stands for a value that is not shown: give the value itself")
    return {name: text for name, text in given.items() if looks_secret(name, text)}


def looks_secret(name: str, text: str) -> bool:
    """Whether a variable is sealed before it is committed."""
    return is_secret(ENVIRONMENT, name) or bool(PRIVATE.search(text)) or without_secrets(text) != text


def created(body: Mapping[str, Any], tenant: str, machine: str, sealed: Mapping[str, Mapping[str, str]]) -> Change:
    """`machine` is the name of its VirtualMachine, `sealed` are those of its variables that are secret."""
    spec: dict[str, Any] = {"virtualMachine": machine, "containerId": body["container_id"], "image": body["image"]}
    if body.get("resource_limits"):
        spec["resources"] = dict(body["resource_limits"])
    environment = {**body.get("environment_vars", {}), **{name: dict(one) for name, one in sealed.items()}}
    if environment:
        spec["environment"] = environment
    return Change("put", Ref(KIND, body["name"], tenant), {"spec": spec}, new=True)


def machine_of(declared: Declared) -> str:
    """The name of the VirtualMachine it is registered on, "" for one that Convoy runs."""
    return str(declared.spec.get("virtualMachine") or "")


def faring(status: str) -> tuple[tuple[Has, ...], ...]:
    """Those that are in this state: as they have reported, or as is observed of what Convoy runs."""
    reported: set[str | None] = {status, *((None,) if status == CREATED else ())}
    seen = frozenset(word for word, said in FARES.items() if said == status)
    own = (Has(AT, NOTHING), Has(("health",), seen, of="status"))
    return ((Has(AT, NOTHING, differs=True), Has((), frozenset(reported), of="report")), own)


def shown(declared: Declared, machine: str | None, report: Report | None, status: Mapping[str, Any] | None) -> dict[str, Any]:
    """`machine` is the uid of its VirtualMachine, `status` the row of its status."""
    spec = masked.shown(declared.spec)
    environment = spec.get("environment")
    state, restarts = _observed(status)
    if machine_of(declared):
        state, restarts = (report.status or CREATED, report.restarts) if report is not None else (CREATED, 0)
    else:
        report = None
    return {
        "id": declared.uid,
        "vm_id": machine,
        "container_id": spec.get("containerId"),
        "name": declared.name,
        "image": spec.get("image"),
        "resource_limits": dict(spec.get("resources") or {}),
        "environment_vars": {
            name: SEALED if is_sealed(value) else str(value)
            for name, value in (environment.items() if isinstance(environment, Mapping) else ())
        },
        "status": state,
        "restart_count": restarts,
        "created_at": moment(declared.created),
        "updated_at": moment(max(declared.at, report.at if report is not None else 0.0)),
    }


def _observed(status: Mapping[str, Any] | None) -> tuple[str, int]:
    found = (status or {}).get("instances")
    first = found[0] if isinstance(found, list) and found and isinstance(found[0], Mapping) else {}
    restarts, health = first.get("restarts"), (status or {}).get("health")
    known = FARES.get(health if isinstance(health, str) else None, "unknown")
    return known, restarts if isinstance(restarts, int) and restarts > 0 else 0
