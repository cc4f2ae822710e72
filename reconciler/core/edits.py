"""What was changed in the documents: each declared resource that differs from the one in force, field by field."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from reconciler.core.fields import Fields, differences, effects
from reconciler.core.model import Ref, Resource, Where

Made = Literal["added", "changed", "removed"]
# Documents that are compared field by field for one plan: a page nobody reads to its end. Of more it is told that they differ.
MOST_COMPARED = 500


NONE = Fields()
Documents = Mapping[Ref, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Edit:
    """One resource whose document differs. `fields` is empty for one that is gone, and what it says for one that is new;
    `compared` says whether anybody looked at its fields. `where` is where it stands, or stood."""

    ref: Ref
    made: Made
    where: Where
    fields: Fields = NONE
    compared: bool = True


@dataclass(frozen=True, slots=True)
class Unequal:
    """Which documents differ, by their digests alone; each in the order of refs."""

    added: tuple[Ref, ...] = ()
    changed: tuple[Ref, ...] = ()
    removed: tuple[Ref, ...] = ()

    @property
    def compared(self) -> tuple[Ref, ...]:
        """Those whose fields are compared with what they were."""
        return self.changed[:MOST_COMPARED]

    @property
    def read(self) -> tuple[Ref, ...]:
        """Those, and the new ones whose fields are looked at."""
        return (*self.changed, *self.added)[:MOST_COMPARED]


def unequal(before: Mapping[Ref, str], after: Mapping[Ref, Resource]) -> Unequal:
    """`before` is resource ⇒ digest of its document. What is equal costs one look at its digest, whatever its size."""
    changed = [ref for ref, resource in after.items() if before.get(ref, resource.digest) != resource.digest]
    return Unequal(
        tuple(sorted(after.keys() - before.keys())), tuple(sorted(changed)), tuple(sorted(before.keys() - after.keys()))
    )


def edits(
    found: Unequal, before: Documents, now: Documents, after: Mapping[Ref, Resource], stood: Mapping[Ref, Where]
) -> tuple[Edit, ...]:
    """In the order of refs. `before` and `now` hold what documents said and say, of those that are compared or read; `stood` is
    where the removed ones were."""
    listed = []
    for ref in found.added:
        fields = differences(None, _told(now[ref]), effects(ref.kind, now[ref])) if ref in now else NONE
        listed.append(Edit(ref, "added", _where(after[ref]), fields, ref in now))
    for ref in found.changed:
        compared = ref in before and ref in now
        fields = differences(before[ref], now[ref], effects(ref.kind, now[ref])) if compared else NONE
        listed.append(Edit(ref, "changed", _where(after[ref]), fields, compared))
    listed += [Edit(ref, "removed", stood.get(ref, Where(""))) for ref in found.removed]
    return tuple(sorted(listed, key=lambda edit: edit.ref))


def _told(document: Mapping[str, Any]) -> dict[str, Any]:
    """What it says beside what it is and what it is called."""
    metadata = document.get("metadata")
    rest = {name: value for name, value in document.items() if name not in ("apiVersion", "kind")}
    if isinstance(metadata, Mapping):
        rest["metadata"] = {name: value for name, value in metadata.items() if name != "name"}
    return {name: value for name, value in rest.items() if name != "metadata" or value}


def _where(resource: Resource) -> Where:
    return Where(resource.source.file, resource.source.line)
