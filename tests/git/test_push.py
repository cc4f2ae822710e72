"""Pushing to another machine, with the password of the URL, past a forge that refuses; and signed, where that counts."""

import base64
import contextlib
import functools
import http.server
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from reconciler.git import Branch, Conflict, Declined, Files, Mirror, Person, SourceError, Words
from reconciler.seams import Seams
from tests.repos import Origin, git, hermetic_environment
from tests.signing import Ssh, gnupg, needs_gpg, needs_ssh_keygen

SECRET = "hunter2-s3cret"
EVE = Person("Eve", "eve@example.org")
WORDS = Words("x\n", EVE, EVE)


class Forge(http.server.BaseHTTPRequestHandler):
    """Git's smart protocol, by git's own program, for whoever knows the password."""

    def __init__(self, root: Path, *about: Any) -> None:
        self._root = root
        super().__init__(*about)

    def do_GET(self) -> None:
        if self.headers.get("Authorization") != "Basic " + base64.b64encode(f"robot:{SECRET}".encode()).decode():
            self.send_error(401)
            return
        parts = urlsplit(self.path)
        size = int(self.headers.get("content-length") or 0)
        environment = hermetic_environment() | {
            "GIT_PROJECT_ROOT": str(self._root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": parts.path,
            "QUERY_STRING": parts.query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("content-type") or "",
            "CONTENT_LENGTH": str(size),
            "HTTP_CONTENT_ENCODING": self.headers.get("content-encoding") or "",
            "REMOTE_USER": "robot",
        }
        done = subprocess.run(
            ["git", "http-backend"], input=self.rfile.read(size), env=environment, capture_output=True, timeout=240, check=True
        )
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(lines.pop("Status", "200").split()[0]))
        for name, value in lines.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def forge(origin: Origin) -> Iterator[str]:
    """The URL of the origin on a forge, without a password."""
    handler = functools.partial(Forge, origin.path.parent)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/origin.git"
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_over_http_with_the_password_of_the_url(origin: Origin, forge: str, tmp_path: Path) -> None:
    """Taken, refused by a hook with its words, or a Conflict; and the password is in none of what is said."""
    url = forge.replace("://", f"://robot:{SECRET}@")
    first = origin.commit({"a.yaml": "1\n"})
    mirror = Mirror(url, "main", tmp_path / "mirror", Seams())
    branch = Branch(url, "main", tmp_path / "mirror", Seams())
    try:
        assert mirror.fetch() == first
        second = branch.commit({"a.yaml": b"2\n"}, first, WORDS)
        assert mirror.fetch() == second == origin.tip()
        with pytest.raises(Conflict) as moved:
            branch.commit({"a.yaml": b"3\n"}, first, WORDS)
        assert (moved.value.tip, SECRET in str(moved.value)) == (second, False)
        hook = origin.path / "hooks" / "pre-receive"
        hook.write_text("#!/bin/sh\necho 'protected branch' >&2\nexit 1\n")
        hook.chmod(0o755)
        with pytest.raises(SourceError, match="main: protected branch;") as refused:
            branch.commit({"a.yaml": b"4\n"}, second, WORDS)
        assert SECRET not in str(refused.value)
    finally:
        mirror.close()
        branch.close()
    assert origin.tip() == second


@pytest.mark.slow
def test_a_forge_that_is_gone(origin: Origin, tmp_path: Path) -> None:
    """Whether the branch has moved is then not known, and said so; what was made stays in our mirror alone."""
    first = origin.commit({"a.yaml": "1\n"})
    mirror = Mirror(str(origin.path), "main", tmp_path / "mirror", Seams())
    mirror.fetch()
    mirror.close()
    branch = Branch("http://127.0.0.1:9/origin.git", "main", tmp_path / "mirror", Seams(), deadline_s=20)
    with pytest.raises(SourceError, match="whether branch main has moved is not known"):
        branch.commit({"a.yaml": b"2\n"}, first, WORDS)
    branch.close()
    assert origin.tip() == first


def signed_by(settings: str, origin: Origin, signers: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make a commit signed by these settings; who answers for it, by the rules of the branch."""
    (tmp_path / "gitconfig").write_text(settings)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    parent = origin.commit({"a.yaml": "1\n"})
    mirror = Mirror(str(origin.path), "main", tmp_path / "mirror", Seams(), signers=signers)
    branch = Branch(str(origin.path), "main", tmp_path / "mirror", Seams())
    try:
        mirror.fetch()
        revision = branch.make({"a.yaml": b"2\n"}, parent, Words("x\n", Person("Ann", "ann@example.org"), EVE, sign=True))
        assert git(tmp_path / "mirror", "log", "-1", "--format=%an|%cn", revision) == "Ann|Eve"
        signature = mirror.signature(revision, Seams().now(), "")
        assert signature.problem is None
        assert mirror.signature(branch.make({}, parent, WORDS), Seams().now(), "").problem is not None
        return signature.signer
    finally:
        mirror.close()
        branch.close()


def test_while_somebody_else_pushes(origin: Origin, tmp_path: Path) -> None:
    """Whoever holds the branch for longer than git waits is no reason to give up: it is not said that this is not taken."""
    parent = origin.commit({"a.yaml": "1\n"})
    mirror = tmp_path / "mirror"
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(contextlib.closing(Mirror(str(origin.path), "main", mirror, Seams())))
        branch = stack.enter_context(contextlib.closing(Branch(str(origin.path), "main", mirror, Seams())))
        source.fetch()
        revision = branch.make({"a.yaml": b"2\n"}, parent, WORDS)
        held = origin.path / "refs" / "heads" / "main.lock"
        held.touch()
        with pytest.raises(SourceError, match=r"cannot push to .* now: .*cannot lock ref 'refs/heads/main'") as said:
            branch.push(revision, parent)
        assert not isinstance(said.value, Declined)
        held.unlink()
        branch.push(revision, parent)
    assert origin.tip() == revision


@needs_ssh_keygen
def test_signed_with_ssh(origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the committer's own git settings, and counted by the branch's allowed signers; an unsigned one is not."""
    ssh = Ssh(tmp_path)
    (tmp_path / "allowed").write_text(f"eve@example.org {ssh.key('eve')}\n")
    settings = f"[gpg]\nformat = ssh\n[user]\nsigningKey = {tmp_path / 'eve'}\n"
    assert "eve@example.org" in signed_by(settings, origin, Files(ssh=tmp_path / "allowed"), tmp_path, monkeypatch)


@needs_gpg
def test_signed_with_gpg(origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with a GPG key."""
    with gnupg() as gpg:
        fingerprint = gpg.key("Eve <eve@example.org>")
        (tmp_path / "keys").write_bytes(gpg.export(fingerprint))
        monkeypatch.setenv("GNUPGHOME", str(gpg.home))
        settings = f"[user]\nsigningKey = {fingerprint}\n"
        assert "eve@example.org" in signed_by(settings, origin, Files(gpg=tmp_path / "keys"), tmp_path, monkeypatch)


def test_a_key_that_is_not_there(origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said what to look at, and nothing is made without a signature."""
    settings = "[gpg]\nformat = ssh\n[user]\nsigningKey = /nonexistent\n"
    with pytest.raises(SourceError, match=r"cannot sign the commit: .*see that `git commit -S` works"):
        signed_by(settings, origin, Files(ssh=tmp_path / "none"), tmp_path, monkeypatch)
