"""What every test shares."""

import contextlib
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from reconciler.rundir import run_path
from tests import postgres as postgresql
from tests.signing import Ssh

# A shell has what it starts in the background ignore Ctrl-C, and so would everything that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example took, or was made, says how busy the machine is; and how many of the first ones are too large or must be
# thrown away says which seed it was, which is another one each time. (A test that suppresses more has to say these again.) What
# falsifies a property is therefore printed in a form that plays it again.
CHANCE = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
settings.register_profile("any machine", deadline=None, suppress_health_check=CHANCE, print_blob=True)
settings.load_profile("any machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="write the expected files of scenario cases anew")
    parser.addoption("--fuzz", type=int, default=30, metavar="SECONDS", help="how long schemathesis goes on (30)")
    parser.addoption("--fuzz-seed", type=int, default=5, metavar="NUMBER", help="what it begins with (5)")
    parser.addoption(
        "--all-parts", action="store_true", help="every part is here: a test that is skipped for want of one fails"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Documents are played one at a time on a machine: first, by one of several workers, so that none waits for another."""
    items.sort(key=lambda item: "alone" not in getattr(item, "fixturenames", ()))


def clear_sockets(directory: Path) -> None:
    """Below pytest's own directories paths are too long for sockets, which then stand beside them: those of the state
    directories in this one are removed."""
    places = {directory}
    for below in ("*/", "*/*/", "*/hosts/*/"):
        # What a process that is just ending takes away meanwhile has no sockets any more.
        with contextlib.suppress(FileNotFoundError):
            places.update(directory.glob(below))
    names = {run_path(place).name for place in places if not place.is_symlink()}
    for name in names:
        # What a test starts may have no TMPDIR. (A short path has its sockets below it.)
        for temporary in {tempfile.gettempdir(), "/tmp"} if name.startswith("convoy-") else ():
            shutil.rmtree(Path(temporary, name), ignore_errors=True)


@pytest.fixture(autouse=True)
def without_sockets(request: pytest.FixtureRequest) -> Iterator[None]:
    """Nothing of a test is left outside its directory."""
    directory: Path | None = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    yield
    if directory is not None:
        clear_sockets(directory)


@pytest.fixture(autouse=True, scope="session")
def without_shared_sockets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nor of what several tests share."""
    yield
    for directory in tmp_path_factory.getbasetemp().glob("*/"):
        if not directory.name.startswith("test_"):
            clear_sockets(directory)


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


# Why a test may be skipped where every part is here: it is for another user or another database, or the network does not give
# what it plays.
MAY_BE_SKIPPED = ("run as ", "for SQLite alone", "cannot get")


def skipped_for_want(terminalreporter: pytest.TerminalReporter) -> list[str]:
    """Where each test stands that was skipped for want of a part, and why."""
    skips = [report.longrepr for report in terminalreporter.getreports("skipped") if isinstance(report.longrepr, tuple)]
    return [f"{file}:{line}: {why}" for file, line, why in skips if not any(words in why for words in MAY_BE_SKIPPED)]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.config.getoption("--all-parts") and reporter is not None and skipped_for_want(reporter):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests have counted, at the end: also where workers ran them, whose output nobody sees."""
    if terminalreporter.config.getoption("--all-parts"):
        for one in skipped_for_want(terminalreporter):
            terminalreporter.write_line(f"skipped though every part should be here: {one}", red=True)
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "figures":
                terminalreporter.write_line(f"\n{report.nodeid}\n{value}")
