"""Words what is known around one resource: who changed it, what it waits for and belongs with, what proxies have of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.core.declared import Changed, Declared
from reconciler.core.delivery import Delivery
from reconciler.core.model import XDS_TYPES, Ref, Snapshot, Where, XdsResource
from reconciler.core.show_history import change_json, change_row, name_of
from reconciler.core.show_holds import HELD, ago
from reconciler.core.show_layout import BLANK, Block, Fixed, Span, Style, Table, text, words
from reconciler.core.show_problems import count, short
from reconciler.core.show_tells import MOST_NAMED, XDS_WORDS

# Changes that are shown; `convoy history` has all.
MOST_CHANGES = 5
MOST_NAMES = 12
MOST_CARRIED = 30


@dataclass(frozen=True, slots=True)
class Carried:
    """One resource of a proxy that comes from what is explained; `standing`: acknowledged, sent, not sent, refused.

    `pinned`: the commit that declares it so, where that proxy is pinned to one.
    """

    proxy: str
    type: str
    name: str
    standing: str
    why: str = ""
    pinned: str = ""


@dataclass(frozen=True, slots=True)
class Wait:
    """What is held back, why, and what releases it ("": time, or the next look)."""

    ref: str
    reason: str
    release: str


def carried(proxy: str, delivery: Delivery, ref: Ref, refused: Mapping[str, str]) -> list[Carried]:
    """What of this resource a proxy is to have, and how far it has got."""
    behind = {(one.type, one.name) for one in delivery.behind}
    found: list[Carried] = []
    for type in XDS_TYPES:
        for name, resource in sorted(delivery.wanted.resources.get(type, {}).items()):
            if ref in (resource.owner, resource.secret):
                standing, why = _standing(delivery, resource, (type, name) in behind, refused)
                found.append(Carried(proxy, type, name, standing, why, resource.pinned if resource.owner == ref else ""))
    return found


def as_pinned(commit: str) -> str:
    """Which of all that a resource was, where that is not what it is now."""
    return f" as {short(commit)} declares it" if commit else ""


def serves_blocks(declared: Declared | None) -> Iterable[Block]:
    """What a Proxy serves instead of what its group does."""
    configuration, commit = serves(declared)
    if configuration:
        what = text(Span("serves", "strong"), Span(f"  Configuration/{configuration}", "name"), as_pinned(commit))
        yield from (BLANK, what)


def serves(declared: Declared | None) -> tuple[str, str]:
    """The Configuration of a Proxy's own, and the commit that it is pinned to; empty where there is none."""
    spec = declared.document.get("spec") if declared is not None and declared.kind == "Proxy" else None
    said = [spec.get(name) for name in ("configuration", "revision")] if isinstance(spec, Mapping) else [None, None]
    return str(said[0] or ""), str(said[1] or "")


def _standing(delivery: Delivery, resource: XdsResource, behind: bool, refused: Mapping[str, str]) -> tuple[str, str]:
    sent = delivery.told.get(resource.type, resource.name) if delivery.told else None
    if sent is None or sent.version != resource.version:
        words = refused.get(resource.version, "")
        return ("refused", words) if words else ("not sent yet" if sent is None else "sent as it was before", "")
    if not delivery.connected:
        return "not connected", ""
    return ("acknowledged" if delivery.synced or not (behind or delivery.more) else "not acknowledged", "")


STYLES: dict[str, Style] = {"acknowledged": "good", "refused": "bad", "not connected": "bad"}


def declared_blocks(
    declared: Declared | None, document: str, where: str, revision: str, changes: Sequence[Changed], now: float
) -> Iterable[Block]:
    """The document as it was written, who made it so, and its last changes."""
    if declared is not None:
        by = f" by {name_of(declared.author)}" if declared.author else ""
        made = Span(f"  change {declared.n}: {short(declared.revision)}{by}, {ago(now - declared.at)} ago", "dim")
        place = where or str(Where(declared.file, declared.line))
        yield from (BLANK, text(Span("declared", "strong"), Span(f"  {place}", "dim"), made))
    elif document:
        yield from (BLANK, text(Span("declared", "strong"), Span(f"  {where}  {short(revision)}".rstrip(), "dim")))
    if document:
        yield from (Fixed(words(line), 2) for line in document.rstrip("\n").split("\n"))
    if len(changes) > 1 or (changes and declared is None):
        rows = tuple(change_row(one, now) for one in changes[:MOST_CHANGES])
        yield from (
            BLANK,
            text(Span("changes", "strong"), Span(f"  convoy history {changes[0].ref}", "dim")),
            Table(("",) * 5, rows, 2),
        )


def waits_blocks(waits: Sequence[Wait]) -> Iterable[Block]:
    if not waits:
        return
    yield from (BLANK, text(Span("waits", "strong")))
    for one in waits[:MOST_NAMES]:
        yield text(Span(*HELD), " ", Span(one.ref, "name"), f"  {one.reason}", indent=2, hang=2)
        if one.release:
            yield text(Span("to go on: ", "dim"), one.release, indent=4, hang=2)
    if len(waits) > MOST_NAMES:
        yield text(f"… and {len(waits) - MOST_NAMES:,} more", indent=2)


