"""Convoy's own API, version 1: what `convoy` asks of a Convoy that runs elsewhere. Plans and the fleet's status so far."""

from api.surfaces.convoy.routes import app

__all__ = ["app"]
