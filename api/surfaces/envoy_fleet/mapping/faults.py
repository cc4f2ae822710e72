"""What is wrong in a message of Envoy's, told by the members of the body that it was made of."""

from collections.abc import Iterable, Mapping
from typing import Any

from api.surfaces.envoy_fleet.wire import Invalid
from reconciler.core.messages import Fault, Path, dotted

# Nobody mends more at once.
MOST = 50
# What the document's own words become, member by member, where they are not Envoy's.
ANOTHER = {"typed_config": "config", "timeout": "timeout_ms", "per_try_timeout": "per_try_timeout_ms"}


def refused(path: Path, reason: str) -> Invalid:
    return Invalid(dotted(path), reason)


def faulty(faults: Iterable[Fault], said: Mapping[str, Any], places: Mapping[Path, Path] | None = None) -> Invalid:
    """`said` is the body, in whose words members are named. `places`: beginnings of paths ⇒ where that is said in it."""
    found = []
    for fault in faults:
        path = fault.path
        for begins, place in (places or {}).items():
            if path[: len(begins)] == begins:
                path = (*place, *path[len(begins) :])
                break
        found.append((dotted(_spelled(said, path)) or "body", f"{fault.what}; {fault.hint}" if fault.hint else fault.what))
    return Invalid(*found[0], errors=found[:MOST])


def _spelled(said: Any, path: Path) -> Path:
    """The same path in the words of the body; what follows where it says nothing stays as it is."""
    found: list[str | int] = []
    for part in path:
        name = ANOTHER.get(part, part) if isinstance(part, str) else part
        if isinstance(said, Mapping):
            part = name if part not in said and name in said else part
            said = said.get(part) if isinstance(part, str) else None
        elif isinstance(said, list) and isinstance(part, int) and part < len(said):
            said = said[part]
        else:
            said = None
        found.append(part)
    return tuple(found)
