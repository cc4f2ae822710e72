"""Serves Convoy over HTTP, in a process of its own that holds no fleet and cannot act on a host."""

from typing import Any

from werkzeug.middleware.dispatcher import DispatcherMiddleware

from api import hooks
from api.outer import Outer, Wsgi
from api.reach import Reach
from api.surfaces import SURFACES, root


def create_app(reach: Reach) -> Wsgi:
    """Each surface is a small app of its own under `/<name>/`; `/health` is everybody's, `/hooks` the forges'. `reach` is what
    they may use."""
    surfaces: dict[str, Any] = {f"/{name}": surface.app(reach) for name, surface in SURFACES.items()}
    surfaces["/hooks"] = hooks.App(reach)
    return Outer(DispatcherMiddleware(root.app(), surfaces), reach.log, reach.secure)
