"""Remembers what hooks have brought, after the answer and at most once a second, however many come: a flood costs no writes."""

import threading
from collections import OrderedDict, deque

from reconciler.log import Log
from reconciler.store import Heard, Store, StoreError

# Between two writes; more than a hook's rate lets through.
MOST_NEWS = 200
APART_S = 1.0
# A forge tries again within minutes; a person who presses "redeliver" later means it.
MOST_IDS, SAME_S = 2_000, 300.0


class Recorder:
    """Writes from a thread of its own, which is there only while there is something to write. Thread-safe."""

    def __init__(self, store: Store, log: Log, apart_s: float = APART_S) -> None:
        self._store, self._log, self._apart_s = store, log, apart_s
        self._lock = threading.Lock()
        self._hurry = threading.Event()
        self._news: dict[str, deque[Heard]] = {}
        self._thread: threading.Thread | None = None

    def add(self, hook: str, heard: Heard) -> None:
        """A delivery to the hook of this id. Takes no time."""
        with self._lock:
            self._news.setdefault(hook, deque(maxlen=MOST_NEWS)).append(heard)
            if self._thread is None:
                self._thread = threading.Thread(target=self._write, name="hooks", daemon=True)
                self._thread.start()

    def _write(self) -> None:
        while True:
            with self._lock:
                news, self._news = self._news, {}
                if not news:
                    self._thread = None
                    return
            try:
                self._store.hooks.put_heard(news)
            except StoreError as error:
                # They are worth a line in a list, and nothing waits for them.
                self._log.warning("hooks.unrecorded", error=str(error))
            self._hurry.wait(self._apart_s)

    def settle(self) -> None:
        """Write all that there is now, and wait until that is done."""
        thread = self._thread
        if thread is not None:
            self._hurry.set()
            thread.join()
            self._hurry.clear()


class Once:
    """Which deliveries have had their effect lately: the same again is answered, and does nothing. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: OrderedDict[tuple[str, str], float] = OrderedDict()

    def seen(self, hook: str, id: str, now: float) -> bool:
        """Whether this was `done` in the last minutes; never for a delivery without an id."""
        with self._lock:
            at = self._seen.get((hook, id)) if id else None
            return at is not None and now - at < SAME_S

    def done(self, hook: str, id: str, now: float) -> None:
        if id:
            with self._lock:
                self._seen[(hook, id)] = now
                self._seen.move_to_end((hook, id))
                while len(self._seen) > MOST_IDS:
                    self._seen.popitem(last=False)
