"""Convoy's own API, version 1: what `convoy` asks of a Convoy that runs elsewhere. Plans, status, and resources, which are
changed by commits."""

from api.surfaces.convoy.routes import app

__all__ = ["app"]
