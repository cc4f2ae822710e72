"""Rendered documents as YAML and as JSON, in an order that does not depend on files; what is sealed stays sealed."""

from collections.abc import Iterable
from typing import Any

from reconciler.core.as_yaml import as_yaml
from reconciler.core.envelope import tenant_of
from reconciler.core.kinds import KINDS
from reconciler.core.layers import root_of
from reconciler.core.model import DEFAULT_TENANT, Ref, Source
from reconciler.core.parse import Document
from reconciler.core.show_layout import harmless

ORDER = {kind: number for number, kind in enumerate(KINDS)}


def ordered(documents: Iterable[Document], roots: str | tuple[str, ...]) -> list[tuple[Ref, Document]]:
    """Each with what it is about as far as that can be read: by tenant, kind and name."""
    found = [(_about(one, tenant_of(one.source.file, root_of(one.source.file, roots))[0]), one) for one in documents]
    return sorted(found, key=lambda one: (_order(one[0]), one[1].source.file, one[1].source.start))


def _about(document: Document, tenant: str) -> Ref:
    metadata = document.value.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return Ref(str(document.value.get("kind", "")), str(name or ""), tenant)


def _order(ref: Ref) -> tuple[bool, str, int, str, str]:
    return ref.tenant != DEFAULT_TENANT, ref.tenant, ORDER.get(ref.kind, len(ORDER)), ref.kind, ref.name


def labels_of(document: Document) -> dict[str, str]:
    metadata = document.value.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, dict) else None
    return {str(name): str(value) for name, value in labels.items()} if isinstance(labels, dict) else {}


def layers_of(document: Document) -> tuple[Source, ...]:
    return document.trail.layers() if document.trail is not None else (document.source,)


def rendered_yaml(documents: Iterable[tuple[Ref, Document]], *, explain: bool = False) -> str:
    """All of them in one text; to `explain` says above each of them from where it comes."""
    return "".join(f"---\n{_above(ref, document, explain)}{as_yaml(document.value)}" for ref, document in documents)


def _above(ref: Ref, document: Document, explain: bool) -> str:
    lines = [f"# tenants/{ref.tenant}/"] if ref.tenant != DEFAULT_TENANT else []
    if explain:
        first, *others = layers_of(document)
        lines.append(f"# {first.file}:{first.line}" + (", changed by" if others else ""))
        lines += [f"#   {one.file}:{one.line}" for one in others]
    return "".join(harmless(line) + "\n" for line in lines)


def rendered_json(documents: Iterable[tuple[Ref, Document]]) -> list[dict[str, Any]]:
    return [
        {
            "ref": str(ref),
            "tenant": ref.tenant,
            "layers": [{"file": one.file, "line": one.line} for one in layers_of(document)],
            "document": document.value,
        }
        for ref, document in documents
    ]
