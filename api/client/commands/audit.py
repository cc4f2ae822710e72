"""`envoyctl audit`: who has asked what."""

from typing import Any

import click

from api.client.commands.metrics import ago
from api.client.exits import INVALID
from api.client.options import Call, common, ends
from api.client.terms import Paging, paging
from reconciler.usage import Command


@click.command(
    cls=Command,
    examples=[
        ("envoyctl audit --since 1d --action update", "what was changed since yesterday"),
        ("envoyctl audit --resource-type proxy_configuration -o yaml", "with what was before and after"),
    ],
    exits=ends(INVALID),
)
@click.option(
    "--since", "--start-date", "since", callback=ago, metavar="TIME", help="From when, or so long ago: 90s, 30m, 2h, 7d."
)
@click.option("--until", "--end-date", "until", callback=ago, metavar="TIME", help="Until when.")
@click.option("--user-id", "--user", "user", metavar="ID", help="Only what this account asked.")
@click.option("--action", help="Only this: create, update, delete, login, read, …")
@click.option("--resource-type", help="Only about this: proxy_configuration, cluster, …")
@paging("timestamp", limit=50)
@common
def audit(
    call: Call,
    since: str | None,
    until: str | None,
    user: str | None,
    action: str | None,
    resource_type: str | None,
    paging: Paging,
) -> None:
    """Show who has asked what, the newest first. For administrators."""
    from api.client.show import Column

    def who(one: Any) -> object:
        user = one.get("user")
        return (user.get("email") if isinstance(user, dict) else None) or one.get("token")

    columns = (
        Column("TIME", "timestamp"),
        Column("WHO", who),
        Column("ACTION", "action"),
        Column("STATUS", "status", 2),
        Column("FROM", "ip_address", 3),
        Column("BY", "user_agent", 4),
        Column("WHAT", lambda one: f"{one.get('resource_type')} {one.get('resource_id') or ''}".strip(), 1),
    )
    newest = Paging(paging.limit, paging.sort_by, paging.order or "desc")
    query = {"start_date": since, "end_date": until, "user_id": user, "action": action, "resource_type": resource_type}
    call.listed("/audit-logs", columns, "nothing was asked", newest, **query)
