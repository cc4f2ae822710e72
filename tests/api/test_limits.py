"""How often one client may ask, as it is counted in memory."""

import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from api.limits import Windows

# No sum of these is a minute, at which the library's own two answers differ.
GAPS_S = (0, 7, 31, 61)


# The library starts a thread with nearly every hit.
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(GAPS_S), st.sampled_from("ab")), max_size=40), st.integers(1, 4))
def test_windows_count_as_the_librarys_own_do(asked: list[tuple[int, str]], most: int) -> None:
    item, ours, theirs = RateLimitItemPerMinute(most), Windows(), MemoryStorage()
    now = float(1_800_000_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: now)
        for gap_s, client in asked:
            now += gap_s
            one, other = MovingWindowRateLimiter(ours), MovingWindowRateLimiter(theirs)
            assert one.hit(item, client) == other.hit(item, client)
            assert one.get_window_stats(item, client) == other.get_window_stats(item, client)


def test_windows_start_no_thread_and_forget_who_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    windows, now = Windows(), [1_800_000_000.0]
    started: list[threading.Thread] = []
    monkeypatch.setattr(time, "time", lambda: now[0])
    start, us = threading.Thread.start, threading.current_thread()

    def starts(one: threading.Thread) -> None:
        # What others of this process start is theirs.
        (started.append if threading.current_thread() is us else start)(one)

    monkeypatch.setattr(threading.Thread, "start", starts)
    for number in range(1_000):
        assert windows.acquire_entry(f"from {number}", 5, 60)
        assert windows.get_moving_window(f"from {number}", 5, 60) == (now[0], 1)
    now[0] += 61
    assert windows.acquire_entry("from 7", 5, 60)
    assert windows.reset() == 1
    assert not started


def test_what_is_cleared_counts_no_more() -> None:
    windows = Windows()
    assert windows.acquire_entry("ada", 1, 60)
    assert not windows.acquire_entry("ada", 1, 60)
    windows.clear("ada")
    assert windows.acquire_entry("ada", 1, 60)
