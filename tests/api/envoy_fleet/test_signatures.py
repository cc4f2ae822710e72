"""Signed requests: what is critical is done once, as it was sent, now, and only for who has the account's signing secret."""

import gzip
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from werkzeug.test import Client, TestResponse

from api import create_app, signing
from api.reach import Reach
from api.recorder import Recorder
from api.surfaces.envoy_fleet import rates, signatures
from api.surfaces.envoy_fleet.contract import contract, operations
from api.surfaces.envoy_fleet.contract import rates as contract_rates
from reconciler.log import Log
from reconciler.seams import Seams
from reconciler.store import KeptAccount, Store, Wanted
from reconciler.store import signatures as stored
from tests import people
from tests.api.envoy_fleet import proxied
from tests.api.envoy_fleet.certificates import uploaded
from tests.api.envoy_fleet.playing import LONG_S, Dialect

PROXIES = ["proxy-west-001", "proxy-east-001"]
UPDATE = "/api/v1/bulk/proxies/update"
BODY = {"proxy_ids": PROXIES, "updates": {"cluster_id": None}}
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(
    ("method", "path", "timestamp", "digest", "right"),
    # printf 'POST\n…\n1764513000.25\na719…' | openssl dgst -sha256 -hmac cvy_signing_0011…
    [
        (
            "POST",
            "/api/v1/proxies/proxy-west-001/configuration/rollback?dry_run=true&message=a%20b",
            "1764513000.25",
            "a71953a9246986ac615380cf4833907f1c9ded6e454b242a8f990b8b6afcfa8e",
            "d7baf8c7a0b80dcb0ec369c970fcd23d516649c7d8a79a082624284a4dda81ed",
        ),
        (
            "DELETE",
            "/api/v1/virtual-machines/vm-1",
            "1764513000",
            EMPTY,
            "cabf15f64a865999f3880c8821de4c06d6d16daf9dabbabfa0f165a98a2eab9a",
        ),
    ],
)
def test_what_openssl_says(method: str, path: str, timestamp: str, digest: str, right: str) -> None:
    secret = b"cvy_signing_00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
    assert signing.signature(secret, method, path, timestamp, digest) == right
    assert signing.EMPTY == EMPTY


def signed(secret: str, method: str, path: str, data: bytes, at: float | None = None) -> dict[str, str]:
    """As the documents say, and without a line of ours."""
    timestamp = f"{time.time() if at is None else at:.6f}"
    words = f"{method}\n{path}\n{timestamp}\n{hashlib.sha256(data).hexdigest()}"
    shown = hmac.new(secret.encode(), words.encode(), hashlib.sha256).hexdigest()
    return {"X-Request-Timestamp": timestamp, "X-Request-Signature": f"sha256={shown}"}


