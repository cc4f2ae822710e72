"""`convoy backup` and `convoy restore`: what cannot be had again by looking, in one file."""

import os
import time
from contextlib import closing
from pathlib import Path

import click

from reconciler.commands.options import Call, Command, Failure, common
from reconciler.commands.sealing import make_private, own_recipient

# A fleet of thousands of proxies is some tens of megabytes. What is larger is some other file, and must not fill the memory.
MOST_BYTES = 1 << 30
MADE_BY_AGE = b"-----BEGIN AGE ENCRYPTED FILE-----"


@click.command(
    cls=Command,
    examples=[
        ("convoy backup convoy.backup -r age1…", "sealed for a key that is kept elsewhere"),
        ("convoy backup convoy.backup", "sealed for this Convoy's own key: keep a copy of that key elsewhere"),
        ("convoy backup convoy.backup --plain", "readable: as secret as the keys in it"),
    ],
    exits=[(0, "the file is there, whole"), (1, "it could not be made")],
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("-r", "--recipient", "recipients", multiple=True, metavar="AGE1…", help="Whom to seal for.  [this Convoy's key]")
@click.option("--plain", is_flag=True, help="Do not seal it, though it holds keys.")
@common()
def backup(call: Call, file: Path, recipients: tuple[str, ...], plain: bool) -> None:
    """Write all that is precious to FILE, while Convoy works or not.

    That is what neither Git nor the hosts can tell again: the installation's id and keys, this Convoy's age identity,
    certificates made here with their keys, what each proxy last ran and what Envoys refused, orders given, revisions and
    events. FILE is sealed with age and is not written over.
    """
    from reconciler.core import show
    from reconciler.store.backup import written

    if plain and recipients:
        raise click.UsageError("--plain seals for nobody: leave out either it or the recipients")
    own = not plain and not recipients
    if own:
        recipients = (own_recipient(call),)
    with call.terminal.progress("reading the store"):
        with closing(call.open_store(make=False)) as store:
            taken = store.backup(_files(call))
        content = written(taken)
        if recipients:
            from reconciler.secrets import encrypt

            content = encrypt(content, recipients).encode()
    _write(file, content)
    rows = sum(map(len, taken.rows.values()))
    if own:
        call.terminal.note(
            f"it opens with {_identity(call)} alone: keep a copy of that elsewhere, or seal for another key", "wait"
        )
    call.page(
        (show.text(show.Span("written", "good"), f" {file}: {rows:,} rows of {taken.installation}, {len(content):,} bytes"),),
        {"file": str(file), "installation": taken.installation, "rows": rows, "bytes": len(content), "sealed": not plain},
    )


@click.command(
    cls=Command,
    examples=[
        ("convoy restore convoy.backup --identity key.txt", "on a new machine"),
        ("convoy restore convoy.backup --store postgresql+psycopg://db/convoy", "into another database"),
    ],
    exits=[(0, "the store is what the backup holds"), (1, "nothing was changed")],
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--identity", type=click.Path(path_type=Path, dir_okay=False), help="The age identity that opens it.  [this Convoy's own]"
)
@click.option("--force", is_flag=True, help="Replace what is in a store that has been used.")
@common()
def restore(call: Call, file: Path, identity: Path | None, force: bool) -> None:
    """Make the store what `convoy backup` wrote to FILE.

    All of it or nothing, into SQLite or PostgreSQL wherever it came from. The store must be new, and no Convoy at work on it.
    Afterwards Convoy finds what it runs by its marks, as if nothing had happened.
    """
    from reconciler.core import show
    from reconciler.store.backup import read

    content = _read(file)
    if content.lstrip().startswith(MADE_BY_AGE):
        content = _opened(call, content, identity, str(file))
    found = read(content)
    make_private(call)
    kept = _identity(call)
    new = found.files.get(kept.name)
    if new is not None and kept.exists():
        if kept.read_text() != new and not force:
            raise Failure(f"the backup holds another age identity than {kept}: move that away, or keep it with --force")
        new = None

    undo: list[Path] = []

    def last() -> None:
        if new is not None:
            _write(kept, new.encode())
            undo.append(kept)

    with call.terminal.progress("writing the store"), closing(call.open_store()) as store:
        try:
            store.restore(found, force=force, last=last)
        except BaseException:
            for path in undo:
                path.unlink(missing_ok=True)
            raise
    rows = sum(map(len, found.rows.values()))
    made = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(found.at))
    call.page(
        (show.text(show.Span("restored", "good"), f" {found.installation} as it was on {made}: {rows:,} rows"),),
        {"installation": found.installation, "rows": rows, "at": found.at},
    )


def _identity(call: Call) -> Path:
    from reconciler.secrets import IDENTITY_FILE

    return call.state / IDENTITY_FILE


def _files(call: Call) -> dict[str, str]:
    """What is precious and beside the store."""
    path = _identity(call)
    try:
        return {path.name: path.read_text()}
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"cannot read the age identity {path}: {getattr(error, 'strerror', None) or error}") from error


def _opened(call: Call, content: bytes, identity: Path | None, shown: str) -> bytes:
    from reconciler.secrets import Opener

    return Opener.from_file(identity or _identity(call), lambda *_: None).decrypt(content, f"the backup {shown}")


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            content = opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise Failure(f"cannot read the backup {file}: {error.strerror or error}") from error
    if len(content) > MOST_BYTES:
        raise Failure(f"{file} is larger than any backup")
    return content


def _write(file: Path, content: bytes) -> None:
    """Readable by us alone, on the disk when this returns, and never over what is there; raises Failure."""
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise Failure(f"{file} is there already, and is not written over: name another file") from None
    except OSError as error:
        raise Failure(f"cannot write {file}: {error.strerror or error}") from error
    try:
        with os.fdopen(handle, "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
    except OSError as error:
        file.unlink(missing_ok=True)
        raise Failure(f"cannot write {file}: {error.strerror or error}") from error
