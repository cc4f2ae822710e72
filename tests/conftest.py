"""What every test shares."""

import contextlib
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import postgres as postgresql
from tests.signing import Ssh

# A shell has what it starts in the background ignore Ctrl-C, and so would everything that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="write the expected files of scenario cases anew")


@pytest.fixture(scope="session")
def postgres() -> Iterator[postgresql.Server]:
    """A real PostgreSQL, one for all tests of this session; where there is none, the tests that need it are skipped."""
    bin = postgresql.programs()
    if bin is None:
        pytest.skip(postgresql.MISSING)
    with postgresql.started(bin) as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> postgresql.Place:
    """Where a store can be made and none is yet, on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        return postgresql.Place(f"sqlite:///{tmp_path / 'convoy.db'}")
    server: postgresql.Server = request.getfixturevalue("postgres")
    return postgresql.Place(server.new())


@pytest.fixture
def sockets() -> Iterator[Path]:
    """A directory with a short path: a socket's may have 103 bytes, and pytest's own directories spend them all."""
    with tempfile.TemporaryDirectory(prefix="convoy-") as directory:
        yield Path(directory)


@pytest.fixture
def ssh(tmp_path: Path) -> Ssh:
    """Keys that are made when they are asked for."""
    (tmp_path / "keys").mkdir()
    return Ssh(tmp_path / "keys")


@pytest.fixture
def signers(tmp_path: Path, ssh: Ssh) -> Path:
    """A file of allowed signers with Alice in it."""
    path = tmp_path / "signers"
    path.write_text(f"alice@example.org {ssh.key('alice')}\n")
    return path


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests have counted, at the end: also where workers ran them, whose output nobody sees."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "figures":
                terminalreporter.write_line(f"\n{report.nodeid}\n{value}")
