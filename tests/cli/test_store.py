"""`--store` and $CONVOY_STORE: another place for the facts, on any database, and no password anywhere."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from reconciler.seams import Seams
from reconciler.store import Store
from tests.cli.conftest import Convoy
from tests.postgres import Place


@pytest.fixture
def elsewhere(place: Place) -> Iterator[Store]:
    with closing(Store(place.url, Seams())) as opened:
        yield opened


def test_status_of_another_store(convoy: Convoy, elsewhere: Store, place: Place, state: Path) -> None:
    """Named by the option or by the environment, before the command or after it; who acts is named."""
    elsewhere.put_state({"revision": "r1", "converged": True})
    lease = elsewhere.acquire("control", "vm1:/var/lib/convoy (0a1b2c3d4e5f)", 60)
    assert lease is not None
    for words, variable in (
        (("--store", place.url, "status"), None),
        (("status", "--store", place.url), "sqlite:////nonexistent/x.db"),
        (("status",), place.url),
    ):
        answer = json.loads(convoy(*words, "-o", "json", CONVOY_STORE=variable).stdout)
        assert (answer["revision"], answer["acting"], answer["by"]) == ("r1", True, lease.holder)
    assert "at work: vm1:/var/lib/convoy (0a1b2c3d4e5f)" in convoy("status", CONVOY_STORE=place.url).stdout
    assert not (state / "convoy.db").exists()


def test_looking_at_nothing_makes_nothing(convoy: Convoy, place: Place) -> None:
    """A store that nobody has made is no error to `status`, and is not there afterwards either."""
    assert json.loads(convoy("status", "-o", "json", CONVOY_STORE=place.url).stdout)["acting"] is False
    assert "no Convoy has worked" in convoy("get", CONVOY_STORE=place.url).stderr
    if place.backend == "postgresql":
        assert place.tables() == []


@pytest.mark.parametrize("words", [("status",), ("plan", "."), ("backup", "x", "--plain"), ("down",), ("doctor",)])
@pytest.mark.parametrize(
    "url",
    ["postgresql://u:hunter2@127.0.0.1:1/x", "postgresql://u:hun@hunter2@h/x", "postgresql://u:hunter2@h:p/x", "hunter2"],
)
def test_no_password_is_shown(convoy: Convoy, url: str, words: tuple[str, ...]) -> None:
    """Whatever is wrong with the URL and whoever says so."""
    done = convoy(*words, CONVOY_STORE=url)
    assert done.exit_code != 0
    assert done.exception is None or isinstance(done.exception, SystemExit)
    assert "hunter2" not in done.output
