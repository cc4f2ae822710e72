"""`envoyctl webhook`: who is told what happens."""

import click

from api.client.exits import INVALID, LATE, MOVED, REFUSED, ClientError
from api.client.options import FILE, Call, common, ends, names
from api.client.terms import Paging, Terms, changing, merged, paging, split
from reconciler.usage import Command, Group

NAMES = names("/webhooks", "name")


@click.group(cls=Group)
def webhook() -> None:
    """Who is told what happens."""


@webhook.command(
    "list", cls=Command, examples=[("envoyctl webhook list", "with what became of their last delivery")], exits=ends()
)
@paging("name", "created_at", "updated_at")
@common
def every(call: Call, paging: Paging) -> None:
    """List webhooks."""
    from api.client.show import Column

    columns = (
        Column("WEBHOOK", "name"),
        Column("ACTIVE", "active"),
        Column("LAST", "last_delivery.status", style=True),
        Column("SIGNED", "signed", 2),
        Column("ID", "id", 3),
        Column("URL", "url", 1),
        Column("EVENTS", "events"),
    )
    call.listed("/webhooks", columns, "there are no webhooks", paging)


@webhook.command(
    cls=Command,
    examples=[
        (
            "envoyctl webhook create ci --url https://hooks.example.com/envoy --events deployment.completed,deployment.failed",
            "who is told how deployments end",
        ),
        (
            "envoyctl webhook create ci --url https://hooks.example.com/envoy --events deployment.failed --secret-file -",
            "signed",
        ),
    ],
    exits=ends(MOVED, INVALID, LATE),
)
@click.argument("name", required=False)
@click.option("--url", required=True, help="Where to: https://….")
@click.option("--events", required=True, metavar="EVENTS", help="Which, with commas between them.")
@click.option("--secret-file", type=FILE, help="What deliveries are signed with; - for standard input.")
@click.option("--inactive", is_flag=True, help="Send nothing for now.")
@changing()
@common
def create(call: Call, name: str | None, url: str, events: str, secret_file: str | None, inactive: bool, terms: Terms) -> None:
    """Register a webhook."""
    from api.client.files import read
    from api.client.wire import Request

    secret = read(secret_file, "secret").rstrip("\r\n") if secret_file else None
    active = False if inactive else None
    body = merged({"name": name, "url": url, "events": split(events), "secret": secret, "active": active})
    call.change(Request("POST", "/webhooks", body=body), terms)


@webhook.command(
    cls=Command,
    examples=[("envoyctl webhook test ci", "sends it a delivery, and says what became of it")],
    exits=[(code, "it was not delivered, or was refused" if code == REFUSED else words) for code, words in ends(MOVED)],
)
@click.argument("webhook", shell_complete=NAMES)
@common
def test(call: Call, webhook: str) -> None:
    """Send a test delivery."""
    from api.client.show import at, details
    from api.client.wire import Request, clean, id_path

    said = call.session.ask(Request("POST", f"/webhooks/{id_path(webhook)}/test")).said
    call.answer(said, details(said if isinstance(said, dict) else {}))
    if at(said, "status") not in ("delivered", None) or at(said, "delivered") is False:
        raise ClientError(REFUSED, f"it was not delivered: {clean(at(said, 'error') or at(said, 'status'))}")
