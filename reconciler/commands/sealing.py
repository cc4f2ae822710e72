"""What `convoy secret` commands share: whom to seal for here, with which hash key, and opening what is sealed."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from reconciler.commands.options import Call, Failure

if TYPE_CHECKING:
    from reconciler.sealed_files import Fleet
    from reconciler.secrets import Opener
    from reconciler.store import Store

F = TypeVar("F", bound=Callable[..., Any])

# In age's armour it still fits into a document's field (1 MiB); a certificate's key is a few kilobytes.
MOST_BYTES = 740_000


@dataclass(frozen=True)
class Sealing:
    """Whom to seal for; `hash_key` is None where hashes must be drawn by lot, because the fleet's key cannot be opened here."""

    recipients: tuple[str, ...]
    hash_key: bytes | None
    fleet: "Fleet | None"


def chosen(function: F) -> F:
    """`--recipient` and `--fleet`."""
    for option in (
        click.option(
            "--fleet",
            type=click.Path(exists=True, file_okay=False, path_type=Path),
            metavar="DIRECTORY",
            help="Whose Settings name the recipients.  [the fleet this is in]",
        ),
        click.option(
            "-r",
            "--recipient",
            "recipients",
            multiple=True,
            metavar="AGE1…",
            help="Whom to seal for.  [the recipients in Settings, and this Convoy's key]",
        ),
    ):
        function = option(function)
    return function


@contextmanager
def keys(call: Call) -> "Iterator[tuple[Store, Opener]]":
    """The store of this state directory, and what opens secrets with the identity in it, each opening recorded there."""
    from reconciler import secrets
    from reconciler.seams import Seams

    make_private(call)
    seams = Seams()
    with closing(call.open_store()) as store:
        yield store, secrets.Opener.from_file(call.state / secrets.IDENTITY_FILE, store.opened, seams)


def sealing(call: Call, store: "Store", opener: "Opener", recipients: tuple[str, ...], place: Path) -> Sealing:
    """Whom to seal for in this place: who is named; else the fleet's recipients, and this Convoy's own where it has a key."""
    from reconciler import secrets
    from reconciler.sealed_files import SealedFileError, fleet_of
    from reconciler.seams import Seams

    try:
        fleet = fleet_of(place, Seams())
    except SealedFileError:
        if not recipients:
            raise
        # Who says whom to seal for needs no Settings, whatever is wrong with them.
        fleet = None
    if not recipients:
        recipients = fleet.settings.recipients if fleet else ()
        own = own_recipient(call) if not recipients or (call.state / secrets.IDENTITY_FILE).exists() else None
        if own and recipients and own not in recipients:
            call.terminal.note("this Convoy's own key is none of the recipients in Settings: it is added here", "wait")
        recipients = tuple(dict.fromkeys((*recipients, *([own] if own else []))))
    return Sealing(tuple(dict.fromkeys(one.strip() for one in recipients)), _hash_key(call, store, opener, fleet), fleet)


def _hash_key(call: Call, store: "Store", opener: "Opener", fleet: "Fleet | None") -> bytes | None:
    from reconciler.secrets import SecretError

    if fleet is None or fleet.settings.hash_key is None:
        return store.digest_key()
    try:
        return opener.open(fleet.ref, fleet.settings.hash_key, "hash")
    except SecretError:
        call.terminal.note(
            "the fleet's hash key cannot be opened here, so the hash is drawn by lot: "
            "the same secret sealed once more will count as another",
            "wait",
        )
        return None


def own_recipient(call: Call) -> str:
    """The public half of this Convoy's first key; raises Failure."""
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


def make_private(call: Call) -> None:
    try:
        call.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Failure(f"cannot make {call.state}: {error.strerror or error}") from error


def yaml_of(age: str, hash: str | None, under: str = "") -> str:
    """What a document holds, as YAML."""
    indent = "  " if under else ""
    armored = "".join(f"{indent}  {line}\n" for line in age.splitlines())
    head = f"{under}:\n" if under else ""
    return f"{head}{indent}age: |\n{armored}" + (
        f"{indent}hash: {json.dumps(hash) if hash.isdigit() else hash}" if hash else ""
    )
