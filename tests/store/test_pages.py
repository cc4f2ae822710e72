"""Pages of what is declared, on each database: as filtering and sorting all of it would give, and stable while it changes."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from reconciler.core.declared import Declaration, Maker
from reconciler.core.kinds import KINDS
from reconciler.core.model import Ref
from reconciler.core.select import Selector
from reconciler.store import Has, Page, Row, Store, Which, Window
from tests.postgres import Place
from tests.store.conftest import Clock
from tests.store.test_declarations import resource

Documents = dict[Ref, Mapping[str, Any]]


def document(n: int, **more: Any) -> Mapping[str, Any]:
    labels = {"team": ("red", "blue")[n % 2], "a.b/c": f"x{n}", "odd": "%_\\"} if n % 3 else {}
    return {"metadata": {"labels": labels}, "spec": {"region": f"r{n % 4}", "n": n, **more}}


DOCUMENTS: Documents = {
    **{Ref("Host", f"h-{n}"): document(n) for n in range(10)},
    **{Ref("Host", f"h{n}"): document(n) for n in range(3)},
    **{Ref("Host", f"h-{n}", "eu"): document(n) for n in range(4)},
    **{Ref("Cluster", f"c{n}"): document(n) for n in range(3)},
    Ref("Cluster", "odd"): {"metadata": {"labels": {"team": "a\0b"}}, "spec": {"region": "nul\0"}},
    Ref("Cluster", "flat"): {"metadata": 7, "spec": "none"},
}


class Kept:
    def __init__(self, store: Store, clock: Clock) -> None:
        self.store, self.clock, self.n = store, clock, 0
        self.documents: Documents = {}

    def become(self, documents: Documents) -> None:
        """A second later, this is declared."""
        self.n += 1
        self.clock.time_s += 1.0
        self.documents = documents
        made = {
            ref: replace(resource(ref.name, one), ref=ref, uid=f"uid-{ref}", digest=str(hash(str(one))))
            for ref, one in documents.items()
        }
        revision = f"r{self.n}"
        given = Declaration(revision, made, documents.__getitem__, lambda _, files: dict.fromkeys(files, Maker(revision)))
        self.store.record_revision(revision, "good", (), (), (), given)

    def cut(self, which: Which, window: Window, after: Row | None = None, *, back: bool = False) -> list[Row]:
        beyond = (after.key, after.tie) if after is not None else None
        rows = list(self.store.pages.page(which, replace(window, beyond=beyond, back=back, counted=False)).rows)
        return rows[::-1] if back else rows

    def walk(self, which: Which, window: Window) -> Iterator[list[str]]:
        """Page by page to the end."""
        rows = self.cut(which, window)
        while rows:
            yield names(rows)
            rows = self.cut(which, window, rows[-1])

    def walk_back(self, which: Which, window: Window, last: Row) -> Iterator[list[str]]:
        """Page by page from before this one to the beginning."""
        rows = self.cut(which, window, last, back=True)
        while rows:
            yield names(rows)
            rows = self.cut(which, window, rows[0], back=True)

    def whole(self, which: Which, window: Window = Window("ref", most=1000)) -> Page:
        return self.store.pages.page(which, window)


def names(rows: Iterable[Row]) -> list[str]:
    return [one.declared.ref for one in rows]


@pytest.fixture
def kept(place: Place) -> Iterator[Kept]:
    clock = Clock()
    with closing(Store(place.url, clock)) as store:
        made = Kept(store, clock)
        made.become(DOCUMENTS)
        yield made


def labels(one: Mapping[str, Any]) -> Mapping[str, str]:
    return one["metadata"].get("labels", {}) if isinstance(one["metadata"], Mapping) else {}


SELECTORS = [
    "host",
    "host/h-1",
    "host/h-*",
    "host/h?",
    "host/eu/*",
    "host/*/h-1",
    "team=red",
    "team!=red",
    "team=*e*",
    "team=RED",
    "a.b/c=x?",
    "host,team=blue",
    "odd=%_\\",
    "odd=%*",
    "odd=?_?",
    "odd=*\\",
    "none!=x",
    "cluster/c1,cluster/c2",
]


@pytest.mark.parametrize("text", SELECTORS)
def test_selected_as_everywhere(text: str, kept: Kept) -> None:
    """The same as `--only` selects, page by page, each once, and as many as are counted."""
    selector = Selector.parse([text], KINDS)
    wanted = sorted(str(ref) for ref, one in DOCUMENTS.items() if selector.covers(ref, labels(one)))
    which = Which(selector=selector)
    assert [ref for page in kept.walk(which, Window("ref", most=3)) for ref in page] == wanted
    whole = kept.whole(which)
    assert (names(whole.rows), whole.total) == (wanted, len(wanted))
    part = kept.whole(which, Window("ref", most=2, start=2))
    assert (names(part.rows), part.total) == (wanted[2:4], len(wanted))
    assert kept.whole(which, Window(most=2, start=1000)) == Page((), len(wanted))


def test_either_of_two(kept: Kept) -> None:
    """What one of several selectors covers, once."""
    found = kept.whole(Which(selector=Selector.parse(["host/h1", "cluster/c*", "cluster/c1"], KINDS)))
    assert names(found.rows) == ["Cluster/c0", "Cluster/c1", "Cluster/c2", "Host/h1"]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("sort", ["ref", "name", "created_at", "updated_at", ("spec", "region")])
def test_sorted(sort: Any, descending: bool, kept: Kept) -> None:
    """By each, both ways, and back again; what is equal by its ref."""
    kept.become({**DOCUMENTS, Ref("Host", "h-3"): document(33), Ref("Host", "new"): document(1)})
    found = kept.store.declared()

    def key(ref: str) -> Any:
        one = found[ref]
        spec = one.document["spec"]
        region = spec.get("region", "") if isinstance(spec, Mapping) else ""
        # PostgreSQL has no words for a NUL.
        known: dict[Any, Any] = {"ref": ref, "name": one.name, "created_at": one.created, "updated_at": one.at}
        return known.get(sort, "" if "\0" in region and not str(kept.store.pages._database.shown).endswith(".db") else region)

    wanted = sorted(found, key=lambda ref: (key(ref), ref), reverse=descending)
    which, window = Which(), Window(sort, descending, most=4)
    assert [ref for page in kept.walk(which, window) for ref in page] == wanted
    last = kept.whole(which, replace(window, most=100)).rows[-1]
    assert [ref for page in reversed(list(kept.walk_back(which, window, last))) for ref in page] == wanted[:-1]
    assert names(kept.whole(which, replace(window, start=5)).rows) == wanted[5:9]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("sort", ["name", "created_at", ("spec", "n")])
def test_within_a_tenant(sort: Any, descending: bool, kept: Kept) -> None:
    """There names tell apart what is equal."""
    which, window = Which("Host", "eu"), Window(sort, descending, most=1)
    wanted = [f"Host/eu/h-{n}" for n in range(4)]
    assert [ref for page in kept.walk(which, window) for ref in page] == (wanted[::-1] if descending else wanted)


def test_what_changes_meanwhile_hides_nothing(kept: Kept) -> None:
    """Behind a cursor all that stays is seen once, whatever is created or deleted before it: also where it stood itself."""
    which, window = Which("Host", "default"), Window(most=4)
    first = kept.cut(which, window)
    assert names(first) == ["Host/h-0", "Host/h-1", "Host/h-2", "Host/h-3"]
    left = {ref: one for ref, one in DOCUMENTS.items() if ref.name not in ("h-3", "h-1")}
    kept.become({**left, Ref("Host", "a"): document(1)})
    second = kept.cut(which, window, first[-1])
    assert names(second) == ["Host/h-4", "Host/h-5", "Host/h-6", "Host/h-7"]
    assert names(kept.cut(which, window, second[0], back=True)) == ["Host/a", "Host/h-0", "Host/h-2"]
    for made_up in ("zzz", "z\0", "z\ud800"):
        assert kept.cut(which, window, replace(first[-1], key=made_up, tie=made_up)) == []


def test_by_kind_tenant_and_what_stands_there(kept: Kept) -> None:
    """In the document and in the status; and of what has none."""
    kept.store.put_status({f"Host/h-{n}": {"sync": "synced", "health": ("healthy", "down")[n % 2]} for n in range(4)})

    def found(*has: Has, kind: str = "Host", tenant: str = "default") -> list[str]:
        return names(kept.whole(Which(kind, tenant, has=has)).rows)

    region, health = ("spec", "region"), ("health",)
    assert found(tenant="eu") == [f"Host/eu/h-{n}" for n in range(4)]
    assert found(Has(region, frozenset({"r1"}))) == ["Host/h-1", "Host/h-5", "Host/h-9", "Host/h1"]
    assert found(Has(("spec", "n"), frozenset({"2"}))) == ["Host/h-2", "Host/h2"]
    assert found(Has(health, frozenset({"healthy"}), "status")) == ["Host/h-0", "Host/h-2"]
    assert found(Has(health, frozenset({"healthy"}), "status"), Has(region, frozenset({"r2"}))) == ["Host/h-2"]
    assert found(Has(health, frozenset({None}), "status"), Has(region, frozenset({"r1", "r9"}))) == [
        "Host/h-5",
        "Host/h-9",
        "Host/h1",
    ]
    assert found(Has(health, frozenset({"down", None}), "status"), Has(region, frozenset({"r1"})))[0] == "Host/h-1"
    assert found(Has(("spec", "none"), frozenset({None})), kind="Cluster")[:1] == ["Cluster/c0"]
    assert found(Has(region, frozenset())) == []
    rows = kept.cut(Which("Host", "default"), Window(most=2))
    assert [one.status and one.status["health"] for one in rows] == ["healthy", "down"]
