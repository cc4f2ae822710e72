"""The API about itself (sections 21 and 23.1)."""

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
        return openapi.document(served.ids, request.script_root)
