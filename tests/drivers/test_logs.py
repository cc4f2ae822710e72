"""Output is read whole over rotations, also while it is written; hostile, huge and secret output is bounded and hidden."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.core.running import LONGEST_LINE, LogAsk, LogLine
from reconciler.drivers.process.logs import Hidden, read
from reconciler.drivers.process.shim.output import Output
from reconciler.drivers.process.usage import Spent, parse_ps

from .contract import act, eventually, healthy, printed, want
from .world import ProcessWorld, python, script, soon


def never() -> bool:
    return False


def always() -> bool:
    return True


def texts(directory: Path, ask: LogAsk, *secrets: str) -> list[bytes]:
    return [line.text for line in read(str(directory), ask, secrets, always) if line is not None]


def waiting(lines: Iterator[LogLine | None]) -> list[bytes]:
    """What is there until nothing comes just now."""
    found: list[bytes] = []
    for line in lines:
        if line is None:
            return found
        found.append(line.text)
    return [*found, b"over"]


def test_the_last_lines_reach_over_files(tmp_path: Path) -> None:
    """Whatever the number and wherever files were begun anew, the last n lines are the last n lines."""
    output = Output(str(tmp_path), 4096, 4)
    lines = [b"line %06d of some length\n" % number for number in range(500)]
    for line in lines:
        output.write(line)
    kept = texts(tmp_path, LogAsk())
    assert kept == lines[-len(kept) :]
    assert len(kept) > 450
    for number in (0, 1, 2, 100, 157, 158, 300, len(kept), 10_000):
        assert texts(tmp_path, LogAsk(lines=number)) == lines[len(lines) - min(number, len(kept)) :]


def test_following_misses_nothing_over_rotations(tmp_path: Path) -> None:
    """While a writer begins file after file, a reader gets every line once and in order."""
    # Small files, so that many are moved while one is read.
    output = Output(str(tmp_path), 1 << 12, 400)
    done = threading.Event()

    def write() -> None:
        for number in range(20_000):
            output.write(b"%d some words to fill the files with\n" % number)
        done.set()

    writing = threading.Thread(target=write)
    reading = read(str(tmp_path), LogAsk(follow=True), (), done.is_set)
    writing.start()
    lines = [line.text for line in reading if line is not None]
    writing.join()
    assert b"".join(lines) == b"".join(b"%d some words to fill the files with\n" % number for number in range(20_000))
    assert (tmp_path / "output.log.5").exists()


def test_following_a_log_of_one_file(tmp_path: Path) -> None:
    """It begins anew in its place, and so does the reader."""
    output = Output(str(tmp_path), 4096, 1)
    reading = read(str(tmp_path), LogAsk(follow=True), (), never)
    output.write(b"first\n" * 600)
    assert waiting(reading) == [b"first\n"] * 600
    output.write(b"x" * 490 + b"\nsecond\n" + b"y" * 600 + b"\n")
    got = waiting(reading)
    assert got[-1] == b"y" * 600 + b"\n"
    assert waiting(reading) == []


def test_a_reader_that_is_too_slow_goes_on_with_what_is_left(tmp_path: Path) -> None:
    """What was dropped meanwhile is missing; nothing comes twice, and it does not stop."""
    output = Output(str(tmp_path), 4096, 2)
    output.write(b"0\n")
    reading = read(str(tmp_path), LogAsk(follow=True), (), never)
    assert waiting(reading) == [b"0\n"]
    for number in range(1, 5000):
        output.write(b"%d\n" % number)
    numbers = [int(line) for line in waiting(reading)]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 4999


def test_since_and_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line has the time at which it was printed; what was printed since is found by it, in whichever file."""
    now = 1000.0
    monkeypatch.setattr(time, "time", lambda: now)
    output = Output(str(tmp_path), 4096, 9)
    for number in range(1000):
        now = 1000.0 + number
        output.write(b"line %06d of some length\n" % number)
    found = [line for line in read(str(tmp_path), LogAsk(), (), always) if line is not None]
    assert all(line.at == 1000.0 + int(line.text[5:11]) for line in found)
    for since in (1990.0, 1500.5, 1999.0, 2000.0):
        lines = texts(tmp_path, LogAsk(since=since))
        assert len(lines) == len([number for number in range(1000) if 1000.0 + number >= since])
    assert len(texts(tmp_path, LogAsk(since=1990.0, lines=3))) == 3
    # A new shim on the same files goes on with their times.
    now = 3000.0
    Output(str(tmp_path), 4096, 9).write(b"after\n")
    found = [line for line in read(str(tmp_path), LogAsk(lines=2), (), always) if line is not None]
    assert [(line.text[:5], line.at) for line in found] == [(b"line ", 1999.0), (b"after", 3000.0)]


