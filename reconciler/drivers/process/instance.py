"""An instance's directory: its name, its mark, and writing so that a kill leaves either the old or the new."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.core.model import DEFAULT_TENANT, Action, Ref
from reconciler.drivers import DriverError

FORMAT = 1
# Names become parts of paths. They were checked long before; here it is about what may be removed.
PART = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")
# The workload's own directory inside the instance's: ${DIR}. Beside it stands what is Convoy's.
HOME = "home"
# In want.json: field ⇒ keys under which it has secrets.
SEALED = "sealed"


class NotAMark(DriverError):
    """Something stands where a mark should be; what it belongs to cannot be told, so it is left alone."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Whose this is and what it was made as. `ports`: name ⇒ number or socket path, chosen once."""

    installation: str
    ref: Ref
    uid: str
    owner: str
    instance: str
    ports: Mapping[str, int | str]
    created: float
    deletion: str = "delete"

    def value(self) -> dict[str, Any]:
        """As JSON carries it."""
        return {
            "format": FORMAT,
            "installation": self.installation,
            "ref": str(self.ref),
            "uid": self.uid,
            "owner": self.owner,
            "instance": self.instance,
            "ports": dict(self.ports),
            "created": self.created,
            "deletion": self.deletion,
        }


def name_of(ref: Ref, instance: str) -> str:
    """`Kind-name-instance`, or `Kind-tenant.name-instance` off the default tenant: a dot is in no name, so no two share one."""
    for part in (ref.kind, ref.tenant, ref.name, instance):
        if not PART.match(part):
            raise DriverError(f"cannot make a directory for {ref} instance {instance!r}: {part!r} is not a plain name")
    tenant = "" if ref.tenant == DEFAULT_TENANT else f"{ref.tenant}."
    return f"{ref.kind}-{tenant}{ref.name}-{instance}"


def read_mark(directory: Path | str) -> Mark | None:
    """The mark; None where there is none, or only the empty file that a power failure leaves; raises DriverError."""
    path = f"{directory}/mark.json"
    try:
        with open(path, "rb") as file:
            data = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not data.strip(b"\0"):
        return None
    try:
        value = json.loads(data)
        if value["format"] > FORMAT:
            raise DriverError(f"{path} was written by a newer Convoy (format {value['format']}): upgrade this one")
        return Mark(
            value["installation"],
            Ref.parse(value["ref"]),
            value["uid"],
            value["owner"],
            value["instance"],
            value["ports"],
            float(value["created"]),
            value["deletion"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise NotAMark(f"{path} is not a mark of Convoy's ({error}): move its directory away") from error


def own_mark(directory: Path, installation: str, action: Action) -> Mark | None:
    """The mark in this directory if it is ours, None where nothing is; raises DriverError for anybody else's."""
    mark = read_mark(directory)
    if mark is not None and mark.installation != installation:
        raise DriverError(
            f"cannot {action.verb} {action.ref}: {directory} bears the mark of installation {mark.installation}: "
            f"remove it there, or take it over"
        )
    return mark


def write(path: Path, content: bytes) -> None:
    """Replace the file whole, for nobody but us to read."""
    temporary = path.with_name(f".{path.name}.new")
    # A new file each time: one that is left over might have another mode.
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(content)
    os.replace(temporary, path)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    write(path, json.dumps(value, separators=(",", ":")).encode())


def rests(restart: str, state: Mapping[str, Any] | None) -> bool:
    """Whether an instance without a shim is as it should be: it has run, and by its restart policy it is not run again."""
    if state is None or state.get("ended") == "asked" or restart == "always":
        return False
    if restart == "never":
        return True
    return state.get("ended") == "finished" and state.get("exit") == 0


def read_json(path: Path | str) -> dict[str, Any] | None:
    """A JSON object of ours; None where there is none or it is not one."""
    try:
        with open(path, "rb") as file:
            value = json.load(file)
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
