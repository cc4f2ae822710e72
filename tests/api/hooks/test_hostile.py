"""Inbound webhooks against those who mean harm: bodies that lie, types that are wrong, floods; and what the code may not do."""

import ast
import gzip
import io
import json
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import Client

import api.hooks
from api.hooks import IN_A_MINUTE, LARGEST
from api.hooks.delivery import Delivery, Malformed
from api.hooks.table import FORGES
from tests.api.hooks.conftest import Hooked
from tests.api.hooks.mutations import mutated, places
from tests.api.hooks.payloads import PROVIDER, SENT

ROOT = Path(api.hooks.__file__).parent.parent.parent
EVERY = sorted(SENT)


@pytest.mark.parametrize("name", ["github", "gitea", "forgejo", "gogs"])
def test_forms(name: str, hooked: Hooked) -> None:
    """What these forges offer besides JSON, signed as each does; a form that lies is refused, and so is another's signature."""
    hooked.follow(SENT[name].urls[0])
    text = json.dumps(SENT[name].payload | {"pusher": "Zoë & co = 100 %"})
    assert hooked.verdict(hooked.form(name, {"payload": text})) == "woken"
    form = urlencode({"payload": text}).encode()
    other = form if SENT[name].encloses else text.encode()
    assert hooked.form(name, form, signed=other).status_code == 401
    for body, status in (
        (b"payload=%7B", 400),
        # What was signed cannot be told from these, where it is not the form.
        (b"payload=", 0),
        (b"", 0),
        (b"payload", 0),
        (b"payload=%ff", 0),
        (b"payload=\xff", 0),
        (b"other=1", 0),
        (b"&" * 100, 0),
        (urlencode([("payload", text)] * 2).encode(), 0),
        (urlencode([(str(n), "x") for n in range(1000)]).encode(), 0),
    ):
        assert hooked.form(name, body).status_code == (status or (401 if SENT[name].encloses else 400)), body[:50]
    assert hooked.send("gitlab", body=form, Content_Type="application/x-www-form-urlencoded").status_code == 415


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", {}, 400),
        (b"{", {}, 400),
        (b"[]", {}, 400),
        (b"null", {}, 400),
        (b'"push"', {}, 400),
        (b"1e999999", {}, 400),
        (b'{"a": NaN}', {}, 400),
        (b"[" * 200_000, {}, 400),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, {}, 400),
        (b'{"ref": "refs/heads/\\ud800"}', {}, 400),
        (b'{"ref": "\xff"}', {}, 400),
        (b"\x00", {}, 400),
        (b"x" * (LARGEST + 1), {}, 413),
        (gzip.compress(b"{}", mtime=0), {"Content_Encoding": "gzip"}, 415),
        (b"{}", {"Content_Encoding": "br"}, 415),
        (b"{}", {"Content_Type": "text/plain"}, 415),
        (b"{}", {"Content_Type": None}, 415),
        (b"{}", {"Content_Type": "application/json; charset=\xff"}, 400),
        (b"{}", {"Content_Type": "multipart/form-data; boundary=x"}, 415),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_hostile_bodies(body: bytes, headers: dict[str, Any], status: int, hooked: Hooked) -> None:
    """Signed as they should be, and refused all the same; the hook works afterwards."""
    hooked.follow(SENT["github"].urls[0])
    assert hooked.send("github", body=body, **headers).status_code == status
    assert hooked.asleep()
    assert hooked.verdict(hooked.send("github")) == "woken"


class Dripping(io.RawIOBase):
    """A body that never ends, a byte at a time."""

    def __init__(self) -> None:
        self.given = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        self.given += 1
        time.sleep(0.005)
        return b"x"


