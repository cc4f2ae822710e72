"""The envoy-fleet dialect with a real repository, store and committer behind it."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests import repos
from tests.api.envoy_fleet.playing import Dialect, patient


@pytest.fixture
def dialect(tmp_path: Path, sockets: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dialect]:
    repos.hermetic(monkeypatch)
    patient(monkeypatch)
    origin = repos.make_origin(tmp_path)
    origin.commit({"README.md": "a fleet\n"})
    with closing(Dialect(tmp_path, sockets, origin)) as opened:
        yield opened
