"""What was said on a pull request, as every forge's answers are read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from reconciler.forge.wire import ForgeError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Comment:
    """One comment. `author` is the account's name on that forge."""

    id: int
    author: str
    body: str
    url: str


@dataclass(frozen=True, slots=True)
class Pull:
    """One pull request, and where people find it. `revision` is the commit by which it was merged, "" where none is told."""

    number: int
    url: str
    state: Literal["open", "merged", "closed"] = "open"
    revision: str = ""


def field(value: Mapping[str, Any], name: str, kind: type[T]) -> T:
    """A field that has to be there; raises ForgeError."""
    found = value.get(name)
    if not isinstance(found, kind) or isinstance(found, bool):
        raise ForgeError(f"the forge's answer lacks its {name}: is this the address of its API?")
    return found
