"""Differences between two documents, field by field: what it was, what it is, and how the change takes effect."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from reconciler.core.kinds import KINDS
from reconciler.core.kinds.spec import Spec
from reconciler.core.workloads import PLACEMENT, STARTED_WITH

# How a field's change reaches what runs. "told": by what Envoys are told; "placed": something is moved, added or removed;
# "ruled": by what Convoy does from now on; "noted": nothing follows from it.
Effect = Literal["in place", "replace", "told", "placed", "ruled", "noted"]
EFFECTS: Mapping[Effect, str] = {
    "in place": "changes in place",
    "replace": "by replacement",
    "told": "told to proxies",
    "placed": "moves or scales",
    "ruled": "Convoy acts by it",
    "noted": "for reading only",
}

# Nobody reads more of one document; what is left is counted.
MOST_FIELDS = 200
# Values looked at in one pair of documents: twenty times a large hand-written one. What lies beyond is not compared.
MOST_VALUES = 100_000
DEEPEST = 100
# So much of a value is shown, and so much of what stands around its first difference.
LONGEST_VALUE, AROUND = 80, 24
# Lists of objects are matched by the first of these that every entry has and no two share.
KEYS = ("name", "port")
# Longer runs of entries that come or go together are shown by their ends.
LONGEST_RUN = 6

SEALED, HIDDEN, CLEAR = "(sealed)", "(hidden)", "(in the clear, hidden)"
RESEALED = "(sealed, another secret)"
AGE = "-----BEGIN AGE ENCRYPTED FILE-----"
# Whoever writes a secret in the clear names it so; a plan ends up where many people read it. What Envoys are told is full of
# such words (`sdsSecretConfig`, `tokenBucket`), so there they count only where a name ends with them.
SECRET = re.compile(r"(?i)(passw(or)?d|passphrase|secret|token|credentials?|api[-_]?key|private[-_]?key)$")
SECRET_VALUE = re.compile(
    r"(?i)passw|passphrase|secret|token|credential|(^|[^a-z])(key|pass|auth|pwd)([^a-z]|$)|id_(rsa|ed25519)|"
    r"\.(pem|p12|pfx|jks)$|(^|/)\.env"
)
VALUES = (("environment",), ("files",))
USERINFO = re.compile(r"(?<=://)[^/@\s'\"]{1,1000}@")
PRIVATE = re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----")
PLAIN = re.compile(r"[A-Za-z0-9_-]+")


class _Entry(str):
    """Which entry of a list of objects: the name by which it is matched."""


class _Absent:
    """What stands for a side that is not there."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = _Absent()


@dataclass(frozen=True, slots=True)
class Field:
    """One leaf that differs. `path` is as people write it (`spec.ports[http].port`); a side that was not there is None.

    `before` and `after` are ready to be shown: one line, of bounded length, and nothing secret in it.
    """

    path: str
    before: str | None
    after: str | None
    effect: Effect = "noted"


@dataclass(frozen=True, slots=True)
class Fields:
    """What differs, in the order of the documents; `more` counts what is not listed, `whole` says whether all was looked at."""

    listed: tuple[Field, ...] = ()
    more: int = 0
    whole: bool = True


def differences(before: Any, after: Any, effect: Callable[[tuple[str, ...]], Effect] | None = None) -> Fields:
    """What differs between two JSON-like values, by leaf; None or ABSENT for a document that is not there.

    `effect` is asked with the names along the path, without indexes. Bounded work, and bounded output.
    """
    run = _Run(effect or (lambda _: "noted"))
    run.value((), ABSENT if before is None else before, ABSENT if after is None else after, False)
    return Fields(tuple(run.found), run.more, run.left >= 0)


