"""`convoy secret rekey`: seals every secret of some files again, for the recipients there are now."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.commands.options import FAILED, Call, Command, Failure, common
from reconciler.commands.sealing import Sealing, chosen, keys, own_recipient, sealing

if TYPE_CHECKING:
    from reconciler.sealed_files import SealedFile, Secret
    from reconciler.seams import Seams
    from reconciler.secrets import Opener

MOST_SHOWN = 20
MOST_SHARED = 5


@dataclass
class _Result:
    """`done` files ⇒ how many secrets; `wrong` is what could not be done or is not as it should be, in words."""

    done: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    secrets: int = 0
    recipients: int = 0


@click.command(
    cls=Command,
    examples=[
        ("convoy secret rekey", "every secret below this directory, for the recipients in Settings"),
        ("convoy secret rekey fleet/shop.yaml", "those of one file"),
        ("convoy secret rekey --check", "for CI: is everything sealed for whom it should be"),
    ],
    exits=[
        (0, "everything is sealed for its recipients"),
        (1, "something could not be; or with --check: something is not"),
    ],
)
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path(path_type=Path))
@click.option("--check", is_flag=True, help="Change nothing, and say what is not sealed for exactly these recipients.")
@chosen
@common()
def rekey(call: Call, paths: tuple[Path, ...], check: bool, recipients: tuple[str, ...], fleet: Path | None) -> None:
    """Seal every secret below PATH again for the recipients there are now.

    To be run after Settings have gained or lost a recipient. Hashes stay, so nothing is planned. A file is changed whole or not
    at all. Who has lost access may have read everything before: change those secrets too (`convoy secret edit`).
    """
    from reconciler import sealed_files
    from reconciler.seams import Seams

    seams = Seams()
    result = _Result()
    with keys(call) as (store, opener):
        for place in paths or (Path(),):
            if not place.exists():
                raise Failure(f"there is no {place}")
            how = sealing(call, store, opener, recipients, fleet or place)
            result.recipients = len(how.recipients)
            _shared(call, place, seams)
            files = [path for path in sealed_files.documents_below(place) if sealed_files.holds_secrets(path, seams)]
            with call.terminal.progress("looking" if check else "sealing") as update:
                for number, path in enumerate(files):
                    update(number, len(files), str(path))
                    try:
                        found = sealed_files.read(path, str(path), seams)
                        wrong = _check(call, found, how, opener) if check else _seal_again(found, how, opener)
                    except sealed_files.SealedFileError as error:
                        wrong = [str(error)]
                    result.wrong += wrong
                    if not wrong:
                        result.done[str(path)] = len(found.secrets)
                        result.secrets += len(found.secrets)
    _told(call, result, check)
    if result.wrong:
        raise click.exceptions.Exit(FAILED)


def _shared(call: Call, place: Path, seams: "Seams") -> None:
    """Of an environment, to a person: which secrets stand in its bases, for others share those."""
    from reconciler.sealed_layers import is_environment, layered

    shared = layered(place, seams).shared if place.is_dir() and is_environment(place) else ()
    if shared:
        names = ", ".join(os.path.relpath(one) for one in shared[:MOST_SHARED]) + (" …" if len(shared) > MOST_SHARED else "")
        call.terminal.note(
            f"left as they are, for bases are shared: the secrets in {names} "
            "(name those files to seal them again, for all who use them, with --recipient)",
            "wait",
        )


def _seal_again(found: "SealedFile", how: Sealing, opener: "Opener") -> list[str]:
    """All secrets of the file, or none: why not."""
    from reconciler.core.spans import Change
    from reconciler.sealed_files import replace
    from reconciler.seams import Seams
    from reconciler.secrets import SecretError, encrypt

    changes, wrong = {}, []
    for secret in found.secrets:
        try:
            plaintext = opener.open_whole(secret.ref, secret.sealed, f"rekey: {secret.at.field}")
        except SecretError as error:
            wrong.append(f"{_where(found, secret)}: {error}")
            continue
        changes[secret] = Change(secret.at, encrypt(plaintext, how.recipients), secret.at.hash)
    if not wrong:
        replace(found, changes, Seams())
    return wrong


def _check(call: Call, found: "SealedFile", how: Sealing, opener: "Opener") -> list[str]:
    """As far as can be told: an age file says for how many it is sealed and not for whom, and ours opens or does not."""
    from reconciler.secrets import IDENTITY_FILE, SecretError, recipients_in

    own = own_recipient(call) if (call.state / IDENTITY_FILE).exists() else None
    wrong = []
    for secret in found.secrets:
        count = recipients_in(secret.sealed)
        said = ""
        if count is None:
            said = "is damaged: seal it again (`convoy secret seal`)"
        elif count != len(how.recipients):
            said = f"is sealed for {count} and not for {len(how.recipients)} recipients"
        elif own is not None:
            try:
                opener.open_whole(secret.ref, secret.sealed, f"check: {secret.at.field}")
                if own not in how.recipients:
                    said = "can be opened with this Convoy's key, which is none of the recipients"
            except SecretError as error:
                said = "" if own not in how.recipients else f"cannot be opened here, and should be: {error}"
        if said:
            wrong.append(f"{_where(found, secret)}: {secret} {said}")
    return wrong


def _where(found: "SealedFile", secret: "Secret") -> str:
    from reconciler.core.parse import locate

    return f"{found.path}:{locate(secret.document, secret.at.path).line}"


def _told(call: Call, result: _Result, check: bool) -> None:
    from reconciler.core import show

    for line in result.wrong[:MOST_SHOWN]:
        call.terminal.note(line, "bad")
    if len(result.wrong) > MOST_SHOWN:
        call.terminal.note(f"and {len(result.wrong) - MOST_SHOWN} more", "bad")
    words = "is sealed" if check else "sealed again"
    page = [show.text(show.Span(words, "good"), f"  {file}  {show.count(n, 'secret')}") for file, n in result.done.items()]
    total = f"{show.count(result.secrets, 'secret')} in {show.count(len(result.done), 'file')}"
    page.append(
        show.text(f"{total} {'are sealed' if check else 'sealed again'} for {show.count(result.recipients, 'recipient')}")
    )
    answer = {"files": result.done, "secrets": result.secrets, "recipients": result.recipients, "wrong": result.wrong}
    call.page(tuple(page), answer)
