"""One check, one try: never blocks, ends by its deadline, reads no more than a bounded piece of any answer."""

import errno
import os
import select
import socket
import time

from .child import spawn
from .system import kill

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# A status line fits into the first; the second is how much of a body is read so that the server sees an orderly end.
STATUS_BYTES, BODY_BYTES = 4096, 65536


class Probe:
    """A try that is under way: wait for `events` on `fd` (-1: nothing to wait for), call `step`, until `over`."""

    def __init__(self, timeout_s: float) -> None:
        self.begun = time.monotonic()
        self.deadline = self.begun + timeout_s
        self.fd, self.events, self.pid = -1, 0, 0
        self.over = False
        # None: no verdict yet.
        self.passed: bool | None = None
        self.code, self.message, self.latency_ms = 0, "", 0.0

    def step(self) -> None:
        """The awaited event is there."""

    def ended(self, status: int) -> None:
        """The process of a command check has ended with this exit status (negative: a signal)."""

    def expire(self) -> None:
        """The deadline is over: what has no verdict has failed."""
        self.decide(False, f"no answer within {self.deadline - self.begun:g} s")
        self.close()

    def decide(self, passed: bool, message: str, code: int = 0) -> None:
        if self.passed is None:
            self.passed, self.message, self.code = passed, message, code
            self.latency_ms = round((time.monotonic() - self.begun) * 1000, 3)

    def close(self) -> None:
        self.over = True


class Connection(Probe):
    """Connects to [address, port] or to a socket's path; passes when the connection is accepted."""

    def __init__(self, target: "str | list[Any]", timeout_s: float, label: str) -> None:
        super().__init__(timeout_s)
        self.label = label
        address: str | tuple[Any, ...] = target if isinstance(target, str) else tuple(target)
        family = socket.AF_UNIX if isinstance(target, str) else socket.AF_INET6 if ":" in target[0] else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.setblocking(False)
        self.fd, self.events = self.socket.fileno(), select.POLLOUT
        try:
            failed = self.socket.connect_ex(address)
        except OSError as error:
            failed = error.errno or errno.EINVAL
        if failed not in (0, errno.EINPROGRESS):
            self.fail(failed)
        self._connecting = True

    def fail(self, number: int) -> None:
        self.decide(False, f"{self.label}: {os.strerror(number).lower()}")
        self.close()

    def step(self) -> None:
        try:
            if self._connecting:
                failed = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if failed:
                    self.fail(failed)
                    return
                self._connecting = False
                self.connected()
            else:
                self.more()
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.fail(error.errno or errno.EIO)

    def connected(self) -> None:
        self.decide(True, "")
        self.close()

    def more(self) -> None:
        """The connection, made before, can be read or written again."""

    def close(self) -> None:
        super().close()
        self.fd = -1
        self.socket.close()


class Http(Connection):
    """Passes when the answer's status is 200 to 399. https://www.rfc-editor.org/rfc/rfc9112#section-4"""

    def __init__(self, target: "str | list[Any]", method: str, path: str, timeout_s: float) -> None:
        host = "localhost" if isinstance(target, str) else f"[{target[0]}]" if ":" in target[0] else target[0]
        if not isinstance(target, str):
            host += f":{target[1]}"
        head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: convoy-check\r\nAccept: */*\r\nConnection: close\r\n"
        if method == "POST":
            head += "Content-Length: 0\r\n"
        self.unsent = (head + "\r\n").encode()
        self.answer, self.read = b"", 0
        super().__init__(target, timeout_s, f"{method} {path}")

    def connected(self) -> None:
        self.more()

    def more(self) -> None:
        if self.unsent:
            self.unsent = self.unsent[self.socket.send(self.unsent) :]
            if not self.unsent:
                self.events = select.POLLIN
            return
        data = self.socket.recv(16384)
        self.read += len(data)
        if self.passed is None:
            self.answer = (self.answer + data)[:STATUS_BYTES]
            line, found, _ = self.answer.partition(b"\n")
            if found or not data or len(self.answer) == STATUS_BYTES:
                self._judge(line)
        if not data or self.read >= BODY_BYTES:
            self.close()

    def _judge(self, line: bytes) -> None:
        words = line.split(None, 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not (len(words[1]) == 3 and words[1].isdigit()):
            self.decide(
                False, f"{self.label}: not an HTTP answer: {line[:60]!r}" if line else f"{self.label}: closed without an answer"
            )
            self.close()
            return
        code = int(words[1])
        self.decide(200 <= code < 400, "" if 200 <= code < 400 else f"{self.label}: status {code}", code)


class Command(Probe):
    """Passes when the command exits with 0."""

    def __init__(self, command: list[str], environment: dict[str, str], directory: str, timeout_s: float) -> None:
        super().__init__(timeout_s)
        self.name = os.path.basename(command[0])
        self.pid, error = spawn(command, environment, directory, -1)
        if error:
            self.decide(False, error)

    def ended(self, status: int) -> None:
        how = f"exited with status {status}" if status >= 0 else f"was killed by signal {-status}"
        self.decide(status == 0, "" if status == 0 else f"{self.name} {how}", status)
        self.pid = 0
        self.close()

    def close(self) -> None:
        super().close()
        if self.pid:
            kill(self.pid, group=True)


def begin(check: "dict[str, Any]", environment: dict[str, str], directory: str) -> Probe:
    """Start one try of this check (as the driver wrote it into want.json)."""
    timeout_s = float(check["timeout_s"])
    if check["kind"] == "http":
        return Http(check["target"], check["method"], check["path"], timeout_s)
    if check["kind"] == "tcp":
        target = check["target"]
        return Connection(target, timeout_s, f"connect to {target if isinstance(target, str) else ':'.join(map(str, target))}")
    return Command(check["command"], environment, directory, timeout_s)
