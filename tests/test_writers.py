"""Writers against a real `convoy serve` that is killed twice while a person pushes to the same branch: what was acknowledged is
in the history, exactly once. `SOAK_S=60` (make soak) makes it longer."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from reconciler.seams import Seams
from reconciler.store import Store, default_url
from tests import repos
from tests.committing import cluster
from tests.ports import free_port
from tests.test_against import until

WRITERS = 32
# Of writing between two kills, and after the last; in all it is three times as long, and what starting takes.
FOR_S = float(os.environ.get("SOAK_S", "9")) / 3
# Each thing that is waited for has a minute.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600 + 9 * FOR_S)]
# A read may come while it is killed and starts again, each of which has a minute.
ANSWERED_S = 240
# Of the log of what was killed, where the test fails.
LINES_TOLD = 200


class Served:
    """A `convoy serve` that may be killed and started again on the same state, and whoever asks it."""

    def __init__(self, directory: Path, origin: repos.Origin) -> None:
        self.log, self.port, state = directory / "log", free_port(), directory / "state"
        state.mkdir(mode=0o700)
        self.store = default_url(state)
        with closing(Store(self.store, Seams())) as store:
            self._token = store.tokens.create("w", ("read", "write"), None, "Ada <ada@example.com>")[1]
        source = ["--source", str(origin.path), "--branch", "main", "--state", str(state), "--http", str(self.port)]
        self._words = [sys.executable, "-m", "reconciler", "serve", *source]
        self._lives = 0
        self._process = self._started()

    def _started(self) -> "subprocess.Popen[bytes]":
        self._lives += 1
        with self.log.open("ab") as log:
            return subprocess.Popen(self._words, stderr=log)

    def up(self) -> bool:
        assert self._process.poll() is None, "it has ended by itself"
        # What its predecessor has started may answer for a moment yet.
        if self.log.read_text().count("web.started") < self._lives:
            return False
        with suppress(OSError, ValueError, http.client.HTTPException):
            return self.ask("GET", "resources/cluster/c0")[0] == 200
        return False

    def told(self) -> str:
        """The end of its log, without what went well."""
        lines = [one for one in self.log.read_text(errors="replace").splitlines() if "status=200" not in one]
        return "\n".join(lines[-LINES_TOLD:])

    def kill(self) -> None:
        """And start again."""
        self._process.kill()
        self._process.wait()
        self._process = self._started()

    def close(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(60)
        self._process.kill()
        self._process.wait()

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, dict[str, object]]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/convoy/v1/{path}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"} | headers,
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=40) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())


class Fire:
    """Those who write until it is over: each its own Cluster, under a key that it keeps until it is answered."""

    def __init__(self, served: Served) -> None:
        self._served, self.over = served, threading.Event()
        self.acknowledged: Counter[str] = Counter()
        self.unread, self.again = list[str](), list[str]()
        self._threads = [threading.Thread(target=self._write, args=(n,)) for n in range(WRITERS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self.over.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _write(self, writer: int) -> None:
        number = 0
        while not self.over.is_set():
            key = f"{writer}-{number}"
            # It may be killed in the middle of an answer.
            with suppress(OSError, ValueError, http.client.HTTPException):
                patch = {"metadata": {"annotations": {"n": key}}}
                status, said = self._served.ask(
                    "PATCH", f"resources/cluster/c{writer}?message=w{key}", patch, **{"Idempotency-Key": key}
                )
                if status == 200:
                    self.acknowledged[f"w{key}"] += 1
                    number += 1
                    if number % 7 == 0:
                        self._read_back(writer, str(said["proposal"]), key)
                    continue
            self.again.append(key)
            self.over.wait(0.5)

    def _read_back(self, writer: int, proposal: str, key: str) -> None:
        """As often as it takes to be answered."""
        end, status, said = time.monotonic() + ANSWERED_S, 0, dict[str, object]()
        while status != 200 and time.monotonic() < end:
            with suppress(OSError, ValueError, http.client.HTTPException):
                status, said = self._served.ask("GET", f"resources/cluster/c{writer}?after={proposal}&timeoutSeconds=20")
            if status != 200 and self.over.wait(0.5):
                return
        if f'"n": "{key}"' not in json.dumps(said):
            self.unread.append(f"{key} was written, and c{writer} says {said}")


def person(origin: repos.Origin, clone: Path, over: threading.Event, pushed: list[str]) -> None:
    """Pushes as a person does: pulls, commits, pushes, and again where somebody was quicker. `pushed`: what has got there."""
    while not over.is_set():
        name = f"theirs-{len(pushed)}"
        (clone / f"{name}.yaml").write_text(cluster(name))
        repos.git(clone, "add", ".")
        repos.git(clone, "commit", "-q", "-m", name)
        while not over.is_set():
            repos.git(clone, "pull", "-q", "--rebase", "origin", "main")
            with suppress(subprocess.CalledProcessError, AssertionError):
                repos.git(clone, "push", "-q", "origin", "HEAD:main")
                pushed.append(name)
                break
        over.wait(0.5)


@contextmanager
def telling(served: Served) -> Iterator[None]:
    """What the log says, where this fails."""
    try:
        yield
    except BaseException:
        sys.stderr.write(f"{served.told()}\n")
        raise


def test_killed_among_writers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every acknowledged write is one commit, none is there twice, what a person has pushed stays, whoever wrote reads it, and
    what waited when it died is done by its successor."""
    repos.hermetic(monkeypatch)
    origin = repos.make_origin(tmp_path)
    origin.commit({f"clusters/c{n}.yaml": cluster(f"c{n}") for n in range(WRITERS)})
    served = Served(tmp_path, origin)
    fire, theirs = Fire(served), list[str]()
    clone = repos.make_clone(origin, tmp_path / "clone")
    pushing = threading.Thread(target=person, args=(origin, clone, fire.over, theirs))

    def write() -> None:
        """For a while, and until something comes of it, however slow the machine is."""
        writes, pushes = len(fire.acknowledged), len(theirs)
        time.sleep(FOR_S)
        until(lambda: len(fire.acknowledged) >= writes + WRITERS, "writes are acknowledged")
        until(lambda: len(theirs) > pushes, "the person gets something through")

    def none_waits() -> bool:
        with closing(Store(served.store, Seams(), make=False)) as store:
            return not store.proposals.waiting(1)

    with telling(served):
        try:
            until(served.up, "it serves")
            fire.start()
            pushing.start()
            for _ in range(2):
                write()
                served.kill()
                until(served.up, "it serves again")
            write()
            fire.stop()
            pushing.join()
            until(none_waits, "all are decided")
        finally:
            fire.over.set()
            served.close()
            fire.stop()
            if pushing.ident is not None:
                pushing.join()
        subjects = Counter(repos.git(origin.path, "log", "--format=%s", "main").splitlines())
        ids = Counter(repos.git(origin.path, "log", "--format=%(trailers:key=Convoy-Request,valueonly)", "main").split())
        ours = [one for one in subjects if one.startswith("w")]
        wrong = {
            "acknowledged, and not there once": {one: subjects[one] for one in fire.acknowledged if subjects[one] != 1},
            "there more than once": {one: times for one, times in (subjects + ids).items() if times > 1},
            "pushed by a person, and not there once": {one: subjects[one] for one in theirs if subjects[one] != 1},
            "commits, and not as many requests": (len(ours), len(ids)) if len(ours) != len(ids) else (),
            "not read as it was written": fire.unread,
        }
        counts = f"{len(fire.acknowledged)} writes, {len(fire.again)} asked again; {len(theirs)} pushes of a person"
        assert not any(wrong.values()), f"{counts}:\n{json.dumps(wrong, indent=1)}"
        assert fire.again, "it was not killed while anybody wrote"
        repos.git(origin.path, "fsck", "--connectivity-only")
    # Shown by `pytest -rP`.
    sys.stderr.write(f"{counts}\n")
