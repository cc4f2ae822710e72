"""What belongs to no surface: whether this process is alive."""

from flask import Flask, Response

from api.surfaces.convoy import wire


def app() -> Flask:
    flask = Flask("convoy", static_folder=None)
    wire.envelope(flask)

    @flask.get("/health")
    def health() -> Response:
        """Alive: it answers. Whether the loop is well says the metrics' /health."""
        return wire.answer({"alive": True})

    return flask
