"""Metrics: what a proxy, or whatever proxies send requests to, served; and what Convoy itself uses."""

import time

from flask import Flask, Response, request

from api import readings
from api.people import asker
from api.reach import Reach
from api.surfaces.convoy import wire
from reconciler.core.model import DEFAULT_TENANT
from reconciler.core.proposal import Refused, ref_named
from reconciler.core.readings import tenant as whole


def add(flask: Flask, reach: Reach) -> None:
    @flask.get("/v1/metrics")
    def of_all() -> Response:
        """Of all proxies of a tenant, with the latest about the whole system."""
        asker(reach.store, request, "read")
        found = _over(reach, whole(request.args.get("tenant") or DEFAULT_TENANT))
        return wire.answer(found | {"system": reach.store.readings.system()})

    def of_one(kind: str, name: str, tenant: str = DEFAULT_TENANT) -> Response:
        asker(reach.store, request, "read")
        ref = str(ref_named(kind, tenant, name))
        if not reach.store.declared([ref]):
            raise Refused("not-found", f"{ref} is not declared")
        return wire.answer({"ref": ref} | _over(reach, ref))

    flask.add_url_rule("/v1/metrics/<kind>/<name>", "metrics", of_one)
    flask.add_url_rule("/v1/metrics/<kind>/<tenant>/<name>", "metrics_of_tenant", of_one)


def _over(reach: Reach, subject: str) -> dict[str, object]:
    try:
        span, metrics = readings.span(request.args, time.time()), readings.metrics(request.args)
    except readings.BadQuery as why:
        raise Refused("bad-query", str(why)) from None
    found = readings.over(reach.store, subject, span, metrics)
    return {"start": span.start, "end": span.end, "resolution": span.resolution, "metrics": found}
