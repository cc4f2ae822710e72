"""`envoyctl container`: containers on virtual machines."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from api.client.exits import INVALID, LATE, MOVED
from api.client.options import FILE, Call, common, ends, names
from api.client.terms import Paging, Terms, changing, enough, merged, paging, pairs, tag
from reconciler.usage import Command, Group

if TYPE_CHECKING:
    from api.client.show import Column

NAMES = names("/containers", "name")
# Head, member, and which are left out first where there is no room.
COLUMNS = (
    ("CONTAINER", "name", 0),
    ("STATUS", "status", 0),
    ("IMAGE", "image", 1),
    ("RESTARTS", "restart_count", 2),
    ("RUNTIME ID", "container_id", 3),
    ("VM", "vm_id", 4),
    ("ID", "id", 5),
)


def columns(said: Sequence[tuple[str, str, int]]) -> "list[Column]":
    from api.client.show import Column

    return [Column(head, member, least, style=member == "status") for head, member, least in said]


@click.group(cls=Group)
def container() -> None:
    """Containers on virtual machines."""


@container.command(
    "list", cls=Command, examples=[("envoyctl container list --status running", "those that run")], exits=ends(INVALID)
)
@click.option("--status", help="Only those of this status: running, stopped, …")
@paging("name", "created_at")
@common
def every(call: Call, status: str | None, paging: Paging) -> None:
    """List containers."""
    call.listed("/containers", columns(COLUMNS), "there are no containers", paging, status=status)


@container.command(cls=Command, examples=[("envoyctl container get envoy-proxy-01", "by its name, or its id")], exits=ends())
@click.argument("container", shell_complete=NAMES)
@tag
@common
def get(call: Call, container: str, etag: bool) -> None:
    """Show a container."""
    from api.client.wire import id_path

    call.one(f"/containers/{id_path(container)}", etag=etag)


@container.command(
    cls=Command,
    examples=[
        (
            "envoyctl container create envoy-1 --vm vm-prod-001 --container-id abc123 --image envoyproxy/envoy:v1.28.0",
            "in short",
        ),
        ("envoyctl container create --file container.yaml", "all of it"),
    ],
    exits=ends(MOVED, INVALID, LATE),
)
@click.argument("name", required=False)
@click.option("--file", "file", type=FILE, help="All of it, YAML or JSON; - for standard input.")
@click.option("--vm", help="The virtual machine that it is on.")
@click.option("--container-id", help="What the container runtime calls it.")
@click.option("--image", help="What it runs.")
@click.option("--cpu", help="How much at most, as in 2.")
@click.option("--memory", help="How much at most, as in 4Gi.")
@click.option("--env", multiple=True, metavar="NAME=VALUE", help="May be repeated; a secret belongs into --file.")
@changing()
@common
def create(
    call: Call,
    name: str | None,
    file: str | None,
    vm: str | None,
    container_id: str | None,
    image: str | None,
    cpu: str | None,
    memory: str | None,
    env: tuple[str, ...],
    terms: Terms,
) -> None:
    """Register a container on a virtual machine."""
    from api.client.files import document
    from api.client.wire import Request

    enough("container", name, file)
    limits, variables = merged({"cpu": cpu, "memory": memory}) or None, pairs(env, "--env")
    given = {"name": name, "vm_id": vm, "container_id": container_id, "image": image}
    body = merged(document(file) if file else None, given, {"resource_limits": limits, "environment_vars": variables})
    call.change(Request("POST", "/containers", body=body), terms)


@container.command(
    cls=Command,
    examples=[("envoyctl container status envoy-proxy-01 running --restart-count 0", "what it says of itself: no commit")],
    exits=ends(MOVED, INVALID),
)
@click.argument("container", shell_complete=NAMES)
@click.argument("status")
@click.option("--restart-count", type=click.IntRange(0), help="How often it was started again.")
@common
def status(call: Call, container: str, status: str, restart_count: int | None) -> None:
    """Report the status of a container."""
    from api.client.wire import Request, id_path

    body = merged({"status": status, "restart_count": restart_count})
    call.change(Request("PATCH", f"/containers/{id_path(container)}/status", body=body), Terms())
