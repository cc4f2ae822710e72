"""What the dialect's OpenAPI document says is so, whatever is sent: with schemathesis, and all of its checks."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests import repos
from tests.api.envoy_fleet.fuzzing import Quick, failures


@pytest.fixture
def quick(tmp_path: Path, sockets: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Quick]:
    repos.hermetic(monkeypatch)
    origin = repos.make_origin(tmp_path)
    origin.commit({"README.md": "a fleet\n"})
    with closing(Quick(tmp_path, sockets, origin)) as opened:
        yield opened


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_every_check(quick: Quick, request: pytest.FixtureRequest) -> None:
    """Examples, the edges of each schema, random requests and chains of them: no failure. `--fuzz` says for how long."""
    seed, within_s = (request.config.getoption(name) for name in ("--fuzz-seed", "--fuzz"))
    checks = 0
    # A machine that is slow, or has others to serve, takes longer.
    while checks <= 1_000:
        found, more = failures(quick, seed=seed, within_s=within_s)
        assert not found, "\n".join(found)
        assert more
        checks, seed = checks + more, seed + 1
