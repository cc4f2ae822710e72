"""What commands that look share: which instances are meant, and the hosts they run on, as far as those are seen from here."""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reconciler.commands.look import Rows
from reconciler.commands.options import Call, Failure

if TYPE_CHECKING:
    from reconciler.core.kinds.host import Host as HostSpec
    from reconciler.core.model import Ref
    from reconciler.core.select import Selector
    from reconciler.drivers import Driver
    from reconciler.store import Store


@dataclass(frozen=True, order=True, slots=True)
class Instance:
    """One instance of a row. `owner` is the printed ref of the declared resource that it comes from."""

    ref: str
    instance: str
    host: str
    owner: str = ""

    @property
    def name(self) -> str:
        return f"{self.ref} {self.instance[:8]}"


def selector_of(words: Sequence[str], rows: Rows) -> "Selector":
    """What these words select, each by itself; raises Failure."""
    from reconciler.core.kinds import KINDS
    from reconciler.core.select import Selector, SelectorError

    refs = {ref for ref in map(parsed, rows) if ref is not None}
    try:
        selector = Selector.parse(words, {*KINDS, *(ref.kind for ref in refs)})
    except SelectorError as error:
        raise Failure(str(error)) from error
    unknown = selector.unknown(refs)
    if unknown:
        raise Failure(unknown)
    return selector


def parsed(text: object) -> "Ref | None":
    from reconciler.core.model import Ref

    with contextlib.suppress(ValueError):
        return Ref.parse(str(text))
    return None


class Selected:
    """Rows that a Selector covers. Labels are read once, where it asks for any."""

    def __init__(self, selector: "Selector", store: "Store") -> None:
        self._selector = selector
        self._labels: dict[str, Mapping[str, str]] = {}
        if selector.wants_labels:
            for ref, one in store.declared().items():
                found = (one.document.get("metadata") or {}).get("labels") or {}
                self._labels[ref] = {str(name): str(value) for name, value in found.items()}

    def covers(self, row: Mapping[str, Any]) -> bool:
        ref, owner = parsed(row.get("ref")), parsed(row.get("owner"))
        labels = self._labels.get(str(owner or ref), {})
        return ref is not None and self._selector.covers(ref, labels, owner if owner != ref else None)


def instances(rows: Iterable[Mapping[str, Any]]) -> list[Instance]:
    return [
        Instance(str(row["ref"]), str(one["instance"]), str(one["host"]), str(row.get("owner") or row["ref"]))
        for row in rows
        for one in row.get("instances", ())
    ]


class Hosts:
    """The drivers of hosts, made when they are asked for: only to look through, never to act."""

    def __init__(self, call: Call, store: "Store") -> None:
        from reconciler.homes import Homes
        from reconciler.leader import looker
        from reconciler.seams import Seams
        from reconciler.secrets import Opener

        state = call.state.absolute()
        opener = Opener([], lambda *_: None)
        self._store = store
        self._homes = Homes(store, looker(state), lambda: False, state, "", opener, Seams())
        self._drivers: dict[str, Driver] = {}

    def __enter__(self) -> "Hosts":
        return self

    def __exit__(self, *_: object) -> None:
        for driver in self._drivers.values():
            driver.close()

    def known(self) -> list[str]:
        return self._homes.known()

    def driver(self, name: str) -> "Driver":
        """Raises DriverError."""
        if name not in self._drivers:
            self._drivers[name] = self._homes.driver(name, self._spec(name))
        return self._drivers[name]

    def _spec(self, name: str) -> "HostSpec":
        """As it is declared; a host that is no longer declared is one of the plainest kind."""
        from reconciler.core.kinds.host import Host as HostSpec

        declared = self._store.declared([f"Host/{name}"]).get(f"Host/{name}")
        with contextlib.suppress(ValueError, TypeError):
            return HostSpec.model_validate(declared.document.get("spec") or {} if declared else {})
        return HostSpec()
