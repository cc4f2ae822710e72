"""After a start: the revisions that an earlier Convoy had in force, loaded again as far as the source still has them."""

from collections.abc import Mapping

from reconciler.core.model import FleetState
from reconciler.git import Source, SourceError
from reconciler.load import Loader
from reconciler.log import Log
from reconciler.store import Store

# The row of what is in force (`releases.Releases`), by which its revisions are known.
IN_FORCE = "in-force"
# Each is loaded once, at a start; what is of more revisions than this is left as it is until it may be changed.
MOST = 5


class Earlier:
    """What the loop needs to know once: which it may ask for only after newer revisions have been accepted."""

    def __init__(self, source: Source, loader: Loader, store: Store, log: Log) -> None:
        self._source, self._loader, self._store, self._log = source, loader, store, log
        self._named: tuple[str, ...] = ()

    def begin(self, revision: str, was: str) -> dict[str, FleetState]:
        """Revision ⇒ what it declares; not the one that is accepted now. `was`: which was good before there was any word of
        what is in force. Raises StoreError."""
        row = self._store.guards().get(IN_FORCE, {"revision": was})
        of = [said for said in (row.get("withheld"), row.get("told")) if isinstance(said, dict)]
        named = [row.get("revision"), *(one for said in of for one in said.values())]
        self._named = tuple(dict.fromkeys(str(one) for one in named if one))
        others = [one for one in self._named if one != revision][:MOST]
        return {one: fleet for one in others if (fleet := self._load(one)) is not None}

    def go_on(self, before: Mapping[str, FleetState], last: FleetState) -> Mapping[str, FleetState]:
        """The same, when another revision is accepted after this `last` one."""
        return {**before, last.revision: last} if last.revision in self._named else before

    def _load(self, revision: str) -> FleetState | None:
        at = self._store.good_since(revision)
        try:
            # Where signers are asked for, what nobody answers for is not read, whatever a row says.
            problem = self._source.signature(revision, at, "").problem if at is not None else None
            if at is not None and problem is None:
                fleet = self._loader.load(self._source.tree(revision), self._source.read, self._source).fleet
                if fleet is not None:
                    return fleet
            why = str(problem or "it is not known to have been good")
        except SourceError as error:
            why = str(error)
        self._log.warning("revision.lost", revision=revision, error=why)
        return None
