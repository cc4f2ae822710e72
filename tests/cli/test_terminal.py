"""Colours, widths, pipes, completion, and where state is."""

import json
import os
import pty
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler import cli
from reconciler.store import Store
from reconciler.terminal import ASCII
from tests.cli.conftest import Convoy
from tests.cli.test_look import row

ANSI = "\x1b["


def test_where_state_is_kept() -> None:
    """XDG's directory where it is absolute, else below HOME, else nowhere that we would make up."""
    assert cli.default_state({"XDG_STATE_HOME": "/x", "HOME": "/h"}) == Path("/x/convoy")
    assert cli.default_state({"XDG_STATE_HOME": "x", "HOME": "/h"}) == Path("/h/.local/state/convoy")
    assert cli.default_state({}) is None


def test_without_a_home_a_state_directory_must_be_named(convoy: Convoy) -> None:
    """The message says how."""
    result = convoy("status", HOME=None, CONVOY_STATE=None)

    assert result.exit_code == 1
    assert "--state" in result.stderr


def test_state_may_be_named_before_and_after_the_command(convoy: Convoy, store: Store, state: Path) -> None:
    """Both places mean the same, and the nearer one wins."""
    store.put_state({"revision": "r1", "converged": True, "refused": "", "unreadable": "", "problems": []})
    elsewhere = str(state.parent / "elsewhere")

    assert json.loads(convoy("--state", str(state), "status", "-o", "json", CONVOY_STATE=elsewhere).stdout)["revision"] == "r1"
    assert json.loads(convoy("--state", elsewhere, "status", "--state", str(state), "-o", "json").stdout)["revision"] == "r1"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str, convoy: Convoy) -> None:
    """Each shell gets its own script, without another shell being run."""
    script = convoy("completion", shell).stdout

    assert "_CONVOY_COMPLETE" in script
    assert convoy("completion", "csh").exit_code == 2


def test_names_are_completed_from_the_store(convoy: Convoy, store: Store, state: Path) -> None:
    """`convoy get Proxy/<TAB>` offers what is there."""
    store.put_status({"Proxy/edge-1": row("Proxy/edge-1"), "Host/local": row("Host/local")})
    env = {"_CONVOY_COMPLETE": "bash_complete", "COMP_WORDS": "convoy get Pro", "COMP_CWORD": "2"}

    assert convoy(**env).stdout == "plain,Proxy/edge-1\n"


