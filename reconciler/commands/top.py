"""`convoy top`: what uses processors and memory, and what Envoys serve, on the hosts that are seen from here."""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import click

from reconciler.commands.look import kept_or_fail, names
from reconciler.commands.options import Call, Command, common
from reconciler.commands.seeing import Hosts, Selected, selector_of

if TYPE_CHECKING:
    from reconciler.core.rates import By, Order, Rate
    from reconciler.core.running import Usage
    from reconciler.store import Store

# Between the two looks of one answer: long enough for a share of a processor to mean something.
ONCE_S = 1.0


@click.command(
    cls=Command,
    examples=[
        ("convoy top", "every instance, the busiest first, again and again until q"),
        ("convoy top --once --by host", "one look, host by host"),
        ("convoy top proxies --sort requests -n 5", "the five proxies with the most requests"),
        ("convoy top -o json | jq '.usage[0].name'", "for other programs; what is piped is one look"),
    ],
    exits=[(0, "it is shown"), (1, "there is no such resource, or no host can be asked from here")],
)
@click.argument("what", nargs=-1, metavar="[KIND/NAME...]", shell_complete=names)
@click.option(
    "--by", type=click.Choice(["instance", "resource", "host"]), default="instance", show_default=True, help="Add up by this."
)
@click.option(
    "--sort",
    "order",
    type=click.Choice(["cpu", "memory", "requests", "errors", "latency", "name"]),
    default="cpu",
    show_default=True,
    help="The most of this first.",
)
@click.option("-n", "most", type=click.IntRange(1, 100_000), default=50, show_default=True, help="At most so many.")
@click.option("--once", is_flag=True, help="One look, also on a terminal.")
@click.option(
    "--interval", type=click.FloatRange(0.2, 3600), metavar="SECONDS", help="Look again this often, also in a pipe.  [2]"
)
@common()
def top(call: Call, what: Sequence[str], by: str, order: str, most: int, once: bool, interval: float | None) -> None:
    """Show what uses processors and memory, and requests, errors, connections and latencies of Envoys.

    A host is asked where it is: what runs on another machine is seen there. 100% is one processor, busy all the time. Latencies
    are of the last five seconds.
    """
    with kept_or_fail(call) as store:
        rows = store.status()
        selected = Selected(selector_of(what, rows), store) if what else None
        with Hosts(call, store) as hosts:
            looks = _Looks(hosts, store, selected, cast("By", by), cast("Order", order))
            again = interval is not None or (call.terminal.live and not call.json)
            looks.look()
            time.sleep(min(ONCE_S, interval or ONCE_S))
            if once or not again:
                _show(call, looks, most)
                if looks.unseen and not looks.seen:
                    raise click.exceptions.Exit(1)
            elif call.terminal.live and not call.json:
                _live(call, looks, most, interval or 2.0)
            else:
                while True:
                    _show(call, looks, most)
                    time.sleep(interval or 2.0)


def _show(call: Call, looks: "_Looks", most: int) -> None:
    from reconciler.core.show_top import top as worded
    from reconciler.core.show_top import top_json

    found = looks.look()
    if call.json:
        call.terminal.json_line(top_json(found[:most], looks.unseen, time.time()))
    else:
        call.terminal.page(worded(found, looks.unseen, most))


def _live(call: Call, looks: "_Looks", most: int, interval_s: float) -> None:
    from reconciler.core.show_top import top as worded
    from reconciler.screen import opened

    with opened(call.terminal) as screen:
        while True:
            screen.show(worded(looks.look(), looks.unseen, most))
            if screen.wait(interval_s):
                return


class _Looks:
    """Looks at every host that is seen from here, and compares each with the one before."""

    def __init__(self, hosts: Hosts, store: "Store", selected: Selected | None, by: "By", order: "Order") -> None:
        self._hosts, self._store, self._selected, self._by, self._order = hosts, store, selected, by, order
        self._following = store.following()
        self._rows: dict[str, Mapping[str, Any]] = {}
        self._before: list[Usage] = []
        # Host ⇒ why nobody can tell; and how many could be asked.
        self.unseen: dict[str, str] = {}
        self.seen = 0

    def look(self) -> "list[Rate]":
        from reconciler.core.rates import rates, sorted_by
        from reconciler.drivers import DriverError

        self._know()
        now: list[Usage] = []
        self.unseen, self.seen = {}, 0
        for host in self._names():
            try:
                now += self._hosts.driver(host).usage()
                self.seen += 1
            except DriverError as error:
                self.unseen[host] = str(error)
        owners = {ref: str(row.get("owner") or ref) for ref, row in self._rows.items()}
        if self._selected is not None:
            chosen = {ref for ref, row in self._rows.items() if self._selected.covers(row)}
            now = [one for one in now if str(one.ref) in chosen]
        found = sorted_by(rates(self._before, now, owners, self._by), self._order)
        self._before = now
        return found

    def _know(self) -> None:
        news = self._following.look()
        self._rows = {} if news.anew else self._rows
        for ref, row in news.status.items():
            if row is None:
                self._rows.pop(ref, None)
            else:
                self._rows[ref] = row

    def _names(self) -> list[str]:
        bearing = {str(one["host"]) for row in self._rows.values() for one in row.get("instances", ())}
        return sorted(bearing | {name for name in self._hosts.known() if f"Host/{name}" in self._rows})
