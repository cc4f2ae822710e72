"""Sealed secrets in a fleet's files: found, judged, and replaced by others, with everything else of the file left as it is."""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from reconciler.core.envelope import check, ref_of, tenant_of
from reconciler.core.kinds import KINDS
from reconciler.core.kinds.environment import KIND as ENVIRONMENT_KIND
from reconciler.core.kinds.sealed import Ciphertext
from reconciler.core.kinds.settings import Settings
from reconciler.core.layers import ENVIRONMENT
from reconciler.core.model import DEFAULT_TENANT, Problem, Ref
from reconciler.core.own_layer import NotWritten
from reconciler.core.parse import Document, locate, parse
from reconciler.core.spans import BEGIN, Change, Placed, changed, expected, find
from reconciler.git import SourceError
from reconciler.load import is_document
from reconciler.sealed_layers import is_environment, layered, patch_refs, patched
from reconciler.seams import Seams

# What is looked through for Settings when nobody says where the fleet is: more is no fleet, but somebody's home directory.
MOST_ENTRIES = 50_000
MOST_NAMED = 5
SETTINGS = re.compile(rb"^kind:[ \t]*['\"]?Settings\b", re.MULTILINE)


class SealedFileError(Exception):
    """A file with secrets could not be read, understood or replaced; it is as it was."""


@dataclass(frozen=True)
class Secret:
    """One sealed secret of a file: of which resource, where, and what it looks like."""

    document: Document
    ref: Ref
    at: Placed
    sealed: Ciphertext

    def __str__(self) -> str:
        return f"{self.ref} {self.at.field}"


@dataclass(frozen=True)
class SealedFile:
    """A file as it was read."""

    path: Path
    content: bytes
    documents: tuple[Document, ...]
    secrets: tuple[Secret, ...]


def read(path: Path, shown: str, seams: Seams) -> SealedFile:
    """The file and its secrets; raises SealedFileError. `shown` is how messages speak of it."""
    content = _content(path, shown, seams)
    parsed = parse(shown, "", content)
    if parsed.problems:
        raise SealedFileError(f"{parsed.problems[0]}: mend this first")
    secrets = [secret for document in parsed.documents for secret in _secrets(document)]
    return SealedFile(path, content, parsed.documents, tuple(secrets))


def holds_secrets(path: Path, seams: Seams) -> bool:
    """Whether there is a sealed secret in it at all; most files have none, and need not be understood."""
    return BEGIN.encode() in _content(path, str(path), seams)


def _content(path: Path, shown: str, seams: Seams) -> bytes:
    try:
        seams.point("sealed_files.read", path)
        return path.read_bytes()
    except OSError as error:
        raise SealedFileError(f"cannot read {shown}: {error.strerror or error}") from error


def _secrets(document: Document) -> Iterator[Secret]:
    tenant = _tenant(document.source.file)
    patches = list(patch_refs(document)) if document.value.get("kind") == ENVIRONMENT_KIND else []
    for place in find(document):
        ref = ref_of(document.value, tenant, KINDS)
        if place.path[:2] == ("spec", "patches") and len(place.path) > 2 and patches:
            ref = patches[int(place.path[2])]
        where = locate(document, place.path)
        if ref is None:
            raise SealedFileError(f"{where}: stands in a document without a kind and a name that Convoy knows: mend this first")
        sealed = place.sealed
        if sealed is None:
            raise SealedFileError(f"{where}: `{place.field}` is no sealed secret: seal it again (`convoy secret seal`)")
        yield Secret(document, ref, place, sealed)


def _tenant(file: str) -> str:
    """Whose a file is; where its fleet begins nobody has said, so the last `tenants/` in its path counts."""
    before, found, _ = os.path.abspath(file).rpartition("/tenants/")
    return tenant_of(os.path.abspath(file), f"{before}/")[0] if found else DEFAULT_TENANT


def replace(file: SealedFile, changes: Mapping[Secret, Change], seams: Seams) -> None:
    """Write the file with these changes, all of them or none; raises SealedFileError.

    What comes out is read again before it is written, and must say what was meant and nothing else.
    """
    pieces, end = [], 0
    for document in file.documents:
        mine = [changes[secret] for secret in file.secrets if secret.document is document and secret in changes]
        if mine:
            pieces += [file.content[end : document.source.start], changed(document, mine)]
            end = document.source.end
    content = b"".join([*pieces, file.content[end:]])
    _hold_to_it(file, content, changes)
    _write(file, content, seams)


def _hold_to_it(file: SealedFile, content: bytes, changes: Mapping[Secret, Change]) -> None:
    after = parse(file.path.name, "", content)
    meant = [
        expected(one.value, [changes[secret] for secret in file.secrets if secret.document is one and secret in changes])
        for one in file.documents
    ]
    if after.problems or [one.value for one in after.documents] != meant:
        raise SealedFileError(
            f"cannot put the new ciphertext into {file.path}: it is written there in a way that leaves no room for it "
            f"(write `age: |` and the text below it)"
        )


