"""`envoyctl listener` and `envoyctl route`: what is in a configuration."""

from typing import Any

import click

from api.client.exits import INVALID, LATE, MOVED
from api.client.options import FILE, Call, common, ends
from api.client.terms import Paging, Terms, changing, paging
from reconciler.usage import Command, Group


@click.group(cls=Group)
def listener() -> None:
    """Listeners of a configuration, which is named by its name or id: `envoyctl proxy get` shows both."""


@click.group(cls=Group)
def route() -> None:
    """Routes of a configuration, which is named by its name or id: `envoyctl proxy get` shows both."""


@listener.command("list", cls=Command, examples=[("envoyctl listener list edge", "of the configuration `edge`")], exits=ends())
@click.argument("configuration")
@paging("name")
@common
def listeners(call: Call, configuration: str, paging: Paging) -> None:
    """List the listeners of a configuration."""
    from api.client.show import Column

    columns = (
        Column("LISTENER", "name"),
        Column("ADDRESS", "address"),
        Column("PORT", "port"),
        Column("PROTOCOL", "protocol"),
        Column("ID", "id", 1),
    )
    call.listed(_path(configuration, "listeners"), columns, f"{configuration} has no listeners", paging)


@listener.command(
    "create",
    cls=Command,
    examples=[("envoyctl listener create edge --file listener.yaml", "name, address, port, protocol, filter_chains")],
    exits=ends(MOVED, INVALID, LATE),
)
@click.argument("configuration")
@click.option("--file", "file", type=FILE, required=True, help="YAML or JSON; - for standard input.")
@changing(match=True)
@common
def create_listener(call: Call, configuration: str, file: str, terms: Terms) -> None:
    """Add a listener to a configuration, for all proxies that serve it."""
    _create(call, configuration, "listeners", file, terms)


@route.command("list", cls=Command, examples=[("envoyctl route list edge", "of the configuration `edge`")], exits=ends())
@click.argument("configuration")
@paging("name")
@common
def routes(call: Call, configuration: str, paging: Paging) -> None:
    """List the routes of a configuration."""
    from api.client.show import Column, at, cell, few

    def where(one: Any) -> str:
        return few(
            one.get("routes"), lambda entry: f"{_match(entry)} → {cell(at(entry, 'route.cluster') or 'answered itself')}"
        )

    columns = (
        Column("ROUTE", "name"),
        Column("VIRTUAL HOST", "virtual_host", 2),
        Column("DOMAINS", "domains", 1),
        Column("ID", "id", 3),
        Column("ROUTES", where),
    )
    call.listed(_path(configuration, "routes"), columns, f"{configuration} has no routes", paging)


@route.command(
    "create",
    cls=Command,
    examples=[("envoyctl route create edge --file route.yaml --dry-run", "name, virtual_host, domains, routes, retry_policy")],
    exits=ends(MOVED, INVALID, LATE),
)
@click.argument("configuration")
@click.option("--file", "file", type=FILE, required=True, help="YAML or JSON; - for standard input.")
@changing(match=True)
@common
def create_route(call: Call, configuration: str, file: str, terms: Terms) -> None:
    """Add a route to a configuration, for all proxies that serve it."""
    _create(call, configuration, "routes", file, terms)


def _path(configuration: str, which: str) -> str:
    from api.client.wire import id_path

    return f"/configurations/{id_path(configuration)}/{which}"


def _create(call: Call, configuration: str, which: str, file: str, terms: Terms) -> None:
    from api.client.files import document
    from api.client.wire import Request

    call.change(Request("POST", _path(configuration, which), body=document(file)), terms)


def _match(entry: Any) -> str:
    from api.client.show import at, cell

    return cell(at(entry, "match.prefix") or at(entry, "match.path") or at(entry, "match"))
