"""Runs `envoy --mode validate` on a bootstrap: in a directory of its own, with an empty environment, and not for long."""

import functools
import re
import signal
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from reconciler.gate import words
from reconciler.seams import Seams

# Two at once: each runs one thread at full speed, and the machine has other work.
AT_ONCE = 2
DEADLINE_S = 30.0
# How often a run looks whether anybody still wants its answer.
LOOK_S = 0.05

_VERSION = re.compile(r"version: (\S+)")
# What an Envoy that cannot stand its configuration ends with, as against one that somebody killed.
CRASHES = {signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP}


@dataclass(frozen=True, slots=True)
class Answer:
    """What an Envoy said. `unchecked` is no verdict on the configuration: too slow, killed, or it could not be run.

    `position` is where a protobuf rule is broken: the list in the bootstrap, and the index in it. `elsewhere`: it is refused
    for what is true of this machine, and need not be of the proxy's own.
    """

    status: Literal["accepted", "refused", "unchecked"]
    words: str = ""
    position: tuple[str, int] | None = None
    elsewhere: bool = False


class Validator:
    """One Envoy binary. Thread-safe: more than two at once wait for each other."""

    def __init__(self, envoy: Path, seams: Seams, deadline_s: float = DEADLINE_S) -> None:
        self._envoy, self._seams, self._deadline_s = envoy, seams, deadline_s
        self._free = threading.BoundedSemaphore(AT_ONCE)
        self._counting = threading.Lock()
        self.runs = 0

    def build(self) -> str:
        """What tells this build of Envoy from every other, for example "9e5580…/1.40.0/Clean/RELEASE/BoringSSL"; or ""."""
        return _build_of(self._envoy)

    def run(self, bootstrap: bytes, cancelled: threading.Event) -> Answer:
        """Ask about this serialised Bootstrap; `unchecked` at once when `cancelled` is set."""
        while not self._free.acquire(timeout=LOOK_S):
            if cancelled.is_set():
                return Answer("unchecked", "nobody asks any more")
        try:
            if cancelled.is_set():
                return Answer("unchecked", "nobody asks any more")
            with self._counting:
                self.runs += 1
            self._seams.point("gate.validate", self._envoy)
            with tempfile.TemporaryDirectory(prefix="convoy-gate-") as directory:
                return self._ask(Path(directory), bootstrap, cancelled)
        except OSError as error:
            return Answer("unchecked", f"cannot run {self._envoy}: {error.strerror or error}")
        finally:
            self._free.release()

    def _ask(self, directory: Path, bootstrap: bytes, cancelled: threading.Event) -> Answer:
        file = directory / "bootstrap.pb"
        file.write_bytes(bootstrap)
        process = subprocess.Popen(
            # Hot restart would open shared memory and sockets that belong to whichever Envoy runs with the same base id.
            [self._envoy, "--mode", "validate", "-c", file, "--disable-hot-restart", "--concurrency", "1", "-l", "critical"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=directory,
            env={},
            start_new_session=True,
        )
        with process:
            begun = self._seams.monotonic()
            while True:
                try:
                    _, stderr = process.communicate(timeout=LOOK_S)
                    return _answer(process.returncode, stderr.decode("utf-8", "replace"))
                except subprocess.TimeoutExpired:
                    if cancelled.is_set():
                        process.kill()
                        return Answer("unchecked", "nobody asks any more")
                    if self._seams.monotonic() - begun > self._deadline_s:
                        process.kill()
                        return Answer("unchecked", f"Envoy did not answer within {self._deadline_s:g} s")
                except BaseException:
                    process.kill()
                    raise


def _answer(code: int, stderr: str) -> Answer:
    if code == 0:
        return Answer("accepted")
    if -code in CRASHES:
        why = words.last_line(stderr)
        return Answer("refused", f"Envoy crashes on it ({signal.Signals(-code).name})" + (f": {why}" if why else ""))
    if code < 0:
        return Answer("unchecked", f"Envoy was killed by signal {-code}: the machine may be out of memory")
    said = words.said(stderr)
    if said is None:
        return Answer("unchecked", f"Envoy ended with status {code}: {words.last_line(stderr)}")
    return Answer("refused", said, words.position(stderr), words.only_here(said))


def envoy_version(envoy: Path) -> str:
    """The version of this binary, for example "1.40.0"; "" when it does not say."""
    parts = _build_of(envoy).split("/")
    return parts[1] if len(parts) > 1 else ""


def _build_of(envoy: Path) -> str:
    try:
        found = envoy.stat()
    except OSError:
        return ""
    return _asked(envoy, found.st_mtime_ns, found.st_size)


# Asked once for each file, as it was written last.
@functools.lru_cache(maxsize=16)
def _asked(envoy: Path, _mtime_ns: int, _size: int) -> str:
    try:
        done = subprocess.run([envoy, "--version"], stdin=subprocess.DEVNULL, capture_output=True, env={}, timeout=DEADLINE_S)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = _VERSION.search(done.stdout.decode("utf-8", "replace"))
    return found.group(1) if found else ""
