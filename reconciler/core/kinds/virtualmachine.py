"""VirtualMachine: a machine that Convoy knows of."""

import ipaddress
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from reconciler.core.kinds.spec import Spec, broken

# What a region or a zone is called, by whoever offers it.
PLACE_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$"
# https://www.rfc-editor.org/rfc/rfc1123#page-13: labels with dots between them.
HOSTNAME_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$"
ADDRESS_PATTERN = r"^[0-9A-Fa-f.:]+$"
LINE_PATTERN = r"^[^\x00-\x1f\x7f-\x9f]*$"
MOST_METADATA = 50


def ip_address(text: str) -> str:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise broken(f"{text!r} is not an IP address", "write it as in 10.0.1.5 or 2001:db8::5") from None
    return text


Place = Annotated[str, Field(pattern=PLACE_PATTERN)]
Line = Annotated[str, Field(pattern=LINE_PATTERN, max_length=1000)]
MetadataKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$")]
IpAddress = Annotated[str, Field(pattern=ADDRESS_PATTERN, max_length=45), AfterValidator(ip_address)]


class VirtualMachine(Spec):
    """A machine that is registered: it is known, and what runs on it can be registered too. Convoy does not make it, and does
    nothing on it."""

    example: ClassVar[dict[str, Any]] = {
        "apiVersion": "convoy/v1",
        "kind": "VirtualMachine",
        "metadata": {"name": "vm-prod-001"},
        "spec": {
            "address": "10.0.1.5",
            "region": "us-west-2",
            "zone": "us-west-2a",
            "cpuCores": 8,
            "memoryMb": 16384,
            "diskGb": 500,
            "metadata": {"provider": "aws"},
        },
    }

    hostname: str | None = Field(None, pattern=HOSTNAME_PATTERN, max_length=253)
    """What the machine calls itself; its name where left out."""
    address: IpAddress
    """Its IP address."""
    region: Place | None = None
    """The region it is in."""
    zone: Place | None = None
    """The availability zone it is in."""
    cpu_cores: int | None = Field(None, ge=1, le=100_000)
    """How many processor cores it has."""
    memory_mb: int | None = Field(None, ge=1, le=1_000_000_000)
    """How much memory it has, in MiB."""
    disk_gb: int | None = Field(None, ge=1, le=1_000_000_000)
    """How much disk it has, in GiB."""
    status: Literal["active", "inactive", "maintenance"] = "active"
    """Whether it is in use. It is said of it, and changes nothing of what runs."""
    metadata: dict[MetadataKey, Line] = Field(default_factory=dict, max_length=MOST_METADATA)
    """Whatever else people want to know of it."""