def related_blocks(needs: Sequence[str], needed_by: Sequence[str]) -> Iterable[Block]:
    rows = tuple(
        (words(head, "dim"), words(_names(refs), "name"))
        for head, refs in (("needs", needs), ("is needed by", needed_by))
        if refs
    )
    if rows:
        yield from (BLANK, Table(("", ""), rows))


def _names(refs: Sequence[str]) -> str:
    return ", ".join(refs[:MOST_NAMES]) + (f" and {len(refs) - MOST_NAMES:,} more" if len(refs) > MOST_NAMES else "")


def carried_blocks(found: Sequence[Carried], more: int) -> Iterable[Block]:
    """What each proxy has of it."""
    if not found:
        return
    rows = tuple(
        (
            words(one.proxy, "name"),
            words(f"{XDS_WORDS[one.type]} {one.name}{as_pinned(one.pinned)}"),
            words(one.standing, STYLES.get(one.standing, "wait")),
            words(one.why, "bad"),
        )
        for one in found[:MOST_CARRIED]
    )
    yield from (BLANK, text(Span("in proxies", "strong")), Table(("",) * 4, rows, 2))
    if len(found) > MOST_CARRIED:
        yield text(f"… and {len(found) - MOST_CARRIED:,} more; ", Span("-o json", "strong"), " has all", indent=2)
    if more:
        yield text(Span(f"{more:,} more proxies were not looked at", "dim"), indent=2)


def delivery_blocks(delivery: Delivery | None, refused: Mapping[str, str], now: float) -> Iterable[Block]:
    """What a proxy was sent, acknowledged and refused."""
    if delivery is None:
        return
    told = delivery.told or delivery.wanted
    since = f" for {ago(now - delivery.at)}" if delivery.at else ""
    state: tuple[str, Style]
    if delivery.told is None:
        state = ("not sent yet", "wait")
    elif not delivery.connected:
        state = (f"sent; not connected{since}", "bad")
    else:
        state = (f"sent and acknowledged{since}", "good") if delivery.synced else (f"sent, not all acknowledged{since}", "wait")
    yield from (BLANK, text(Span("told", "strong"), Span(f"  {told.version[:12]}", "dim"), "  ", Span(*state)))
    yield runs_table(told)
    for one in delivery.behind[:MOST_NAMES]:
        yield text(Span("not acknowledged: ", "wait"), f"{XDS_WORDS[one.type]} {one.name}", indent=2)
    rest = len(delivery.behind) - MOST_NAMES + delivery.more
    if rest > 0:
        yield text(f"… and {rest:,} more", indent=2)
    for type, name, message in refusals(delivery, refused)[:MOST_NAMES]:
        yield text(Span(f"refused: {XDS_WORDS[type]} {name}", "bad"), f": {message}", indent=2, hang=2)


def runs_table(snapshot: Snapshot) -> Table:
    rows = []
    for type in XDS_TYPES:
        names = sorted(snapshot.resources.get(type, {}))
        if names:
            shown = ", ".join(names[:MOST_NAMED]) + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")
            rows.append((words(count(len(names), XDS_WORDS[type])), words(shown, "dim")))
    return Table(("", ""), tuple(rows), 2)


def refusals(delivery: Delivery, refused: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Type, name and Envoy's words of what is declared and was refused."""
    return [
        (type, name, refused[resource.version])
        for type in XDS_TYPES
        for name, resource in sorted(delivery.wanted.resources.get(type, {}).items())
        if resource.version in refused
    ]


def delivery_json(delivery: Delivery | None, refused: Mapping[str, str]) -> dict[str, Any] | None:
    if delivery is None:
        return None
    return {
        "connected": delivery.connected,
        "acknowledged": delivery.synced,
        "envoy": delivery.envoy,
        "since": delivery.at or None,
        "sent": delivery.told.version if delivery.told else None,
        "declared": delivery.wanted.version,
        "behind": [{"type": XDS_WORDS[one.type], "name": one.name} for one in delivery.behind],
        "moreBehind": delivery.more,
        "refused": [{"type": XDS_WORDS[t], "name": n, "message": m} for t, n, m in refusals(delivery, refused)],
    }


def declared_json(declared: Declared | None, changes: Sequence[Changed]) -> dict[str, Any]:
    return {
        "change": declared.n if declared else None,
        "changedIn": declared.revision if declared else None,
        "author": declared.author if declared else None,
        "changedAt": declared.at if declared else None,
        "changes": [change_json(one) for one in changes],
    }


def carried_json(one: Carried) -> dict[str, Any]:
    found = {"proxy": one.proxy, "type": XDS_WORDS[one.type], "name": one.name, "standing": one.standing, "why": one.why}
    return {**found, "pinned": one.pinned} if one.pinned else found
