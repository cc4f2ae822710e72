"""Differences between two documents, field by field: what it was, what it is, and how the change takes effect."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from reconciler.core.kinds import KINDS
from reconciler.core.kinds.container import REGISTERED
from reconciler.core.kinds.spec import Spec
from reconciler.core.values import (
    ABSENT,
    CLEAR,
    RESEALED,
    SEALED,
    Entry,
    announces,
    folded,
    hidden_pair,
    host_only,
    is_address,
    is_list,
    is_open,
    is_sealed,
    is_secret,
    printed,
    shown,
)
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
# Lists of objects are matched by the first of these that every entry has and no two share.
KEYS = ("name", "port")
# Longer runs of entries that come or go together are shown by their ends.
LONGEST_RUN = 6


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


def effects(kind: str, document: Any = None) -> Callable[[tuple[str, ...]], Effect]:
    """How each field of a document of this kind takes effect; `document` is how it reads now, for kinds that may be there to be
    read alone."""
    spec = KINDS.get(kind)
    if spec is None or _registered(kind, document):
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


def _registered(kind: str, document: Any) -> bool:
    """What runs without us."""
    said = document.get("spec") if kind == "Container" and isinstance(document, Mapping) else None
    return isinstance(said, Mapping) and "virtualMachine" in said


def _effect(kind: str, spec: type[Spec], name: str) -> Effect:
    if kind == "Settings":
        return "ruled"
    if kind == "Host":
        return "placed"
    if kind == "Proxy":
        return {"group": "replace", "host": "placed", "cluster": "noted"}.get(name, "told")  # type: ignore[return-value]  # literals above
    if kind == "ProxyGroup":
        return "replace" if name in STARTED_WITH else "told"
    if kind == "VirtualMachine" or (kind == "Container" and name in REGISTERED):
        return "noted"
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
        if before is after or self.left < 0 or (is_open(before) and type(before) is type(after) and not before and not after):
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
        elif any(sides) and all(is_list(side) for side in sides):
            self.sequence(path, [] if before is ABSENT else before, [] if after is ABSENT else after, hidden)
        elif type(before) is not type(after) or is_open(before) or before != after:
            # Only text can be a secret: `maxTokens: 10` is none.
            secret = hidden and any(isinstance(side, str) for side in sides)
            if is_address(path):
                before, after = (host_only(side) if isinstance(side, str) else side for side in (before, after))
            self.leaf(path, *(hidden_pair(before, after) if secret else folded(before, after)))

    def mapping(self, path: tuple[str | int, ...], before: Mapping[str, Any], after: Mapping[str, Any], hidden: bool) -> None:
        # A header, a parameter, a variable: one entry names it, another holds it.
        named = any(announces(side.get(key)) for side in (before, after) for key in ("key", "name"))
        for name in dict.fromkeys((*after, *before)):
            if self.left < 0:
                return
            inner = hidden or is_secret(path, str(name)) or (name == "value" and named)
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
            self.value(
                (*path, start + i), old[i], new[i], hidden or _announced(before, start + i) or _announced(after, start + i)
            )
        for rest, whole, sign in ((old[both:], before, "-"), (new[both:], after, "+")):
            self.run(path, start + both, rest, sign, hidden or (bool(rest) and _announced(whole, start + both)))

    def run(self, path: tuple[str | int, ...], start: int, rest: Sequence[Any], sign: str, hidden: bool) -> None:
        """Entries that are on one side alone."""
        shown = len(rest) if len(rest) <= LONGEST_RUN else LONGEST_RUN - 1
        for i, entry in enumerate(rest[:shown]):
            gone = sign == "-"
            secret = hidden or (i > 0 and announces(rest[i - 1]))
            self.value((*path, start + i), entry if gone else ABSENT, ABSENT if gone else entry, secret)
        if len(rest) > shown:
            words = f"… {len(rest) - shown:,} more entries"
            self.leaf((*path, start + shown), *((words, None) if sign == "-" else (None, words)))

    def matched(self, path: tuple[str | int, ...], key: str, before: Sequence[Any], after: Sequence[Any], hidden: bool) -> None:
        was, now = ({str(entry[key]): entry for entry in side} for side in (before, after))
        for name in dict.fromkeys((*now, *was)):
            self.value((*path, Entry(name)), was.get(name, ABSENT), now.get(name, ABSENT), hidden)
        old, new = [name for name in was if name in now], [name for name in now if name in was]
        if old != new:
            self.leaf((*path, Entry("order")), *(shown(", ".join(names)) for names in (old, new)))

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
        names = tuple(part for part in path if isinstance(part, str) and not isinstance(part, Entry))
        self.found.append(Field(printed(path), before, after, self.effect(names)))


def _announced(entries: Sequence[Any], place: int) -> bool:
    return 0 < place <= len(entries) and announces(entries[place - 1])


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
    return one is other or (type(one) is type(other) and not is_open(one) and bool(one == other))
