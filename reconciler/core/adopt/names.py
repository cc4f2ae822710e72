"""Names of documents made from names that an Envoy knows; the Envoy goes on seeing its own wherever it can."""

import re
import unicodedata
from collections.abc import Collection

from reconciler.core.kinds.spec import NAME_PATTERN

LABEL = re.compile(NAME_PATTERN)
# What the names of listeners, routes and clusters in a Configuration may be (kinds/traffic.py).
ON_THE_WIRE = re.compile(r"^[^\s\x00]{1,253}\Z")


def is_label(name: str) -> bool:
    return LABEL.fullmatch(name) is not None


def label(name: str, otherwise: str) -> str:
    """The DNS label nearest to this name."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    found = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:63].strip("-")
    return found or otherwise


def unique(name: str, taken: Collection[str]) -> str:
    """The name, with a number behind it where it is taken."""
    if name not in taken:
        return name
    number = 2
    while f"{name[: 62 - len(str(number))]}-{number}" in taken:
        number += 1
    return f"{name[: 62 - len(str(number))]}-{number}"
