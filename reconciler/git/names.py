"""Names that anybody may have chosen, of files and branches: what is wrong with them, and how they are shown."""

import unicodedata

import pygit2

from reconciler.core.model import Problem, Where
from reconciler.git.source import SourceError

# What no file system takes can be on nobody's disk: https://man7.org/linux/man-pages/man3/limits.h.0p.html, NAME_MAX.
LONGEST_NAME, LONGEST_PATH = 255, 4096


def fold(name: str) -> str:
    """Equal for names that are one file on a disk that ignores case or rewrites accents."""
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def bad_name(path: str, name: bytes) -> Problem | None:
    """What is wrong with a name that cannot be shown, typed and checked out everywhere."""
    where = Where(shown(path))
    try:
        text = name.decode()
    except UnicodeDecodeError:
        return Problem(where, f"its name {name[:LONGEST_NAME]!r} is not UTF-8", "rename it")
    if len(name) > LONGEST_NAME:
        return Problem(where, f"its name is {len(name)} bytes long; the most is {LONGEST_NAME}", "give it a shorter one")
    if not text.isprintable():
        return Problem(where, f"its name {text!r} has characters that cannot be seen", "rename it")
    return None


def shown(path: str) -> str:
    """A path that anybody may have made, for people to read."""
    text = path if path.isprintable() else path.encode("unicode_escape").decode("ascii")
    return text if len(text) <= LONGEST_PATH else f"{text[:LONGEST_PATH]}…"


def checked_branch(branch: str) -> str:
    name = branch.removeprefix("refs/heads/")
    if not name or name.startswith("-") or not name.isprintable() or not pygit2.reference_is_valid_name(f"refs/heads/{name}"):
        raise SourceError(f"{branch!r} is not the name of a branch")
    return name


def checked_subdirectory(path: str) -> str:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or ".." in parts or not path.isprintable():
        raise SourceError(f"{path!r} is not a directory inside the repository: give a relative path without '..'")
    return "/".join(parts) + "/" if parts else ""
