"""`convoy WORDS` in a test, with a state directory of its own."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from reconciler import cli
from reconciler.seams import Seams
from reconciler.store import Store

Convoy = Callable[..., Result]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def convoy(state: Path, tmp_path: Path) -> Convoy:
    """`convoy WORDS`, with a state directory of its own and nothing of the caller's environment that matters."""

    def call(*words: str, input: str | bytes | None = None, **environment: str | None) -> Result:
        env = {"CONVOY_STATE": str(state), "NO_COLOR": None, "XDG_STATE_HOME": None, "HOME": str(tmp_path), **environment}
        return CliRunner().invoke(cli.convoy, list(words), input=input, env=env, prog_name="convoy")

    return call


@pytest.fixture
def store(state: Path) -> Iterator[Store]:
    state.mkdir(mode=0o700)
    with closing(Store(f"sqlite:///{state / 'convoy.db'}", Seams())) as opened:
        yield opened
