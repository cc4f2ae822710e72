"""Resources: read as they are declared and fare, and changed by commits."""

from flask import Flask, Response, request

from api import changes
from api.fleet import selector
from api.people import asker
from api.reach import Reach
from api.surfaces.convoy import wire
from reconciler.core.kinds import KINDS
from reconciler.core.model import DEFAULT_TENANT
from reconciler.core.proposal import Change, Refused, Verb, ref_named
from reconciler.core.select import SelectorError, kind_named

PAGE, LARGEST_PAGE = 100, 500


def add(flask: Flask, reach: Reach) -> None:
    """The URLs below /v1/resources, and /v1/proposals."""
    fleet = reach.fleet
    one = "/v1/resources/<kind>/<name>", "/v1/resources/<kind>/<tenant>/<name>"

    @flask.get("/v1/resources")
    def every() -> Response:
        """A page of what is declared, in the order of refs."""
        changes.settle(reach, asker(reach.store, request, "read").id)
        try:
            kind = kind_named(request.args["kind"], KINDS) if request.args.get("kind") else ""
            selected = selector(request.args.getlist("selector"))
        except SelectorError as error:
            raise Refused("bad-query", str(error)) from None
        page = changes.number(request, "page", 1, 1_000_000)
        size = changes.number(request, "perPage", PAGE, LARGEST_PAGE)
        total, found = fleet.listed(kind, selected, (page - 1) * size, size)
        return wire.answer({"total": total, "page": page, "perPage": size, "resources": [wire.resource(one) for one in found]})

    def get(kind: str, name: str, tenant: str = DEFAULT_TENANT) -> Response:
        """One, with its document's digest as its ETag. `after`: not before what this proposal has changed is in force."""
        token, ref = asker(reach.store, request, "read"), ref_named(kind, tenant, name)
        after, timeout_s = fleet.proposal(request.args.get("after", "")), changes.timeout_s(request)
        if after is not None and after.state == "committed":
            reach.waits.count(token.id)
            with reach.waits.one():
                fleet.in_force(after, timeout_s)
        else:
            changes.settle(reach, token.id)
        found = fleet.get(ref)
        if found is None:
            raise Refused("not-found", f"{ref} is not declared")
        return wire.tagged(wire.answer(wire.resource(found)), found.declared.digest)

    def put(kind: str, name: str, tenant: str = DEFAULT_TENANT) -> Response:
        """The whole document, in the place of the one that is there, if any."""
        return change("put", kind, name, tenant)

    def patch(kind: str, name: str, tenant: str = DEFAULT_TENANT) -> Response:
        """A JSON merge patch (RFC 7396) on the document."""
        return change("patch", kind, name, tenant)

    def delete(kind: str, name: str, tenant: str = DEFAULT_TENANT) -> Response:
        """The document is gone, and so is, soon, what was made from it: whoever asks for that has confirmed it."""
        return change("delete", kind, name, tenant)

    for path in one:
        for method, view in {"GET": get, "PUT": put, "PATCH": patch, "DELETE": delete}.items():
            flask.add_url_rule(path, f"{method} {path}", view, methods=[method])

    @flask.get("/v1/proposals/<id>")
    def proposal(id: str) -> Response:
        """What became of a change: for whoever got no answer."""
        token = asker(reach.store, request, "write")
        found = fleet.proposal(id)
        # To others it is not there.
        if found is None or found.token != token.id:
            raise Refused("not-found", "there is no such proposal")
        return wire.proposed(found, always=True)

    def change(verb: Verb, kind: str, name: str, tenant: str) -> Response:
        token = asker(reach.store, request, "write")
        by, ref, asked = changes.writer(token), ref_named(kind, tenant, name), changes.terms(request)
        with changes.room(reach, by) as held:
            document = {} if verb == "delete" else changes.document(request, held.take)
            done = changes.make(reach, [Change(verb, ref, document)], by, asked)
        if done.proposal is None:
            return wire.passed_on(done.plan, request)
        return wire.proposed(done.proposal, status=202 if done.late else 0)
