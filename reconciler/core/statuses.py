"""How all resources of a fleet stand: of thousands a round changes a few, and what is counted over all follows those alone."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from reconciler.core.edition import Edition
from reconciler.core.health import WELL, Word
from reconciler.core.model import Ref
from reconciler.core.rollout import Progress

Sync = Literal["synced", "pending", "drifted", "held", "failed", "refused"]


@dataclass(frozen=True, slots=True)
class Status:
    """One resource. `health` is "none" for what does not run; `since` is when sync or health last changed (Unix seconds)."""

    ref: Ref
    sync: Sync
    health: Word
    since: float
    why: str = ""
    # Of a Rollout, how far it has got.
    rollout: Progress | None = None

    @property
    def well(self) -> bool:
        return self.sync == "synced" and self.health in WELL


@dataclass(frozen=True, slots=True)
class Basis:
    """What they were found from: the declared resources, the kinds that rest as long as no proxy carries them, and all that did
    not rest, and so is looked at in each round."""

    resources: Mapping[Ref, Any] = field(default_factory=dict)
    resting: frozenset[str] = frozenset()
    active: Collection[Ref] = ()


class Statuses(Edition[Ref, Status]):
    """To be read as any dict. `counts`: kind, sync and health ⇒ how many; `unwell`: those not as declared or not well."""

    __slots__ = ("basis", "counts", "unwell")

    def __init__(self, entries: Mapping[Ref, Status] | Iterable[tuple[Ref, Status]] = (), basis: Basis | None = None) -> None:
        super().__init__(entries)
        self.basis = basis
        self.counts = Counter[tuple[str, str, str]]((one.ref.kind, one.sync, one.health) for one in self.values())
        self.unwell = {ref: one for ref, one in self.items() if not one.well}

    def edited(self, changes: Mapping[Ref, Status | None], basis: Basis | None = None) -> Self:
        """With these (None: without); found from what these were, where `basis` is not given."""
        result = super().edited(changes)
        result.basis = basis or self.basis
        for ref, new in changes.items():
            old = self.get(ref)
            if old is not None:
                result.counts[ref.kind, old.sync, old.health] -= 1
                result.unwell.pop(ref, None)
            if new is not None:
                result.counts[ref.kind, new.sync, new.health] += 1
                if not new.well:
                    result.unwell[ref] = new
        result.counts = +result.counts
        return result

    def _copy(self) -> Self:
        result = type(self)(basis=self.basis)
        result.update(self)
        result.counts, result.unwell = Counter(self.counts), dict(self.unwell)
        return result
