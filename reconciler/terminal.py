"""Puts pages on a terminal, in a pipe or in a file: colours, widths and what an old terminal cannot show."""

import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO

import click

if TYPE_CHECKING:
    from reconciler.core.show import Line, Page

# Few colours, and none that says anything the words do not say too.
STYLES: Mapping[str, dict[str, Any]] = {
    "strong": {"bold": True},
    "dim": {"dim": True},
    "good": {"fg": "green"},
    "wait": {"fg": "yellow"},
    "bad": {"fg": "red"},
    "add": {"fg": "green"},
    "change": {"fg": "yellow"},
    "remove": {"fg": "red"},
}
# What tells streams apart that share a screen.
TAGS = ("cyan", "magenta", "green", "yellow", "blue", "bright_cyan", "bright_magenta", "bright_green")
# For a terminal whose encoding has none of these.
ASCII = str.maketrans(
    {
        "✓": "v",
        "✗": "x",
        "…": "~",
        "‖": "=",
        "│": "|",
        "±": "!",
        "↻": "@",
        "⇐": "<",
        "»": ">",
        "▸": ">",
        "≠": "!",
        "→": ">",
        "·": ".",
        "⇒": ">",
        "█": "#",
        "░": ".",
        "↑": "^",
        "↓": "v",
        "×": "x",
        "’": "'",
    }
)


class Terminal:
    """`width` is None where nobody sees a screen; then nothing is wrapped. `live`: a person is watching standard error."""

    def __init__(self, *, width: int | None = None, color: bool = False, live: bool = False) -> None:
        self.width, self.color, self.live = width, color, live
        self._bar: Callable[[str], None] | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Terminal":
        screen, dumb = sys.stdout.isatty(), environment.get("TERM") == "dumb"
        # https://no-color.org: any value but an empty one.
        color = screen and not dumb and not environment.get("NO_COLOR")
        width = shutil.get_terminal_size().columns if screen else None
        return cls(width=width, color=color, live=screen and sys.stderr.isatty() and not dumb)

    def page(self, page: "Page") -> None:
        """On standard output."""
        from reconciler.core.show import lay_out

        for line in lay_out(page, self.width):
            self._write(self.styled(line), sys.stdout)

    def line(self, line: "Line") -> None:
        """One line on standard output, above a progress bar if there is one; never wrapped."""
        from reconciler.core.show_layout import Fixed, lay_out

        (shown,) = lay_out((Fixed(line),), None)
        if self._bar is not None:
            self._bar(self.styled(shown))
        else:
            self._write(self.styled(shown), sys.stdout)

    def note(self, text: str, style: str = "dim") -> None:
        """For a person, beside the output: on standard error."""
        self._write(click.style(text, **STYLES[style]) if self.color else text, sys.stderr)

    def json(self, value: object) -> None:
        import json

        indent = 2 if self.width is not None else None
        self._write(_inert(partial(json.dumps, value, indent=indent)), sys.stdout)

    def json_line(self, value: object) -> None:
        """One of many, on a line of its own."""
        import json

        self._write(_inert(partial(json.dumps, value, separators=(",", ":"))), sys.stdout)

    def output(self, data: bytes) -> None:
        """Bytes as they are: only for where no terminal obeys them."""
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    def tag(self, text: str, which: int) -> str:
        """In a colour of its own, as far as there are colours."""
        return click.style(text, fg=TAGS[which % len(TAGS)]) if self.color else text

    def left(self) -> bool:
        """Whether whoever read our output has read enough: nothing that we could still write would be seen."""
        import select

        try:
            poll = select.poll()
            poll.register(sys.stdout.fileno(), 0)
            return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
        except (OSError, ValueError, AttributeError):
            return False

    def raw(self, text: str) -> None:
        self._write(text.rstrip("\n"), sys.stdout)

    def styled(self, line: "Line") -> str:
        if not self.color:
            return "".join(span.text for span in line).rstrip()
        return "".join(click.style(s.text, **STYLES[s.style]) if s.style in STYLES else s.text for s in line)

    def _write(self, text: str, stream: TextIO) -> None:
        click.echo(self.encodable(text, stream), file=stream, color=self.color)

    def encodable(self, text: str, stream: TextIO) -> str:
        """The same as far as this stream can show it."""
        try:
            text.encode(stream.encoding or "utf-8")
        except UnicodeEncodeError:
            encoding = stream.encoding or "ascii"
            return text.translate(ASCII).encode(encoding, "backslashreplace").decode(encoding)
        return text

    @contextmanager
    def progress(self, what: str) -> Iterator[Callable[[int, int, str], None]]:
        """A bar on standard error while a person is watching; call it with done, total and what is awaited."""
        if not self.live:
            yield _unseen
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.table import Column
        from rich.text import Text

        console = Console(stderr=True, no_color=not self.color, width=self.width, highlight=False, markup=False)
        columns = (
            SpinnerColumn("dots"),
            TextColumn("{task.description}", markup=False),
            BarColumn(20, style="dim", complete_style="green", finished_style="green"),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[waiting]}", style="dim", markup=False, table_column=Column(ratio=1, no_wrap=True)),
        )
        with Progress(*columns, console=console, transient=True, expand=True) as shown:
            task = shown.add_task(what, total=None, waiting="")

            def update(done: int, total: int, waiting: str) -> None:
                shown.update(task, completed=done, total=total or None, waiting=waiting)

            # Standard output and the bar may share a screen: rich moves the bar out of the way.
            self._bar = lambda text: console.print(Text.from_ansi(text), soft_wrap=True)
            try:
                yield update
            finally:
                self._bar = None


def _unseen(_done: int, _total: int, _waiting: str) -> None:
    """Nobody is watching."""


def _inert(dump: Callable[..., str]) -> str:
    """JSON in which nothing stands that a terminal would obey, or show in another order."""
    from reconciler.core.show_layout import harmless

    text = dump(ensure_ascii=False)
    return text if harmless(text) == text else dump(ensure_ascii=True).replace("\x7f", "\\u007f")
