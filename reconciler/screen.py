"""A live screen: a page that is shown again and again on a terminal's other screen, scrolled by keys, put away at the end."""

import contextlib
import os
import select
import signal
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.text import Text

from reconciler.core.show import Page, lay_out
from reconciler.core.show_layout import Line, Span
from reconciler.terminal import Terminal

if TYPE_CHECKING:
    from rich.console import RenderableType

# How soon a screen of another size is filled anew.
SIZE_S = 0.25
# https://invisible-island.net/xterm/ctlseqs/ctlseqs.html: what terminals send for keys ⇒ lines to scroll by; under 1: screens.
KEYS: Mapping[bytes, float] = {
    **dict.fromkeys((b"j", b"\x1b[B", b"\x1bOB"), 1),
    **dict.fromkeys((b"k", b"\x1b[A", b"\x1bOA"), -1),
    **dict.fromkeys((b" ", b"\x1b[6~"), 0.8),
    **dict.fromkeys((b"b", b"\x1b[5~"), -0.8),
    **dict.fromkeys((b"G", b"\x1b[F"), 1e9),
    **dict.fromkeys((b"g", b"\x1b[H"), -1e9),
}
SEQUENCES = sorted(KEYS, key=len, reverse=True)
QUIT = frozenset({b"q", b"Q", b"\x03", b"\x1b"})


class Screen:
    """One screen, made by `opened`."""

    def __init__(self, terminal: Terminal, console: Console, live: Live, keys: int | None) -> None:
        self._terminal, self._console, self._live, self._keys = terminal, console, live, keys
        self._page: Page = ()
        self._top, self._size = 0, (0, 0)

    def show(self, page: Page) -> None:
        self._page = page
        self._draw()

    def wait(self, seconds: float) -> bool:
        """True as soon as somebody wants to leave, else False when the time is over. Keys scroll meanwhile."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._keys is None:
                time.sleep(min(left, SIZE_S))
            elif select.select([self._keys], [], [], min(left, SIZE_S))[0] and self._pressed(os.read(self._keys, 64)):
                return True
            if self._console.size != self._size:
                self._draw()
        return False

    def _pressed(self, typed: bytes) -> bool:
        """Several keys may come at once; what no key sends is passed over."""
        if not typed:
            return True
        page, before = self._console.size.height - 1, self._top
        while typed:
            key = next((key for key in SEQUENCES if typed.startswith(key)), typed[:1])
            if key in QUIT and not (key == b"\x1b" and len(typed) > 1):
                return True
            by = KEYS.get(key, 0.0)
            self._top = max(0, self._top + int(by if abs(by) >= 1 else by * page))
            typed = typed[len(key) :]
        if self._top != before:
            self._draw()
        return False

    def _draw(self) -> None:
        self._size = self._console.size
        width, height = self._size
        lines = lay_out(self._page, width)
        room = max(1, height - 1)
        self._top = min(self._top, max(0, len(lines) - room))
        shown = [self._cut(line, width) for line in lines[self._top : self._top + room]]
        more = f", ↑ ↓ scroll ({self._top + 1}-{self._top + len(shown)} of {len(lines)})" if len(lines) > room else ""
        shown += [Text()] * (room - len(shown))
        foot = ("q quits" if self._keys is not None else "Ctrl-C quits") + more
        self._live.update(self._joined([*shown, self._cut((Span(foot[:width], "dim"),), width)]), refresh=True)

    def _cut(self, line: Line, width: int) -> Text:
        text = Text.from_ansi(self._terminal.encodable(self._terminal.styled(line), sys.stdout), no_wrap=True, end="")
        text.truncate(width)
        return text

    def _joined(self, lines: "list[Text]") -> "RenderableType":
        return Text("\n", no_wrap=True, end="").join(lines)


@contextmanager
def opened(terminal: Terminal) -> Iterator[Screen]:
    """The terminal's other screen until the end, however that comes; then all is as it was before."""
    console = Console(no_color=not terminal.color, highlight=False, markup=False)
    live = Live(
        console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False, vertical_overflow="crop"
    )
    with _ending(), _keys() as keys, live:
        yield Screen(terminal, console, live, keys)


@contextmanager
def _ending() -> Iterator[None]:
    """Also who is told to end, or whose terminal goes away, leaves the screen as it was."""

    def end(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _keys() -> Iterator[int | None]:
    """Standard input key by key and unseen; None where that is no terminal."""
    try:
        keys = sys.stdin.fileno()
        before = termios.tcgetattr(keys)
    except (OSError, ValueError, termios.error):
        yield None
        return
    after = termios.tcgetattr(keys)
    after[3] &= ~(termios.ICANON | termios.ECHO)
    # Put to sleep, we would leave the other screen in the way of the shell.
    after[6][termios.VSUSP] = os.fpathconf(keys, "PC_VDISABLE").to_bytes(1, "little") if hasattr(os, "fpathconf") else b"\0"
    try:
        termios.tcsetattr(keys, termios.TCSADRAIN, after)
        yield keys
    finally:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(keys, termios.TCSADRAIN, before)
