"""What is remembered of Rollouts from one round to the next and over restarts, and which of their events were told."""

from collections.abc import Callable, Mapping
from typing import Any

from reconciler.core.model import FleetState, Ref, Resource
from reconciler.core.rollout import PROGRESSED, Progress, Scene, advance, as_row, events, kept, progressed, why
from reconciler.store import Store

ROW = "rollout/"


class Rollouts:
    """Called from the loop's thread alone. Of one that is over nothing is asked again until something else is declared."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.forget()

    def forget(self) -> None:
        """What is kept may be of an earlier Convoy."""
        self._known: dict[Ref, Progress] | None = None
        self._written: dict[Ref, Progress] = {}
        self._declared: FleetState | None = None
        self._listed: tuple[Resource, ...] = ()
        self._next: dict[Ref, Progress] = {}
        self._events: list[tuple[str, str, str]] = []

    def advance(self, scene: Scene) -> Mapping[Ref, Progress]:
        """Where each declared Rollout stands. Raises StoreError."""
        if self._known is None:
            rows = self._store.guards()
            self._known = dict(kept({name.removeprefix(ROW): row for name, row in rows.items() if name.startswith(ROW)}))
            self._written = dict(self._known)
        again = scene.declared is not self._declared
        if again:
            self._declared, self._listed = scene.declared, tuple(scene.declared.of("Rollout"))
        self._next, self._events = {}, []
        for one in self._listed:
            known = self._known.get(one.ref)
            if known is not None and known.over and not again:
                self._next[one.ref] = known
                continue
            due, progress = events(one, advance(one, known, scene))
            self._events += [(kind, str(one.ref), words) for kind, words in due]
            if progressed(known, progress):
                self._events.append((PROGRESSED, str(one.ref), why(progress, counted=True)))
            self._next[one.ref] = progress
        return self._next

    def keep(self) -> Callable[[], None]:
        """Write what of that is new, within the transaction of whoever calls; to be called back once that is so."""
        changes: dict[str, Mapping[str, Any] | None] = {
            f"{ROW}{ref}": as_row(progress) for ref, progress in self._next.items() if self._written.get(ref) != progress
        }
        changes |= {f"{ROW}{ref}": None for ref in self._written.keys() - self._next.keys()}
        if changes:
            self._store.put_guards(changes)
        if self._events:
            self._store.add_events(self._events)
        return self._kept

    def _kept(self) -> None:
        self._known = self._next
        self._written, self._events = dict(self._next), []
