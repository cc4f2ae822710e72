"""`envoyctl bulk`: several at once, all or none."""

from typing import TYPE_CHECKING, Any

import click

from api.client.commands.proxy import NAMES as PROXIES
from api.client.exits import INVALID, LATE, MOVED, USAGE, ClientError
from api.client.options import FILE, Call, common, ends
from api.client.terms import Terms, changing, id_list, pairs, sure
from reconciler.usage import Command, Group

if TYPE_CHECKING:
    from api.client.wire import Answer
    from reconciler.core.show_layout import Page


@click.group(cls=Group)
def bulk() -> None:
    """Several at once, by one commit, all or none."""


@bulk.command(
    "update-proxies",
    cls=Command,
    examples=[("envoyctl bulk update-proxies --proxy-ids proxy-001,proxy-002 --set cluster_id=ledger", "both, or neither")],
    exits=ends(MOVED, INVALID, LATE),
)
@click.option(
    "--proxy-ids", required=True, metavar="IDS", shell_complete=PROXIES, help="Names or ids, with commas between them."
)
@click.option("--set", "values", multiple=True, metavar="NAME=VALUE", help="May be repeated.")
@click.option("--file", "file", type=FILE, help="What to change, YAML or JSON; - for standard input.")
@changing()
@common
def update_proxies(call: Call, proxy_ids: str, values: tuple[str, ...], file: str | None, terms: Terms) -> None:
    """Make the same changes to several proxies."""
    from api.client.files import document
    from api.client.wire import Request

    updates = (document(file) if file else {}) | (pairs(values, "--set", typed=True) or {})
    if not updates:
        raise ClientError(USAGE, "say what is to be changed: --set NAME=VALUE, or --file")
    body = {"proxy_ids": id_list(proxy_ids, "--proxy-ids"), "updates": updates}
    call.change(Request("POST", "/bulk/proxies/update", body=body), terms, _results)


@bulk.command(
    cls=Command,
    examples=[("envoyctl bulk delete containers envoy-1 envoy-2 --yes", "both, or neither")],
    exits=ends(MOVED, INVALID, LATE),
)
@click.argument("resource_type")
@click.argument("ids", nargs=-1, required=True)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@changing()
@common
def delete(call: Call, resource_type: str, ids: tuple[str, ...], yes: bool, terms: Terms) -> None:
    """Delete several resources of one type, as in `containers`."""
    from api.client.wire import Request, id_path

    body = {"resource_type": resource_type, "ids": [id_path(one) for one in ids]}
    if not terms.dry_run:
        sure(yes, f"Delete {len(ids)} {resource_type}?")
    call.change(Request("POST", "/bulk/delete", body=body), terms, _results)


def _results(answer: "Answer") -> "Page":
    """Counts, and a row for each."""
    from api.client.show import Column, details, listing

    said = answer.said if isinstance(answer.said, dict) else {}
    rows: list[dict[str, Any]] = [one for one in said.get("results") or [] if isinstance(one, dict)]
    rest = {name: one for name, one in said.items() if name != "results"}
    members = list(dict.fromkeys(name for row in rows for name in row))
    columns = [Column(name.upper().replace("_", " "), name, style=True) for name in members]
    return (*details(rest), *(listing(columns, rows, "") if rows else ()))
