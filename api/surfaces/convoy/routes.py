"""Each URL: who asks, one question to control or to the store, and the answer."""

from flask import Flask, Response, request

from api.bodies import BodyError, read_body
from api.people import asker
from api.reach import Reach
from api.surfaces.convoy import known, metrics, orders, resources, rollback, sync, wire
from reconciler.ask import PLAN, PLAN_AND_DOCUMENTS, ask
from reconciler.core.against import LARGEST_QUESTION

# A first plan of 10,000 documents takes 5 s; who waits longer than this has given up.
PLANNING_S = 90.0


def app(reach: Reach) -> Flask:
    flask = Flask("convoy.v1", static_folder=None)
    wire.envelope(flask)
    resources.add(flask, reach)
    metrics.add(flask, reach)
    orders.add(flask, reach)
    sync.add(flask, reach)
    rollback.add(flask, reach)
    known.add(flask, reach)

    @flask.post("/v1/plan")
    def plan() -> Response:
        """What would be done if these documents were the next revision."""
        token = asker(reach.store, request, "plan")
        reach.limits.count(token.id)
        with reach.limits.one() as held:
            if request.mimetype != "application/json":
                raise BodyError(
                    415, "media-type", "the body is not said to be JSON", "send it with Content-Type: application/json"
                )
            body = read_body(request.stream, request.headers.get("Content-Encoding", ""), LARGEST_QUESTION, held.take)
            # Who may read the fleet is shown what differs from it.
            what = PLAN_AND_DOCUMENTS if "read" in token.scopes else PLAN
            return wire.passed_on(ask(reach.run, what, body, PLANNING_S), request)

    @flask.get("/v1/status")
    def status() -> Response:
        """Where the fleet stands, as `convoy status -o json` says it."""
        asker(reach.store, request, "read")
        return wire.answer(sync.standing(reach.store))

    return flask