def effects(kind: str) -> Callable[[tuple[str, ...]], Effect]:
    """How each field of a document of this kind takes effect."""
    spec = KINDS.get(kind)
    if spec is None:
        return lambda _: "noted"
    by_name = {named.alias or name: _effect(kind, spec, name) for name, named in spec.model_fields.items()}
    # What is selected by labels, a hook is for; and what a thing waits for is not a part of it.
    metadata: dict[str, Effect] = {"labels": "ruled", "drift": "ruled", "needs": "ruled", "hook": "ruled"}
    if spec.runs:
        # The mark on what runs carries them.
        metadata |= {"deletion": "in place", "uid": "in place"}

    def effect(path: tuple[str, ...]) -> Effect:
        if path[:1] == ("metadata",):
            return metadata.get(path[1] if len(path) > 1 else "", "noted")
        return by_name.get(path[1], "noted") if path[:1] == ("spec",) and len(path) > 1 else "noted"

    return effect


def _effect(kind: str, spec: type[Spec], name: str) -> Effect:
    if kind == "Settings":
        return "ruled"
    if kind == "Host":
        return "placed"
    if kind == "Proxy":
        return {"group": "replace", "host": "placed"}.get(name, "told")  # type: ignore[return-value]  # literals above
    if kind == "ProxyGroup":
        return "replace" if name in STARTED_WITH else "told"
    if not spec.runs:
        return "told"
    if name in spec.in_place:
        return "in place"
    # The port that proxies send requests to is theirs to know; nothing is started otherwise for it.
    return "told" if name == "port" else "placed" if name in PLACEMENT else "replace"


@dataclass(slots=True)
class _Run:
    """One comparison."""

    effect: Callable[[tuple[str, ...]], Effect]
    found: list[Field] = field(default_factory=list)
    more: int = 0
    left: int = MOST_VALUES

    def value(self, path: tuple[str | int, ...], before: Any, after: Any, hidden: bool) -> None:
        self.left -= 1
        if before is after or self.left < 0 or (_is_open(before) and type(before) is type(after) and not before and not after):
            return
        if len(path) >= DEEPEST:
            self.leaf(path, "…" if before is not ABSENT else None, "…" if after is not ABSENT else None)
            return
        if is_sealed(before) or is_sealed(after):
            self.sealed(path, before, after)
            return
        sides = [side for side in (before, after) if side is not ABSENT]
        if any(sides) and all(isinstance(side, Mapping) for side in sides):
            self.mapping(path, {} if before is ABSENT else before, {} if after is ABSENT else after, hidden)
        elif any(sides) and all(_is_list(side) for side in sides):
            self.sequence(path, [] if before is ABSENT else before, [] if after is ABSENT else after, hidden)
        elif type(before) is not type(after) or _is_open(before) or before != after:
            # Only text can be a secret: `maxTokens: 10` is none.
            secret = hidden and any(isinstance(side, str) for side in sides)
            self.leaf(path, *(_hidden_pair(before, after) if secret else folded(before, after)))

    def mapping(self, path: tuple[str | int, ...], before: Mapping[str, Any], after: Mapping[str, Any], hidden: bool) -> None:
        for name in dict.fromkeys((*after, *before)):
            if self.left < 0:
                return
            inner = hidden or bool((SECRET_VALUE if path[-1:] in VALUES else SECRET).search(str(name)))
            self.value((*path, str(name)), before.get(name, ABSENT), after.get(name, ABSENT), inner)

    def sequence(self, path: tuple[str | int, ...], before: Sequence[Any], after: Sequence[Any], hidden: bool) -> None:
        key = next((key for key in KEYS if _tells_apart(key, before) and _tells_apart(key, after)), None)
        if key is not None:
            self.matched(path, key, before, after, hidden)
            return
        start, end = _same_ends(before, after)
        old, new = before[start : len(before) - end], after[start : len(after) - end]
        both = min(len(old), len(new))
        for i in range(both):
            self.value((*path, start + i), old[i], new[i], hidden)
        for rest, sign in ((old[both:], "-"), (new[both:], "+")):
            self.run(path, start + both, rest, sign, hidden)

    def run(self, path: tuple[str | int, ...], start: int, rest: Sequence[Any], sign: str, hidden: bool) -> None:
        """Entries that are on one side alone."""
        shown = len(rest) if len(rest) <= LONGEST_RUN else LONGEST_RUN - 1
        for i, entry in enumerate(rest[:shown]):
            gone = sign == "-"
            self.value((*path, start + i), entry if gone else ABSENT, ABSENT if gone else entry, hidden)
        if len(rest) > shown:
            words = f"… {len(rest) - shown:,} more entries"
            self.leaf((*path, start + shown), *((words, None) if sign == "-" else (None, words)))

    def matched(self, path: tuple[str | int, ...], key: str, before: Sequence[Any], after: Sequence[Any], hidden: bool) -> None:
        was, now = ({str(entry[key]): entry for entry in side} for side in (before, after))
        for name in dict.fromkeys((*now, *was)):
            self.value((*path, _Entry(name)), was.get(name, ABSENT), now.get(name, ABSENT), hidden)
        old, new = [name for name in was if name in now], [name for name in now if name in was]
        if old != new:
            self.leaf((*path, _Entry("order")), *(shown(", ".join(names)) for names in (old, new)))

    def sealed(self, path: tuple[str | int, ...], before: Any, after: Any) -> None:
        """Ciphertext is never shown, nor what stood or will stand in the clear in its place."""
        if is_sealed(before) and is_sealed(after):
            # Sealed again, the same secret is another ciphertext; where nothing says that it is the same one, it is not.
            same = before.get("hash") == after.get("hash") if "hash" in before or "hash" in after else before == after
            if not same:
                self.leaf(path, SEALED, RESEALED)
            return
        self.leaf(path, *(None if s is ABSENT else SEALED if is_sealed(s) else CLEAR for s in (before, after)))

    def leaf(self, path: tuple[str | int, ...], before: str | None, after: str | None) -> None:
        if len(self.found) >= MOST_FIELDS:
            self.more += 1
            return
        names = tuple(part for part in path if isinstance(part, str) and not isinstance(part, _Entry))
        self.found.append(Field(printed(path), before, after, self.effect(names)))


