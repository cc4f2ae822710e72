"""`convoy secret`: keys, and secrets sealed so that Git may hold them."""

from contextlib import closing
from typing import BinaryIO

import click

from reconciler.commands.options import Call, Command, Failure, common

# A certificate's key is a few kilobytes; what is larger is some other file.
MOST_BYTES = 1 << 20


@click.group(short_help="Keys, and secrets sealed so that Git may hold them.")
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

    _make_private(call)
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

    own = _recipient(call)
    call.page((show.text(own),), {"recipient": own})


@secret.command(
    cls=Command,
    examples=[
        ("convoy secret seal < shop.key", "for this Convoy; put what it prints under `key:` of a Certificate"),
        ("convoy secret seal shop.key -r age1… -r age1…", "for others"),
    ],
    exits=[(0, "it is sealed"), (1, "it could not be")],
)
@click.argument("file", type=click.File("rb"), default="-")
@click.option("-r", "--recipient", "recipients", multiple=True, metavar="AGE1…", help="Whom to seal for.  [this Convoy's key]")
@common()
def seal(call: Call, file: BinaryIO, recipients: tuple[str, ...]) -> None:
    """Seal FILE (or standard input) and print the YAML that a document holds in its place."""
    from reconciler import secrets
    from reconciler.seams import Seams
    from reconciler.store import Store

    recipients = recipients or (_recipient(call),)
    if file.isatty():
        call.terminal.note("type or paste the secret, then Ctrl-D")
    plaintext = file.read(MOST_BYTES + 1)
    if not plaintext:
        raise Failure("there is nothing to seal: name a file, or send the secret to standard input")
    if len(plaintext) > MOST_BYTES:
        raise Failure(f"the secret is longer than {MOST_BYTES} bytes: seal a key that opens it instead")
    _make_private(call)
    with closing(Store(f"sqlite:///{call.state / 'convoy.db'}", Seams())) as store:
        sealed = secrets.seal(plaintext, recipients, store.digest_key())
    if call.json:
        call.terminal.json({"age": sealed.age, "hash": sealed.hash})
        return
    armored = "".join(f"  {line}\n" for line in sealed.age.splitlines())
    call.terminal.raw(f"age: |\n{armored}hash: {sealed.hash}")


def _recipient(call: Call) -> str:
    from reconciler import secrets

    path = call.state / secrets.IDENTITY_FILE
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        hint = "make one with `convoy secret keygen`, or say whom to seal for with --recipient"
        raise Failure(f"there is no key in {path} ({error.strerror}): {hint}") from error
    for line in lines:
        if line.strip() and not line.startswith("#"):
            return secrets.recipient(line.strip())
    raise Failure(f"{path} holds no key: remove it and make one with `convoy secret keygen`")


def _make_private(call: Call) -> None:
    try:
        call.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Failure(f"cannot make {call.state}: {error.strerror or error}") from error
