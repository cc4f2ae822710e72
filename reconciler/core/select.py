"""Selects resources by words a person types: kinds, names with `*`, and labels."""

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache

from reconciler.core.model import DEFAULT_TENANT, Ref
from reconciler.core.near import did_you_mean, listing

# Nobody types more, and every word may be held against every resource.
LONGEST, MOST_WORDS, MOST_SELECTORS = 400, 20, 50
# Each `*` is one more place where a name may be tried again.
MOST_STARS = 8
NAME = re.compile(r"[a-z0-9*?][a-z0-9*?-]*")
LABEL = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._/-]*?)\s*(?P<not>!?)==?\s*(?P<value>.*)", re.DOTALL)
EXAMPLES = "write KIND, KIND/NAME, KIND/TENANT/NAME or label=value, as in `proxies`, `app/web-*` or `team=shop`"


class SelectorError(ValueError):
    """Words that select nothing anybody could mean; the message says which, why and what may have been meant."""


def kind_named(word: str, kinds: Iterable[str]) -> str:
    """`Proxy` for proxy, proxies and PROXY, `Application` for app; raises SelectorError for what is none of these kinds."""
    known = sorted(set(kinds))
    lowered = word.lower()
    for kind in known:
        single = kind.lower()
        if lowered in (single, f"{single}s", f"{single.removesuffix('y')}ies", f"{single}es"):
            return kind
    begun = [kind for kind in known if lowered and kind.lower().startswith(lowered)]
    if len(begun) == 1:
        return begun[0]
    near = begun or difflib.get_close_matches(word[:LONGEST].capitalize(), known, 3, 0.7)
    hint = f"did you mean {' or '.join(near)}?" if near else f"the kinds are {', '.join(known)}"
    raise SelectorError(f"there is no kind {word!r}: {hint}")


@dataclass(frozen=True, slots=True)
class Named:
    """A kind, or names of a kind; "" stands for any. In `tenant` and `name`, `*` and `?` stand for letters, as in a shell."""

    kind: str
    name: str = ""
    tenant: str = ""

    def has(self, ref: Ref) -> bool:
        return (
            ref.kind == self.kind
            and (not self.tenant or fnmatchcase(ref.tenant, self.tenant))
            and (not self.name or fnmatchcase(ref.name, self.name))
        )

    def __str__(self) -> str:
        if not self.name:
            return self.kind
        return str(Ref(self.kind, self.name, self.tenant))

    @property
    def exact(self) -> bool:
        return bool(self.name) and not {"*", "?"} & {*self.name, *self.tenant}


@dataclass(frozen=True, slots=True)
class Labelled:
    """A label's value; `differs` where it must be another, or where there must be no such label at all."""

    label: str
    value: str
    differs: bool = False

    def has(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.label)
        return (value is not None and fnmatchcase(value, self.value)) != self.differs

    def __str__(self) -> str:
        return f"{self.label}{'!=' if self.differs else '='}{self.value}"


Word = Named | Labelled


@dataclass(frozen=True)
class Selector:
    """What `--only` says: any of these, each of them all of its words. Without any it covers everything.

    A workload is covered with the resource it comes from: `Application/web` covers `Container/web-1`, which is one of its
    replicas, and the labels of a workload are those of what it comes from.
    """

    any_of: tuple[tuple[Word, ...], ...] = ()

    @classmethod
    def parse(cls, texts: Iterable[str], kinds: Iterable[str]) -> "Selector":
        """One text for each `--only`; within it a comma means "and". Raises SelectorError."""
        given, known = list(texts), sorted(set(kinds))
        if len(given) > MOST_SELECTORS:
            raise SelectorError(f"{len(given)} selectors are more than {MOST_SELECTORS}: use `*`, or a label")
        return cls(tuple(tuple(_words(text, known)) for text in given))

    def __bool__(self) -> bool:
        return bool(self.any_of)

    def __str__(self) -> str:
        return " or ".join(",".join(map(str, words)) for words in self.any_of)

    def covers(self, ref: Ref, labels: Mapping[str, str] = {}, owner: Ref | None = None) -> bool:
        """Whether this is selected. `owner` is what a workload comes from, and `labels` are then that one's."""
        if not self.any_of:
            return True
        return any(all(_has(word, ref, labels, owner) for word in words) for words in self.any_of)

    @cached_property
    def wants_labels(self) -> bool:
        """Whether labels decide: where none are known, nothing can be selected by them."""
        return any(isinstance(word, Labelled) for words in self.any_of for word in words)

    def unknown(self, refs: Collection[Ref]) -> str:
        """Words about a name in here that nothing bears, and what may have been meant; "" where there is none such.

        `refs` is everything that can be selected, workloads too. A pattern that finds nothing today may find something
        tomorrow, and is no mistake.
        """
        there = {(ref.kind, ref.tenant, ref.name) for ref in refs}
        for word in (word for words in self.any_of for word in words):
            if isinstance(word, Named) and word.exact and (word.kind, word.tenant, word.name) not in there:
                return f"there is no {word}{_guess(word, refs)}"
        return ""


