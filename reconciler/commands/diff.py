"""`convoy diff`: what is declared against what runs, asked of the proxies themselves."""

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from reconciler.commands.look import Rows, kept_or_fail, meant, names
from reconciler.commands.options import FAILED, Call, Command, Failure, common

if TYPE_CHECKING:
    from reconciler.core.proxy_diff import ProxyDiff, Side
    from reconciler.core.show_diff import Made, WorkloadDiff
    from reconciler.store import Store

DIFFER = 2
# How long an Envoy may take to say what it runs; it does within 0.1 s at a thousand clusters.
PATIENCE_S = 5.0
# Changes of one resource that an instance may have been made from.
MOST_CHANGES = 200
WORKLOADS = ("Container", "Application")


@click.command(
    cls=Command,
    examples=[
        ("convoy diff", "every proxy, and every workload that is not as declared"),
        ("convoy diff edge-1 --fields", "one proxy: what it should run, was sent, acknowledged and runs"),
        ("convoy diff Configuration/edge", "what of it each proxy runs"),
        ("convoy diff Application/web --fields", "what its instances were made from, against what is declared"),
        ("convoy diff edge-1 --exit-code", "for a script"),
    ],
    exits=[
        (0, "it is shown; with --exit-code: all runs as declared"),
        (1, "there is no such resource; with --exit-code: a proxy could not be asked"),
        (2, "with --exit-code: something differs"),
    ],
)
@click.argument("what", required=False, default="", metavar="[PROXY|KIND/NAME]", shell_complete=names)
@click.option("--fields", is_flag=True, help="What differs, field by field.")
@click.option("--exit-code", is_flag=True, help="Exit with 2 where something differs.")
@common()
def diff(call: Call, what: str, fields: bool, exit_code: bool) -> None:
    """Compare what is declared with what runs.

    Of a proxy everything is followed: what the revision in force says, what was sent, what the proxy has acknowledged, and what
    it says itself that it runs, by content. What is in secrets is never looked at.
    """
    from reconciler.core import show, show_diff

    with kept_or_fail(call) as store:
        rows = store.status()
        ref = meant(what, rows) if what else ""
        kind = ref.partition("/")[0]
        workloads = _workloads(store, rows, ref) if not ref or kind in WORKLOADS else []
        well = 0 if ref else sum(_is_workload(name) and row["sync"] == "synced" for name, row in rows.items())
        proxies = [] if kind in WORKLOADS else _proxies(call, store, rows, ref)
    only = ref if kind not in ("", "Proxy", "ProxyGroup") else ""
    now = time.time()
    page: list[Any] = []
    for proxy in proxies:
        page += [*show_diff.proxy_page(proxy, now, fields=fields, ref=only), show.BLANK]
    for workload in workloads:
        page += [*show_diff.workload_page(workload, fields=fields), show.BLANK]
    if well:
        page += [show_diff.workloads_line(well), show.BLANK]
    same = [show_diff.proxy_json(one, only) for one in proxies]
    answer = {"proxies": same, "workloads": [show_diff.workload_json(one) for one in workloads], "asDeclared": well}
    call.page(tuple(page[:-1]) or (show.text("there is nothing to compare"),), answer)
    if exit_code:
        if not all(one["same"] for one in same) or not all(one.same for one in workloads):
            raise click.exceptions.Exit(DIFFER)
        if not all(one.asked for one in proxies):
            raise click.exceptions.Exit(FAILED)


def _proxies(call: Call, store: "Store", rows: Rows, ref: str) -> "list[ProxyDiff]":
    from reconciler.core.handover import node_id
    from reconciler.core.model import Ref

    names = [one for one in sorted(rows) if one.startswith("Proxy/")]
    if ref.startswith("Proxy/"):
        names = [ref]
    elif ref.startswith("ProxyGroup/"):
        declared = store.declared(names)
        group = ref.rpartition("/")[2]
        names = [one for one in names if one in declared and _group(declared[one].document) == group]
    refused = store.refused()
    compared: list[ProxyDiff] = []
    with call.terminal.progress("asking proxies") as update:
        for number, name in enumerate(names):
            update(number, len(names), name)
            node = node_id(Ref.parse(name))
            one = compare(store, node, rows[name], refused)
            if one is not None:
                compared.append(one)
            elif ref == name:
                raise Failure(f"what {name} should run is not known yet: it is, a moment after `convoy serve` has begun")
    return compared


