"""The documented operations, read from contract.yaml, of which routes, rates, the OpenAPI document and tests are made."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

READER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# EF-C05: the patterns of section 17 match no documented path, and are read as classes of operations.
CLASSES = {"POST": "create", "PUT": "update", "PATCH": "update", "DELETE": "delete", "GET": "list"}
PREFIXES = ("auth", "bulk")


@dataclass(frozen=True, slots=True)
class Operation:
    """One documented operation. `path` as documented, with `{id}`; `query` by name, as contract.yaml has it; `success` the
    first status that is none of an error; `rate` the class of section 17 that counts it, "" for none."""

    id: str
    section: str
    method: str
    path: str
    open: bool
    summary: str
    query: Mapping[str, Mapping[str, Any]] = field(repr=False)
    success: int
    statuses: tuple[int, ...]
    rate: str
    required: tuple[str, ...]
    said: Mapping[str, Any] = field(repr=False)
    """All that contract.yaml says of it."""

    @property
    def rule(self) -> str:
        """The path as Flask writes it."""
        return self.path.replace("{", "<").replace("}", ">")

    @property
    def writes(self) -> bool:
        return self.method != "GET"


@cache
def contract() -> Mapping[str, Any]:
    found: dict[str, Any] = read(Path(__file__).parent / "contract.yaml")
    return found


def read(file: Path) -> Any:
    reader = READER(file.read_bytes())
    try:
        return reader.get_single_data()
    finally:
        reader.dispose()


@cache
def operations() -> Mapping[str, Operation]:
    """By id, in the document's order."""
    return {said["id"]: _operation(said) for said in contract()["operations"]}


@cache
def rates() -> Mapping[str, int]:
    """Class ⇒ how many in a minute."""
    found = {}
    for rule in contract()["rate_limits"]["rules"]:
        words = rule["pattern"].removeprefix(f"{contract()['base_path']}/").split("/")
        found[words[1] if words[0] == "*" else words[0]] = int(rule["limit"])
    return found


def _operation(said: Mapping[str, Any]) -> Operation:
    statuses = tuple(map(int, said["responses"]))
    first = said["path"].removeprefix(contract()["base_path"]).strip("/").split("/")[0]
    rate = "" if said["id"] == "health.get" else first if first in PREFIXES else CLASSES[said["method"]]
    return Operation(
        id=said["id"],
        section=str(said["section"]),
        method=said["method"],
        path=said["path"],
        open=said["auth"] == "none",
        summary=said["summary"],
        query=said["query"],
        success=next(status for status in statuses if status < 300),
        statuses=statuses,
        rate=rate,
        required=tuple(said.get("required_recommended", ())),
        said=said,
    )
