"""The API of the "Envoy Fleet Management System - API Specifications", version 1.0.0, as far as COVERAGE.txt ticks it.

contract.yaml is that document as data, and its `conflicts` say how it is read where it contradicts itself. It is served at
`/api/v1/…` of the main port's root, and under `/envoy-fleet/api/v1/…`. What the document lets one say and Convoy's model cannot
is refused by name.

A proxy's configuration (6) is the Configuration that it serves, and its versions are that document's, whoever made them, in Git
or here; a PUT of one that others serve too makes the proxy one of its own, with an id and versions of its own. What is
committed and not in force is 202. Route configurations stand beside `static_resources` (9), since Envoys ask for them by name.
Convoy's Envoys have their admin pages on Unix sockets: `admin_port` is null.

How a group of operations is added: ../README.md.
"""

from flask import Flask, request

from api.reach import Reach
from api.surfaces.envoy_fleet import wire
from api.surfaces.envoy_fleet.operations import Operations
from api.surfaces.envoy_fleet.rates import Rates, Standing
from api.surfaces.envoy_fleet.routes import GROUPS

# Where it is at home on the main port, without a name before it.
BASE = "/api/v1"


def app(reach: Reach, rates: Rates | None = None) -> Flask:
    """`rates` are the document's own where none are given."""
    flask, counted = Flask("envoy-fleet.v1", static_folder=None), rates or Rates()

    def standing() -> Standing:
        known: Standing | None = request.environ.get("convoy.standing")
        return known or counted.hit("", "")

    wire.envelope(flask, reach.log, standing)
    served = flask.extensions["operations"] = Operations(flask, reach, counted)
    for group in GROUPS:
        group.add(served)
    return flask
