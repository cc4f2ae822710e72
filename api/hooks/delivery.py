"""What deliveries are made of: what came, what it says, and how a stranger's JSON is read without trusting its types."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qsl

import orjson

from reconciler.repository import NOWHERE, key

# A push that moves more refs than this is read no further: one of these will do, or the next poll.
MOST_REFS = 1_000
# What is kept and shown of a word that somebody else has chosen.
LONGEST_WORD = 100
HEADS = "refs/heads/"


class Malformed(Exception):
    """Signed by whom it should be, and still not what this forge is documented to send; the message says where."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request, as it came. Names of headers are in lower case; `body` are the bytes that were signed."""

    headers: Mapping[str, str]
    body: bytes

    def header(self, name: str) -> str:
        return self.headers.get(name, "")


@dataclass(frozen=True, slots=True)
class Event:
    """What a delivery says: a push into `repositories` (all spellings of one, as `key` has them) that moved `branches`;
    or a ping; or something else, which is nothing to us. `id` is the forge's own for this delivery, "" where it has none."""

    kind: Literal["push", "ping", "other"]
    name: str = ""
    repositories: frozenset[str] = frozenset()
    branches: frozenset[str] = frozenset()
    id: str = ""


def enclosed(delivery: Delivery) -> bytes:
    """The body, or, where that is a form, what its field `payload` holds. Raises Malformed."""
    if delivery.header("content-type").partition(";")[0].strip().lower() == "application/x-www-form-urlencoded":
        return _field(delivery.body).encode()
    return delivery.body


def document(delivery: Delivery, *, form: bool = False) -> Mapping[str, Any]:
    """The JSON object in the body; with `form`, also where it came as a form's field `payload`. Raises Malformed."""
    try:
        said = orjson.loads(enclosed(delivery) if form else delivery.body)
    except (ValueError, RecursionError):
        raise Malformed("the body is not JSON") from None
    if not isinstance(said, dict):
        raise Malformed("the body is no JSON object")
    return said


def _field(body: bytes) -> str:
    try:
        fields = parse_qsl(body.decode("ascii"), strict_parsing=True, errors="strict", max_num_fields=8)
    except ValueError:
        raise Malformed("the body is not a form") from None
    found = [value for name, value in fields if name == "payload"]
    if len(found) != 1:
        raise Malformed("the form has no one field `payload`")
    return found[0]


def part(of: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object within another. Raises Malformed."""
    value = of.get(name)
    if not isinstance(value, dict):
        raise Malformed(f"`{name}` is no object")
    return value


def text(of: Mapping[str, Any], name: str) -> str:
    """Raises Malformed."""
    value = of.get(name)
    if not isinstance(value, str):
        raise Malformed(f"`{name}` is no text")
    return value


def parts(of: Mapping[str, Any], name: str) -> Iterator[Mapping[str, Any]]:
    """The objects of a list within another, at most MOST_REFS of them. Raises Malformed."""
    value = of.get(name)
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value[:MOST_REFS]):
        raise Malformed(f"`{name}` is no list of objects")
    yield from value[:MOST_REFS]


def keys(of: Mapping[str, Any], names: Sequence[str]) -> frozenset[str]:
    """What these fields name, as far as they are there and are URLs of repositories. Raises Malformed where none is."""
    values = (of.get(name) for name in names)
    found = frozenset(key(value) for value in values if isinstance(value, str)) - {NOWHERE}
    if not found:
        raise Malformed(f"none of {', '.join(names)} is the URL of a repository")
    return found


def branch(ref: str) -> frozenset[str]:
    """The branch that a full ref is, if it is one."""
    return frozenset({ref.removeprefix(HEADS)}) if ref.startswith(HEADS) else frozenset()


def word(said: str) -> str:
    """A word of a stranger's, short and printable."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in said[:LONGEST_WORD])
