"""What cannot be had again by looking: refusals, what proxies last ran, certificates and their keys."""

import pytest

from reconciler.core.model import Ref, Snapshot, Where, XdsResource
from reconciler.store import KeptCertificate, Store, snapshots
from tests.store.conftest import Clock, Place, again


def resource(name: str, body: bytes, **more: object) -> XdsResource:
    where = Where("fleet/a.yaml", 7, 3)
    return XdsResource("cds", name, f"v-{body.decode()}", body, where, Ref("Cluster", name), **more)  # type: ignore[arg-type]


def test_refusals_outlive_us(store: Store, place: Place, clock: Clock) -> None:
    """What an Envoy has refused is known after a restart, by version of Envoy, in the words said first."""
    store.refuse("v1", "1.40.0", "cds", "web", "bad timeout", 5.0)
    written = store.writes
    store.refuse("v1", "1.40.0", "cds", "web", "other words", 6.0)
    assert store.writes == written
    store.refuse("v2", "1.41.0", "lds", "in", "no", 7.0)
    other = again(place, clock)
    assert other.refused() == {"v1": "bad timeout", "v2": "no"}
    assert other.refused("1.41.0") == {"v2": "no"}
    other.close()


def test_caps_by_age(store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verdicts and refusals are capped; the newest stay."""
    monkeypatch.setattr("reconciler.store.precious.MOST_VERDICTS", 10)
    monkeypatch.setattr("reconciler.store.precious.MOST_REFUSED", 10)
    for number in range(30):
        clock.time_s += 1
        store.put_verdict(f"d{number}", f"body{number}")
        store.refuse(f"v{number}", "1.40.0", "cds", "c", "no", clock.time_s)
    assert store.verdict("d29") == "body29"
    assert store.verdict("d0") is None
    assert 9 <= len(store.refused()) <= 10
    assert "v29" in store.refused()
    written = store.writes
    store.put_verdict("d29", "body29")
    assert store.writes == written


def test_last_good_snapshots_come_back_whole(store: Store, place: Place, clock: Clock) -> None:
    """Bytes, places and references come back as they were; a secret stays a name."""
    secret = XdsResource(
        "sds", "cert", "vs", b"", Where("b.yaml", 1, 1), Ref("Certificate", "c", "t"), secret=Ref("Certificate", "c", "t")
    )
    web = resource("web", b"\x00\xff".decode("latin-1").encode(), eds="web-eds", refers=(("eds", "web"), ("sds", "cert")))
    snapshot = Snapshot("s1", {"cds": {"web": web}, "sds": {"cert": secret}})
    store.put_good("edge-1", snapshot)
    other = again(place, clock)
    assert other.good("edge-1") == snapshot
    assert other.good("edge-2") is None
    other.put_good("edge-1", snapshot)
    assert other.writes == 0
    moved = Snapshot("s1", {"cds": {"web": resource("web", b"x")}})
    other.put_good("edge-1", moved)
    assert other.good("edge-1") == moved
    other.close()


def test_resources_are_kept_once_and_dropped_when_unused(store: Store, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand proxies with the same content are a thousand pointers; content nobody runs any more goes."""
    monkeypatch.setattr(snapshots, "SETS_PER_PRUNE", 4)
    same = {f"c{n}": resource(f"c{n}", f"body{n}".encode()) for n in range(20)}
    written = store.writes
    store.put_goods({f"edge-{n}": Snapshot("s1", {"cds": same, "eds": {}}) for n in range(1000)})
    assert store.writes == written + 1
    assert [place.counted(table) for table in ("goods", "sets", "blobs")] == [1000, 1, 20]
    for number in range(5):
        changed = {**same, "c0": resource("c0", f"new{number}".encode())}
        store.put_goods({f"edge-{n}": Snapshot(f"s{number}", {"cds": changed}) for n in range(1000)})
    assert place.counted("sets") <= 3
    assert place.counted("blobs") <= 23
    last = store.good("edge-999")
    assert last is not None
    assert last.resources["cds"] == changed


def test_certificates_and_their_keys(store: Store, place: Place, clock: Clock) -> None:
    """A key is in one table alone, and in no representation of what is given back."""
    ref = Ref("Certificate", "web")
    kept = KeptCertificate("digest", b"KEY-hunter2", b"CHAIN", 5000.0)
    assert store.certificate(ref) is None
    store.put_certificate(ref, kept)
    written = store.writes
    store.put_certificate(ref, kept)
    assert store.writes == written
    other = again(place, clock)
    assert other.certificate(ref) == kept
    renewed = KeptCertificate("digest", b"KEY-hunter3", b"CHAIN2", 6000.0)
    other.put_certificate(ref, renewed)
    assert store.certificate(ref) == renewed
    assert "hunter" not in repr(renewed)
    holding = [name for name in place.tables() if "KEY-hunter3" in repr(place.rows(f"SELECT * FROM {name}"))]
    assert holding == ["certificate_keys"]
    store.opened(ref, "sds")
    assert [(event.kind, event.ref, event.message) for event in store.events()] == [("secret.opened", "Certificate/web", "sds")]
    other.close()
