"""A host that is one Convoy's machine is not taken for another's: what cannot be seen from here is not made a second time."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.core.kinds.host import Host as HostSpec
from reconciler.drivers import DriverError
from reconciler.homes import Homes, same
from reconciler.orders import homes_of
from reconciler.seams import Seams
from reconciler.secrets import Opener
from reconciler.store import HOME, Store, StoreError
from tests.cli.conftest import Convoy, convoy, state  # noqa: F401 - fixtures
from tests.postgres import Place

Make = Callable[..., Homes]
ONE, TWO = "vm1:/var/lib/convoy (0a1b2c3d4e5f)", "vm2:/var/lib/convoy (aaaabbbbcccc)"


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    store = Store(place.url, Seams())
    yield store
    store.close()


@pytest.fixture
def homes(store: Store, tmp_path: Path) -> Make:
    """`homes(name, acts)`: those of the Convoy of that name."""

    def make(name: str, acts: bool = True) -> Homes:
        directory = tmp_path / name.partition(":")[0]
        directory.mkdir(exist_ok=True)
        opener = Opener((), store.opened)
        return Homes(store, name, lambda: acts, directory, "/run/xds.sock", opener, Seams())

    return make


def look(homes: Homes) -> list[object]:
    driver = homes.driver("local", HostSpec())
    try:
        return list(driver.observe())
    finally:
        driver.close()


def test_who_acts_first_has_it(homes: Make, store: Store) -> None:
    """From then on every other machine is told whose it is, until that one is given up."""
    assert look(homes(TWO, acts=False)) == []
    assert look(homes(ONE)) == []
    for acts in (True, False):
        with pytest.raises(DriverError, match=r"seen by vm1:/var/lib/convoy \(0a1b2c3d4e5f\) alone: .*take-over 0a1b2c3d4e5f"):
            look(homes(TWO, acts=acts))
    assert homes_of(store, "0a1b2c3d4e5f") == ["local"]
    assert homes_of(store, "aaaabbbbcccc") == []
    assert look(homes(ONE)) == []


def test_ours_is_asked_for_once(homes: Make, store: Store) -> None:
    """A look at a host that is ours costs the store nothing."""
    driver = homes(ONE).driver("local", HostSpec())
    assert list(driver.observe()) == []
    store.close()
    written = store.writes
    for _ in range(3):
        assert list(driver.observe()) == []
    assert store.writes == written
    driver.close()


def test_a_store_that_is_away_makes_blind(homes: Make, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever cannot ask whose host it is does not look."""
    one = homes(ONE)

    def away() -> None:
        raise StoreError("the store is away")

    monkeypatch.setattr(store, "guards", away)
    with pytest.raises(DriverError, match="the store is away"):
        one.settle("local")


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        ("vm1:/var/lib/convoy (ffffffffffff)", True),
        ("vm9:/moved (0a1b2c3d4e5f)", True),
        ("vm1:/elsewhere (ffffffffffff)", False),
        (TWO, False),
    ],
)
def test_what_is_the_same_home(other: str, is_same: bool) -> None:
    """A state directory that was moved, or made anew in its place."""
    assert same(ONE, other) is is_same


def test_a_restored_store_belongs_to_no_machine(homes: Make, store: Store) -> None:
    """A backup says nothing of machines: it may be restored on another."""
    assert look(homes(ONE)) == []
    store.put_guards({"lot": {"before": 3}})
    assert [row["name"] for row in store.backup({}).rows["guards"]] == ["lot"]


def test_taken_over_by_command(convoy: Convoy, store: Store, place: Place) -> None:  # noqa: F811
    """By the short id of whose it was; nothing else is."""
    store.put_guards({f"{HOME}local": {"name": ONE}, f"{HOME}far": {"name": TWO}})
    refused = convoy("take-over", "0a1b", "--yes", CONVOY_STORE=place.url)
    assert (refused.exit_code, "nothing bears the mark" in refused.stderr) == (1, True)
    done = convoy("take-over", "0a1b2c3d4e5f", "--yes", "-o", "json", CONVOY_STORE=place.url)
    assert json.loads(done.stdout) == {"taking_over": ["Host/local"]}
    assert list(store.guards()) == [f"{HOME}far"]
    assert store.events()[-1].kind == "order.take-over"
