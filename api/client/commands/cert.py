"""`envoyctl cert`: certificates."""

import click

from api.client.exits import INVALID, LATE, MOVED, USAGE, ClientError
from api.client.options import FILE, Call, common, ends, names
from api.client.terms import Paging, Terms, changing, merged, paging, tag
from reconciler.usage import Command, Group

NAMES = names("/certificates", "name")


@click.group(cls=Group)
def cert() -> None:
    """Certificates."""


@cert.command("list", cls=Command, examples=[("envoyctl cert list", "with the days they are still good for")], exits=ends())
@paging("name", "created_at", "updated_at")
@common
def every(call: Call, paging: Paging) -> None:
    """List certificates."""
    from api.client.show import Column

    columns = (
        Column("CERTIFICATE", "name"),
        Column("DAYS LEFT", "days_until_expiry"),
        Column("ENDS", "not_after", 2),
        Column("SUBJECT", "subject", 1),
        Column("ISSUER", "issuer", 3),
        Column("ID", "id", 4),
    )
    call.listed("/certificates", columns, "there are no certificates", paging)


@cert.command(cls=Command, examples=[("envoyctl cert get api-example-com", "and what uses it")], exits=ends())
@click.argument("certificate", shell_complete=NAMES)
@tag
@common
def get(call: Call, certificate: str, etag: bool) -> None:
    """Show a certificate; its key is shown to nobody."""
    from api.client.wire import id_path

    call.one(f"/certificates/{id_path(certificate)}", etag=etag)


@cert.command(
    cls=Command,
    examples=[
        (
            "envoyctl cert upload api-example-com --cert-file cert.pem --key-file key.pem --chain-file chain.pem",
            "three PEM files",
        ),
        ("vault read tls | envoyctl cert upload api-example-com --cert-file cert.pem --key-file -", "the key from a pipe"),
    ],
    exits=ends(MOVED, INVALID, LATE),
)
@click.argument("name")
@click.option("--cert-file", "--cert", "cert", type=FILE, required=True, help="The certificate (PEM).")
@click.option("--key-file", "--key", "key", type=FILE, required=True, help="Its private key (PEM); - for standard input.")
@click.option("--chain-file", "--chain", "chain", type=FILE, help="What it was issued by (PEM), the issuer first.")
@changing()
@common
def upload(call: Call, name: str, cert: str, key: str, chain: str | None, terms: Terms) -> None:
    """Upload a certificate with its private key, which is sealed there before it is kept."""
    from api.client.files import read
    from api.client.wire import Request

    if (cert, key, chain).count("-") > 1:
        raise ClientError(USAGE, "only one file can be standard input")
    body = merged(
        {
            "name": name,
            "certificate_pem": read(cert, "certificate"),
            "private_key": read(key, "key"),
            "certificate_chain": read(chain, "chain") if chain else None,
        }
    )
    call.change(Request("POST", "/certificates", body=body), terms)