def _group(document: Mapping[str, Any]) -> str:
    spec = document.get("spec")
    return str(spec.get("group", "")) if isinstance(spec, dict) else ""


def compare(store: "Store", node: str, row: Mapping[str, Any], refused: Mapping[str, str]) -> "ProxyDiff | None":
    """None where nothing is known of what it should run."""
    from reconciler.core.proxy_diff import proxy_diff

    delivery = store.delivery(node)
    if delivery is None:
        return None
    return proxy_diff(node, delivery, tuple(sides(row.get("instances", ()))), refused)


def sides(instances: Iterable[Mapping[str, Any]]) -> "Iterable[Side]":
    """What each Envoy of a proxy says that it runs, over the socket of its admin page."""
    from reconciler.core.dump import DUMP, LARGEST_DUMP, NotADump, read
    from reconciler.core.proxy_diff import Side
    from reconciler.envoy_admin import AdminError, get

    for one in instances:
        instance, host = str(one.get("instance", "")), str(one.get("host", ""))
        path = (one.get("ports") or {}).get("admin")
        if not isinstance(path, str):
            yield Side(instance, host, None, "it has no admin page here")
            continue
        try:
            yield Side(instance, host, read(get(path, DUMP, PATIENCE_S, LARGEST_DUMP)))
        except (AdminError, NotADump) as error:
            yield Side(instance, host, None, str(error))


def _workloads(store: "Store", rows: Rows, ref: str) -> "list[WorkloadDiff]":
    """The workloads of one resource; or all that are not as declared, for thousands are."""
    from reconciler.core.show_diff import WorkloadDiff

    owners: dict[str, dict[str, Mapping[str, Any]]] = {}
    for name, row in rows.items():
        owner = str(row.get("owner") or name)
        if _is_workload(name) and (ref in (name, owner) if ref else row["sync"] != "synced"):
            owners.setdefault(owner, {})[name] = row
    compared: list[WorkloadDiff] = []
    for owner, workloads in sorted(owners.items()):
        making = Making(store, owner)
        for name, row in sorted(workloads.items()):
            made = tuple(making.of(one) for one in row.get("instances", ()))
            compared.append(WorkloadDiff(name, str(row.get("where", "")), str(row["sync"]), str(row.get("why", "")), made))
    return compared


def _is_workload(name: str) -> bool:
    return name.startswith("Container/")


class Making:
    """What instances of one resource are made from: what is declared, or one of its changes. The past is asked when needed."""

    def __init__(self, store: "Store", ref: str) -> None:
        self._store, self._ref = store, ref
        self._declared = store.declared([ref]).get(ref)
        self._now = _instance(ref, self._declared.document) if self._declared else ""
        self._past: dict[str, tuple[int, str, Mapping[str, Any]]] | None = None

    def of(self, row: Mapping[str, Any]) -> "Made":
        from reconciler.core.fields import Fields, differences, effects
        from reconciler.core.show_diff import Made

        instance = str(row.get("instance", ""))
        about = (instance, str(row.get("host", "")), str(row.get("state") or ""), str(row.get("health", "")))
        if instance == self._now:
            return Made(*about, declared=True)
        if self._past is None:
            self._past = self._changes()
        n, revision, document = self._past.get(instance, (0, "", None))
        if document is None:
            return Made(*about, declared=False)
        now = self._declared.document if self._declared else None
        fields = differences(document, now, effects(self._ref.partition("/")[0], now)) if now is not None else Fields()
        return Made(*about, declared=False, n=n, revision=revision, fields=fields)

    def _changes(self) -> dict[str, tuple[int, str, Mapping[str, Any]]]:
        past: dict[str, tuple[int, str, Mapping[str, Any]]] = {}
        for one in self._store.history(self._ref, most=MOST_CHANGES):
            if one.after is not None:
                past.setdefault(_instance(self._ref, one.after), (one.n, one.revision, one.after))
        return past


def _instance(ref: str, document: Mapping[str, Any]) -> str:
    """The digest that instances made from this document bear; "" where that cannot be told any more."""
    import orjson

    from reconciler.core.envelope import check
    from reconciler.core.kinds import KINDS
    from reconciler.core.model import Ref, Source
    from reconciler.core.parse import Document
    from reconciler.core.workloads import wants

    resource = check(
        Document(Source("", 1, 0, 0), dict(document), orjson.dumps(document)), Ref.parse(ref).tenant, KINDS
    ).resource
    made = wants(resource) if resource is not None and resource.ref.kind in WORKLOADS else ()
    return made[0].instance if made else ""
