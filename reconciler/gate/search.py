"""Finds which resources an Envoy refuses, from an Envoy that stops at the first and often does not name it."""

import re
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from reconciler.gate.bootstrap import Item, bootstrap
from reconciler.gate.stand_ins import CannotStandIn
from reconciler.gate.validate import AT_ONCE, Answer, Validator
from reconciler.seams import Seams

Ask = Callable[[Sequence[Item]], Answer]

# What is accepted without some items, those items, and the answer about both together: refused.
Group = tuple[list[Item], Sequence[Item], Answer]

# How long one snapshot may take in all, however many resources of it are bad.
CHECK_S = 120.0
# In groups of this many one that is bad is found after asking about few; and no question takes an Envoy seconds.
AT_A_TIME = 500
FEW = 100

_QUOTED = re.compile(r"'([^']+)'|\"([^\"]+)\"")


class Asking:
    """Asks an Envoy about some items of one snapshot, as long as there is time."""

    def __init__(
        self,
        validator: Validator,
        clusters: Collection[str],
        secrets: Collection[str],
        cancelled: threading.Event,
        seams: Seams,
    ) -> None:
        self._validator, self._clusters, self._secrets = validator, clusters, secrets
        self._cancelled, self._seams = cancelled, seams
        self._ends = seams.monotonic() + CHECK_S

    def __call__(self, items: Sequence[Item]) -> Answer:
        if self._seams.monotonic() > self._ends:
            return Answer("unchecked", f"it took more than {CHECK_S:g} s")
        try:
            asked = bootstrap(items, self._clusters, self._secrets)
        except CannotStandIn as error:
            return Answer("refused", str(error), elsewhere=True)
        return self._validator.run(asked, self._cancelled)


@dataclass
class Found:
    """`refused` and `elsewhere`: item's digest ⇒ Envoy's words; `elsewhere` is what only a proxy's own machine can tell.

    `accepted`: digests of what was accepted. `unchecked` says why nothing is known of the others.
    """

    refused: dict[str, str] = field(default_factory=dict)
    elsewhere: dict[str, str] = field(default_factory=dict)
    accepted: set[str] = field(default_factory=set)
    unchecked: str = ""


def search(items: Sequence[Item], ask: Ask) -> Found:
    """Ask about what depends on each other together, and about all else in groups, two at a time."""
    bound = [item for item in items if not item.apart]
    apart = [item for item in items if item.apart]
    groups = [bound] if bound else []
    groups += [apart[start : start + AT_A_TIME] for start in range(0, len(apart), AT_A_TIME)]
    if len(groups) == 2 and len(apart) < FEW:
        # An Envoy's start costs as much as a hundred clusters.
        groups = [[*bound, *apart]]
    if len(groups) == 1:
        return _search(groups[0], ask)
    result = Found()
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="gate") as pool:
        for found in pool.map(lambda group: _search(group, ask), groups):
            result.refused |= found.refused
            result.elsewhere |= found.elsewhere
            result.accepted |= found.accepted
            result.unchecked = result.unchecked or found.unchecked
    return result


def _search(items: Sequence[Item], ask: Ask) -> Found:
    """Ask about all; take out what is refused; ask about the rest, until it is accepted."""
    found, left = Found(), list(items)
    while left and not found.unchecked:
        answer = ask(left)
        if answer.status == "accepted":
            found.accepted.update(item.digest for item in left)
            break
        if answer.status == "unchecked":
            found.unchecked = answer.words
            break
        bad = _narrow(left, answer, ask, found)
        for item, said in bad:
            (found.elsewhere if said.elsewhere else found.refused)[item.digest] = said.words
        digests = {item.digest for item, _ in bad}
        left = [item for item in left if item.digest not in digests]
    return found


def _narrow(items: Sequence[Item], answer: Answer, ask: Ask, found: Found) -> list[tuple[Item, Answer]]:
    """At least one of these items that are refused together, with the words about it; halves are asked about at once."""
    bad: list[tuple[Item, Answer]] = []
    level: list[Group] = [([], items, answer)]
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="gate") as pool:
        while level:
            rest: list[Group] = []
            for base, some, said in level:
                known = _at_position(base, some, said)
                if known is not None:
                    bad.append((known, said))
                else:
                    rest.append((base, some, said))
            guesses = [_guess(some, said.words) for _, some, said in rest]
            asked = [pool.submit(ask, [*base, guess]) for (base, _, _), guess in zip(rest, guesses, strict=True) if guess]
            answers = iter(asked)
            level = []
            for (base, some, said), guess in zip(rest, guesses, strict=True):
                confirmed = next(answers).result() if guess else None
                if guess and confirmed is not None and confirmed.status == "refused":
                    bad.append((guess, confirmed))
                elif len(some) > 1:
                    level.append((base, some, said))
                else:
                    bad.append((some[0], said))
            level = _halves(level, ask, pool, found)
            if found.unchecked:
                break
    return bad


def _halves(level: list[Group], ask: Ask, pool: ThreadPoolExecutor, found: Found) -> list[Group]:
    asked = []
    for base, some, said in level:
        half = len(some) // 2
        parts = (some[:half], some[half:])
        asked.append((base, parts, said, [pool.submit(ask, [*base, *part]) for part in parts]))
    result: list[Group] = []
    for base, parts, said, futures in asked:
        answers = [future.result() for future in futures]
        for one in answers:
            if one.status == "unchecked":
                found.unchecked = one.words
        refused = [(base, part, one) for part, one in zip(parts, answers, strict=True) if one.status == "refused"]
        # Either half is accepted, and both together are not: they clash. Whoever comes later is the one to go.
        result.extend(refused or [([*base, *parts[0]], parts[1], said)])
    return result


def _at_position(base: Sequence[Item], items: Sequence[Item], answer: Answer) -> Item | None:
    """The item whose index Envoy gives, when it breaks one of the protobuf's own rules."""
    if answer.position is None:
        return None
    of, index = answer.position
    before, listed = ([item for item in some if item.listener == (of == "Listeners")] for some in (base, items))
    place = index - len(before)
    return listed[place] if 0 <= place < len(listed) else None


def _guess(items: Sequence[Item], words: str) -> Item | None:
    """The item that the words name, if there is more than one to choose from."""
    if len(items) < 2:
        return None
    named = {one or other for one, other in _QUOTED.findall(words)}
    return next((item for item in items if item.name in named), None)
