"""The WebSocket of the dialect against the process that serves HTTP: who may listen, what is told, and how it ends."""

import asyncio
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from api.events import STREAMS_AT_ONCE, STREAMS_OF_ONE
from api.websocket import STUCK_S
from reconciler.core.declared import Declaration, Maker
from reconciler.core.envelope import digest_of, uid_of
from reconciler.core.model import Ref, Resource, Source
from reconciler.log import Level, Log
from reconciler.metrics import Metrics
from reconciler.seams import Seams
from reconciler.store import KeptAccount, Store, default_url
from reconciler.tls import self_signed
from reconciler.web import Http, Web
from tests import people
from tests.declared import SPEC
from tests.drivers.world import soon

pytestmark = pytest.mark.slow
PATH = "/api/v1/ws"
EVERY = ["proxy.status.changed", "configuration.updated", "deployment.progress"]
PIN, NOBODY = "a" * 40, "nobody"


def documents(port: int, pinned: bool) -> dict[Ref, dict[str, Any]]:
    """A fleet of two tenants: three proxies that serve one configuration, one of them as an old commit declares it."""
    web = {"clusters": [{"name": "app", "endpoints": [f"127.0.0.1:{port}"]}]}
    pin = {"configuration": "web", "revision": PIN} if pinned else {}
    specs: dict[Ref, dict[str, Any]] = {
        Ref("Configuration", "web"): web,
        Ref("ProxyGroup", "edge"): {"configuration": "web"},
        Ref("Proxy", "edge-1"): {"group": "edge"},
        Ref("Proxy", "edge-2"): {"group": "edge", "configuration": "web"},
        Ref("Proxy", "edge-3"): {"group": "edge", **pin},
        Ref("Rollout", "first"): {"configuration": "web", "revision": PIN, "proxies": ["edge-1", "edge-2"]},
        Ref("Configuration", "web", "other"): web,
        Ref("ProxyGroup", "edge", "other"): {"configuration": "web"},
        Ref("Proxy", "edge-9", "other"): {"group": "edge"},
    }
    return {
        ref: {"apiVersion": "convoy/v1", "kind": ref.kind, "metadata": {"name": ref.name}, "spec": spec}
        for ref, spec in specs.items()
    }


