"""What the shim tells: state.json, replaced whole and only when something changed, and a touch of the host's bell."""

import contextlib
import json
import os
import socket
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Counters and latencies alone are no reason to write more often than this, nor to wake anybody.
NUMBERS_S, WORDS_S = 30.0, 5.0


class Report:
    """Writes state.json in the current directory."""

    def __init__(self) -> None:
        self._told: dict[str, Any] = {}
        self._written = 0.0
        self._bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._bell.setblocking(False)

    def write(self, state: "dict[str, Any]") -> None:
        """Now, and ring: somebody must look."""
        temporary = "state.json.new"
        try:
            with open(temporary, "w", encoding="utf-8") as file:
                json.dump(state, file, separators=(",", ":"))
            os.replace(temporary, "state.json")
        except OSError:
            # A full disk: what is supervised goes on, and the next change or the next half minute tries again.
            return
        self._told, self._written = state, time.monotonic()

    def ring(self) -> None:
        """Wake the driver, if one listens. The bell is a symbolic link, because a socket's own path may be too long."""
        with contextlib.suppress(OSError):
            self._bell.sendto(b"!", "../bell")

    def refresh(self, state: "dict[str, Any]") -> None:
        """Write what changed in the small, if the last time is long ago."""
        if state == self._told:
            return
        patience_s = WORDS_S if state["health"]["message"] != self._told.get("health", {}).get("message") else NUMBERS_S
        if time.monotonic() - self._written >= patience_s:
            self.write(state)


def read(name: str) -> "dict[str, Any]":
    """A JSON file of the instance directory, which is the current directory."""
    with open(name, "rb") as file:
        found: dict[str, Any] = json.load(file)
    return found


def restarts_before() -> int:
    """A new shim in an old directory goes on counting."""
    try:
        return int(read("state.json")["restarts"]) + 1
    except (OSError, ValueError, KeyError, TypeError):
        return 0
