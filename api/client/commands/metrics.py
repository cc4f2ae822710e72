"""`envoyctl metrics`, and what the metrics of proxies and clusters share with it."""

import functools
import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

import click

from api.client.exits import INVALID
from api.client.options import Call, common, ends
from reconciler.usage import Command

F = TypeVar("F", bound=Callable[..., Any])


def moment(at_s: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_s))


def ago(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """`90s`, `30m`, `2h` or `7d` as that moment; what looks like a moment stays."""
    from reconciler.core.facts import UNITS_S

    read = re.fullmatch(r"(\d{1,6})([smhd])", value or "")
    if read is not None:
        return moment(time.time() - int(read[1]) * UNITS_S[read[2]])
    if value is not None and not re.fullmatch(r"\d{4}-\d\d-\d\d(T[\d:.]+(Z|[+-]\d\d:\d\d))?", value):
        raise click.BadParameter(f"{value!r:.60} is neither a time like 90s, 30m, 2h or 7d nor one like 2026-01-31T10:00:00Z")
    return value


def over(function: F) -> F:
    """Over which time, and which; the command's function gets them as `query`."""

    @functools.wraps(function)
    def wrapped(
        *args: Any, since: str | None, until: str | None, resolution: str | None, names: str | None, **kwargs: Any
    ) -> Any:
        query = {"start_time": since, "end_time": until, "resolution": resolution, "metrics": names}
        return function(*args, query=query, **kwargs)

    for option in (
        click.option("--metrics", "names", metavar="NAMES", help="Only these, with commas between them."),
        click.option("--resolution", type=click.Choice(("1m", "5m", "1h", "1d")), help="In steps of so much."),
        click.option("--end-time", "--until", "until", callback=ago, metavar="TIME", help="Until when.  [now]"),
        click.option(
            "--start-time", "--since", "since", callback=ago, metavar="TIME", help="From when, or so long ago: 90s, 30m, 2h."
        ),
    ):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[return-value]


def shown(call: Call, path: str, query: dict[str, object]) -> None:
    from api.client.show import series

    said = call.get(path, **query).said
    call.answer(said, series(said if isinstance(said, dict) else {}))


@click.command(
    cls=Command,
    examples=[("envoyctl metrics --since 2h", "of all proxies together, and how the control plane fares")],
    exits=ends(INVALID),
)
@over
@common
def metrics(call: Call, query: dict[str, object]) -> None:
    """Show how much the whole system has served, and how it fares."""
    from api.client.show import details, series
    from reconciler.core.show_layout import BLANK

    answer = call.get("/metrics/system", **query).said
    said = answer if isinstance(answer, dict) else {}
    rest = {name: one for name, one in said.items() if name not in ("metrics", "time_range", "resolution")}
    call.answer(answer, (*details(rest), BLANK, *series(said)))
