"""A FleetState made from the one before: what that costs follows what changed."""

from collections.abc import Mapping

from reconciler.core.edition import Edition, differing
from reconciler.core.laid import laid
from reconciler.core.model import FleetState, Ref, Resource, Want, XdsResource


def followed(
    before: FleetState,
    revision: str,
    resources: Mapping[Ref, Resource],
    workloads: Mapping[Ref, Want | None],
    traffic: Mapping[Ref, Mapping[str, Mapping[str, XdsResource]] | None],
) -> FleetState:
    """What a later revision declares. `workloads` and `traffic` are all entries that differ (None: gone)."""
    wanted = before.workloads if isinstance(before.workloads, Edition) else Edition(before.workloads)
    told = before.traffic if isinstance(before.traffic, Edition) else Edition(before.traffic)
    later = FleetState(
        revision,
        resources,
        wanted.edited(workloads) if workloads else wanted,
        told.edited(traffic) if traffic else told,
    )
    known = before.__dict__.get("kinds")
    if known is not None and isinstance(resources, Edition) and resources.ordered_as(before.resources):
        edited: dict[str, dict[Ref, Resource | None]] = {}
        for ref in differing(before.resources, resources):
            edited.setdefault(ref.kind, {})[ref] = resources[ref]
        # As if it had been asked for: it is a cached property.
        later.__dict__["kinds"] = {**known, **{kind: laid(known[kind], some) for kind, some in edited.items()}}
    return later
