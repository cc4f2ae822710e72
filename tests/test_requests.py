"""Control's local socket: who may ask, what is no request, that nobody waits for ever, and how it ends half way through."""

import os
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from reconciler import ask as asking
from reconciler import requests
from reconciler.ask import LENGTHS, NAME, AskError, ask, is_ours
from reconciler.log import Log
from reconciler.metrics import Metrics
from reconciler.requests import Answering, Requests
from reconciler.seams import Seams


@contextmanager
def listening(run: Path, metrics: Metrics | None = None, **answers: Answering) -> Iterator[Requests]:
    opened = Requests(run, answers, metrics or Metrics(), Log(level="error"), Seams())
    try:
        yield opened
    finally:
        opened.close()


def echo(body: bytes, _: float) -> bytes:
    return body[::-1]


def test_a_question_and_its_answer(sockets: Path) -> None:
    """Bytes in, bytes out, large ones too; the socket is this user's alone, and gone afterwards."""
    (sockets / NAME).write_text("what a killed Convoy has left")
    with listening(sockets, echo=echo):
        assert stat.S_IMODE((sockets / NAME).stat().st_mode) == 0o600
        assert ask(sockets, "echo", b"abc", 60) == b"cba"
        large = os.urandom(5_000_000)
        assert ask(sockets, "echo", large, 60) == large[::-1]
    assert not (sockets / NAME).exists()
    with pytest.raises(AskError, match="not there") as raised:
        ask(sockets, "echo", b"", 1)
    assert raised.value.code == "away"


def test_whoever_finds_it_is_heard(sockets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name is there once it listens, also where that comes late, and where a killed Convoy has left both of its names."""
    (sockets / NAME).write_text("")
    (sockets / f"{NAME}.new").write_text("")
    found: list[bool] = []

    class Late(socket.socket):
        def listen(self, *waiting: int) -> None:
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as early:
                found.append((sockets / NAME).is_socket())
                early.connect(str(sockets / NAME))
            super().listen(*waiting)

    monkeypatch.setattr(socket, "socket", Late)
    with listening(sockets, echo=echo):
        assert ask(sockets, "echo", b"abc", 60) == b"cba"
    assert found == [False]
    assert list(sockets.iterdir()) == []


def test_what_has_no_answer_is_told_why(sockets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its code, words and hint reach whoever asked; what we did not foresee is in the log and nowhere else."""

    def refuse(_: bytes, __: float) -> bytes:
        raise AskError("too-large", "it is too large", "split it")

    def fail(_: bytes, __: float) -> bytes:
        raise ZeroDivisionError("a secret detail")

    metrics = Metrics()
    with listening(sockets, metrics, refuse=refuse, fail=fail):
        with pytest.raises(AskError) as refused:
            ask(sockets, "refuse", b"", 60)
        with pytest.raises(AskError) as unknown:
            ask(sockets, "nothing", b"", 60)
        with pytest.raises(AskError) as broken:
            ask(sockets, "fail", b"", 60)
    assert (refused.value.code, refused.value.what, refused.value.hint) == ("too-large", "it is too large", "split it")
    assert unknown.value.code == "unknown-request"
    assert broken.value.code == "broken"
    assert "secret detail" not in broken.value.what
    assert "secret detail" in capsys.readouterr().err
    counted = metrics.exposition().decode()
    assert 'convoy_request_seconds_count{outcome="too-large",request="refuse"} 1.0' in counted
    assert 'outcome="unknown-request",request=""' in counted


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        LENGTHS.pack(1 << 30, 0),
        LENGTHS.pack(2, 1 << 31) + b"{}",
        LENGTHS.pack(2, 0) + b"[]",
        LENGTHS.pack(4, 0) + b"\xff\xfe\xfd\xfc",
        LENGTHS.pack(2, 100) + b"{}short",
        LENGTHS.pack(25, 0) + b'{"deadlineSeconds":"now"}',
        LENGTHS.pack(20 + 400, 0) + b'{"deadlineSeconds":' + b"9" * 400 + b"}",
        LENGTHS.pack(60_000, 0) + b"[" * 60_000,
    ],
)
def test_what_is_no_request_is_hung_up_on(sent: bytes, sockets: Path) -> None:
    """And the next one is answered."""
    with listening(sockets, echo=echo):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as calling:
            calling.settimeout(60)
            calling.connect(str(sockets / NAME))
            calling.sendall(sent)
            calling.shutdown(socket.SHUT_WR)
            with suppress(ConnectionResetError):
                assert calling.recv(100) == b""
        assert ask(sockets, "echo", b"ab", 60) == b"ba"


