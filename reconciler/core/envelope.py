"""One document ⇒ a typed Resource, or everything that is wrong with it by itself."""

import hashlib
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import ValidationError

from reconciler.core import asked, own_health
from reconciler.core.compose import said
from reconciler.core.kinds.document import PRESENCE, SUPERVISION, DocumentModel, Metadata, document_model
from reconciler.core.kinds.environment import KIND as ENVIRONMENT_KIND
from reconciler.core.kinds.spec import NAME_PATTERN, Reference, Run, Spec
from reconciler.core.model import DEFAULT_TENANT, Problem, Ref, Resource, Where
from reconciler.core.near import did_you_mean, listing
from reconciler.core.parse import Document, locate
from reconciler.core.wording import Flaw, flaws, quoted

# Uids of documents that carry none: https://www.rfc-editor.org/rfc/rfc9562#name-uuid-version-5 under a name of our own.
UIDS = uuid.UUID("0c0a8a52-6f0e-5b8e-9d8b-51b8a1d8a1c4")
NAME = re.compile(NAME_PATTERN)
LONGEST_NAME = 63
# Which resource: kind, tenant and name. Quicker to look up than a Ref.
Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Checked:
    """What one document says by itself.

    `ref` is there as soon as kind and name can be read, so that others who name a broken document hear only of what is their
    own; `resource` only when nothing is wrong. `needs` are the resources it names: for each, the keys that would do.
    """

    ref: Ref | None
    resource: Resource | None
    problems: tuple[Problem, ...] = ()
    references: tuple[Reference, ...] = ()
    needs: tuple[tuple[Key, ...], ...] = ()
    # The kinds among them, in order.
    names_kinds: tuple[str, ...] = ()
    uid: str | None = None
    # Whether it is a workload with a port number of its own.
    fixed: bool = False
    # What it waits for before it is made or changed, in the order of `metadata.needs`.
    waits_for: tuple[Ref, ...] = ()
    hook: bool = False


def check(document: Document, tenant: str, kinds: Mapping[str, type[Spec]]) -> Checked:
    """Everything about one document that needs no other. Nothing is read of a spec whose kind is unknown."""
    value = document.value
    ref = ref_of(value, tenant, kinds)
    kind = value.get("kind")
    known = kind in kinds if isinstance(kind, str) else False
    model = document_model(str(kind), kinds[str(kind)]) if known else DocumentModel
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    wrong: list[Flaw] = [] if known else [_unknown_kind(value, kinds)]
    try:
        # From JSON and strict: `"80"` is no number and 1 is not true, as schemas/ says, and lists become tuples all the same.
        read = model.model_validate_json(text, strict=True)
    except ValidationError as error:
        wrong += [flaw for flaw in flaws(error, model) if known or not _about_kind(flaw)]
        return Checked(ref, None, tuple(problem(document, flaw, ref) for flaw in wrong))
    if known:
        wrong += [*_policies(read.metadata, kinds[str(kind)]), *asked.flaws(read.metadata, read.spec, kinds)]
        wrong += own_health.flaws(read.spec)
    if ref is not None and not wrong:
        most = LONGEST_NAME - read.spec.suffix_length()
        if len(ref.name) <= most:
            return _checked(document, ref, read, text)
        what = f"{ref.name!r} is too long for the names that are made from it"
        wrong.append(Flaw(("metadata", "name"), what, f"use at most {most} characters"))
    return Checked(ref, None, tuple(problem(document, flaw, ref) for flaw in wrong))


def _checked(document: Document, ref: Ref, read: DocumentModel, text: bytes) -> Checked:
    spec: Spec = read.spec
    uid = read.metadata.uid or uid_of(ref)
    digest = _digest(text)
    metadata = read.metadata
    drift = metadata.drift if isinstance(metadata.drift, dict) else {"": metadata.drift} if metadata.drift else {}
    layers = document.trail.layers() if document.trail is not None else ()
    waits_for = tuple(Ref(kind, name, ref.tenant) for kind, _, name in (one.partition("/") for one in metadata.needs))
    resource = Resource(
        ref, uid, spec, document.source, metadata.labels, metadata.deletion, drift, digest, layers, waits_for, metadata.hook
    )
    references = tuple(spec.references())
    needs = tuple(tuple((kind, ref.tenant, one.name) for kind in one.kinds) for one in references)
    fixed = isinstance(spec, Run) and any(port.port is not None for port in spec.ports)
    kinds = tuple(sorted({kind for one in references for kind in one.kinds}))
    hook = metadata.hook is not None
    return Checked(ref, resource, (), references, needs, kinds, read.metadata.uid, fixed, waits_for, hook)


