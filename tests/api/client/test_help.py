"""Help of `envoyctl`: examples in it that can be typed, exit codes, completion, and how quickly it is there."""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from api.client import cli
from api.client.exits import MEANINGS
from api.client.options import Call
from reconciler.terminal import Terminal
from tests.api.client.conftest import Envoyctl


def commands(group: click.Group, *before: str) -> Iterator[tuple[str, ...]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield (*before, name)
        if isinstance(command, click.Group):
            yield from commands(command, *before, name)


def found(words: tuple[str, ...]) -> click.Command:
    command: click.Command = cli.envoyctl
    for word in words:
        assert isinstance(command, click.Group)
        inner = command.get_command(click.Context(command), word)
        assert inner is not None
        command = inner
    return command


EVERY = list(commands(cli.envoyctl))
DOCUMENTED = [
    "auth login --email user@example.com",
    "proxy list --status healthy",
    "proxy update-config proxy-001 --file -",
    "deploy create --proxy-ids proxy-001,proxy-002 --version 5",
    "deploy watch deployment-123",
]


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_every_command_explains_itself(words: tuple[str, ...], envoyctl: Envoyctl) -> None:
    """A sentence, and, where it does something, examples that can be typed and the codes it ends with."""
    shown = envoyctl(*words, "--help", role=None, COLUMNS="80")
    assert shown.exit_code == 0
    assert "Usage: envoyctl " + " ".join(words) in shown.stdout
    command = found(words)
    if isinstance(command, click.Group):
        return
    assert "--output" in shown.stdout
    assert "Examples:" in shown.stdout
    assert "Exit status:" in shown.stdout
    for line, _ in command.examples:  # type: ignore[attr-defined]  # ours have some
        typed = line.removeprefix('eval "$(').removesuffix(')"').split("|")[-1].split(">")[0].split("<")[0]
        program, *arguments = shlex.split(typed)
        assert program == "envoyctl"
        assert tuple(arguments[: len(words)]) == words
        command.make_context("envoyctl", arguments[len(words) :], obj=Call({}, Terminal()))


@pytest.mark.parametrize("line", DOCUMENTED)
def test_the_documented_lines_are_understood(line: str) -> None:
    """Those of the document's section 22.2."""
    words = line.split()
    found((words[0], words[1])).make_context("envoyctl", words[2:], obj=Call({}, Terminal()))


def test_the_codes_are_documented() -> None:
    """In docs/envoyctl.md, each with its number."""
    from tests.test_docs import ROOT

    page = (ROOT / "docs" / "envoyctl.md").read_text()
    assert [code for code in MEANINGS if f"| {code} |" not in page] == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str, envoyctl: Envoyctl, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script for each shell; names are those of the server; without one there are none, and no error."""
    # Nobody is typing here.
    monkeypatch.setattr("api.client.options.COMPLETING_S", 60.0)
    assert "_ENVOYCTL_COMPLETE" in envoyctl("completion", shell).stdout
    asked = {"_ENVOYCTL_COMPLETE": "bash_complete", "COMP_WORDS": "envoyctl proxy get proxy-w", "COMP_CWORD": "3"}
    assert envoyctl(**asked).stdout == "plain,proxy-west-001\n"
    assert envoyctl(**asked, role=None, ENVOYCTL_SERVER="http://127.0.0.1:1").stdout.strip() == ""


def test_help_loads_nothing_heavy() -> None:
    """Neither the server's parts, nor what is slow to load."""
    heavy = (
        "flask",
        "werkzeug",
        "sqlalchemy",
        "pydantic",
        "grpc",
        "rich",
        "websockets",
        "cryptography",
        "yaml",
        "urllib.request",
    )
    code = (
        "import sys, json\nfrom api.client.cli import envoyctl\n"
        "try: envoyctl(['proxy', '--help'], prog_name='envoyctl')\nexcept SystemExit: pass\n"
        f"print(json.dumps([name for name in {heavy!r} if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []
