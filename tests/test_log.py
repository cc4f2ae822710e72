"""Structured logs."""

import io
import json
import threading
from typing import Any

import pytest

from reconciler.log import LONGEST_VALUE, Log
from reconciler.seams import Seams
from reconciler.secrets import keygen


class Noon(Seams):
    def now(self) -> float:
        return 1_700_000_000.25


def text(**options: Any) -> tuple[Log, io.StringIO]:
    stream = io.StringIO()
    return Log(stream, seams=Noon(), **options), stream


def test_text_is_one_line_of_time_level_event_and_pairs() -> None:
    """A person reads the time, the level, the event, then key=value, quoted where a value would run into the next."""
    log, stream = text()
    log.warning("source.unreadable", error='cannot fetch "main"', tries=3, empty="", ok=True)
    line = stream.getvalue()
    assert line.endswith('warning source.unreadable error="cannot fetch \\"main\\"" tries=3 empty="" ok=True\n')
    assert line.count("\n") == 1
    assert line[2] == ":"


def test_json_is_one_object_per_line() -> None:
    """A machine reads time, level and event, then the fields; numbers stay numbers; nothing else is on the line."""
    log, stream = text(form="json")
    log.info("tick", seconds=0.25, actions=2, revision="abc", nothing=None, nan=float("nan"), huge=10**40)
    log.error("second", event="taken", level=1)
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert first == {
        "time": "2023-11-14T22:13:20.250Z",
        "level": "info",
        "event": "tick",
        "seconds": 0.25,
        "actions": 2,
        "revision": "abc",
        "nothing": None,
        "nan": "nan",
        "huge": "1" + "0" * 40,
    }
    assert (second["event"], second["event_"], second["level"], second["level_"]) == ("second", "taken", "error", 1)


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_value_can_forge_a_line_or_move_the_cursor(form: str) -> None:
    """Line ends, escape sequences, text direction marks and half characters are written as escapes, in both forms."""
    log, stream = text(form=form, colour=False)
    log.info("a\nb", **{"k\r": "x\ninfo forged \x1b[2J\u202e\u2028\x9b\ud800"})
    line = stream.getvalue()
    assert line.count("\n") == 1
    assert not any(letter in line[:-1] for letter in "\r\n\x1b\x9b\u202e\u2028")
    line.encode()


@pytest.mark.parametrize("form", ["text", "json"])
def test_hidden_values_never_appear(form: str) -> None:
    """A hidden secret, its lines, and a secret cut off by the length limit are replaced wherever they stand."""
    log, stream = text(form=form)
    identity = keygen().identity
    pem = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49\nAwEHBG0wawIBAQQg\n-----END PRIVATE KEY-----\n"
    log.hide(identity)
    log.hide(pem.encode())
    log.info(identity, **{identity: 1, "a": f"key {identity}!", "b": {"deep": [pem.splitlines()[1]]}, "c": pem})
    log.info("cut", a="x" * (LONGEST_VALUE - 10) + identity)
    shown = stream.getvalue()
    assert identity[:20] not in shown
    assert "MIGHAgEAMBMG" not in shown
    assert "[hidden]" in shown
    log.info("public", a="-----BEGIN PRIVATE KEY-----")
    assert "-----BEGIN PRIVATE KEY-----" in stream.getvalue()


def test_short_values_are_not_hidden() -> None:
    """Hiding "a" would make every line unreadable, and tell what was hidden."""
    log, stream = text()
    log.hide("a")
    log.hide("")
    log.info("start", a="banana")
    assert "banana" in stream.getvalue()


def test_values_are_bounded() -> None:
    """A megabyte in a field becomes a line that says how long it was."""
    log, stream = text()
    log.info("big", value="x" * 1_000_000)
    assert len(stream.getvalue()) < LONGEST_VALUE + 200
    assert "1000000 characters" in stream.getvalue()


def test_levels_and_colour() -> None:
    """What is below the level is not written; colour is for terminals, or as asked."""
    log, stream = text(level="warning")
    log.debug("a")
    log.info("b")
    log.warning("c")
    assert "c" in stream.getvalue()
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()
    coloured, terminal = text(colour=True)
    coloured.info("b")
    assert "\x1b[32minfo" in terminal.getvalue()


def test_it_never_raises() -> None:
    """A closed stream, and a value that cannot be printed, do not stop whoever logs."""

    class Sour:
        def __str__(self) -> str:
            raise RuntimeError("no")

    log, stream = text()
    log.info("sour", value=Sour())
    assert "<Sour: RuntimeError>" in stream.getvalue()
    stream.close()
    log.info("gone")


def test_lines_of_many_threads_do_not_mix() -> None:
    """Each line is whole, whoever writes at the same time."""
    log, stream = text(form="json")

    def speak(name: int) -> None:
        for count in range(50):
            log.info("said", name=name, count=count)

    threads = [threading.Thread(target=speak, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    said = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert sorted((one["name"], one["count"]) for one in said) == [(name, count) for name in range(4) for count in range(50)]
