"""`convoy logs`, `events`, `top` and `watch`: typed, in pipes and on a terminal, beside a fleet that runs."""

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from reconciler.store import Store
from tests.cli.conftest import Convoy
from tests.cli.test_look import row
from tests.drivers.world import soon

FLEET = """
apiVersion: convoy/v1
kind: Host
metadata: {{name: local}}
---
apiVersion: convoy/v1
kind: Application
metadata: {{name: web, labels: {{team: shop}}}}
spec:
  replicas: {replicas}
  command: [/bin/sh, -c, 'echo version {version}; printf "\\033[2Jhostile\\n"; exec sleep 1000']
"""


def test_nothing_has_worked_here(convoy: Convoy, state: Path) -> None:
    """An error that says how to begin, and looking makes nothing."""
    for words in (("logs", "app/web"), ("events",), ("top",), ("watch",)):
        result = convoy(*words)
        assert result.exit_code == 1
        assert "start with `convoy apply`" in result.stderr
    assert not state.exists()


def test_events_are_chosen(convoy: Convoy, store: Store) -> None:
    """The last of them, those of one resource with its workloads, those of a kind, those since; text and JSON alike."""
    store.put_status(
        {"Container/web-1": row("Container/web-1", owner="Application/web"), "Application/web": row("Application/web")}
    )
    store.event("revision.accepted", "r1", "", 1000.0)
    store.event("status.failed", "Container/web-1", "no\nluck \x1b[2J", 1001.0)
    store.add_outcomes(
        [{"ref": "Container/web-1", "verb": "create", "host": "h", "status": "failed", "error": "no", "at": 1002.0}]
    )
    store.event("status.synced", "Host/h", "", 1003.0)
    assert [line.split()[1] for line in convoy("events").stdout.splitlines()] == [
        "revision.accepted",
        "status.failed",
        "action.failed",
        "status.synced",
    ]
    assert "\x1b" not in convoy("events").stdout
    found = [json.loads(line) for line in convoy("events", "app/web", "-o", "json").stdout.splitlines()]
    assert [one["kind"] for one in found] == ["status.failed", "action.failed"]
    assert found[0]["message"] == "no\nluck \x1b[2J"
    assert found[1]["action"]["error"] == "no"
    assert len(convoy("events", "-n", "2").stdout.splitlines()) == 2
    assert [line.split()[1] for line in convoy("events", "--only", "status").stdout.splitlines()] == [
        "status.failed",
        "status.synced",
    ]
    assert convoy("events", "--since", "1h").stdout == ""
    assert len(convoy("events", "--since", "1970-01-01T00:16:42+00:00").stdout.splitlines()) == 2
    refused = convoy("events", "app/nobody")
    assert (refused.exit_code, "there is no Application/nobody" in refused.stderr) == (1, True)


def test_what_cannot_be_seen_from_here(convoy: Convoy, store: Store) -> None:
    """A host of another machine is named with who sees it, and the exit code says that nothing was shown."""
    store.put_guards({"home/far": {"name": "elsewhere:/var/lib/convoy (abc)"}})
    instance = {"instance": "i1", "host": "far", "state": "running", "health": "healthy", "message": "", "since": 1.0}
    store.put_status({"Container/a": row("Container/a", instances=[instance])})
    for words in (("logs", "container/a"), ("top",)):
        result = convoy(*words)
        assert result.exit_code == 1
        assert "is seen by elsewhere:/var/lib/convoy (abc) alone" in result.output
    assert json.loads(convoy("top", "-o", "json").stdout)["unseen"].keys() == {"far"}
    nothing = convoy("logs", "host")
    assert (nothing.exit_code, "nothing of host runs" in nothing.stderr) == (1, True)


