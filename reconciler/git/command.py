"""Runs the `git` program without prompts, hooks or surprises, and gives its errors without secrets."""

import base64
import contextlib
import os
import re
import select
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit, urlunsplit

from reconciler.core.values import nameless
from reconciler.git.source import SourceError

# `ext::` and the like run programs that the URL names: https://git-scm.com/docs/git-remote-ext
PROTOCOLS = ("file", "git", "http", "https", "ssh")
SETTINGS = (
    "protocol.ext.allow=never",
    # Nothing in a repository or in its owner's settings may run a program here, ask a question or start work of its own.
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.askPass=",
    "gc.auto=0",
    "maintenance.auto=false",
    "fetch.recurseSubmodules=false",
    "fetch.writeCommitGraph=false",
    "transfer.bundleURI=false",
)
# What a caller's environment may not decide: in which repository we work, what is traced into logs, who is asked.
KEPT = re.compile(
    r"GIT_(SSH|SSH_COMMAND|SSH_VARIANT|CONFIG_GLOBAL|CONFIG_SYSTEM|CONFIG_NOSYSTEM|SSL_(?!NO_VERIFY).*|HTTP_.*|PROXY_.*|EXEC_PATH)$"
)
# What comes after `?`, where forges and object stores put tokens. A URL is taken whole, so that no scan is made twice.
QUERY = re.compile(r"(://[^\s'\"?]*+)(\?[^\s'\"]+)?")
SCP_LIKE = re.compile(r"[^/:]+:")
# Even an empty file of grafts makes git give advice about it.
NO_FILE = "/dev/null/none"
# The end of what git said: the reason is there, and a server can say as much as it likes.
LONGEST_MESSAGE = 2000


class GitFailed(Exception):
    """git ended with an error; the message is what it said, without secrets."""


class Git:
    """Runs one git command at a time. `stop` ends the one under way, and every later one."""

    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._lock = threading.Lock()
        self._running: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def run(
        self,
        directory: Path | None,
        arguments: Sequence[str],
        settings: Mapping[str, str] | None = None,
        *,
        variables: Mapping[str, str] | None = None,
    ) -> str:
        """What it prints. `settings` are Git settings passed where other users cannot see them, `variables` go beside them.

        Raises GitFailed, or SourceError when git is not there, does not end in time, or was stopped.
        """
        words = ["git", *(["--git-dir", str(directory)] if directory else [])]
        # A git whose Convoy was killed has nobody left to end it.
        for setting in (*SETTINGS, "http.lowSpeedLimit=1", f"http.lowSpeedTime={max(1, int(self._deadline_s))}"):
            words += ["-c", setting]
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            try:
                with self._lock:
                    if self._stopped:
                        raise SourceError("git was stopped, because Convoy is ending")
                    # A session of its own: no terminal to ask on, and one signal ends it with all its children.
                    process = self._running = subprocess.Popen(
                        [*words, *arguments],
                        cwd=directory or "/",
                        env={**environment(settings or {}), **(variables or {})},
                        stdin=subprocess.DEVNULL,
                        stdout=out,
                        stderr=err,
                        start_new_session=True,
                    )
            except OSError as error:
                raise SourceError(
                    f"cannot run git ({error.strerror or error}): install it, and see that it is on PATH"
                ) from error
            try:
                status = ended(process, self._deadline_s)
            except subprocess.TimeoutExpired:
                raise SourceError(f"git {arguments[0]} was given up after {self._deadline_s:g} s without an end") from None
            finally:
                self._end(process)
            if self._stopped:
                raise SourceError("git was stopped, because Convoy is ending")
            if status != 0:
                raise GitFailed(redacted(tail(err)) or f"git {arguments[0]} ended with status {status}")
            out.seek(0)
            return out.read().decode("utf-8", "backslashreplace")

    def _end(self, process: "subprocess.Popen[bytes]") -> None:
        with self._lock:
            self._running = None
            kill(process)
        process.wait()

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            if self._running is not None:
                kill(self._running)


def ended(process: "subprocess.Popen[bytes]", deadline_s: float) -> int:
    """Its status, once it has ended; raises TimeoutExpired. `Popen.wait` sleeps and looks again, up to 50 ms late."""
    with contextlib.suppress(AttributeError, OSError):
        file = os.pidfd_open(process.pid)
        try:
            ends = select.poll()
            ends.register(file, select.POLLIN)
            ends.poll(deadline_s * 1000)
        finally:
            os.close(file)
        deadline_s = 0 if process.poll() is None else deadline_s
    return process.wait(deadline_s)


