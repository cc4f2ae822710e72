"""`envoyctl cluster`: clusters, their endpoints, and how much they serve."""

from typing import Any

import click

from api.client.commands.metrics import over, shown
from api.client.exits import INVALID, LATE, MOVED, USAGE, ClientError
from api.client.options import FILE, Call, common, ends, names
from api.client.terms import Paging, Terms, changing, enough, merged, paging, pairs
from reconciler.usage import Command, Group

NAMES = names("/clusters", "name")
TYPES = ("STATIC", "STRICT_DNS", "LOGICAL_DNS", "EDS", "ORIGINAL_DST")


@click.group(cls=Group)
def cluster() -> None:
    """Clusters, and their endpoints."""


@cluster.command(
    "list", cls=Command, examples=[("envoyctl cluster list --type STRICT_DNS", "of this type alone")], exits=ends(INVALID)
)
@click.option("--type", "type_", type=click.Choice(TYPES), help="Only those that say this type.")
@paging("name", "created_at", "updated_at")
@common
def every(call: Call, type_: str | None, paging: Paging) -> None:
    """List clusters."""
    from api.client.show import Column, few

    def endpoints(one: Any) -> str:
        return few(one.get("endpoints"), lambda point: f"{point.get('address')}:{point.get('port')}")

    columns = (
        Column("CLUSTER", "name"),
        Column("TYPE", "type", 1),
        Column("POLICY", "lb_policy.type", 2),
        Column("UPDATED", "updated_at", 3),
        Column("ID", "id", 4),
        Column("ENDPOINTS", endpoints),
    )
    call.listed("/clusters", columns, "there are no clusters", paging, type=type_)


@cluster.command(
    cls=Command,
    examples=[
        ("envoyctl cluster get ledger", "its endpoints, health checks and limits"),
        ("envoyctl cluster get 990e8400 -o json", "by how its id begins; for scripts"),
    ],
    exits=ends(),
)
@click.argument("cluster", shell_complete=NAMES)
@common
def get(call: Call, cluster: str) -> None:
    """Show a cluster."""
    call.among("/clusters", cluster, "cluster")


def _given(function: Any) -> Any:
    for option in (
        click.option("--lb-policy", metavar="POLICY", help="ROUND_ROBIN, LEAST_REQUEST, …"),
        click.option("--type", "type_", type=click.Choice(TYPES), help="How its endpoints are found."),
        click.option("--file", "file", type=FILE, help="All of it, YAML or JSON; - for standard input."),
    ):
        function = option(function)
    return function


@cluster.command(
    cls=Command,
    examples=[
        ("envoyctl cluster create ledger --lb-policy LEAST_REQUEST", "then add its endpoints"),
        ("envoyctl cluster create --file cluster.yaml --dry-run", "what that would do"),
    ],
    exits=ends(MOVED, INVALID, LATE),
)
@click.argument("name", required=False)
@_given
@changing()
@common
def create(call: Call, name: str | None, file: str | None, type_: str | None, lb_policy: str | None, terms: Terms) -> None:
    """Make a cluster."""
    from api.client.files import document
    from api.client.wire import Request

    enough("cluster", name, file)
    body = merged(document(file) if file else None, {"name": name, "type": type_, "lb_policy": lb_policy})
    call.change(Request("POST", "/clusters", body=body), terms)


@cluster.command(
    cls=Command,
    examples=[
        ("envoyctl cluster update ledger --lb-policy RANDOM", "all else stays as it is"),
        ("envoyctl cluster update ledger --file changes.yaml --wait", "until it is carried out"),
    ],
    exits=ends(MOVED, INVALID, LATE),
)
@click.argument("cluster", shell_complete=NAMES)
@_given
@changing(match=True)
@common
def update(call: Call, cluster: str, file: str | None, type_: str | None, lb_policy: str | None, terms: Terms) -> None:
    """Change a cluster: what is not named stays."""
    from api.client.files import document
    from api.client.wire import Request, id_path

    # Said here, where what is written as `null` takes a member away.
    body = (document(file) if file else {}) | merged({"type": type_, "lb_policy": lb_policy})
    if not body:
        raise ClientError(USAGE, "say what is to be changed: --lb-policy, --type or --file")
    call.change(Request("PUT", f"/clusters/{id_path(cluster)}", body=body), terms)


@cluster.command(
    "add-endpoint",
    cls=Command,
    examples=[
        ("envoyctl cluster add-endpoint ledger 10.0.2.10:9000", "an address and a port"),
        ("envoyctl cluster add-endpoint ledger 10.0.2.11:9000 --weight 3 --metadata zone=us-west-2a", "with a share of three"),
    ],
    exits=ends(MOVED, INVALID, LATE),
)
@click.argument("cluster", shell_complete=NAMES)
@click.argument("endpoint", metavar="ADDRESS:PORT")
@click.option("--weight", type=click.IntRange(1), help="Its share.  [1]")
@click.option("--metadata", multiple=True, metavar="NAME=VALUE", help="May be repeated.")
@changing(match=True)
@common
def add_endpoint(call: Call, cluster: str, endpoint: str, weight: int | None, metadata: tuple[str, ...], terms: Terms) -> None:
    """Add an endpoint to a cluster."""
    from api.client.wire import Request, id_path

    address, colon, port = endpoint.rpartition(":")
    if not colon or not address or not port.isdecimal():
        raise ClientError(USAGE, f"an endpoint is ADDRESS:PORT, and not {endpoint[:80]!r}")
    body = merged(
        {
            "address": address.strip("[]"),
            "port": int(port),
            "weight": weight,
            "metadata": pairs(metadata, "--metadata", typed=True),
        }
    )
    call.change(Request("POST", f"/clusters/{id_path(cluster)}/endpoints", body=body), terms)


@cluster.command(
    cls=Command, examples=[("envoyctl cluster metrics ledger --since 2h", "as its proxies have seen it")], exits=ends(INVALID)
)
@click.argument("cluster", shell_complete=NAMES)
@over
@common
def metrics(call: Call, cluster: str, query: dict[str, object]) -> None:
    """Show how much a cluster has served."""
    from api.client.wire import id_path

    shown(call, f"/clusters/{id_path(cluster)}/metrics", query)
