"""What one resource needs and what needs it, read from the documents as they are declared."""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from reconciler.core.envelope import Checked, check
from reconciler.core.kinds import KINDS
from reconciler.core.model import Ref, Source
from reconciler.core.parse import Document


def checked(ref: Ref, document: Mapping[str, Any]) -> Checked:
    """What a document says that was declared once; a later Convoy may find it wrong."""
    return check(Document(Source("", 1, 0, 0), dict(document), orjson.dumps(document)), ref.tenant, KINDS)


def named_by(ref: Ref, document: Mapping[str, Any]) -> tuple[tuple[Ref, ...], ...]:
    """What this document names: for each, those that would do."""
    return tuple(
        tuple(Ref(kind, name, tenant) for kind, tenant, name in keys) for keys in dict.fromkeys(checked(ref, document).needs)
    )


def needing(ref: Ref, documents: Iterable[tuple[Ref, Mapping[str, Any]]]) -> list[Ref]:
    """Those of these that name this resource."""
    return sorted(
        other for other, document in documents if other != ref and any(ref in refs for refs in named_by(other, document))
    )