class Serving:
    """The process that serves HTTP, and the store where this test does what control does."""

    def __init__(self, directory: Path, http: Http, level: Level = "error") -> None:
        self.directory, self.http = directory, http
        self.store = Store(default_url(directory), Seams())
        self.web = Web(http, default_url(directory), directory, Metrics(), Log(level=level), Seams())
        self.port = int(self.web.address.rpartition(":")[2])
        self.ada = people.account(self.store, "viewer")
        self.key = people.key(self.store, self.ada)
        self.declare("r1")

    def declare(self, revision: str, port: int = 1, *, pinned: bool = True) -> None:
        every = documents(port, pinned)
        resources = {
            ref: Resource(ref, uid_of(ref), SPEC, Source("fleet.yaml", 1, 0, 9, "b"), digest=digest_of(document))
            for ref, document in every.items()
        }
        maker = Maker(revision, "Ada <ada@example.com>")
        declaration = Declaration(revision, resources, lambda ref: every[ref], lambda _, files: dict.fromkeys(files, maker))
        self.store.record_revision(revision, "good", (), declaration=declaration)
        self.store.event("revision.accepted", revision, "")

    def uid(self, ref: str) -> str:
        return self.store.declared([ref])[ref].uid

    def connect(self, key: str = "", path: str = PATH) -> ClientConnection:
        headers = {} if "access_token" in path or key == NOBODY else {"Authorization": f"Bearer {key or self.key}"}
        return connect(f"ws://127.0.0.1:{self.port}{path}", additional_headers=headers, proxy=None, open_timeout=60)

    def streams(self) -> float:
        """How many are open, as Prometheus is told: counted before the 101, and no more once there is room for another."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as asking:
            asking.request("GET", "/metrics")
            every = asking.getresponse().read().decode().splitlines()
        (line,) = [one for one in every if one.startswith("convoy_http_streams ")]
        return float(line.rpartition(" ")[2])

    def close(self) -> None:
        self.web.close()
        self.store.close()


def secured(directory: Path) -> Http:
    """By TLS, with a certificate of its own for localhost."""
    pair = self_signed(("localhost",), 1.0, 1, time.time())
    certificate, key = directory / "chain.pem", directory / "key.pem"
    certificate.write_bytes(pair.chain_pem)
    key.write_bytes(pair.key_pem)
    return Http("127.0.0.1:0", certificate, key)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with contextlib.closing(Serving(tmp_path_factory.mktemp("streams"), Http("127.0.0.1:0"))) as opened:
        yield opened


@pytest.fixture
def serving(shared: Serving) -> Serving:
    """With the fleet as it is at first, and somebody new who listens."""
    shared.ada = people.account(shared.store, "viewer")
    shared.key = people.key(shared.store, shared.ada)
    shared.declare(f"first-{time.monotonic()}")
    return shared


def subscribe(client: ClientConnection, *events: str, **more: Any) -> dict[str, Any]:
    return ask(client, {"type": "subscribe", "events": list(events or EVERY)} | more)


def ask(client: ClientConnection, message: object) -> dict[str, Any]:
    client.send(message if isinstance(message, str) else json.dumps(message))
    return hear(client)


def hear(client: ClientConnection, within_s: float = 60.0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(client.recv(timeout=within_s))
    return found


def quiet(client: ClientConnection, seconds: float = 0.6) -> bool:
    try:
        client.recv(timeout=seconds)
    except TimeoutError:
        return True
    return False


def refused(serving: Serving, **more: Any) -> tuple[int, dict[str, Any], Any]:
    with pytest.raises(InvalidStatus) as raised:
        serving.connect(**more)
    answer = raised.value.response
    return answer.status_code, json.loads(answer.body)["error"], answer.headers


def test_the_documented_subscription(serving: Serving) -> None:
    """As the document shows it: of this proxy alone, with the documented payload, and where to go on from."""
    edge = serving.uid("Proxy/edge-1")
    with serving.connect() as client:
        said = subscribe(client, filters={"proxy_ids": [edge]})
        assert said == {"type": "subscribed", "events": sorted(EVERY), "after": serving.store.happened().last_numbers()[0]}
        at = time.time()
        serving.store.event("health.unhealthy", "Proxy/edge-2", "was healthy: crash loop")
        serving.store.event("health.unhealthy", "Proxy/edge-1", "was healthy: crash loop", at)
        told = hear(client)
        number = serving.store.happened().last_numbers()[0]
        assert told.keys() == {"type", "event", "data", "after"}
        assert (told["type"], told["event"], told["after"]) == ("event", "proxy.status.changed", number)
        assert told["data"] == {
            "proxy_id": edge,
            "old_status": "healthy",
            "new_status": "unhealthy",
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)),
        }
        serving.store.event("health.degraded", "Proxy/edge-1", "was unhealthy")
        assert quiet(client)
        assert ask(client, {"type": "ping"}) == {"type": "pong"}


def test_who_may_not_listen(serving: Serving) -> None:
    """401 before anything is upgraded, as every refusal, in the dialect's envelope; a token in the URL will do."""
    unknown = refused(serving, key="cvy_nobody")
    assert (unknown[0], unknown[1]["code"], unknown[2]["API-Version"]) == (401, "UNAUTHORIZED", "1.0.0")
    assert refused(serving, path=f"{PATH}?access_token=nonsense")[0] == 401
    assert refused(serving, key=NOBODY)[0] == 401
    nobody = people.key(serving.store, people.account(serving.store, None))
    assert refused(serving, key=nobody)[:2][0] == 403
    assert refused(serving, path=f"{PATH}?colour=red")[1]["details"]["field"] == "colour"
    with serving.connect(path=f"{PATH}?access_token={serving.key}") as client:
        assert subscribe(client)["type"] == "subscribed"
    with serving.connect(path=f"/envoy-fleet{PATH}") as client:
        assert ask(client, {"type": "ping"}) == {"type": "pong"}
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", serving.port)) as plain:
        plain.request("GET", PATH, headers={"Authorization": f"Bearer {serving.key}"})
        answer = plain.getresponse()
        assert (answer.status, answer.headers["Upgrade"]) == (426, "websocket")