def test_times_stay_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that prints a little for ever does not fill a disk with when it did."""
    now = 1000.0
    monkeypatch.setattr(time, "time", lambda: now)
    output = Output(str(tmp_path), 1 << 30, 2)
    for number in range(200_000):
        now = 1000.0 + number
        output.write(b".\n")
    assert (tmp_path / "output.times").stat().st_size < 600_000


def test_the_log_of_an_older_shim_has_no_times(tmp_path: Path) -> None:
    """It is shown whole, with no time made up for it, and what a new shim adds has its own."""
    (tmp_path / "output.log").write_bytes(b"old\n")
    output = Output(str(tmp_path), 4096, 2)
    output.begin()
    output.write(b"new\n")
    old, new = [line for line in read(str(tmp_path), LogAsk(), (), always) if line is not None]
    assert (old.text, old.at) == (b"old\n", None)
    assert new.at is not None
    assert texts(tmp_path, LogAsk(previous=True)) == [b"old\n"]


def test_the_run_before(tmp_path: Path) -> None:
    """`previous` is the run before the last one, wherever files were begun anew within it."""
    output = Output(str(tmp_path), 4096, 9)
    for run in range(4):
        output.begin()
        for number in range(300):
            output.write(b"run %d line %04d\n" % (run, number))
    found = texts(tmp_path, LogAsk(previous=True))
    assert found == [b"run 2 line %04d\n" % number for number in range(300)]
    assert texts(tmp_path, LogAsk(previous=True, lines=2)) == found[-2:]
    output.begin()
    assert texts(tmp_path, LogAsk(previous=True, lines=1)) == [b"run 3 line 0299\n"]


def test_huge_lines_come_in_pieces(tmp_path: Path) -> None:
    """No piece is larger than the bound, nothing is lost, and binary survives."""
    data = os.urandom(3_000_000).replace(b"\n", b"") + b"\nafter\n"
    Output(str(tmp_path), 1 << 30, 2).write(data)
    found = texts(tmp_path, LogAsk())
    assert b"".join(found) == data
    assert max(map(len, found)) <= LONGEST_LINE + 1
    assert found[-1] == b"after\n"


def test_secrets_are_hidden_also_where_pieces_meet(tmp_path: Path) -> None:
    """Wherever it stands, and however short; what only looks like a short one stays."""
    secret = "a-very-secret-word"
    text = b"x" * (LONGEST_LINE - 5) + secret.encode() + b"y" * LONGEST_LINE + b"\nkey ab=ab cab\n"
    Output(str(tmp_path), 1 << 30, 2).write(text)
    shown = b"".join(texts(tmp_path, LogAsk(), secret, "ab"))
    assert secret.encode() not in shown
    assert shown.endswith(b"key [hidden]=[hidden] cab\n")
    assert Hidden([])(b"as it is") == b"as it is"


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    """A pipe or a link in a log's place keeps no reader waiting and leads nowhere."""
    os.mkfifo(tmp_path / "output.log")
    with pytest.raises(OSError, match="not a file"):
        texts(tmp_path, LogAsk())
    (tmp_path / "output.log").unlink()
    (tmp_path / "output.log").symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic"):
        texts(tmp_path, LogAsk())


@pytest.mark.slow
def test_a_real_one_restarted_and_deleted(world: ProcessWorld) -> None:
    """A program that ends and is started again is followed on; its run before is kept; a delete is the end."""
    text = "import os,sys,time; print('run', os.getpid(), flush=True); sys.stdin.read(); time.sleep(1000)"
    driver, app = world.driver(), want("app", run=python(text))
    act(driver, "create", app)
    first = eventually(driver, app, healthy)
    reading = driver.logs(app.ref, app.instance, LogAsk(follow=True))
    lines: list[bytes] = []

    def came(number: int) -> bool:
        lines.extend(waiting(reading))
        return len(lines) >= number

    soon(lambda: came(1))
    os.kill(first.fields["pid"], 9)
    soon(lambda: came(2))
    assert lines[0] != lines[1]
    assert printed(driver, app, LogAsk(previous=True)) == [lines[0].decode().strip()]
    act(driver, "delete", app)
    soon(lambda: came(3))
    assert lines[2] == b"over"


@pytest.mark.slow
def test_a_job_that_is_done_is_the_end(world: ProcessWorld) -> None:
    """Following what ends for good ends with it."""
    driver, app = world.driver(), want("app", run=script("echo a; printf b", restart="never"))
    act(driver, "create", app)
    eventually(driver, app, lambda one: one.fields["state"] == "stopped")
    assert [line.text for line in driver.logs(app.ref, "i1", LogAsk(follow=True)) if line] == [b"a\n", b"b"]


@pytest.mark.slow
def test_usage_counts_the_whole_tree(world: ProcessWorld) -> None:
    """Children of children count, also when they have left their parent's session and their parent has ended."""
    text = (
        "import os,time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        held = bytearray(60_000_000)\n"
        "        while time.process_time() < 0.5: pass\n"
        "        time.sleep(1000)\n"
        "    os._exit(0)\n"
        "os.wait(); time.sleep(1000)\n"
    )
    driver, app = world.driver(), want("app", run=python(text))
    act(driver, "create", app)
    eventually(driver, app, healthy)

    def spent() -> bool:
        (one,) = driver.usage()
        # The one between is counted until its parent has heard of its end. Linux counts time in whole ticks, for user and
        # system each: what took half a second may be shown as a little less.
        return one.processes == 2 and one.cpu_s >= 0.45

    soon(spent)
    (one,) = driver.usage()
    assert one.processes == 2
    assert one.memory_bytes > 60_000_000
    assert one.cpu_s < 5


def test_what_ps_prints_is_read() -> None:
    """Where there is no /proc: days, hours, fractions and lines that make no sense."""
    text = (
        "  1     0   1200 00:00:01 01:00\n 77     1  10 2-03:04:05 3-00:00:00\n 78 77 20   1:02.50 02:03\nPID nonsense\n79 77\n"
    )
    assert parse_ps(text) == {
        1: Spent(0, 1.0, 1200 * 1024, 60.0),
        77: Spent(1, 2 * 86400 + 3 * 3600 + 4 * 60 + 5, 10240, 3 * 86400),
        78: Spent(77, 62.5, 20480, 123.0),
    }