def digest_of(value: Mapping[str, Any]) -> str:
    """`Resource.digest` of a document that says this, also where it is wrong in other ways."""
    return _digest(orjson.dumps(value, option=orjson.OPT_SORT_KEYS))


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:16]


def _policies(metadata: Metadata, kind: type[Spec]) -> list[Flaw]:
    """What is said about deletes and drift where nothing runs would protect nothing: better to hear of it."""
    said_of = [name for name in ("deletion", "drift") if name in metadata.model_fields_set]
    if not kind.runs:
        hint = "it is for what runs: Container, Application, Proxy"
        return [
            Flaw(("metadata", name), f"nothing runs because of a {kind.__name__}: `{name}` says nothing", hint)
            for name in said_of
        ]
    if not isinstance(metadata.drift, dict):
        return []
    fields = {PRESENCE, SUPERVISION, *(kind.model_fields[name].alias or name for name in kind.in_place)}
    return [
        Flaw(
            ("metadata", "drift", name),
            f"no field {quoted(name)} can drift",
            did_you_mean(name, fields, f"these can: {listing(fields)}"),
        )
        for name in metadata.drift
        if name not in fields
    ]


def uid_of(ref: Ref) -> str:
    """The uid of a document that carries none: version 5, the same for the same ref (`uuid.uuid5`, ten times as fast)."""
    digest = hashlib.sha1(UIDS.bytes + str(ref).encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digest[16], 16) & 3]
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"


def ref_of(value: Mapping[str, Any], tenant: str, kinds: Mapping[str, type[Spec]]) -> Ref | None:
    """Which resource a document is about, whatever else is wrong with it."""
    kind, metadata = value.get("kind"), value.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if isinstance(kind, str) and kind in kinds and isinstance(name, str) and NAME.fullmatch(name):
        return Ref(kind, name, tenant)
    return None


def problem(document: Document, flaw: Flaw, ref: Ref | None) -> Problem:
    return Problem(locate(document, flaw.path, key=flaw.key), flaw.what, hinted(document, flaw), ref, flaw.quiet)


def hinted(document: Document, flaw: Flaw) -> str:
    """The flaw's hint, and the other place that has a part in what stands there, if there is one."""
    beside = document.trail.beside(flaw.path) if document.trail is not None else ""
    return "; ".join(one for one in (flaw.hint, beside) if one)


def _unknown_kind(value: Mapping[str, Any], kinds: Mapping[str, type[Spec]]) -> Flaw:
    kind, known = value.get("kind"), f"known kinds: {listing(kinds)}"
    if kind == ENVIRONMENT_KIND:
        what = "an Environment is no part of another fleet than its own"
        return Flaw(("kind",), what, "name the directory that it is in instead of one above it")
    if "kind" not in value:
        return Flaw((), "`kind` is missing", known)
    if not isinstance(kind, str):
        return Flaw(("kind",), f"`kind` must be text, not {said(kind)}", known)
    return Flaw(("kind",), f"there is no kind {quoted(kind)}", did_you_mean(kind, kinds, known))


def _about_kind(flaw: Flaw) -> bool:
    return flaw.path == ("kind",) or (not flaw.path and "`kind`" in flaw.what)


def tenant_of(file: str, root: str) -> tuple[str, Problem | None]:
    """Whose a file is: `tenants/<tenant>/…` below the fleet's root, else everybody's."""
    parts = file[len(root) :].split("/")
    if "tenants" in parts[1:-1]:
        # Whoever put it there means a tenant's, and it would be everybody's.
        hint = f"move it to {root}tenants/<tenant>/, or call the directory something else"
        return DEFAULT_TENANT, Problem(Where(file), "is in a directory `tenants` that is not at the root of its fleet", hint)
    if parts[0] != "tenants":
        return DEFAULT_TENANT, None
    if len(parts) < 3:
        return DEFAULT_TENANT, Problem(Where(file), "is in no tenant's directory", "move it to tenants/<tenant>/")
    if not NAME.fullmatch(parts[1]):
        hint = "name the directory by lower-case letters, digits and `-` between them, at most 63"
        return DEFAULT_TENANT, Problem(Where(file), f"{quoted(parts[1])} is not the name of a tenant", hint)
    return parts[1], None
