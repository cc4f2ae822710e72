"""Help, examples in it, and how quickly it is there."""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from reconciler import cli
from reconciler.commands import options
from reconciler.terminal import Terminal
from tests.cli.conftest import Convoy


def commands(group: click.Group, *before: str) -> Iterator[tuple[str, ...]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield (*before, name)
        if isinstance(command, click.Group):
            yield from commands(command, *before, name)


# Files that examples name.
ABSENT = ("shop.key", "envoy.yaml", "dump.json", "signing-token")


@pytest.mark.parametrize("words", list(commands(cli.convoy)), ids=" ".join)
def test_every_command_explains_itself(words: tuple[str, ...], convoy: Convoy) -> None:
    """Each command's help has a sentence, and, where it does something, examples and exit codes."""
    result = convoy(*words, "--help")

    assert result.exit_code == 0
    assert "Usage: convoy " + " ".join(words) in result.stdout
    if words not in (("account",), ("secret",), ("token",), ("hook",), ("import",), ("notify",)):
        assert "Examples:" in result.stdout
        assert "Exit status:" in result.stdout
        assert "--output" in result.stdout


@pytest.mark.parametrize("words", list(commands(cli.convoy)), ids=" ".join)
def test_examples_in_help_can_be_typed(words: tuple[str, ...]) -> None:
    """Every example is a command line that this Convoy understands."""
    command = found(words)
    for line, _ in getattr(command, "examples", ()):
        line = line.removeprefix('eval "$(').removesuffix(')"').split("|")[0].split(">")[0].split("<")[0]
        program, *arguments = shlex.split(line)
        assert program == "convoy"
        assert tuple(arguments[: len(words)]) == words
        # A file that an example names need not be here.
        given = ["-" if argument in ABSENT else argument for argument in arguments[len(words) :]]
        command.make_context("convoy", given, obj=options.Call(Path("state"), Terminal()))


def found(words: tuple[str, ...]) -> click.Command:
    command: click.Command = cli.convoy
    for word in words:
        assert isinstance(command, click.Group)
        inner = command.get_command(click.Context(command), word)
        assert inner is not None
        command = inner
    return command


def test_help_fits_a_narrow_terminal() -> None:
    """At 50 columns only examples, which are to be copied whole, may be longer."""
    words = [sys.executable, "-m", "reconciler", "apply", "--help"]
    done = subprocess.run(words, env=os.environ | {"COLUMNS": "50"}, capture_output=True, text=True, check=True)

    assert all(len(line) <= 50 for line in done.stdout.splitlines() if "convoy apply" not in line)


@pytest.mark.parametrize("words", list(commands(cli.convoy)), ids=" ".join)
def test_help_fits_forty_columns(words: tuple[str, ...], convoy: Convoy) -> None:
    """Only what is to be copied whole, and a drawn table, may be longer; words beside an option have room to be read."""
    lines = convoy(*words, "--help", COLUMNS="40").stdout.splitlines()

    long = [line for line in lines if len(line) > 40]
    assert not [line for line in long if "convoy " not in line and "|" not in line and "   " not in line.strip()], long
    assert not [line for line in lines if line.startswith(" " * 20) and line.strip()]


def test_a_wrong_command_is_the_callers_mistake(convoy: Convoy) -> None:
    """Usage errors exit with 2 and go to standard error."""
    result = convoy("aply")

    assert result.exit_code == 2
    assert result.stdout == ""
    assert "aply" in result.stderr


@pytest.mark.parametrize("words", [["--help"], ["status", "--help"], ["completion", "bash"]], ids=lambda words: " ".join(words))
def test_what_is_quick_loads_nothing_heavy(words: list[str]) -> None:
    """Help and completion start without what talks to databases, Git, proxies or screens."""
    heavy = ("grpc", "sqlalchemy", "pygit2", "pydantic", "google.protobuf", "rich", "cryptography")
    code = (
        "import sys\nfrom reconciler.cli import convoy\n"
        f"try: convoy({words!r}, prog_name='convoy')\nexcept SystemExit: pass\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "[]"
