"""What the loop's last plan was made from, kept as one value: whoever asks what else would be planned starts from here."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.core.facts import Facts
from reconciler.core.model import FleetState, Key, ObservedState, Problem, Ref, Snapshot


@dataclass(frozen=True, slots=True)
class Premises:
    """Nothing in here changes any more: every round makes a new one. `at` is when that round began (Unix seconds).

    `seen` is all that the hosts showed, those that are declared lost too; `ending` what is being deleted there. `wanted`: node
    ⇒ what it should run, with what its Envoy has refused still in it. `certificates`: Certificate ⇒ the version of what
    proxies get for it. `closed` are the Problems with secrets that cannot be opened or used here.
    """

    fleet: FleetState
    seen: ObservedState
    facts: Facts
    at: float
    ending: frozenset[Key] = frozenset()
    wanted: Mapping[str, Snapshot] = field(default_factory=dict)
    certificates: Mapping[Ref, str] = field(default_factory=dict)
    closed: tuple[Problem, ...] = ()
