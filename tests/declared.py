"""What a revision declares, as tests put it into a store without a repository."""

from collections.abc import Mapping
from typing import Any

from reconciler.core.declared import Declaration, Maker
from reconciler.core.envelope import digest_of
from reconciler.core.kinds.host import Host
from reconciler.core.model import Ref, Resource, Source

# What is declared is read from the documents; of the spec only its place in a Resource matters here.
SPEC = Host(driver="process")


def declaration(
    revision: str, documents: Mapping[str, Mapping[str, Any]], author: str = "Ada <ada@example.org>"
) -> Declaration:
    """These documents by printed ref, each in a file of its own."""
    resources = {
        ref: Resource(ref, f"uid-{ref}", SPEC, Source(f"{ref.name}.yaml", 1, 0, 9, "b"), digest=digest_of(document))
        for ref, document in ((Ref.parse(printed), document) for printed, document in documents.items())
    }
    return Declaration(
        revision,
        resources,
        lambda ref: documents[str(ref)],
        lambda since, files: {file: Maker(revision, author) for file in files},
    )
