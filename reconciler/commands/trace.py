"""`convoy explain PROXY/LISTENER/ROUTE`: where requests go through one proxy, from what it was told and what was seen."""

import difflib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from reconciler.commands.look import Rows
from reconciler.commands.options import Failure

if TYPE_CHECKING:
    from reconciler.core.model import Snapshot
    from reconciler.core.show_trace import Bearer, Trace
    from reconciler.core.trace import Listening, Route
    from reconciler.store import Store

# Where a route's own line is read from the document it stands in: the place of the document and a path in it, or "".
Lines = Callable[[str, tuple[str | int, ...]], str]
MOST_NEAR = 10


def asked(what: str, rows: Rows) -> tuple[str, str, str] | None:
    """The proxy (printed ref), listener and route that a person means, the last may be empty; None: it is a resource."""
    head, _, rest = what.partition("/")
    if head.lower() in ("proxy", "proxies"):
        # A tenant's proxy has a name of three parts.
        parts = rest.split("/")
        for number in (2, 1):
            ref = f"Proxy/{'/'.join(parts[:number])}"
            if len(parts) > number and ref in rows:
                return ref, *_split("/".join(parts[number:]))
        return None
    ref = f"Proxy/{head}"
    if rest and ref in rows and not _kind(head):
        return ref, *_split(rest)
    return None


def _split(rest: str) -> tuple[str, str]:
    listener, _, route = rest.partition("/")
    return listener, route


def _kind(word: str) -> bool:
    from reconciler.core.kinds import KINDS

    return word in KINDS


def follow(store: "Store", rows: Rows, about: tuple[str, str, str], lines: Lines) -> "Trace":
    from reconciler.core.handover import node_id
    from reconciler.core.model import Ref
    from reconciler.core.show_trace import Followed, Trace
    from reconciler.core.trace import named, routes, targets

    ref, listener, word = about
    name = ref.partition("/")[2]
    delivery = store.delivery(node_id(Ref.parse(ref)))
    if delivery is None:
        raise Failure(f"what {ref} should run is not known yet: it is, a moment after `convoy serve` has begun")
    snapshot = delivery.told or delivery.wanted
    listening = _listening(name, listener, snapshot)
    found = list(routes(snapshot, listening))
    chosen = named(found, word) if word else found
    if not chosen:
        near = _near(word, found)
        hint = f": there are {', '.join(near)}" if near else ""
        raise Failure(f"no route of {name}/{listening.name} is named so, leads to or matches {word!r}{hint}")
    followed = tuple(
        Followed(one, _where(store, one, lines), tuple(targets(snapshot, one))) for one in (chosen[:50] if word else ())
    )
    return Trace(
        name,
        listening,
        word,
        tuple(chosen),
        followed,
        delivery.told is not None,
        delivery.connected,
        frozenset((one.type, one.name) for one in delivery.behind),
        not delivery.more,
        bearers(rows),
    )


def _listening(proxy: str, word: str, snapshot: "Snapshot") -> "Listening":
    """By name, or by port."""
    from reconciler.core.trace import listeners

    found = listeners(snapshot)
    for one in found:
        if word in (one.name, str(one.port)):
            return one
    listed = ", ".join(f"{proxy}/{one.name} (port {one.port})" for one in found[:MOST_NEAR])
    near = difflib.get_close_matches(word, [one.name for one in found], 1, 0.5)
    hint = f"did you mean {proxy}/{near[0]}?" if near else f"there are {listed}" if listed else "it has none"
    raise Failure(f"{proxy} has no listener {word!r}: {hint}")


def _near(word: str, found: "list[Route]") -> list[str]:
    known = list(dict.fromkeys(route.name or route.match for route in found))
    return difflib.get_close_matches(word, known, 3, 0.5) or known[:MOST_NEAR]


def bearers(rows: Rows) -> "Mapping[tuple[str, int], Bearer]":
    """Address and port ⇒ the instance that was seen to listen there."""
    from reconciler.core.show_trace import Bearer

    found: dict[tuple[str, int], Bearer] = {}
    for ref, row in rows.items():
        for one in row.get("instances", ()):
            for port in (one.get("ports") or {}).values():
                if isinstance(port, int):
                    bearer = Bearer(ref, str(one.get("instance", "")), str(one.get("host", "")), str(one.get("health", "")))
                    found[str(one.get("address") or ""), port] = bearer
    return found


def _where(store: "Store", route: "Route", lines: Lines) -> str:
    """The line of the route itself, where a Configuration's document says it in that very order."""
    table = route.table or route.listening.resource
    if table.pinned:
        # What it was then is not to be found in what it is now.
        return ""
    declared = store.declared([str(table.owner)]).get(str(table.owner))
    if declared is None or declared.kind != "Configuration" or route.table is None:
        return ""
    spec: Any = declared.document.get("spec")
    tables = spec.get("routes", ()) if isinstance(spec, dict) else ()
    for number, one in enumerate(tables if isinstance(tables, list) else ()):
        if isinstance(one, dict) and one.get("name") == table.name:
            path = ("spec", "routes", number, "virtualHosts", route.host, "routes", route.place)
            return lines(str(table.owner), path)
    return ""


def completions(store: "Store", rows: Rows, incomplete: str) -> list[str]:
    """`edge-1/http/…` for the listeners and routes of the proxy whose name is typed; before that, the proxies' names."""
    from reconciler.core.handover import node_id
    from reconciler.core.model import Ref
    from reconciler.core.trace import words_of

    proxies = [ref for ref in rows if ref.startswith("Proxy/")]
    for ref in proxies:
        for lead in (f"{ref}/", f"{ref.partition('/')[2]}/"):
            if incomplete.startswith(lead):
                delivery = store.delivery(node_id(Ref.parse(ref)))
                return [f"{lead}{word}" for word in words_of(delivery.told or delivery.wanted)] if delivery else []
    return [f"{ref.partition('/')[2]}/" for ref in proxies]
