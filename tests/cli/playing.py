"""A Control that plays views, for tests of who runs it."""

from collections.abc import Callable
from typing import Any

from reconciler import loop
from reconciler.core.model import Action, Plan, Ref, Snapshot, Verb
from reconciler.core.statuses import Status
from reconciler.preview import Preview

Play = Callable[..., "FakeControl"]


class FakeControl:
    """Plays views to whoever runs it, as the real one does."""

    def __init__(self, views: list[Any], preview: Any = None) -> None:
        self.views, self.planned = views, preview
        self.stopped, self.taken_by, self.replaced = False, "", 0
        self.store = self

    def good(self, node: str) -> Snapshot | None:
        return None

    def __enter__(self) -> "FakeControl":
        return self

    def __exit__(self, *about: object) -> None:
        """Nothing is held."""

    def preview(self) -> Any:
        return self.planned

    def run(self, until: Callable[[Any], bool] | None = None, deadline_s: float | None = None) -> Any:
        for view in self.views:
            if callable(view):
                view()
                continue
            if self.stopped or (until is not None and until(view)):
                return view
        return self.views[-1]

    def down(self, deadline_s: float, *, retained: bool = False) -> Any:
        return self.run()

    def stop(self) -> None:
        self.stopped = True

    def replace_web(self) -> None:
        self.replaced += 1


WEB = Ref("Container", "web")


def step(verb: Verb = "create") -> Action:
    return Action(verb, WEB, "0a1b2c3d", "local", None, "missing")


def view(sync: Any = "synced", health: Any = "healthy", **more: Any) -> Any:
    fields: dict[str, Any] = {
        "revision": "r1",
        "plan": Plan("r1", ()),
        "status": {WEB: Status(WEB, sync, health, 1.0, more.pop("why", ""))},
    }
    return loop.View(**{**fields, "converged": sync == "synced" and health == "healthy", **more})


def preview(**more: Any) -> Any:
    return Preview(**{"revision": "r1", "plan": Plan("r1", (step(),)), **more})
