"""Declares routes by their operations' ids: who may ask, how often, what may be sent and what is answered is in contract.yaml
and schemas/; a route gets what has been checked, and says what came of it."""

import hashlib
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import orjson
from flask import Flask, Request, Response, request

from api import anew, changes, peer, tags
from api.fleet import Found
from api.kept import Text
from api.limits import Held, TooMany, strangers
from api.people import Account, Forbidden, Unknown, bearer, named, who
from api.reach import Reach
from api.signing import EMPTY
from api.surfaces.envoy_fleet import pages, shapes, signatures, wire
from api.surfaces.envoy_fleet.contract import Operation, operations
from api.surfaces.envoy_fleet.mapping.secrets import without_secrets
from api.surfaces.envoy_fleet.rates import Rates
from api.surfaces.envoy_fleet.shapes import Shape
from api.written import as_in_force, written
from reconciler.core.declared import Declared
from reconciler.core.model import Ref
from reconciler.core.proposal import Change, Refused
from reconciler.store import Has, Proposal, Row, Which, Window

SURFACE = "envoy-fleet"
# Who may ask: those who read, those who change, and these.
FOR_ADMINS = frozenset({"audit_logs.list", "certificates.upload", "webhooks.create", "webhooks.test"})
NOBODY = Account("", "", "", "", "", "viewer")
# Sort keys that are numbers.
TIMES = ("created_at", "updated_at", "timestamp")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that may be answered. `query` holds the parameters that were given; `body` is {} where the operation takes
    none."""

    operation: Operation
    shape: Shape
    account: Account
    reach: Reach
    query: Mapping[str, Any]
    body: Mapping[str, Any] = field(repr=False)

    def find(self, kind: str, id: str, what: str) -> Declared:
        """The resource of this kind that `id` stands for: a name, a uid, or at least 8 digits that one uid begins with. Raises
        NotFound; `what` is the word for the kind."""
        found = self.look(kind, id)
        if found is None:
            raise wire.NotFound(what)
        return found

    def look(self, kind: str, id: str) -> Declared | None:
        """The same, None where there is none."""
        found = self.reach.fleet.find(kind, id, self.account.tenant)
        if found is None:
            # It may be what this one has made a moment ago.
            self.settle()
            found = self.reach.fleet.find(kind, id, self.account.tenant)
        return found

    def settle(self) -> None:
        """What this one has changed is what is read from here on."""
        changes.settle(self.reach, self.account.id)

    def expect(self, declared: Declared) -> None:
        """If-Match, where nothing is committed. Raises Refused."""
        match = changes.terms(request).match
        if match and not {declared.digest, "*"} & {*match}:
            raise Refused("precondition", f"{declared.ref} is not what If-Match says", "read it again, and decide anew")

    def make(self, *every: Change) -> Found:
        """All of these changes by one commit, or none, on the terms of this request (If-Match, Idempotency-Key, `wait`, …),
        which are about the first, and that as it is then. Raises what api/changes.py does, NotFound where it is gone, and
        wire.Planned where only the plan was asked for."""
        done = changes.make(self.reach, every, _writer(self.account), self._terms())
        if done.proposal is None:
            raise wire.Planned(done.plan)
        if done.late:
            request.environ["convoy.late"] = True
        if set(done.proposal.refs) != {str(one.ref) for one in every}:
            # Asked for before, under this key, when other names were free.
            found = as_in_force(self.reach, done.proposal, Ref.parse(done.proposal.refs[0]))
        else:
            (found,) = written(self.reach, replace(done, proposed=replace(done.proposed, changes=done.proposed.changes[:1])))
        if found is None:
            raise wire.NotFound("resource any more")
        return found

    def _terms(self) -> changes.Terms:
        """With one key a request has to be the same each time, secrets aside: what is kept of it must not tell them."""
        terms = changes.terms(request)
        said = [self.operation.id, request.path, terms.match, terms.new, terms.message, without_secrets(self.body)]
        return replace(terms, asks=hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest())

    def changed(self, change: Callable[[], Change]) -> Found:
        """The same where the change depends on what is read (its `match` is what was read)."""
        done = self.worked_out(lambda terms: ((change(),), terms))
        if isinstance(done, Proposal):
            found = as_in_force(self.reach, done, Ref.parse(done.refs[0]))
        else:
            (found,) = written(self.reach, done)
        if found is None:
            raise wire.NotFound("resource any more")
        return found

    def worked_out(self, plan: anew.Plan) -> changes.Done | Proposal:
        """All of these changes by one commit, where they depend on what is read (their `match` is what was read).

        Where Git has moved meanwhile, they are worked out anew, unless the client has said what it must be changed from. Where
        it was done before, under this request's key: as what. Raises as `make` does.
        """
        terms, by = self._terms(), _writer(self.account)
        made = changes.made_before(self.reach, by, terms)
        if made is not None:
            return made
        done = anew.worked_out(self.reach, plan, by, terms)
        if done.proposal is None:
            raise wire.Planned(done.plan)
        if done.late:
            request.environ["convoy.late"] = True
        return done

    def fresh(self) -> str:
        """Eight digits for the name of what is given none: the same again under the same Idempotency-Key, so that it is the
        same thing; others each time without."""
        key = changes.terms(request).key
        said = hashlib.sha256(f"{self.account.id}\0{key}".encode()).hexdigest() if key else uuid.uuid4().hex
        return said[:8]

    def page(self, read: pages.Read) -> dict[str, Any]:
        """A list's answer, in the pagination that was asked for. Raises Invalid."""
        return pages.answer(pages.paging(self.query, self.shape.sorts, TIMES), read)

    def resources(
        self, kind: str, show: Callable[[Declared], Mapping[str, Any]], fields: Mapping[tuple[str, ...], str] = {}
    ) -> dict[str, Any]:
        """The list of this tenant's resources of a kind: `show` is a function of a module. `fields`: a path in the document ⇒
        the text that must stand there."""

        has = tuple(Has(path, frozenset({text})) for path, text in fields.items())
        which = Which(kind, self.account.tenant, has=has)

        def read(window: Window) -> tuple[Sequence[Row], int | None]:
            page = self.reach.store.pages.page(which, window)
            return page.rows, page.total

        asked = pages.paging(self.query, self.shape.sorts, TIMES)
        return pages.answered(asked, read, partial(self.reach.kept.every, show))


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with another status than the documented one, or with the digest of the document that it tells of, which its
    ETag is made of."""

    body: Any
    status: int = 0
    digest: str | None = None


View = Callable[..., "Mapping[str, Any] | Answer | None"]
# Who asks, and how that is asked again later ⇒ the answer. The second raises what `who` does.
Opening = Callable[[Account, Callable[[], Account]], Response]


class Operations:
    """`served("clusters.list")` declares the function below it. `ids` are those that are served."""

    def __init__(self, flask: Flask, reach: Reach, rates: Rates) -> None:
        self._flask, self.reach, self._rates = flask, reach, rates
        # Apart from changes: whoever is known must not wait for those who are not.
        self._strangers = strangers()
        self.ids: set[str] = set()

    def __call__(self, id: str) -> Callable[[View], View]:
        operation, shape = operations()[id], shapes.shapes()[id]

        def declare(view: View) -> View:
            self.ids.add(id)

            def asked(**ids: str) -> Response:
                return self._answer(operation, shape, view, ids)

            self._flask.add_url_rule(operation.rule, id, asked, methods=[operation.method])
            return view

        return declare

    def stream(self, id: str) -> Callable[[Opening], Opening]:
        """The same for what becomes a stream: the function below is told who asks, and how that is asked again, and answers by
        itself. A token in the URL will do: a browser has no other place for one there."""
        operation, shape = operations()[id], shapes.shapes()[id]

        def declare(view: Opening) -> Opening:
            self.ids.add(id)

            def asked() -> Response:
                wrong = wire.version_asked()
                if wrong is not None:
                    return wrong
                of: Request = request._get_current_object()  # type: ignore[attr-defined]  # beyond this request there is no proxy
                shown = bearer(of) or of.args.get("access_token", "")
                again = partial(self._listener, of, shown)
                account = self._account(operation, again)
                self._hit(operation.rate, account.id)
                signatures.shown(self.reach, of, account, operation)(EMPTY)
                shapes.parameters(shape, of.args.to_dict(flat=False))
                return view(account, again)

            # Werkzeug tells a request that would be a WebSocket's from one that asks for the same path in another way.
            self._flask.add_url_rule(operation.rule, id, asked, methods=[operation.method], websocket=True)
            self._flask.add_url_rule(operation.rule, f"{id} plain", asked, methods=[operation.method])
            return view

        return declare

    def _listener(self, of: Request, shown: str) -> Account:
        account = named(self.reach.store, of, shown, SURFACE)
        account.needs("viewer")
        return account

    def _answer(self, operation: Operation, shape: Shape, view: View, ids: Mapping[str, str]) -> Response:
        wrong = wire.version_asked()
        if wrong is not None:
            return wrong
        account = NOBODY if operation.open else self._account(operation, lambda: who(self.reach.store, request, SURFACE))
        self._hit(operation.rate, account.id)
        if not operation.open:
            account.needs("admin" if operation.id in FOR_ADMINS else "operator" if operation.writes else "viewer")
        signed = signatures.nothing if operation.open else signatures.shown(self.reach, request, account, operation)
        query = shapes.parameters(shape, request.args.to_dict(flat=False))
        if not operation.writes:
            signed(EMPTY)
            # Whoever has just changed something is shown it.
            changes.settle(self.reach, account.id)
            return self._said(operation, shape, view(Asked(operation, shape, account, self.reach, query, {}), **ids))
        with self._strangers.one() if operation.open else changes.room(self.reach, _writer(account)) as held:
            body = _body(operation, shape, held, signed)
            return self._said(operation, shape, view(Asked(operation, shape, account, self.reach, query, body), **ids))

    def _account(self, operation: Operation, ask: Callable[[], Account]) -> Account:
        try:
            return ask()
        except (Unknown, Forbidden):
            # Whoever guesses is counted as well, by where he comes from.
            self._hit(operation.rate, "")
            raise

    def _hit(self, rate: str, account: str) -> None:
        """Raises TooMany."""
        standing = self._rates.hit(rate, account or _from())
        request.environ["convoy.standing"] = standing
        if standing.over:
            raise TooMany(f"more than {standing.limit} requests of this kind within a minute", standing.after_s, own=True)

    def _said(self, operation: Operation, shape: Shape, said: "Mapping[str, Any] | Answer | None") -> Response:
        given = said if isinstance(said, Answer) else Answer(said)
        usual = 202 if request.environ.get("convoy.late") else shape.success or operation.success
        result = wire.answer(given.body, given.status or (204 if given.body is None else usual))
        return tags.tagged(request, result, given.digest) if given.digest is not None else result


def tagged(found: Declared, shown: Mapping[str, Any] | Text) -> Answer:
    """One resource, with the ETag that If-Match takes."""
    return Answer(shown, digest=found.digest)


def _body(operation: Operation, shape: Shape, held: Held, signed: signatures.Check) -> dict[str, Any]:
    # Where the document shows no body, one may be sent, and need not.
    none = request.content_length in (None, 0) and "Transfer-Encoding" not in request.headers
    if not shape.request or (none and operation.said["request"] is None):
        signed(EMPTY)
        return {}
    body = changes.document(request, held.take, (changes.JSON,), signed)
    shapes.check(shape.request, body)
    return body


def _writer(account: Account) -> changes.Writer:
    return changes.Writer(account.id or _from(), account.email, account.author)


def _from() -> str:
    return f"from {peer.network(peer.address(request.environ))}"
