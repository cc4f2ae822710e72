"""Proxies, as a list (section 6.1)."""

from collections.abc import Sequence
from typing import Any

from api import readings
from api.surfaces.envoy_fleet import pages
from api.surfaces.envoy_fleet.configured import configured, fares
from api.surfaces.envoy_fleet.mapping import proxies as mapping
from api.surfaces.envoy_fleet.operations import Asked, Operations
from reconciler.core.model import Ref
from reconciler.store import Has, Row, Which, Window

KIND, WORD, CLUSTER = "Proxy", "proxy", "Cluster"


def add(served: Operations) -> None:
    @served("proxies.list")
    def every(asked: Asked) -> dict[str, Any]:
        status = asked.query.get("status")
        has = (Has(("health",), mapping.WORDS[status], of="status"),) if status else ()
        which = Which(KIND, asked.account.tenant, has=has)

        def read(window: Window) -> tuple[list[pages.Entry], int | None]:
            page = asked.reach.store.pages.page(which, window)
            return _entries(asked, page.rows), page.total

        return asked.page(read)


def _entries(asked: Asked, rows: Sequence[Row]) -> list[pages.Entry]:
    store, every = asked.reach.store, [one.declared for one in rows]
    faring, measured = fares(store, every), readings.latest(store, (Ref.parse(one.ref) for one in every))
    named = {mapping.cluster_of(one) for one in every} - {""}
    clusters = store.declared({str(Ref(CLUSTER, name, asked.account.tenant)) for name in named})
    uids = {one.name: one.uid for one in clusters.values()}
    return [
        pages.Entry(
            row.key,
            row.tie,
            mapping.listed(
                one.proxy,
                one.active,
                faring[one.proxy.ref],
                measured.get(Ref.parse(one.proxy.ref), {}),
                uids.get(mapping.cluster_of(one.proxy)),
            ),
        )
        for row, one in zip(rows, configured(store, every), strict=True)
    ]
