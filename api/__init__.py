"""Convoy over HTTP: served in a process of its own that holds no fleet and cannot act on a host; and `envoyctl`, which asks."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from api.outer import Start, Wsgi
    from api.reach import Reach


def create_app(reach: "Reach") -> "Wsgi":
    """Each surface is a small app of its own under `/<name>/`; `/health` is everybody's, `/metrics` ours, `/hooks` the
    forges', and the URLs of one surface (`AT_ROOT`) are served without its name too. `reach` is what they may use."""
    # Imported here: who asks needs nothing of those who serve.
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    from api import audit, hooks
    from api.counts import Counts
    from api.outer import Outer, Viewed
    from api.surfaces import AT_ROOT, SURFACES, root

    surfaces: dict[str, Any] = {f"/{name}": surface.app(reach) for name, surface in SURFACES.items()}
    for name in SURFACES:
        audit.listen(surfaces[f"/{name}"], name)
    surfaces["/hooks"] = hooks.App(reach)
    counts = Counts(reach.recorder.lost) if reach.recorder is not None else Counts()
    below, nobodys = surfaces[f"/{AT_ROOT}"], root.app(reach, counts)
    base = SURFACES[AT_ROOT].BASE

    def first(environ: dict[str, Any], start: "Start") -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        inner: Wsgi = below if path == base or path.startswith(f"{base}/") else nobodys
        return inner(environ, start)

    every = DispatcherMiddleware(first, surfaces)
    return Outer(Viewed(every, reach.store), reach.log, reach.secure, reach.recorder, reach.front, counts)
