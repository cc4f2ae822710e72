"""Words what instances, resources and hosts use."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from reconciler.core.rates import Rate
from reconciler.core.show_layout import BLANK, Block, Line, Page, Span, Style, Table, text, words

# More errors than this of all requests is bad rather than worth a look.
BAD_SHARE = 0.05


def top(rates: Sequence[Rate], unseen: Mapping[str, str], most: int) -> Page:
    """`rates` in their order; `unseen`: host ⇒ why nobody here can tell what runs there."""
    shown, page = rates[:most], list[Block]()
    if not rates:
        page.append(text(Span("nothing runs here", "dim")))
    else:
        # What would say nothing takes no room: eighty columns hold all that is left.
        hosts = len({one.host for one in rates}) > 1
        envoys = ("REQ/S", "ERRORS", "CONN", "P50", "P99") if any(one.requests_s is not None for one in shown) else ("",) * 5
        heads = ("NAME", "HOST" if hosts else "", "CPU", "MEMORY", *envoys)
        page.append(Table(heads, tuple(_row(one, hosts) for one in shown)))
    if len(rates) > most:
        page.append(text(Span(f"… and {len(rates) - most:,} more", "dim")))
    if unseen:
        page.append(BLANK)
    page += [text(Span(f"host {host}", "wait"), f": {why}", hang=2) for host, why in sorted(unseen.items())]
    return tuple(page)


def _row(one: Rate, hosts: bool) -> tuple[Line, ...]:
    many = f" ×{one.instances}" if one.instances > 1 else ""
    return (
        (Span(one.name, "name"), Span(many, "dim")),
        words(one.host if hosts and one.host != one.name else "", "dim"),
        words("-" if one.cpu is None else f"{one.cpu * 100:.1f}%"),
        words(size(one.memory_bytes)),
        words("" if one.requests_s is None else f"{one.requests_s:.1f}"),
        _errors(one),
        words("" if one.connections is None else str(one.connections)),
        words(_ms(one.p50_ms)),
        words(_ms(one.p99_ms)),
    )


def _errors(one: Rate) -> Line:
    if one.requests_s is None or one.errors_s is None:
        return words("")
    share = one.errors_s / one.requests_s if one.requests_s else 0.0
    style: Style = "bad" if share > BAD_SHARE else "wait" if share > 0 else ""
    return words(f"{share * 100:.1f}%", style)


def _ms(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3g} ms" if value < 1000 else f"{value / 1000:.3g} s"


def size(number: float) -> str:
    """Bytes in the unit that gives at most four digits."""
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"


def top_json(rates: Sequence[Rate], unseen: Mapping[str, str], at: float) -> dict[str, Any]:
    names = {
        "memory_bytes": "memoryBytes",
        "requests_s": "requestsPerSecond",
        "errors_s": "errorsPerSecond",
        "p50_ms": "p50Milliseconds",
        "p99_ms": "p99Milliseconds",
    }
    rows = [{names.get(name, name): value for name, value in asdict(one).items()} for one in rates]
    return {"at": at, "usage": rows, "unseen": dict(sorted(unseen.items()))}
