"""The API about itself (sections 21 and 23.1)."""

from functools import lru_cache
from typing import Any

from flask import request

from api.surfaces.envoy_fleet import openapi, wire
from api.surfaces.envoy_fleet.operations import Asked, Operations


def add(served: Operations) -> None:
    @served("health.get")
    def health(_: Asked) -> dict[str, Any]:
        """It answers, so this process is alive; how the fleet is, is for those who may read it."""
        return {"status": "healthy", "version": wire.VERSION}

    @served("openapi.get")
    def described(_: Asked) -> dict[str, Any]:
        """Of what is served, and nothing else: whoever reads it can rely on it."""
        return _document(frozenset(served.ids), request.script_root)


@lru_cache(maxsize=4)
def _document(ids: frozenset[str], base: str) -> dict[str, Any]:
    """It is the same until the process ends, and takes longer than most answers."""
    return openapi.document(ids, base)
