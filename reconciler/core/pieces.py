"""Pieces: what one document contributes to what proxies are told, before it is known which proxies those are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from reconciler.core.envoy import packed, version_of
from reconciler.core.messages import Fault, Message, Path, dotted, field_of, overlay, parse, spelled
from reconciler.core.references import Mention, mentions
from reconciler.core.rules import broken_rules
from reconciler.core.settle import settle


@dataclass(frozen=True, slots=True)
class Piece:
    """One resource an Envoy could be told. `path` is where it stands in its document's spec.

    `eds` names the EDS service of a cluster.
    """

    type: str
    name: str
    body: bytes
    version: str
    path: Path
    mentions: tuple[Mention, ...] = ()
    eds: str = ""


@dataclass(frozen=True, slots=True)
class Translation:
    """All pieces of one document, and what is wrong in it."""

    pieces: tuple[Piece, ...]
    faults: tuple[Fault, ...] = ()
    # (type, name) of everything the document declares, also of what is too broken to be a piece.
    declared: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Place:
    """A message within a bigger one: where it stands in the document, what its `envoy` says there, and which of its fields
    come from which short spelling."""

    path: Path
    said: Mapping[str, Any]
    short: Mapping[Path, Path]


NOTHING: Mapping[Path, Path] = MappingProxyType({})


@dataclass(slots=True)
class Draft:
    """One message being put together: short spellings, then `envoy` over them, then every check."""

    faults: list[Fault] = field(default_factory=list)
    # Where in the message (in protobuf's field names) ⇒ where in the document.
    places: dict[Path, Place] = field(default_factory=dict)
    # Parts whose `envoy` could not be read: what is missing in them says nothing.
    torn: list[Path] = field(default_factory=list)

    @property
    def raw(self) -> bool:
        """Whether any part of it was written as an Envoy message, so that only checks can tell what is in it."""
        return any(place.said for place in self.places.values())

    def lay(
        self, message: Message, said: Mapping[str, Any], path: Path, at: Path = (), short: Mapping[Path, Path] = NOTHING
    ) -> None:
        """Note that `message` comes from `path`, and merge what its `envoy` says over it."""
        self.places[at] = Place(path, said, short)
        if said:
            over, faults = parse(said, type(message), (*path, "envoy"))
            settle(over)
            self.faults.extend(faults)
            if faults:
                self.torn.append(at)
            else:
                overlay(message, over, said)
                # A list given there replaces ours, so what ours came from is not in the message any more.
                fields = {field.name for key in said if (field := field_of(message.DESCRIPTOR, key)) is not None}
                n = len(at)
                for inner in [one for one in self.places if len(one) > n and one[:n] == at and one[n] in fields]:
                    del self.places[inner]

    def finish(self, message: Message) -> tuple[Mention, ...]:
        """Check the whole message; gives back what it mentions. Short spellings alone cannot break a rule."""
        if not self.raw:
            return ()
        for broken in broken_rules(message):
            if self.within_torn(broken.path):
                continue
            self.faults.append(
                Fault(self.written(broken.path), f"{dotted(broken.path) or message.DESCRIPTOR.name}: {broken.what}")
            )
        return tuple(Mention(one.type, one.name, self.written(one.path), one.firm) for one in mentions(message))

    def within_torn(self, path: Path) -> bool:
        return any(path[: len(at)] == at for at in self.torn)

    def written(self, path: Path) -> Path:
        """Where a person wrote what stands at this path of the message: the innermost place that says it, or most of it."""
        around = sorted((at for at in self.places if path[: len(at)] == at), key=len, reverse=True)
        nearest: Path | None = None
        for at in around:
            place, rest = self.places[at], path[len(at) :]
            found = spelled(place.said, rest)
            short = next((place.short[rest[:n]] for n in range(len(rest), 0, -1) if rest[:n] in place.short), None)
            if short is not None and len(found) < len(rest):
                return (*place.path, *short)
            if found:
                return (*place.path, "envoy", *found)
            nearest = place.path if nearest is None else nearest
        return nearest or ()


def piece(
    type: str,
    message: Message,
    path: Path,
    mentioned: Sequence[Mention],
    eds: str = "",
) -> Piece:
    """The finished piece of this message; its name is the message's own."""
    body = packed(message)
    return Piece(type, message.name, body, version_of(type, body), path, tuple(mentioned), eds)