def test_the_token_is_in_no_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Not in the access log, and nowhere that is kept; who it was is there."""
    said = ""

    def logged() -> bool:
        nonlocal said
        said += "".join(capfd.readouterr())
        return said.count("http.request") >= 2

    with contextlib.closing(Serving(tmp_path, Http("127.0.0.1:0"), "debug")) as serving:
        with serving.connect(path=f"{PATH}?access_token={serving.key}") as client:
            subscribe(client)
        with pytest.raises(InvalidStatus):
            serving.connect(path=f"{PATH}?access_token=cvy_secret_word")
        soon(logged)
        assert serving.ada.email in said
        kept = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    for secret in (serving.key, "cvy_secret_word"):
        assert secret not in said
        assert secret.encode() not in kept


def test_tenants_are_apart(serving: Serving) -> None:
    """Nothing of another tenant's is told, and none of its proxies can be named: no more than one that is not there."""
    other = people.key(serving.store, people.account(serving.store, "viewer", tenant="other"))
    with serving.connect() as ours, serving.connect(key=other) as theirs:
        subscribe(ours)
        subscribe(theirs)
        there, nowhere = (
            ask(theirs, {"type": "subscribe", "events": EVERY, "filters": {"proxy_ids": [id]}})["error"]
            for id in (serving.uid("Proxy/edge-1"), "no-such-proxy")
        )
        assert there["code"] == nowhere["code"] == "NOT_FOUND"
        assert there["message"] == nowhere["message"]
        serving.store.event("health.unhealthy", "Proxy/edge-1", "was healthy")
        serving.store.event("health.unhealthy", "Proxy/other/edge-9", "was healthy")
        serving.store.event("rollout.started", "Rollout/first", "")
        serving.declare("r2", port=2)
        # The last that each hears.
        serving.store.event("health.healthy", "Proxy/other/edge-9", "was unhealthy")
        serving.store.event("health.healthy", "Proxy/edge-1", "was unhealthy")
        for client, names in ((ours, {"edge-1", "edge-2", "edge-3"}), (theirs, {"other/edge-9"})):
            mine = {serving.uid(f"Proxy/{name}") for name in names} | {serving.uid("Rollout/first")}
            heard = [hear(client)]
            while heard[-1]["data"].get("new_status") != "healthy":
                heard.append(hear(client))
            assert quiet(client)
            assert heard[0]["data"]["new_status"] == "unhealthy"
            assert all((one["data"].get("proxy_id") or one["data"]["id"]) in mine for one in heard), heard


def test_configurations_and_deployments(serving: Serving) -> None:
    """A new version is told for each proxy that serves it, by its ids; one that is pinned hears when its pin changes; a
    deployment says how far it is, to whoever follows one of its proxies."""
    uids = {name: serving.uid(f"Proxy/{name}") for name in ("edge-1", "edge-2", "edge-3")}
    with serving.connect() as client, serving.connect() as third:
        subscribe(client, "configuration.updated", "deployment.progress", filters={"proxy_ids": ["edge-1", uids["edge-2"][:8]]})
        subscribe(third, filters={"proxy_ids": [uids["edge-3"]]})
        serving.declare("r2", port=2)
        web = serving.store.declared(["Configuration/web"])["Configuration/web"]
        first, second = hear(client), hear(client)
        assert {first["event"], second["event"]} == {"configuration.updated"}
        assert {first["data"]["proxy_id"], second["data"]["proxy_id"]} == {uids["edge-1"], uids["edge-2"]}
        assert first["data"] | {"proxy_id": "", "timestamp": ""} == {
            "proxy_id": "",
            "configuration_id": web.uid,
            "version_id": web.version,
            "version_number": web.n,
            "timestamp": "",
        }
        assert quiet(third)
        serving.declare("r3", port=2, pinned=False)
        told = hear(third)
        assert (told["event"], told["data"]["proxy_id"], told["data"]["version_number"]) == (
            "configuration.updated",
            uids["edge-3"],
            web.n,
        )
        said = {"state": "in_progress", "startedAt": 1.0, "endedAt": None, "completed": 1, "in_progress": 1}
        serving.store.put_status({"Rollout/first": {"ref": "Rollout/first", "sync": "pending", "why": "w", "rollout": said}})
        serving.store.event("rollout.progress", "Rollout/first", "1 of 2 proxies have it")
        progress = hear(client)
        assert progress["event"] == "deployment.progress"
        assert (progress["data"]["id"], progress["data"]["status"]) == (serving.uid("Rollout/first"), "in_progress")
        assert progress["data"]["progress"] == {
            "total_proxies": 2,
            "completed": 1,
            "in_progress": 1,
            "pending": 0,
            "failed": 0,
        }
        assert quiet(third)


