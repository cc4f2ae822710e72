"""When a sync window closes: what a revision in force has not begun by then is left for the next one, unless it may finish."""

from collections.abc import Callable

from reconciler.core.facts import Facts
from reconciler.core.kinds.settings import Settings
from reconciler.core.model import FleetState, Held, Ref, Verb
from reconciler.core.release import OVERRIDE, ordered
from reconciler.core.windows import Windows


class Closing:
    """Of one plan."""

    def __init__(self, wanted: FleetState, facts: Facts, settings: Settings, now: float) -> None:
        self._wanted, self._facts = wanted, facts
        self._windows = Windows(settings.windows, now)
        self._overridden: Callable[[Ref], bool] | None = None

    def holds(self, owner: Ref, ref: Ref, instance: str, verb: Verb) -> Held | None:
        """Why this, which is not begun, is not begun now. `owner`: the declared resource that it comes of."""
        if not self._windows:
            return None
        resource = self._wanted.resources.get(owner)
        said = self._windows.opening(owner, resource.labels if resource is not None else {})
        if said.open or said.finish:
            return None
        if self._overridden is None:
            self._overridden = ordered("override", self._facts.orders, self._wanted, self._wanted)
        if self._overridden(owner):
            return None
        return Held(ref, f"{said.why}, and it was not begun in one", said.until, instance, verb, OVERRIDE)
