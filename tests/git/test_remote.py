"""How git is run against repositories elsewhere: nothing hangs, nothing is asked, nothing leaks, nothing strange is run."""

import base64
import functools
import http.server
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.git import Mirror, SourceError
from reconciler.git.ask import tip
from reconciler.git.command import environment, redacted, remote_settings
from reconciler.seams import Seams
from tests.repos import Origin, git

SECRET = "hunter2-s3cret"


class Guarded(http.server.SimpleHTTPRequestHandler):
    """Serves files (git's dumb protocol) to whoever knows the password."""

    def do_GET(self) -> None:
        wanted = "Basic " + base64.b64encode(f"robot:{SECRET}".encode()).decode()
        if self.headers.get("Authorization") == wanted:
            super().do_GET()
        else:
            self.send_error(401)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def forge(origin: Origin) -> Iterator[int]:
    """A server with the origin at /origin.git; gives its port."""
    handler = functools.partial(Guarded, directory=str(origin.path.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_a_password_in_the_url_works_and_stays_secret(origin: Origin, forge: int, tmp_path: Path) -> None:
    """The server gets it; no error, no file of the mirror and no argument of a process has it."""
    first = origin.commit({"a.yaml": "1"})
    git(origin.path, "update-server-info")
    source = Mirror(f"http://robot:{SECRET}@127.0.0.1:{forge}/origin.git", "main", tmp_path / "mirror", Seams())
    assert source.fetch() == first
    second = origin.commit({"a.yaml": "2"})
    git(origin.path, "update-server-info")
    assert source.fetch() == second
    assert list(source.tree(second).files) == ["a.yaml"]
    source.close()
    for path in (tmp_path / "mirror").rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes()
    settings = remote_settings(f"http://robot:{SECRET}@127.0.0.1:{forge}/origin.git")
    assert settings["remote.origin.url"] == f"http://127.0.0.1:{forge}/origin.git"
    wrong = Mirror(f"http://robot:{SECRET}x@127.0.0.1:{forge}/origin.git", "main", tmp_path / "other", Seams())
    with pytest.raises(SourceError) as caught:
        wrong.fetch()
    assert SECRET not in str(caught.value)
    assert SECRET not in wrong.shown
    wrong.close()


def test_asking_for_a_branch_puts_no_password_on_a_command_line(
    origin: Origin, forge: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server gets it, and what `ps` shows of git does not."""
    revision = origin.commit({"a.yaml": "1"})
    git(origin.path, "update-server-info")
    (tmp_path / "bin").mkdir()
    listening = tmp_path / "bin" / "git"
    listening.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {tmp_path}/words\nexec {shutil.which("git")} "$@"\n')
    listening.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    assert tip(f"http://robot:{SECRET}@127.0.0.1:{forge}/origin.git", "main", 120.0) == revision
    assert "ls-remote" in (tmp_path / "words").read_text().splitlines()
    assert SECRET not in (tmp_path / "words").read_text()


@pytest.mark.parametrize(
    "url",
    [
        f"https://robot:{SECRET}@127.0.0.1:9/x.git",
        f"https://{SECRET}@127.0.0.1:9/x.git",
        f"http://127.0.0.1:9/x.git?private_token={SECRET}",
        f"ssh://robot:{SECRET}@127.0.0.1:9/x.git",
    ],
)
def test_secrets_never_show_in_errors(url: str, origin: Origin, tmp_path: Path) -> None:
    """Whatever git says about a URL, its user names, passwords and tokens are not in what we say; nor in what we cause."""
    source = Mirror(url, "main", tmp_path / "mirror", Seams(), deadline_s=20)
    with pytest.raises(SourceError) as caught:
        source.fetch()
    source.close()
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in str(error)
        error = error.__cause__


def test_redaction_leaves_the_rest() -> None:
    """What is not secret stays readable."""
    said = f"unable to access 'https://a:{SECRET}@host/x.git?token={SECRET}&y=1': gone; git@host:x.git"
    assert redacted(said) == "unable to access 'https://***@host/x.git?***': gone; git@host:x.git"
    assert redacted(f"https://a:p@{SECRET}@host/x and https://{SECRET * 200}@host") == "https://***@host/x and https://***@host"


@pytest.mark.parametrize("piece", ["a", "a://", "://a", "a://b?", "a.b-", "://?", "@://", "a@"])
def test_redaction_takes_time_by_length(piece: str) -> None:
    """Megabytes of what looks like the beginning of a URL, over and over, are read once."""
    begun = time.process_time()
    redacted(piece * (2_000_000 // len(piece)))
    assert time.process_time() - begun < 3


@pytest.mark.parametrize(
    "url",
    [
        "",
        "-",
        "--upload-pack=touch PROOF",
        "-oProxyCommand=touch PROOF",
        "ext::sh -c 'touch PROOF'",
        "EXT::sh -c 'touch PROOF'",
        "fd::17/foo",
        "foo::bar",
        "ftp://host/x.git",
        "javascript://x",
        "ssh://-oProxyCommand=touch%20PROOF/x",
        "ssh://git@-oProxyCommand=touch/x",
        "git@-oProxyCommand=touch:x",
        "https://host/x\n.git",
        "https://host/x\0.git",
    ],
)
def test_urls_that_would_run_something_are_refused(url: str, tmp_path: Path) -> None:
    """Options, remote helpers, unknown schemes and control characters never reach git."""
    with pytest.raises(SourceError):
        Mirror(url, "main", tmp_path / "mirror", Seams())


@pytest.mark.parametrize(
    "branch", ["", "-", "--upload-pack=x", "a..b", "a b", "a\nb", "x:y", "+x", "a*", "../x", "x.lock", "@{1}", "a\0b"]
)
def test_branches_that_are_none_are_refused(branch: str, tmp_path: Path) -> None:
    """A branch is a branch's name: no option, no refspec, no path."""
    if branch == "+x":
        # A name git allows; what matters is that it is no refspec.
        Mirror("/x", branch, tmp_path / "mirror", Seams()).close()
        return
    with pytest.raises(SourceError, match="is not the name of a branch"):
        Mirror("/x", branch, tmp_path / "mirror", Seams())


@pytest.mark.parametrize("path", ["..", "a/../b", "/etc", "a\0b", "a/../../b"])
def test_subdirectories_outside_are_refused(path: str, tmp_path: Path) -> None:
    """The fleet's directory is one inside the repository."""
    with pytest.raises(SourceError, match="is not a directory inside the repository"):
        Mirror("/x", "main", tmp_path / "mirror", Seams(), subdirectory=path)


@pytest.fixture
def silent() -> Iterator[int]:
    """A port where somebody listens and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_a_silent_server_is_given_up(silent: int, origin: Origin, tmp_path: Path) -> None:
    """Every git command has a deadline."""
    source = Mirror(f"git://127.0.0.1:{silent}/x", "main", tmp_path / "mirror", Seams(), deadline_s=0.4)
    with pytest.raises(SourceError, match=r"given up after 0\.4 s"):
        source.fetch()
    source.close()


def test_closing_ends_a_fetch(silent: int, origin: Origin, tmp_path: Path) -> None:
    """Whoever ends Convoy does not wait for a server that does not answer."""
    source = Mirror(f"git://127.0.0.1:{silent}/x", "main", tmp_path / "mirror", Seams(), deadline_s=3600)
    closing = threading.Timer(0.3, source.close)
    closing.start()
    with pytest.raises(SourceError, match="stopped"):
        source.fetch()
    closing.join()
    with pytest.raises(SourceError, match="stopped"):
        source.fetch()


def test_the_callers_environment_does_not_lead_git_astray(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Started from a hook, from another repository, with tracing on or an asking program set: the same fetch as ever."""
    revision = origin.commit({"a.yaml": "1"})
    asker = tmp_path / "asker"
    asker.write_text(f"#!/bin/sh\ntouch {tmp_path}/asked\n")
    asker.chmod(0o755)
    strange = {
        "GIT_DIR": "/nonexistent",
        "GIT_WORK_TREE": "/nonexistent",
        "GIT_INDEX_FILE": "/nonexistent",
        "GIT_OBJECT_DIRECTORY": "/nonexistent",
        "GIT_CONFIG_PARAMETERS": "'core.bare=false'",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.hooksPath",
        "GIT_CONFIG_VALUE_0": "/nonexistent",
        "GIT_TRACE": str(tmp_path / "trace"),
        "GIT_ASKPASS": str(asker),
        "SSH_ASKPASS": str(asker),
        "GIT_EDITOR": str(asker),
    }
    for name, value in strange.items():
        monkeypatch.setenv(name, value)
    source = Mirror(str(origin.path), "main", tmp_path / "mirror", Seams())
    assert source.fetch() == revision
    source.close()
    assert not (tmp_path / "trace").exists()
    assert not (tmp_path / "asked").exists()
    kept = {name for name in environment({}) if name.startswith(("GIT_", "SSH_ASKPASS"))}
    assert kept == {
        "GIT_ALLOW_PROTOCOL",
        "GIT_TERMINAL_PROMPT",
        "GIT_CONFIG_COUNT",
        "GIT_CONFIG_GLOBAL",
        "GIT_CONFIG_NOSYSTEM",
        "GIT_GRAFT_FILE",
        "GIT_NO_REPLACE_OBJECTS",
        "SSH_ASKPASS_REQUIRE",
    }


def test_settings_and_hooks_of_the_user_and_the_source_run_nothing(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signing, hooks, fsmonitor, templates: whatever is set, no program of anybody's runs, and the fetch works."""
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\nexit 1\n")
    program.chmod(0o755)
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("post-checkout", "reference-transaction", "post-merge", "pre-auto-gc", "post-update"):
        os.symlink(program, hooks / name)
    settings = (
        f"[core]\nhooksPath={hooks}\nfsmonitor={program}\naskPass={program}\n[commit]\ngpgsign=true\n[gpg]\nprogram={program}\n"
    )
    settings += f"[fetch]\nrecurseSubmodules=true\n[gc]\nauto=1\n[init]\ntemplateDir={tmp_path}\n[uploadpack]\n"
    (tmp_path / "config").write_text(settings)
    with (origin.path / "config").open("a") as file:
        file.write(settings + f"packObjectsHook={program}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    revision = git_free_commit(origin)
    source = Mirror(str(origin.path), "main", tmp_path / "mirror", Seams())
    assert source.fetch() == revision
    source.close()
    assert not (tmp_path / "ran").exists()


def git_free_commit(origin: Origin) -> str:
    return origin.commit_tree([("100644", b"a.yaml", origin.blob(b"1"))])
