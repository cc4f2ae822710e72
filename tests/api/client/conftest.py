"""`envoyctl WORDS` in a test, against a served app with a real repository and committer behind it."""

import contextlib
import itertools
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from werkzeug.serving import make_server

from api.client import cli
from api.surfaces.envoy_fleet import contract, rates
from tests import people, repos
from tests.api.envoy_fleet import proxied
from tests.api.envoy_fleet.playing import Dialect, patient

# Two more, for what is deployed: a deployment pins them.
CORE = {
    "fleet/core.yaml": proxied.EDGE.replace("name: edge", "name: core").replace("port: 10000", "port: 10002"),
    "fleet/core-group.yaml": proxied.HEAD.format("ProxyGroup", "core") + "spec:\n  configuration: core\n",
    **{
        f"fleet/core-{n}.yaml": proxied.HEAD.format("Proxy", f"core-{n}")
        + f"spec:\n  group: core\n  host: local\n  ports:\n    http: {10002 + n}\n"
        for n in (1, 2)
    },
}
PASSWORD = "correct horse battery"
NUMBERS = itertools.count(1)


@dataclass
class Served:
    """A fleet of two groups of two proxies, each with one Configuration, and where it is asked."""

    dialect: Dialect
    url: str
    keys: dict[str, str] = field(default_factory=dict)

    def key(self, role: str) -> str:
        """What a program of this role shows."""
        if role not in self.keys:
            store = self.dialect.store
            self.keys[role] = people.key(store, people.account(store, role))
        return self.keys[role]

    def person(self, role: str = "operator") -> str:
        """The e-mail of somebody new with PASSWORD."""
        email = f"person-{next(NUMBERS)}@example.com"
        people.account(self.dialect.store, role, email=email, password=PASSWORD)
        return email


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One for all: a repository takes longer to make than most tests take. Nothing stays as it is set here: other tests come
    in between, and after."""
    directory = tmp_path_factory.mktemp("envoyctl")
    with contextlib.ExitStack() as closing:
        # A socket's path may have 103 bytes.
        run = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="convoy-")))
        with pytest.MonkeyPatch.context() as patch:
            repos.hermetic(patch)
            # All of these tests come from one address, and log in more often than five times a minute.
            patch.setattr(rates, "rates", lambda: {**contract.rates(), "auth": 1000})
            origin = repos.make_origin(directory)
            origin.commit({"README.md": "a fleet\n"})
            dialect = closing.enter_context(contextlib.closing(Dialect(directory, run, origin)))
            dialect.seals()
            proxied.fleet(dialect, proxied.FLEET | CORE)
            for name in ("proxy-west-001", "proxy-east-001"):
                proxied.faring(dialect, name)
        server = make_server("127.0.0.1", 0, dialect.app, threaded=True)
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        serving.start()
        yield Served(dialect, f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
        serving.join()
        server.server_close()


@pytest.fixture
def served(shared: Served, monkeypatch: pytest.MonkeyPatch) -> Served:
    repos.hermetic(monkeypatch)
    patient(monkeypatch)
    return shared


Envoyctl = Callable[..., Result]


@pytest.fixture
def envoyctl(served: Served, tmp_path: Path) -> Envoyctl:
    """`envoyctl WORDS` as `role`, or as who is logged in where that is None; with a HOME of its own."""

    def call(*words: str, role: str | None = "operator", input: str | None = None, **environment: str | None) -> Result:
        ours = {name: None for name in os.environ if name.startswith(("ENVOYCTL_", "XDG_"))}
        env = {
            **ours,
            "HOME": str(tmp_path),
            "NO_COLOR": None,
            "ENVOYCTL_SERVER": served.url,
            "ENVOYCTL_TOKEN": served.key(role) if role else None,
            **environment,
        }
        return CliRunner().invoke(cli.envoyctl, list(words), input=input, env=env, prog_name="envoyctl")

    return call
