"""What the planner must know besides what is wanted and what is seen."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from reconciler.core.hooks import HookRun
from reconciler.core.model import Connected, Held, Key, Ref, Snapshot
from reconciler.core.overdue import Wait

Endpoint = tuple[str, int]
# What is held, of which instance, and what a person may do about it once that takes too long.
Waiting = tuple[Ref, str, str]

# Why a host cannot be seen in the first moments after a start: no outage, and not worth telling anybody.
NOT_YET = "not looked at yet"


@dataclass(frozen=True, slots=True)
class Failure:
    """An action that failed: how often in a row, when last (Unix seconds), and how."""

    count: int
    at: float
    error: str

    @property
    def retry_at(self) -> float:
        """One second after the first failure, doubling up to a minute: a failing host is visited less often."""
        return self.at + min(60.0, 2.0 ** (self.count - 1))


OrderVerb = Literal["confirm", "suspend", "resume", "take-over", "hold", "sync", "override", "retry"]

# Subjects of orders that are about no one resource: the deletes held as a lot; everything; and, for `convoy down`, also what
# is retained.
DELETES, FLEET, RETAINED = "deletes", "fleet", "retained"


@dataclass(frozen=True, slots=True)
class Order:
    """What a person told Convoy beside Git's documents, by a command or by a commit's trailer.

    `confirm` a delete (subject: a printed ref, or DELETES for the lot that is held); `suspend` (a printed ref, or FLEET);
    `resume` (a printed ref): go on correcting what something else keeps changing;
    `take-over` (an installation's id); `hold` (`<printed ref>@<digest of the document>`: that content is not to come back).
    `sync` what a revision changes where that is done by hand, and `override` the sync windows for it (`core.release.subject`);
    `retry` (a printed ref, or FLEET): let hooks that failed run again.
    `by` is who, `at` when and `until` how long (Unix seconds; None: until it is taken back).
    """

    verb: OrderVerb
    subject: str
    reason: str
    by: str
    at: float
    until: float | None = None


UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def lasting(text: str) -> float | None:
    """How long a person says that something counts: `90s`, `30m`, `2h`, `7d`, or `ever`; as seconds, or None for ever. Raises
    ValueError in words."""
    if text == "ever":
        return None
    read = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    if read is None:
        raise ValueError(f"{text[:40]!r} is not a time like 90s, 30m, 2h or 7d (or `ever`)")
    return float(read[1]) * UNITS_S[read[2]]


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything here was seen or done; nothing is a choice."""

    in_flight: frozenset[Key] = frozenset()
    failures: Mapping[Key, Failure] = field(default_factory=dict)
    connected: Mapping[str, Connected] = field(default_factory=dict)
    # Node ⇒ what it should run now: complete, consistent and without anything an Envoy has refused.
    snapshots: Mapping[str, Snapshot] = field(default_factory=dict)
    # Node ⇒ why that is not all that is declared: it would send requests to what is not healthy yet.
    awaiting: Mapping[str, Wait] = field(default_factory=dict)
    # Node ⇒ version of the snapshot that was last handed to the xDS server.
    published: Mapping[str, str] = field(default_factory=dict)
    # Node ⇒ the endpoints its acknowledged content may send requests to; None when that is not known.
    reaches: Mapping[str, frozenset[Endpoint] | None] = field(default_factory=dict)
    # Instance ⇒ since when no running proxy reaches it (Unix seconds).
    let_go: Mapping[Key, float] = field(default_factory=dict)
    # What people said that is in force now: (verb, subject) ⇒ order.
    orders: Mapping[tuple[str, str], Order] = field(default_factory=dict)
    # Workload ⇒ instance, live digest and host as it was last seen to be as declared: what differs from that without a
    # commit has drifted.
    settled: Mapping[Ref, tuple[str, str, str]] = field(default_factory=dict)
    # Workload ⇒ when we put right what something else had changed (Unix seconds), the last few times.
    corrections: Mapping[Ref, tuple[float, ...]] = field(default_factory=dict)
    # How many workloads there were before the deletes that are to be judged now; None: as many as are seen.
    before: int | None = None
    # Deletes that the budget has let pass, or that a person has released with their lot.
    passed: frozenset[Ref] = frozenset()
    # Declared resource ⇒ what it needs, as long as anything may run that was made with those needs.
    needed: Mapping[Ref, tuple[Ref, ...]] = field(default_factory=dict)
    # What a plan has held for want of something (`Waiting`) ⇒ since when (Unix seconds).
    waiting: Mapping[Waiting, float] = field(default_factory=dict)
    # Hooks' runs; and what of the revision is not in force yet, and why.
    hooks: Mapping[Ref, HookRun] = field(default_factory=dict)
    withheld: Mapping[Ref, Held] = field(default_factory=dict)
    # Declared resource ⇒ why a secret of it cannot be opened here.
    unopened: Mapping[Ref, str] = field(default_factory=dict)
    # Nodes whose stream is not back since Convoy started (core/returning.py): they are not known to have lost anything.
    away: frozenset[str] = frozenset()


NO_FACTS = Facts()
