"""Asks the dialect by operation ids, and holds what it answers against the contract: each answer against its schema, and the
documented ones against the document's own examples."""

import json
import re
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask
from werkzeug.test import Client, TestResponse

from api.reach import Reach
from api.surfaces import envoy_fleet
from api.surfaces.envoy_fleet import shapes
from api.surfaces.envoy_fleet.contract import operations
from reconciler.ask import SEAL
from reconciler.core.model import DEFAULT_TENANT
from reconciler.log import Log
from reconciler.metrics import Metrics
from reconciler.requests import Requests
from reconciler.seals import Seals
from reconciler.seams import Seams
from reconciler.secrets import Keys, Opener, keygen
from tests import people
from tests.committing import Committing
from tests.fleets import load_text

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
# Whoever waits for so long waits for something that does not come.
LONG_S = 200.0
LIMITS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


def undated(said: Mapping[str, Any]) -> dict[str, Any]:
    """A change is mostly answered before it is in force, and the date that is read of it later is when that came about."""
    return {name: value for name, value in said.items() if name not in ("created_at", "updated_at", "started_at")}


def patient(patched: pytest.MonkeyPatch) -> None:
    """A machine may take as long as it likes until something is committed and in force: after some seconds who asks would be
    answered something else, and that is no matter of who plays with a dialect."""
    # Not that of `api.fleet`: where a person has pushed onto it, reading waits for what somebody has changed to its end.
    for place in ("api.written", "api.surfaces.envoy_fleet.routes.configurations"):
        patched.setattr(f"{place}.SETTLING_S", LONG_S)
    # Nor what is waited for anew at each conflict: some do not pass.
    for name in ("api.changes.COMMITTING_S", "api.anew.TURN_S"):
        patched.setattr(name, LONG_S)


class Dialect(Committing):
    """What it commits is in force at once, as with a loop that is quick."""

    def __init__(self, directory: Path, run: Path, origin: Any, **more: Any) -> None:
        self._following = threading.Lock()
        self._control: Requests | None = None
        # What else is to be closed before the store is.
        self.closing = ExitStack()
        self._bearers: dict[tuple[str | None, str], dict[str, str]] = {}
        super().__init__(directory, run, origin, **more)

    def seals(self) -> Keys:
        """From now on control's socket seals, for these keys."""
        keys = keygen()
        spec = {"recipients": [keys.recipient]}
        document = {"apiVersion": "convoy/v1", "kind": "Settings", "metadata": {"name": "fleet"}, "spec": spec}
        fleet = load_text(json.dumps(document))
        found = Seals(lambda: fleet, Opener([keys.identity], self.store.opened), self.store)
        self._control = Requests(self.run, {SEAL: found.asked}, Metrics(), Log(level="error"), Seams())
        return keys

    def close(self) -> None:
        self.closing.close()
        if self._control is not None:
            self._control.close()
        super().close()

    def _pushed(self) -> None:
        super()._pushed()
        self.follow()

    def follow(self) -> str:
        with self._following:
            return super().follow()

    def bearer(self, role: str | None, tenant: str = DEFAULT_TENANT) -> dict[str, str]:
        """The header of an account of this role, the same one each time."""
        if (role, tenant) not in self._bearers:
            self._bearers[role, tenant] = people.bearer(self.store, role, tenant=tenant)
        return self._bearers[role, tenant]

    def ask(
        self,
        id: str,
        body: object = None,
        *,
        ids: Mapping[str, str] | None = None,
        query: Mapping[str, object] | None = None,
        role: str | None = "admin",
        tenant: str = DEFAULT_TENANT,
        **headers: str,
    ) -> TestResponse:
        """The operation of this id; `ids` stand in its path. Its answer is held against its schema."""
        operation = operations()[id]
        if id == "audit_logs.list":
            # It waits for a second for what was answered before.
            assert self.recorder.flush(LONG_S)
        named = self.bearer(role, tenant) | {name.replace("_", "-"): text for name, text in headers.items()}
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        path = operation.path.format(**(ids or {})) + (f"?{urlencode(query)}" if query else "")
        kind = {"Content-Type": "application/json"} if data is not None else {}
        somewhere = {"REMOTE_ADDR": "127.0.0.1"}
        answer = Client(self.app).open(path, method=operation.method, data=data, headers=kind | named, environ_base=somewhere)
        if operation.writes and answer.status_code < 300:
            # For others too it is in force by now.
            self.follow()
        answered(id, answer, dry=(query or {}).get("dry_run") == "true")
        return answer

    def made(self, id: str, body: object = None, **more: Any) -> Any:
        """What it answers where it succeeds."""
        answer = self.ask(id, body, **more)
        assert answer.status_code < 300, answer.text
        return json.loads(answer.get_data()) if answer.get_data() else None

    def refused(self, id: str, body: object = None, **more: Any) -> tuple[int, str, Mapping[str, Any]]:
        """Status, code and details where it does not."""
        answer = self.ask(id, body, **more)
        error = json.loads(answer.get_data())["error"]
        return answer.status_code, error["code"], error["details"]