class Signer:
    """An account with its token and its signing secret, and who asks as it."""

    def __init__(self, dialect: Dialect, role: str = "admin") -> None:
        proxied.fleet(dialect)
        self.dialect, self.app = dialect, dialect.app
        self.account: KeptAccount = people.account(dialect.store, role)
        self.bearer = {"Authorization": f"Bearer {people.key(dialect.store, self.account)}"}
        self.secret = dialect.store.signatures.give(self.account.email)

    def send(self, path: str, data: bytes, headers: dict[str, str], method: str = "POST", prefix: str = "") -> TestResponse:
        kind = {"Content-Type": "application/json"} if data else {}
        return Client(self.app).open(prefix + path, method=method, data=data, headers=self.bearer | kind | headers)

    def signed(self, path: str, body: object = None, method: str = "POST", prefix: str = "", **more: str) -> TestResponse:
        data = json.dumps(body).encode() if body is not None else b""
        named = {name.replace("_", "-"): text for name, text in more.items()}
        return self.send(path, data, signed(self.secret, method, path, data) | named, method, prefix)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is kept from asking by how often he has asked."""
    monkeypatch.setattr(rates, "rates", lambda: dict.fromkeys(contract_rates(), 10_000))


@pytest.fixture
def signer(dialect: Dialect) -> Signer:
    return Signer(dialect)


def code(answer: TestResponse) -> tuple[int, str, str]:
    """With the header that it is about; each says how it is mended."""
    error = json.loads(answer.get_data())["error"]
    assert error["details"]["reason"]
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    return answer.status_code, error["code"], error["details"]["field"]


REQUIRED = (401, "SIGNATURE_REQUIRED", "X-Request-Signature")
INVALID = (401, "SIGNATURE_INVALID", "X-Request-Signature")
REPLAYED = (401, "SIGNATURE_REPLAYED", "X-Request-Signature")
STALE = (401, "SIGNATURE_STALE", "X-Request-Timestamp")


def test_what_is_critical() -> None:
    """What EF-C15 names, and no more: each is there."""
    (said,) = [one for one in contract()["conflicts"] if one["id"] == "EF-C15"]
    assert "rollback, deployments, bulk and certificate upload" in " ".join(said["recommendation"].split())
    assert operations().keys() >= signatures.CRITICAL
    assert all(operations()[id].writes for id in signatures.CRITICAL)
    for word, count in (("rollback", 1), ("deployments", 1), ("bulk", 2), ("certificates", 1)):
        assert sum(word in id for id in signatures.CRITICAL) == count
    assert len(signatures.CRITICAL) == 5


def test_signed_it_is_done(signer: Signer) -> None:
    """At the root, under the surface's name, packed, and with a query: what is signed begins with /api/v1 either way."""
    assert signer.signed(UPDATE, BODY).status_code == 200
    assert signer.signed(UPDATE, BODY, prefix="/envoy-fleet").status_code == 200
    assert signer.signed(f"{UPDATE}?message=a%20b&dry_run=false", BODY).status_code == 200
    # Of the path its letters count, however they are spelled on their way; of the query how it is sent.
    spelled = UPDATE.replace("proxies", "%70roxies"), json.dumps(BODY).encode()
    assert signer.send(*spelled, signed(signer.secret, "POST", UPDATE, spelled[1])).status_code == 200
    assert code(signer.send(*spelled, signed(signer.secret, "POST", *spelled))) == INVALID
    assert code(signer.send(*spelled, {})) == REQUIRED
    packed = gzip.compress(json.dumps(BODY).encode())
    headers = signed(signer.secret, "POST", UPDATE, packed) | {"Content-Encoding": "gzip"}
    assert signer.send(UPDATE, packed, headers).status_code == 200
    # Of a body that is packed what was sent counts, and not what is in it.
    plain = signed(signer.secret, "POST", UPDATE, json.dumps(BODY).encode()) | {"Content-Encoding": "gzip"}
    assert code(signer.send(UPDATE, packed, plain)) == INVALID


def test_every_critical_one_has_to_be(signer: Signer) -> None:
    """Of an account with a secret, on both addresses, before anything of it is read; what is not critical need not be."""
    for id in sorted(signatures.CRITICAL):
        path = operations()[id].path.replace("{id}", "absent")
        for prefix in ("", "/envoy-fleet"):
            assert code(signer.send(path, b"{", {}, prefix=prefix)) == REQUIRED, id
    assert signer.send("/api/v1/clusters", b'{"name": "ledger"}', {}).status_code == 201
    assert signer.send("/api/v1/proxies", b"", {}, "GET").status_code == 200
    signer.dialect.store.signatures.take(signer.account.email)
    assert signer.send(UPDATE, json.dumps(BODY).encode(), {}).status_code == 200


