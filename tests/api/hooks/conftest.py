"""The app with a real store and a real bell; who is woken is this test."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from werkzeug.test import Client, TestResponse

from api import create_app
from api.limits import Limits
from api.reach import Reach
from reconciler.bell import SOURCE, Bell
from reconciler.log import Log
from reconciler.seams import Seams
from reconciler.store import Store
from tests.api.hooks.payloads import PROVIDER, SENT


class Hooked:
    """One Convoy that follows `url` and `branch`, and a hook of each provider."""

    def __init__(self, directory: Path, run: Path) -> None:
        self.run = run
        self.store = Store(f"sqlite:///{directory / 'convoy.db'}", Seams())
        self.looks = threading.Semaphore(0)
        self.bell = Bell(run, self.looks.release, SOURCE)
        self.places: dict[str, tuple[str, bytes]] = {}
        self._apps: list[Any] = []
        self.follow("https://git.example/ops/fleet")

    def follow(self, url: str, branch: str = "main") -> None:
        self.app: Any = create_app(Reach(self.store, self.run, Log(level="error"), Limits(), followed=lambda: (url, branch)))
        self._apps.append(self.app)

    @property
    def hooks(self) -> Any:
        return hooks_of(self.app)

    def place(self, provider: str) -> tuple[str, bytes]:
        """The URL's path and the secret of a hook of this provider."""
        if provider not in self.places:
            _, last, secret = self.store.hooks.create(f"for-{provider}", provider)
            self.places[provider] = (f"/hooks/{provider}/{last}", secret.encode())
        return self.places[provider]

    def form(self, name: str, fields: Any, *, signed: bytes | None = None) -> TestResponse:
        """As a form, whose whole body is `fields` where these are bytes; signed as this forge does, or over `signed`."""
        body = fields if isinstance(fields, bytes) else urlencode(fields).encode()
        if signed is None:
            held = dict(parse_qsl(body.decode("latin-1"))).get("payload", "") if SENT[name].encloses else None
            signed = body if held is None else held.encode()
        return self.send(name, body=body, signed=signed, Content_Type="application/x-www-form-urlencoded")

    def send(self, name: str, payload: Any = None, *, body: Any = None, signed: Any = None, **headers: Any) -> TestResponse:
        """As `name`'s forge sends it, with `headers` over its own (None: without), and the signature of `signed`."""
        path, secret = self.place(PROVIDER[name])
        sent = SENT[name]
        data = body if body is not None else json.dumps(sent.payload if payload is None else payload).encode()
        own = {"Content-Type": "application/json", **sent.headers(data if signed is None else signed, secret)}
        changed = {key.replace("_", "-"): value for key, value in headers.items()}
        lower = {key.lower() for key in changed}
        shown = {key: value for key, value in own.items() if key.lower() not in lower}
        shown |= {key: value for key, value in changed.items() if value is not None}
        return Client(self.app).post(path, data=data, headers=shown)

    def verdict(self, answer: TestResponse) -> str:
        said = json.loads(answer.get_data())
        assert answer.status_code in (200, 202), (answer.status_code, said)
        return str(said["verdict"])

    def woken(self, within_s: float = 60.0) -> bool:
        return self.looks.acquire(timeout=within_s)

    def asleep(self) -> bool:
        time.sleep(0.1)
        return not self.looks.acquire(blocking=False)

    def close(self) -> None:
        # Each writes what it has heard from a thread of its own.
        for app in {*self._apps, self.app}:
            hooks_of(app).recorder.settle()
        self.bell.close()
        self.store.close()


def hooks_of(app: Any) -> Any:
    return app._inner.inner.mounts["/hooks"].hooks


@pytest.fixture
def hooked(tmp_path: Path, sockets: Path) -> Iterator[Hooked]:
    with closing(Hooked(tmp_path, sockets)) as opened:
        yield opened
