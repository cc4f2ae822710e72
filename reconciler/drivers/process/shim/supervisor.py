"""The shim's loop: one child, its output, its checks, its restarts and its end, in one thread that never blocks."""

import contextlib
import os
import select
import signal
import time

from .child import remove_sockets, spawn
from .health import Health
from .output import Output
from .probe import Http, Probe, begin
from .report import Report, read, restarts_before
from .system import alive_lock, birth, end_children, reap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

FORMAT = 1
FIRST_DELAY_S, LONGEST_DELAY_S = 0.1, 30.0
# A run that lasted so long was a success, whatever ended it: the next delay is the first again.
LASTED_S = 10.0
# Without a check, a program counts as healthy when it has not ended so soon after it began.
SETTLE_S = 0.25
# How often the shim makes sure that its directory has not been removed under it.
PRESENT_S = 5.0
STOP_REQUEST_S = 5.0
NEVER = float("inf")


class Supervisor:
    """Made in the instance directory, by the main thread; `run` returns when the instance has ended for good."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._want = read("want.json")
        log = self._want["log"]
        self._output = Output(directory, log["max_bytes"], log["files"])
        self._report, self._health = Report(), Health()
        self._state, self._ended, self._over = "starting", "", False
        self._pid, self._born, self._pipe, self._began, self._error = 0, "", -1, 0.0, ""
        self._exit: int | None = None
        self._delay_s, self._start_at, self._check_at = FIRST_DELAY_S, 0.0, 0.0
        self._restarts = restarts_before()
        self._probe: Probe | None = None
        self._counted = False
        # What is done next to end the child: request, wait, signal, kill; "" as long as nobody asked.
        self._stopping, self._stop_at = "", NEVER
        self._present_at = 0.0
        self._asked: set[int] = set()
        self._awake, wake = os.pipe()
        os.set_blocking(self._awake, False)
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, self._hear)

    def _hear(self, number: int, _: "FrameType | None") -> None:
        self._asked.add(number)

    def start(self) -> None:
        """Start the child for the first time."""
        self._begin()

    def run(self) -> None:
        while not self._over:
            self._turn(time.monotonic())
            if not self._over:
                self._wait()
        if self._stopping:
            self._state, self._ended = "stopped", "asked"
        self._tell()

    def _turn(self, now: float) -> None:
        """Everything that is due."""
        if signal.SIGHUP in self._asked:
            self._asked.discard(signal.SIGHUP)
            self._reload()
        if now >= self._present_at:
            self._present_at = now + PRESENT_S
            if os.stat(".").st_nlink == 0:
                # Somebody removed the directory: nobody could ever find what runs here again.
                self._asked.add(signal.SIGTERM)
        if signal.SIGTERM in self._asked and not self._stopping:
            self._begin_stop(now)
        while (ended := reap({self._pid, self._probe.pid if self._probe else 0} - {0})) is not None:
            if ended[0] == self._pid:
                self._child_ended(ended[1], now)
            elif self._probe is not None and ended[0] == self._probe.pid:
                self._probe.ended(ended[1])
        self._try_check(now)
        if self._over:
            return
        if self._stopping:
            self._stop(now)
        elif not self._pid and now >= self._start_at:
            self._restarts += 1
            self._begin()
        elif self._pid and self._want["check"] is None and now >= self._settled_at() and self._health.become("healthy"):
            self._tell()
        self._report.refresh(self._record())

    def _wait(self) -> None:
        """Until something happens or is due."""
        now = time.monotonic()
        due = self._present_at
        poll = select.poll()
        poll.register(self._awake, select.POLLIN)
        if self._pipe >= 0:
            poll.register(self._pipe, select.POLLIN)
        if self._probe is not None:
            due = min(due, self._probe.deadline)
            if self._probe.fd >= 0:
                poll.register(self._probe.fd, self._probe.events)
        elif self._pid and not self._stopping and self._want["check"] is not None:
            due = min(due, self._check_at)
        if self._stopping:
            due = min(due, self._stop_at)
        elif not self._pid:
            due = min(due, self._start_at)
        elif self._want["check"] is None and self._health.status != "healthy":
            due = min(due, self._settled_at())
        for fd, _ in poll.poll(max(0, int((due - now) * 1000) + 1)):
            if fd == self._awake:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._awake, 4096)
            elif fd == self._pipe:
                self._drain(1)
            elif self._probe is not None and fd == self._probe.fd:
                self._probe.step()

    def _settled_at(self) -> float:
        # What keeps ending must first run longer than it was last made to wait.
        return self._began + max(SETTLE_S, self._delay_s if self._restarts else 0.0)

    def _begin(self) -> None:
        start = self._want["start"]
        remove_sockets(start["sockets"])
        self._began = self._check_at = time.monotonic()
        self._health.start()
        self._output.begin()
        output = alive = -1
        try:
            self._pipe, output = os.pipe()
            os.set_blocking(self._pipe, False)
            alive = alive_lock()
            self._pid, self._error = spawn(start["command"], start["environment"], start["directory"], output, alive)
        except OSError as error:
            # No more processes or files allowed just now: nothing runs, which is like a run that failed at once.
            self._error = f"cannot start: {error.strerror}"
            self._child_ended(1, self._began)
            return
        finally:
            for fd in (output, alive):
                if fd >= 0:
                    os.close(fd)
        self._born, self._state = birth(self._pid), "running"
        self._tell()

    def _drain(self, pieces: int) -> None:
        """Take what the child has printed, at most so many pieces, so that a flood delays nothing else."""
        for _ in range(pieces):
            try:
                data = os.read(self._pipe, 65536)
            except BlockingIOError:
                return
            if not data:
                os.close(self._pipe)
                self._pipe = -1
                return
            self._output.write(data)

    def _child_ended(self, status: int, now: float) -> None:
        self._drop_probe()
        if self._pipe >= 0:
            self._drain(64)
        # Whatever it has started is of the same instance and must not meet the next run.
        end_children()
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
        self._pid, self._born, self._exit = 0, "", status
        if self._stopping:
            self._over = True
            return
        message = self._error or (f"exited with status {status}" if status >= 0 else f"killed by signal {-status}")
        policy = self._want["restart"]
        if policy == "always" or (policy == "on-failure" and status != 0):
            if now - self._began >= LASTED_S:
                self._delay_s = FIRST_DELAY_S
            self._start_at = now + self._delay_s
            self._delay_s = min(self._delay_s * 2, LONGEST_DELAY_S)
            self._state = "failed" if status else "starting"
            self._health.become("unhealthy", message)
            self._tell()
            return
        self._state, self._ended, self._over = "failed" if status else "stopped", "finished", True
        # A job that is over as it should be is well, unless somebody was promised a port.
        done = status == 0 and not self._want["ports"]
        self._health.become("healthy" if done else "unhealthy", f"{message}, not restarted (restart: {policy})")

    def _try_check(self, now: float) -> None:
        probe, check = self._probe, self._want["check"]
        if probe is None:
            if self._pid and check is not None and not self._stopping and now >= self._check_at:
                self._begin_check(check, now)
            return
        if not probe.over and now >= probe.deadline:
            probe.expire()
        if probe.passed is not None and not self._counted and not self._stopping:
            self._counted = True
            if self._health.count(probe, check["healthy_after"], check["unhealthy_after"]):
                self._tell()
        if probe.over:
            self._probe = None
            if check is not None:
                self._check_at = max(now, probe.begun + self._health.next_s(check["interval_s"]))

    def _begin_check(self, check: "dict[str, Any]", now: float) -> None:
        self._counted = False
        try:
            self._probe = begin(check, self._want["start"]["environment"], self._want["start"]["directory"])
        except OSError as error:
            # No more processes or files allowed just now; that says nothing of the child.
            self._health.message = f"the check cannot start: {error.strerror}"
            self._check_at = now + check["interval_s"]

    def _drop_probe(self) -> None:
        if self._probe is not None:
            self._probe.close()
            self._probe = None

    def _begin_stop(self, now: float) -> None:
        self._drop_probe()
        self._state, self._stop_at = "stopping", now
        self._health.become("unhealthy", "stopping")
        if not self._pid:
            self._stopping, self._over = "kill", True
            return
        http = self._want["stop"]["http"]
        if http is None:
            self._stopping = "signal"
        else:
            self._stopping, self._counted = "wait", True
            self._probe = Http(http["target"], http["method"], http["path"], STOP_REQUEST_S)
            self._stop_at = NEVER
        self._tell()

    def _stop(self, now: float) -> None:
        stop = self._want["stop"]
        if self._stopping == "wait" and (self._probe is None or self._probe.passed is not None):
            self._drop_probe()
            self._stopping, self._stop_at = "signal", now + stop["wait_s"]
        if now < self._stop_at or not self._pid:
            return
        number = signal.SIGKILL
        if self._stopping == "signal":
            number = signal.Signals[f"SIG{stop['signal']}"]
            self._stopping, self._stop_at = "kill", now + stop["grace_s"]
        else:
            self._stop_at = now + 1.0
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, number)

    def _reload(self) -> None:
        """Take in what may change while the child runs."""
        try:
            new = read("want.json")
            self._output.bound(new["log"]["max_bytes"], new["log"]["files"])
            if new["check"] != self._want["check"]:
                if not self._stopping:
                    self._drop_probe()
                self._health.passed = self._health.failed = 0
                self._check_at = 0.0
            self._want = {**self._want, **{name: new[name] for name in ("live", "check", "restart", "stop", "log")}}
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._health.message = f"want.json cannot be read: {error}"
        self._tell()

    def _record(self) -> "dict[str, Any]":
        return {
            "format": FORMAT,
            "state": self._state,
            "ended": self._ended,
            "live": self._want["live"],
            "pid": self._pid,
            "born": self._born,
            "restarts": self._restarts,
            "exit": self._exit,
            "since": round(self._health.since, 3),
            "health": self._health.record(),
        }

    def _tell(self) -> None:
        self._report.write(self._record())
        self._report.ring()
