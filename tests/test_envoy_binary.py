"""The binary that is found is the one asked for, and a real one where there is a choice."""

from pathlib import Path

import pytest

from reconciler import envoy_binary


def executable(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o755)
    return path


def test_the_variable_decides_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`$ENVOY` wins over everything, and a wrong one gives None instead of another Envoy."""
    mine = executable(tmp_path / "mine", b"\x7fELF")
    monkeypatch.setenv("ENVOY", str(mine))
    assert envoy_binary.find() == mine
    monkeypatch.setenv("ENVOY", str(tmp_path / "missing"))
    assert envoy_binary.find() is None


def test_a_console_script_is_the_last_resort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script earlier on PATH loses against a binary later on it."""
    monkeypatch.delenv("ENVOY", raising=False)
    monkeypatch.setattr(envoy_binary, "DISTRIBUTION", "no-such-distribution")
    script = executable(tmp_path / "a" / "envoy", b"#!/usr/bin/python3\n")
    monkeypatch.setenv("PATH", str(tmp_path / "a"))
    assert envoy_binary.find() == script
    binary = executable(tmp_path / "b" / "envoy", b"\x7fELF")
    monkeypatch.setenv("PATH", f"{tmp_path / 'a'}:{tmp_path / 'b'}")
    assert envoy_binary.find() == binary
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert envoy_binary.find() is None
