"""`convoy logs`: what the instances of resources have printed, and what they print now."""

import heapq
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from reconciler.commands.history import since
from reconciler.commands.look import kept_or_fail, names
from reconciler.commands.options import Call, Command, Failure, common
from reconciler.commands.seeing import Hosts, Instance, Selected, instances, selector_of

if TYPE_CHECKING:
    from reconciler.core.running import LogAsk, LogLine
    from reconciler.store import Following

# Each is an open file that is looked at a few times a second.
MOST_INSTANCES = 100
# How often a log is looked at that has nothing new, and the store for instances that came.
PAUSE_S, LOOK_S = 0.2, 1.0
# So many lines of one instance before the others have their turn.
TURN = 500


@click.command(
    cls=Command,
    examples=[
        ("convoy logs Application/web", "what all replicas have printed, in the order of time"),
        ("convoy logs app/web -f --since 10m", "and what comes, also from instances that replace these"),
        ("convoy logs Container/web-1 --previous -n 50", "the end of the run before this one"),
        ("convoy logs team=shop -n 20 -t", "of everything with a label, with times"),
        ("convoy logs Proxy/edge-1 -o json | jq -r .text", "a JSON object a line, for other programs"),
    ],
    exits=[(0, "it is shown"), (1, "there is no such resource, nothing of it runs, or a host cannot be asked from here")],
)
@click.argument("what", nargs=-1, required=True, metavar="KIND/NAME...", shell_complete=names)
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until all of them are gone.")
@click.option("--since", "since_", callback=since, metavar="TIME", help="Printed since then: 10m, 2h, or a date.")
@click.option("-n", "--tail", type=click.IntRange(0, 1_000_000), help="The last so many lines of each instance.  [all]")
@click.option("-p", "--previous", is_flag=True, help="Of the run before the last restart.")
@click.option("-t", "--timestamps", is_flag=True, help="When each line was printed, in UTC.")
@click.option("--prefix/--no-prefix", default=None, help="Begin lines with who printed them.  [where there are several]")
@common()
def logs(
    call: Call,
    what: Sequence[str],
    follow: bool,
    since_: float | None,
    tail: int | None,
    previous: bool,
    timestamps: bool,
    prefix: bool | None,
) -> None:
    """Show what instances have printed.

    KIND/NAME may be a pattern (`app/web-*`), a kind or a label (`team=shop`). Secrets that an instance was given are hidden. On
    a terminal nothing of what was printed is obeyed but colours; in a pipe every byte is as it was.
    """
    from reconciler.core.running import LogAsk

    if follow and previous:
        raise click.UsageError("--previous is over: there is nothing to --follow")
    with kept_or_fail(call) as store:
        rows = store.status()
        selected = Selected(selector_of(what, rows), store)
        found = sorted(instances(row for row in rows.values() if selected.covers(row)))
        if not found and not follow:
            raise Failure(f"nothing of {' or '.join(what)} runs, so nothing was printed: `convoy get` says how it stands")
        many = len({one.ref for one in found}) > 1 or len(found) > 1 or follow
        writing = _Writing(call, timestamps, many if prefix is None else prefix)
        ask = LogAsk(tail, since_ or 0.0, previous, follow)
        with Hosts(call, store) as hosts:
            streams = _Streams(hosts, ask, writing)
            for one in found:
                streams.add(one)
            streams.past()
            if follow:
                _follow(store.following(), selected, streams, call)
        if streams.failed:
            raise click.exceptions.Exit(1)


def _follow(following: "Following", selected: Selected, streams: "_Streams", call: Call) -> None:
    """Until everything that is selected has ended and nothing of it is to come."""
    rows: dict[str, Mapping[str, Any]] = {}
    looked = -LOOK_S
    while True:
        now = time.monotonic()
        if now - looked >= LOOK_S:
            looked = now
            news = following.look()
            rows = {} if news.anew else rows
            for ref, row in news.status.items():
                if row is not None and selected.covers(row):
                    rows[ref] = row
                else:
                    rows.pop(ref, None)
            for one in instances(rows.values()):
                streams.add(one, joins=True)
            if not streams.open and all(row["sync"] == "synced" for row in rows.values()):
                return
        if call.terminal.left():
            raise BrokenPipeError
        if not streams.turn():
            time.sleep(PAUSE_S)


