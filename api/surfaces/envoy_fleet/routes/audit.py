"""The audit (section 13): of one tenant, for its admins."""

from typing import Any

from api.surfaces.envoy_fleet import pages
from api.surfaces.envoy_fleet.mapping import audit as mapping
from api.surfaces.envoy_fleet.operations import TIMES, Asked, Operations
from reconciler.core.model import DEFAULT_TENANT
from reconciler.store import Window


def add(served: Operations) -> None:
    @served("audit_logs.list")
    def every(asked: Asked) -> dict[str, Any]:
        """The newest first. What nobody known has asked is for those whose tenant the installation itself is."""
        tenant, store = asked.account.tenant, asked.reach.store
        wanted = mapping.wanted(asked.query, (tenant, "") if tenant == DEFAULT_TENANT else (tenant,))
        if asked.reach.recorder is not None:
            # What was answered before is in it.
            asked.reach.recorder.flush()
            store.refresh()

        def read(window: Window) -> tuple[list[pages.Entry], int | None]:
            rising, beyond = window.descending == window.back, window.beyond
            place = int(beyond[0]) if beyond is not None else None
            calls = store.audit.page(wanted, window.most, start=window.start, beyond=place, rising=rising)
            total = store.audit.count(wanted) if window.counted else None
            return [pages.Entry(one.number, "", mapping.shown(one)) for one in calls], total

        return pages.answer(pages.paging({"order": "desc", **asked.query}, asked.shape.sorts, TIMES), read)
