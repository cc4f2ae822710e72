"""What of a document is shown to whoever reads it over the API, and what comes back from there in its place again."""

from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.core.patches import Unfit
from reconciler.core.values import (
    CLEAR,
    HIDDEN,
    PRIVATE,
    VALUES,
    announces,
    host_only,
    is_address,
    is_sealed,
    is_secret,
    without_secrets,
)

# What a workload is started with, where passwords stand within texts as well.
TEXTS = ("environment", "files", "command")
# What stands for a part of such a text (core/values.py).
PART = "***"
# All that stands in the place of what is hidden has one of these in it.
MARKS = (CLEAR, PART, HIDDEN)
# A header, a parameter, a variable: one entry names it, another holds it.
NAMING = ("key", "name")
NOTHING = (None, None)


def unsealed(before: Any, after: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where a sealed secret would become something that is not sealed; to take it away is no such thing."""
    if isinstance(before, Mapping) and is_sealed(before):
        if not (isinstance(after, Mapping) and is_sealed(after)) and after is not None:
            yield path
    elif isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in before.keys() & after.keys():
            yield from unsealed(before[key], after[key], (*path, key))
    elif isinstance(before, list) and isinstance(after, list):
        for old, new in _pairs(before, after):
            yield from unsealed(before[old], after[new], (*path, new))


def _pairs(before: list[Any], after: list[Any]) -> Iterator[tuple[int, int]]:
    """The places in two lists that are the same thing's: by their names, or else by where they stand."""
    every = [*before, *after]
    if all(isinstance(one, dict) and isinstance(one.get("name"), str) for one in every):
        known = {one["name"]: place for place, one in enumerate(before)}
        yield from ((known[one["name"]], place) for place, one in enumerate(after) if one["name"] in known)
    else:
        yield from ((place, place) for place in range(min(len(before), len(after))))


def shown(
    value: Any, path: tuple[str | int, ...] = (), *, hidden: bool = False, addresses: bool = False, variables: bool = True
) -> Any:
    """A document as it is answered: sealed values sealed, and words in the place of secrets that stand there in the clear.

    Of webhooks' addresses it is the host alone, unless it is for somebody who may change them (`addresses`). Without
    `variables` no value of an environment and no file is shown, whatever it is called.
    """
    if isinstance(value, Mapping):
        if is_sealed(value):
            return dict(value)
        named = any(announces(value.get(key)) for key in NAMING)
        closed = not variables and tuple(path[-1:]) in VALUES
        return {
            key: shown(
                one,
                (*path, key),
                hidden=hidden or closed or is_secret(path, key) or (named and key == "value"),
                addresses=addresses,
                variables=variables,
            )
            for key, one in value.items()
        }
    if isinstance(value, list):
        arguments = path[-1:] == ("command",)
        return [
            shown(
                one,
                (*path, place),
                hidden=hidden or (arguments and place > 0 and announces(value[place - 1])),
                addresses=addresses,
                variables=variables,
            )
            for place, one in enumerate(value)
        ]
    return _text(value, path, hidden, addresses) if isinstance(value, str) else value


def _text(text: str, path: tuple[str | int, ...], hidden: bool, addresses: bool) -> str:
    if hidden or PRIVATE.search(text):
        return CLEAR
    if not addresses and is_address(path):
        return host_only(text)
    return without_secrets(text) if _in_texts(path) else text


def _in_texts(path: tuple[str | int, ...]) -> bool:
    return bool(path[-2:-1]) and path[-2] in TEXTS


def shown_again(value: Any, before: Any) -> Any:
    """What comes back, with what was hidden from whoever sends it in its place again. Raises Unfit."""
    # In nearly all that comes nothing was hidden.
    return again(value, before, shown(before), ()) if has_marks(value) else value


def has_marks(value: Any) -> bool:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            if any(mark in one for mark in MARKS):
                return True
        elif isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return False


def again(value: Any, before: Any, seen: Any, path: tuple[str | int, ...]) -> Any:
    """`seen` is how `before` was shown."""
    if isinstance(value, dict):
        old, known = (one if isinstance(one, Mapping) else {} for one in (before, seen))
        return {key: again(one, *_hidden_there(value, key, old, known), (*path, key)) for key, one in value.items()}
    if isinstance(value, list):
        places = {new: old for old, new in _pairs(before, value)} if isinstance(before, list) else {}
        there = {new: (before[old], seen[old]) for new, old in places.items() if _announced(value, new, seen, old)}
        return [again(one, *there.get(place, NOTHING), (*path, place)) for place, one in enumerate(value)]
    if not isinstance(value, str) or value == before:
        return value
    part = isinstance(before, str) and seen != before
    if part and value == seen:
        return before
    if value == CLEAR:
        raise Unfit(f"has {CLEAR} where nothing was hidden", "write the value itself, sealed")
    if PART in value and (part or (_in_texts(path) and _masked(value))):
        raise Unfit(f"has {PART} in the place of what is not shown", "write the whole value")
    if value.endswith(f"/{HIDDEN}") and host_only(value) == value:
        raise Unfit(f"has {HIDDEN} in the place of what is not shown", "write the whole value")
    return value


def _masked(text: str) -> bool:
    """Whether it has the words for what is hidden where something would be: it was shown elsewhere, or by another name."""
    plain = text.replace(PART, "-")
    return without_secrets(plain) != plain


# What announces a hidden value beside it must be what it was, or the value would come back where everybody sees it.


def _hidden_there(value: Mapping[str, Any], key: str, old: Mapping[str, Any], known: Mapping[str, Any]) -> tuple[Any, Any]:
    if key == "value" and known.get(key) == CLEAR and any(value.get(name) != old.get(name) for name in NAMING):
        return NOTHING
    return old.get(key), known.get(key)


def _announced(value: list[Any], new: int, seen: list[Any], old: int) -> bool:
    return bool(seen[old] != CLEAR or value[max(0, new - 1)] == seen[max(0, old - 1)])
