"""Writes the audit in batches, off the requests' path."""

import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from api import peer
from api.audit import Asker, Heard, rows
from reconciler.core.model import DEFAULT_TENANT
from reconciler.log import Log
from reconciler.store import Store, StoreError
from reconciler.store.audit import CHANGE, NOBODY, READ, Call

# How long a row waits at most for others to be written with, and how many calls are written at once.
BATCH_S, BATCH = 0.5, 1_000
# What whoever reads the audit waits at most for what was answered before: others may be writing, and the disk be busy.
FLUSH_S = 10.0
# What may wait of each class while the store does not take it. Beyond that rows are lost, and how many is a row of its own: to
# make everybody wait, or to refuse changes that Git records anyway, would let the audit stop the fleet.
MOST_WAITING: Mapping[str, int] = {CHANGE: 5_000, READ: 10_000, NOBODY: 5_000}
AGAIN_S, LONGEST_AGAIN_S, ENDING_S = 0.5, 10.0, 4.0


class Recorder:
    """Of one process. Thread-safe, and never in anybody's way."""

    def __init__(self, store: Store, log: Log) -> None:
        self._store, self._log = store, log
        self._changed = threading.Condition()
        self._waiting: deque[Heard] = deque()
        self._counts = dict.fromkeys(MOST_WAITING, 0)
        self._lost = dict.fromkeys(MOST_WAITING, 0)
        # The same since the start, whether a row says so by now or not.
        self._missing = dict.fromkeys(MOST_WAITING, 0)
        self._heard = self._written = 0
        self._hurry = self._closed = False
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    def hear(self, environ: Mapping[str, Any], status: int) -> None:
        """Of a request that was answered. What belongs to no surface is not heard."""
        if "convoy.operation" not in environ:
            return
        surface, operation, ids = environ["convoy.operation"]
        heard = Heard(
            time.time(),
            environ.get("convoy.who", Asker(known=False)),
            surface,
            operation,
            environ.get("REQUEST_METHOD", ""),
            ids,
            peer.address(environ),
            environ.get("HTTP_USER_AGENT", ""),
            status,
            environ.get("convoy.id", ""),
            environ.get("convoy.changes", ()),
        )
        with self._changed:
            kind = heard.kind
            if self._counts[kind] >= MOST_WAITING[kind]:
                self._lost[kind] += 1
                self._missing[kind] += 1
                return
            self._counts[kind] += 1
            self._heard += 1
            self._waiting.append(heard)

    def lost(self) -> dict[str, int]:
        """How many calls of each class are missing in the audit, since the start."""
        with self._changed:
            return dict(self._missing)

    def flush(self, timeout_s: float = FLUSH_S) -> bool:
        """Waits until all that was heard so far is written; False where that takes longer."""
        with self._changed:
            target, self._hurry = self._heard, True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._written >= target, timeout_s)

    def close(self) -> None:
        """Writes what waits, for a while."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(ENDING_S)

    def _run(self) -> None:
        again_s = AGAIN_S
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._hurry, BATCH_S)
                self._hurry, ending = False, self._closed
            try:
                while self._batch():
                    pass
                again_s = AGAIN_S
            except StoreError as error:
                self._log.warning("audit.waits", calls=len(self._waiting), error=str(error), again_in_s=again_s)
                if not ending:
                    with self._changed:
                        self._changed.wait_for(lambda: self._closed, again_s)
                again_s = min(2 * again_s, LONGEST_AGAIN_S)
            if ending:
                return

    def _batch(self) -> bool:
        """Writes one; whether there was any. Raises StoreError: then it waits on."""
        with self._changed:
            batch = list(islice(self._waiting, BATCH))
            lost = {kind: count for kind, count in self._lost.items() if count}
        if not batch and not lost:
            return False
        now = time.time()
        try:
            calls = [call for heard in batch for call in self._rows(heard)]
            self._store.audit.add([*calls, *(_losses(now, *one) for one in lost.items())])
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is ours: what comes next must be written all the same
            self._log.error("audit.broken", calls=len(batch), error=f"{type(error).__name__}: {error}")
            with self._changed:
                for heard in batch:
                    self._missing[heard.kind] += 1
        if lost:
            self._log.error("audit.lost", **lost)
        with self._changed:
            for heard in batch:
                self._waiting.popleft()
                self._counts[heard.kind] -= 1
            for kind, count in lost.items():
                self._lost[kind] -= count
            self._written += len(batch)
            self._changed.notify_all()
        return True

    def _rows(self, heard: Heard) -> list[Call]:
        """Of one that nothing can be made of, only that it was."""
        try:
            return list(rows(heard))
        except Exception as error:  # noqa: BLE001 - as above
            self._log.error("audit.broken", request=heard.request, error=f"{type(error).__name__}: {error}")
            return list(rows(replace(heard, changes=())))


def _losses(now: float, kind: str, count: int) -> Call:
    """That so many calls of a class are missing before this row."""
    return Call(
        now, CHANGE, "", "", DEFAULT_TENANT, "", "LOST", "audit", "", "", "", 0, "", None, {"kind": kind, "calls": count}
    )
