"""Says when a source may have changed: at once where files can be watched, and every so often whatever happens."""

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path

import watchfiles

from reconciler.seams import Seams

# How often the watcher looks at what the kernel has told it, and how long it gathers. At 10 ms a change is noticed within
# about 12 ms for half a percent of one core.
STEP_MS, GATHER_MS = 10, 50
# A place that cannot be watched (not there, or no watches left) is tried again this often; polling goes on meanwhile.
AGAIN_S = 1.0


class Changes:
    """One source's bell. `places` are the directories to watch now; it is asked again after each change in them."""

    def __init__(
        self,
        seams: Seams,
        poll_s: float,
        places: Callable[[], tuple[Path, ...]] | None = None,
        *,
        recursive: bool = False,
        ignore: Callable[[str], bool] | None = None,
    ) -> None:
        self._seams, self._poll_s = seams, poll_s
        self._places, self._recursive, self._ignore = places, recursive, ignore
        self._stirred = threading.Event()
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._next_poll = seams.monotonic() + poll_s
        self._thread: threading.Thread | None = None

    def wait(self, timeout_s: float | None) -> bool:
        """True when it is worth looking; False when the time is over or this is closed."""
        self._watch()
        poll_s = max(0.0, self._next_poll - self._seams.monotonic())
        polling = timeout_s is None or poll_s <= timeout_s
        stirred = self._seams.wait(self._stirred, poll_s if polling else timeout_s)
        if self._closed.is_set():
            return False
        if not stirred and not polling:
            return False
        # Before the look that follows: what happens during that look rings again.
        self._stirred.clear()
        self._next_poll = self._seams.monotonic() + self._poll_s
        return True

    def ring(self) -> None:
        self._stirred.set()

    def close(self) -> None:
        with self._lock:
            self._closed.set()
            thread = self._thread
        self._stirred.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _watch(self) -> None:
        """Start watching with the first wait: whoever looks once needs no thread."""
        with self._lock:
            if self._places is not None and self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(target=self._follow, args=(self._places,), name="source-watch", daemon=True)
                self._thread.start()

    def _follow(self, places: Callable[[], tuple[Path, ...]]) -> None:
        while not self._closed.is_set():
            # A hint that does not come: the poll finds what it would have said.
            with contextlib.suppress(OSError, RuntimeError):
                self._watch_once(places)
            self._closed.wait(AGAIN_S)

    def _watch_once(self, places: Callable[[], tuple[Path, ...]]) -> None:
        while not self._closed.is_set():
            watched = places()
            if not watched:
                return
            changes = watchfiles.watch(
                *watched,
                watch_filter=None if self._ignore is None else self._wanted,
                stop_event=self._closed,
                step=STEP_MS,
                debounce=GATHER_MS,
                recursive=self._recursive,
                raise_interrupt=False,
            )
            for _ in changes:
                self._stirred.set()
                if places() != watched:
                    break

    def _wanted(self, _change: watchfiles.Change, path: str) -> bool:
        return self._ignore is None or not self._ignore(path)