class Fleet:
    """A fleet that `convoy serve` follows, and `convoy` beside it."""

    def __init__(self, place: Path) -> None:
        self.file = place / "fleet" / "fleet.yaml"
        self.file.parent.mkdir()
        self.write(1, 2)
        self.environment = {
            **{name: value for name, value in os.environ.items() if name in ("PATH", "TMPDIR", "ENVOY")},
            "CONVOY_STATE": str(place / "state"),
            "HOME": str(place),
            "LANG": "C.UTF-8",
            "TERM": "xterm",
        }
        self.serving = self.begin("serve", "--source", str(self.file.parent))

    def write(self, version: int, replicas: int) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(FLEET.format(version=version, replicas=replicas))
        new.replace(self.file)

    def begin(
        self, *words: str, stdout: int | IO[bytes] = subprocess.DEVNULL, stderr: int | IO[bytes] = subprocess.DEVNULL
    ) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", "reconciler", *words],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
        )

    def run(self, *words: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "reconciler", *words], env=self.environment, capture_output=True, text=True, timeout=200
        ).stdout

    def close(self) -> None:
        self.serving.terminate()
        self.serving.wait(100)
        self.run("down", "--yes")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    made = Fleet(tmp_path_factory.mktemp("watching"))
    try:
        soon(lambda: '"converged": true' in made.run("status", "-o", "json"), 120)
        # What runs has not printed yet, perhaps.
        soon(lambda: made.run("logs", "app/web").count("hostile") == 2, 120)
        yield made
    finally:
        made.close()


@pytest.mark.slow
def test_logs_follow_a_replacement(fleet: Fleet, tmp_path: Path) -> None:
    """New instances join and old ones leave with a word; every line says whose it is; a label selects."""
    output, notes = tmp_path / "output", tmp_path / "notes"
    with output.open("wb") as out, notes.open("wb") as beside:
        following = fleet.begin("logs", "team=shop", "-f", stdout=out, stderr=beside)
    try:
        soon(lambda: output.read_bytes().count(b"version 1") == 2, 60)
        fleet.write(2, 2)
        soon(lambda: output.read_bytes().count(b"version 2") == 2, 60)
        soon(lambda: notes.read_text().count("has ended") == 2, 60)
        # Of the two lines of one instance, the second may come later.
        soon(lambda: output.read_bytes().count(b"hostile") == 4, 60)
        assert notes.read_text().count("begins") == 2
        lines = output.read_bytes().splitlines()
        assert len(lines) == 8
        assert all(line.startswith((b"Container/web-1 ", b"Container/web-2 ")) for line in lines)
        # A program that reads a pipe gets every byte.
        assert lines[1].endswith(b" | \x1b[2Jhostile")
        following.send_signal(signal.SIGINT)
        assert following.wait(60) == 130
    finally:
        following.kill()
        following.wait()


@pytest.mark.slow
def test_logs_and_top_once(fleet: Fleet) -> None:
    """One instance without a prefix, JSON lines, the last lines; usage by instance and by resource."""
    assert fleet.run("logs", "container/web-1", "-n", "1") == "\x1b[2Jhostile\n"
    found = [json.loads(line) for line in fleet.run("logs", "app/web", "-o", "json").splitlines()]
    assert len(found) == 4
    assert {one["ref"] for one in found} == {"Container/web-1", "Container/web-2"}
    assert all(abs(one["at"] - time.time()) < 600 for one in found)
    usage = json.loads(fleet.run("top", "--by", "resource", "-o", "json"))["usage"]
    assert [(one["name"], one["instances"], one["processes"]) for one in usage] == [("Application/web", 2, 2)]
    assert usage[0]["memoryBytes"] > 100_000
    assert "Container/web-1" in fleet.run("top", "--once")


