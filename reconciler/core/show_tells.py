"""Words what Envoys will be told: which resources of theirs come, change and go, by name and not by byte."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.core.model import XDS_TYPES, Snapshot
from reconciler.core.show_layout import Block, Line, Span, Style, Table, text
from reconciler.core.show_problems import code, count, inert
from reconciler.core.show_steps import SIGNS, Step, told

XDS_WORDS = {"cds": "cluster", "eds": "endpoint assignment", "sds": "secret", "lds": "listener", "rds": "route table"}
# More of an Envoy's resources by name would hide the rest of the plan.
MOST_NAMED = 20
MOST_NODES = 5

Running = Mapping[str, Snapshot]


@dataclass(frozen=True, slots=True)
class Told:
    """What proxies get to know: xDS type ⇒ names that are added, changed and removed."""

    added: Mapping[str, tuple[str, ...]]
    changed: Mapping[str, tuple[str, ...]]
    removed: Mapping[str, tuple[str, ...]]

    def __bool__(self) -> bool:
        return any(names for one in (self.added, self.changed, self.removed) for names in one.values())


def tell(snapshot: Snapshot, before: Snapshot | None) -> Told:
    """What this proxy is told anew, by resource."""
    added: dict[str, tuple[str, ...]] = {}
    changed: dict[str, tuple[str, ...]] = {}
    removed: dict[str, tuple[str, ...]] = {}
    for type in XDS_TYPES:
        new = snapshot.resources.get(type, {})
        old = before.resources.get(type, {}) if before else {}
        added[type] = tuple(sorted(new.keys() - old.keys()))
        changed[type] = tuple(sorted(name for name in new.keys() & old.keys() if new[name].version != old[name].version))
        removed[type] = tuple(sorted(old.keys() - new.keys()))
    return Told(added, changed, removed)


def alike(step: Step, running: Running) -> list[tuple[Told, list[str]]]:
    """Proxies that are told the same are named together."""
    nodes = told(step)
    found: dict[str, tuple[Told, list[str]]] = {}
    for node in sorted(nodes):
        one = tell(nodes[node], running.get(node))
        found.setdefault(repr(one), (one, []))[1].append(node)
    return list(found.values())


def nodes_shown(nodes: Iterable[str]) -> str:
    listed = sorted(nodes)
    return ", ".join(listed[:MOST_NODES]) + (f" and {len(listed) - MOST_NODES:,} more" if len(listed) > MOST_NODES else "")


def tell_page(step: Step, running: Running) -> Iterable[Block]:
    nodes = told(step)
    words = f"  new configuration for {nodes_shown(nodes)}"
    yield text(Span(*SIGNS["tell"]), " ", Span(str(step.ref), "name"), words, indent=2, hang=2)
    for one, who in alike(step, running):
        if len(who) != len(nodes):
            yield text(Span(nodes_shown(who), "dim"), indent=4, hang=2)
        yield Table(("", "", ""), tuple(_rows(one)), 6)


def _rows(one: Told) -> Iterable[tuple[Line, ...]]:
    for sign, style, word, names in _parts(one):
        yield (Span(sign, style),), (Span(word),), (Span(names, "dim"),)


def _parts(one: Told) -> Iterable[tuple[str, Style, str, str]]:
    for type in XDS_TYPES:
        for names, change in ((one.added, "create"), (one.changed, "update"), (one.removed, "delete")):
            sign, style = SIGNS[change]  # type: ignore[index]
            listed = names.get(type, ())
            if listed:
                more = f" and {len(listed) - MOST_NAMED:,} more" if len(listed) > MOST_NAMED else ""
                yield sign, style, count(len(listed), XDS_WORDS[type]), ", ".join(listed[:MOST_NAMED]) + more


def tell_json(nodes: Mapping[str, Snapshot], running: Running) -> dict[str, Any]:
    """Node ⇒ what it is told anew: added, changed, removed ⇒ xDS type ⇒ names."""
    return {
        node: {
            name: {type: list(names) for type, names in getattr(one, name).items() if names}
            for name in ("added", "changed", "removed")
        }
        for node, one in ((node, tell(snapshot, running.get(node))) for node, snapshot in sorted(nodes.items()))
    }


def tell_markdown(step: Step, running: Running) -> list[str]:
    """Lines of a list."""
    lines = []
    for one, who in alike(step, running):
        lines.append(f"- {inert(nodes_shown(who))}")
        lines += [f"  - {code(sign)} {inert(word)}: {code(names)}" for sign, _, word, names in _parts(one)]
    return lines
