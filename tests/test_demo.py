"""What the demo is made of: an application that ends in order, and the end of a demo, however it ended."""

import fcntl
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from reconciler.demo.fleet import APP
from reconciler.demo.run import stop


@pytest.mark.slow
def test_its_application_answers_what_it_has_been_asked(tmp_path: Path) -> None:
    """Also what it is still busy with when it is told to end; who only keeps a connection keeps nobody from ending."""
    busy = APP.read_text().replace(
        '        body = f"', '        open("asked", "w").close()\n        time.sleep(1.0)\n        body = f"'
    )
    (tmp_path / "app.py").write_text("import time\n" + busy)
    environment = {**os.environ, "ADDRESS": "127.0.0.1", "PORT": "0"}
    with subprocess.Popen(
        [sys.executable, "app.py", "blue"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    ) as application:
        assert application.stdout is not None
        port = int(application.stdout.readline().rstrip().rstrip(")").rpartition(" ")[2])
        with (
            socket.create_connection(("127.0.0.1", port), 60) as idle,
            socket.create_connection(("127.0.0.1", port), 60) as one,
        ):
            one.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            while not (tmp_path / "asked").exists():
                time.sleep(0.01)
            application.terminate()
            with one.makefile("rb") as answer:
                assert answer.read().endswith(b"blue\n")
            assert idle.recv(1) == b""
        assert application.wait(60) == 0


def test_one_that_is_just_ending_is_waited_for(tmp_path: Path) -> None:
    """Its process is gone already, or has not said who it is: what it holds comes free, and what it left is taken away."""
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    for said in (str(gone.pid), ""):
        (tmp_path / "serve.log").touch()
        (tmp_path / "lock").write_text(said)
        held = os.open(tmp_path / "lock", os.O_RDWR)
        fcntl.flock(held, fcntl.LOCK_EX)
        later = threading.Timer(0.3, os.close, (held,))
        later.start()
        assert stop(tmp_path) is bool(said)
        later.join()
        assert not (tmp_path / "serve.log").exists()
