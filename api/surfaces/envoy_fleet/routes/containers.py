"""Containers: registered ones, which report how they are, and those that Convoy runs (section 5)."""

from collections.abc import Sequence
from typing import Any

from api.seal import sealed
from api.surfaces.envoy_fleet import pages
from api.surfaces.envoy_fleet.mapping import containers as mapping
from api.surfaces.envoy_fleet.operations import Answer, Asked, Operations, tagged
from api.surfaces.envoy_fleet.wire import Conflict, Invalid, NotFound
from reconciler.core.declared import Declared
from reconciler.core.model import Ref
from reconciler.store import Which, Window

KIND, WORD = mapping.KIND, "container"


def add(served: Operations) -> None:
    @served("containers.list")
    def every(asked: Asked) -> dict[str, Any]:
        status = asked.query.get("status")
        return listed(asked, Which(KIND, asked.account.tenant, either=mapping.faring(status) if status else ()))

    @served("containers.get")
    def get(asked: Asked, id: str) -> Answer:
        return _one(asked, asked.find(KIND, id, WORD))

    @served("containers.create")
    def create(asked: Asked) -> Answer:
        secrets = mapping.secrets(asked.body)
        try:
            machine = asked.find(mapping.MACHINE, asked.body["vm_id"], "virtual machine").name
        except NotFound as why:
            raise Invalid("vm_id", str(why)) from None
        hidden = sealed(asked.reach.run, secrets) if secrets else {}
        return _one(asked, asked.make(mapping.created(asked.body, asked.account.tenant, machine, hidden)).declared)

    @served("containers.update_status")
    def update_status(asked: Asked, id: str) -> Answer:
        found = asked.find(KIND, id, WORD)
        asked.expect(found)
        machine = mapping.machine_of(found)
        if not machine:
            raise Conflict("Convoy runs this container itself, and observes its status: nobody reports it")
        on = _machines(asked, [found]).get(machine)
        asked.reach.store.reports.put(found.uid, asked.body["status"], asked.body.get("restart_count"), [on] if on else ())
        return _one(asked, found)


def listed(asked: Asked, which: Which) -> dict[str, Any]:
    def read(window: Window) -> tuple[list[pages.Entry], int | None]:
        page = asked.reach.store.pages.page(which, window)
        views = _shown(asked, [row.declared for row in page.rows])
        return [pages.Entry(row.key, row.tie, view) for row, view in zip(page.rows, views, strict=True)], page.total

    return asked.page(read)


def _one(asked: Asked, found: Declared) -> Answer:
    return tagged(found, _shown(asked, [found])[0])


def _shown(asked: Asked, every: Sequence[Declared]) -> list[dict[str, Any]]:
    """One question each for all of them: where they run, what they have reported, and what is observed of them."""
    store, machines = asked.reach.store, _machines(asked, every)
    reports, statuses = store.reports.some(one.uid for one in every), store.status([one.ref for one in every])
    return [
        mapping.shown(one, machines.get(mapping.machine_of(one)), reports.get(one.uid), statuses.get(one.ref)) for one in every
    ]


def _machines(asked: Asked, every: Sequence[Declared]) -> dict[str, str]:
    """Name ⇒ uid of the VirtualMachines that these are registered on."""
    names = {mapping.machine_of(one) for one in every} - {""}
    found = asked.reach.store.declared({str(Ref(mapping.MACHINE, name, asked.account.tenant)) for name in names})
    return {one.name: one.uid for one in found.values()}