def test_going_on_after_a_break(serving: Serving) -> None:
    """By the number that was given last: nothing is missing and nothing comes twice; a number that nobody gave is told."""
    with serving.connect() as client:
        subscribe(client)
        serving.store.event("health.unhealthy", "Proxy/edge-1", "was healthy")
        last = hear(client)["after"]
    serving.store.event("health.healthy", "Proxy/edge-1", "was unhealthy")
    serving.store.event("health.unhealthy", "Proxy/edge-2", "was healthy")
    with serving.connect() as client:
        assert subscribe(client, after=last)["after"] == last
        assert [hear(client)["data"]["new_status"] for _ in range(2)] == ["healthy", "unhealthy"]
        serving.store.event("health.healthy", "Proxy/edge-2", "was unhealthy")
        assert hear(client)["data"]["new_status"] == "healthy"
        newest = serving.store.happened().last_numbers()[0]
        assert subscribe(client, after=newest + 50)["after"] == newest + 50
        lost = hear(client)
        assert (lost["type"], lost["from"], lost["to"], lost["after"]) == ("lost", newest + 1, newest + 50, newest)
        assert ask(client, {"type": "unsubscribe", "events": EVERY[:1]}) == {
            "type": "unsubscribed",
            "events": sorted(EVERY[1:]),
        }
        assert ask(client, {"type": "unsubscribe"}) == {"type": "unsubscribed", "events": []}
        serving.store.event("health.unhealthy", "Proxy/edge-2", "was healthy")
        assert quiet(client)


NONSENSE: list[tuple[object, str]] = [
    ("", "message"),
    ("[]", "message"),
    ("{", "message"),
    ("null", "message"),
    ("[" * 10_000, "message"),
    ({}, "type"),
    ({"type": "shout"}, "type"),
    ({"type": ["subscribe"]}, "type"),
    ({"type": "subscribe"}, "events"),
    ({"type": "subscribe", "events": []}, "events"),
    ({"type": "subscribe", "events": "proxy.status.changed"}, "events"),
    ({"type": "subscribe", "events": ["everything"]}, "events[0]"),
    ({"type": "subscribe", "events": [{}]}, "events[0]"),
    ({"type": "subscribe", "events": EVERY, "filter": {}}, "filter"),
    ({"type": "subscribe", "events": EVERY, "filters": []}, "filters"),
    ({"type": "subscribe", "events": EVERY, "filters": {"regions": []}}, "filters.regions"),
    ({"type": "subscribe", "events": EVERY, "filters": {"proxy_ids": []}}, "filters.proxy_ids"),
    ({"type": "subscribe", "events": EVERY, "filters": {"proxy_ids": ["edge-1"] * 201}}, "filters.proxy_ids"),
    ({"type": "subscribe", "events": EVERY, "filters": {"proxy_ids": [1]}}, "filters.proxy_ids[0]"),
    ({"type": "subscribe", "events": EVERY, "filters": {"proxy_ids": ["\ud800"]}}, "filters.proxy_ids[0]"),
    ({"type": "subscribe", "events": EVERY, "filters": {"proxy_ids": ["x" * 300]}}, "filters.proxy_ids[0]"),
    ({"type": "subscribe", "events": EVERY, "after": -1}, "after"),
    ({"type": "subscribe", "events": EVERY, "after": True}, "after"),
    ({"type": "subscribe", "events": EVERY, "after": 2**60}, "after"),
    ({"type": "subscribe", "events": EVERY, "after": "1"}, "after"),
    ({"type": "\ud800"}, "type"),
    ({"type": "ping", "\ud800": 1}, "\ufffd"),
]


