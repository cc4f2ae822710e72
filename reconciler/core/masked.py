"""What of a document is shown to whoever reads it over the API, and what comes back from there in its place again."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.core.patches import Unfit
from reconciler.core.values import CLEAR, HIDDEN, host_only, is_address, is_sealed, is_secret

PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----")


def unsealed(before: Any, after: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where a sealed secret would become something that is not sealed; to take it away is no such thing."""
    if isinstance(before, Mapping) and is_sealed(before):
        if not (isinstance(after, Mapping) and is_sealed(after)) and after is not None:
            yield path
    elif isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in before.keys() & after.keys():
            yield from unsealed(before[key], after[key], (*path, key))
    elif isinstance(before, list) and isinstance(after, list):
        for one, other, place in _pairs(before, after):
            yield from unsealed(one, other, (*path, place))


def _pairs(before: list[Any], after: list[Any]) -> Iterator[tuple[Any, Any, int]]:
    """The entries of two lists that are the same thing: by their names, or else by their places."""
    every = [*before, *after]
    if all(isinstance(one, dict) and isinstance(one.get("name"), str) for one in every):
        known = {one["name"]: one for one in before}
        yield from ((known[one["name"]], one, place) for place, one in enumerate(after) if one["name"] in known)
    else:
        yield from ((one, other, place) for place, (one, other) in enumerate(zip(before, after, strict=False)))


def shown(value: Any, path: tuple[str | int, ...] = (), *, hidden: bool = False, addresses: bool = False) -> Any:
    """A document as it is answered: sealed values sealed, and words in the place of secrets that stand there in the clear; of
    webhooks' addresses the host alone, unless it is for somebody who may change them (`addresses`)."""
    if isinstance(value, Mapping):
        if is_sealed(value):
            return dict(value)
        inner = {key: hidden or is_secret(path, key) for key in value}
        return {key: shown(one, (*path, key), hidden=inner[key], addresses=addresses) for key, one in value.items()}
    if isinstance(value, list):
        return [shown(one, (*path, place), hidden=hidden, addresses=addresses) for place, one in enumerate(value)]
    if isinstance(value, str) and (hidden or PRIVATE_KEY.search(value)):
        return CLEAR
    if isinstance(value, str) and not addresses and is_address(path):
        return host_only(value)
    return value


def shown_again(value: Any, before: Any) -> Any:
    """What comes back, with what was hidden from whoever sends it in its place again. Raises Unfit."""
    if isinstance(value, dict):
        old = before if isinstance(before, Mapping) else {}
        return {key: shown_again(one, old.get(key)) for key, one in value.items()}
    if isinstance(value, list):
        known = {place: one for one, _, place in _pairs(before, value)} if isinstance(before, list) else {}
        return [shown_again(one, known.get(place)) for place, one in enumerate(value)]
    if value == CLEAR:
        if not isinstance(before, str):
            raise Unfit(f"has {CLEAR} where nothing was hidden", "write the value itself, sealed")
        return before
    if isinstance(value, str) and value.endswith(f"/{HIDDEN}") and host_only(value) == value:
        if value != before and not (isinstance(before, str) and host_only(before) == value):
            raise Unfit(f"has {HIDDEN} in an address of which nothing was hidden", "write the whole address")
        return before
    return value