def is_sealed(value: Any) -> bool:
    """Whether this is a secret as Git holds it, by its shape alone, whatever field it stands in."""
    return isinstance(value, Mapping) and isinstance(age := value.get("age"), str) and age.lstrip().startswith(AGE)


def printed(path: Iterable[str | int]) -> str:
    """`spec.ports[http].port`, with names that are not plain words in quotes."""
    words = ""
    for part in path:
        if isinstance(part, int):
            words += f"[{part}]"
        elif isinstance(part, _Entry):
            words += f"[{_short(part)}]"
        elif PLAIN.fullmatch(part):
            words += f"{'.' if words else ''}{_short(part)}"
        else:
            words += f"{'.' if words else ''}{json.dumps(_short(part), ensure_ascii=False)}"
    return words or "(the document)"


def shown(value: Any) -> str:
    """One value on one line, of bounded length; what is secret by its shape is left out of it."""
    return _cut(_words(value))


def folded(before: Any, after: Any) -> tuple[str | None, str | None]:
    """Both sides as they are shown: of long ones the place where they begin to differ."""
    if isinstance(before, str) and isinstance(after, str) and "\n" in before and "\n" in after:
        return _lines(before, after)
    old, new = (None if side is ABSENT else _words(side) for side in (before, after))
    if old == new and isinstance(before, str):
        # Only what is hidden differs.
        return HIDDEN, HIDDEN
    if old is None or new is None or max(len(old), len(new)) <= LONGEST_VALUE:
        return (None if old is None else _cut(old)), (None if new is None else _cut(new))
    start = _first_difference(old, new)
    return _around(old, start), _around(new, start)


def _lines(before: str, after: str) -> tuple[str, str]:
    """Of two texts, the first line that differs."""
    if _private(before) or _private(after):
        return HIDDEN, HIDDEN
    old, new = (USERINFO.sub("***@", side) for side in (before, after))
    if old == new:
        return HIDDEN, HIDDEN
    start = _first_difference(old, new)
    number = old.count("\n", 0, start) + 1
    begin = old.rfind("\n", 0, start) + 1
    return _line(old, begin, start, number), _line(new, begin, start, number)


