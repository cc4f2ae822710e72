"""What a round leaves in the store about how proxies fare."""

from contextlib import closing
from pathlib import Path

from reconciler.core.health import Word
from reconciler.core.model import FleetState, Plan, Ref
from reconciler.core.show_events import fared_before
from reconciler.core.statuses import Status
from reconciler.log import Log
from reconciler.record import Record
from reconciler.seams import Seams
from reconciler.store import Store

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
