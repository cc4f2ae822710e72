"""Sync windows in time: cron, zones, clocks that are put forward and back, and what costs nothing."""

import time
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core import windows
from reconciler.core.kinds.window import Window
from reconciler.core.windows import closes, opening, opens
from tests.core.checked import document, problems

BERLIN = ZoneInfo("Europe/Berlin")
HOUR_S = 3600.0


def window(schedule: str, hours: float, kind: str = "allow", zone: str = "UTC", **more: str) -> Window:
    said = {"kind": kind, "schedule": schedule, "durationSeconds": hours * HOUR_S, "timeZone": zone, **more}
    return Window.model_validate(said)


def at(text: str, zone: str = "UTC", fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def test_office_hours_by_the_clock_of_a_place() -> None:
    """Open from eight to five on weekdays there, and on a Friday evening it is known when Monday begins."""
    office = [window("0 8 * * 1-5", 9, zone="Europe/Berlin")]
    inside = opening(office, at("2026-07-03T16:59:59", "Europe/Berlin"))
    after = opening(office, at("2026-07-03T17:00:00", "Europe/Berlin"))
    assert (inside.open, inside.until) == (True, at("2026-07-03T17:00:00", "Europe/Berlin"))
    assert (after.open, after.until, after.why) == (
        False,
        at("2026-07-06T08:00:00", "Europe/Berlin"),
        "no sync window is open",
    )
    # The same hour of the clock, another of the world's, in winter.
    assert opening(office, at("2026-01-05T07:00:00")).open
    assert not opening(office, at("2026-07-06T05:59:59")).open
    assert opening(office, at("2026-07-06T06:00:00")).open


def test_deny_goes_before_allow_and_alone_allows_the_rest() -> None:
    """What is denied is denied whatever else is open, and the next opening is the first moment free of it."""
    both = [window("0 8 * * *", 10), window("0 9 * * *", 2, "deny")]
    assert opening(both, at("2026-07-03T08:30:00")).open
    denied = opening(both, at("2026-07-03T09:30:00"))
    assert (denied.open, denied.until) == (False, at("2026-07-03T11:00:00"))
    assert opening(both, at("2026-07-03T08:30:00")).until == at("2026-07-03T09:00:00")
    freeze = [window("0 0 20 12 *", 24 * 7, "deny")]
    assert opening(freeze, at("2026-12-19T23:59:59")).open
    assert opening(freeze, at("2026-12-22T00:00:00")).until == at("2026-12-27T00:00:00")


def test_an_opening_that_falls_into_a_deny_is_none() -> None:
    """From midnight on it may not be; it opens when the denial is over, or on the next day."""
    rules = [window("0 22 * * *", 2), window("0 0 3 7 *", 24 * 2, "deny")]
    assert opening(rules, at("2026-07-03T12:00:00")).until == at("2026-07-05T22:00:00")


def test_clocks_put_forward_and_back() -> None:
    """A time that is left out comes right after; one that comes twice opens once, and is open for as long as it says."""
    night = window("30 2 * * *", 1, zone="Europe/Berlin")
    spring = at("2026-03-29T03:00:00", "Europe/Berlin")
    assert opens(night, spring - HOUR_S) == spring
    assert (closes(night, spring - 1), closes(night, spring)) == (None, spring + HOUR_S)
    first = at("2026-10-25T02:30:00", "Europe/Berlin")
    second = at("2026-10-25T02:10:00", "Europe/Berlin", fold=1)
    assert opens(night, first - HOUR_S) == first
    # The clock says 02:10 for the second time: it has been open since 02:30, forty minutes ago.
    assert second - first == 40 * 60
    assert closes(night, second) == first + HOUR_S
    assert closes(night, first + HOUR_S) is None
    assert opens(night, first) == at("2026-10-26T02:30:00", "Europe/Berlin")


def test_what_overlaps_is_one() -> None:
    """An hour and a half from every hour on is always, and a window that never closes has an end far away."""
    always = window("0 * * * *", 1.5)
    assert opening([always], at("2026-07-03T12:59:59")).open
    end = closes(always, at("2026-07-03T12:59:59"))
    assert end is not None
    assert end > at("2026-07-06T00:00:00")
    assert opening([window("0 * * * *", 1.5, "deny")], at("2026-07-03T12:00:00")).until is None


def test_rare_days_cost_little() -> None:
    """The 29th of February, or one that is a Monday, is found or given up within a moment, and asked for once a minute."""
    begun = time.process_time()
    leap = window("0 0 29 2 *", 24)
    assert opens(leap, at("2026-07-03T12:00:00")) == at("2028-02-29T00:00:00")
    assert opening([window("0 0 * 2 MON#5", 24)], at("2026-07-03T12:00:00")).until == at("2044-02-29T00:00:00")
    assert opening([window("* * * * *", 1, "deny")], at("2026-07-03T12:00:00")).open is False
    assert time.process_time() - begun < 1.0
    windows._after.cache_clear()
    for second in range(60):
        opens(leap, at("2026-07-03T12:00:00") + second)
    assert windows._after.cache_info().misses == 1


@given(st.integers(0, 2**31), st.sampled_from(["*/7 * * * *", "15 2 * * *", "0 0 1 * *", "59 23 31 12 *", "5 1-3 * * 0"]))
@settings(max_examples=200, deadline=None)
def test_before_and_after_agree(seconds: int, schedule: str) -> None:
    """An opening is followed by the next, and nothing lies between, whatever the clocks do just then."""
    one = window(schedule, 1, zone="Europe/Berlin")
    following = opens(one, seconds)
    assert following is not None
    assert following > seconds
    assert closes(one, following) is not None
    before = windows._before(schedule, "Europe/Berlin", following // 60 - 1)
    assert before is not None
    assert before < following
    assert before <= seconds or opens(one, before) == following


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("schedule: 0 8 * *", "'0 8 * *' is no schedule (five fields: minute, hour, day of month, month, day of week"),
        ("schedule: 99 8 * * *", "'99 8 * * *' is no schedule: Bad minute (five fields"),
        ("schedule: 0 0 31 2 *", "is no schedule: Bad day-of-month"),
        ("schedule: '@daily'", "'@daily' is no schedule"),
        ("timeZone: Europe/Nowhere", "there is no time zone 'Europe/Nowhere' (write one as in `Europe/Berlin` or `UTC`)"),
        ("timeZone: ../../etc/passwd", "write one as in `Europe/Berlin` or `UTC`"),
        ("durationSeconds: 1", "60"),
        ("durationSeconds: 1e9", "604800"),
        ("kind: perhaps", "allow"),
        ("only: [application/web, nothing/at/all/of/it]", "'nothing/at/all/of/it' selects nothing"),
        ("only: [robots]", "there is no kind 'robots'"),
    ],
)
def test_a_bad_window_is_a_problem_at_its_line(field: str, words: str) -> None:
    """What is wrong, where, and how to mend it."""
    good = {"kind": "allow", "schedule": "0 8 * * *", "durationSeconds": "3600"}
    name, _, value = field.partition(": ")
    lines = {**good, name: value}
    spec = "".join(f"\n  - {k}: {v}" if i == 0 else f"\n    {k}: {v}" for i, (k, v) in enumerate(lines.items()))
    text = f"apiVersion: convoy/v1\nkind: Settings\nmetadata: {{name: fleet}}\nspec:\n  windows:{spec}\n"
    (found,) = problems(text)
    line = text.splitlines().index(next(one for one in text.splitlines() if f"{name}: {value}" in one)) + 1
    assert found.startswith(f"f.yaml:{line}:")
    assert words in found


def test_a_sound_window_is_none() -> None:
    """What is shown in a schema's example is right."""
    spec = "{windows: [{kind: deny, schedule: 0 0 24 12 *, durationSeconds: 259200, only: [applications, team=shop]}]}"
    assert problems(document("Settings", "fleet", spec)) == []
