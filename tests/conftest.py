"""What every test shares."""

from collections.abc import Iterator

import pytest

from tests import postgres as postgresql


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
