"""Who acts: one Convoy at a time, by a lock on its state directory and a lease in the store; others stand by."""

import contextlib
import fcntl
import os
import socket
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

from reconciler.log import Log
from reconciler.seams import Seams
from reconciler.store import LEASE, Lease, Store, StoreError

# Whoever acts is taken for dead this long after it was last heard of; it is heard of three times within that.
LEASE_S = 15.0
RENEWED = 3
# Nothing is begun in the last part of a lease, so that what was begun has ended, or nearly, when another may begin.
UNUSED = 1 / 3
# How often whoever stands by looks; and how soon what could not be renewed is tried again.
LOOK_S = 1.0


class LeaderError(Exception):
    """Another Convoy acts; the message says which one and what to do."""


class Leader:
    """One Convoy's part in it. `lost` is called, once and from another thread, when another has taken over."""

    def __init__(
        self, store: Store, state: Path, seams: Seams, log: Log, lost: Callable[[], None], lease_s: float = LEASE_S
    ) -> None:
        self._store, self._state, self._seams, self._log, self._lost = store, state, seams, log, lost
        self._lease_s = lease_s
        # Not the machine's name alone: two Convoys of one machine are two, and so are two machines of one name.
        self.name = named(state, identity(state))
        self._lock: int | None = None
        self._lease: Lease | None = None
        self._ended = threading.Event()
        # Wakes the thread that renews before its time: to end, or because the lease seems to be over.
        self._knock = threading.Event()
        self._closing = contextlib.ExitStack()
        self.taken_by = ""

    @property
    def epoch(self) -> int:
        """0 as long as we do not act."""
        return self._lease.epoch if self._lease else 0

    def take(self) -> None:
        """Act from now on; raises LeaderError where another does."""
        if self._lease is not None:
            return
        if not self._locked():
            raise LeaderError(
                f"another Convoy is at work in {self._state}: stop it, or give this one a state directory of its own (--state)"
            )
        if not self._asked():
            raise LeaderError(
                f"another Convoy acts on this store, {self._acting()}: stop it, or wait for it (`convoy serve --standby`)"
            )

    def stand_by(self, stopped: threading.Event, looked: Callable[[], None] = lambda: None) -> bool:
        """Wait until we act: True; or until `stopped` is set: False. `looked` is called at each look.

        Another Convoy of our own state directory that holds its lock and not the lease is stopped or hangs. We act beside it:
        the epoch keeps it from doing anything when it goes on.
        """
        told = ""
        while not stopped.is_set():
            try:
                acting = self._store.holder(LEASE) or ""
                if (not acting or acting == self.name) and (self._locked() or not acting) and self._asked():
                    self._log.info("leader.acts", epoch=self.epoch, name=self.name)
                    return True
                news = f"waiting for {acting}" if acting else "waiting for the lock of this state directory"
            except StoreError as error:
                news = str(error)
            if news != told:
                told = news
                self._log.info("leader.stands_by", why=news)
            looked()
            self._seams.wait(stopped, LOOK_S)
        return False

    def may_act(self) -> bool:
        """To be asked before each action: is the lease ours, for long enough to do something?"""
        if self._lease is None:
            return False
        begun = self._seams.monotonic()
        try:
            left_s = self._store.remaining(self._lease)
        except StoreError as error:
            # Whoever cannot ask whether he may act must not.
            self._log.error("lease.unknown", error=str(error))
            return False
        if left_s <= 0:
            self._knock.set()
        # The answer is as old as the question: it may have been long under way.
        return left_s - (self._seams.monotonic() - begun) > self._lease_s * UNUSED

    def close(self) -> None:
        """Let another act at once."""
        self._closing.close()

    def _acting(self) -> str:
        return self._store.holder(LEASE) or "which has just ended"

    def _locked(self) -> bool:
        """Whether the lock of our state directory is ours; once it is, it stays so until the end of this process."""
        if self._lock is not None:
            return True
        self._seams.point("leader.lock", self._state)
        lock = os.open(self._state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            return False
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        self._lock = lock
        self._closing.callback(self._unlock)
        return True

    def _unlock(self) -> None:
        # Nobody closes it twice: by then the number may be somebody else's file.
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def _asked(self) -> bool:
        # With the lock we are the only one of our name, and take over at once from our former self. Without it we are not.
        name = self.name if self._lock is not None else f"{self.name} process {os.getpid()}"
        lease = self._store.acquire(LEASE, name, self._lease_s)
        if lease is None:
            return False
        self._lease = lease
        renewing = self._seams.thread(self._renew, "lease")
        renewing.start()

        def release() -> None:
            self._ended.set()
            self._knock.set()
            renewing.join()
            # A store that is away lets the lease run out by itself.
            with contextlib.suppress(StoreError):
                self._store.release(lease)

        self._closing.callback(release)
        return True

    def _renew(self) -> None:
        wait_s = self._lease_s / RENEWED
        while True:
            self._seams.wait(self._knock, wait_s)
            self._knock.clear()
            if self._ended.is_set():
                return
            lease = self._lease
            try:
                if lease is None or self._store.renew(lease, self._lease_s):
                    wait_s = self._lease_s / RENEWED
                    continue
                self.taken_by = self._store.holder(LEASE) or "another Convoy"
            except StoreError as error:
                self._log.error("lease.not_renewed", error=str(error))
                wait_s = min(LOOK_S, self._lease_s / RENEWED)
                continue
            self._log.error("lease.lost", epoch=lease.epoch, acting=self.taken_by)
            self._lost()
            return


def named(state: Path, identity: str) -> str:
    return f"{socket.gethostname()}:{state} ({identity})"


def looker(state: Path) -> str:
    """The name of the Convoy of this state directory for somebody who only looks, and makes nothing."""
    with contextlib.suppress(OSError):
        return named(state, (state / "id").read_text("ascii", "replace").strip())
    return named(state, "")


def identity(state: Path) -> str:
    """A few characters that tell this state directory from every other, made once and kept in it; raises OSError."""
    path = state / "id"
    if not path.exists():
        new = state / f"id.{os.getpid()}"
        new.write_text(uuid.uuid4().hex[:12])
        # Whoever is first has made it, whole.
        with contextlib.suppress(FileExistsError):
            os.link(new, path)
        new.unlink()
    return path.read_text("ascii", "replace").strip()
