"""What a login leaves on this machine: the server and its tokens, in one file that only its owner can read."""

import contextlib
import fcntl
import json
import os
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from api.client.exits import AWAY, UNKNOWN, ClientError

LARGEST = 1024 * 1024
# Longer than a refresh takes that another `envoyctl` is at.
LOCKED_S, LOOK_S = 30.0, 0.05


@dataclass(frozen=True, slots=True)
class Login:
    """Who is logged in to a server, and by what; `expires` is when the access token ends, Unix seconds."""

    email: str
    role: str
    tenant: str
    access: str = field(repr=False)
    refresh: str = field(repr=False)
    expires: float = 0.0
    ca_file: str = ""
    plaintext: bool = False
    # What changes are signed with, "" for nothing.
    signing: str = field(default="", repr=False)


class Kept:
    """The file, in a directory of its own. Raises ClientError."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "logins.json"

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Kept":
        """https://specifications.freedesktop.org/basedir-spec/latest/: a relative path there is to be ignored."""
        named, home = environment.get("XDG_CONFIG_HOME", ""), environment.get("HOME", "")
        if os.path.isabs(named):
            return cls(Path(named) / "envoyctl")
        if os.path.isabs(home):
            return cls(Path(home) / ".config" / "envoyctl")
        raise ClientError(
            UNKNOWN, "there is no HOME to keep a login in: set $XDG_CONFIG_HOME, or show a token in $ENVOYCTL_TOKEN"
        )

    def server(self) -> str:
        """The URL that was logged in to last; "" for none."""
        return str(self._read().get("server") or "")

    def login(self, url: str) -> Login | None:
        found = self._logins(self._read()).get(url)
        try:
            return Login(**found) if isinstance(found, dict) else None
        except TypeError:
            return None

    def put(self, url: str, login: Login) -> None:
        read = self._read()
        self._write({"server": url, "logins": {**self._logins(read), url: asdict(login)}})

    def forget(self, url: str) -> None:
        read = self._read()
        logins = {one: kept for one, kept in self._logins(read).items() if one != url}
        # The server's address is no secret, and is asked for again otherwise.
        self._write({"server": read.get("server", ""), "logins": logins})

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One `envoyctl` at a time: a refresh token is good once."""
        self._make()
        with self._saying("lock"), contextlib.ExitStack() as held:
            handle = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            held.callback(os.close, handle)
            end = time.monotonic() + LOCKED_S
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > end:
                        words = "another `envoyctl` is logging in or on, and does not end"
                        raise ClientError(AWAY, f"{words}: it holds {self.directory / 'lock'}") from None
                    time.sleep(LOOK_S)
            yield

    def _make(self) -> None:
        with self._saying("make"):
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _read(self) -> dict[str, Any]:
        with self._saying("read"):
            try:
                handle = os.open(self.file, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return {}
            with open(handle, "rb") as stream:
                about = os.fstat(handle)
                if stat.S_IMODE(about.st_mode) & 0o077 or about.st_uid != os.geteuid():
                    mend = f"chmod 600 {self.file}, and log in anew if somebody may have read it"
                    raise ClientError(UNKNOWN, f"others than you may read {self.file}, which holds tokens: {mend}")
                text = stream.read(LARGEST + 1)
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or len(text) > LARGEST:
            raise ClientError(UNKNOWN, f"{self.file} is not what `envoyctl auth login` writes: delete it, and log in anew")
        return found

    def _logins(self, read: Mapping[str, Any]) -> dict[str, Any]:
        found = read.get("logins")
        return found if isinstance(found, dict) else {}

    def _write(self, value: Mapping[str, Any]) -> None:
        """Whole or not at all, and never for others to read."""
        self._make()
        fresh = self.directory / f"logins.{os.getpid()}.tmp"
        with self._saying("write"):
            try:
                fresh.unlink(missing_ok=True)
                handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                with open(handle, "w") as stream:
                    json.dump(value, stream, indent=1)
                    stream.flush()
                    os.fsync(handle)
                fresh.replace(self.file)
            finally:
                fresh.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _saying(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            where = f"cannot {what} what `envoyctl` keeps in {self.directory}"
            raise ClientError(UNKNOWN, f"{where}: {error.strerror or error}") from None
