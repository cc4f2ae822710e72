"""Virtual machines of the document ⇔ VirtualMachine documents, with what is reported from them."""

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

from api.surfaces.envoy_fleet.mapping.envoy import without_none
from api.surfaces.envoy_fleet.wire import Invalid, moment
from reconciler.core import masked
from reconciler.core.declared import Declared
from reconciler.core.envelope import LONGEST_NAME, NAME
from reconciler.core.model import Ref
from reconciler.core.proposal import Change
from reconciler.store import Report

KIND = "VirtualMachine"
# The document's words ⇒ ours, of what is the same in both.
WORDS = {
    "ip_address": "address",
    "region": "region",
    "availability_zone": "zone",
    "status": "status",
    "cpu_cores": "cpuCores",
    "memory_mb": "memoryMb",
    "disk_gb": "diskGb",
    "metadata": "metadata",
}
METADATA_KEY = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?")
ACTIVE = "active"


def created(body: Mapping[str, Any], tenant: str) -> Change:
    """Raises Invalid."""
    hostname = body["hostname"]
    name = name_of(hostname)
    spec = _said(body)
    if hostname != name:
        spec = {"hostname": hostname} | spec
    return Change("put", Ref(KIND, name, tenant), {"spec": spec}, new=True)


def name_of(hostname: str) -> str:
    """Host names are of any case and may have dots, names are neither; raises Invalid where that leaves none."""
    name = hostname.lower().replace(".", "-")
    if not NAME.fullmatch(name):
        raise Invalid("hostname", f"must be a host name of at most {LONGEST_NAME} characters")
    return name


def changed(body: Mapping[str, Any], declared: Declared) -> Change:
    """A merge patch: what is left out stays, metadata are put in the place of those that are there. Raises Invalid."""
    spec = declared.spec
    if "hostname" in body and body["hostname"].lower() != hostname_of(declared).lower():
        raise Invalid("hostname", "a host name stays: create another virtual machine, and delete this one")
    patch = _said(body)
    if "metadata" in patch:
        known = spec.get("metadata")
        patch["metadata"] = (dict.fromkeys(known) if isinstance(known, Mapping) else {}) | patch["metadata"]
    return Change(
        "patch",
        Ref.parse(declared.ref),
        {"spec": patch} if patch else {},
        match=(declared.digest,) if "metadata" in patch else (),
    )


def _said(body: Mapping[str, Any]) -> dict[str, Any]:
    if "ip_address" in body:
        try:
            ipaddress.ip_address(body["ip_address"])
        except ValueError:
            raise Invalid("ip_address", "must be an IP address, as in 10.0.1.5 or 2001:db8::5") from None
    for key in body.get("metadata", ()):
        if not METADATA_KEY.fullmatch(key):
            raise Invalid(
                "metadata", "names in it are of letters and digits, with `.`, `_`, `-` and `/` between them, at most 63"
            )
    return {ours: body[theirs] for theirs, ours in WORDS.items() if theirs in body}


def shown(declared: Declared, containers: int, report: Report | None) -> dict[str, Any]:
    spec = masked.shown(declared.spec)
    said = {theirs: spec.get(ours) for theirs, ours in WORDS.items()}
    return {
        "id": declared.uid,
        "hostname": hostname_of(declared),
        **said,
        "status": said["status"] or ACTIVE,
        "metadata": without_none(said["metadata"] or {}),
        "container_count": containers,
        "last_heartbeat": moment(report.at) if report is not None else None,
        "created_at": moment(declared.created),
        "updated_at": moment(max(declared.at, report.at if report is not None else 0.0)),
    }


def hostname_of(declared: Declared) -> str:
    return str(declared.spec.get("hostname") or declared.name)
