"""Several processes at one store, and tables that change over time."""

import subprocess
import sys

import pytest
from sqlalchemy import inspect

from reconciler.seams import Seams
from reconciler.store import Store, StoreError, migrations
from reconciler.store.database import Database
from reconciler.store.tables import METADATA
from tests.store.conftest import Place

TIMES = 40
# However slow and busy the machine is.
WITHIN_S = 240.0


def together(place: Place, program: str, count: int = 4) -> list[str]:
    """Run a program in several processes that start at the same moment; what each printed."""
    gate = (
        "import sys; from reconciler.seams import Seams; from reconciler.store import Store, postgresql, sqlite\n"
        # Who waits for others is not served in turn, and a disk may be slow: how long that takes is not what is asked here.
        f"sqlite.BUSY_S = postgresql.BUSY_S = {WITHIN_S}\n"
        "sys.stdin.readline()\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", gate + program, place.url, str(n)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for n in range(count)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    printed = [process.communicate(timeout=WITHIN_S)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0] * count
    return printed


def test_processes_that_open_a_new_store_agree(place: Place) -> None:
    """Whoever is first makes the tables, the id and the keys; everybody else finds them."""
    printed = together(place, "s = Store(sys.argv[1], Seams()); print(s.installation(), s.xds_key().hex()); s.close()")
    assert len(set(printed)) == 1


def test_only_one_process_gets_the_lease(place: Place) -> None:
    """Of holders that ask at the same moment exactly one acts."""
    program = (
        "s = Store(sys.argv[1], Seams()); l = s.acquire('control', sys.argv[2], 3600); print(l.epoch if l else '-'); s.close()"
    )
    assert sorted(together(place, program)) == ["-", "-", "-", "1"]


def test_no_update_is_lost(place: Place) -> None:
    """Numbers read and written in one transaction by several processes neither repeat nor leave gaps."""
    program = f"s = Store(sys.argv[1], Seams())\nfor n in range({TIMES}): s.event('k', sys.argv[2], str(n))\ns.close()"
    together(place, program, 3)
    store = Store(place.url, Seams())
    events = store.events(0, 1000)
    store.close()
    assert [event.number for event in events] == list(range(1, 3 * TIMES + 1))
    assert {(event.ref, event.message) for event in events} == {(str(p), str(n)) for p in range(3) for n in range(TIMES)}


def test_the_steps_lead_to_the_tables(place: Place) -> None:
    """What the migrations make is what the code works with: columns, keys, what may be null, foreign keys."""
    database = Database(place.url, Seams())
    with database.reading("schema") as connection:
        inspector = inspect(connection)
        found = {
            name: (
                [(column["name"], bool(column["nullable"])) for column in inspector.get_columns(name)],
                inspector.get_pk_constraint(name)["constrained_columns"],
                [(key["constrained_columns"], key["referred_table"]) for key in inspector.get_foreign_keys(name)],
            )
            for name in inspector.get_table_names()
            if name != "schema_version"
        }
        assert migrations.version(connection) == len(migrations.STEPS)
    database.close()
    wanted = {
        table.name: (
            [column.name for column in table.columns],
            [column.name for column in table.primary_key],
            [([key.parent.name], key.column.table.name) for key in table.foreign_keys],
        )
        for table in METADATA.tables.values()
    }
    assert {name: ([c for c, _ in columns], primary, foreign) for name, (columns, primary, foreign) in found.items()} == wanted
    for name, (columns, primary, _) in found.items():
        meant = [column.name for column in METADATA.tables[name].columns if column.nullable]
        assert [column for column, nullable in columns if nullable and column not in primary] == meant, name


def test_later_steps_are_taken_once_and_whole(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older store is brought up to date with what it holds; a step that fails leaves it as it was."""
    old = Store(place.url, Seams())
    installation = old.installation()
    old.close()
    broken = (*migrations.STEPS, ("CREATE TABLE extra (n INTEGER)", "CREATE TABLE extra (n INTEGER)"))
    monkeypatch.setattr(migrations, "STEPS", broken)
    with pytest.raises(StoreError, match="cannot write schema"):
        Store(place.url, Seams())
    monkeypatch.setattr(migrations, "STEPS", (*broken[:-1], ("CREATE TABLE extra (n INTEGER)",)))
    new = Store(place.url, Seams())
    assert new.installation() == installation
    new.close()
    again = Store(place.url, Seams())
    assert again.writes == 0
    again.close()
