"""`convoy secret edit`: opens sealed secrets in an editor, and puts them back sealed, where they were."""

import contextlib
import os
import shlex
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from reconciler.commands.options import Call, Command, Failure, common
from reconciler.commands.sealing import MOST_BYTES, Sealing, chosen, keys, sealing

if TYPE_CHECKING:
    from reconciler.scratch import Scratch
    from reconciler.sealed_files import SealedFile, Secret
    from reconciler.seams import Seams

# More files than this are no longer edited by anybody, and each of them lies open meanwhile.
MOST_AT_ONCE = 10
# How long an editor has to end when we are told to.
ENDING_S = 2.0


@click.command(
    cls=Command,
    examples=[
        ("convoy secret edit fleet/shop.yaml", "every secret in the file"),
        ("convoy secret edit fleet/shop.yaml#Certificate/shop", "those of one document"),
        ("convoy secret edit fleet/web.yaml --field spec.environment.TOKEN", "one of them"),
        ("convoy secret edit ../../bases/shop/web.yaml --fleet .", "for this environment, and not in the base"),
    ],
    exits=[(0, "it is sealed again, or nothing was changed"), (1, "nothing was written")],
)
@click.argument("file", metavar="FILE[#KIND/NAME]")
@click.option("--field", metavar="PATH", help="Which secret: a path in the document, like spec.key.")
@chosen
@common()
def edit(call: Call, file: str, field: str | None, recipients: tuple[str, ...], fleet: Path | None) -> None:
    """Edit sealed secrets of FILE in $VISUAL or $EDITOR.

    With --fleet, the secrets of a base become that environment's own: they are written into its environment.yaml, and the base
    stays as it is.

    They are opened with this Convoy's key into a private file in memory, which is overwritten and removed afterwards. What was
    changed is sealed again for the fleet's recipients; nothing else in FILE changes, and without a change FILE is not touched.
    """
    from reconciler import sealed_files
    from reconciler.core.spans import Change
    from reconciler.scratch import scratch
    from reconciler.seams import Seams
    from reconciler.secrets import seal

    path, ref = _named(file)
    seams = Seams()
    own = _own(path, fleet, seams)
    wanted = _wanted(sealed_files.read(path, str(path), seams), ref, field)
    with keys(call) as (store, opener), _ending():
        # Before anybody has worked on anything: what is wrong with the Settings would come too late afterwards.
        how = sealing(call, store, opener, recipients, fleet or path)
        plaintexts = [opener.open_whole(secret.ref, secret.sealed, f"edit: {secret.at.field}") for secret in wanted]
        with scratch(os.environ, seams) as place:
            if not place.in_memory:
                call.terminal.note(f"{place.path} is on a disk: there is no place in memory here", "wait")
            names = [f"{number}-{_plain(str(secret))}" for number, secret in enumerate(wanted, 1)]
            edited = map(_kept, plaintexts, _edited(place, dict(zip(names, plaintexts, strict=True))))
        changed = {secret: new for secret, old, new in zip(wanted, plaintexts, edited, strict=True) if new != old}
        for secret, new in changed.items():
            _check(secret, new)
        if changed:
            # An editor may have been open for an hour, and the file may have changed elsewhere.
            now = sealed_files.read(path, str(path), seams)
            there = {(one.ref, one.at.path, one.at.age): one for one in now.secrets}
            changes = {}
            for secret, new in changed.items():
                current = there.get((secret.ref, secret.at.path, secret.at.age))
                if current is None:
                    raise Failure(
                        f"{secret} was changed in {path} by somebody else meanwhile: nothing was written; edit it again"
                    )
                sealed = seal(new, how.recipients, how.hash_key)
                changes[current] = Change(current.at, sealed.age, sealed.hash)
            if own is not None:
                sealed_files.put_into(own, changes, seams)
            else:
                sealed_files.replace(now, changes, seams)
    _told(call, own or path, [str(secret) for secret in changed], how)


