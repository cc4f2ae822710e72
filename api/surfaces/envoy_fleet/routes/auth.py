"""Logging in, going on and logging out (section 3)."""

from typing import Any

from flask import request

from api import logins
from api.surfaces.envoy_fleet.mapping import auth as mapping
from api.surfaces.envoy_fleet.operations import SURFACE, Asked, Operations


def add(served: Operations) -> None:
    @served("auth.login")
    def login(asked: Asked) -> dict[str, Any]:
        given = logins.login(asked.reach.store, request, SURFACE, asked.body["email"], asked.body["password"])
        return mapping.shown(given)

    @served("auth.refresh")
    def refresh(asked: Asked) -> dict[str, Any]:
        return mapping.shown(logins.refresh(asked.reach.store, request, SURFACE, asked.body["refresh_token"]))

    @served("auth.logout")
    def logout(asked: Asked) -> None:
        """What is to be ended says the header, or the body; where there is nothing to end, that is well, too (EF-C01)."""
        logins.logout(asked.reach.store, request, asked.body.get("refresh_token", ""))