def test_events_follow(store: Store, state: Path) -> None:
    """What happens later comes as it happens, in order, and what was there already comes once."""
    store.event("revision.accepted", "r1", "", 1000.0)
    words = [sys.executable, "-m", "reconciler", "--state", str(state), "events", "--follow", "-o", "json"]
    running = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert running.stdout is not None
        assert json.loads(running.stdout.readline())["ref"] == "r1"
        for number in range(2, 5):
            store.event("status.failed", f"Container/c-{number}", "no luck", 1000.0 + number)
        told = [json.loads(running.stdout.readline()) for _ in range(3)]
        assert [one["ref"] for one in told] == ["Container/c-2", "Container/c-3", "Container/c-4"]
        running.send_signal(signal.SIGINT)
        rest, errors = running.communicate(timeout=60)
        assert (running.returncode, rest, errors) == (130, "", "")
    finally:
        running.kill()
        running.communicate()


@pytest.mark.slow
def test_a_pipe_that_closes_is_no_error(fleet: Fleet) -> None:
    """Whoever reads enough and goes ends us at once and quietly, also where nothing more would be printed."""
    for words in (("logs", "container/web-1", "-f"), ("events", "-f"), ("watch",)):
        running = fleet.begin(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert running.stdout is not None
        assert running.stderr is not None
        with running.stdout, running.stderr:
            assert running.stdout.readline()
            running.stdout.close()
            assert running.wait(60) == 0
            assert running.stderr.read() == b""


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, fleet: Fleet, *words: str, columns: int = 80, lines: int = 24) -> None:
        self.ours, theirs = pty.openpty()
        self.resize(columns, lines)
        self.settings = termios.tcgetattr(theirs)
        command = [sys.executable, "-m", "reconciler", *words]
        self.running = subprocess.Popen(
            command, env=fleet.environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        self.theirs, self.shown = theirs, b""

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def until(self, words: str, within_s: float = 60.0) -> None:
        until = time.monotonic() + within_s
        while words.encode() not in self.shown:
            assert time.monotonic() < until, f"{words!r} is not in {self.shown[-2000:]!r}"
            self.read()

    def read(self) -> bool:
        """Whether there was something."""
        there = bool(select.select([self.ours], [], [], 0.2)[0])
        if there:
            self.shown += os.read(self.ours, 65536)
        return there

    def end_after(self, words: str, key: bytes = b"", number: int = 0) -> int:
        self.until(words)
        return self.end(key, number)

    def end(self, key: bytes = b"", number: int = 0) -> int:
        """The exit code; afterwards the terminal is as it was before."""
        if key:
            os.write(self.ours, key)
        if number:
            self.running.send_signal(number)
        until = time.monotonic() + 100
        while self.running.poll() is None and time.monotonic() < until:
            self.read()
        # A terminal gives 4 KiB at a time, and may hold several screens.
        while self.read():
            pass
        try:
            assert self.running.returncode is not None, "it does not end"
            assert termios.tcgetattr(self.theirs) == self.settings
            assert self.shown.endswith((b"\x1b[?1049l", b"\x1b[?25h"))
            return self.running.returncode
        finally:
            self.running.kill()
            self.running.wait()
            os.close(self.ours)
            os.close(self.theirs)


@pytest.mark.slow
def test_a_screen_lives_and_leaves_no_trace(fleet: Fleet) -> None:
    """It fits a narrow terminal, follows another size, scrolls, and ends by q, Ctrl-C and SIGTERM with all as it was."""
    narrow = Terminal(fleet, "watch", columns=40, lines=10)
    narrow.until("scroll (1-9 of")
    os.write(narrow.ours, b"jj")
    narrow.until("scroll (3-11 of")
    narrow.shown = b""
    narrow.resize(100, 60)
    narrow.until("recently")
    assert narrow.end(b"q") == 0
    assert Terminal(fleet, "watch").end_after("hosts", number=signal.SIGTERM) == 143
    assert Terminal(fleet, "top").end_after("MEMORY", key=b"q") == 0
    interrupted = Terminal(fleet, "watch", "--no-color")
    interrupted.until("hosts")
    assert b"\x1b[32m" not in interrupted.shown
    assert interrupted.end(number=signal.SIGINT) == 130
