"""What was changed since the last accepted revision is read from the store, and only where a digest differs."""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from reconciler.compare import edited
from reconciler.core.declared import Declaration
from reconciler.core.model import FleetState, Ref
from reconciler.core.parse import Document
from reconciler.seams import Seams
from reconciler.store import Store
from tests.fleets import load_text

ONE = "apiVersion: convoy/v1\nkind: Container\nmetadata: {name: c}\nspec: {command: [sleep, '1']}\n"
HOST = "apiVersion: convoy/v1\nkind: Host\nmetadata: {name: h1}\nspec: {driver: process}\n---\n"


class Looked(Mapping[Ref, Document]):
    """Documents that remember which of them were asked for."""

    def __init__(self, document: Document) -> None:
        self.document, self.asked = document, set[Ref]()

    def __getitem__(self, ref: Ref) -> Document:
        self.asked.add(ref)
        return self.document

    def __contains__(self, ref: object) -> bool:
        return True

    def __iter__(self) -> Iterator[Ref]:
        raise AssertionError("nobody walks over all documents")

    def __len__(self) -> int:
        raise AssertionError("nobody walks over all documents")


def test_one_change_among_ten_thousand(tmp_path: Path) -> None:
    """It is found by digests, and beside that document only the new one is read."""
    one = next(load_text(HOST + ONE).of("Container"))
    says: Any = {"spec": {"command": ["sleep", "2"]}}
    resources = {
        ref: replace(one, ref=ref, digest=f"{i:016x}", uid=str(i)) for i in range(10_000) for ref in [Ref("Container", f"c{i}")]
    }
    documents = Looked(Document(one.source, says, b""))
    with closing(Store(f"sqlite:///{tmp_path / 'convoy.db'}", Seams())) as store:
        was = {"spec": {"command": ["sleep", "1"]}}
        store.record_revision("r1", "good", (), (), (), Declaration("r1", resources, lambda ref: was, lambda *_: {}))
        changed, gone = Ref("Container", "c7"), Ref("Container", "c8")
        now = {ref: resource for ref, resource in resources.items() if ref != gone}
        now[changed] = replace(now[changed], digest="another")
        now[Ref("Container", "new")] = replace(one, ref=Ref("Container", "new"))

        begun = time.process_time()
        found = edited(store, FleetState("r2", now, {}), documents)
        assert time.process_time() - begun < 2

    assert documents.asked == {changed, Ref("Container", "new")}
    assert [(str(edit.ref), edit.made) for edit in found] == [
        ("Container/c7", "changed"),
        ("Container/c8", "removed"),
        ("Container/new", "added"),
    ]
    assert [(one.path, one.before, one.after, one.effect) for one in found[0].fields.listed] == [
        ("spec.command[1]", '"1"', '"2"', "replace")
    ]


def test_where_nothing_was_ever_accepted_all_is_new(tmp_path: Path) -> None:
    """A first plan compares with nothing."""
    fleet = load_text(HOST + ONE)
    with closing(Store(f"sqlite:///{tmp_path / 'convoy.db'}", Seams())) as store:
        assert {edit.made for edit in edited(store, fleet, {})} == {"added"}
