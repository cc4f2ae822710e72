"""The ledger of an import: one line for each part of what was read, and what became of it."""

from dataclasses import dataclass, field
from typing import Literal

# Replaced: Convoy writes one of its own there.
Fate = Literal["carried", "changed", "replaced", "left out", "note"]


@dataclass(frozen=True, slots=True)
class Line:
    """`section` is where it stands in what was read, `name` what the Envoy calls it, `into` the document that says it now."""

    fate: Fate
    section: str
    what: str
    name: str = ""
    hint: str = ""
    into: str = ""
    # file:line:column, where it is known.
    where: str = ""


@dataclass(slots=True)
class Ledger:
    """Lines in the order in which they are found out."""

    lines: list[Line] = field(default_factory=list)

    def carried(self, section: str, into: str, name: str = "", what: str = "") -> None:
        self.lines.append(Line("carried", section, what, name, into=into))

    def changed(self, section: str, what: str, name: str = "", into: str = "", hint: str = "") -> None:
        self.lines.append(Line("changed", section, what, name, hint, into))

    def replaced(self, section: str, what: str, name: str = "") -> None:
        self.lines.append(Line("replaced", section, what, name))

    def left(self, section: str, what: str, name: str = "", hint: str = "", where: str = "") -> None:
        self.lines.append(Line("left out", section, what, name, hint, where=where))

    def note(self, section: str, what: str, name: str = "", hint: str = "") -> None:
        self.lines.append(Line("note", section, what, name, hint))
