"""`convoy watch`: a live screen of a fleet, read from its store alone."""

import time
from typing import TYPE_CHECKING

import click

from reconciler.commands import sources
from reconciler.commands.look import kept_or_fail
from reconciler.commands.options import Call, Command, common

if TYPE_CHECKING:
    from reconciler.core.watched import Watched
    from reconciler.store import Following, News, Store


@click.command(
    cls=Command,
    examples=[
        ("convoy watch", "a screen that follows the fleet; q leaves it, arrows scroll"),
        ("convoy watch --interval 5", "that looks every five seconds"),
        ("convoy watch | tee fleet.log", "in a pipe: a line for each change"),
        ("convoy watch -o json | jq -c .summary", "a JSON object a line, for other programs"),
    ],
    exits=[(0, "somebody left it"), (1, "there is nothing to watch")],
)
@click.option(
    "--interval", type=click.FloatRange(0.2, 3600), default=1.0, show_default=True, metavar="SECONDS", help="Look this often."
)
@common()
def watch(call: Call, interval: float) -> None:
    """Follow a fleet: what needs attention, what is under way, proxies, hosts and what happens.

    It reads the store and nothing else, so it works beside `convoy serve`, and from any machine that reaches the store.
    """
    from reconciler.core.watched import Watched

    with kept_or_fail(call) as store:
        looking = _Looking(store, Watched())
        if call.terminal.live and not call.json:
            _screen(call, looking, interval)
        else:
            _lines(call, looking, interval)


class _Looking:
    """Looks again and again; a store that is away for a while is waited for."""

    def __init__(self, store: "Store", seen: "Watched") -> None:
        self._store, self.seen = store, seen
        self._following: Following = store.following()
        self.acting, self.trouble = "", ""

    def look(self) -> "News":
        from reconciler.core.show_events import of_action
        from reconciler.store import News, StoreError

        try:
            news, self.acting = self._following.look(), self._store.holder("control") or ""
        except StoreError as error:
            self.trouble = str(error)
            return News()
        self.trouble = ""
        seen = self.seen
        if news.status or news.anew:
            seen.take(news.status, news.anew)
        seen.state = seen.state if news.state is None else news.state
        seen.plan = seen.plan if news.plan is None else news.plan
        seen.proxies = seen.proxies if news.proxies is None else news.proxies
        actions = [of_action(0, record) for record in news.outcomes]
        seen.happened(
            [(one.at, one.kind, one.ref, one.message) for one in news.events]
            + [(one.at, one.kind, one.ref, one.message) for one in actions]
        )
        return news


def _screen(call: Call, looking: _Looking, interval_s: float) -> None:
    from reconciler.core.show_watch import watch as worded
    from reconciler.screen import opened

    place = sources.remembered(call.state)
    with opened(call.terminal) as screen:
        while True:
            looking.look()
            screen.show(worded(looking.seen, looking.acting, place.shown if place else "", time.time(), looking.trouble))
            if screen.wait(interval_s):
                return


def _lines(call: Call, looking: _Looking, interval_s: float) -> None:
    """Where it stands whenever that changes, and what happens, each as a line."""
    from reconciler import chronicle
    from reconciler.core.show_events import event_line, of_action
    from reconciler.core.show_watch import watch_json, watch_line

    told: object = None
    first = True
    while True:
        news = looking.look()
        if looking.trouble:
            call.terminal.note(f"error: {looking.trouble}", "bad")
        if call.json:
            now = watch_json(looking.seen, looking.acting, time.time())
            if {**now, "at": 0} != told:
                told = {**now, "at": 0}
                call.terminal.json_line(now)
        else:
            happened = [*map(chronicle.of_event, news.events)]
            happened += [of_action(0, record) for record in news.outcomes]
            # What was before is for `convoy events`.
            for one in () if first else sorted(happened, key=lambda one: one.at):
                call.terminal.line(event_line(one))
            line = watch_line(looking.seen, looking.acting)
            if line != told:
                told = line
                call.terminal.line(line)
        first = False
        if call.terminal.left():
            raise BrokenPipeError
        time.sleep(interval_s)
