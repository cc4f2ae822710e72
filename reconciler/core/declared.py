"""What a revision declares as it is kept: which resources it changed, and who made each change."""

import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from reconciler.core.edition import differing
from reconciler.core.model import Ref, Resource

Change = Literal["created", "changed", "moved", "deleted"]
CHANGES: tuple[Change, ...] = ("created", "changed", "moved", "deleted")


@dataclass(frozen=True, slots=True)
class Maker:
    """Who made a change: the commit, its author as "Name <mail>" and what it says it is for, "" where that is not known."""

    revision: str
    author: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Declaration:
    """Everything that one revision declares. `document` tells what a resource's document says.

    `makers` tells who last changed each of some files since an older revision ("": since the beginning); it is asked only
    about what changed, and answers for every file.
    """

    revision: str
    resources: Mapping[Ref, Resource]
    document: Callable[[Ref], Mapping[str, Any]]
    makers: Callable[[str, Collection[str]], Mapping[str, Maker]]


@dataclass(frozen=True, slots=True)
class Place:
    """What is remembered of one resource as it was declared last: its content's digest, and where that stands."""

    digest: str
    file: str
    line: int
    blob: str


@dataclass(frozen=True, slots=True)
class Declared:
    """One resource as the last accepted revision declares it.

    `document` is the whole document as it was written, sealed values sealed. `revision` is the commit that gave it this
    content, `author` and `message` that commit's ("" where they are not known), `n` the number of that change among those of
    this resource, `version` that change's id; `created` is when it was first declared, `at` when it was changed last.
    """

    ref: str
    uid: str
    kind: str
    tenant: str
    name: str
    digest: str
    document: Mapping[str, Any] = field(repr=False)
    file: str
    line: int
    blob: str
    revision: str
    author: str
    n: int
    at: float
    created: float = 0.0
    version: str = ""
    message: str = ""

    @property
    def spec(self) -> Mapping[str, Any]:
        """What its document says under `spec`; nothing where that is no mapping."""
        spec = self.document.get("spec")
        return spec if isinstance(spec, Mapping) else {}


@dataclass(frozen=True, slots=True)
class Version:
    """What one resource was declared as, from its `n`th change on.

    `commit` is the revision with which it came into force, at `at` (Unix seconds), so it also declares what this was part of;
    `author` and `message` are those of the commit that made it.
    """

    id: str
    ref: str
    n: int
    commit: str
    at: float
    author: str
    message: str


def version_id(uid: str, commit: str) -> str:
    """The id of what the resource of this uid was declared as by this revision."""
    try:
        namespace = uuid.UUID(uid)
    except ValueError:
        namespace = uuid.uuid5(uuid.NAMESPACE_OID, uid)
    return str(uuid.uuid5(namespace, commit))


@dataclass(frozen=True, slots=True)
class Changed:
    """One change of one resource.

    `number` rises over the whole fleet, `n` counts from 1 for each resource. `revision` is the commit that made the change and
    `accepted` the revision with which it came into force, at `at` (Unix seconds). `before` and `after` are the documents: None
    where there is none, or it is not kept any more (`digest_before` and `digest` tell which: "" for none). `version` is its id,
    and `message` what the commit says.
    """

    number: int
    ref: str
    uid: str
    n: int
    revision: str
    accepted: str
    at: float
    author: str
    change: Change
    digest_before: str
    digest: str
    file: str
    line: int
    before: Mapping[str, Any] | None = field(default=None, repr=False)
    after: Mapping[str, Any] | None = field(default=None, repr=False)
    version: str = ""
    message: str = ""


def place(resource: Resource) -> Place:
    source = resource.source
    return Place(resource.digest, source.file, source.line, source.blob)


# A resource's printed ref, and what is declared of it now.
Pair = tuple[str, Resource | None]


def touched(last: Mapping[Ref, Resource], now: Mapping[Ref, Resource]) -> Iterator[Pair]:
    """What may differ between two declarations; what is the same object does not, which is quickly told."""
    refs = differing(last, now)
    # In their order, and then what is gone: history numbers them so, whatever was known of the last declaration.
    there = [now[ref] for ref in refs if ref in now]
    for resource in sorted(there, key=lambda one: (one.source.file, one.source.start)):
        yield str(resource.ref), resource
    for ref in sorted(ref for ref in refs if ref not in now):
        yield str(ref), None


def everything(before: Iterable[str], now: Mapping[Ref, Resource]) -> Iterator[Pair]:
    """The same where nothing is known of the last declaration but the printed refs of what is in it."""
    printed: dict[str, Resource | None] = {str(ref): resource for ref, resource in now.items()}
    yield from printed.items()
    for ref in before:
        if ref not in printed:
            yield ref, None


def differences(before: Mapping[str, Place], pairs: Iterable[Pair]) -> dict[str, tuple[Change | None, Resource | None]]:
    """Those that changed, by printed ref; None where only lines have moved, which is nobody's news."""
    found: dict[str, tuple[Change | None, Resource | None]] = {}
    for ref, resource in pairs:
        was = before.get(ref)
        if resource is None:
            if was is not None:
                found[ref] = ("deleted", None)
            continue
        here = place(resource)
        if was is None:
            found[ref] = ("created", resource)
        elif was.digest != here.digest:
            found[ref] = ("changed", resource)
        elif was.file != here.file:
            found[ref] = ("moved", resource)
        elif was != here:
            found[ref] = (None, resource)
    return found
