"""What is in front of the process that serves HTTP: proxies that are believed or not, browsers on others' pages, whoever asks
whether it is ready, and the line in the log."""

import ipaddress
import json
from collections.abc import Iterator
from contextlib import closing
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import Client, TestResponse

from api import create_app, peer
from api.limits import Limits
from api.outer import Front
from api.reach import Reach
from api.recorder import Recorder
from reconciler.log import Log
from reconciler.metrics import Metrics
from reconciler.seams import Seams
from reconciler.store import LEASE, Store, Wanted
from reconciler.web import Http, Web, WebError
from tests import people
from tests.drivers.world import soon

PROXIES = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "fd00::/8", "192.0.2.7/32")))
PAGE = "https://console.example.com"


class Fronted:
    """A store and the app, with what is in front of it."""

    def __init__(self, directory: Path, front: Front) -> None:
        self.store = Store(f"sqlite:///{directory / 'convoy.db'}", Seams())
        self.written = StringIO()
        log = Log(self.written, form="json", level="debug")
        self.recorder = Recorder(self.store, log)
        self.reach = Reach(self.store, directory, log, Limits(), recorder=self.recorder, front=front)
        self._client = Client(create_app(self.reach))

    def close(self) -> None:
        self.recorder.close()
        self.store.close()

    def ask(self, path: str = "/health", method: str = "GET", peer: str = "10.0.0.1", **headers: str) -> TestResponse:
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return self._client.open(path, method=method, headers=named, environ_base={"REMOTE_ADDR": peer})

    def lines(self) -> list[dict[str, Any]]:
        every = [json.loads(line) for line in self.written.getvalue().splitlines()]
        return [one for one in every if one["event"] == "http.request"]


@pytest.fixture
def fronted(tmp_path: Path) -> Iterator[Fronted]:
    with closing(Fronted(tmp_path, Front(PROXIES, frozenset({PAGE})))) as opened:
        yield opened


@pytest.mark.parametrize(
    ("came_from", "said", "client"),
    [
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        # What stands before the first that is no proxy of ours, anybody may have written.
        ("10.0.0.1", "1.1.1.1, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "10.9.9.9, 10.0.0.2", "10.9.9.9"),
        ("::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("fd00::1", "[2001:db8::1]:443", "2001:db8::1"),
        ("192.0.2.7", "203.0.113.9:1234", "203.0.113.9"),
        ("192.0.2.8", "203.0.113.9", "192.0.2.8"),
        ("203.0.113.1", "10.0.0.1", "203.0.113.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9, <script>", "10.0.0.1"),
        ("10.0.0.1", ",".join(["10.0.0.3"] * 100_000), "10.0.0.3"),
        ("", "203.0.113.9", ""),
    ],
)
def test_who_is_believed(came_from: str, said: str, client: str) -> None:
    environ: dict[str, Any] = {"REMOTE_ADDR": came_from, "HTTP_X_FORWARDED_FOR": said}
    peer.believe(environ, PROXIES)
    assert peer.address(environ) == client
    other = {"REMOTE_ADDR": came_from, "HTTP_X_FORWARDED_FOR": said}
    peer.believe(other, ())
    assert peer.address(other) == came_from


def test_it_is_the_client_for_all_who_ask(fronted: Fronted) -> None:
    """The audit, lock-outs, limits and the log go by one address; and how the client came decides on the header for TLS."""
    admin = people.account(fronted.store, "admin")
    bearer = {"Authorization": f"Bearer {people.key(fronted.store, admin)}"}
    path = "/api/v1/clusters?access_token=cvy_planted"
    came = {"X_Forwarded_For": "203.0.113.9", "X_Forwarded_Proto": "http, https"}
    answer = fronted.ask(path, User_Agent="curl/8 cvy_planted\x07", **came, **bearer)
    assert "max-age" in answer.headers["Strict-Transport-Security"]
    assert "Strict-Transport-Security" not in fronted.ask(peer="8.8.8.8", **came).headers
    assert fronted.recorder.flush(60)
    assert [one.address for one in fronted.store.audit.page(Wanted(["default", ""]), 1)] == ["203.0.113.9"]
    (line,) = [one for one in fronted.lines() if one["path"] == "/api/v1/clusters"]
    assert line["from"] == "203.0.113.9"
    assert line["account"] == admin.id
    assert int(line["bytes"]) == len(answer.get_data())
    assert line["agent"].startswith("curl/8")
    assert "planted" not in fronted.written.getvalue()


def test_pages_of_others(fronted: Fronted) -> None:
    """A page that is listed may ask, and is told so before anybody says who asks; no other, and never with cookies."""
    wish = {"Access_Control_Request_Method": "PUT", "Access_Control_Request_Headers": "authorization"}
    told = fronted.ask("/api/v1/clusters/x", "OPTIONS", Origin=PAGE, **wish)
    assert told.status_code == 204
    assert told.headers["Access-Control-Allow-Origin"] == PAGE
    assert "PUT" in told.headers["Access-Control-Allow-Methods"]
    assert "Authorization" in told.headers["Access-Control-Allow-Headers"]
    refused = fronted.ask("/api/v1/clusters", Origin=PAGE)
    assert refused.status_code == 401
    assert refused.headers["Access-Control-Allow-Origin"] == PAGE
    for origin in ("https://console.example.com.evil.example", "http://console.example.com", "null", "*", ""):
        for method in ("OPTIONS", "GET"):
            answer = fronted.ask("/api/v1/clusters", method, Origin=origin, **wish)
            assert not any(name.startswith("Access-Control") for name, _ in answer.headers)
            assert answer.headers["Vary"] == "Origin"
    assert "Access-Control-Allow-Credentials" not in told.headers


def test_ready(fronted: Fronted) -> None:
    """Once some Convoy acts and a revision is in force; alive before that. It tells no more than that, to anybody."""
    assert fronted.ask("/health").status_code == 200
    first = fronted.ask("/ready")
    assert (first.status_code, first.json) == (503, {"ready": False, "store": True, "control": False, "revision": False})
    fronted.store.acquire(LEASE, "somebody", 3600)
    fronted.store.record_revision("0" * 40, "good", ())
    soon(lambda: fronted.ask("/ready").status_code == 200)
    assert fronted.ask("/ready").json == {"ready": True, "store": True, "control": True, "revision": True}
    fronted.reach.ending.set()
    assert fronted.ask("/ready").status_code == 503


@pytest.mark.parametrize(
    "wrong", [{"trusted": ("10.0.0.1/8",)}, {"trusted": ("everybody",)}, {"origins": ("*",)}, {"origins": (f"{PAGE}/",)}]
)
def test_what_makes_no_sense(tmp_path: Path, wrong: dict[str, Any]) -> None:
    """Is told at the start, with what it looks like."""
    with pytest.raises(WebError, match="looks like"):
        Web(Http("127.0.0.1:0", **wrong), "sqlite://", tmp_path, Metrics(), Log(level="error"), Seams())
