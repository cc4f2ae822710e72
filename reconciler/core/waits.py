"""What is wrong between documents that wait for each other: needs of nothing, and circles."""

from collections.abc import Iterable, Iterator

from reconciler.core.across import Found, Named, Pair, registered
from reconciler.core.asked import NEEDS
from reconciler.core.circles import circles, drawn
from reconciler.core.model import Ref
from reconciler.core.near import did_you_mean, listing
from reconciler.core.parse import Document
from reconciler.core.wording import Flaw

# Of a circle, in a message.
MOST_SHOWN = 50


def missing(pairs: Iterable[Pair], names: Named) -> Iterator[Found]:
    """Needs of what is not there, or cannot be waited for."""
    for document, checked in pairs:
        for i, need in enumerate(checked.waits_for):
            found = names.first.get((need.kind, need.tenant, need.name))
            if found is None and need.name not in names.unread:
                yield document, Flaw((*NEEDS, i), f"there is no {need}", _guess(need, names))
            elif found is not None and found[1].hook:
                hint = "what it has to be before is said by its own `hook.only`"
                yield document, Flaw((*NEEDS, i), f"{need} is a hook, and nothing can need it", hint)
            elif found is not None and registered(found[1]):
                hint = "name what Convoy runs itself"
                yield document, Flaw((*NEEDS, i), f"{need} runs without Convoy, so that nothing can wait for it", hint)


def _guess(need: Ref, names: Named) -> str:
    names.guesses_left -= 1
    if names.guesses_left < 0:
        return ""
    known = names.names((need.kind,), need.tenant)
    return did_you_mean(need.name, known, f"there is {listing(known)}" if known else "declare one: there is none at all")


def in_circles(pairs: Iterable[Pair]) -> Iterator[Found]:
    """Documents that wait for each other; each circle once, with all of it, at the need that closes it."""
    graph: dict[Ref, tuple[Document, tuple[Ref, ...]]] = {}
    for document, checked in pairs:
        if checked.ref is not None and checked.waits_for:
            graph.setdefault(checked.ref, (document, checked.waits_for))
    for members, step in circles({ref: needs for ref, (_, needs) in graph.items()}):
        what = f"these wait for each other, so none would ever start: {drawn(members, MOST_SHOWN)}"
        yield graph[members[-1]][0], Flaw((*NEEDS, step), what, "remove one of these needs")
