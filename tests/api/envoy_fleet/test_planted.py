"""Secrets of every sort are planted, every operation is asked, and neither an answer nor the log nor the audit tells one.

A value of an environment that is not called like a secret, and is not sealed, is none: it is shown as it is declared.
"""

import json
from io import StringIO

from werkzeug.test import Client

from api import create_app
from api.limits import Limits
from api.reach import Reach
from api.surfaces.envoy_fleet.contract import operations
from reconciler.log import Log
from reconciler.store import Wanted
from tests import people
from tests.api.envoy_fleet import proxied
from tests.api.envoy_fleet.certificates import uploaded
from tests.api.envoy_fleet.playing import LONG_S, Dialect, served

PASSWORD, SECRET, VALUE = "planted-password-4711", "planted-webhook-secret-4711", "planted-environment-4711"
SPEC = (
    f"spec:\n  host: local\n  command: [sleep]\n  environment:\n    DB_PASSWORD: {VALUE}\n    DB: postgres://me:{VALUE}@db/x\n"
)
CONTAINER = proxied.HEAD.format("Container", "shop") + SPEC


def test_nothing_planted_is_told(dialect: Dialect) -> None:
    certificate = uploaded(dialect)
    key = certificate["private_key"].splitlines()[1]
    proxied.fleet(dialect, proxied.FLEET | {"fleet/shop.yaml": CONTAINER})
    account = people.account(dialect.store, "admin", password=PASSWORD)
    token = people.key(dialect.store, account)
    written = StringIO()
    log = Log(written, form="json", level="debug")
    client = Client(create_app(Reach(dialect.store, dialect.run, log, Limits(), recorder=dialect.recorder)))
    names = {"certificates.upload": certificate}
    names["webhooks.create"] = {"url": "https://hooks.example.com/x", "events": ["deployment.started"], "secret": SECRET}
    names["auth.login"] = {"email": account.email, "password": PASSWORD}
    names["auth.refresh"] = names["auth.logout"] = {"refresh_token": token}
    planted = [PASSWORD, SECRET, VALUE, key, token]
    ids = {"proxies": "proxy-west-001", "configurations": "edge", "clusters": "web", "containers": "shop"}

    every = [one for one in operations().values() if one.id in served(dialect.reach)]
    for operation in sorted(every, key=lambda one: one.method == "GET"):
        group = operation.path.split("/")[3]
        path = operation.path.format(**dict.fromkeys(operation.said["path_params"], ids.get(group, certificate["name"])))
        body = names.get(operation.id, operation.said["request"])
        for headers in ({"Authorization": f"Bearer {token}"}, {"Authorization": f"Basic {SECRET}"}):
            for query in ("", f"?access_token={token}", f"?cursor={SECRET}"):
                # Refused by its schema it might be told what was sent.
                for sent in (body, {**body, "port": VALUE, VALUE: SECRET} if isinstance(body, dict) else None):
                    data = json.dumps(sent) if sent is not None else None
                    kind = {"Content-Type": "application/json"} if data else {}
                    answer = client.open(path + query, method=operation.method, headers=headers | kind, data=data)
                    assert answer.status_code != 500, (operation.id, answer.text)
                    told = answer.text + str(answer.headers)
                    # What a client has called a member of its own is told to it, and to it alone.
                    found = [one for one in planted if one in told and not (one == VALUE and sent is not body)]
                    assert not found, (operation.id, answer.text)
        dialect.follow()
    assert dialect.recorder.flush(LONG_S)
    rows = str(dialect.store.audit.page(Wanted(["default", ""]), 5_000))
    said = written.getvalue()
    assert said.count("http.request") > 300
    for one in planted:
        assert one not in said
        assert one not in rows
