"""`envoyctl proxy`: how proxies fare, and what they are configured with."""

from typing import TYPE_CHECKING

import click

from api.client.commands.metrics import over, shown
from api.client.exits import INVALID, LATE, MOVED
from api.client.options import FILE, Call, common, ends, names
from api.client.terms import Paging, Terms, changing, merged, paging, tag
from reconciler.usage import Command, Group

if TYPE_CHECKING:
    from api.client.wire import Answer
    from reconciler.core.show_layout import Page

NAMES = names("/proxies", "proxy_id")


@click.group(cls=Group)
def proxy() -> None:
    """Proxies: how they fare, and what they are configured with."""


@proxy.command(
    "list",
    cls=Command,
    examples=[
        ("envoyctl proxy list --status healthy", "those that fare so"),
        ("envoyctl proxy list --sort-by created_at --order desc --limit 5 -o json", "the newest, for a program"),
    ],
    exits=ends(),
)
@click.option("--status", type=click.Choice(("healthy", "unhealthy", "unknown")), help="Only those that fare so.")
@paging("name", "created_at")
@common
def every(call: Call, status: str | None, paging: Paging) -> None:
    """List proxies."""
    from api.client.show import Column

    columns = (
        Column("PROXY", "proxy_id"),
        Column("STATUS", "status", style=True),
        Column("ENVOY", "version", 2),
        Column("LISTENERS", "configuration.listeners", 5),
        Column("ROUTES", "configuration.routes", 6),
        Column("REQUESTS/S", "metrics.requests_per_second", 1),
        Column("ERRORS", "metrics.error_rate", 1),
        Column("P99 MS", "metrics.p99_latency_ms", 3),
        Column("HEARD", "last_heartbeat", 4),
        Column("ID", "id", 7),
    )
    call.listed("/proxies", columns, "there are no proxies" + (f" that are {status}" if status else ""), paging, status=status)


@proxy.command(
    cls=Command,
    examples=[
        ("envoyctl proxy get proxy-001", "which version it serves, and whether it has acknowledged that"),
        ("envoyctl proxy get proxy-001 -o yaml > config.yaml", "to be edited, and given to update-config"),
        ("envoyctl proxy get proxy-001 --etag", "for --if-match"),
    ],
    exits=ends(),
)
@click.argument("proxy", shell_complete=NAMES)
@tag
@common
def get(call: Call, proxy: str, etag: bool) -> None:
    """Show what a proxy is configured with."""
    from api.client.wire import id_path

    call.one(f"/proxies/{id_path(proxy)}/configuration", etag=etag)


@proxy.command(
    "update-config",
    cls=Command,
    examples=[
        (
            "envoyctl proxy update-config proxy-001 --file config.yaml",
            "listeners and clusters of these names are replaced, others stay",
        ),
        ("envoyctl proxy update-config proxy-001 --file config.yaml --dry-run", "what that would do"),
        (
            "envoyctl proxy update-config proxy-001 --file config.yaml --replace",
            "a listener that is not in it any more is gone",
        ),
        ("envoyctl proxy update-config proxy-001 --file - --wait < config.yaml", "until the proxy runs it"),
    ],
    exits=ends(MOVED, INVALID, LATE),
)
@click.argument("proxy", shell_complete=NAMES)
@click.option("--file", "file", type=FILE, required=True, help="What to lay over it: YAML or JSON; - for standard input.")
@click.option("--replace", is_flag=True, help="Of the lists that the file names, take away what it does not hold.")
@changing(match=True)
@common
def update_config(call: Call, proxy: str, file: str, replace: bool, terms: Terms) -> None:
    """Change what a proxy is configured with.

    What was read with `get -o yaml` can be edited and given back: where somebody else has changed it meanwhile, that is
    refused. Where other proxies serve the same configuration, this one gets one of its own.
    """
    from api.client.files import document
    from api.client.wire import Request, id_path

    body = document(file) | ({"replace": True} if replace else {})
    call.change(Request("PUT", f"/proxies/{id_path(proxy)}/configuration", body=body), terms, _active)


@proxy.command(
    cls=Command,
    examples=[
        ("envoyctl proxy rollback proxy-001 --to 3 --reason 'It is slow'", "a new version with the content of version 3")
    ],
    exits=ends(MOVED, INVALID, LATE),
)
@click.argument("proxy", shell_complete=NAMES)
@click.option("--to", "version", type=click.IntRange(1), required=True, metavar="VERSION", help="The number of a version.")
@click.option("--reason", help="Why, for whoever reads the history.")
@changing(match=True)
@common
def rollback(call: Call, proxy: str, version: int, reason: str | None, terms: Terms) -> None:
    """Return a proxy to an earlier version of its configuration."""
    from api.client.wire import Request, id_path

    body = merged({"target_version": version, "reason": reason})
    call.change(Request("POST", f"/proxies/{id_path(proxy)}/configuration/rollback", body=body), terms, _active)


@proxy.command(
    cls=Command,
    examples=[
        ("envoyctl proxy metrics proxy-001 --since 1h", "of the last hour"),
        (
            "envoyctl proxy metrics proxy-001 --metrics requests_per_second,error_rate --resolution 5m",
            "these two, in steps of 5 minutes",
        ),
    ],
    exits=ends(INVALID),
)
@click.argument("proxy", shell_complete=NAMES)
@over
@common
def metrics(call: Call, proxy: str, query: dict[str, object]) -> None:
    """Show how much a proxy has served."""
    from api.client.wire import id_path

    shown(call, f"/proxies/{id_path(proxy)}/metrics", query)


def _active(answer: "Answer") -> "Page":
    """Which version it is now, and whether the proxy runs it."""
    from api.client.show import STYLES, at, cell
    from reconciler.core.show_layout import Span, text

    said = answer.said if isinstance(answer.said, dict) else {}
    state, why = cell(at(said, "delivery.state")), at(said, "delivery.message")
    words = f"{cell(said.get('name'))} is at version {cell(at(said, 'active_version.version_number'))}: "
    end = Span(f": {why}" if why else "")
    return (text(words, Span(state.replace("_", " "), STYLES.get(state, "")), end), text(Span(f"etag {answer.etag}", "dim")))
