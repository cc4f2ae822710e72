"""What registered things say of themselves: kept on each database, counted and filtered there, gone with what is declared."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.model import Ref
from reconciler.store import Has, Report, Store, Which, Window
from tests.store.conftest import Clock
from tests.store.test_pages import Documents, Kept

AT = ("spec", "virtualMachine")
NOTHING: frozenset[str | None] = frozenset({None})
MACHINES: Documents = {Ref("VirtualMachine", f"vm-{n}"): {"spec": {"address": "10.0.0.1"}} for n in range(3)}


def on(machine: str) -> dict[str, Any]:
    return {"spec": {"virtualMachine": machine}}


CONTAINERS: Documents = {
    **{Ref("Container", f"c{n}"): on(f"vm-{n % 2}") for n in range(5)},
    Ref("Container", "own"): {"spec": {"command": ["x"]}},
    Ref("Container", "theirs", "acme"): on("vm-0"),
    Ref("Cluster", "odd"): on("vm-0"),
}


@pytest.fixture
def kept(store: Store, clock: Clock) -> Kept:
    found = Kept(store, clock)
    found.become({**MACHINES, **CONTAINERS})
    return found


def test_the_last_one_counts(store: Store, clock: Clock) -> None:
    """What is not said stays as it was; what it runs on was heard with it."""
    assert store.reports.put("a", "created", None) == Report("created", 0, 1000.0)
    clock.time_s = 1001.0
    store.reports.put("a", "running", 3, ["vm"])
    clock.time_s = 1002.0
    assert store.reports.put("a", "failed", None, ["vm"]) == Report("failed", 3, 1002.0)
    assert store.reports.some(["a", "vm", "b"]) == {"a": Report("failed", 3, 1002.0), "vm": Report(None, 0, 1002.0)}


def test_how_many_there_are_is_asked_once(kept: Kept) -> None:
    """Of all machines of a page; of this tenant, and of Containers alone."""
    assert kept.store.reports.on("default", ["vm-0", "vm-1", "vm-2", "absent"]) == {"vm-0": 3, "vm-1": 2}
    assert kept.store.reports.on("acme", ["vm-0", "vm-1"]) == {"vm-0": 1}
    assert kept.store.reports.on("default", []) == {}


def test_it_is_gone_with_what_is_declared(kept: Kept) -> None:
    """What comes under the same name has said nothing yet; a change forgets nothing."""
    kept.store.reports.put("uid-Container/c0", "running", 1, ["uid-VirtualMachine/vm-0"])
    kept.become({**MACHINES, **CONTAINERS, Ref("Container", "c0"): on("vm-2")})
    assert len(kept.store.reports.some(["uid-Container/c0", "uid-VirtualMachine/vm-0"])) == 2
    without = {ref: one for ref, one in kept.documents.items() if ref.name not in ("c0", "vm-0")}
    kept.become(without)
    kept.become({**MACHINES, **CONTAINERS})
    assert kept.store.reports.some(["uid-Container/c0", "uid-VirtualMachine/vm-0"]) == {}


def test_filtered_by_what_is_reported_or_seen(kept: Kept) -> None:
    """Each by its own: what is registered by its report, what runs by its status."""
    kept.store.reports.put("uid-Container/c1", "running", 0)
    kept.store.reports.put("uid-Container/c2", "stopped", 0)
    kept.store.put_status({"Container/own": {"health": "healthy"}, "Container/c3": {"health": "healthy"}})
    registered, own = Has(AT, NOTHING, differs=True), Has(AT, NOTHING)

    def found(reported: set[str | None], seen: set[str | None]) -> list[str]:
        either = (
            (registered, Has((), frozenset(reported), of="report")),
            (own, Has(("health",), frozenset(seen), of="status")),
        )
        page = kept.store.pages.page(Which("Container", "default", either=either), Window())
        assert page.total == len(page.rows)
        return [row.declared.name for row in page.rows]

    assert found({"running"}, {"healthy"}) == ["c1", "own"]
    assert found({"stopped"}, {"unhealthy"}) == ["c2"]
    assert found({"created", None}, {"none", None}) == ["c0", "c3", "c4"]
    assert found({"failed"}, {"unhealthy"}) == []


@pytest.mark.parametrize("column", ["status", "restarts", "at"])
@pytest.mark.parametrize("garbage", ["", '{"id": 5}', 2**63 - 1, 1e300, -1, b"\xff\x00"])
def test_a_spoiled_row_is_as_if_it_were_not_there(tmp_path: Path, clock: Clock, column: str, garbage: object) -> None:
    """Whatever stands in it; what is reported next is known again."""
    with closing(Store(f"sqlite:///{tmp_path / 'convoy.db'}", clock)) as store:
        store.reports.put("a", "running", 1)
        with closing(sqlite3.connect(tmp_path / "convoy.db")) as raw:
            raw.execute(f"UPDATE reports SET {column} = ?", (garbage,))
            raw.commit()
        assert store.reports.some(["a"]) == {}
        assert store.reports.put("a", "stopped", None) == Report("stopped", 0, 1000.0)
        assert store.reports.some(["a"]).keys() == {"a"}