def test_nothing_else_than_what_was_signed(signer: Signer) -> None:
    """Another method, path, query, time, body or secret: each is refused in the same words, and nothing is done."""
    data = json.dumps(BODY).encode()
    other = people.account(signer.dialect.store, "admin")
    theirs = signer.dialect.store.signatures.give(other.email)
    right = signed(signer.secret, "POST", UPDATE, data)
    before = signer.dialect.log()
    wrong: dict[str, Callable[[], TestResponse]] = {
        "another's path": lambda: signer.send("/api/v1/bulk/delete", data, right),
        "another query": lambda: signer.send(f"{UPDATE}?message=x", data, right),
        "another body": lambda: signer.send(UPDATE, data + b" ", right),
        "no body": lambda: signer.send(UPDATE, b"", right),
        "another method": lambda: signer.send("/api/v1/virtual-machines/x", b"", right, "DELETE"),
        "another time": lambda: signer.send(UPDATE, data, right | {"X-Request-Timestamp": f"{time.time():.3f}"}),
        "another's secret": lambda: signer.send(UPDATE, data, signed(theirs, "POST", UPDATE, data)),
        "its prefix": lambda: signer.send(UPDATE, data, signed(signer.secret, "POST", f"/envoy-fleet{UPDATE}", data)),
        "what is none": lambda: signer.send(UPDATE, data, right | {"X-Request-Signature": "sha256=" + "0" * 64}),
        "no hexadecimal": lambda: signer.send(UPDATE, data, right | {"X-Request-Signature": "sha256=\xe9"}),
    }
    answers = {why: ask() for why, ask in wrong.items()}
    for why, answer in answers.items():
        assert code(answer) == INVALID, why
    said = {json.loads(one.get_data())["error"]["details"]["reason"] for one in answers.values()}
    assert len(said) == 1
    assert signer.dialect.log() == before
    # None of that has used it up, and capitals are the same number.
    shown = right["X-Request-Signature"].removeprefix("sha256=").upper()
    assert signer.send(UPDATE, data, right | {"X-Request-Signature": f"sha256={shown}"}).status_code == 200
    assert code(signer.send(UPDATE, data, right)) == REPLAYED


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ({"X-Request-Timestamp": ""}, "X-Request-Signature"),
        ({"X-Request-Timestamp": "yesterday"}, "X-Request-Signature"),
        ({"X-Request-Timestamp": "-1"}, "X-Request-Signature"),
        ({"X-Request-Timestamp": "1e9"}, "X-Request-Signature"),
        ({"X-Request-Timestamp": "nan"}, "X-Request-Signature"),
        ({"X-Request-Timestamp": "9" * 4000}, "X-Request-Signature"),
        ({"X-Request-Timestamp": "١٧٦٤٥١٣٠٠٠".encode().decode("latin-1")}, "X-Request-Signature"),
        ({"X-Request-Signature": "0" * 64}, "X-Request-Signature"),
        ({"X-Request-Signature": "sha256=" + "0" * 4000}, "X-Request-Signature"),
        ({"X-Request-Signature": None}, "X-Request-Signature"),
        ({"X-Request-Timestamp": None}, "X-Request-Timestamp"),
    ],
)
def test_what_is_no_signature(signer: Signer, headers: dict[str, Any], field: str) -> None:
    """Half of one, or of another form."""
    data = json.dumps(BODY).encode()
    given = signed(signer.secret, "POST", UPDATE, data) | headers
    answer = signer.send(UPDATE, data, {name: text for name, text in given.items() if text is not None})
    assert code(answer) == (401, "SIGNATURE_INVALID", field)


def test_it_is_good_for_minutes(signer: Signer) -> None:
    """By a clock that is ahead or behind, too; later it is told what time it is."""
    data = json.dumps(BODY).encode()
    for off_s in (-240.0, 240.0):
        assert signer.send(UPDATE, data, signed(signer.secret, "POST", UPDATE, data, time.time() + off_s)).status_code == 200
    for off_s in (-360.0, 360.0, -1e9, 1e10):
        answer = signer.send(UPDATE, data, signed(signer.secret, "POST", UPDATE, data, time.time() + off_s))
        assert code(answer) == STALE
        assert time.strftime("%Y-%m-%dT%H:", time.gmtime()) in answer.text


def test_it_is_good_once(signer: Signer) -> None:
    """For whatever it was used, under a key, by another process, under the other address; signed anew, the key counts."""
    data = json.dumps(BODY).encode()
    right = signed(signer.secret, "POST", UPDATE, data) | {"Idempotency-Key": "k"}
    assert signer.send(UPDATE, data, right).status_code == 200
    assert code(signer.send(UPDATE, data, right)) == REPLAYED
    assert code(signer.send(UPDATE, data, right, prefix="/envoy-fleet")) == REPLAYED
    with closing(Store(f"sqlite:///{signer.dialect.database}", Seams())) as store:
        signer.app = create_app(replace(signer.dialect.reach, store=store))
        assert code(signer.send(UPDATE, data, right)) == REPLAYED
        before = signer.dialect.log()
        assert signer.signed(UPDATE, BODY, Idempotency_Key="k").status_code == 200
        assert signer.dialect.log() == before
        # What was refused for another reason is used up as well.
        wrong = signed(signer.secret, "POST", UPDATE, b"{")
        assert signer.send(UPDATE, b"{", wrong).status_code == 400
        signer.app = signer.dialect.app
        assert code(signer.send(UPDATE, b"{", wrong)) == REPLAYED