def _write(file: SealedFile, content: bytes, seams: Seams) -> None:
    path = file.path.resolve()
    try:
        seams.point("sealed_files.write", path)
        mode = path.stat().st_mode & 0o7777
        number, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(number, "wb") as out:
                out.write(content)
                out.flush()
                os.fchmod(out.fileno(), mode)
                os.fsync(out.fileno())
            if path.read_bytes() != file.content:
                raise SealedFileError(f"{file.path} was changed by somebody else meanwhile: nothing was written to it")
            seams.point("sealed_files.move", path)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise SealedFileError(f"cannot write {file.path}: {error.strerror or error}; it is as it was") from error


def put_into(environment: Path, changes: Mapping[Secret, Change], seams: Seams) -> None:
    """Write secrets of a base as an environment's own, into its environment.yaml; raises SealedFileError."""
    content = _content(environment, str(environment), seams)
    try:
        new = patched(content, [(one.ref, one.at, change.age, change.hash) for one, change in changes.items()])
    except NotWritten as error:
        raise SealedFileError(f"{environment}: {error}") from error
    _write(SealedFile(environment, content, (), ()), new, seams)


# Which files, and whose Settings


def documents_below(path: Path) -> list[Path]:
    """The files that hold documents: this one, or all below a directory as Convoy reads a fleet. Links are not followed."""
    if not path.is_dir():
        return [path]
    found: list[Path] = []
    seen = 0
    for parent, folders, names in os.walk(path):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        seen += len(folders) + len(names)
        if seen > MOST_ENTRIES:
            raise SealedFileError(f"there are more than {MOST_ENTRIES} files below {path}: name the fleet's own directory")
        whole = (Path(parent) / name for name in sorted(names) if is_document(name, ""))
        found += [one for one in whole if not one.is_symlink() and one.is_file()]
    return found


@dataclass(frozen=True)
class Fleet:
    """The Settings that hold where somebody stands, and the directory they hold for."""

    root: Path
    file: Path
    ref: Ref
    settings: Settings


def fleet_of(place: Path, seams: Seams) -> Fleet | None:
    """The nearest Settings: below this directory, or below one that it lies in, up to its Git repository's root.

    Raises SealedFileError where there are two, or where those there are have Problems.
    """
    start = place.resolve()
    start = start if start.is_dir() else start.parent
    above = [start, *start.parents]
    repository = next((i for i, one in enumerate(above) if (one / ".git").exists()), 0)
    for root in above[: repository + 1]:
        if is_environment(root):
            return _environments_settings(root, seams)
        below = documents_below(root)
        environments = [one.parent for one in below if one.name == ENVIRONMENT and is_environment(one.parent)]
        if environments:
            names = ", ".join(one.relative_to(root).as_posix() for one in environments[:MOST_NAMED])
            raise SealedFileError(f"there are environments here ({names}), each for its own recipients: name one with --fleet")
        found = [one for path in below if (one := _settings(path, root, seams)) is not None]
        if len(found) > 1:
            names = ", ".join(str(one.file) for one in found[:3])
            raise SealedFileError(f"there are several Settings ({names}): name the fleet's directory with --fleet")
        if found:
            return found[0]
    return None


def _environments_settings(root: Path, seams: Seams) -> Fleet | None:
    """Those of the environment in this directory, whichever of its layers has them."""
    try:
        environment = layered(root, seams)
    except SourceError as error:
        raise SealedFileError(str(error)) from error
    if environment.problems:
        hint = "mend it first; or, of a base that is not whole by itself, name an environment with --fleet"
        raise SealedFileError(f"{environment.problems[0]}: {hint}")
    for document in environment.documents:
        if document.value.get("kind") == "Settings":
            return _fleet(document, root, environment.top / document.source.file)
    return None


def _settings(path: Path, root: Path, seams: Seams) -> Fleet | None:
    content = _content(path, str(path), seams)
    if SETTINGS.search(content) is None:
        return None
    for document in parse(str(path.relative_to(root)), "", content).documents:
        if document.value.get("kind") == "Settings":
            return _fleet(document, root, path)
    return None


def _fleet(document: Document, root: Path, path: Path) -> Fleet:
    checked = check(document, "default", KINDS)
    if checked.problems or checked.resource is None or not isinstance(checked.resource.spec, Settings):
        raise SealedFileError(_first(checked.problems))
    return Fleet(root, path, checked.resource.ref, checked.resource.spec)


def _first(problems: Iterable[Problem]) -> str:
    return "; ".join(str(problem) for problem in list(problems)[:3]) or "the Settings cannot be read"
