"""Envoys that hang, drip, lie or never end keep nobody from hearing the others, and no look goes on for ever."""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.latency import bin_of, packed
from reconciler.core.model import Health, Observed, Ref
from reconciler.core.running import Counted
from reconciler.drivers.process import usage as usages
from reconciler.seams import Seams

GOOD = json.dumps(
    {
        "stats": [
            {"name": "http.in.downstream_rq_completed", "value": 7},
            {"name": "cluster.web.upstream_rq_completed", "value": 5},
            {
                "histograms": {
                    "details": [
                        {"name": "http.in.downstream_rq_time", "totals": [{"lower_bound": 43, "width": 1, "count": 7}]},
                    ]
                }
            },
        ]
    }
).encode()
HEAD = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"


def good(peer: socket.socket) -> None:
    peer.sendall(HEAD + GOOD)


def hangs(peer: socket.socket) -> None:
    while peer.recv(4096):
        """Until who asked has gone."""


def drips(peer: socket.socket) -> None:
    peer.sendall(HEAD)
    while True:
        peer.sendall(b" ")
        time.sleep(0.1)


def never_ends(peer: socket.socket) -> None:
    peer.sendall(HEAD)
    while True:
        peer.sendall(b" " * 65536)


def nonsense(peer: socket.socket) -> None:
    peer.sendall(HEAD + b'{"stats": [{"name": "http.x.downstream_rq_time", "value": {}}]}')


class Envoys:
    """Admin sockets that answer as they are told to."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._sockets = directory, list[socket.socket]()
        self.seen: list[Observed] = []
        self.asked = 0

    def add(self, name: str, answer: Callable[[socket.socket], None]) -> None:
        path = self._directory / f"{name}.sock"
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(str(path))
        listening.listen(8)
        self._sockets.append(listening)
        threading.Thread(target=self._serve, args=(listening, answer), daemon=True).start()
        fields = {"pid": os.getpid(), "ports": {"admin": str(path)}}
        self.seen.append(Observed(Ref("Proxy", name), "i1", "here", fields, Health("healthy"), 0.0))

    def _serve(self, listening: socket.socket, answer: Callable[[socket.socket], None]) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = listening.accept()
                self.asked += 1
                with peer, contextlib.suppress(OSError):
                    peer.recv(4096)
                    answer(peer)

    def look(self, over: threading.Event) -> dict[str, Counted | None]:
        found = usages.usage("here", self.seen, self._directory, Seams(), over, counting=True)
        return {one.ref.name: one.counts.whole if one.counts else None for one in found}

    def close(self) -> None:
        for one in self._sockets:
            one.shutdown(socket.SHUT_RDWR)
            one.close()


@pytest.fixture
def envoys(sockets: Path) -> Iterator[Envoys]:
    with contextlib.closing(Envoys(sockets)) as made:
        yield made


def test_those_who_answer_are_heard(envoys: Envoys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the others do; and nobody is waited for longer than our patience lasts."""
    module: Any = usages
    whole = module.get

    def patient(socket: str, path: str, within_s: float) -> bytes:
        # Who answers is given the time that a busy machine takes.
        return bytes(whole(socket, path, 60.0 if Path(socket).stem in ("e0", "e5") else within_s))

    monkeypatch.setattr(module, "get", patient)
    monkeypatch.setattr(usages, "LONGEST_S", 600.0)
    for n, answer in enumerate((good, hangs, drips, never_ends, nonsense, good)):
        envoys.add(f"e{n}", answer)
    envoys.add("gone", good)
    envoys.seen[-1].fields["ports"]["admin"] += "-not"
    found = envoys.look(threading.Event())
    want = Counted(7, 0, 0, packed({bin_of(43): 7}))
    assert found == {"e0": want, "e1": None, "e2": None, "e3": None, "e4": None, "e5": want, "gone": None}


def test_a_look_ends_though_all_hang(envoys: Envoys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has not been asked by then is a gap."""
    monkeypatch.setattr(usages, "LONGEST_S", 0.5)
    for n in range(3 * usages.AT_ONCE):
        envoys.add(f"e{n}", hangs)
    assert set(envoys.look(threading.Event()).values()) == {None}
    assert envoys.asked <= usages.AT_ONCE


def test_whoever_closes_the_driver_is_not_kept(envoys: Envoys) -> None:
    """Nobody further is asked."""
    for n in range(3 * usages.AT_ONCE):
        envoys.add(f"e{n}", hangs)
    over = threading.Event()
    over.set()
    assert set(envoys.look(over).values()) == {None}
    assert envoys.asked == 0


def test_how_old_a_process_is(envoys: Envoys) -> None:
    """By the clock that counts from the machine's start: ours began before this test, and not before the machine."""
    envoys.add("e", good)
    (one,) = usages.usage("here", envoys.seen, Path("/nowhere"), Seams(), threading.Event(), counting=True)
    assert one.pid == os.getpid()
    assert one.age_s is not None
    time.sleep(0.3)
    (again,) = usages.usage("here", envoys.seen, Path("/nowhere"), Seams(), threading.Event())
    assert again.age_s is not None
    assert 0.25 < again.age_s - one.age_s < 600
    assert again.counts is None
