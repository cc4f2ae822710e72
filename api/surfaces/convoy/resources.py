"""Resources: read as they are declared and fare, and changed by commits."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from flask import Flask, Response, request

from api import changes, cursors, tags
from api.fleet import Found, selector
from api.people import asker
from api.reach import Reach
from api.surfaces.convoy import wire
from reconciler.core.kinds import KINDS
from reconciler.core.model import DEFAULT_TENANT
from reconciler.core.proposal import Change, Refused, Verb, ref_named
from reconciler.core.select import SelectorError, kind_named
from reconciler.store import SORTS, Proposal, Row, Token, Which, Window
from reconciler.store.pages import TIMES

PAGE, LARGEST_PAGE = 100, 500


def add(flask: Flask, reach: Reach) -> None:
    """The URLs below /v1/resources, and /v1/proposals."""
    fleet = reach.fleet

    def shown(rows: Iterable[Row], token: Token) -> list[dict[str, Any]]:
        return [wire.resource(Found(one.declared, one.status), reach.kept, addresses=_writes(token)) for one in rows]

    def mine(id: str, token: Token) -> Proposal:
        """What this one has asked for under this id: to others it is not there."""
        found = fleet.proposal(id)
        if found is None or found.token != token.id:
            raise Refused("not-found", "there is no such proposal", "it is the `proposal` of an answer to a change of yours")
        return found

    one = "/v1/resources/<kind>/<name>", "/v1/resources/<kind>/<tenant>/<name>"

    @flask.get("/v1/resources")
    def every() -> Response:
        """A page of what is declared: by its number, or by a cursor, which stays where it is whatever changes meanwhile."""
        token = asker(reach.store, request, "read")
        changes.settle(reach, token.id)
        try:
            kind = kind_named(request.args["kind"], KINDS) if request.args.get("kind") else ""
            selected = selector(request.args.getlist("selector"))
        except SelectorError as error:
            raise Refused("bad-query", str(error)) from None
        which = Which(kind, request.args.get("tenant", ""), selected)
        window = Window(_sort(), changes.flag(request, "descending"))
        if {"cursor", "limit"} & request.args.keys():
            if {"page", "perPage"} & request.args.keys():
                raise Refused("bad-query", "a list goes on by `page`, or by `cursor`")
            limit = changes.number(request, "limit", PAGE, LARGEST_PAGE)
            window = cursors.asked(window, limit, request.args.get("cursor") or None, number=window.sort in TIMES)
            rows, ends = cursors.cut(window, fleet.listed(which, window).rows)
            return wire.answer({"resources": shown(rows, token), "next": ends.next, "previous": ends.previous})
        page = changes.number(request, "page", 1, 1_000_000)
        size = changes.number(request, "perPage", PAGE, LARGEST_PAGE)
        listed = fleet.listed(which, replace(window, start=(page - 1) * size, most=size))
        return wire.answer({"total": listed.total, "page": page, "perPage": size, "resources": shown(listed.rows, token)})

    def get(kind: str, name: str, tenant: str = DEFAULT_TENANT) -> Response:
        """One, with its ETag. `after`: not before what this proposal has changed is in force."""
        token, ref = asker(reach.store, request, "read"), ref_named(kind, tenant, name)
        timeout_s = changes.timeout_s(request)
        after = mine(request.args["after"], token) if "after" in request.args else None
        if after is not None and after.state in ("waiting", "committed"):
            reach.waits.count(token.id)
            with reach.waits.one():
                changes.come(reach, after, timeout_s)
        else:
            changes.settle(reach, token.id)
        found = fleet.get(ref)
        if found is None:
            raise Refused("not-found", f"{ref} is not declared")
        said = wire.answer(wire.resource(found, reach.kept, addresses=_writes(token)))
        return tags.tagged(request, said, found.declared.digest)

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
        return wire.proposed(mine(id, token), always=True)

    def change(verb: Verb, kind: str, name: str, tenant: str) -> Response:
        token = asker(reach.store, request, "write")
        by, ref, asked = changes.writer(token), ref_named(kind, tenant, name), changes.terms(request)
        with changes.room(reach, by) as held:
            document = {} if verb == "delete" else changes.document(request, held.take)
            done = changes.make(reach, [Change(verb, ref, document)], by, asked)
        if done.proposal is None:
            return wire.passed_on(done.plan, request)
        return wire.proposed(done.proposal, status=202 if done.late else 0)


def _writes(token: Token) -> bool:
    return "write" in token.scopes


def _sort() -> str:
    given = request.args.get("sort", "ref")
    if given not in SORTS:
        raise Refused("bad-query", f"`sort` is {', '.join(SORTS)}")
    return given
