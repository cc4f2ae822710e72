"""What is known of the fleet and of each resource: explained, its history, and what happens."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from flask import Flask, Response, request

from api import changes
from api.people import asker
from api.reach import Reach
from api.surfaces.convoy import wire
from reconciler import chronicle
from reconciler.core import show, show_history
from reconciler.core.as_yaml import as_yaml
from reconciler.core.declared import Changed, Declared
from reconciler.core.masked import shown
from reconciler.core.model import DEFAULT_TENANT
from reconciler.core.proposal import Refused, ref_named
from reconciler.core.show_events import Happened, event_json, wanted
from reconciler.known import known
from reconciler.store import Store

PAGE, LARGEST_PAGE = 100, 500
MOST_ONLY = 20


def add(flask: Flask, reach: Reach) -> None:
    store = reach.store

    def reader() -> None:
        """Whoever may read; as many at once as may wait, for this reads more than a row."""
        who = asker(store, request, "read")
        changes.settle(reach, who.id)
        reach.waits.count(who.id)

    def explain(kind: str, name: str, tenant: str = DEFAULT_TENANT) -> Response:
        """As `convoy explain -o json`; the document as it is declared, without its comments and what is secret."""
        reader()
        with reach.waits.one():
            ref, rows = str(ref_named(kind, tenant, name)), store.status()
            if ref not in rows:
                raise Refused("not-found", f"there is no {ref}")
            every = known(store, rows[ref], rows, _written)
            every = replace(every, changes=tuple(map(_masked, every.changes)))
            return wire.answer(show.explain_json(rows[ref], every))

    def history(kind: str, name: str, tenant: str = DEFAULT_TENANT) -> Response:
        """Newest first, as `convoy history KIND/NAME -o json`; `before` is the number (`n`) of one."""
        reader()
        ref = str(ref_named(kind, tenant, name))
        most = changes.number(request, "limit", PAGE, LARGEST_PAGE)
        before = changes.number(request, "before", 1, 9_999_999) if "before" in request.args else None
        with reach.waits.one():
            found = store.history(ref, most=1_000)
            found = [one for one in found if before is None or one.n < before]
            if not found and before is None:
                raise Refused("not-found", f"nothing is known of what {ref} was")
            listed = [show_history.change_json(_masked(one)) for one in found[:most]]
            return wire.answer({"ref": ref, "changes": listed, "more": len(found) > most})

    @flask.get("/v1/history")
    def history_of_all() -> Response:
        """The newest of what happened to the fleet, as `convoy history -o json`."""
        reader()
        most = changes.number(request, "limit", PAGE, LARGEST_PAGE)
        with reach.waits.one():
            found = chronicle.fleet(store, most + 1, lambda revisions: _made(store, revisions))
            listed = [show_history.happening_json(one) for one in found[:most]]
            return wire.answer({"happened": listed, "more": len(found) > most})

    @flask.get("/v1/events")
    def events() -> Response:
        """The last of what happened, oldest first; or what came `after` the `next` of another answer."""
        reader()
        most = changes.number(request, "limit", PAGE, LARGEST_PAGE)
        only, about = request.args.getlist("only"), request.args.get("ref", "")
        if len(only) > MOST_ONLY:
            raise Refused("bad-query", f"`only` is said at most {MOST_ONLY} times")

        def chosen(one: Happened) -> bool:
            return wanted(one.kind, only) and about in ("", one.ref)

        with reach.waits.one():
            after = _after(request.args["after"]) if "after" in request.args else None
            reading = chronicle.Reader(store, chosen, after)
            found = reading.past(0.0, most) if after is None else reading.news()
            event, outcome = reading.numbers
            return wire.answer({"events": [event_json(one) for one in found], "next": f"{event}.{outcome}"})

    for word, view in {"explain": explain, "history": history}.items():
        for path in (f"/v1/{word}/<kind>/<name>", f"/v1/{word}/<kind>/<tenant>/<name>"):
            flask.add_url_rule(path, f"{word} {path}", view)


def _written(declared: Declared) -> tuple[str, str]:
    return as_yaml(shown(declared.document)), f"{declared.file}:{declared.line}"


def _masked(one: Changed) -> Changed:
    before, after = (shown(side) if side is not None else None for side in (one.before, one.after))
    return replace(one, before=before, after=after)


def _made(store: Store, revisions: Sequence[str]) -> Mapping[str, tuple[str, str]]:
    """Of those that changed something themselves."""
    changed = (one for each in revisions for one in store.history(accepted=each, documents=False) if one.revision == each)
    return {one.revision: (one.author, one.message) for one in changed}


def _after(text: str) -> tuple[int, int]:
    event, _, outcome = text.partition(".")
    if not all(one.isascii() and one.isdecimal() and len(one) < 19 for one in (event, outcome)):
        raise Refused("bad-query", "`after` is the `next` of another answer")
    return int(event), int(outcome)
