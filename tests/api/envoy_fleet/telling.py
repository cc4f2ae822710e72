"""Control as far as webhooks need it: what seals, and what tells whom the fleet's Notifications name."""

import json
from typing import Any

from reconciler.ask import SEAL, TELL
from reconciler.core.model import FleetState
from reconciler.load import Loader
from reconciler.log import Log
from reconciler.metrics import Metrics
from reconciler.notify import Courier
from reconciler.requests import Requests
from reconciler.seals import Seals
from reconciler.seams import Seams
from reconciler.secrets import Opener, keygen
from tests.api.envoy_fleet.playing import Dialect

SETTINGS = "settings.yaml"


class Telling:
    """Close it before the dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect, self.keys = dialect, keygen()
        assert dialect.origin is not None
        spec = {"recipients": [self.keys.recipient]}
        document = {"apiVersion": "convoy/v1", "kind": "Settings", "metadata": {"name": "fleet"}, "spec": spec}
        dialect.origin.commit({SETTINGS: json.dumps(document)})
        self.fleet: FleetState | None = None
        self.follow()
        opener, log = Opener([self.keys.identity], dialect.store.opened), Log(level="error")
        self.courier = Courier(dialect.store, lambda: self.fleet, lambda: True, opener, "us", lambda _: None, log, Seams())
        answers = {
            SEAL: Seals(lambda: self.fleet, opener, dialect.store).asked,
            TELL: self.courier.tests.asked,
        }
        self._requests = Requests(dialect.run, answers, Metrics(), log, Seams())

    def follow(self) -> None:
        """What the branch holds is in force, and known to whoever tells."""
        tip, followed = self.dialect.follow(), self.dialect._followed
        # Whoever has pushed may be following just now.
        with self.dialect._following:
            self.fleet = Loader(None, Seams()).load(followed.tree(tip), followed.read, followed).fleet

    def edit(self, path: str, *changes: tuple[str, str]) -> None:
        """By a person, in Git."""
        text = self.dialect.file(path)
        for old, new in changes:
            assert old in text, text
            text = text.replace(old, new)
        assert self.dialect.origin is not None
        self.dialect.origin.commit({path: text})
        self.follow()

    def close(self) -> None:
        self._requests.close()
        self.courier.close()


def body(**more: Any) -> dict[str, Any]:
    return {"url": "https://hooks.example.com/envoy", "events": ["deployment.started"]} | more
