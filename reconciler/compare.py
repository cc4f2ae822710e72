"""Compares what is declared: a revision with the one in force, or any two revisions with each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.core.between import between, certificate_versions
from reconciler.core.connect import Connector
from reconciler.core.edits import Edit, edits, unequal
from reconciler.core.model import FleetState, ObservedState, Plan, Problem, Ref, Snapshot, Where
from reconciler.core.parse import Document
from reconciler.git import Source
from reconciler.load import Loaded, Loader
from reconciler.store import Store


@dataclass(frozen=True, slots=True)
class Compared:
    """What one revision changes against another; or what is wrong with one of them, which is then `faulty`.

    `running` is node ⇒ what each proxy is told by the first.
    """

    before: str
    revision: str
    faulty: str = ""
    problems: tuple[Problem, ...] = ()
    plan: Plan | None = None
    running: Mapping[str, Snapshot] = field(default_factory=dict)
    edits: tuple[Edit, ...] = ()
    was: FleetState | None = None
    fleet: FleetState | None = None


def edited(store: Store, fleet: FleetState, documents: Mapping[Ref, Document]) -> tuple[Edit, ...]:
    """What differs from the last accepted revision, as the store has it; what was never accepted is new.

    Only documents whose digests differ are read. Raises StoreError.
    """
    places = {ref: place for printed, place in store.places().items() if (ref := _ref(printed)) is not None}
    found = unequal({ref: place.digest for ref, place in places.items()}, fleet.resources)
    kept = store.declared(str(ref) for ref in found.compared) if found.compared else {}
    before = {ref: kept[str(ref)].document for ref in found.compared if str(ref) in kept}
    now = {ref: documents[ref].value for ref in found.read if ref in documents}
    stood = {ref: Where(places[ref].file, places[ref].line) for ref in found.removed}
    return edits(found, before, now, fleet.resources, stood)


def compared(old: Source, before: str, new: Source, revision: str, loader: Loader) -> Compared:
    """From documents alone. Both sources have these revisions, and may be the same one. Raises SourceError."""
    was, now = (loader.load(source.tree(name), source.read, source) for source, name in ((old, before), (new, revision)))
    for name, loaded in ((before, was), (revision, now)):
        if loaded.fleet is None:
            return Compared(before, revision, name, tuple(loaded.problems))
    if was.fleet is None or now.fleet is None:
        raise AssertionError("a revision has neither a fleet nor Problems")
    running, tell = _told(was.fleet), _told(now.fleet)
    planned = between(was.fleet, now.fleet, running, tell)
    return Compared(before, revision, "", (), planned, running, edits_between(was, now), was.fleet, now.fleet)


def _told(fleet: FleetState) -> dict[str, Snapshot]:
    return Connector().connect(fleet, ObservedState({}), certificate_versions(fleet))


def edits_between(was: Loaded, now: Loaded) -> tuple[Edit, ...]:
    """What one loaded revision declares otherwise than another. Neither has Problems."""
    old, new = (one.fleet.resources if one.fleet else {} for one in (was, now))
    found = unequal({ref: resource.digest for ref, resource in old.items()}, new)
    before = {ref: was.documents[ref].value for ref in found.compared}
    after = {ref: now.documents[ref].value for ref in found.read}
    stood = {ref: Where(old[ref].source.file, old[ref].source.line) for ref in found.removed}
    return edits(found, before, after, new, stood)


def _ref(printed: str) -> Ref | None:
    try:
        return Ref.parse(printed)
    except ValueError:
        return None
