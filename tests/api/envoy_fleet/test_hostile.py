"""Whatever is sent to the dialect as a body, a cursor, an id or a token: an answer of its own with a 4xx, and no traceback."""

import gzip
import io
import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from werkzeug.test import Client, TestResponse

from api.changes import LARGEST_DOCUMENT
from api.surfaces.envoy_fleet.contract import Operation, operations
from reconciler.core.against import LARGEST_SENT
from tests.api.envoy_fleet import proxied
from tests.api.envoy_fleet.playing import Dialect, answered, served

GENTLE = settings(
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
LISTS = ("clusters.list", "proxies.list", "webhooks.list", "certificates.list", "deployments.list", "audit_logs.list")
# Half characters, nothing at all, what terminals and file systems act on, and what has another length when it is folded.
ODD = st.one_of(
    st.text(max_size=80),
    st.binary(max_size=60).map(lambda some: some.decode("latin-1")),
    st.sampled_from(
        ["\0", "..", "../..", "%00", "\x1b[2J", "‮", "İ", "ß", "0" * 8, "f" * 300, "00000000-0000-0000-0000-", "a\nb"]
    ),
)


def asked(dialect: Dialect, operation: Operation, path: str, headers: Mapping[str, str] = {}, **more: Any) -> TestResponse:
    """With what no well-behaved client would send; it holds for each answer that it is one."""
    named = dict(dialect.bearer("admin")) | dict(headers)
    answer = Client(dialect.app).open(path, method=operation.method, headers=named, **more)
    assert answer.status_code < 500, answer.text
    assert "Traceback" not in answer.text
    return answer


def writing(dialect: Dialect) -> Iterable[Operation]:
    ids = served(dialect.reach)
    return [one for one in operations().values() if one.id in ids and one.writes and one.said["request"] is not None]


def place(operation: Operation) -> str:
    return operation.path.format(**dict.fromkeys(operation.said["path_params"], "proxy-west-001"))


BODIES: Mapping[str, bytes] = {
    "nothing": b"",
    "no JSON": b"{",
    "a list": b"[]",
    "deep": b'{"name":' * 20_000,
    "deep and whole": b'{"a":' * 3_000 + b"1" + b"}" * 3_000,
    "deep lists": b"[" * 100_000,
    "NUL": b'{"name": "a\\u0000b"}',
    "half a character": b'{"name": "\\ud800"}',
    "no UTF-8": b'{"name": "\xff\xfe"}',
    "UTF-16": '{"name": "a"}'.encode("utf-16"),
    "no number": b'{"name": NaN}',
    "an endless number": b'{"port": 1' + b"0" * 100_000 + b"}",
    "a large exponent": b'{"port": 1e999999}',
    "twice": b'{"name": "a", "name": "b"}',
    "long": b'{"name": "' + b"a" * (LARGEST_DOCUMENT + 1) + b'"}',
    "many members": b"{" + b",".join(b'"%d": 0' % n for n in range(50_000)) + b"}",
}


@pytest.mark.parametrize("what", BODIES)
def test_bodies(dialect: Dialect, what: str) -> None:
    """Of every operation that takes one."""
    proxied.fleet(dialect)
    for operation in writing(dialect):
        kind = {"Content-Type": "application/json"}
        answer = asked(dialect, operation, place(operation), kind, data=BODIES[what])
        assert answer.status_code in (400, 401, 404, 413, 422), (operation.id, answer.text)
        answered(operation.id, answer)


def test_bombs(dialect: Dialect) -> None:
    """What unpacks to a thousand times its size is read no further than a document may be long; so is gzip that is none."""
    bomb = gzip.compress(bytes(64 * 1024 * 1024), 9)
    proxied.fleet(dialect)
    for operation in writing(dialect):
        if operation.open:
            # Strangers are refused for asking too often before that.
            continue
        for body in (bomb, gzip.compress(b"{}")[:-4], gzip.compress(b"{}") + b"x", b"no gzip"):
            kind = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
            answer = asked(dialect, operation, place(operation), kind, data=body)
            assert answer.status_code in (400, 413), operation.id
        assert asked(dialect, operation, place(operation), {"Content-Encoding": "br"}, data=b"x").status_code == 415


class Endless(io.RawIOBase):
    """A body without an end, which counts how much of it was wanted."""

    def __init__(self) -> None:
        self.read_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        self.read_bytes += len(into)
        into[:] = b" " * len(into)
        return len(into)


@pytest.mark.parametrize("length", [10**9, None])
def test_a_gigabyte(dialect: Dialect, length: int | None) -> None:
    """Said or not, it is not read to its end."""
    operation, endless = operations()["clusters.create"], Endless()
    body: dict[str, Any] = {"wsgi.input": io.BufferedReader(endless), "wsgi.input_terminated": length is None}
    body |= {"CONTENT_LENGTH": str(length)} if length else {"HTTP_TRANSFER_ENCODING": "chunked"}
    answer = asked(dialect, operation, operation.path, {"Content-Type": "application/json"}, environ_overrides=body)
    assert answer.status_code == 413
    assert endless.read_bytes < 2 * LARGEST_SENT


@GENTLE
@seed(1)
@given(
    cursor=ODD,
    name=st.sampled_from(["cursor", "limit", "page", "per_page", "sort_by", "order", "nothing"]),
    id=st.sampled_from(LISTS),
)
def test_cursors(dialect: Dialect, cursor: str, name: str, id: str) -> None:
    operation = operations()[id]
    query = {name: cursor.encode("utf-8", "surrogatepass")}
    answer = asked(dialect, operation, operation.path, query_string=query)
    assert answer.status_code in (200, 400, 422)


@GENTLE
@seed(2)
@given(
    id=ODD.filter(lambda text: text.strip("/.")),
    which=st.sampled_from(["proxies.configuration.get", "certificates.get", "deployments.status"]),
)
def test_ids(dialect: Dialect, id: str, which: str) -> None:
    """Of what there is not: 404, in the words for what belongs to others."""
    operation = operations()[which]
    path = operation.path.format(id=quote(id.encode("utf-8", "surrogatepass"), safe=""))
    answer = asked(dialect, operation, path)
    assert answer.status_code in (308, 404), answer.text


@GENTLE
@seed(3)
@given(token=ODD, form=st.sampled_from(["Bearer {}", "bearer cvy_{}", "Bearer eyJhbGciOiJub25lIn0.{}.", "Basic {}", "{}"]))
def test_tokens(dialect: Dialect, token: str, form: str) -> None:
    """In a header, or where a body holds one: nobody is let in."""
    shown = "".join(one for one in form.format(token) if one not in "\r\n").encode("latin-1", "replace").decode("latin-1")
    operation = operations()["clusters.list"]
    assert asked(dialect, operation, operation.path, {"Authorization": shown}).status_code == 401
    for id in ("auth.refresh", "auth.login"):
        other = operations()[id]
        body = {"refresh_token": token} if id == "auth.refresh" else {"email": token, "password": token}
        data = json.dumps(body).encode("utf-8", "replace")
        answer = asked(dialect, other, other.path, {"Content-Type": "application/json"}, data=data)
        assert answer.status_code in (400, 401, 422, 429), answer.text


@settings(GENTLE, max_examples=25)
@seed(4)
@given(secret=ODD, url=ODD)
def test_secrets_of_webhooks(dialect: Dialect, secret: str, url: str) -> None:
    """Taken or refused by name, and told to nobody again."""
    if not hasattr(dialect, "sealing"):
        dialect.sealing = dialect.seals()  # type: ignore[attr-defined]  # once for all examples
    operation = operations()["webhooks.create"]
    for where in (url, "https://hooks.example.com/x"):
        body = {"url": where, "events": ["deployment.started"], "secret": "planted-" + secret, "name": "hook"}
        answer = asked(
            dialect, operation, operation.path + "?dry_run=false", {"Content-Type": "application/json"}, data=json.dumps(body)
        )
        assert answer.status_code in (201, 400, 409, 422, 429), answer.text
        assert "planted-" not in answer.text
