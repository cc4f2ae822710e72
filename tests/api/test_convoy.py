"""Our own surface over HTTP: who may ask, what may be sent, how errors are told, and what one client cannot do to others."""

import gzip
import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import Client, TestResponse

from api import create_app
from api.bodies import BodyError, read_body
from api.limits import Limits, TooMany
from api.reach import Reach
from reconciler.ask import AskError
from reconciler.core.against import LARGEST_SENT
from reconciler.core.facts import Order
from reconciler.core.model import Problem, Where
from reconciler.log import Log
from reconciler.metrics import Metrics
from reconciler.requests import Requests
from reconciler.seams import Seams
from reconciler.store import Store

PLAN = "/convoy/v1/plan"


class Clock(Seams):
    ahead = 0.0

    def now(self) -> float:
        return time.time() + self.ahead


class Served:
    """The app with a real store and a real local socket; what control does with a question is this test's."""

    def __init__(self, directory: Path, run: Path, limits: Limits) -> None:
        self.clock = Clock()
        self.store = Store(f"sqlite:///{directory / 'convoy.db'}", self.clock)
        self.run, self.asked = run, list[bytes]()
        self.gate = threading.Event()
        self.gate.set()
        self.answer: Any = {"fine": "x" * 3000}
        self.requests: Requests | None = Requests(
            run, {"plan": self._plan, "plan-and-documents": self._both}, Metrics(), Log(level="error"), Seams()
        )
        self.app = create_app(Reach(self.store, run, Log(level="error"), limits))
        self.token = self.store.tokens.create("ci", ("plan",), None)[1]

    def _plan(self, body: bytes, _: float) -> bytes:
        self.asked.append(body)
        self.gate.wait(240)
        if isinstance(self.answer, Exception):
            raise self.answer
        return json.dumps(self.answer).encode()

    def _both(self, body: bytes, deadline: float) -> bytes:
        return self._plan(b"both " + body, deadline)

    def close(self) -> None:
        self.gate.set()
        if self.requests is not None:
            self.requests.close()
        self.store.close()

    def post(self, data: bytes = b"{}", token: str | None = None, **headers: str) -> TestResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named = {
            "Authorization": f"Bearer {self.token if token is None else token}",
            "Content-Type": "application/json",
        } | named
        return Client(self.app).post(PLAN, data=data, headers=named)


@pytest.fixture
def served(tmp_path: Path, sockets: Path) -> Iterator[Served]:
    with closing(Served(tmp_path, sockets, Limits(in_a_minute=50, at_once=2))) as opened:
        yield opened


def error(answer: TestResponse) -> dict[str, str]:
    """The one envelope, and nothing beside it."""
    said = json.loads(answer.get_data())
    assert said.keys() == {"error"}
    assert said["error"].keys() == {"code", "message", "hint"}
    assert "Traceback" not in answer.text
    return said["error"]  # type: ignore[no-any-return]  # its keys were looked at


def test_an_answer_passes_through(served: Served) -> None:
    """As control gave it; packed where the client takes that; what was asked reaches control unpacked."""
    plain = served.post(b'{"files": {}}')
    packed = served.post(gzip.compress(b'{"files": {}}'), Content_Encoding="gzip", Accept_Encoding="gzip")

    assert plain.status_code == packed.status_code == 200
    assert json.loads(plain.get_data()) == json.loads(gzip.decompress(packed.get_data())) == served.answer
    assert served.asked == [b'{"files": {}}'] * 2


def test_who_may_read_is_shown_what_differs(served: Served) -> None:
    """Control is asked for it only by those who may know what the documents in force say."""
    both = served.store.tokens.create("both", ("plan", "read"), None)[1]
    assert served.post(token=both).status_code == served.post().status_code == 200
    assert served.asked == [b"both {}", b"{}"]


