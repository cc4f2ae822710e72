"""COVERAGE.txt says which documented operations are served, and is true."""

from pathlib import Path

import pytest

from api.surfaces import envoy_fleet
from api.surfaces.envoy_fleet.coverage import coverage
from tests.api.envoy_fleet.playing import Dialect, served

FILE = Path(envoy_fleet.__file__).parent / "COVERAGE.txt"


def test_coverage(dialect: Dialect, request: pytest.FixtureRequest) -> None:
    """As written by `--update`: what is not served is listed as such, and every operation is listed."""
    now = coverage(served(dialect.reach))
    if request.config.getoption("--update"):
        FILE.write_text(now)
    assert FILE.read_text() == now
