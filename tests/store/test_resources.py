"""One declared resource is found by its name, its uid or the beginning of that, whatever there is beside it."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from reconciler.core.declared import Declaration, Maker
from reconciler.core.model import Ref, Resource
from reconciler.seams import Seams
from reconciler.store import Store
from reconciler.store.resources import found_by
from tests.postgres import Place
from tests.store.conftest import Clock
from tests.store.test_declarations import resource

UIDS = {
    Ref("Host", "a"): "550e8400-e29b-41d4-a716-446655440000",
    Ref("Host", "b"): "550e8400-e29b-41d4-a716-446655440001",
    Ref("Host", "c"): "660e8400-e29b-41d4-a716-446655440000",
    Ref("Host", "660e8400"): "770e8400-e29b-41d4-a716-446655440000",
    Ref("Host", "a", "eu"): "880e8400-e29b-41d4-a716-446655440000",
    Ref("Cluster", "a"): "990e8400-e29b-41d4-a716-446655440000",
    Ref("Host", "odd"): "not-a-uuid",
}


def put(store: Store, uids: dict[Ref, str], revision: str = "r1") -> None:
    resources: dict[Ref, Resource] = {
        ref: replace(resource(ref.name, {"n": ref.name}), ref=ref, uid=uid, digest=uid) for ref, uid in uids.items()
    }
    given = Declaration(
        revision, resources, lambda ref: {"n": ref.name}, lambda _, files: dict.fromkeys(files, Maker(revision))
    )
    store.record_revision(revision, "good", (), (), (), given)


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    with closing(Store(place.url, Seams())) as opened:
        put(opened, UIDS)
        yield opened


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("a", "a"),
        ("550e8400-e29b-41d4-a716-446655440001", "b"),
        ("550E8400-E29B-41D4-A716-446655440001", "b"),
        ("770e8400", "660e8400"),
        ("770e8400-e29b-41d4-a7", "660e8400"),
        # A name comes before the beginning of a uid.
        ("660e8400", "660e8400"),
        ("660e8400-", "c"),
        ("odd", "odd"),
        # Two begin so; too short; none; another tenant's; another kind's; none of these is a uid.
        ("550e8400", ""),
        ("770e840", ""),
        ("110e8400", ""),
        ("880e8400", ""),
        ("990e8400", ""),
        ("not-a-uuid", ""),
        ("%", ""),
        ("", ""),
        ("a\0", ""),
        ("550e8400-e29b-41d4-a716-446655440001-0", ""),
        ("550e8400e29b", ""),
    ],
)
def test_by_name_or_uid(word: str, name: str, store: Store) -> None:
    """Within one kind and one tenant."""
    found = store.resources.find("default", "Host", word)
    assert (found.name if found is not None else "") == name
    if found is not None:
        assert (found.uid, found.tenant) == (UIDS[Ref("Host", name)], "default")


def test_a_name_that_many_uids_begin_with(store: Store) -> None:
    """However many there are."""
    many = {Ref("Host", f"h{n}"): f"abcdef12-0000-4000-8000-{n:012}" for n in range(20)}
    put(store, {**many, Ref("Host", "abcdef12"): "ffffffff-0000-4000-8000-000000000000"}, "r2")
    found = store.resources.find("default", "Host", "abcdef12")
    assert found is not None
    assert found.name == "abcdef12"


def test_only_indexes_are_asked(place: Place) -> None:
    """For a name and for a uid each its own: nothing is looked through."""
    if place.backend != "sqlite":
        pytest.skip("for SQLite alone: PostgreSQL decides by how much there is")
    with closing(Store(place.url, Seams())) as store:
        put(store, UIDS)
    asked = {"tenant": "t", "kind": "Host", "word": "550e8400", "lowest": "5", "highest": "6"}
    words = found_by(uid=True).params(asked).compile(compile_kwargs={"literal_binds": True})
    plan = str(place.rows(f"EXPLAIN QUERY PLAN {words}"))
    assert "resources_by_name" in plan
    assert "resources_by_uid" in plan
    assert "SCAN resources" not in plan


def test_digests(store: Store) -> None:
    """Of those that are there."""
    found = store.resources.digests(["Host/a", "Host/none", "Host/eu/a"])
    assert found.keys() == {"Host/a", "Host/eu/a"}


def test_since_when(place: Place) -> None:
    """A resource is as old as its first change, whatever became of it since; a new uid begins anew."""
    clock = Clock()
    uids = {Ref("Host", "a"): UIDS[Ref("Host", "a")], Ref("Host", "b"): UIDS[Ref("Host", "b")]}
    with closing(Store(place.url, clock)) as store:
        clock.time_s = 1000.0
        put(store, uids)
        clock.time_s = 2000.0
        put(store, {**uids, Ref("Host", "b"): UIDS[Ref("Host", "c")]}, "r2")
        clock.time_s = 3000.0
        put(store, {Ref("Host", "b"): UIDS[Ref("Host", "c")]}, "r3")
        put(store, {**uids, Ref("Host", "b"): UIDS[Ref("Host", "c")]}, "r4")
        found = store.declared()
        assert [found[ref].created for ref in ("Host/a", "Host/b")] == [1000.0, 2000.0]