def on_a_terminal(words: list[str], columns: int, **environment: str) -> str:
    """What a person sees who types this at a terminal of that width."""
    ours, theirs = pty.openpty()
    env = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "LANG": "C.UTF-8", "COLUMNS": str(columns), "LINES": "24"}
    process = subprocess.Popen(
        [sys.executable, "-m", "reconciler", *words], stdin=theirs, stdout=theirs, stderr=theirs, env=env | environment
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:
            break
        if not chunk:
            break
        seen += chunk
    os.close(ours)
    process.wait(100)
    return seen.decode().replace("\r\n", "\n")


def test_colours_are_for_terminals_that_want_them(store: Store, state: Path) -> None:
    """A terminal gets colours, unless NO_COLOR, --no-color or TERM=dumb says otherwise; lines fit it."""
    why = "connection refused at 127.0.0.1:20001, three times in a row"
    store.put_status({"Proxy/edge-1": row("Proxy/edge-1", "pending", "starting", why=why)})
    words = ["--state", str(state), "status"]
    plain = on_a_terminal(words, 50, NO_COLOR="1")

    assert ANSI in on_a_terminal(words, 80)
    assert ANSI not in plain
    assert all(len(line) <= 50 for line in plain.splitlines())
    assert ANSI not in on_a_terminal([*words, "--no-color"], 80)
    assert ANSI not in on_a_terminal(words, 80, TERM="dumb")


def test_long_work_has_a_bar_on_a_terminal_alone(convoy: Convoy, state: Path) -> None:
    """It says what is done, in colours only where those are wanted, and is taken away again; a pipe never sees it."""
    words = ["--state", str(state), "validate", str(Path(__file__).parents[2] / "examples" / "hello")]
    seen, plain = on_a_terminal(words, 80), on_a_terminal(words, 80, NO_COLOR="1")
    piped = convoy(*words)

    assert "reading documents" in seen
    assert "reading documents" in plain
    # The line is cleared before the answer is written.
    assert plain.index("reading documents") < plain.rindex("\x1b[2K") < plain.index("valid: ")
    assert "reading documents" not in on_a_terminal(words, 80, TERM="dumb")
    assert "reading documents" not in piped.stdout + piped.stderr


def test_pipes_get_whole_lines_without_colours(convoy: Convoy, store: Store) -> None:
    """What is piped is for grep: no colours, no wrapping."""
    why = "a long reason " * 20
    store.put_status({"Proxy/edge-1": row("Proxy/edge-1", "pending", "starting", why=why)})
    lines = convoy("get").stdout.splitlines()

    assert len(lines) == 2
    assert why.strip() in lines[1]


def test_a_terminal_without_our_letters(state: Path, store: Store) -> None:
    """An encoding that lacks our signs gets plain ones instead of an error."""
    store.put_status({"Host/local": row("Host/local")})
    done = subprocess.run(
        [sys.executable, "-m", "reconciler", "--state", str(state), "get"],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONIOENCODING": "ascii",
            "PYTHONUTF8": "0",
            "PYTHONCOERCECLOCALE": "0",
            "LC_ALL": "C",
        },
        capture_output=True,
        check=True,
    )

    assert done.stdout.decode("ascii").splitlines()[1].startswith("v  Host/local")


def test_every_letter_of_ours_has_a_plain_one() -> None:
    """Whatever a page is worded with is legible where a terminal knows ASCII alone."""
    room = Path(cli.__file__).parent
    written = "".join(
        file.read_text() for where in ("core/show*.py", "commands/*.py", "screen.py") for file in room.glob(where)
    )

    assert {letter for letter in written if not letter.isascii()} <= {chr(code) for code in ASCII}


def test_a_reader_that_has_seen_enough(state: Path, store: Store) -> None:
    """`convoy get | head -1` ends without a word on standard error."""
    store.put_status({f"Host/h-{i}": row(f"Host/h-{i}", why="x" * 1000) for i in range(2000)})
    command = f"{shlex.quote(sys.executable)} -m reconciler --state {shlex.quote(str(state))} get | head -1"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, check=True)

    assert done.stdout.startswith(b"   RESOURCE")
    assert done.stderr == b""


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("convoy pl", ["plan"]),
        ("convoy secret rek", ["rekey"]),
        ("convoy get Proxy/e", ["Proxy/edge-1"]),
        ("convoy plan --ex", ["--exit-code"]),
        ("convoy completion f", ["fish"]),
    ],
)
def test_a_real_bash_completes(line: str, offered: list[str], store: Store, state: Path, tmp_path: Path) -> None:
    """The script that `convoy completion bash` prints, in a bash that reads it as a person's would."""
    store.put_status({"Proxy/edge-1": row("Proxy/edge-1")})
    program = tmp_path / "convoy"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m reconciler "$@"\n')
    program.chmod(0o755)
    script = f"""
        eval "$(convoy completion bash)"
        COMP_WORDS=({line}) COMP_CWORD={len(line.split()) - 1}
        $(complete -p convoy | sed 's/.*-F \\([^ ]*\\).*/\\1/') convoy
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CONVOY_STATE": str(state), "HOME": str(tmp_path)}
    done = subprocess.run(["bash", "--norc", "-c", script], env=env, capture_output=True, text=True, timeout=200, check=True)

    assert (done.stdout.split(), done.stderr) == (offered, "")
