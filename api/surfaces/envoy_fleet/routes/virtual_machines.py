"""Virtual machines, which are registered (section 4)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from api.changes import NotDone
from api.surfaces.envoy_fleet import pages
from api.surfaces.envoy_fleet.mapping import containers, virtual_machines
from api.surfaces.envoy_fleet.mapping import virtual_machines as mapping
from api.surfaces.envoy_fleet.operations import Answer, Asked, Operations, tagged
from api.surfaces.envoy_fleet.routes.containers import listed
from api.surfaces.envoy_fleet.wire import Conflict
from reconciler.core.declared import Declared
from reconciler.core.model import Ref
from reconciler.core.proposal import Change
from reconciler.store import Has, Which, Window

KIND, WORD = mapping.KIND, "virtual machine"


def add(served: Operations) -> None:
    @served("virtual_machines.list")
    def every(asked: Asked) -> dict[str, Any]:
        has = []
        if "region" in asked.query:
            has.append(Has(("spec", "region"), frozenset({asked.query["region"]})))
        if "status" in asked.query:
            status = asked.query["status"]
            has.append(Has(("spec", "status"), frozenset({status, *((None,) if status == mapping.ACTIVE else ())})))
        which = Which(KIND, asked.account.tenant, has=tuple(has))

        def read(window: Window) -> tuple[list[pages.Entry], int | None]:
            # By their names, which are their host names but for case and dots.
            sort = "name" if window.sort == "hostname" else window.sort
            page = asked.reach.store.pages.page(which, replace(window, sort=sort))
            views = _shown(asked, [row.declared for row in page.rows])
            return [pages.Entry(row.key, row.tie, view) for row, view in zip(page.rows, views, strict=True)], page.total

        return asked.page(read)

    @served("virtual_machines.get")
    def get(asked: Asked, id: str) -> Answer:
        return _one(asked, asked.find(KIND, id, WORD))

    @served("virtual_machines.create")
    def create(asked: Asked) -> Answer:
        return _one(asked, asked.make(mapping.created(asked.body, asked.account.tenant)).declared)

    @served("virtual_machines.update")
    def update(asked: Asked, id: str) -> Answer:
        return _one(asked, asked.changed(lambda: mapping.changed(asked.body, asked.find(KIND, id, WORD))).declared)

    @served("virtual_machines.delete")
    def delete(asked: Asked, id: str) -> None:
        def change() -> tuple[Change, ...]:
            found = asked.find(KIND, id, WORD)
            vacant(asked, [found.name])
            return (Change("delete", Ref.parse(found.ref)),)

        cleared(asked, change)

    @served("virtual_machines.containers")
    def its_containers(asked: Asked, id: str) -> dict[str, Any]:
        name = asked.find(KIND, id, WORD).name
        return listed(asked, Which(containers.KIND, asked.account.tenant, has=(Has(containers.AT, frozenset({name})),)))


def cleared(asked: Asked, change: Callable[[], tuple[Change, ...]]) -> None:
    """Delete what is worked out by `change`, which raises what is in the way."""
    asked.settle()
    try:
        asked.worked_out(lambda terms: (change(), terms))
    except NotDone as why:
        if why.code == "invalid":
            # Somebody may have registered a container there meanwhile: better to hear that than of documents.
            asked.settle()
            change()
        raise


def vacant(asked: Asked, names: Iterable[str]) -> None:
    """Raises Conflict where containers are registered on one of these."""
    counts = asked.reach.store.reports.on(asked.account.tenant, list(names))
    if counts:
        name, count = min(counts.items())
        words = "a container is" if count == 1 else f"{count} containers are"
        raise Conflict(f"{words} registered on the virtual machine {name}: delete that first, or register it elsewhere")


def _one(asked: Asked, found: Declared) -> Answer:
    return tagged(found, _shown(asked, [found])[0])


def _shown(asked: Asked, every: Sequence[Declared]) -> list[dict[str, Any]]:
    """One question each for all of them: what is registered on them, and when they were heard."""
    reports = asked.reach.store.reports
    counts, heard = reports.on(asked.account.tenant, [one.name for one in every]), reports.some(one.uid for one in every)
    return [virtual_machines.shown(one, counts.get(one.name, 0), heard.get(one.uid)) for one in every]
