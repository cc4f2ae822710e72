"""Reads a bootstrap or a `/config_dump`, whoever wrote it: bounded in size, depth and number, each mistake at its place."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from reconciler.core.compose import DEEPEST, said
from reconciler.core.model import Problem, Where
from reconciler.core.parse import Document, locate, parse
from reconciler.core.scalars import LARGEST, MOST_DIGITS, SMALLEST, Unreadable, short, whole

# A dump of 1,000 clusters is 10 MB.
LARGEST_INPUT = 64 * 1024 * 1024
MOST_VALUES = 2_000_000
# config_dump puts a few levels around what a document may hold.
DEEPEST_DUMP = DEEPEST + 8
OLD = re.compile(r"\benvoy\.(?:api\.v2|(?:[a-z_]+\.)*v(?:1|2)(?:alpha\d*)?)(?:\.|\b)")
OLD_WORDS = "is Envoy's v2 API, which no Envoy since 1.18 reads: Convoy speaks v3"
OLD_HINT = "write it in v3 first; `envoy --mode validate` of the Envoy you run says what is left to do"


@dataclass(frozen=True, slots=True)
class Input:
    """`value` is the bootstrap, or with `dump` the list under `configs`. Without a value, `problems` say why."""

    file: str
    value: Any
    dump: bool = False
    problems: tuple[Problem, ...] = ()
    document: Document | None = None

    def where(self, path: tuple[str | int, ...]) -> str:
        """Where a path stands in the file; only the file where lines are not known."""
        return str(locate(self.document, path)) if self.document is not None else self.file


def read(file: str, text: bytes) -> Input:
    """Raises nothing, whatever the text."""
    if len(text) > LARGEST_INPUT:
        return _refused(file, f"is {len(text)} bytes long; the most is {LARGEST_INPUT}", "import its parts one by one")
    if text.lstrip()[:1] in (b"{", b"["):
        found = _json(file, text)
        if found is not None:
            return found
    parsed = parse(file, "", text)
    if parsed.problems:
        return Input(file, None, problems=parsed.problems)
    if len(parsed.documents) != 1:
        what = "holds nothing" if not parsed.documents else f"holds {len(parsed.documents)} documents"
        return _refused(file, what, "give one bootstrap, or what /config_dump answers")
    return _told(file, parsed.documents[0].value, parsed.documents[0])


def _refused(file: str, what: str, hint: str) -> Input:
    return Input(file, None, problems=(Problem(Where(file), what, hint),))


def _json(file: str, text: bytes) -> Input | None:
    """None: not JSON, so perhaps YAML that begins with a brace."""
    try:
        value = json.loads(text.decode(), object_pairs_hook=_once, parse_constant=_no_number, parse_int=_integer)
    except _Refused as error:
        return _refused(file, str(error), "an Envoy writes no such JSON")
    except RecursionError:
        return _refused(file, f"is more than {DEEPEST_DUMP} levels deep", "nest less")
    except ValueError:
        return None
    trouble = _too_much(value)
    return _refused(file, trouble, "no Envoy's own configuration is like this") if trouble else _told(file, value, None)


class _Refused(Exception):
    """JSON that is read, but means nothing certain."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _Refused(f"the key {short(twice)!r} is there twice in one object")
    return found


def _no_number(text: str) -> Any:
    raise _Refused(f"{text} is not a finite number")


def _integer(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise _Refused(f"a number of {len(text)} digits is none that Envoy knows")
    try:
        return whole(text, 10)
    except Unreadable:
        raise _Refused(f"{short(text)} is not between {SMALLEST} and {LARGEST}") from None


def _too_much(value: Any) -> str:
    """With a stack of its own: what it measures may be too deep for Python's."""
    stack, seen = [(value, 1)], 0
    while stack:
        one, depth = stack.pop()
        seen += 1
        if depth > DEEPEST_DUMP:
            return f"is more than {DEEPEST_DUMP} levels deep"
        if seen > MOST_VALUES:
            return f"says more than {MOST_VALUES} things"
        if isinstance(one, dict):
            stack.extend((inner, depth + 1) for inner in one.values())
            if any("\0" in key for key in one):
                return "holds a NUL character"
        elif isinstance(one, list):
            stack.extend((inner, depth + 1) for inner in one)
        elif isinstance(one, str) and "\0" in one:
            return "holds a NUL character"
    return ""


def _told(file: str, value: Any, document: Document | None) -> Input:
    if not isinstance(value, dict):
        return _refused(
            file, f"is {said(value)}, and an Envoy's configuration is a mapping", "give a bootstrap or a config_dump"
        )
    configs = value.get("configs")
    dump = isinstance(configs, list) and all(isinstance(one, dict) and "@type" in one for one in configs)
    old = next((one for one in _types(value) if OLD.search(one)), None)
    if old is not None:
        return _refused(file, f"{short(old, 100)} {OLD_WORDS}", OLD_HINT)
    if "listeners" in value and "cluster_manager" in value and "static_resources" not in value:
        return _refused(file, OLD_WORDS.replace("v2", "v1").replace("1.18", "1.9"), OLD_HINT)
    if dump:
        return Input(file, configs, dump=True, document=document)
    if "configs" in value or "apiVersion" in value:
        what = "`configs` is no list of what /config_dump answers" if "configs" in value else "is a document, not an Envoy's"
        return _refused(file, what, "give a bootstrap, or the answer of the admin page /config_dump?include_eds")
    return Input(file, value, document=document)


def _types(value: Any) -> Iterator[str]:
    stack = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, dict):
            named = one.get("@type")
            if isinstance(named, str):
                yield named
            stack.extend(one.values())
        elif isinstance(one, list):
            stack.extend(one)
