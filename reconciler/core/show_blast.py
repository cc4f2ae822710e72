"""How much of the fleet a plan touches: the first thing that anybody is told of it."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.core.edits import Edit
from reconciler.core.model import FleetState, Ref
from reconciler.core.show_layout import Line, Span, Text
from reconciler.core.show_problems import count
from reconciler.core.show_steps import SIGNS, SUMMARY, Step, told


@dataclass(frozen=True, slots=True)
class Background:
    """What a plan is shown against, as far as it is known.

    `fleet` is what is wanted, for sizes. `owners` is workload ⇒ what it comes from, for what is not declared any more.
    `edits` are the documents that differ. `before` is the revision that a comparison begins with: then no host was looked at.
    `selected` are the words of `--only`, and `left_out` counts the resources of the plan that those leave out.
    """

    fleet: FleetState | None = None
    owners: Mapping[Ref, Ref] = field(default_factory=dict)
    edits: tuple[Edit, ...] = ()
    before: str = ""
    selected: str = ""
    left_out: int = 0


NOTHING = Background()


@dataclass(frozen=True, slots=True)
class Blast:
    """`changes` is change ⇒ how many workloads; `of_…` is how many there are, None where nobody knows."""

    changes: Mapping[str, int]
    told: int
    workloads: int
    hosts: int
    of_workloads: int | None = None
    of_hosts: int | None = None
    of_proxies: int | None = None
    documents: Mapping[str, int] = field(default_factory=dict)


def blast(listed: Iterable[Step], background: Background = NOTHING) -> Blast:
    """Of these steps. What is held is counted, and touches nothing."""
    touched: set[Ref] = set()
    hosts: set[str] = set()
    nodes: set[str] = set()
    changes: Counter[str] = Counter()
    for step in listed:
        if step.change == "tell":
            nodes.update(told(step))
            continue
        changes[step.change] += 1
        if step.change != "hold":
            touched.add(step.ref)
            hosts.update(step.hosts)
    made: Counter[str] = Counter(edit.made for edit in background.edits)
    fleet = background.fleet
    if fleet is None:
        return Blast(changes, len(nodes), len(touched), len(hosts), documents=made)
    declared = {resource.ref.name for resource in fleet.of("Host")}
    proxies = sum(ref.kind == "Proxy" for ref in fleet.workloads)
    everything = len(fleet.workloads) + len(touched - fleet.workloads.keys())
    return Blast(changes, len(nodes), len(touched), len(hosts), everything, len(declared | hosts), proxies, made)


def summary(size: Blast) -> Line:
    """`1 to create, 2 to replace, 1 proxy gets new configuration`."""
    parts: list[Span] = []
    for change, phrase in SUMMARY.items():
        if size.changes.get(change):
            parts += [Span(f"{size.changes[change]:,} {phrase}", SIGNS[change][1]), Span(", ")]
    if size.told:
        phrase = "1 proxy gets" if size.told == 1 else f"{size.told:,} proxies get"
        parts += [Span(f"{phrase} new configuration", "change"), Span(", ")]
    return tuple(parts[:-1])


def reach(size: Blast) -> str:
    """Which part of the fleet that is; "" where nobody knows how large it is."""
    parts = []
    if size.of_workloads is not None and size.workloads:
        on = f" on {_of(size.hosts, size.of_hosts, 'host')}" if size.hosts else ""
        parts.append(f"touches {_of(size.workloads, size.of_workloads, 'workload')}{on}")
    if size.of_proxies is not None and size.told:
        parts.append(f"tells {_of(size.told, size.of_proxies, 'proxy')}")
    if size.documents:
        words = {"added": "new", "changed": "changed", "removed": "gone"}
        made = ", ".join(f"{size.documents[one]:,} {word}" for one, word in words.items() if size.documents.get(one))
        parts.append(f"documents: {made}")
    return "; ".join(parts)


def reach_page(size: Blast) -> Iterable[Text]:
    words = reach(size)
    if words:
        yield Text((Span(words, "dim"),), 2, 2)


def blast_json(size: Blast) -> dict[str, Any]:
    words = {
        "create": "created",
        "replace": "replaced",
        "restart": "restarted",
        "update": "updated",
        "delete": "deleted",
        "take-over": "takenOver",
        "hold": "held",
    }
    return {
        **{word: size.changes.get(change, 0) for change, word in words.items()},
        "proxiesTold": size.told,
        "workloads": {"touched": size.workloads, "of": size.of_workloads},
        "hosts": {"touched": size.hosts, "of": size.of_hosts},
        "proxies": {"told": size.told, "of": size.of_proxies},
        "documents": {made: size.documents.get(made, 0) for made in ("added", "changed", "removed")},
    }


def _of(part: int, whole: int | None, noun: str) -> str:
    """`3 of 40 workloads`; all of them is worth a word of its own."""
    if whole is None or part > whole:
        return count(part, noun)
    if part == whole and part > 1:
        return f"all {count(whole, noun)}"
    return f"{part:,} of {count(whole, noun)}"
