"""How the commands of a program explain themselves: by examples and exit codes, and on narrow terminals too."""

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click

# Below so many columns help is laid out for a narrow terminal.
NARROW = 52
# How a program ends that Ctrl-C has interrupted, as shells have it.
INTERRUPTED = 130


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


class Group(click.Group):
    """Commands under one word."""

    context_class = Context


class Program(Group):
    """All words of a program."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, click.Abort):
            raise click.exceptions.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            # Whoever read our output has read enough. Python must not complain when it closes what is left.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise click.exceptions.Exit(0) from None


class Command(click.Command):
    """A command whose help ends with examples and exit codes."""

    context_class = Context

    def __init__(
        self,
        *args: Any,
        examples: Sequence[tuple[str, str]] = (),
        exits: Sequence[tuple[int, str]] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples
        self.exits = (*exits, (2, "the command line cannot be understood")) if not any(c == 2 for c, _ in exits) else exits

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.examples:
            with formatter.section("Examples"):
                for line, note in self.examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")
                    formatter.indent()
                    formatter.write_text(note)
                    formatter.dedent()
        with formatter.section("Exit status"):
            formatter.write_dl([(str(code), meaning) for code, meaning in self.exits])
