"""How help is laid out, also for terminals narrower than the fifty columns that click thinks of."""

import shutil
from collections.abc import Iterable

import click

# Below so many columns help is laid out for a narrow terminal.
NARROW = 52


class Help(click.HelpFormatter):
    """What a command's help is written with."""

    def __init__(self, indent_increment: int = 2, width: int | None = None, max_width: int | None = None) -> None:
        columns = shutil.get_terminal_size().columns
        self._narrow = columns < NARROW
        super().__init__(indent_increment, max(columns - 2, 20) if self._narrow else width, max_width)

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        # Long names get a line of their own, so that words beside them have room.
        super().write_dl(rows, self.width // 5 if self._narrow else col_max, col_spacing)


class Context(click.Context):
    formatter_class = Help
