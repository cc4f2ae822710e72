"""An Envoy that nobody manages, as the tests of imports find one; and the same as Convoy runs it."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reconciler import envoy_dump
from reconciler.core.adopt import LARGEST_INPUT
from reconciler.envoy_admin import AdminError, get
from reconciler.seams import Seams
from tests.ports import free_port

BOOTSTRAPS = Path(__file__).parent / "bootstraps"
HOST = "apiVersion: convoy/v1\nkind: Host\nmetadata: {name: local}\nspec: {driver: process, address: 127.0.0.1}\n"


def with_free_ports(text: str) -> tuple[str, dict[str, int]]:
    """The text with every port that begins with 183 made a free one; old ⇒ new."""
    ports = {str(port): free_port() for port in range(18300, 18400) if str(port) in text}
    for old, new in ports.items():
        text = text.replace(old, str(new))
    return text, ports


@contextmanager
def envoy(binary: Path, config: Path, admin: Path, base_id: int = 0) -> Iterator[None]:
    """An Envoy with this bootstrap, its admin page on a Unix socket, for as long as the block runs."""
    over = json.dumps({"admin": {"address": {"pipe": {"path": str(admin)}}}})
    log = config.with_suffix(".log")
    command = [binary, "-c", config, "--config-yaml", over, "--concurrency", "1", "--disable-hot-restart", "-l", "warn"]
    with log.open("w") as output:
        process = subprocess.Popen(list(map(str, command)), stdout=output, stderr=output)
    try:
        wait_for(admin)
        yield
    except BaseException:
        print(log.read_text()[-4000:])
        raise
    finally:
        process.terminate()
        process.wait(100)


def wait_for(admin: Path, seconds: float = 150) -> None:
    """Until the Envoy behind this socket serves."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(AdminError):
            get(str(admin), "/ready", 30.0)
            return
        time.sleep(0.05)
    raise AssertionError(f"no Envoy is ready at {admin}")


def dump(admin: Path | str) -> bytes:
    return envoy_dump.config_dump(str(admin), LARGEST_INPUT, Seams())


def convoy(state: Path, *words: str, code: int = 0) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "reconciler", "--state", str(state), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stdout[-4000:] + done.stderr[-4000:]
    return done


def admin_of(state: Path, proxy: str) -> Path:
    told = json.loads(convoy(state, "explain", f"Proxy/{proxy}", "-o", "json").stdout)
    return Path(told["instances"][0]["ports"]["admin"])


@contextmanager
def managed(state: Path, fleet: Path, proxy: str) -> Iterator[Path]:
    """The fleet, carried out; gives the admin socket of this Proxy's Envoy. Nothing is left running."""
    try:
        convoy(state, "apply", str(fleet))
        yield admin_of(state, proxy)
    finally:
        convoy(state, "down", "--yes", "--retained")


def bodies(text: bytes) -> dict[tuple[str, str], Any]:
    """Everything of a dump that listens, routes or leads somewhere, by type and name."""
    from reconciler.core.adopt.inputs import read
    from reconciler.core.adopt.inventory import inventory
    from reconciler.core.adopt.ledger import Ledger

    found = inventory(read("dump", text), Ledger())
    return {(one.type, one.name): one.message for one in found.items if one.type in ("lds", "cds", "rds")}
