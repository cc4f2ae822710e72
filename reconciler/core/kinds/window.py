"""Sync windows: when changes that commits bring may be made, by cron and time zone."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from cronsim import CronSim
from pydantic import AfterValidator, Field

from reconciler.core.kinds.part import Part, broken

# Nobody writes more, and a longer one would only be slower to read.
LONGEST_SCHEDULE = 200
EXAMPLE = "five fields: minute, hour, day of month, month, day of week, as in `0 8 * * 1-5`"
WEEK_S = 7 * 86400.0
LONGEST_SELECTOR = 400


def _schedule(text: str) -> str:
    """https://manpages.debian.org/crontab.5, without names for whole schedules and without seconds."""
    if len(text.split()) != 5 or not text.isascii():
        raise broken(f"{text!r} is no schedule", EXAMPLE)
    try:
        next(CronSim(text, datetime(2024, 1, 1, tzinfo=UTC)))
    except StopIteration:
        raise broken(f"{text!r} never comes", "write a day that there is within fifty years") from None
    except Exception as error:  # noqa: BLE001 - whatever a parser of hostile text raises, it is no schedule
        said = f": {error}" if str(error) else ""
        raise broken(f"{text!r} is no schedule{said}", EXAMPLE) from None
    return text


@lru_cache(256)
def zone(name: str) -> ZoneInfo:
    """By its name in the IANA database; raises ValueError where there is none such. What a name means stays as it is."""
    try:
        # A key is looked up as a file, and may fail as any path does.
        return ZoneInfo(name)
    except Exception as error:
        raise ValueError(name) from error


def _zone(name: str) -> str:
    try:
        zone(name)
    except ValueError:
        raise broken(f"there is no time zone {name!r}", "write one as in `Europe/Berlin` or `UTC`") from None
    return name


Schedule = Annotated[str, Field(max_length=LONGEST_SCHEDULE), AfterValidator(_schedule)]
TimeZone = Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z][A-Za-z0-9_+/-]*$"), AfterValidator(_zone)]
# A selector as `--only` takes it; read in core/envelope.py, which knows the kinds.
Selected = Annotated[str, Field(min_length=1, max_length=LONGEST_SELECTOR)]


class Window(Part):
    """A time that comes again and again, in which changes may, or may not, be made."""

    kind: Literal["allow", "deny"]
    """`allow`: changes are made within it, and where there is any such window only within one. `deny`: none are; it goes
    before every `allow`."""
    schedule: Schedule
    """When it opens, as cron says it: minute, hour, day of month, month, day of week."""
    duration_s: float = Field(alias="durationSeconds", ge=60, le=WEEK_S)
    """How long it lasts."""
    time_zone: TimeZone = "UTC"
    """Whose clock the schedule is by, as in `Europe/Berlin`. Where clocks are put forward it opens right after what is left
    out; where they are put back it opens once."""
    only: tuple[Selected, ...] = Field((), max_length=50)
    """What it is about, as `--only` says it: `Application/web-*`, `proxies`, `team=shop`; left out, everything."""
    overrun: Literal["stop", "finish"] = "stop"
    """What becomes of a change that is not through when the time for it is over: `stop` leaves what has not been begun for
    the next window, `finish` goes on with it to its end."""
