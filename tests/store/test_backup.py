"""A backup holds all that is precious, and a restored store is what the first one was, on any database."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, LargeBinary, Table

from reconciler.core.facts import Order
from reconciler.core.model import Problem, Ref, Snapshot, Where
from reconciler.store import Backup, BackupError, KeptCertificate, Store, StoreError
from reconciler.store import backup as backups
from reconciler.store.tables import METADATA
from tests.postgres import Place
from tests.store.conftest import Clock, again
from tests.store.test_precious import resource

# Had again by looking at the hosts, asking an Envoy or logging in. What is neither here nor in PRECIOUS was not decided on.
REBUILT = {
    "sessions",
    "signatures",
    "lockouts",
    "attempts",
    "plans",
    "outcomes",
    "status",
    "state",
    "verdicts",
    "resources",
    "deliveries",
    "hook_deliveries",
}
KEPT = Path(__file__).parent / "v1.backup"


def filled(store: Store) -> Store:
    """With something in every table."""
    assert store.installation()
    assert store.xds_key() != store.digest_key()
    lease = store.acquire("control", "a", 15)
    assert lease is not None
    store.record_revision("r1", "good", ())
    store.record_revision("r2", "refused", (Problem(Where("a.yaml", 1, 2), "whät", "hint", Ref("Host", "h")),))
    store.put_plan("r1", {"a": 1})
    store.add_outcomes([{"n": 1}])
    store.event("kind", "Host/h", "message\n")
    store.put_status({"Host/h": {"n": 1}})
    store.put_state({"revision": "r1"})
    store.refuse("v1", "1.40.0", "cds", "web", "no", 5.0)
    store.put_good("edge-1", Snapshot("s1", {"cds": {"web": resource("web", b"\xc3\xbf")}}))
    store.put_verdict("d", "body")
    store.put_certificate(Ref("Certificate", "web"), KeptCertificate("digest", b"KEY\x00\xff", b"CHAIN", 5000.0))
    store.put_order(Order("suspend", "Container/a", "at work", "eve", 1.0, None))
    store.put_guards({"lot": {"before": 3}})
    store.reports.put("u", "running", 1, ["v"])
    store.release(lease)
    return store


def precious(store: Store) -> dict[str, Any]:
    """What is in the tables that are kept, leases aside."""
    rows = dict(store.backup({}).rows)
    rows.pop("leases")
    return rows


@pytest.fixture
def first(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path / 'first.db'}", clock)
    yield filled(store)
    store.close()


def test_every_table_was_decided_on() -> None:
    """A new table is either taken along or had again by looking."""
    assert {table.name for table in backups.PRECIOUS} | REBUILT == set(METADATA.tables)
    assert not {table.name for table in backups.PRECIOUS} & REBUILT


def test_a_restored_store_is_what_it_was(first: Store, store: Store, place: Place, clock: Clock) -> None:
    """From SQLite into either: id, keys, last good, refusals, certificates, orders, revisions and events."""
    content = backups.written(first.backup({"key.txt": "AGE-SECRET-KEY-1…\n"}))
    found = backups.read(content)
    assert found.files == {"key.txt": "AGE-SECRET-KEY-1…\n"}
    store.restore(found, force=False)
    assert precious(store) == precious(first)
    assert store.installation() == first.installation()
    assert store.good("edge-1") == first.good("edge-1")
    assert store.certificate(Ref("Certificate", "web")) == KeptCertificate("digest", b"KEY\x00\xff", b"CHAIN", 5000.0)
    assert {place.counted(name) for name in REBUILT} == {0}
    store.event("kind", "Host/h", "next")
    assert [event.number for event in store.events()] == [1, 2]
    # And from there back again.
    assert backups.read(backups.written(store.backup({}))).rows.keys() == found.rows.keys()


def test_a_used_store_is_only_replaced_by_force(first: Store, store: Store, place: Place, clock: Clock) -> None:
    """Whatever is in it: without force it stays as it is, with force nothing of it is left."""
    found = backups.read(backups.written(first.backup({})))
    installation = store.installation()
    store.put_status({"Host/other": {"n": 1}})
    with pytest.raises(StoreError, match="say --force"):
        store.restore(found, force=False)
    assert (store.installation(), list(store.status())) == (installation, ["Host/other"])
    store.restore(found, force=True)
    assert (store.installation(), store.status()) == (first.installation(), {})


def test_a_store_that_a_convoy_works_on_is_refused(first: Store, store: Store, place: Place, clock: Clock) -> None:
    """Also by force; and when its lease has run out, its epoch is over for good."""
    found = backups.read(backups.written(first.backup({})))
    other = again(place, clock)
    lease = other.acquire("control", "somebody", 15)
    assert lease is not None
    with pytest.raises(StoreError, match=r"a Convoy is at work on the store .* \(somebody\): stop it first"):
        store.restore(found, force=True)
    clock.time_s += 16
    store.restore(found, force=True)
    assert not other.renew(lease, 15)
    with pytest.raises(StoreError, match="another Convoy"):
        other.event("kind", "Host/h", "late")
    taken = store.acquire("control", "b", 15)
    assert taken is not None
    assert taken.epoch > lease.epoch
    other.close()


def test_all_or_nothing(first: Store, store: Store, clock: Clock) -> None:
    """What fails at the very end leaves the store as it was."""
    found = backups.read(backups.written(first.backup({})))
    before = precious(store)

    def fail() -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreError, match="No space left"):
        store.restore(found, force=False, last=fail)
    assert precious(store) == before
    clock.failing = "store.commit"
    with pytest.raises(StoreError, match="No space left"):
        store.restore(found, force=False)
    clock.failing = ""
    assert precious(store) == before
    store.restore(found, force=False)


def test_a_backup_is_one_view(store: Store, place: Place, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written while it is taken is in it whole or not at all."""
    filled(store)
    writer = again(place, clock)
    rows, written = backups._rows, list[bool]()

    def meanwhile(connection: Connection, table: Table) -> list[dict[str, Any]]:
        if table.name == "certificate_keys" and not written:
            written.append(True)
            writer.put_certificate(Ref("Certificate", "late"), KeptCertificate("d", b"KEY", b"CHAIN", 1.0))
        return rows(connection, table)

    monkeypatch.setattr(backups, "_rows", meanwhile)
    taken = store.backup({})
    assert written
    assert [row["ref"] for row in taken.rows["certificates"]] == ["Certificate/web"]
    assert [row["ref"] for row in taken.rows["certificate_keys"]] == ["Certificate/web"]
    writer.close()


