"""What belongs to no surface: whether this process is alive, whether it is of use, and what it counts of itself."""

import threading
import time

from flask import Flask, Response, request
from werkzeug.exceptions import NotFound

from api import counts, peer
from api.people import Forbidden, asker
from api.reach import Reach
from api.surfaces.convoy import wire
from reconciler.metrics import EXPOSITION
from reconciler.store import LEASE, StoreError

# Anybody may ask, so the store is asked so often at most.
FRESH_S = 1.0


def app(reach: Reach, counted: counts.Counts) -> Flask:
    flask = Flask("convoy", static_folder=None)
    wire.envelope(flask)
    counts.listen(flask, counts.ROOT)
    lock, known = threading.Lock(), dict[str, bool]()
    until = [0.0]

    def standing() -> dict[str, bool]:
        """`control`: some Convoy acts, this one or the one that it stands by for. `revision`: one is in force."""
        with lock:
            if time.monotonic() >= until[0]:
                known.update(store=False, control=False, revision=False)
                try:
                    acts, good = reach.store.holder(LEASE) is not None, bool(reach.store.last_good())
                    known.update(store=True, control=acts, revision=good)
                except StoreError:
                    pass
                until[0] = time.monotonic() + FRESH_S
            return dict(known)

    @flask.get("/health")
    def health() -> Response:
        """Alive: it answers. Whether the loop is well says the metrics' /health."""
        return wire.answer({"alive": True})

    @flask.get("/ready")
    def ready() -> Response:
        """Of use: what is asked of it can be read, and what is proposed will be carried out. 503 where that is not so."""
        said = standing()
        # With a successor, it is the port that is asked about, and that is served.
        well = all(said.values()) and (reach.succeeded.is_set() or not reach.ending.is_set())
        result = wire.answer({"ready": well, **said})
        result.status_code = 200 if well else 503
        return result

    @flask.get("/metrics")
    def metrics() -> Response:
        """What this process counts: for a program on this machine, and for who may read the whole fleet. To others who are
        known it is not there."""
        if not peer.local(request.environ):
            try:
                asker(reach.store, request, "read")
            except Forbidden:
                raise NotFound from None
        return Response(counted.exposition(), content_type=EXPOSITION)

    return flask
