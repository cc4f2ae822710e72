"""Plays what the documents say: YAML blocks are loaded as fleets, `console` blocks are typed into a shell.

Conventions, for whoever writes documents:

- ```yaml: together, the blocks of one document make a fleet without Problems; or several, where there are environments. A first
  line like `# bases/shop/web.yaml` says in which file a block stands.
- ```console: lines that begin with `$ ` are typed, in one shell for the whole document, in a directory that holds a copy of
  `examples/`; each must succeed. Lines below one are what it prints, in this order, as far as the document shows it; `…`
  stands for anything. A command that is meant to fail ends with `# exits with N`.
- ```sh: not played here; the first line is a comment that says where it is played instead, or why nowhere.
- A block without a language is a picture.
- A document that begins with `<!-- recorded -->` shows all that its commands print: see `tests/test_recorded.py`.
"""

import contextlib
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.core.layers import among
from tests.fleets import load_folder

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(
    path for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "fleet-repo-template/*.md") for path in ROOT.glob(pattern)
)
FILE = re.compile(r"# ([\w./-]+\.yaml)\n")
FENCE = re.compile(r"^```(?P<language>[a-z]*)[^\n]*\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
EXIT = re.compile(r"#.*\bexits with (\d+)")
UNPLAYED = ("# played by ", "# not played: ")
# How long all that one document types may take, and, with what goes before and after, its test: a minute on an idle machine may
# be ten on a busy one.
PLAY_S, TEST_S = 900.0, 1200.0
LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)(?:#[^)]*)?\)")


@dataclass(frozen=True)
class Typed:
    """One command of a document, and what the document shows of its output."""

    line: str
    shown: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        found = EXIT.search(self.line)
        return int(found[1]) if found else 0


def blocks(document: Path, *languages: str) -> list[str]:
    return [found["text"] for found in FENCE.finditer(document.read_text()) if found["language"] in languages]


def typed(document: Path) -> list[Typed]:
    commands: list[Typed] = []
    for text in blocks(document, "console"):
        for line in text.splitlines():
            if line.startswith("$ "):
                commands.append(Typed(line[2:], ()))
            elif line.strip():
                commands[-1] = Typed(commands[-1].line, (*commands[-1].shown, line))
    return commands


def name_of(document: Path) -> str:
    return str(document.relative_to(ROOT))


# Recorded ones are played by tests/test_recorded.py.
PLAYED = [one for one in DOCUMENTS if blocks(one, "console") and not one.read_text().startswith("<!-- recorded -->")]


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_block_is_played_or_says_why_not(document: Path) -> None:
    """No document holds a command or an example that nobody tries."""
    for found in FENCE.finditer(document.read_text()):
        assert found["language"] in ("yaml", "console", "sh", ""), f"what is a {found['language']} block? see {__file__}"
        if found["language"] == "sh":
            assert found["text"].startswith(UNPLAYED), f"says neither where it is played nor why not:\n{found['text']}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(document: Path) -> None:
    """A link to another file of the repository names one that is there."""
    missing = [link for link in LINK.findall(document.read_text()) if not (document.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("index", ["docs", "docs/decisions", "docs/sessions", "examples"])
def test_an_index_lists_every_page_beside_it(index: str) -> None:
    """What nobody finds might as well not be written."""
    folder = ROOT / index
    listed = {link.rstrip("/") for link in LINK.findall((folder / "README.md").read_text())}
    beside = {one.name for one in folder.iterdir() if one.suffix in (".md", ".yaml") or (index == "examples" and one.is_dir())}
    assert beside - {"README.md"} - listed == set()


@pytest.mark.parametrize("document", [one for one in DOCUMENTS if blocks(one, "yaml")], ids=name_of)
def test_yaml_examples_are_a_fleet(document: Path, tmp_path: Path) -> None:
    """The YAML of one document loads without a Problem."""
    (tmp_path / ".git").mkdir()
    for number, text in enumerate(blocks(document, "yaml")):
        named = FILE.match(text)
        file = tmp_path / (named[1] if named else f"{number}.yaml")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    texts = {str(file.relative_to(tmp_path)): file.read_bytes() for file in tmp_path.rglob("*.yaml")}
    for environment in among(texts) or ("",):
        assert load_folder(tmp_path / environment).resources


@pytest.fixture
def alone() -> Iterator[None]:
    """Documents and examples name fixed ports: on one machine, one of them is played at a time, whatever $TMPDIR says."""
    with (Path("/tmp") / f"convoy-documents-{os.geteuid()}").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.mark.slow
@pytest.mark.timeout(TEST_S, func_only=True)
@pytest.mark.parametrize("document", PLAYED, ids=name_of)
def test_commands_do_what_the_document_says(document: Path, tmp_path: Path, alone: None) -> None:
    """Typed one after the other, every command succeeds and prints what the document shows."""
    commands = typed(document)
    taken = [port for port in ports_of(commands) if not free_soon(port)]
    assert not taken, f"something else on this machine listens on {taken}: Envoys would share the port with it, unasked"
    ran, printed = play(commands, tmp_path, fleet=document.parent if document.parent.name == "fleet-repo-template" else None)
    for number, command in enumerate(commands):
        assert number in ran, f"`{command.line}` was not reached:\n{printed.get(number - 1, '')}"
        assert ran[number] == command.exit_code, f"`{command.line}` exited with {ran[number]}:\n{printed[number]}"
        unseen = not_printed(command.shown, printed[number])
        assert unseen is None, f"`{command.line}` did not print {unseen!r} but:\n{printed[number]}"


def ports_of(commands: list[Typed]) -> set[int]:
    return {int(port) for command in commands for port in re.findall(r"\b18\d{3}\b", command.line)}


def free_soon(port: int) -> bool:
    """Nobody answers on this port, now or within half a minute."""
    for _ in range(60):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return True
        time.sleep(0.5)
    return False


def play(
    commands: list[Typed], place: Path, fleet: Path | None, author: tuple[str, str] | None = None
) -> tuple[dict[int, int], dict[int, str]]:
    """Command's number ⇒ exit code, and ⇒ output. Whatever happens, nothing is left running. `author`: who Git knows."""
    if fleet is None:
        shutil.copytree(ROOT / "examples", place / "examples")
    else:
        shutil.copytree(fleet, place, dirs_exist_ok=True)
        subprocess.run(["git", "-c", "init.defaultBranch=main", "init", "-q", place], check=True)
    own = Path(tempfile.mkdtemp(prefix="convoy-doc-"))
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(own),
        "CONVOY_STATE": str(own / "state"),
        "LANG": "C.UTF-8",
        **{name: os.environ[name] for name in ("ENVOY", "TMPDIR") if name in os.environ},
    }
    if author is not None:
        (own / ".gitconfig").write_text("[user]\n\tname = {}\n\temail = {}\n[init]\n\tdefaultBranch = main\n".format(*author))
    script = "".join(
        f"printf '\\n@begin {number}\\n'\n{command.line}\ncode=$?\nprintf '\\n@end {number} %d\\n' $code\n"
        f"[ $code = {command.exit_code} ] || exit\n"
        for number, command in enumerate(commands)
    )
    # A server that stays in the background holds standard output open: so it is a file, and the shell's end is the end.
    output = own / "output"
    with output.open("wb") as file:
        shell = subprocess.Popen(
            ["bash", "-c", script],
            cwd=place,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        shell.wait(PLAY_S)
    except subprocess.TimeoutExpired:
        pass  # what was not reached is reported by the caller, with what the last command printed
    finally:
        end_group(shell.pid)
        shell.wait(30)
        subprocess.run(["convoy", "down", "--yes", "--retained"], env=environment, capture_output=True, timeout=200)
        text = output.read_text(errors="replace")
        shutil.rmtree(own, ignore_errors=True)
    ran = {int(number): int(code) for number, code in re.findall(r"^@end (\d+) (\d+)$", text, re.MULTILINE)}
    parts = re.split(r"^@begin (\d+)$", text, flags=re.MULTILINE)
    printed = {int(number): part for number, part in zip(parts[1::2], parts[2::2], strict=True)}
    return ran, printed


def end_group(group: int) -> None:
    """Ask every process of the group to end, and wait until none is left."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGTERM)
        for _ in range(300):
            os.killpg(group, 0)
            time.sleep(0.1)
        os.killpg(group, signal.SIGKILL)


def not_printed(shown: tuple[str, ...], printed: str) -> str | None:
    """The first shown line that does not come in its turn; None when all do. Widths of columns are not compared."""
    rest = iter(printed.splitlines())
    for line in shown:
        pattern = re.compile(r"\s+".join(re.escape(word).replace("…", ".*") for word in line.split()))
        if line.strip() != "…" and not any(pattern.search(" ".join(candidate.split())) for candidate in rest):
            return line
    return None
