"""What everything is called, and where it is written: names, places, problems with what stands there, and digests."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any, NamedTuple

DEFAULT_TENANT = "default"

# Instances are digests of declared fields. The number is part of what is hashed: raise it only when the meaning of the
# same fields changes so much that everything made from them must be replaced.
DIGEST_FORMAT = "1"


class Ref(NamedTuple):
    """Which resource: its kind, its tenant and its name. Printed `Kind/name`, or `Kind/tenant/name` off the default.

    A tuple, for it is looked up half a million times in a round over ten thousand resources, and a tuple's hash is quicker.
    """

    kind: str
    name: str
    tenant: str = DEFAULT_TENANT

    def __str__(self) -> str:
        if self.tenant == DEFAULT_TENANT:
            return f"{self.kind}/{self.name}"
        return f"{self.kind}/{self.tenant}/{self.name}"

    @classmethod
    def parse(cls, text: str) -> "Ref":
        """Read what `str(ref)` prints; raises ValueError on anything else."""
        parts = text.split("/")
        if len(parts) == 2 and all(parts):
            return cls(parts[0], parts[1])
        if len(parts) == 3 and all(parts):
            return cls(parts[0], parts[2], parts[1])
        raise ValueError(f"{text!r} is not KIND/NAME or KIND/TENANT/NAME")


@dataclass(frozen=True, slots=True, order=True)
class Where:
    """A place in the fleet repository; line and column count from 1."""

    file: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with what somebody wrote, where, and how to mend it. `quiet`: its line may hold a secret: never show it."""

    where: Where
    what: str
    hint: str = ""
    ref: Ref | None = None
    quiet: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (f" ({self.hint})" if self.hint else "")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a document stands: file, first line (from 1), byte span in that file, and the blob it was read from."""

    file: str
    line: int
    start: int
    end: int
    blob: str = ""


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and no spaces: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest(value: Any) -> str:
    """Sixteen hexadecimal digits that name this JSON value's content."""
    return hashlib.sha256(DIGEST_FORMAT.encode() + canonical(value)).hexdigest()[:16]


def blob_id(content: bytes) -> str:
    """By which name Git knows this content, and the loader what it says."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
