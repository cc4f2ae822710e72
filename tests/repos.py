"""Git repositories for tests, made without anybody's own settings."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pygit2
import pytest

# What a file is when it is not plain content: a symbolic link's target, a submodule's commit, or nothing any more.
Content = str | bytes | None
FILE, LINK, SUBMODULE, DIRECTORY = "100644", "120000", "160000", "40000"
BEGUN_AT = 1_700_000_000


def hermetic_environment() -> dict[str, str]:
    """Neither the settings nor the identity of whoever runs the tests; no identity at all where git needs one."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }


def hermetic(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for programs started by what is tested."""
    for name in [name for name in os.environ if name.startswith("GIT_") or name.endswith(("_proxy", "_PROXY"))]:
        monkeypatch.delenv(name)
    for name, value in hermetic_environment().items():
        monkeypatch.setenv(name, value)


def git(directory: Path, *arguments: str, stdin: bytes = b"") -> str:
    done = subprocess.run(
        ["git", *arguments],
        cwd=directory,
        env=hermetic_environment(),
        input=stdin,
        capture_output=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, f"git {arguments}: {done.stderr.decode()}"
    return done.stdout.decode().strip()


@dataclass
class Origin:
    """A bare repository. Each commit is a second later than the one before."""

    path: Path
    commits: int = 0

    def commit(
        self,
        files: Mapping[str, Content] | None = None,
        *,
        links: Mapping[str, str] | None = None,
        submodules: Sequence[str] = (),
        branch: str = "main",
        onto: str | None = None,
        message: str = "change",
    ) -> str:
        """Write, or with None delete, files on top of the branch (or of `onto`; "" is an orphan); returns the revision."""
        self.commits += 1
        person = f"A Person <person@example.org> {BEGUN_AT + self.commits} +0000"
        parent = self.tip(branch) if onto is None else onto
        text = message.encode()
        stream = b"commit refs/heads/%s\ncommitter %s\ndata %d\n%s\n" % (branch.encode(), person.encode(), len(text), text)
        stream += b"from %s\n" % parent.encode() if parent else b""
        for path, content in (files or {}).items():
            if content is None:
                stream += b"D %s\n" % path.encode()
            else:
                data = content.encode() if isinstance(content, str) else content
                stream += b"M %s inline %s\ndata %d\n%s\n" % (FILE.encode(), path.encode(), len(data), data)
        for path, target in (links or {}).items():
            stream += b"M %s inline %s\ndata %d\n%s\n" % (LINK.encode(), path.encode(), len(target), target.encode())
        for path in submodules:
            stream += b"M %s %s %s\n" % (SUBMODULE.encode(), b"1" * 40, path.encode())
        git(
            self.path,
            "fast-import",
            "--quiet",
            "--force",
            stdin=(b"reset refs/heads/%s\n" % branch.encode() if onto == "" else b"") + stream,
        )
        return self.tip(branch)

    def commit_tree(self, entries: Sequence[tuple[str, bytes, str]], branch: str = "main", onto: str = "") -> str:
        """A commit of a tree object written as it is, with entries (mode, name, id) that git itself would refuse."""
        repository = pygit2.Repository(str(self.path))
        raw = b"".join(mode.encode() + b" " + name + b"\0" + bytes.fromhex(id) for mode, name, id in entries)
        tree = repository.odb.write(pygit2.enums.ObjectType.TREE, raw)
        self.commits += 1
        parent = f"parent {onto}\n" if onto else ""
        text = (
            f"tree {tree}\n{parent}author A <a@b> {BEGUN_AT} +0000\ncommitter A <a@b> {BEGUN_AT + self.commits} +0000\n\nraw\n"
        )
        commit = repository.odb.write(pygit2.enums.ObjectType.COMMIT, text.encode())
        repository.references.create(f"refs/heads/{branch}", commit, force=True)
        return str(commit)

    def blob(self, content: bytes) -> str:
        return str(pygit2.Repository(str(self.path)).create_blob(content))

    def tree(self, entries: Sequence[tuple[str, bytes, str]]) -> str:
        raw = b"".join(mode.encode() + b" " + name + b"\0" + bytes.fromhex(id) for mode, name, id in entries)
        return str(pygit2.Repository(str(self.path)).odb.write(pygit2.enums.ObjectType.TREE, raw))

    def tip(self, branch: str = "main") -> str:
        reference = pygit2.Repository(str(self.path)).references.get(f"refs/heads/{branch}")
        return "" if reference is None else str(reference.target)


def make_origin(directory: Path, name: str = "origin.git") -> Origin:
    """A bare repository without a commit."""
    path = directory / name
    path.mkdir(parents=True)
    git(path, "init", "--quiet", "--bare", "--initial-branch=main", ".")
    return Origin(path)


def make_clone(origin: Origin, directory: Path) -> Path:
    """A working clone with an identity of its own."""
    git(directory.parent, "clone", "--quiet", str(origin.path), directory.name)
    for key, value in {"user.name": "A Person", "user.email": "person@example.org", "commit.gpgsign": "false"}.items():
        git(directory, "config", key, value)
    return directory