def _line(text: str, begin: int, start: int, number: int) -> str:
    """The line that begins there, around the place where it begins to differ, and how much of the text follows."""
    end = text.find("\n", begin)
    end = len(text) if end < 0 else end
    first = begin if end - begin <= LONGEST_VALUE - AROUND else max(begin, start - AROUND)
    last = min(end, first + LONGEST_VALUE - AROUND)
    rest = len(text) - last
    words = text[first:last]
    # How far in a line stands says nothing, unless it is what differs.
    words = f"…{words}" if first > begin else words.lstrip(" ") if text[begin:start].strip(" ") else words
    words = words if words.isprintable() else json.dumps(words, ensure_ascii=False)
    return f"line {number:,}: {words}" + (f"… {rest:,} more characters" if rest else "")


def _private(text: str) -> bool:
    return bool(PRIVATE.search(text)) or AGE in text


def _words(value: Any) -> str:
    """As JSON, with plain words left bare; bounded, for a part of a document may be megabytes."""
    if isinstance(value, str):
        if _private(value):
            return HIDDEN
        text = USERINFO.sub("***@", value)
        bare = (
            text.isprintable() and text == text.strip() and text not in ("", "null", "true", "false") and text[0] not in '"[{('
        )
        return text if bare and not _number(text) else json.dumps(text, ensure_ascii=False)
    if isinstance(value, Mapping):
        return "{}" if not value else f"{{… {len(value):,} fields}}"
    if _is_list(value):
        return "[]" if not value else f"[… {len(value):,} entries]"
    return json.dumps(value, ensure_ascii=False, default=str)


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _hidden_pair(before: Any, after: Any) -> tuple[str | None, str | None]:
    return (None if before is ABSENT else HIDDEN), (None if after is ABSENT else HIDDEN)


def _cut(text: str) -> str:
    if len(text) <= LONGEST_VALUE:
        return text
    kept = LONGEST_VALUE - AROUND
    return f"{text[:kept]}… {len(text) - kept:,} more characters"


def _around(text: str, start: int) -> str:
    """What stands around the first difference."""
    if len(text) <= LONGEST_VALUE:
        return text
    begin = max(0, start - AROUND)
    end = min(len(text), begin + LONGEST_VALUE - AROUND)
    rest = len(text) - end
    return ("…" if begin else "") + text[begin:end] + (f"… {rest:,} more characters" if rest else "")


def _first_difference(one: str, other: str) -> int:
    """By halves, so that megabytes are compared as fast as memory is."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_VALUE else f"{name[:LONGEST_VALUE]}…"


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _is_open(value: Any) -> bool:
    """A container that stands against something of another shape: comparing those is not for `==`."""
    return isinstance(value, Mapping) or _is_list(value)


def _tells_apart(key: str, entries: Sequence[Any]) -> bool:
    names = [entry.get(key) if isinstance(entry, Mapping) else None for entry in entries]
    return all(isinstance(name, str | int) for name in names) and len({str(name) for name in names}) == len(names)


def _same_ends(before: Sequence[Any], after: Sequence[Any]) -> tuple[int, int]:
    """How many entries at the beginning and at the end are scalars that are equal."""
    most = min(len(before), len(after))
    start = next((i for i in range(most) if not _same(before[i], after[i])), most)
    end = next((i for i in range(most - start) if not _same(before[-1 - i], after[-1 - i])), most - start)
    return start, end


def _same(one: Any, other: Any) -> bool:
    return one is other or (type(one) is type(other) and not _is_open(one) and bool(one == other))


def over(fields: Fields) -> Iterator[tuple[Effect, int]]:
    """How many listed fields take effect in each way, in the order in which effects are told."""
    for effect in EFFECTS:
        number = sum(one.effect == effect for one in fields.listed)
        if number:
            yield effect, number