def test_headers(served: Served) -> None:
    """Each answer has an id of its own or the client's, and tells browsers to keep nothing and to guess nothing."""
    first, second = Client(served.app).get("/health"), served.post(X_Request_Id="from-ci.1")
    evil = served.post(X_Request_Id="x" * 65)

    assert (first.status_code, json.loads(first.get_data())) == (200, {"alive": True})
    assert len(first.headers["X-Request-Id"]) == 36
    assert second.headers["X-Request-Id"] == "from-ci.1"
    assert len(evil.headers["X-Request-Id"]) == 36
    for answer in (first, second):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("shown", ["", "Bearer", "Bearer ", "Bearer cvy_", "Basic abc", "Bearer \udcff", "bearer x y", "token"])
def test_nobody_we_know(shown: str, served: Served) -> None:
    """401 that says nothing else, before a byte of the body is read or control is asked."""
    wrong = Client(served.app).post(PLAN, data=b"x" * 100, headers={"Authorization": shown} if shown else {})
    assert wrong.status_code == 401
    assert error(wrong) == {"code": "unauthorized", "message": "who asks is not known", "hint": ""}
    assert not served.asked


def test_tokens_that_do_not_count(served: Served) -> None:
    """Of another secret, expired, revoked, or for something else: the last is told, since it is known who asks."""
    id = served.token.split("_")[1]
    forged = f"cvy_{id}_{'0' * 64}"
    short = served.store.tokens.create("short", ("plan",), 3600.0)[1]
    reader = served.store.tokens.create("reader", ("read",), None)[1]
    assert [served.post(token=one).status_code for one in (served.token, short, forged, reader)] == [200, 200, 401, 403]
    assert error(served.post(token=reader))["message"] == "this token may read, and not plan"
    served.clock.ahead = 3601.0
    assert served.post(token=short).status_code == 401
    assert served.store.tokens.revoke("ci")
    assert served.post().status_code == 401


def test_status_is_for_those_who_may_read(served: Served) -> None:
    """What `convoy status -o json` says, from the store alone."""
    reader = served.store.tokens.create("reader", ("read",), None)[1]
    served.store.put_state({"revision": "r1", "converged": True, "foreign": {"6f0e": 3}})
    client = Client(served.app)

    def get(token: str) -> TestResponse:
        return client.get("/convoy/v1/status", headers={"Authorization": f"Bearer {token}"})

    assert get(served.token).status_code == 403
    said = json.loads(get(reader).get_data())
    assert (said["revision"], said["orders"], said["foreign"], said["untold"]) == ("r1", [], {"6f0e": 3}, [])
    served.store.put_order(Order("suspend", "fleet", "maintenance", "ada", 1.0))
    (order,) = json.loads(get(reader).get_data())["orders"]
    assert (order["verb"], order["subject"], order["reason"]) == ("suspend", "fleet", "maintenance")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", PLAN, 405),
        ("GET", "/", 404),
        ("GET", "/convoy", 404),
        ("GET", "/convoy/v1/../../etc/passwd", 404),
        ("GET", "/health/\x1b[31m", 404),
        ("TRACE", "/health", 405),
        ("POST", "/health", 405),
        ("GET", "/convoy/v1/nothing", 404),
    ],
)
def test_what_is_not_there(method: str, path: str, status: int, served: Served) -> None:
    """In the same envelope as all else."""
    answer = Client(served.app).open(path, method=method)
    assert (answer.status_code, bool(error(answer)["message"])) == (status, True)


@pytest.mark.parametrize(
    ("data", "headers", "status", "code"),
    [
        (b"{}", {"Content_Type": "text/html"}, 415, "media-type"),
        (b"{}", {"Content_Encoding": "br"}, 415, "encoding"),
        (b"{}", {"Content_Encoding": "gzip"}, 400, "bad-body"),
        (gzip.compress(b"{}")[:-4], {"Content_Encoding": "gzip"}, 400, "bad-body"),
        (gzip.compress(b"{}") + b"more", {"Content_Encoding": "gzip"}, 400, "bad-body"),
        (gzip.compress(b"{}") * 2, {"Content_Encoding": "gzip"}, 400, "bad-body"),
        (b"", {"Content_Encoding": "gzip"}, 400, "bad-body"),
        (gzip.compress(b"\0" * 90_000_000, 1), {"Content_Encoding": "gzip"}, 413, "too-large"),
        (b"x" * (LARGEST_SENT + 1), {}, 413, "too-large"),
    ],
    ids=["type", "encoding", "no-gzip", "cut", "after", "twice", "empty", "bomb", "long"],
)
def test_hostile_bodies(data: bytes, headers: dict[str, str], status: int, code: str, served: Served) -> None:
    """None reaches control, and none is held in memory beyond what is allowed."""
    answer = served.post(data, **headers)
    assert (answer.status_code, error(answer)["code"]) == (status, code)
    assert not served.asked
    assert served.post().status_code == 200


