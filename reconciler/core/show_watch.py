"""Words a fleet for whoever watches it: what needs attention first, then what is under way, and what happened."""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reconciler.core.show_events import STYLES
from reconciler.core.show_holds import ago
from reconciler.core.show_layout import BLANK, Block, Fixed, Line, Page, Span, Style, Table, text, words
from reconciler.core.show_problems import count, problems, short
from reconciler.core.show_status import HEALTH, STOPPED, SYNC, standing
from reconciler.core.watched import Slim, Watched

# So many of each; what is more is counted. A screen is a screen.
MOST_TROUBLED, MOST_STEPS, MOST_BEHIND, MOST_HOSTS, MOST_PROBLEMS, MOST_RECENT = 20, 6, 5, 8, 3, 8
BAR = 24


def watch(seen: Watched, acting: str, source: str, now: float, trouble: str = "") -> Page:
    """`acting`: which Convoy is at work, "" when none is; `trouble`: why the store cannot be read just now."""
    page: list[Block] = [*_head(seen, acting, source)]
    if trouble:
        page.append(text(Span("the store cannot be read", "bad"), f": {trouble}; this is what was read before", hang=2))
    page += _refused(seen.state)
    page += _attention(seen, now)
    page += _under_way(seen)
    page += _proxies(seen.proxies)
    page += _hosts(seen)
    page += _recent(seen, now)
    return tuple(page)


def _head(seen: Watched, acting: str, source: str) -> Iterable[Block]:
    state = seen.state
    revision = str(state.get("revision", ""))
    if not revision:
        yield text(Span("nothing in force yet", "wait"), f" {source}".rstrip())
    elif revision == STOPPED and state.get("converged"):
        yield text(Span("stopped", "good"), ": nothing runs from here")
    else:
        word = Span("as declared", "good") if state.get("converged") else Span("not as declared", "wait")
        yield text(
            word, f": {bar(seen.well, seen.declared)}", Span(f"  {short(revision)}", "strong"), Span(f"  {source}", "dim")
        )
        parts: list[str | Span] = []
        for name, (_, style) in SYNC.items():
            if seen.sync[name]:
                parts += [Span(f"{seen.sync[name]:,} {name}", style), ", "]
        if seen.unhealthy:
            parts += [Span(f"{seen.unhealthy:,} unhealthy", "bad"), ", "]
        if parts:
            yield text(*parts[:-1], indent=2)
    if acting:
        yield text(Span(f"at work: {acting}", "dim"), indent=2)
    else:
        yield text(Span("no Convoy is at work here", "wait"), ": this is what the last one saw", indent=2)


def bar(done: int, of: int) -> str:
    full = BAR * done // of if of else BAR
    return f"{'█' * full}{'░' * (BAR - full)} {done:,}/{of:,}"


def _refused(state: Mapping[str, Any]) -> Iterable[Block]:
    fleet = standing(state)
    if fleet.unreadable:
        yield text(Span("source unreadable", "bad"), f": {fleet.unreadable}", hang=2)
    if fleet.refused or fleet.problems:
        yield BLANK
        yield text(Span("refused", "bad"), f" {short(fleet.refused)}: the fleet stays on what was good before", hang=2)
        yield from problems(fleet.problems, {}, limit=MOST_PROBLEMS)


def _attention(seen: Watched, now: float) -> Iterable[Block]:
    first = _worst(seen)
    if first:
        yield BLANK
        yield text(Span("needs attention", "strong"))
        yield Table(("", "", "", "", ""), tuple(_row(one, now) for one in first), 2)
        yield from _more(len(seen.troubled) - len(first))


def _worst(seen: Watched) -> list[Slim]:
    order = {name: place for place, name in enumerate(SYNC)}
    return heapq.nsmallest(
        MOST_TROUBLED, seen.troubled.values(), key=lambda one: (-order.get(one.sync, 9), one.health != "unhealthy", one.ref)
    )


def _row(one: Slim, now: float) -> tuple[Line, ...]:
    sign, style = SYNC.get(one.sync, ("?", "wait"))
    label = "" if one.sync == "synced" else one.sync
    return (
        words(sign, style),
        words(one.ref, "name"),
        words("" if one.health == "none" else one.health, HEALTH.get(one.health, "")),
        words(ago(now - one.since) if one.since else "", "dim"),
        (Span(label, style), Span(": " if label and one.why else ""), Span(one.why)),
    )


def _under_way(seen: Watched) -> Iterable[Block]:
    steps = [one for one in seen.plan.get("steps") or () if isinstance(one, Mapping)]
    doing = [(step, action) for step in steps for action in step.get("actions") or ()]
    held = sum(len(step.get("held") or ()) for step in steps)
    flying = {tuple(one[:2]) for one in seen.state.get("inFlight") or () if isinstance(one, Sequence)}
    if not doing and not flying:
        return
    yield BLANK
    parts = [count(len(doing), "action") + " planned", f"{len(flying)} in flight", *([f"{held:,} held"] if held else [])]
    yield text(Span("under way", "strong"), Span(f"  {', '.join(parts)}", "dim"))
    rows = tuple(
        (
            words("▸" if (action.get("host"), step.get("ref")) in flying else "·", "wait"),
            words(str(action.get("verb", ""))),
            words(str(step.get("ref", "")), "name"),
            words(str(action.get("host", "")), "dim"),
            words(str(action.get("reason", ""))),
        )
        for step, action in doing[:MOST_STEPS]
    )
    yield Table(("", "", "", "", ""), rows, 2)
    yield from _more(len(doing) - len(rows))