def test_another_user_is_hung_up_on(sockets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even one who got past the directory's mode."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert is_ours(ours)
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 4711)
        assert is_ours(ours) == (os.getuid() == 0 or not hasattr(socket, "SO_PEERCRED"))
    monkeypatch.undo()
    monkeypatch.setattr(requests, "is_ours", lambda _: False)
    with listening(sockets, echo=echo), pytest.raises(AskError, match="not there"):
        ask(sockets, "echo", b"", 60)


def test_more_than_can_wait_are_told_so(sockets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, rather than after the others; and those who wait are answered."""
    monkeypatch.setattr(requests, "MOST_WAITING", 3)
    release = threading.Event()

    def slow(body: bytes, _: float) -> bytes:
        release.wait(60)
        return body

    answers: list[bytes] = []
    with listening(sockets, slow=slow) as opened:
        threads = [threading.Thread(target=lambda: answers.append(ask(sockets, "slow", b"x", 60))) for _ in range(3)]
        for thread in threads:
            thread.start()
        until(lambda: opened._waiting._value == 0)
        with pytest.raises(AskError) as raised:
            ask(sockets, "other", b"", 60)
        release.set()
        for thread in threads:
            thread.join()
    assert (answers, raised.value.code) == ([b"x"] * 3, "busy")


def test_who_was_refused_before_all_was_said_hears_why(sockets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asked so slowly that the other side waited no longer is told what that has said, and not that nobody is there."""
    closed, really = threading.Event(), asking.send

    def late(*about: Any) -> None:
        assert closed.wait(60)
        really(*about)

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(sockets / NAME))
        server.listen()

        def refuse() -> None:
            peer, _ = server.accept()
            really(peer, {"error": "busy", "message": "others are being answered"}, b"", time.monotonic() + 60)
            peer.close()
            closed.set()

        refusing = threading.Thread(target=refuse)
        refusing.start()
        monkeypatch.setattr(asking, "send", late)
        with pytest.raises(AskError) as raised:
            ask(sockets, "plan", b"x" * 100_000, 60)
        refusing.join()
    assert (raised.value.code, raised.value.what) == ("busy", "others are being answered")


def until(true: Callable[[], bool], within_s: float = 60) -> None:
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_who_asks_does_not_wait_for_ever(sockets: Path) -> None:
    """At its own deadline it gives up, whatever the other side does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as mute:
        mute.bind(str(sockets / NAME))
        mute.listen()
        begun = time.monotonic()
        with pytest.raises(AskError) as raised:
            ask(sockets, "plan", b"", 0.3)
    assert raised.value.code == "late"
    assert time.monotonic() - begun < 60


def test_closing_in_the_middle_of_a_question(sockets: Path) -> None:
    """Whoever waits is told that we are gone, those who are half way through asking too; no thread is left."""
    begun, release, said = threading.Event(), threading.Event(), []

    def slow(body: bytes, _: float) -> bytes:
        begun.set()
        release.wait(60)
        return body

    def call() -> None:
        with pytest.raises(AskError) as raised:
            ask(sockets, "slow", b"", 60)
        said.append(raised.value.code)

    before = threading.active_count()
    opened = Requests(sockets, {"slow": slow}, Metrics(), Log(level="error"), Seams())
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as half:
        half.connect(str(sockets / NAME))
        half.sendall(b"\0")
        calling = threading.Thread(target=call)
        calling.start()
        assert begun.wait(60)
        closing = threading.Thread(target=opened.close)
        closing.start()
        calling.join(60)
        release.set()
        closing.join(60)
    assert said == ["away"]
    assert threading.active_count() <= before
    assert asking.NAME not in os.listdir(sockets)
