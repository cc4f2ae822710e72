"""When a sync window closes: what a revision in force has not begun by then is left for the next one, unless it may finish."""

from collections.abc import Callable

from reconciler.core.facts import Facts
from reconciler.core.kinds import KINDS
from reconciler.core.kinds.settings import Settings
from reconciler.core.kinds.window import Window
from reconciler.core.model import FleetState, Held, Ref, Verb
from reconciler.core.release import OVERRIDE, ordered
from reconciler.core.select import Selector
from reconciler.core.windows import Opening, opening


class Closing:
    """Of one plan."""

    def __init__(self, wanted: FleetState, facts: Facts, settings: Settings, now: float) -> None:
        self._wanted, self._facts, self._now = wanted, facts, now
        self._windows = [(window, Selector.parse(window.only, KINDS)) for window in settings.windows]
        self._said: dict[tuple[Window, ...], Opening] = {}
        self._overridden: Callable[[Ref], bool] | None = None

    def holds(self, owner: Ref, ref: Ref, instance: str, verb: Verb) -> Held | None:
        """Why this, which is not begun, is not begun now. `owner`: the declared resource that it comes of."""
        if not self._windows:
            return None
        resource = self._wanted.resources.get(owner)
        labels = resource.labels if resource is not None else {}
        mine = tuple(window for window, selector in self._windows if selector.covers(owner, labels))
        said = self._said.get(mine) or self._said.setdefault(mine, opening(mine, self._now))
        if said.open or said.finish:
            return None
        if self._overridden is None:
            self._overridden = ordered("override", self._facts.orders, self._wanted, self._wanted)
        if self._overridden(owner):
            return None
        return Held(ref, f"{said.why}, and it was not begun in one", said.until, instance, verb, OVERRIDE)
