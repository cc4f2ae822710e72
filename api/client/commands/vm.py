"""`envoyctl vm`: virtual machines."""

from typing import Any

import click

from api.client.exits import INVALID, LATE, MOVED, USAGE, ClientError
from api.client.options import FILE, Call, common, ends, names
from api.client.terms import Paging, Terms, changing, enough, merged, paging, pairs, sure, tag
from reconciler.usage import Command, Group

NAMES = names("/virtual-machines", "hostname")


@click.group(cls=Group)
def vm() -> None:
    """Virtual machines."""


@vm.command(
    "list",
    cls=Command,
    examples=[("envoyctl vm list --region us-west-2 --status active", "there, and so")],
    exits=ends(INVALID),
)
@click.option("--status", help="Only those of this status.")
@click.option("--region", help="Only those of this region.")
@paging("hostname", "created_at")
@common
def every(call: Call, status: str | None, region: str | None, paging: Paging) -> None:
    """List virtual machines."""
    from api.client.show import Column

    columns = (
        Column("VM", "hostname"),
        Column("STATUS", "status", style=True),
        Column("ADDRESS", "ip_address"),
        Column("REGION", "region", 1),
        Column("ZONE", "availability_zone", 5),
        Column("CPUS", "cpu_cores", 3),
        Column("MEMORY MB", "memory_mb", 4),
        Column("CONTAINERS", "container_count", 2),
        Column("HEARD", "last_heartbeat", 6),
        Column("ID", "id", 7),
    )
    call.listed("/virtual-machines", columns, "there are no virtual machines", paging, status=status, region=region)


@vm.command(cls=Command, examples=[("envoyctl vm get vm-prod-001", "by its host name, or its id")], exits=ends())
@click.argument("vm", shell_complete=NAMES)
@tag
@common
def get(call: Call, vm: str, etag: bool) -> None:
    """Show a virtual machine."""
    call.one(_path(vm), etag=etag)


def _given(function: Any) -> Any:
    for option in (
        click.option("--metadata", multiple=True, metavar="NAME=VALUE", help="May be repeated."),
        click.option("--disk-gb", type=click.IntRange(1), help="Of disk."),
        click.option("--memory-mb", type=click.IntRange(1), help="Of memory."),
        click.option("--cpu-cores", type=click.IntRange(1), help="Processors."),
        click.option("--availability-zone", help="Where in the region."),
        click.option("--region", help="Where."),
        click.option("--ip-address", help="Its address."),
        click.option("--file", "file", type=FILE, help="All of it, YAML or JSON; - for standard input."),
    ):
        function = option(function)
    return function


def _body(file: str | None, metadata: tuple[str, ...], **given: object) -> dict[str, object]:
    from api.client.files import document

    return (document(file) if file else {}) | merged(given, {"metadata": pairs(metadata, "--metadata")})


@vm.command(
    cls=Command,
    examples=[
        ("envoyctl vm create vm-test-001 --ip-address 10.0.1.10 --region us-west-2", "what has to be said"),
        ("envoyctl vm create --file vm.yaml", "all of it"),
    ],
    exits=ends(MOVED, INVALID, LATE),
)
@click.argument("hostname", required=False)
@_given
@changing()
@common
def create(call: Call, hostname: str | None, file: str | None, metadata: tuple[str, ...], terms: Terms, **given: Any) -> None:
    """Register a virtual machine."""
    from api.client.wire import Request

    enough("virtual machine", hostname, file)
    call.change(Request("POST", "/virtual-machines", body=_body(file, metadata, hostname=hostname, **given)), terms)


@vm.command(
    cls=Command,
    examples=[("envoyctl vm update vm-test-001 --status maintenance", "all else stays as it is")],
    exits=ends(MOVED, INVALID, LATE),
)
@click.argument("vm", shell_complete=NAMES)
@click.option("--status", help="active, inactive or maintenance.")
@_given
@changing(match=True)
@common
def update(call: Call, vm: str, file: str | None, metadata: tuple[str, ...], terms: Terms, **given: Any) -> None:
    """Change a virtual machine: what is not named stays."""
    from api.client.wire import Request

    body = _body(file, metadata, **given)
    if not body:
        raise ClientError(USAGE, "say what is to be changed, by options or with --file")
    call.change(Request("PUT", _path(vm), body=body), terms)


@vm.command(
    cls=Command,
    examples=[("envoyctl vm delete vm-test-001 --yes", "without being asked")],
    exits=ends(MOVED, INVALID, LATE),
)
@click.argument("vm", shell_complete=NAMES)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@changing(match=True)
@common
def delete(call: Call, vm: str, yes: bool, terms: Terms) -> None:
    """Take a virtual machine out of the fleet."""
    from api.client.wire import Request

    path = _path(vm)
    if not terms.dry_run:
        sure(yes, f"Delete the virtual machine {vm}?")
    call.change(Request("DELETE", path), terms)


@vm.command(cls=Command, examples=[("envoyctl vm containers vm-prod-001", "what it bears")], exits=ends())
@click.argument("vm", shell_complete=NAMES)
@click.option("--limit", type=click.IntRange(1), default=1000, show_default=True, help="At most so many.")
@common
def containers(call: Call, vm: str, limit: int) -> None:
    """List the containers of a virtual machine."""
    from api.client.commands.container import COLUMNS, columns

    call.listed(f"{_path(vm)}/containers", columns(COLUMNS), f"{vm} has no containers", Paging(limit, None, None))


def _path(vm: str) -> str:
    from api.client.wire import id_path

    return f"/virtual-machines/{id_path(vm)}"
