"""Structured logs: one line per event on stderr, for people or as JSON, with control characters and secrets taken out."""

import json
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal, TextIO

import orjson

from reconciler.core.hiding import hide, longest_first, parts
from reconciler.seams import Seams

Level = Literal["debug", "info", "warning", "error"]
LEVELS: tuple[Level, ...] = ("debug", "info", "warning", "error")

LONGEST_VALUE = 2000
LONGEST_KEY = 100
# What moves a terminal's cursor, changes its colours, ends a line or turns the direction of writing.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
_CONTROLS |= {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"}
_CONTROLS |= {
    code: f"\\u{code:04x}" for code in (*range(0x200B, 0x2010), *range(0x2028, 0x202F), *range(0x2066, 0x206A), 0xFEFF)
}
_COLOURS: dict[Level, str] = {"debug": "\x1b[2m", "info": "\x1b[32m", "warning": "\x1b[33m", "error": "\x1b[31m"}
_OURS = frozenset({"time", "level", "event"})
_PLAIN = "\x1b[0m"
_JSON = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"))


class Log:
    """Passed to whoever has something to say. Thread-safe; it never raises, whatever it is given and wherever it writes."""

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        form: Literal["text", "json"] = "text",
        level: Level = "info",
        colour: bool | None = None,
        seams: Seams | None = None,
    ) -> None:
        """`stream` is standard error where left out; `colour` is on where that is a terminal, unless said otherwise."""
        self._form, self._level = form, level
        self._stream = sys.stderr if stream is None else stream
        self._write: Callable[[Level, str, dict[str, object]], str] = self._json if form == "json" else self._text
        self._least = LEVELS.index(level)
        self._colour = _is_terminal(self._stream) if colour is None else colour
        self._seams = seams or Seams()
        self._lock = threading.Lock()
        self._secrets: tuple[str, ...] = ()

    def told(self) -> dict[str, object]:
        """What another process of ours needs to log as this one does."""
        return {"form": self._form, "level": self._level, "colour": self._colour}

    def hide(self, value: str | bytes) -> None:
        """From now on this secret, and each long line of it, is written as "[hidden]"."""
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        with self._lock:
            self._secrets = longest_first({*self._secrets, *parts(text)})

    def debug(self, event: str, /, **fields: object) -> None:
        self._say("debug", event, fields)

    def info(self, event: str, /, **fields: object) -> None:
        self._say("info", event, fields)

    def warning(self, event: str, /, **fields: object) -> None:
        self._say("warning", event, fields)

    def error(self, event: str, /, **fields: object) -> None:
        self._say("error", event, fields)

    def _say(self, level: Level, event: str, fields: dict[str, object]) -> None:
        if LEVELS.index(level) < self._least:
            return
        line = self._write(level, event, fields) + "\n"
        with self._lock:
            try:
                self._stream.write(line)
                self._stream.flush()
            except (OSError, ValueError):
                # The terminal or pipe is gone. The work goes on, and there is nobody left to tell.
                return

    def _text(self, level: Level, event: str, fields: dict[str, object]) -> str:
        at = datetime.fromtimestamp(self._seams.now(), UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
        shown = f"{_COLOURS[level]}{level:7}{_PLAIN}" if self._colour else f"{level:7}"
        pairs = [f"{self._words(key, LONGEST_KEY)}={self._quoted(value)}" for key, value in fields.items()]
        return " ".join([at, shown, self._words(event, LONGEST_KEY), *pairs])

    def _quoted(self, value: object) -> str:
        text = self._words(value)
        if text and not any(letter in text for letter in ' "='):
            return text
        return '"' + text.replace('"', '\\"') + '"'

    def _json(self, level: Level, event: str, fields: dict[str, object]) -> str:
        at = datetime.fromtimestamp(self._seams.now(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        values: dict[str, object] = {"time": at, "level": level, "event": self._words(event, LONGEST_KEY)}
        for key, value in fields.items():
            shown = self._words(key, LONGEST_KEY)
            values[f"{shown}_" if shown in _OURS else shown] = self._words(value) if type(value) is str else self._plain(value)
        try:
            # In a tenth of the time; what is not ASCII it writes as it is.
            line = orjson.dumps(values)
        except TypeError:
            return _JSON.encode(values)
        return line.decode() if line.isascii() else _JSON.encode(values)

    def _plain(self, value: object) -> object:
        """Numbers stay numbers; NaN and infinity are no JSON, and a huge integer is too much for most readers of it."""
        if value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) < 1 << 53):
            return value
        if isinstance(value, float) and abs(value) < float("inf"):
            return value
        return self._words(value)

    def _words(self, value: object, longest: int = LONGEST_VALUE) -> str:
        """Hidden before it is shortened, so that no first half of a secret is left at the end."""
        if isinstance(value, str) and not self._secrets and len(value) <= longest and value.isascii() and value.isprintable():
            # Most are so: a line is written with every request.
            return value
        try:
            text = value if isinstance(value, str) else str(value)
        except Exception as error:  # noqa: BLE001 - what cannot say what it is must not stop who only wanted to log it
            text = f"<{type(value).__name__}: {type(error).__name__}>"
        text = hide(text, self._secrets)
        if len(text) > longest:
            text = f"{text[:longest]}… ({len(text)} characters)"
        # Escaping shortens nothing, and half a surrogate pair could not be written.
        return text.translate(_CONTROLS).encode("utf-8", "backslashreplace").decode()


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except (OSError, ValueError):
        return False