def test_open_ones_are_counted(tmp_path: Path) -> None:
    """For Prometheus, from the 101 until it is over, however that comes about."""

    with contextlib.closing(Serving(tmp_path, Http("127.0.0.1:0"))) as alone:
        with alone.connect() as first, alone.connect():
            subscribe(first, "proxy.status.changed")
            assert alone.streams() == 2
            first.socket.shutdown(socket.SHUT_RDWR)
            soon(lambda: alone.streams() == 1)
        soon(lambda: alone.streams() == 0)


def test_nonsense_is_answered(serving: Serving) -> None:
    """By name, in the dialect's envelope, and the stream goes on."""
    for start in range(0, len(NONSENSE), 20):
        with serving.connect() as client:
            for message, field in NONSENSE[start : start + 20]:
                said = ask(client, message)
                assert said["type"] == "error", message
                assert said["error"]["code"] == "VALIDATION_ERROR"
                assert said["error"]["details"]["field"].replace("?", "\ufffd") == field, message
                assert re.fullmatch(r"\d{4}-.*Z", said["error"]["timestamp"])
            assert ask(client, {"type": "ping"}) == {"type": "pong"}


def test_a_stream_ends_with_what_it_was_opened_by(serving: Serving) -> None:
    """A token that is revoked, one that expires, and an account that is disabled: soon, with a word."""
    short = serving.store.tokens.create("short", ("read",), None, account=serving.ada.id)[1]
    gone = serving.store.tokens.create("gone", ("read",), None, account=serving.ada.id)[1]
    bob: KeptAccount = people.account(serving.store, "viewer")
    keys = (short, gone, people.key(serving.store, bob))
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(serving.connect(key=key)) for key in keys]
        staying = stack.enter_context(serving.connect())
        for client in clients:
            subscribe(client)
        # All are open by now, however long that took.
        with contextlib.closing(sqlite3.connect(serving.directory / "convoy.db", timeout=60)) as raw:
            raw.execute("UPDATE tokens SET until = ? WHERE name = 'short'", (time.time() + 1.0,))
            raw.commit()
        serving.store.tokens.revoke("gone")
        assert serving.store.accounts.put_status(bob.email, "disabled")
        for client in clients:
            with pytest.raises(ConnectionClosed) as raised:
                hear(client)
            assert raised.value.rcvd is not None
            assert raised.value.rcvd.code == 1008
            assert "connect again" in raised.value.rcvd.reason
        assert ask(staying, {"type": "ping"}) == {"type": "pong"}


