"""Every release's store is brought to today's tables with all that is in it, and a step that fails changes nothing."""

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData, create_engine, insert

from reconciler.core.declared import Version, version_id
from reconciler.core.facts import Order
from reconciler.core.model import Problem, Ref, Snapshot, Where, XdsResource
from reconciler.seams import Seams
from reconciler.store import Event, KeptCertificate, Store, StoreError, migrations
from reconciler.store.database import Database
from tests.postgres import Place

# `sqlite3 convoy.db .dump` of a store that the first release filled.
FIRST = Path(__file__).parent / "v0.1.0.sql"
RUN = "import sys; from reconciler.seams import Seams; from reconciler.store import Store; sys.stdin.readline(); "


def first_release(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store as the first release left it; on PostgreSQL as it would have."""
    if place.backend == "sqlite":
        file = sqlite3.connect(place.url.removeprefix("sqlite:///"))
        file.executescript(FIRST.read_text())
        file.close()
        return
    with monkeypatch.context() as then:
        then.setattr(migrations, "STEPS", migrations.STEPS[:1])
        Database(place.url, Seams()).close()
    memory = sqlite3.connect(":memory:")
    memory.executescript(FIRST.read_text())
    memory.row_factory = sqlite3.Row
    tables, engine = MetaData(), create_engine(place.url)
    tables.reflect(engine)
    with engine.begin() as connection:
        for table in tables.sorted_tables:
            rows = [dict(row) for row in memory.execute(f"SELECT * FROM {table.name}")]
            if table.name != "schema_version" and rows:
                connection.execute(insert(table), rows)
    engine.dispose()
    memory.close()


def contents(place: Place) -> dict[str, Any]:
    return {name: sorted(map(repr, place.rows(f"SELECT * FROM {name}"))) for name in place.tables()}


def test_the_first_releases_store_is_taken_over(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything in it is read, and what is new works beside it."""
    first_release(place, monkeypatch)
    store = Store(place.url, Seams())
    assert store.installation() == "88364504-0b16-488f-9866-9e10157a834a"
    assert store.xds_key().hex().startswith("852377035076efa6")
    assert store.last_good() == "r1"
    current = store.current()
    assert current is not None
    assert current.problems == (Problem(Where("a.yaml", 3, 4), "unknown field", "did you mean port?", Ref("Host", "h")),)
    assert store.events()[-1] == Event(2, "secret.opened", "Certificate/web", "sds", 1000.0)
    assert store.status()["Container/web-1"]["sync"] == "synced"
    assert (store.state() or {})["converged"] is True
    assert store.refused() == {"v-bad": "not so"}
    web = XdsResource(
        "cds", "web", "v-1", b"\x00\xff", Where("fleet/a.yaml", 7, 3), Ref("Cluster", "web"), None, "web-eds", (("eds", "web"),)
    )
    assert store.good("edge-1") == Snapshot("s1", {"cds": {"web": web}})
    assert store.verdict("d") == "good"
    assert store.certificate(Ref("Certificate", "web")) == KeptCertificate("digest", b"KEY", b"CHAIN", 5000.0)
    assert (store.last_plan(), store.outcomes()[0]["status"]) == ({"steps": []}, "done")
    lease = store.acquire("control", "another", 15)
    assert lease is not None
    assert lease.epoch == 2
    store.put_order(Order("suspend", "Container/a", "at work", "eve", 1.0, None))
    assert len(store.orders()) == 1
    assert store.orders()[0].subject == "Container/a"
    store.event("kind", "Host/h", "next")
    assert store.events()[-1].number == 3
    store.close()


def test_versions_of_before_have_their_ids(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What changed before versions had ids has the id that it would have been given; also where the change is not kept."""
    step = next(number for number, step in enumerate(migrations.STEPS) if any(map(callable, step)))
    with monkeypatch.context() as then:
        then.setattr(migrations, "STEPS", migrations.STEPS[:step])
        Database(place.url, Seams()).close()
    uid = "6b0c1d6e-0d0f-5a0b-9a43-6f6f27f6a0c1"
    place.rows(
        "INSERT INTO history (number, at, ref, uid, n, revision, accepted, author, change, digest_before, digest, file, line, "
        f"document_before, bytes) VALUES (7, 1, 'Host/a', '{uid}', 3, 'c1', 'r1', 'ada', 'changed', 'd0', 'd', 'a', 1, '', 0)"
    )
    for name, n in (("a", 3), ("b", 1)):
        place.rows(
            "INSERT INTO resources (ref, uid, kind, tenant, name, digest, document, file, line, blob, revision, author, n, at) "
            f"VALUES ('Host/{name}', '{uid}', 'Host', 'default', '{name}', 'd', '{{}}', 'a', 1, 'b', 'c1', 'ada', {n}, 1)"
        )
    store = Store(place.url, Seams())
    assert [one.version for one in store.history()] == [version_id(uid, "r1")]
    assert {ref: one.version for ref, one in store.declared().items()} == {
        "Host/a": version_id(uid, "r1"),
        "Host/b": version_id(uid, "c1"),
    }
    assert store.version(version_id(uid, "r1")) == Version(version_id(uid, "r1"), "Host/a", 3, "r1", 1.0, "ada", "")
    store.close()


@pytest.mark.parametrize("taken", range(1, len(migrations.STEPS)))
def test_a_step_that_fails_leaves_everything(place: Place, taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At whichever step: tables, rows and version are what they were, and the same Convoy, mended, goes on from there."""
    first_release(place, monkeypatch)
    before = contents(place)
    steps = migrations.STEPS
    broken = (*steps[:taken], ("CREATE TABLE made_half (n INTEGER)", "UPDATE nothing SET n = 1"))
    monkeypatch.setattr(migrations, "STEPS", broken)
    with pytest.raises(StoreError, match="cannot write schema"):
        Store(place.url, Seams())
    assert contents(place) == before
    monkeypatch.setattr(migrations, "STEPS", steps)
    store = Store(place.url, Seams())
    assert store.last_good() == "r1"
    store.close()


@pytest.mark.slow
def test_two_processes_bring_it_up_to_date_at_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """One does, the other finds it done; neither fails."""
    first_release(place, monkeypatch)
    program = RUN + "s = Store(sys.argv[1], Seams()); print(s.installation(), s.last_good()); s.close()"
    processes = [
        subprocess.Popen([sys.executable, "-c", program, place.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = set()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        said.add(process.communicate(timeout=240)[0])
        assert process.returncode == 0
    assert said == {"88364504-0b16-488f-9866-9e10157a834a r1\n"}
    assert place.rows("SELECT version FROM schema_version") == [(len(migrations.STEPS),)]


def test_a_newer_store_is_left_as_it_is(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older Convoy does not touch tables it does not know; it says what to do."""
    with monkeypatch.context() as later:
        later.setattr(migrations, "STEPS", (*migrations.STEPS, ("CREATE TABLE extra (n INTEGER)",)))
        Store(place.url, Seams()).close()
    before = contents(place)
    with pytest.raises(StoreError, match="use the newer Convoy, or restore a backup"):
        Store(place.url, Seams())
    assert contents(place) == before


def test_looking_makes_nothing(place: Place) -> None:
    """Whoever only looks where no Convoy has worked is told so, and leaves no store behind."""
    with pytest.raises(StoreError, match="there is no store"):
        Store(place.url, Seams(), make=False)
    if place.backend == "sqlite":
        assert not Path(place.url.removeprefix("sqlite:///")).exists()
    else:
        assert place.tables() == []
