"""GitHub's published payloads, from its own package, which is got for the test: each is answered as it should be."""

import json
import os
import shutil
import subprocess
import tarfile
from typing import Any

import pytest

from tests.api.hooks.conftest import Hooked
from tests.api.hooks.mutations import mutated, places

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PACKAGE = "@octokit/webhooks-examples@7.6.1"
# A wrong type at every place of everything would take minutes: each event takes another share of them.
SHARE = 97


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """Event ⇒ its payloads."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm on PATH")
    place = tmp_path_factory.mktemp("published")
    environment = {**os.environ, "npm_config_cache": str(place / "cache"), "npm_config_update_notifier": "false"}
    try:
        packed = subprocess.run(
            [npm, "pack", "--silent", PACKAGE], cwd=place, env=environment, capture_output=True, text=True, timeout=240
        )
    except subprocess.TimeoutExpired as late:
        pytest.skip(f"npm cannot get {PACKAGE}: {late}")
    if packed.returncode:
        pytest.skip(f"npm cannot get {PACKAGE}: {packed.stderr[-300:]}")
    with tarfile.open(place / packed.stdout.split()[-1]) as archive:
        file = archive.extractfile("package/api.github.com/index.json")
        assert file is not None
        return {one["name"]: one["examples"] for one in json.load(file)}


def test_every_published_event(
    published: dict[str, list[dict[str, Any]]], hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A push to the branch that is followed wakes, a ping is answered with 200, everything else with 202 and no more."""
    monkeypatch.setattr("api.hooks.IN_A_MINUTE", 10**9)
    hooked.follow("https://github.com/ops/fleet")
    assert len(published) > 50
    pushes = 0
    for event, examples in published.items():
        for number, payload in enumerate(examples):
            if event == "push":
                ref = payload["ref"]
                hooked.follow(payload["repository"]["clone_url"], ref.removeprefix("refs/heads/"))
                answer = hooked.send("github", payload, X_GitHub_Event=event, X_GitHub_Delivery=f"{event}-{number}")
                branch = ref.startswith("refs/heads/")
                assert hooked.verdict(answer) == ("woken" if branch else "elsewhere"), ref
                pushes += branch
                # As many wait as the system lets: another that comes then wakes nobody once more.
                assert not branch or hooked.woken()
                hooked.follow(payload["repository"]["ssh_url"], "another")
                assert hooked.verdict(hooked.send("github", payload, X_GitHub_Event=event)) == "elsewhere"
                continue
            answer = hooked.send("github", payload, X_GitHub_Event=event)
            assert (answer.status_code, hooked.verdict(answer)) == ((200, "ping") if event == "ping" else (202, "ignored")), (
                event
            )
    assert pushes >= 2
    assert hooked.asleep()


def test_published_with_types_mutated(
    published: dict[str, list[dict[str, Any]]], hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2xx or 4xx, whatever stands where."""
    monkeypatch.setattr("api.hooks.IN_A_MINUTE", 10**9)
    hooked.follow("https://github.com/ops/fleet")
    others: list[Any] = [None, 1, "", [], {}, ["x"], {"x": 1}, True]
    sent = 0
    for event, examples in published.items():
        payload = examples[0]
        every = list(places(payload)) if event == "push" else list(places(payload))[sent % SHARE :: SHARE]
        for path in every:
            changed = mutated(payload, path, others[sent % len(others)])
            assert hooked.send("github", changed, X_GitHub_Event=event).status_code in (200, 202, 400), (event, path)
            sent += 1
    assert sent > 200
