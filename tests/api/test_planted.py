"""Secrets are planted, every route of our own surface is asked, and neither an answer nor the log nor the audit tells one.

What is asked of the dialect is in envoy_fleet/test_planted.py.
"""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import Client

from api import create_app
from api.limits import Limits
from api.reach import Reach
from api.surfaces import SURFACES
from reconciler.log import Log
from reconciler.store import Wanted
from tests import repos
from tests.api.test_orders import row
from tests.committing import HEAD, Committing

VALUE, LATER, SENT = "planted-environment-4711", "planted-later-4711", "planted-in-a-body-4711"
VARIABLES = "{{DB_PASSWORD: {0}, DB: 'postgres://me:{0}@db/x', LEVEL: '{1}'}}"
SPEC = f"spec:\n  host: local\n  command: [sleep]\n  environment: {VARIABLES}\n"
HOST = HEAD.format("Host", "local") + "spec: {driver: process}\n"
ORDER = ["GET", "PATCH", "PUT", "POST", "DELETE"]
# What stands between `<` and `>` of a route.
NAMES = {"kind": "container", "name": "shop", "tenant": "default", "id": "shop"}
BODIES: list[Any] = [
    {},
    {"what": "Container/shop", "reason": "why", "to": 1},
    {"spec": {"environment": {"DB_PASSWORD": SENT}}},
    {"spec": {"environment": {"DB_PASSWORD": {"age": SENT}}, "replicas": SENT}},
    {"spec": {"command": ["sleep"], "environment": {"DB_PASSWORD": [SENT]}}},
]


@pytest.fixture
def planted(tmp_path: Path, sockets: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Committing]:
    """Something in the clear that is called a secret, in two versions."""
    repos.hermetic(monkeypatch)
    origin = repos.make_origin(tmp_path)
    document = HEAD.format("Container", "shop")
    origin.commit({"host.yaml": HOST, "shop.yaml": document + SPEC.format(VALUE, 1)})
    with closing(Committing(tmp_path, sockets, origin)) as opened:
        origin.commit({"shop.yaml": document + SPEC.format(LATER, 2)})
        opened.follow()
        opened.store.put_status({"Container/shop": row("Container/shop")})
        yield opened


@pytest.mark.slow
def test_nothing_planted_is_told(planted: Committing) -> None:
    """Of what is in force, was so before, is sent, or is shown to say who asks."""
    hook = planted.store.hooks.create("fleet", "generic", "")[2]
    secrets = [VALUE, LATER, SENT, planted.token, hook]
    written = StringIO()
    log = Log(written, form="json", level="debug")
    reach = Reach(planted.store, planted.run, log, Limits(in_a_minute=10_000), recorder=planted.recorder)
    client, flask = Client(create_app(reach)), SURFACES["convoy"].app(reach)
    routes = [
        (method, "/convoy" + re.sub(r"<(?:\w+:)?(\w+)>", lambda found: NAMES[found[1]], rule.rule))
        for rule in flask.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    ]
    asked = 0
    # What is deleted has nothing more to tell.
    for method, path in sorted(routes, key=lambda one: (ORDER.index(one[0]), one[1])):
        for body in BODIES if method != "GET" else [None]:
            for query in ("", f"?access_token={planted.token}", f"?message={SENT}&dry_run=true", "?limit=500"):
                headers = {"Authorization": f"Bearer {planted.token}", "Content-Type": "application/json", "X-Key": hook}
                data = json.dumps(body) if body is not None else None
                answer = client.open(path + query, method=method, headers=headers, data=data)
                assert answer.status_code != 500, (method, path, answer.text)
                told = answer.text + str(answer.headers)
                assert not [one for one in secrets if one in told], (method, path, query, answer.text)
                asked += 1
        planted.follow()
    assert asked > 50
    assert planted.recorder.flush(60)
    rows = str(planted.store.audit.page(Wanted(["default", ""]), 5_000))
    for one in secrets:
        assert one not in written.getvalue()
        assert one not in rows