def kill(process: "subprocess.Popen[bytes]") -> None:
    """End a process that has not been waited for, and its children."""
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)


def tail(file: BinaryIO) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - LONGEST_MESSAGE))
    # Much of it is the other side's, who may want to write on our terminal.
    lines = (printable(line) for line in file.read().decode("utf-8", "backslashreplace").splitlines())
    return "; ".join(line for line in lines if line and not line.removeprefix("remote: ").startswith("hint:"))


def printable(line: str) -> str:
    return "".join(c if c.isprintable() else " " for c in line).strip()


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Ours, without what would point git elsewhere or make it ask; credentials and proxies of the user stay."""
    result = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or KEPT.match(name)}
    result.pop("SSH_ASKPASS", None)
    result |= {
        "GIT_ALLOW_PROTOCOL": ":".join(PROTOCOLS),
        "GIT_TERMINAL_PROMPT": "0",
        "SSH_ASKPASS_REQUIRE": "never",
        "GCM_INTERACTIVE": "never",
        # A commit is what its own bytes say, whatever a repository would put in its place.
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_GRAFT_FILE": NO_FILE,
        "LC_ALL": "C",
        "GIT_CONFIG_COUNT": str(len(settings)),
    }
    for index, (key, value) in enumerate(settings.items()):
        result |= {f"GIT_CONFIG_KEY_{index}": key, f"GIT_CONFIG_VALUE_{index}": value}
    return result


def plain_environment() -> dict[str, str]:
    """For a program that is to know nothing of anybody's settings."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR", "TZ") if name in os.environ}
    return kept | {"LC_ALL": "C", "HOME": "/nonexistent"}


def redacted(text: str) -> str:
    """The same text without user names, passwords and tokens in URLs."""
    return QUERY.sub(lambda url: f"{url[1]}?***" if url[2] else url[1], nameless(text))


def local_path(url: str) -> Path | None:
    """The directory a URL or path names on this machine, or None; raises SourceError on what git must not get."""
    shown = redacted(url)
    if not url or not url.isprintable() or re.match(r"([^/]*@|[A-Za-z0-9+.-]+://([^/]*@)?)?-", url):
        raise SourceError(f"{shown!r} is not the URL or path of a repository")
    helper = re.match(r"[A-Za-z0-9+.-]+::", url)
    if helper:
        # What follows is for that program, and may hold anything.
        raise SourceError(f"'{helper[0]}…' names a program to run (a git remote helper), which Convoy never does")
    scheme, separator, _ = url.partition("://")
    if not separator:
        return None if SCP_LIKE.match(url) and not os.path.exists(url) else Path(url)
    if scheme.lower() not in PROTOCOLS:
        raise SourceError(f"{shown!r} has the scheme {scheme!r}: Convoy reads from {', '.join(PROTOCOLS)} and local paths")
    if scheme.lower() != "file":
        return None
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.netloc not in ("", "localhost") or not path.startswith("/") or not path.isprintable():
        raise SourceError(f"{shown!r} is not a place on this machine: give it as file:///path, or as the path alone")
    return Path(path)


def remote_settings(url: str) -> dict[str, str]:
    """Git settings that make `origin` this URL.

    Arguments of a process can be read by every user of a machine, and git hands its remote helper the URL as one. A name and
    password in an HTTP URL therefore travel as a header, set for that host alone.
    """
    parts = urlsplit(url) if "://" in url else None
    if parts is None or parts.scheme.lower() not in ("http", "https"):
        return {"remote.origin.url": url}
    userinfo, at, host = parts.netloc.rpartition("@")
    # A forge with a certificate of its own is trusted by http.sslCAInfo, never by not looking. Said for this very address,
    # because what somebody's settings say for an address counts more than what is said for all.
    place = urlunsplit((parts.scheme, host, parts.path, "", ""))
    settings = {"remote.origin.url": urlunsplit(parts._replace(netloc=host)), f"http.{place}.sslVerify": "true"}
    if at:
        name, _, password = userinfo.partition(":")
        token = base64.b64encode(f"{unquote(name)}:{unquote(password)}".encode()).decode()
        settings[f"http.{parts.scheme}://{host}/.extraHeader"] = f"Authorization: Basic {token}"
    return settings
