"""Our own surface says what was served, of whatever is declared, and of the whole."""

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import Client

from reconciler.core.readings import Reading, tenant
from tests import repos
from tests.committing import Committing, cluster

MINUTE = Reading(600, 6, 60_000, 3, 1, {300: 600})


@pytest.fixture
def served(tmp_path: Path, sockets: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Committing]:
    repos.hermetic(monkeypatch)
    origin = repos.make_origin(tmp_path)
    origin.commit({"web.yaml": cluster("web")})
    with closing(Committing(tmp_path, sockets, origin)) as opened:
        yield opened


def get(served: Committing, path: str, token: str = "") -> tuple[int, Any]:
    answer = Client(served.app).get(f"/convoy/v1/metrics{path}", headers={"Authorization": f"Bearer {token or served.token}"})
    return answer.status_code, json.loads(answer.get_data())


def test_what_was_served(served: Committing) -> None:
    """By kind and name, with the same words as the dialect's; pairs of when and how much."""
    at = int(time.time()) // 60 * 60 - 60
    told = {("Cluster/web", at): MINUTE, (tenant("default"), at): MINUTE, (tenant("acme"), at - 60): MINUTE}
    served.store.readings.write(told, {"loop": {"rounds": 3}}, at + 60)
    status, said = get(served, "/clusters/web?metrics=requests_per_second,error_rate")
    assert (status, said["ref"], said["resolution"]) == (200, "Cluster/web", "1m")
    assert said["end"] - said["start"] == 3600
    assert said["metrics"] == {"requests_per_second": [[at, 10.0]], "error_rate": [[at, 0.01]]}
    status, said = get(served, "?metrics=active_connections")
    assert said["metrics"] == {"active_connections": [[at, 3.0]]}
    assert said["system"] == {"loop": {"rounds": 3}}
    assert get(served, "?tenant=acme&metrics=error_rate")[1]["metrics"] == {"error_rate": [[at - 60, 0.01]]}


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/clusters/none", 404, "not-found"),
        ("/nothing/web", 404, "not-found"),
        ("/clusters/acme/web", 404, "not-found"),
        ("/clusters/We_b", 400, "bad-name"),
        ("/clusters/web?resolution=2m", 400, "bad-query"),
        ("/clusters/web?resolution=", 400, "bad-query"),
        ("/clusters/web?metrics=cost", 400, "bad-query"),
        ("?start_time=now", 400, "bad-query"),
    ],
)
def test_what_is_refused(served: Committing, path: str, status: int, code: str) -> None:
    found, said = get(served, path)
    assert (found, said["error"]["code"]) == (status, code)


def test_who_may(served: Committing) -> None:
    """Whoever may read."""
    token = served.store.tokens.create("ci", ("plan",), None)[1]
    assert [get(served, path, token)[0] for path in ("", "/clusters/web")] == [403, 403]
    assert get(served, "", "cvy_nobody")[0] == 401