def test_a_fair_share(serving: Serving) -> None:
    """So many for one account and so many in all; who is over it is told when to come again, and everybody else is answered."""
    # Those of other tests have left.
    soon(lambda: serving.streams() == 0)
    with contextlib.ExitStack() as stack:
        keys = [
            people.key(serving.store, people.account(serving.store, "viewer")) for _ in range(STREAMS_AT_ONCE // STREAMS_OF_ONE)
        ]
        for number in range(STREAMS_AT_ONCE):
            stack.enter_context(serving.connect(key=keys[number % len(keys)]))
        own, full = refused(serving, key=keys[0]), refused(serving)
        assert (own[0], own[1]["code"], int(own[2]["Retry-After"]) > 0) == (429, "RATE_LIMIT_EXCEEDED", True)
        assert (full[0], full[1]["code"], int(full[2]["Retry-After"]) > 0) == (503, "SERVICE_UNAVAILABLE", True)
        for _ in range(5):
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", serving.port, timeout=60)) as asking:
                asking.request("GET", "/api/v1/health")
                assert asking.getresponse().status == 200
        assert serving.streams() == STREAMS_AT_ONCE
    # Who has left makes room a moment after that.
    soon(lambda: serving.streams() == 0)
    with serving.connect() as client:
        assert subscribe(client)["type"] == "subscribed"


def test_one_who_takes_nothing_slows_nobody(serving: Serving) -> None:
    """What he has not taken is kept for nobody; whoever listens beside him is told as soon as if he were not there."""
    words = ("unhealthy", "was healthy"), ("healthy", "was unhealthy")
    events = [(f"health.{words[n % 2][0]}", "Proxy/edge-1", words[n % 2][1]) for n in range(3000)]

    def told(client: ClientConnection) -> tuple[list[dict[str, Any]], float]:
        for start in range(0, 3000, 500):
            serving.store.add_events(events[start : start + 500])
        begun = time.monotonic()
        return [hear(client) for _ in range(3000)], time.monotonic() - begun

    with serving.connect() as quick:
        subscribe(quick, "proxy.status.changed")
        _, alone_s = told(quick)
        slow = socket.create_connection(("127.0.0.1", serving.port))
        with contextlib.closing(slow):
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            key = "dGhlIHNhbXBsZSBub25jZQ=="
            head = (
                f"GET {PATH} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            )
            slow.sendall(f"{head}Sec-WebSocket-Version: 13\r\nAuthorization: Bearer {serving.key}\r\n\r\n".encode())
            slow.settimeout(60)
            head_read = b""
            while b"\r\n\r\n" not in head_read:
                head_read += slow.recv(1)
            assert b" 101 " in head_read
            body = json.dumps({"type": "subscribe", "events": EVERY[:1]}).encode()
            slow.sendall(bytes([0x81, 0x80 | len(body)]) + b"\0\0\0\0" + body)
            assert b"subscribed" in slow.recv(4096)
            heard, beside_s = told(quick)
            # He is given up after half a minute: nobody has waited for that.
            assert beside_s < STUCK_S / 2 + 5 * alone_s
            assert [one["data"]["new_status"] for one in heard[:2]] == ["unhealthy", "healthy"]
            assert len({one["after"] for one in heard}) == 3000


@pytest.mark.parametrize("ends", ["closed", "killed"])
def test_a_process_that_ends_says_so(tmp_path: Path, ends: str) -> None:
    """1001 to each, soon; after a kill a new process goes on, and whoever comes again misses nothing."""
    with contextlib.closing(Serving(tmp_path, Http("127.0.0.1:0"))) as serving:
        ending(serving, ends)


def ending(serving: Serving, ends: str) -> None:
    with serving.connect() as client:
        last = subscribe(client)["after"]
        closing = threading.Thread(target=serving.web.close) if ends == "closed" else None
        if closing is not None:
            closing.start()
        else:
            os.kill(serving.web.pid, signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as raised:
            hear(client)
        assert raised.value.rcvd is not None
        assert raised.value.rcvd.code == 1001
        if closing is not None:
            closing.join()
            return
    serving.store.event("health.unhealthy", "Proxy/edge-1", "was healthy")

    def again() -> bool:
        # Whom the old process took last it may leave without an answer.
        with contextlib.suppress(OSError, InvalidHandshake, ConnectionClosed), serving.connect() as client:
            subscribe(client, after=last)
            return bool(hear(client)["data"]["new_status"] == "unhealthy")
        return False

    soon(again)


def test_by_tls(tmp_path: Path) -> None:
    """The same, with what TLS keeps back."""
    from websockets.asyncio.client import connect as connecting

    async def talk(serving: Serving) -> None:
        # Not the client of the other tests: it writes in one thread and reads in another, and TLS is one thread's.
        headers, trusting = (
            {"Authorization": f"Bearer {serving.key}"},
            ssl.create_default_context(cafile=serving.http.certificate),
        )
        url = f"wss://localhost:{serving.port}{PATH}"
        async with connecting(url, additional_headers=headers, ssl=trusting, proxy=None) as client:
            await client.send(json.dumps({"type": "subscribe", "events": EVERY}))
            assert json.loads(await client.recv())["type"] == "subscribed"
            for number in range(8):
                await client.send(json.dumps({"type": "ping"}))
                assert json.loads(await client.recv()) == {"type": "pong"}
                serving.store.event("health.unhealthy" if number % 2 else "health.healthy", "Proxy/edge-1", "was unknown")
                assert json.loads(await client.recv())["event"] == "proxy.status.changed"

    with contextlib.closing(Serving(tmp_path, secured(tmp_path))) as serving:
        asyncio.run(asyncio.wait_for(talk(serving), 200))