def test_a_bomb_is_not_unpacked() -> None:
    """One that stands for two hundred megabytes takes no more than is allowed, and a piece."""
    taken: list[int] = []
    with pytest.raises(BodyError, match="together"):
        read_body(BytesIO(gzip.compress(b"\0" * 200_000_000, 9)), "gzip", 1_000_000, taken.append)
    assert sum(taken) <= 1_000_001


class Silent(BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        raise BlockingIOError(11, "Resource temporarily unavailable")


def test_a_body_that_does_not_come() -> None:
    """A client that stops in the middle is told so, if it still listens."""
    with pytest.raises(BodyError) as raised:
        read_body(Silent(), "", 100, lambda _: None)
    assert raised.value.status == 408


@pytest.mark.parametrize(
    ("code", "status"), [("bad-question", 400), ("busy", 503), ("late", 504), ("no-revision", 503), ("broken", 500)]
)
def test_what_control_says_becomes_a_status(code: str, status: int, served: Served) -> None:
    """With its words; where it is worth asking again, after how long."""
    served.answer = AskError(code, "why not", "what to do")
    answer = served.post()
    assert (answer.status_code, error(answer)) == (status, {"code": code, "message": "why not", "hint": "what to do"})
    assert ("Retry-After" in answer.headers) == (status == 503)


def test_control_is_away(served: Served) -> None:
    """The web process goes on answering while it is, and says so."""
    assert served.requests is not None
    served.requests.close()
    served.requests = None
    assert (served.post().status_code, error(served.post())["code"]) == (503, "away")
    assert Client(served.app).get("/health").status_code == 200


def test_what_we_did_not_foresee_is_told_to_nobody(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """Who asked gets the id under which the log has it."""

    def fail(*_: Any) -> Any:
        raise ZeroDivisionError("a secret detail")

    app = create_app(Reach(served.store, served.run, Log(), Limits()))
    app._inner = fail  # type: ignore[attr-defined]  # an app that is broken
    answer = Client(app).get("/health")
    assert answer.status_code == 500
    assert answer.headers["X-Request-Id"] in error(answer)["hint"]
    assert "a secret detail" not in answer.text
    assert "a secret detail" in capsys.readouterr().err


def test_too_many_at_once(served: Served) -> None:
    """Beyond what may be made at once, one is told to come back; what is read counts in bytes as well, and is given back."""
    served.gate.clear()
    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(served.post().status_code)) for _ in range(2)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 60
    while len(served.asked) < 2 and time.monotonic() < end:
        time.sleep(0.02)
    third = served.post()
    served.gate.set()
    for thread in threads:
        thread.join()
    assert (third.status_code, third.headers["Retry-After"], answers) == (503, "5", [200, 200])
    assert served.post().status_code == 200
    limits = Limits(bytes=10)
    for _ in range(3):
        with limits.one() as held:
            held.take(10)
            with pytest.raises(TooMany), limits.one() as other:
                other.take(1)


def test_too_often(tmp_path: Path, sockets: Path) -> None:
    """Each token for itself: one that asks too often keeps no other from asking."""
    with closing(Served(tmp_path, sockets, Limits(in_a_minute=3))) as served:
        other = served.store.tokens.create("other", ("plan",), None)[1]
        codes = [served.post().status_code for _ in range(4)]
        assert codes == [200, 200, 200, 429]
        assert 1 <= int(served.post().headers["Retry-After"]) <= 60
        assert served.post(token=other).status_code == 200


def test_problems_are_plain_data(served: Served) -> None:
    """An answer with what is wrong is an answer: 200."""
    served.answer = {"problems": [str(Problem(Where("a.yaml"), "bad"))]}
    assert served.post().status_code == 200
