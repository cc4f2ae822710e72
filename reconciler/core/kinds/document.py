"""The envelope around every spec: one model per kind for the whole document, also the source of schemas/."""

from functools import cache
from typing import Annotated, Any, Literal

from pydantic import Field, create_model

from reconciler.core.kinds.spec import Name, Part, Seconds, Spec
from reconciler.core.kinds.window import Selected

API_VERSION = "convoy/v1"

LabelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._/-]{0,251}[A-Za-z0-9])?$")]
# What is done with a difference that no commit made.
Drift = Literal["correct", "report", "ignore"]
# What a person may say of one field, besides those that change in place: that the thing is there, and that it is supervised.
PRESENCE, SUPERVISION = "presence", "supervision"
# What a document may wait for: what runs, and what proxies are told.
NEED_PATTERN = r"^(Application|Container|Proxy|ProxyGroup)/[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
Need = Annotated[str, Field(pattern=NEED_PATTERN)]
Uid = Annotated[str, Field(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")]


class Hook(Part):
    """A Container that runs to its end, once for each revision that changes something of what it is for. Exit status 0 is
    success; anything else fails the sync that it is a part of."""

    when: Literal["before-sync", "after-sync"]
    """`before-sync`: nothing of what it is for is changed before it has succeeded. `after-sync`: it runs when all of that is
    as declared and healthy."""
    only: tuple[Selected, ...] = Field((), max_length=50)
    """What it is for, as `--only` says it; left out, everything of its tenant. What the hook itself needs is never part of
    it."""
    deadline_s: Seconds = Field(600.0, alias="deadlineSeconds")
    """How long one run may take; then it is ended, and has failed."""


class Metadata(Part):
    """Which resource this is, and what people and tools note about it."""

    name: Name
    """Lower-case letters, digits and `-`, at most 63; unique within its kind and tenant. A rename is a delete and a create."""
    uid: Uid | None = None
    """A UUID that stays when everything else changes; left out, one that follows from kind, tenant and name."""
    labels: dict[LabelName, Annotated[str, Field(max_length=253)]] = Field(default_factory=dict, max_length=100)
    """For selecting."""
    annotations: dict[LabelName, str] = Field(default_factory=dict, max_length=100)
    """For reading; nothing follows from them."""
    deletion: Literal["delete", "retain", "confirm"] = "delete"
    """When this document is gone: delete what runs, retain it (it goes on running), or delete it once a person confirms it."""
    drift: Drift | dict[str, Drift] | None = None
    """When what runs differs though no commit asked for it: correct it, report it, or ignore it. One word for all of it, or a
    word for each field: `presence` (it is gone), `supervision` (nothing watches over it), or a field that changes in place.
    Left out: as Settings says."""
    needs: tuple[Need, ...] = Field((), max_length=100)
    """What has to be as declared and healthy before this is made or changed, as `Kind/name`. Deleting goes the other way
    round."""
    hook: Hook | None = None
    """This Container is no workload that goes on running: it is run before or after changes are made."""


class DocumentModel(Part):
    """One document of any kind."""

    api_version: Literal["convoy/v1"]
    """The format that this document is written in."""
    kind: Any
    """What kind of thing this document declares."""
    metadata: Metadata
    """Which resource this is."""
    spec: Any = None
    """What is wanted."""


@cache
def document_model(kind: str, spec: type[Spec]) -> type[DocumentModel]:
    """The model of a whole document of this kind. Its `spec` may be left out where every field of it may."""
    optional = not any(field.is_required() for field in spec.model_fields.values())
    said = "What is wanted."
    fields: dict[str, Any] = {
        "kind": (Literal[kind], Field(description="What kind of thing this document declares.")),
        "spec": (spec, Field(default_factory=spec, description=said) if optional else Field(description=said)),
    }
    return create_model(kind, __base__=DocumentModel, __doc__=spec.__doc__, __module__=__name__, **fields)
