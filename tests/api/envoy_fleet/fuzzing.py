"""Schemathesis over the dialect's own OpenAPI document, against the whole app."""

import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import orjson
import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from schemathesis.transport.wsgi import WSGITransport
from werkzeug import Request

from api import audit, signing
from api.outer import Outer
from api.surfaces import envoy_fleet
from api.surfaces.envoy_fleet.contract import rates
from api.surfaces.envoy_fleet.rates import Rates
from tests import people
from tests.api.envoy_fleet import proxied
from tests.api.envoy_fleet.playing import Dialect
from tests.repos import Origin

SOCKETS = frozenset({"max_redirects", "verify", "cert", "proxies"})
LONGEST_SHOWN = 1_500
# Of each operation at a time; where there is time left, it goes on with more.
EXAMPLES = 4
# What says that control, which is not there in these tests, does not answer.
NO_CONTROL = (501, 503, 504)
# What does not fit its schema is refused, too, by whoever does not read so much.
REFUSED = (400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 428, 429)
# A schema cannot say all that a request has to fit: that what it names is there, what its tag is.
BEYOND_SCHEMAS = ("2xx", 304, 401, 403, 404, 409, 412, 422, 426, 429, *NO_CONTROL)
CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance"),
    *("response_headers_conformance", "positive_data_acceptance", "negative_data_rejection", "use_after_free"),
    *("ensure_resource_availability", "missing_required_header", "ignored_auth", "object_level_authorization"),
    *("unsupported_method", "allow_header_conformance"),
)


def app(dialect: Dialect, secret: str) -> "Signing":
    """The dialect with rates that nobody reaches, and somebody who signs with that secret in between."""
    flask = envoy_fleet.app(dialect.reach, Rates(dict.fromkeys(rates(), 1_000_000)))
    audit.listen(flask, "envoy-fleet")
    return Signing(Outer(flask, dialect.reach.log, False, dialect.recorder), secret.encode())


class Signing:
    """Signs whatever is asked, in place of what it shows: nobody guesses a signature, and beyond those that are none (which
    test_signatures.py has) what is critical would not be asked."""

    def __init__(self, inner: Outer, secret: bytes) -> None:
        self._inner, self._secret = inner, secret

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        asked = Request(environ)
        body, query = asked.get_data(), asked.query_string.decode("latin-1")
        at, path = f"{time.time():.6f}", f"{asked.path}?{query}" if query else asked.path
        right = signing.signature(self._secret, asked.method, path, at, hashlib.sha256(body).hexdigest())
        environ |= {"HTTP_X_REQUEST_TIMESTAMP": at, "HTTP_X_REQUEST_SIGNATURE": f"{signing.PREFIX}{right}"}
        environ["wsgi.input"] = BytesIO(body)
        return self._inner(environ, start)


@contextmanager
def no_sockets() -> Iterator[None]:
    """Some checks of schemathesis ask again on their own, and give werkzeug's client what only a socket's would take."""
    send: Any = WSGITransport.send

    def sent(self: WSGITransport, case: Any, *, session: Any = None, **more: Any) -> Any:
        return send(self, case, session=session, **{name: value for name, value in more.items() if name not in SOCKETS})

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(WSGITransport, "send", sent)
        yield


def failures(dialect: Dialect, *, seed: int, within_s: int) -> tuple[Sequence[str], int]:
    """What every check of schemathesis has to say, and how many checks there were: the same cases each time, as many as there
    is time for."""
    account = people.account(dialect.store, "admin")
    admin = {"Authorization": f"Bearer {people.key(dialect.store, account)}"}
    config = SchemathesisConfig(seed=seed, max_time=within_s)
    schema = schemathesis.openapi.from_wsgi(
        "/api/v1/openapi.json", app(dialect, dialect.store.signatures.give(account.email)), config=config, headers=admin
    )
    project = schema.config
    project.update(headers=admin)
    project.generation.deterministic = True
    project.generation.no_shrink = True
    project.generation.max_examples = EXAMPLES
    project.generation.database = "none"
    project.checks.not_a_server_error.expected_statuses = ["2xx", "304", "4xx", *map(str, NO_CONTROL)]
    project.checks.positive_data_acceptance.expected_statuses = [*map(str, BEYOND_SCHEMAS)]
    project.checks.negative_data_rejection.expected_statuses = [*map(str, REFUSED), *map(str, NO_CONTROL)]
    assert all(getattr(project.checks, name).enabled for name in CHECKS)
    found, checks = dict[tuple[str, str], str](), 0
    with no_sockets():
        for event in from_schema(schema).execute():
            if isinstance(event, events.NonFatalError | events.FatalError):
                found[type(event).__name__, str(event)] = str(getattr(event, "info", getattr(event, "exception", "")))
            if isinstance(event, events.ScenarioFinished):
                recorder = event.recorder
                for case, nodes in recorder.checks.items():
                    checks += len(nodes)
                    for node in nodes:
                        if node.failure_info is not None and not _holds_more(recorder, case, node.name):
                            found.setdefault((node.name, recorder.label), _words(recorder, case, node.failure_info))
    return [f"{name} of {label}: {words}" for (name, label), words in found.items()], checks


def _holds_more(recorder: Any, case: str, check: str) -> bool:
    """Whether what was refused is JSON that fits its schema and that no document can hold: a number beyond 64 bits, half a
    character, endless depth. No schema can say that."""
    met = recorder.interactions.get(case)
    if check != "positive_data_acceptance" or met is None or met.response is None or met.response.status_code != 400:
        return False
    body = recorder.cases[case].value.body
    try:
        orjson.dumps(body)
    except TypeError:
        return isinstance(body, dict)
    return False


def _words(recorder: Any, case: str, failure: Any) -> str:
    met = recorder.interactions.get(case)
    answer = met.response.content[:LONGEST_SHOWN] if met is not None and met.response is not None else b""
    status = met.response.status_code if met is not None and met.response is not None else 0
    return f"{failure.failure.message[:LONGEST_SHOWN]}\n{failure.code_sample[:LONGEST_SHOWN]}\n{status} {answer!r}\n"


class Quick(Dialect):
    """What is committed is in force and carried out at once, as with a loop that is quick; a fleet to begin with."""

    def __init__(self, directory: Path, run: Path, origin: Origin) -> None:
        super().__init__(directory, run, origin)
        self.seals()
        proxied.fleet(self)
        proxied.faring(self)

    def follow(self) -> str:
        revision, rows = super().follow(), self.store.status()
        self.store.put_status(
            {ref: {"ref": ref, "sync": "synced", "health": "healthy"} for ref in self.declared if ref not in rows}
        )
        self.store.put_state({"revision": revision})
        return revision
