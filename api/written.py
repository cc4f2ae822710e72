"""What was changed, as it is after its change, whether that is in force already or not."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from api.changes import Done, Unshown
from api.fleet import SETTLING_S, Found
from api.reach import Reach
from reconciler.core.declared import Declared
from reconciler.core.envelope import digest_of, uid_of
from reconciler.core.model import Ref
from reconciler.core.proposal import Change, Refused, wanted
from reconciler.store import Proposal


def written(reach: Reach, done: Done) -> tuple[Found | None, ...]:
    """Each resource as it is after its change, in their order; None for one that is gone. Raises StoreError, and Unshown where
    that cannot be told: what it was before is never shown in its place.

    Mostly nothing is waited for: what the change makes of the document in force is what was committed, as its digest tells.
    Which version that is (`n`, `version`) is known once it is in force.
    """
    made = done.proposal
    if made is None:
        return ()
    told = {str(one.get("ref")): one for one in made.changes}
    return tuple(_written(reach, done, change, told.get(str(change.ref), {})) for change in done.proposed.changes)


def _written(reach: Reach, done: Done, change: Change, told: Mapping[str, Any]) -> Found | None:
    before, digest = reach.fleet.get(change.ref), told.get("digest")
    if digest == "":
        return None
    if before is not None and before.declared.digest == digest:
        return before
    found = _after(done, change, before, told)
    if found is None and done.proposal is not None:
        found = as_in_force(reach, done.proposal, change.ref)
    return found


def as_in_force(reach: Reach, made: Proposal, ref: Ref) -> Found | None:
    """One of what this has changed, as it is once that is in force; what came after it counts too. Raises as `written` does."""
    if not reach.fleet.in_force(made, SETTLING_S, judged=True):
        raise Unshown(made)
    return reach.fleet.get(ref)


def _after(done: Done, change: Change, before: Found | None, told: Mapping[str, Any]) -> Found | None:
    """What comes of it where nobody else has changed it meanwhile."""
    was, ref = before.declared if before is not None else None, change.ref
    try:
        document = wanted(replace(change, match=(), new=False), was.document if was is not None else None)
    except Refused:
        return None
    if document is None or done.proposal is None or digest_of(document) != told.get("digest"):
        return None
    now = time.time()
    declared = Declared(
        ref=str(ref),
        uid=document["metadata"].get("uid") or (was.uid if was is not None else uid_of(ref)),
        kind=ref.kind,
        tenant=ref.tenant,
        name=ref.name,
        digest=str(told.get("digest")),
        document=document,
        file=str(told.get("file", "")),
        line=was.line if was is not None else 1,
        blob="",
        revision=done.proposal.revision,
        author=done.proposed.author,
        n=was.n + 1 if was is not None else 1,
        at=now,
        created=was.created if was is not None else now,
        message=done.proposed.message,
    )
    return Found(declared, before.status if before is not None else None)