def answered(id: str, answer: TestResponse, *, dry: bool = False) -> None:
    """What holds for every answer."""
    assert answer.headers["API-Version"] == "1.0.0"
    assert all(answer.headers[name].isdigit() for name in LIMITS)
    assert answer.status_code != 500, answer.text
    assert answer.status_code in {*operations()[id].statuses, 202, 400, 408, 412, 413, 415, 422, 503}, answer.text
    if answer.status_code >= 400:
        error = json.loads(answer.get_data())["error"]
        assert error.keys() == {"code", "message", "details", "request_id", "timestamp"}
        assert error["request_id"] == answer.headers["X-Request-Id"]
        assert MOMENT.fullmatch(error["timestamp"])
        return
    shape = shapes.shapes()[id]
    if answer.status_code == 204 or not shape.answer:
        assert answer.get_data() == b""
    elif not dry:
        said = json.loads(answer.get_data())
        if not shape.sorts:
            shapes.check(shape.answer, said)
            return
        assert said.keys() in ({"data", "pagination"}, {"data", "cursor"})
        for one in said["data"]:
            shapes.check(shape.answer, one)


def without_ids(answer: TestResponse) -> tuple[int, Any]:
    """An answer but for what differs from each to each."""
    try:
        said = json.loads(answer.get_data())
    except ValueError:
        return answer.status_code, answer.get_data()
    if isinstance(said, dict):
        # Until now, which goes on.
        said.pop("time_range", None)
    if isinstance(said, dict) and isinstance(said.get("error"), dict):
        for name in ("request_id", "timestamp"):
            said["error"].pop(name, None)
    return answer.status_code, said


@dataclass(frozen=True)
class Play:
    """How a documented example is played: `ids` for its path, `body` and `query` instead of the documented ones where those
    name what only a real fleet has; `absent` are documented members that this answer truly has no value for (null, or another
    of Envoy's in its place)."""

    ids: Mapping[str, str] = field(default_factory=dict)
    body: object = None
    query: Mapping[str, object] | None = None
    absent: frozenset[str] = frozenset()


# Operation id ⇒ what has to be there before its example can be played.
Prepare = Callable[[Dialect], Play]


def alike(documented: Any, said: Any, absent: frozenset[str], path: str = "") -> None:
    """Key by key, type by type; an empty list or object of the document is one that it has elided."""
    if said is None and path in absent:
        return
    if isinstance(documented, dict):
        assert isinstance(said, dict), path
        for name, value in documented.items():
            at = f"{path}.{name}" if path else name
            if name not in said and at in absent:
                continue
            assert name in said, f"{at} is missing"
            alike(value, said[name], absent, at)
    elif isinstance(documented, list):
        assert isinstance(said, list), path
        if documented:
            assert said, f"{path} is empty"
            for one in said:
                alike(documented[0], one, absent, f"{path}[]")
    elif isinstance(documented, bool) or documented is None:
        assert type(said) is type(documented), path
    elif isinstance(documented, int):
        assert isinstance(said, int) and not isinstance(said, bool), path  # noqa: PT018 - one thing
    elif isinstance(documented, float):
        assert isinstance(said, int | float), path
    else:
        assert isinstance(said, str), path
        for form in (UUID, MOMENT):
            assert not form.fullmatch(documented) or form.fullmatch(said), f"{path}: {said}"


def served(reach: Reach) -> frozenset[str]:
    app: Flask = envoy_fleet.app(reach)
    return frozenset(app.extensions["operations"].ids)
