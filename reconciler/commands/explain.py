"""`convoy explain`: everything known of one resource, or of the way that requests take through one proxy."""

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from reconciler.commands import sources
from reconciler.commands.look import kept_or_fail, meant
from reconciler.commands.options import Call, Command, common, completed
from reconciler.commands.trace import asked, completions, follow

if TYPE_CHECKING:
    from reconciler.core.declared import Declared
    from reconciler.core.parse import Document
    from reconciler.store import Store


def words(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Completion: resources, and the listeners and routes of a proxy whose name is typed."""

    def known(store: "Store") -> set[str]:
        rows = store.status()
        return {*rows, *completions(store, rows, incomplete)}

    return completed(context, incomplete, known)


@click.command(
    cls=Command,
    examples=[
        ("convoy explain Application/web", "where it is declared and by whom, how it stands and why, what proxies have of it"),
        ("convoy explain edge-1", "and, for a proxy, what it was sent, acknowledged and refused"),
        ("convoy explain edge-1/http", "a listener (by name or port) and all its routes"),
        ("convoy explain edge-1/http/api", "where a request goes: a route by its name, path, host or cluster"),
    ],
    exits=[(0, "it is explained"), (1, "there is no such resource, listener or route")],
)
@click.argument("what", metavar="KIND/NAME|PROXY/LISTENER[/ROUTE]", shell_complete=words)
@common()
def explain(call: Call, what: str) -> None:
    """Show everything known of one resource, or where requests go through one proxy.

    Of a listener or a route: the line that declares it, the cluster and the endpoints it leads to now, the instances behind
    them, and whether that proxy has acknowledged all this.
    """
    from reconciler import known
    from reconciler.core import show, show_trace

    with kept_or_fail(call) as store:
        rows = store.status()
        about = asked(what, rows)
        if about is not None:
            found = follow(store, rows, about, Documents(call, store).line)
            call.page(show_trace.trace(found), show_trace.trace_json(found))
            return
        row = rows[meant(what, rows)]
        every = known.known(store, row, rows, Documents(call, store).written)
    call.page(show.explain(row, every, time.time()), show.explain_json(row, every))


class Documents:
    """Documents as a person wrote them, as far as they can still be read from what is followed here."""

    def __init__(self, call: Call, store: "Store") -> None:
        self._call, self._store = call, store
        self._read: dict[str, Document | None] = {}

    def of(self, declared: "Declared") -> "Document | None":
        if declared.ref not in self._read:
            self._read[declared.ref] = self._document(declared)
        return self._read[declared.ref]

    def written(self, declared: "Declared") -> tuple[str, str]:
        """Its text without the line breaks around it (it begins with its `---`, and a person looks for its first word), and
        the line; both "" where it cannot be read."""
        from reconciler.core.parse import locate

        document = self.of(declared)
        if document is None:
            return "", ""
        text = document.raw.decode("utf-8", "replace").strip("\r\n") + "\n"
        return text, str(locate(document, ())).rpartition(":")[0]

    def line(self, ref: str, path: tuple[str | int, ...]) -> str:
        """Where a path in a resource's document begins; "" where that cannot be told."""
        from reconciler.core.parse import locate

        declared = self._store.declared([ref]).get(ref)
        document = self.of(declared) if declared is not None else None
        return str(locate(document, path)) if document is not None else ""

    def _document(self, declared: "Declared") -> "Document | None":
        from reconciler.core.parse import parse
        from reconciler.git import SourceError
        from reconciler.seams import Seams

        place = sources.remembered(self._call.state)
        if place is None or not declared.blob:
            return None
        try:
            # What is in force was judged when it came: to show it again needs no signature.
            wishes = replace(place, signers={}).source(self._call.state, Seams())
        except SourceError:
            return None
        try:
            if not place.branch:
                # A folder is only what it is now.
                wishes.fetch()
            text = wishes.read([declared.blob])[declared.blob]
        except (SourceError, KeyError):
            return None
        finally:
            wishes.close()
        found = parse(declared.file, declared.blob, text).documents
        return next((one for one in found if one.source.line == declared.line), None)