EVERYTHING = Selector()


@dataclass(frozen=True, slots=True)
class Selection:
    """A Selector held against one fleet: what is asked by Ref alone. `owners` is workload ⇒ what it comes from."""

    selector: Selector
    labels: Mapping[Ref, Mapping[str, str]] = field(default_factory=dict)
    owners: Mapping[Ref, Ref] = field(default_factory=dict)

    def __contains__(self, ref: object) -> bool:
        if not isinstance(ref, Ref):
            return False
        owner = self.owners.get(ref)
        return self.selector.covers(ref, self.labels.get(owner or ref, {}), owner)


def _has(word: Word, ref: Ref, labels: Mapping[str, str], owner: Ref | None) -> bool:
    if isinstance(word, Labelled):
        return word.has(labels)
    return word.has(ref) or (owner is not None and word.has(owner))


def _words(text: str, kinds: Collection[str]) -> Iterator[Word]:
    if len(text) > LONGEST:
        raise SelectorError(f"a selector of {len(text)} characters is longer than {LONGEST}: use `*`, or a label")
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > MOST_WORDS:
        raise SelectorError(f"{len(parts)} words in one selector are more than {MOST_WORDS}: select by a label instead")
    for part in parts:
        if not part:
            where = f"in {text!r} " if text.strip() else ""
            raise SelectorError(f"{where}a selector is empty: {EXAMPLES}")
        yield _word(part, kinds)


def _word(part: str, kinds: Collection[str]) -> Word:
    labelled = LABEL.fullmatch(part)
    if labelled is not None:
        value = labelled["value"].strip()
        _few_stars(part)
        return Labelled(labelled["name"], value, bool(labelled["not"]))
    kind, *names = part.split("/")
    if len(names) > 2 or "=" in part:
        raise SelectorError(f"{part!r} selects nothing: {EXAMPLES}")
    try:
        named = _kind(kind, tuple(sorted(kinds)))
    except SelectorError as error:
        raise SelectorError(f"{error}; {EXAMPLES}" if not names else str(error)) from None
    for name in names:
        if not NAME.fullmatch(name):
            hint = f": did you mean {name.lower()!r}?" if NAME.fullmatch(name.lower()) else ""
            raise SelectorError(
                f"{name!r} in {part!r} is no name: names are lower-case letters, digits and `-`, and `*` stands for any{hint}"
            )
        _few_stars(name)
    if not names:
        return Named(named)
    return Named(named, names[-1], names[0] if len(names) == 2 else DEFAULT_TENANT)


@lru_cache(64)
def _kind(word: str, kinds: tuple[str, ...]) -> str:
    return kind_named(word, kinds)


def _few_stars(pattern: str) -> None:
    if pattern.count("*") > MOST_STARS:
        raise SelectorError(f"{pattern!r} holds more than {MOST_STARS} `*`: fewer will do")


def _guess(word: Named, refs: Collection[Ref]) -> str:
    names = sorted(ref.name for ref in refs if ref.kind == word.kind and ref.tenant == word.tenant)
    if not names:
        tenants = sorted({ref.tenant for ref in refs if ref.kind == word.kind and ref.name == word.name})
        if tenants:
            return f": did you mean {Ref(word.kind, word.name, tenants[0])}?"
        return f", and no other {word.kind} either" + (f" in tenant {word.tenant!r}" if word.tenant != DEFAULT_TENANT else "")
    return ": " + did_you_mean(word.name, names, f"there is {listing(names)}")
