"""`convoy secret`: keys, and secrets sealed so that Git may hold them."""

from pathlib import Path
from typing import BinaryIO

import click

from reconciler.commands.options import Call, Command, Failure, Group, common
from reconciler.commands.sealing import MOST_BYTES, chosen, keys, make_private, own_recipient, sealing, yaml_of
from reconciler.commands.secret_edit import edit
from reconciler.commands.secret_rekey import rekey


@click.group(cls=Group, short_help="Keys, and secrets sealed so that Git may hold them.")
def secret() -> None:
    """Keys, and secrets sealed so that Git may hold them (age)."""


@secret.command(
    cls=Command,
    examples=[("convoy secret keygen", "once, where `convoy serve` runs; then give its recipient to everybody")],
    exits=[(0, "the key is there"), (1, "there was one already, or it cannot be written")],
)
@common()
def keygen(call: Call) -> None:
    """Make the key that opens what is sealed for this Convoy.

    The identity stays in the state directory and is never printed. Keep a copy of it: nothing else opens what is sealed.
    """
    from reconciler import secrets
    from reconciler.core import show
    from reconciler.seams import Seams

    make_private(call)
    path = call.state / secrets.IDENTITY_FILE
    keys = secrets.keygen()
    secrets.write_identity(path, keys, Seams())
    call.page(
        (
            show.text(show.Span("recipient", "strong"), f"  {keys.recipient}"),
            show.text(
                show.Span("identity", "strong"), f"   {path}  ", show.Span("(keep a copy of this file in a safe place)", "dim")
            ),
        ),
        {"recipient": keys.recipient, "identity": str(path)},
    )


@secret.command(
    cls=Command,
    examples=[("convoy secret recipient", "for whoever seals secrets for this Convoy")],
    exits=[(0, "it is printed"), (1, "there is no key yet")],
)
@common()
def recipient(call: Call) -> None:
    """Print whom to seal for: the public half of this Convoy's key."""
    from reconciler.core import show

    own = own_recipient(call)
    call.page((show.text(own),), {"recipient": own})


@secret.command(
    cls=Command,
    examples=[
        ("convoy secret seal < shop.key", "put what it prints in place of a Certificate's `key`"),
        ("convoy secret seal < token.txt", "or of a Container's `environment` or `files`"),
        ("convoy secret seal --for https://api.github.com < forge.token", "a forge's token: it is sent there and nowhere else"),
        ("convoy secret seal shop.key -r age1… -r age1…", "for others"),
    ],
    exits=[(0, "it is sealed"), (1, "it could not be")],
)
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--for", "address", metavar="URL", help="Whom it may be sent to, as it has to be for tokens of forges and mail.")
@chosen
@common()
def seal(call: Call, file: BinaryIO, address: str | None, recipients: tuple[str, ...], fleet: Path | None) -> None:
    """Seal FILE (or standard input) and print the YAML that a document holds in its place.

    Inside a fleet's directory, for the recipients in its Settings as well as for this Convoy.
    """
    from reconciler import secrets
    from reconciler.addressed import addressed, origin

    try:
        to = origin(address) if address is not None else ""
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--for") from None

    if file.isatty():
        call.terminal.note("type or paste the secret, then Ctrl-D")
    plaintext = file.read(MOST_BYTES + 1)
    if not plaintext:
        raise Failure("there is nothing to seal: name a file, or send the secret to standard input")
    if len(plaintext) > MOST_BYTES:
        raise Failure(f"the secret is longer than {MOST_BYTES} bytes: seal a key that opens it instead")
    with keys(call) as (store, opener):
        how = sealing(call, store, opener, recipients, fleet or Path())
        sealed = secrets.seal(addressed(plaintext, to) if to else plaintext, how.recipients, how.hash_key)
    if plaintext.count(b"\n") == 1 and plaintext.endswith(b"\n"):
        call.terminal.note("the line break at its end is sealed with it (`printf %s` writes none)", "wait")
    if call.json:
        call.terminal.json({"age": sealed.age, "hash": sealed.hash})
        return
    call.terminal.raw(yaml_of(sealed.age, sealed.hash))


@secret.command(
    "hash-key",
    cls=Command,
    examples=[("convoy secret hash-key", "put what it prints under `spec:` of the Settings")],
    exits=[(0, "it is printed"), (1, "there is nobody to seal it for, or the one in force cannot be opened here")],
)
@chosen
@common()
def hash_key(call: Call, recipients: tuple[str, ...], fleet: Path | None) -> None:
    """Print the key that hashes of secrets are made with, sealed for all recipients.

    In Settings, it lets everybody who can open secrets seal them so that the same secret has the same hash, and no change is
    planned for it. Without one, only this Convoy can.
    """
    from reconciler import secrets

    with keys(call) as (store, opener):
        how = sealing(call, store, opener, recipients, fleet or Path())
        if how.hash_key is None:
            raise Failure(
                "the Settings hold a hash key that cannot be opened here: ask somebody who can (`convoy secret rekey`)"
            )
        sealed = secrets.encrypt(how.hash_key, how.recipients)
    if call.json:
        call.terminal.json({"hashKey": {"age": sealed}})
        return
    call.terminal.raw(yaml_of(sealed, None, "hashKey"))


secret.add_command(edit)
secret.add_command(rekey)