class _Writing:
    """Lines on their way out."""

    def __init__(self, call: Call, times: bool, prefix: bool) -> None:
        self._call, self._times, self._prefix = call, times, prefix
        self._known: dict[str, int] = {}
        # Whether what this one printed last was the end of a line.
        self._ends: dict[Instance, bool] = {}

    def line(self, one: Instance, line: "LogLine") -> None:
        from reconciler.core.show_logs import log_bytes, log_json, log_text

        terminal = self._call.terminal
        head = f"{one.name} | " if self._prefix else ""
        if self._call.json:
            terminal.json_line(log_json(line, one.ref, one.instance, one.host))
        elif terminal.width is not None:
            shown = log_text(line, colors=terminal.color, times=self._times)
            terminal.raw(terminal.tag(head, self._known.setdefault(one.name, len(self._known))) + shown)
        else:
            terminal.output(log_bytes(line, head, times=self._times, begins=bool(head) or self._ends.get(one, True)))
            self._ends[one] = line.whole

    def word(self, text: str, style: str = "dim") -> None:
        self._call.terminal.note(text, style)


class _Streams:
    """The open logs of instances. One that cannot be read is told of once, and is no reason not to show the others."""

    def __init__(self, hosts: Hosts, ask: "LogAsk", writing: _Writing) -> None:
        self._hosts, self._ask, self._writing = hosts, ask, writing
        self.open: dict[Instance, Iterator[LogLine | None]] = {}
        self._seen: set[Instance] = set()
        self.failed = False

    def add(self, one: Instance, joins: bool = False) -> None:
        """One that joins later shows all it prints."""
        from reconciler.core.running import LogAsk

        if one in self._seen:
            return
        if len(self.open) >= MOST_INSTANCES:
            raise Failure(f"these are more than {MOST_INSTANCES} instances: name fewer of them")
        self._seen.add(one)
        self.open[one] = self._guarded(one, LogAsk(follow=True) if joins else self._ask)
        if joins:
            self._writing.word(f"{one.name} on {one.host} begins")

    def _guarded(self, one: Instance, ask: "LogAsk") -> "Iterator[LogLine | None]":
        from reconciler.core.model import Ref
        from reconciler.drivers import DriverError, NoInstance

        try:
            yield from self._hosts.driver(one.host).logs(Ref.parse(one.ref), one.instance, ask)
        except DriverError as error:
            if ask.follow and isinstance(error, NoInstance):
                # It went between our look and its log's.
                return
            self.failed = True
            self._writing.word(f"error: {error}", "bad")

    def past(self) -> None:
        """What is there already, of all of them in the order of time."""

        def timed(one: Instance) -> "Iterator[tuple[float, Instance, LogLine]]":
            at = 0.0
            for line in self.open[one]:
                if line is None:
                    return
                # Where nobody knows, it belongs to what stands before it.
                at = max(at, line.at or 0.0)
                yield at, one, line
            del self.open[one]

        for _, one, line in heapq.merge(*(timed(one) for one in [*self.open]), key=lambda found: found[0]):
            self._writing.line(one, line)

    def turn(self) -> bool:
        """A turn for each; whether any had something to say."""
        said = False
        for one, lines in [*self.open.items()]:
            for _ in range(TURN):
                try:
                    line = next(lines)
                except StopIteration:
                    del self.open[one]
                    self._writing.word(f"{one.name} on {one.host} has ended")
                    break
                if line is None:
                    break
                said = True
                self._writing.line(one, line)
        return said
