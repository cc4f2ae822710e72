"""Certificates (section 10): what they say of themselves, who uses them, and new ones with their keys."""

import time
from collections.abc import Sequence
from typing import Any

from api.seal import sealed
from api.surfaces.envoy_fleet import pages
from api.surfaces.envoy_fleet.mapping import certificates as mapping
from api.surfaces.envoy_fleet.operations import Answer, Asked, Operations, tagged
from reconciler.core.declared import Declared
from reconciler.store import Which, Window

KIND, WORD = mapping.KIND, "certificate"


def add(served: Operations) -> None:
    @served("certificates.list")
    def every(asked: Asked) -> dict[str, Any]:
        def read(window: Window) -> tuple[list[pages.Entry], int | None]:
            page = asked.reach.store.pages.page(Which(KIND, asked.account.tenant), window)
            views = _shown(asked, [row.declared for row in page.rows])
            return [pages.Entry(row.key, row.tie, view) for row, view in zip(page.rows, views, strict=True)], page.total

        return asked.page(read)

    @served("certificates.get")
    def get(asked: Asked, id: str) -> Answer:
        found = asked.find(KIND, id, WORD)
        return tagged(found, _shown(asked, [found])[0])

    @served("certificates.upload")
    def upload(asked: Asked) -> Answer:
        body = asked.body
        whole = mapping.chain(body)
        key = sealed(asked.reach.run, {"private_key": body["private_key"]})["private_key"]
        made = asked.make(mapping.created(body["name"], asked.account.tenant, whole, key)).declared
        return tagged(made, _shown(asked, [made])[0])


def _shown(asked: Asked, every: Sequence[Declared]) -> list[dict[str, Any]]:
    """One question each for all of them: what was made for them, and who names them."""
    resources = asked.reach.store.resources
    made = resources.chains(one.ref for one in every)
    users = resources.naming(asked.account.tenant, mapping.USERS, [one.name for one in every])
    return [mapping.shown(one, made.get(one.ref, ""), users, time.time()) for one in every]
