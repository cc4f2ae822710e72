"""A repository, a store, the committer and the app in front of it; in force is what `follow` was last told."""

import json
import sqlite3
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from werkzeug.test import Client, TestResponse

from api import create_app
from api.limits import Limits
from api.reach import Reach
from api.recorder import Recorder
from reconciler.bell import Bell
from reconciler.committer import Committer
from reconciler.core.declared import Declaration
from reconciler.core.model import FleetState
from reconciler.core.told import Said, heard
from reconciler.desk import Desk
from reconciler.git import Branch, Files, Mirror
from reconciler.load import Loader
from reconciler.log import Log
from reconciler.makers import makers
from reconciler.seams import Seams
from reconciler.store import Store
from tests import routes as routes
from tests.repos import Origin, git

HEAD = "apiVersion: convoy/v1\nkind: {}\nmetadata:\n  name: {}\n"


def cluster(name: str, port: int = 1, more: str = "") -> str:
    return HEAD.format("Cluster", name) + f"spec:\n  endpoints: # where it is\n    - 127.0.0.1:{port}\n{more}"


def value(name: str, port: int = 1) -> dict[str, Any]:
    return {"spec": {"endpoints": [f"127.0.0.1:{port}"]}, "metadata": {"name": name}}


class Committing:
    """Everything opened; `close` it. Without `origin` the fleet is followed as a folder."""

    def __init__(
        self,
        directory: Path,
        run: Path,
        origin: Origin | None,
        *,
        subdirectory: str = "",
        seams: Seams | None = None,
        signers: Path | None = None,
        start: bool = True,
        name: str = "ada",
    ) -> None:
        self.origin, self.run, self.seams = origin, run, seams or Seams()
        self.database = directory / "convoy.db"
        self.store = Store(f"sqlite:///{self.database}", self.seams)
        self.acting, self.pushes = True, 0
        # What is in force, by printed ref.
        self.declared: list[str] = []
        self.desk: Desk | None = None
        if origin is not None:
            mirror, files = directory / "mirror", Files(ssh=signers)
            source = Mirror(str(origin.path), "main", mirror, self.seams, subdirectory=subdirectory, signers=files)

            def named(name: str) -> Branch:
                return Branch(str(origin.path), name, mirror, self.seams)

            self.desk = Desk(source, named("main"), signers is not None, named)
            self._followed = Mirror(str(origin.path), "main", mirror, self.seams, subdirectory=subdirectory)
        self._loader = Loader(None, self.seams)
        self.committer = Committer(self.store, self.desk, lambda: self.acting, self._pushed, Log(level="error"), self.seams)
        self._bell: Bell | None = self.committer.start(run) if start else None
        self.recorder = Recorder(self.store, Log(level="error"))
        self.reach = Reach(self.store, run, Log(level="error"), Limits(), recorder=self.recorder)
        self.app = create_app(self.reach)
        self.token = self.store.tokens.create(name, ("read", "write"), None, "Ada <ada@example.com>")[1]
        if origin is not None and origin.tip():
            self.follow()

    def _pushed(self) -> None:
        self.pushes += 1

    def fleet(self) -> FleetState:
        """What the branch holds."""
        fleet = self._loader.load(self._followed.tree(self._followed.fetch()), self._followed.read, self._followed).fleet
        assert fleet is not None
        return fleet

    def follow(self) -> str:
        """What the branch holds comes into force."""
        tip = self._followed.fetch()
        loaded = self._loader.load(self._followed.tree(tip), self._followed.read, self._followed)
        assert loaded.fleet is not None, loaded.problems
        documents = loaded.documents
        declaration = Declaration(
            tip,
            loaded.fleet.resources,
            lambda ref: documents[ref].value,
            lambda since, files: makers(self._followed, since, tip, files),
        )
        commits = self._followed.commits(self.store.last_good() or "", tip)
        said = heard((Said(one.revision, one.author, one.message) for one in reversed(commits)), (), 0.0)
        self.store.record_revision(tip, "good", (), declaration=declaration, requests=said.requests)
        self.declared = [str(ref) for ref in loaded.fleet.resources]
        return tip

    def close(self) -> None:
        self.recorder.close()
        self.committer.close()
        if self._bell is not None:
            self._bell.close()
        if self.origin is not None:
            self._followed.close()
        self.store.close()

    def __call__(
        self, method: str, what: str, body: object = None, query: str = "", token: str | None = None, **headers: str
    ) -> TestResponse:
        """`what` as in `Cluster/a`, or a path."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        named = {"Authorization": f"Bearer {token or self.token}"} | named
        data = None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            named = {"Content-Type": "application/json"} | named
        path = what if what.startswith("/") else f"/convoy/v1/resources/{what}"
        return Client(self.app).open(path + query, method=method, data=data, headers=named)

    def rows(self, table: str) -> list[Any]:
        """All of a table, as it is in the database."""
        with closing(sqlite3.connect(self.database)) as raw:
            return raw.execute(f"SELECT * FROM {table}").fetchall()

    def file(self, path: str) -> str:
        assert self.origin is not None
        return git(self.origin.path, "show", f"main:{path}") + "\n"

    def files(self) -> list[str]:
        assert self.origin is not None
        return git(self.origin.path, "ls-tree", "-r", "--name-only", "main").splitlines()

    def log(self, form: str = "%s") -> list[str]:
        assert self.origin is not None
        return git(self.origin.path, "log", f"--format={form}", "main").splitlines()


def together(*runs: Callable[[], Any]) -> list[Any]:
    """All at once, each in a thread of its own."""
    results: dict[int, Any] = {}

    def one(number: int, run: Callable[[], Any]) -> None:
        results[number] = run()

    threads = [threading.Thread(target=one, args=(number, run)) for number, run in enumerate(runs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [results[number] for number in range(len(runs))]


def error(answer: TestResponse) -> Mapping[str, Any]:
    """The one envelope."""
    said = json.loads(answer.get_data())
    assert said.keys() == {"error"}, said
    found: Mapping[str, Any] = said["error"]
    assert found.keys() - {"problems"} == {"code", "message", "hint"}
    return found
