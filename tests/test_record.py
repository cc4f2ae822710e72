"""What a round leaves in the store about how things fare, and where they are declared."""

from contextlib import closing
from pathlib import Path

from reconciler.core.facts import NO_FACTS
from reconciler.core.health import Word
from reconciler.core.model import FleetState, ObservedState, Plan, Ref
from reconciler.core.show_events import fared_before
from reconciler.core.status import status
from reconciler.core.statuses import Status, Statuses
from reconciler.load import Loader
from reconciler.log import Log
from reconciler.record import Record
from reconciler.seams import Seams
from reconciler.store import Store
from tests.bench.load import Fake

EDGE, APP = Ref("Proxy", "edge-1"), Ref("Container", "app")


def test_how_proxies_fare_is_an_event(tmp_path: Path) -> None:
    """Each change, with what was before and why, also one that came while nobody looked; none for what is new or no proxy."""
    with closing(Store(f"sqlite:///{tmp_path / 'convoy.db'}", Seams())) as store:

        def look(
            record: Record, health: Word, why: str = "", refs: tuple[Ref, ...] = (EDGE, APP)
        ) -> list[tuple[str, str, str]]:
            before = store.happened().last_numbers()[0]
            result = {ref: Status(ref, "synced", health, 1.0, why) for ref in refs}
            record._statuses(FleetState("r", {}, {}), Plan("r", ()), result, {})
            found = store.happened().events_after(before, 100)
            return [(one.kind, one.ref, one.message) for one in found if one.kind.startswith("health.")]

        first = Record(store, Log(level="error"), Seams())
        assert look(first, "starting") == []
        assert look(first, "healthy") == [("health.healthy", "Proxy/edge-1", "was starting")]
        assert look(first, "healthy", "another reason") == []
        assert look(first, "unhealthy", "crash loop: x") == [("health.unhealthy", "Proxy/edge-1", "was healthy: crash loop: x")]
        second = Record(store, Log(level="error"), Seams())
        assert look(second, "healthy") == [("health.healthy", "Proxy/edge-1", "was unhealthy")]
        assert look(second, "healthy", refs=(APP,)) == []
        assert look(second, "starting") == []
    assert [fared_before(said) for said in ("was healthy: a: b", "was none", "healthy", "")] == ["healthy", "none", "", ""]


def test_what_has_moved_is_found_where_it_is_now(tmp_path: Path) -> None:
    """Though it says the same and fares as before, a row names the place that a person would edit; so do those that follow."""
    web = "apiVersion: convoy/v1\nkind: Application\nmetadata: {name: web}\nspec: {command: [x], replicas: 2}\n"
    fake, loader, found = Fake(1), Loader(None, Seams()), Statuses()
    asked = Plan("r", ()), ObservedState({}), NO_FACTS, dict[Ref, str]()
    with closing(Store(f"sqlite:///{tmp_path / 'convoy.db'}", Seams())) as store:
        record = Record(store, Log(level="error"), Seams())

        def places(lines: int) -> set[str]:
            nonlocal found
            fake.put("fleet/web.yaml", ("# why\n" * lines + f"---\n{web}").encode())
            fleet = loader.load(fake.tree(f"r{lines}"), fake.read).fleet
            assert fleet is not None
            before, found = found, status(fleet, *asked, found, 1.0)
            record._statuses(fleet, Plan("r", ()), found, {})
            assert all(found[ref] is one for ref, one in before.items())
            return {store.status()[name]["where"] for name in ("Application/web", "Container/web-1", "Container/web-2")}

        assert places(1) == {"fleet/web.yaml:2"}
        events = store.happened().last_numbers()
        assert places(4) == {"fleet/web.yaml:5"}
        assert store.happened().last_numbers() == events
        writes = store.writes
        assert places(4) == {"fleet/web.yaml:5"}
        assert store.writes == writes