def _own(path: Path, fleet: Path | None, seams: "Seams") -> Path | None:
    """The environment.yaml to write to, where the file is a base's and an environment was named: others share the base."""
    from reconciler.sealed_layers import is_environment, layered

    if fleet is None or not is_environment(fleet):
        return None
    environment = layered(fleet, seams)
    return environment.file if environment.takes_in(path) else None


def _told(call: Call, path: Path, changed: list[str], how: Sealing) -> None:
    from reconciler.core import show

    recipients = len(how.recipients)
    if not changed:
        call.page((show.text(f"{path} is as it was"),), {"file": str(path), "changed": []})
        return
    page = [
        show.text(show.Span("sealed", "good"), f" {one} for {show.count(recipients, 'recipient')} in {path}") for one in changed
    ]
    call.page(tuple(page), {"file": str(path), "changed": changed, "recipients": recipients})


def _named(file: str) -> tuple[Path, str]:
    if Path(file).exists():
        return Path(file), ""
    path, _, ref = file.rpartition("#")
    return (Path(path), ref) if path else (Path(file), "")


def _wanted(found: "SealedFile", ref: str, field: str | None) -> "list[Secret]":
    """Those that were asked for; raises Failure where that are none, or too many."""
    there = [secret for secret in found.secrets if secret.at.hash is not None]
    if not there:
        raise Failure(f"{found.path} holds no sealed secret: make one with `convoy secret seal`")
    wanted = [
        one
        for one in there
        if ref.lower() in ("", str(one.ref).lower()) and (field is None or one.at.field in (field, f"spec.{field}"))
    ]
    listed = ", ".join(map(str, there[:MOST_AT_ONCE])) + (" …" if len(there) > MOST_AT_ONCE else "")
    if not wanted:
        raise Failure(f"{found.path} holds no such secret: there is {listed}")
    if len(wanted) > MOST_AT_ONCE:
        raise Failure(
            f"{found.path} holds {len(wanted)} secrets: name a document (FILE#KIND/NAME) or a --field; there is {listed}"
        )
    return wanted


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-." else "-" for letter in name)[-100:]


def _edited(place: "Scratch", files: Mapping[str, bytes]) -> list[bytes]:
    paths = [place.write(name, content) for name, content in files.items()]
    # The same words as Git's: a command line, not only a program's name.
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        words = shlex.split(editor)
        with subprocess.Popen([*words, *map(str, paths)]) as running:
            try:
                status = running.wait()
            except BaseException:
                running.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    running.wait(ENDING_S)
                running.kill()
                raise
    except (OSError, ValueError) as error:
        hint = "set $VISUAL or $EDITOR to one that is there"
        raise Failure(f"cannot run the editor {editor!r}: {getattr(error, 'strerror', None) or error}: {hint}") from error
    if status != 0:
        raise Failure(f"the editor ended with status {status}: nothing was changed")
    try:
        return [place.read(name) for name in files]
    except OSError as error:
        raise Failure(f"the editor has left no file to read ({error.strerror}): nothing was changed") from error


def _kept(old: bytes, new: bytes) -> bytes:
    """Most editors end a file with a line break, which a password has not."""
    return new.removesuffix(b"\n") if not old.endswith(b"\n") and new.endswith(b"\n") else new


def _check(secret: "Secret", new: bytes) -> None:
    if not new.strip():
        raise Failure(f"{secret} would be empty: remove the field from its document instead; nothing was changed")
    if len(new) > MOST_BYTES:
        raise Failure(f"{secret} is longer than {MOST_BYTES} bytes: seal a key that opens it instead; nothing was changed")


@contextmanager
def _ending() -> Iterator[None]:
    """A signal that would end us on the spot lets us clean up first; Ctrl-C belongs to the editor."""

    def end(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    def ignore(_number: int, _: FrameType | None) -> None:
        """Not SIG_IGN: the editor would inherit that."""

    meant = {signal.SIGTERM: end, signal.SIGHUP: end, signal.SIGQUIT: end, signal.SIGINT: ignore}
    before = {number: signal.signal(number, handler) for number, handler in meant.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