def test_so_many_in_ten_minutes(signer: Signer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond that it is told to wait, and nothing that could be shown again is forgotten."""
    monkeypatch.setattr(stored, "MOST_USED", 1)
    assert signer.signed(UPDATE, BODY).status_code == 200
    answer = signer.signed(UPDATE, BODY)
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0


def test_whatever_is_shown_is_held_to(signer: Signer) -> None:
    """Where it need not be shown: reading, which may be repeated, and other changes. Logging in takes no notice of it."""
    right = signed(signer.secret, "GET", "/api/v1/proxies?limit=1", b"")
    for _ in range(2):
        assert signer.send("/api/v1/proxies?limit=1", b"", right, "GET").status_code == 200
    assert code(signer.send("/api/v1/proxies?limit=2", b"", right, "GET")) == INVALID
    assert code(signer.send("/api/v1/ws", b"", right, "GET")) == INVALID
    assert signer.signed("/api/v1/clusters", {"name": "ledger"}).status_code == 201
    assert code(signer.send("/api/v1/clusters", b'{"name": "other"}', right)) == INVALID
    assert signer.send("/api/v1/auth/logout", b"", right).status_code == 204
    signer.dialect.store.signatures.take(signer.account.email)
    assert code(signer.send("/api/v1/proxies?limit=1", b"", right, "GET")) == INVALID


def test_where_everybody_has_to_sign(signer: Signer) -> None:
    """Whoever has no secret is told who gives him one; by then who may not do it at all has been told so."""
    dialect, data = signer.dialect, json.dumps(BODY).encode()
    assert not Reach(dialect.store, dialect.run, Log(level="error"), dialect.reach.limits).signed
    signer.app = create_app(replace(dialect.reach, signed=True))
    assert signer.signed(UPDATE, BODY).status_code == 200
    dialect.store.signatures.take(signer.account.email)
    for headers in ({}, signed(signer.secret, "POST", UPDATE, data)):
        refused = signer.send(UPDATE, data, headers)
        assert code(refused) == REQUIRED
        assert "convoy account signing" in refused.text
    assert signer.send("/api/v1/clusters", b'{"name": "ledger"}', {}).status_code == 201
    viewer = Signer(dialect, "viewer")
    viewer.app = signer.app
    assert viewer.signed(UPDATE, BODY).status_code == viewer.send(UPDATE, data, {}).status_code == 403


def test_another_secret_counts_at_once(signer: Signer) -> None:
    """What was signed with the one before it, is not signed."""
    was, signer.secret = signer.secret, signer.dialect.store.signatures.give(signer.account.email)
    data = json.dumps(BODY).encode()
    assert code(signer.send(UPDATE, data, signed(was, "POST", UPDATE, data))) == INVALID
    assert signer.signed(UPDATE, BODY).status_code == 200


def test_the_secret_is_told_nowhere(signer: Signer) -> None:
    """Neither answers, log and audit, nor what happened, nor Git: also where somebody has put it where it does not belong."""
    dialect, written = signer.dialect, StringIO()
    log = Log(written, form="json", level="debug")
    with closing(Recorder(dialect.store, log)) as recorder:
        signer.app = create_app(Reach(dialect.store, dialect.run, log, dialect.reach.limits, recorder=recorder, signed=True))
        answers = [
            signer.signed(UPDATE, BODY),
            signer.signed("/api/v1/certificates", uploaded(dialect)),
            signer.send(UPDATE, b"{}", {}),
            signer.send(UPDATE, b"{}", {"X-Request-Signature": signer.secret, "X-Request-Timestamp": signer.secret}),
            signer.send(UPDATE, b"{}", {"User-Agent": f"curl {signer.secret}"}),
            signer.send(f"/api/v1/proxies/{signer.secret}/configuration/rollback", b"{}", {}),
            signer.send("/api/v1/clusters", b"{}", {"Authorization": f"Bearer {signer.secret}"}),
        ]
        assert [one.status_code for one in answers] == [200, 201, *[401] * 5]
        assert recorder.flush(LONG_S)
        rows = str(dialect.store.audit.page(Wanted(["default", ""]), 5_000))
        for told in (*(one.text + str(one.headers) for one in answers), rows, repr(dialect.store.events())):
            assert signer.secret not in told
        # Of a path the log tells all of it.
        lines = [line for line in written.getvalue().splitlines() if "/configuration/rollback" not in line]
        assert len(lines) >= len(answers) - 1
        assert signer.secret not in "\n".join(lines)
        assert signer.secret not in str(dialect.log("%B")) + "".join(map(dialect.file, dialect.files()))
        refused = [one for one in dialect.store.audit.page(Wanted(["default"]), 100) if one.status == 401]
        assert {one.by for one in refused} == {signer.account.email}