def cut(text: bytes) -> bytes:
    return text[: len(text) // 2]


def without_a_line(text: bytes) -> bytes:
    lines = text.splitlines(keepends=True)
    return b"".join([*lines[:5], *lines[6:]])


def changed(text: bytes) -> bytes:
    return text.replace(b"Host/h", b"Host/i")


def of_a_newer(text: bytes) -> bytes:
    return text.replace(b'"format":1', b'"format":2', 1)


@pytest.mark.parametrize(
    "spoil", [cut, without_a_line, changed, of_a_newer, lambda _: b"", lambda _: b"[]\n{}\n", lambda _: b"\xff\xfe\n\n"]
)
def test_what_is_no_backup_is_refused(spoil: Callable[[bytes], bytes], first: Store) -> None:
    """Damaged, cut short, changed, newer or something else: said so, and nothing of it is in the message."""
    content = backups.written(first.backup({}))
    with pytest.raises(BackupError) as caught:
        backups.read(spoil(content))
    assert "KEY" not in str(caught.value)


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("meta", {"name": "x"}),
        ("meta", {"name": "x", "value": "no bytes"}),
        ("meta", {"name": "x", "value": {"base64": "?"}}),
        ("events", {"number": "1", "at": 1.0, "kind": "k", "ref": "r", "message": "m"}),
        ("guards", {"name": "x", "body": "{}", "more": 1}),
        ("nothing", {"name": "x"}),
    ],
)
def test_rows_that_do_not_fit_are_refused(table: str, row: dict[str, Any]) -> None:
    """A digest that is right does not make rows right."""
    import hashlib

    text = backups.written(Backup("i", 1.0, {}))
    body = text[: text.index(b"\n") + 1] + json.dumps([table, row]).encode() + b"\n"
    end = json.dumps({"sha256": hashlib.sha256(body).hexdigest()}).encode()
    with pytest.raises(BackupError):
        backups.read(body + end + b"\n")


def test_nothing_of_it_is_shown(first: Store) -> None:
    """Its representation names it and reveals no row."""
    shown = repr(first.backup({"key.txt": "hunter2"}))
    assert "hunter2" not in shown
    assert "CHAIN" not in shown


def test_the_first_format_is_read_for_ever(store: Store) -> None:
    """A backup made by the first Convoy that made any: later ones restore it."""
    found = backups.read(KEPT.read_bytes())
    store.restore(found, force=False)
    assert store.installation() == found.installation
    assert store.certificate(Ref("Certificate", "web")) == KeptCertificate("digest", b"KEY\x00\xff", b"CHAIN", 5000.0)
    # What later Convoys keep besides.
    assert {name for name, rows in found.rows.items() if not rows} == {
        "accounts",
        "audit",
        "passwords",
        "roles",
        "signing_keys",
        "signing_secrets",
        "history",
        "hook_secrets",
        "hooks",
        "notices",
        "proposals",
        "reports",
        "tellings",
        "told",
        "tokens",
    }
    assert any(isinstance(column.type, LargeBinary) for table in backups.PRECIOUS for column in table.columns)
