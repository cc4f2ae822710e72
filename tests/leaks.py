"""Planted secrets, and the places where they are looked for: outputs, files, tables, and every process there is."""

import base64
import contextlib
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import quote

import psutil

TABLE = Path(__file__).parent.parent / "docs" / "secrets.md"
MARKER = "<!-- tests/test_leaks.py reads this table"
ROW = re.compile(
    r"^\| (?P<kind>file|table|environment|admin|backup)(?: socket)?(?: of| by)?(?: an?)? "
    r"`?(?P<place>[^`|]+?)`? \| (?P<secrets>[^|]+) \|",
    re.MULTILINE,
)
# How soon after its birth a process has become the program it was forked for.
YOUNG_S = 0.5


@dataclass(frozen=True)
class Row:
    """One row of the documents' table."""

    kind: str
    place: str
    secrets: frozenset[str]


def allowed() -> list[Row]:
    """Where secrets may stand openly, as users are told."""
    _, found, text = TABLE.read_text().partition(MARKER)
    assert found
    rows = [
        Row(one["kind"], one["place"].strip(), frozenset(word.strip() for word in one["secrets"].split(",")))
        for one in ROW.finditer(text)
    ]
    assert len(rows) == sum(line.startswith("| ") for line in text.splitlines()) - 1, "a row that cannot be read"
    return rows


@dataclass
class Canaries:
    """Name ⇒ the bytes that must not be found."""

    planted: dict[str, bytes] = field(default_factory=dict)
    # Name ⇒ everything that it might be written as.
    forms: dict[str, tuple[bytes, ...]] = field(default_factory=dict)

    def plant(self, name: str, secret: bytes | str) -> None:
        value = secret.encode() if isinstance(secret, str) else secret
        assert len(value) >= 12, f"{name} is so short that it might be found by chance"
        self.planted[name] = value
        self.forms[name] = tuple(spellings(value))

    def within(self, content: bytes | str) -> set[str]:
        """The names of those that stand in it, in any spelling."""
        data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
        return {name for name, forms in self.forms.items() if any(form in data for form in forms)}


def spellings(value: bytes) -> Iterator[bytes]:
    """As it is, in hexadecimal, in base64 wherever it begins, in a URL, in JSON; and every long line of it."""
    yield value
    yield value.hex().encode()
    for skipped in range(3):
        # What its neighbours have a share in is left out at both ends.
        coded = base64.b64encode(b"\0" * skipped + value)
        inner = coded[(4 if skipped else 0) : -4]
        if len(inner) >= 12:
            yield inner
            yield inner.replace(b"+", b"-").replace(b"/", b"_")
    yield quote(value, safe="").encode()
    yield repr(value)[2:-1].encode()
    for line in value.splitlines():
        if len(line) >= 24 and not line.startswith(b"-----"):
            yield line


@dataclass(frozen=True)
class Found:
    """A secret in a place."""

    name: str
    kind: str
    place: str


def in_files(canaries: Canaries, root: Path) -> Iterator[Found]:
    """Names of files, and what is in them."""
    for path in sorted(root.rglob("*")):
        place = str(path.relative_to(root))
        yield from (Found(name, "name", place) for name in canaries.within(place))
        if path.is_file() and not path.is_symlink():
            # What workloads print moves on to other files, and states are written anew.
            with contextlib.suppress(FileNotFoundError):
                yield from (Found(name, "file", place) for name in canaries.within(path.read_bytes()))


def in_tables(canaries: Canaries, database: Path) -> Iterator[Found]:
    """Every value of every row of every table."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                for value in row:
                    content = value if isinstance(value, bytes) else str(value).encode()
                    yield from (Found(name, "table", table) for name in canaries.within(content))
    finally:
        connection.close()


def permitted(found: Found, rows: list[Row]) -> bool:
    """Whether the documents say that it may be there."""
    return any(
        row.kind == found.kind
        and found.name.split(":")[0] in row.secrets
        and (found.place == row.place or (row.kind == "file" and fnmatchcase(found.place, row.place.replace("**", "*"))))
        for row in rows
    )


# Put on a Python's path: it writes down the words of every program that Python starts, however short-lived.
WITNESS = """
import os, sys

def heard(event, about):
    if event in ("subprocess.Popen", "os.exec", "os.posix_spawn"):
        words = about[1] if isinstance(about[1], (list, tuple)) else [about[1]]
        line = b" ".join(os.fsencode(word) for word in (about[0], *words) if isinstance(word, (str, bytes, os.PathLike)))
        file = os.open({log!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(file, line + b"\\n")
        os.close(file)

sys.addaudithook(heard)
"""


def witness(directory: Path) -> tuple[dict[str, str], Path]:
    """An environment for Pythons that tell what they start, and the file that they tell it in."""
    directory.mkdir()
    log = directory / "started"
    (directory / "sitecustomize.py").write_text(WITNESS.format(log=str(log)))
    return {"PYTHONPATH": str(directory)}, log


class Processes:
    """Watches every process of this machine from its first moments: what its command line and its environment hold."""

    def __init__(self, canaries: Canaries) -> None:
        self._canaries = canaries
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="processes")
        self._found: set[Found] = set()
        self._settled: set[tuple[int, float]] = set()
        # Programs seen, so that a test can tell that somebody was looked at.
        self.programs: set[str] = set()

    def __enter__(self) -> "Processes":
        self._thread.start()
        return self

    def __exit__(self, *about: object) -> None:
        self._over.set()
        self._thread.join()

    def found(self) -> set[Found]:
        return set(self._found)

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            for process in psutil.process_iter():
                key = (process.pid, process.create_time())
                if key not in self._settled:
                    self._look(process, key)

    def _look(self, process: psutil.Process, key: tuple[int, float]) -> None:
        try:
            words, environment = process.cmdline(), process.environ()
        except (psutil.Error, OSError):
            return
        if time.time() - key[1] > YOUNG_S:
            self._settled.add(key)
        if not words:
            return
        program = Path(words[0]).name
        self.programs.add(program)
        line = " ".join(words)
        self._found |= {Found(name, "command line", line[:200]) for name in self._canaries.within(line)}
        listed = "\n".join(f"{name}={value}" for name, value in environment.items())
        who = "workload" if "CONVOY_INSTANCE" in environment else "git" if program.startswith("git") else "other"
        if who == "other" and ("reconciler" in line or "convoy" in program):
            who = "convoy"
        self._found |= {Found(name, "environment", who) for name in self._canaries.within(listed)}
