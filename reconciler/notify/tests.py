"""Tells whom a Notification names that they would be told, when somebody asks for it: once, now, and beside what waits."""

import threading
import uuid
from collections.abc import Callable, Mapping
from typing import cast

from reconciler.ask import AskError
from reconciler.core.kinds.notification import Notification
from reconciler.core.model import FleetState, Resource
from reconciler.log import Log
from reconciler.seams import Seams
from reconciler.store import Attempt, Store, StoreError

# However slow those are who are tested, what happens is told meanwhile: by other threads.
AT_ONCE = 4


class Tests:
    """`fleet` is the one in force when somebody asks; `told` tells, and says why that did not work, "" where it did."""

    def __init__(
        self,
        fleet: Callable[[], FleetState | None],
        told: Callable[[Resource, Mapping[str, object]], str],
        store: Store,
        installation: str,
        count: Callable[[str], None],
        log: Log,
        seams: Seams,
    ) -> None:
        self._fleet, self._told, self._attempts, self._installation = fleet, told, store.notices().attempts, installation
        self._count, self._log, self._seams = count, log, seams
        self._lock, self._testing = threading.Lock(), set[str]()
        self._pool = seams.pool(AT_ONCE, "notify-test")

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def asked(self, body: bytes, _: float) -> bytes:
        """Answers the request `tell`: the printed ref of a Notification, to which a test message is sent. The answer is that
        message's id; what becomes of it is logged as any try is. Raises AskError."""
        name = body.decode("utf-8", "replace")
        fleet = self._fleet()
        found = fleet.of("Notification") if fleet is not None else ()
        resource = next((one for one in found if str(one.ref) == name), None)
        if resource is None:
            raise AskError("not-found", "there is no such Notification in force", "ask again soon")
        if not cast(Notification, resource.spec).active:
            raise AskError("inactive", "it is not active, so nothing is sent", "make it active first")
        with self._lock:
            if name in self._testing or len(self._testing) >= AT_ONCE:
                raise AskError("busy", "a test is being sent already", "ask again in a few seconds")
            self._testing.add(name)
        id = uuid.uuid4().hex
        self._pool.submit(self._test, resource, id)
        return id.encode()

    def _test(self, resource: Resource, id: str) -> None:
        """In a thread of the pool."""
        name, begun, clock = str(resource.ref), self._seams.now(), self._seams.monotonic()
        about = {"id": id, "notification": name, "installation": self._installation, "at": begun, "events": [], "more": 0}
        try:
            why = self._told(resource, about)
            took_s = self._seams.monotonic() - clock
            self._attempts.add(Attempt(name, id, "", begun, took_s, 1, "failed" if why else "told", why))
            self._count("failed" if why else "told")
        except StoreError as error:
            self._log.error("notify.failed", error=str(error))
        finally:
            with self._lock:
                self._testing.discard(name)