def test_a_drip(hooked: Hooked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is given up, and what is announced as a gigabyte is not waited for at all."""
    monkeypatch.setattr("api.hooks.SENDING_S", 0.2)
    path, _ = hooked.place("github")
    drip = Dripping()
    begun = time.monotonic()
    assert stream(hooked, path, drip) == 408
    assert time.monotonic() - begun < 60
    drip = Dripping()
    assert stream(hooked, path, drip, CONTENT_LENGTH=str(1 << 30)) == 413
    assert drip.given == 0


def stream(hooked: Hooked, path: str, body: Dripping, **environment: str) -> int:
    """The status of a request whose body comes from there."""
    given = {"wsgi.input": body, "wsgi.input_terminated": True, **environment}
    return Client(hooked.app).post(path, environ_overrides=given, content_type="application/json").status_code


def test_broken_chunks_are_the_senders_fault(hooked: Hooked) -> None:
    """What the server finds wrong with the way a body comes is a 400."""
    from gunicorn.http.errors import InvalidChunkSize

    class Broken(Dripping):
        def read(self, size: int = -1) -> bytes:
            raise InvalidChunkSize(b"zz")

    path, _ = hooked.place("github")
    assert stream(hooked, path, Broken()) == 400


def test_too_often(hooked: Hooked, monkeypatch: pytest.MonkeyPatch) -> None:
    """429 before the body is read, with when to come again; other hooks are heard as before."""
    monkeypatch.setattr("api.hooks.IN_A_MINUTE", 3)
    assert IN_A_MINUTE > 60
    hooked.follow("https://git.example/ops/fleet")
    codes = [hooked.send("gitea", body=b"x").status_code for _ in range(4)]
    assert codes == [400, 400, 400, 429]
    path, _ = hooked.place("gitea")
    drip = Dripping()
    assert (stream(hooked, path, drip), drip.given) == (429, 0)
    assert 1 <= int(hooked.send("gitea").headers["Retry-After"]) <= 60
    assert hooked.send("forgejo").status_code == 202


OTHERS: list[Any] = [
    None,
    True,
    0,
    -1.5,
    10**30,
    "",
    "x",
    "refs/heads/",
    "\0",
    "a" * 5000,
    "https://[",
    [],
    [None],
    {},
    {"": {}},
    [[[]]],
]


@pytest.mark.parametrize("name", EVERY)
def test_any_type_anywhere(name: str, hooked: Hooked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every place of a payload holds something else, in turn: read as an event or refused, an answer of 2xx or 4xx, and never a
    failure of ours."""
    monkeypatch.setattr("api.hooks.IN_A_MINUTE", 10**9)
    hooked.follow(SENT[name].urls[0])
    headers = {key.lower(): value for key, value in SENT[name].headers(b"", b"whsec_AAAA").items()}
    for number, path in enumerate(places(SENT[name].payload)):
        for other in OTHERS:
            body = json.dumps(mutated(SENT[name].payload, path, other)).encode()
            with suppress(Malformed):
                assert FORGES[PROVIDER[name]].read(Delivery(headers, body)).kind in ("push", "other", "ping")
        other = OTHERS[number % len(OTHERS)]
        status = hooked.send(name, mutated(SENT[name].payload, path, other)).status_code
        assert status in (200, 202, 400), (path, other, status)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_fuzzed(name: str, data: st.DataObject, hooked: Hooked) -> None:
    """The same with whatever Hypothesis thinks of, in the body and in the headers."""
    payload = SENT[name].payload
    for _ in range(data.draw(st.integers(1, 3))):
        payload = mutated(payload, data.draw(st.sampled_from(list(places(payload)))), data.draw(VALUES))
    try:
        body = json.dumps(payload).encode()
    except ValueError:
        body = b"\xff"
    words = st.text(st.characters(min_codepoint=1, max_codepoint=255, exclude_characters="\r\n"), max_size=20)
    names = [one.replace("-", "_") for one in SENT[name].headers(b"", b"whsec_AAAA")] + ["Content_Type", "Content_Encoding"]
    headers = data.draw(st.dictionaries(st.sampled_from(names), words, max_size=2))
    hooked.hooks._limits._rate.amount = 10**9
    assert hooked.send(name, body=body, **headers).status_code // 100 in (2, 4)


# Where else somebody shows what only he knows.
PROVING = ("api/people.py", "reconciler/store/tokens.py", "reconciler/store/hooks.py")


def test_constant_time_everywhere() -> None:
    """Nothing that proves who somebody is, is compared in a time that tells how much of it was right."""
    secretly = re.compile(r"secret|signature|token|password|right|hash(ed)?$|_hash|proof|shown")
    compared = 0
    for file in (*ROOT.glob("api/hooks/*.py"), *(ROOT / one for one in PROVING)):
        tree = ast.parse(file.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "hmac.compare_digest":
                compared += 1
            if isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
                for side in (node.left, *node.comparators):
                    # What is compared itself: `token.id` is no secret.
                    last = side.id if isinstance(side, ast.Name) else side.attr if isinstance(side, ast.Attribute) else ""
                    guilty = secretly.search(last)
                    assert not guilty, f"{file.name}:{node.lineno} compares {last} with =="
    assert compared >= 6


def test_no_pattern_meets_what_strangers_send() -> None:
    """Hostile text is split and compared, never matched: there is no regular expression among the hooks."""
    for file in (*ROOT.glob("api/hooks/*.py"), ROOT / "reconciler/repository.py", ROOT / "reconciler/store/hooks.py"):
        imported = {
            one.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Import) for one in node.names
        }
        assert "re" not in imported, file
