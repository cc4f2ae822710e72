"""Sixteen writers against a real `convoy serve` that is killed once: what was acknowledged is in the history, exactly once."""

import json
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path

import pytest

from reconciler.seams import Seams
from reconciler.store import Store, default_url
from tests import repos
from tests.committing import cluster
from tests.test_against import free_port, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
WRITERS, FOR_S = 16, 5.0


def test_killed_among_writers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every acknowledged write is one commit; none is there twice; what waited when it died is done by its successor."""
    repos.hermetic(monkeypatch)
    origin = repos.make_origin(tmp_path)
    origin.commit({f"clusters/c{n}.yaml": cluster(f"c{n}") for n in range(WRITERS)})
    state, port = tmp_path / "state", free_port()
    state.mkdir(mode=0o700)
    with closing(Store(default_url(state), Seams())) as store:
        token = store.tokens.create("w", ("read", "write"), None, "Ada <ada@example.com>")[1]
    words = ["serve", "--source", str(origin.path), "--branch", "main", "--state", str(state), "--http", str(port)]

    def serve() -> "subprocess.Popen[bytes]":
        with (tmp_path / "log").open("ab") as log:
            return subprocess.Popen([sys.executable, "-m", "reconciler", *words], stderr=log)

    def ask(method: str, path: str, body: object = None, **headers: str) -> tuple[int, dict[str, object]]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/convoy/v1/{path}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json"} | headers,
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=40) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    process = serve()

    def up() -> bool:
        assert process.poll() is None, (tmp_path / "log").read_text()
        with suppress(OSError, ValueError):
            return ask("GET", "resources/cluster/c0")[0] == 200
        return False

    acknowledged: Counter[str] = Counter()
    again: list[str] = []
    lock, over = threading.Lock(), time.monotonic() + 60

    def write(writer: int) -> None:
        number, key = 0, ""
        while time.monotonic() < over:
            key = key or f"{writer}-{number}"
            with suppress(OSError, ValueError):
                patch = {"metadata": {"annotations": {"n": key}}}
                status, _ = ask("PATCH", f"resources/cluster/c{writer}?message=w{key}", patch, **{"Idempotency-Key": key})
                if status == 200:
                    with lock:
                        acknowledged[f"w{key}"] += 1
                    number, key = number + 1, ""
                    continue
            with lock:
                again.append(key)
            time.sleep(0.1)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(WRITERS)]
    try:
        until(up, "it serves")
        over = time.monotonic() + FOR_S
        for thread in threads:
            thread.start()
        time.sleep(FOR_S / 3)
        process.kill()
        process.wait()
        process = serve()
        over = time.monotonic() + FOR_S
        until(up, "it serves again")
        over = time.monotonic() + FOR_S
        for thread in threads:
            thread.join()

        def none_waits() -> bool:
            with closing(Store(default_url(state), Seams(), make=False)) as store:
                return not store.proposals.waiting(1)

        until(none_waits, "all are decided")
    finally:
        over = 0.0
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(30)
        process.kill()
    subjects = Counter(repos.git(origin.path, "log", "--format=%s", "main").splitlines())
    assert all(subjects[one] == 1 for one in acknowledged), [one for one in acknowledged if subjects[one] != 1]
    assert not [one for one, times in subjects.items() if times > 1]
    ids = repos.git(origin.path, "log", "--format=%(trailers:key=Convoy-Request,valueonly)", "main").split()
    assert len(ids) == len(set(ids)) == len(subjects) - 1
    assert len(acknowledged) > WRITERS
    assert again, "it was not killed while anybody wrote"
