"""`envoyctl events`: what happened and what happens, from where one left off."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from api.client.exits import INVALID, UNKNOWN
from tests.api.client.conftest import Envoyctl
from tests.api.envoy_fleet.test_streams import Serving, secured

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    directory = tmp_path_factory.mktemp("events")
    with contextlib.closing(Serving(directory, secured(directory))) as opened:
        yield opened


@contextlib.contextmanager
def following(url: str, key: str, *words: str) -> "Iterator[subprocess.Popen[str]]":
    """A process of its own, as a script would have it."""
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "ENVOYCTL_SERVER": url, "ENVOYCTL_TOKEN": key}
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "api.client", "events", "-f", "-o", "json", *words],
        env=env,
        cwd=Path(__file__).parent.parent.parent.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_what_has_happened_and_what_happens(serving: Serving, envoyctl: Envoyctl) -> None:
    """What is kept is shown and ends; following goes on with what comes. By TLS."""
    url, trusted = f"https://localhost:{serving.port}", ("--ca-file", str(serving.http.certificate))
    serving.declare("r2", 2)
    past = envoyctl("events", "--server", url, *trusted, ENVOYCTL_TOKEN=serving.key)
    assert past.exit_code == 0, past.output
    assert "configuration.updated" in past.stdout
    some = envoyctl("events", "--server", url, *trusted, "--events", "nothing", ENVOYCTL_TOKEN=serving.key)
    assert some.exit_code == INVALID
    assert "events[0]" in some.stderr
    assert envoyctl("events", "--server", url, *trusted, ENVOYCTL_TOKEN="cvy_wrong").exit_code == UNKNOWN
    with following(url, serving.key, *trusted, "--after", "0", "--events", "configuration.updated") as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        assert (first["type"], first["event"]) == ("event", "configuration.updated")
        serving.declare("r3", 3)
        while json.loads(process.stdout.readline())["after"] <= first["after"]:
            pass


def test_what_has_happened_is_all_shown_however_slow_the_server_is(envoyctl: Envoyctl, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is over when the server has no more, not when it has said nothing for a while."""
    monkeypatch.setattr("api.client.commands.events.QUIET_S", 0.05)
    hesitates = threading.Event()

    def talk(client: ServerConnection) -> None:
        """As the server does, which answers in order, but after a while each time."""
        after = json.loads(client.recv())["after"]
        hesitates.wait(0.5)
        client.send(json.dumps({"type": "subscribed", "events": [], "after": after}))
        for number in (1, 2):
            hesitates.wait(0.5)
            client.send(json.dumps({"type": "event", "event": "proxy.status.changed", "data": {}, "after": number}))
        with contextlib.suppress(ConnectionClosed):
            while json.loads(client.recv()) == {"type": "ping"}:
                client.send(json.dumps({"type": "pong"}))

    with serve(talk, "127.0.0.1", 0) as server:
        running = threading.Thread(target=server.serve_forever, daemon=True)
        running.start()
        done = envoyctl("events", "-o", "json", "--server", f"http://127.0.0.1:{server.socket.getsockname()[1]}")
        server.shutdown()
        running.join()
    assert done.exit_code == 0, done.output
    assert [json.loads(line)["after"] for line in done.stdout.splitlines()] == [1, 2]


def test_after_a_break_it_goes_on_where_it_was(envoyctl: Envoyctl) -> None:
    """Cut off, it connects again and says the number that it has heard last: nothing is missed."""
    asked: list[dict[str, Any]] = []
    over = threading.Event()

    def talk(client: ServerConnection) -> None:
        said = json.loads(client.recv())
        asked.append(said)
        number = said.get("after", 40) + 1
        client.send(json.dumps({"type": "subscribed", "events": [], "after": number - 1}))
        client.send(json.dumps({"type": "event", "event": "proxy.status.changed", "data": {}, "after": number}))
        if len(asked) < 3:
            client.socket.shutdown(socket.SHUT_RDWR)
        else:
            over.wait(200)

    with serve(talk, "127.0.0.1", 0) as server:
        running = threading.Thread(target=server.serve_forever, daemon=True)
        running.start()
        with following(f"http://127.0.0.1:{server.socket.getsockname()[1]}", "t") as process:
            assert process.stdout is not None
            heard = [json.loads(process.stdout.readline())["after"] for _ in range(3)]
        over.set()
        server.shutdown()
        running.join()
    assert heard == [41, 42, 43]
    assert [one.get("after") for one in asked] == [None, 41, 42]