def _proxies(proxies: Mapping[str, Mapping[str, Any]]) -> Iterable[Block]:
    if not proxies:
        return
    behind = {node: proxies[node] for node in sorted(node for node, one in proxies.items() if not one.get("synced"))}
    away = sum(not one.get("connected") for one in behind.values())
    parts: list[str | Span] = [
        Span(f"{len(proxies) - len(behind):,} of {len(proxies):,} acknowledged", "" if behind else "good")
    ]
    if len(behind) > away:
        parts += [", ", Span(f"{len(behind) - away:,} not yet", "wait")]
    if away:
        parts += [", ", Span(f"{away:,} not connected", "bad")]
    yield BLANK
    yield text(Span("proxies", "strong"), Span("  ", "dim"), *parts)
    rows = []
    for node, one in [*behind.items()][:MOST_BEHIND]:
        lacks = [f"{each.get('type', '')} {each.get('name', '')}" for each in one.get("behind") or ()]
        more = max(0, len(lacks) - 3) + int(one.get("more") or 0)
        why = ", ".join(lacks[:3]) + (f" and {more} more" if more > 0 else "") if one.get("connected") else "not connected"
        rows.append(
            (words(node, "name"), words(f"Envoy {one['envoy']}" if one.get("envoy") else "", "dim"), words(why, "wait"))
        )
    yield Table(("", "", ""), tuple(rows), 2)
    yield from _more(len(behind) - len(rows))


def _hosts(seen: Watched) -> Iterable[Block]:
    if not seen.hosts:
        return
    yield BLANK
    yield text(Span("hosts", "strong"))
    first = heapq.nsmallest(MOST_HOSTS, seen.hosts.values(), key=lambda one: (one.well, one.ref))
    rows = tuple(
        (
            words(SYNC.get(one.sync, ("?", "wait"))[0], SYNC.get(one.sync, ("?", "wait"))[1]),
            words(one.ref.partition("/")[2], "name"),
            words(count(seen.bearing[one.ref.partition("/")[2]], "instance"), "dim"),
            words(one.why, "" if one.well else "wait"),
        )
        for one in first
    )
    yield Table(("", "", "", ""), rows, 2)
    yield from _more(len(seen.hosts) - len(first))


def _recent(seen: Watched, now: float) -> Iterable[Block]:
    if not seen.recent:
        return
    yield BLANK
    yield text(Span("recently", "strong"))
    for at, kind, ref, message in [*seen.recent][: -MOST_RECENT - 1 : -1]:
        style: Style = STYLES.get(kind.rpartition(".")[2], "")
        shown = " ".join(message.split())
        line = (Span(f"{ago(now - at):>4} ago  ", "dim"), Span(kind, style), Span(f"  {ref}", "name"))
        yield Fixed((*line, Span(f"  {shown}" if shown else "")), 2)


def _more(number: int) -> Iterable[Block]:
    if number > 0:
        yield text(Span(f"… and {number:,} more", "dim"), indent=2)


def watch_line(seen: Watched, acting: str) -> Line:
    """Where the fleet stands in one line, for whoever has no screen."""
    state = seen.state
    revision = short(str(state.get("revision", ""))) or "nothing in force"
    word = Span("as declared", "good") if state.get("converged") else Span("not as declared", "wait")
    sizes = ", ".join(f"{seen.sync[name]:,} {name}" for name in SYNC if seen.sync[name])
    behind = sum(not one.get("synced") for one in seen.proxies.values())
    notes = [
        f"refused {short(str(state['refused']))}" if state.get("refused") else "",
        f"{seen.unhealthy:,} unhealthy" if seen.unhealthy else "",
        f"{behind:,} of {count(len(seen.proxies), 'proxy')} behind" if behind else "",
        "" if acting else "no Convoy is at work",
    ]
    told = "; ".join(note for note in (sizes, *notes) if note)
    return (Span(f"{revision}  ", "strong"), word, Span(f": {told}" if told else ""))


def watch_json(seen: Watched, acting: str, at: float) -> dict[str, Any]:
    state = seen.state
    return {
        "at": at,
        "revision": state.get("revision", ""),
        "refused": state.get("refused", ""),
        "converged": bool(state.get("converged")),
        "by": acting,
        "summary": {name: number for name, number in sorted(seen.sync.items()) if number},
        "unhealthy": seen.unhealthy,
        "attention": [{"ref": one.ref, "sync": one.sync, "health": one.health, "why": one.why} for one in _worst(seen)],
        "proxies": {
            "all": len(seen.proxies),
            "synced": sum(bool(one.get("synced")) for one in seen.proxies.values()),
            "connected": sum(bool(one.get("connected")) for one in seen.proxies.values()),
        },
        "hosts": {ref.partition("/")[2]: {"sync": one.sync, "why": one.why} for ref, one in sorted(seen.hosts.items())},
    }
