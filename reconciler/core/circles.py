"""Circles among what names or needs each other."""

from collections.abc import Iterator, Mapping, Sequence

from reconciler.core.model import Ref


def circles(graph: Mapping[Ref, Sequence[Ref]]) -> Iterator[tuple[list[Ref], int]]:
    """Each circle once: all in it, in order, and which edge of the last of them closes it. Edges may lead out of the graph."""
    done: set[Ref] = set()
    for start in graph:
        # What led here, in order: a dict, so that looking one up takes no longer on a long trail.
        trail: dict[Ref, None] = {}
        waiting: list[tuple[Ref, int]] = [(start, 0)]
        while waiting:
            ref, step = waiting.pop()
            if step == 0:
                if ref in done:
                    continue
                trail[ref] = None
            edges = graph[ref]
            if step == len(edges):
                done.add(trail.popitem()[0])
                continue
            waiting.append((ref, step + 1))
            target = edges[step]
            if target in trail:
                members = [*trail]
                yield members[members.index(target) :], step
            elif target in graph and target not in done:
                waiting.append((target, 0))


def drawn(members: Sequence[Ref], most: int) -> str:
    """A circle in words, with so many of its members at most."""
    shown = [str(one) for one in members]
    if len(shown) > most:
        shown = [*shown[: most - 1], f"… ({len(shown) - most} more)", shown[-1]]
    return " → ".join([*shown, shown[0]])
