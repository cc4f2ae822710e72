"""The template's CI with more around it: a Convoy that runs the fleet, and a fleet of several environments."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.drivers.world import soon
from tests.forge.conftest import BOT
from tests.forge.playing import TEMPLATE, Runner
from tests.forge.stand_in import StandIn
from tests.repos import Content, Origin, git

pytestmark = pytest.mark.timeout(1200)
EXAMPLE = TEMPLATE.parent / "examples" / "environments"
HELLO = "fleet/apps/hello.yaml"
CONVOY = str(Path(sys.executable).parent / "convoy")


def files_of(directory: Path) -> dict[str, Content]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


def made(tmp_path: Path, files: dict[str, Content]) -> Origin:
    path = tmp_path / "origin.git"
    git(tmp_path, "init", "-q", "--bare", "--initial-branch=main", str(path))
    origin = Origin(path)
    origin.commit(files, onto="")
    return origin


@contextmanager
def served(origin: Origin, state: Path) -> Iterator[tuple[str, str]]:
    """A Convoy that follows the origin; its URL, and a token that may ask for plans."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(state), "CONVOY_STATE": str(state / "s"), "LANG": "C.UTF-8"}
    made = subprocess.run(
        [CONVOY, "token", "create", "ci", "--may", "plan"], env=environment, capture_output=True, text=True, check=True
    )
    with (state / "log").open("wb") as log:
        convoy = subprocess.Popen(
            [CONVOY, "serve", "--source", str(origin.path), "--branch", "main", "--http", "127.0.0.1:0"],
            env=environment,
            stdout=log,
            stderr=log,
        )

    def converged() -> bool:
        log = (state / "log").read_text()
        assert convoy.poll() is None, log
        if "web.started address=" not in log:
            return False
        ran = subprocess.run([CONVOY, "status", "-o", "json"], env=environment, capture_output=True, text=True)
        return ran.returncode == 0 and bool(json.loads(ran.stdout)["converged"])

    try:
        # What it has done is known only when it has looked again.
        soon(converged, 120)
        address = re.search(r"web\.started address=(\S+)", (state / "log").read_text())
        assert address is not None
        yield f"http://{address[1]}", made.stdout.strip()
    finally:
        convoy.send_signal(signal.SIGTERM)
        convoy.wait(120)
        subprocess.run([CONVOY, "down", "--yes"], env=environment, capture_output=True, timeout=120, check=True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gitea"], indirect=True)
def test_the_convoy_that_runs_the_fleet_is_asked(kind: str, forge: StandIn, sockets: Path, tmp_path: Path) -> None:
    """With a URL and a token the plan is made from what that one sees; else the comment says there is none."""
    origin = made(tmp_path, {name: text for name, text in files_of(TEMPLATE).items() if "proxies" not in name})
    base = origin.tip("main")
    changed = (TEMPLATE / HELLO).read_text().replace("replicas: 2", "replicas: 3")
    head = origin.commit({HELLO: changed}, branch="feature", onto=base)
    runner = Runner(kind, forge, origin, tmp_path / "runner")
    with served(origin, sockets) as (url, token):
        runner.secrets = {"CONVOY_URL": url, "CONVOY_TOKEN": token}
        ran = runner.run(base=base, head=head)
        assert ran.exit_code == 0, ran.log
        (said,) = forge.of(BOT[kind])
        assert "**1 to create" in said
        assert "Container/hello-3" in said
        assert "Container/hello-1" not in said
        assert url in re.sub("[\u200b\\\\]", "", said)
        assert token not in said + ran.log
    ran = runner.run(base=base, head=head)
    assert ran.exit_code == 1
    assert "**No plan could be made.**" in forge.of(BOT[kind])[0]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["github"], indirect=True)
def test_each_environment_is_planned(kind: str, forge: StandIn, tmp_path: Path) -> None:
    """A change of one's values is that one's; one of what they share is of both; in one comment."""
    script = "ci/pull-request.sh"
    origin = made(tmp_path, files_of(EXAMPLE) | {script: (TEMPLATE / script).read_bytes()})
    base = origin.tip("main")
    staging = (EXAMPLE / "environments/staging/environment.yaml").read_text()
    head = origin.commit(
        {"environments/staging/environment.yaml": re.sub(r"greeting: .*", "greeting: hi", staging)}, branch="feature", onto=base
    )
    ran = Runner(kind, forge, origin, tmp_path / "runner").run(base=base, head=head)

    assert ran.exit_code == 0, ran.log
    (said,) = forge.of(BOT[kind])
    production, changed = said.split("## `environments/production`")[1].split("## `environments/staging`")
    assert "**Nothing changes" in production
    assert "Container/web-1" in changed
