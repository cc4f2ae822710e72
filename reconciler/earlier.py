"""After a start: the revisions that an earlier Convoy had in force, loaded again as far as the source still has them."""

from reconciler.core.model import FleetState
from reconciler.git import Source, SourceError
from reconciler.load import Loader
from reconciler.log import Log
from reconciler.store import Store

# The row of what is in force (`releases.Releases`), by which its revisions are known.
IN_FORCE = "in-force"
# Each is loaded once, at a start; what is of more revisions than this is left as it is until it may be changed.
MOST = 5


def earlier(source: Source, loader: Loader, store: Store, revision: str, was: str, log: Log) -> dict[str, FleetState]:
    """Revision ⇒ what it declares; not the one that is in force from now on. `was`: which was good before there was any word
    of what is in force. Raises StoreError."""
    row = store.guards().get(IN_FORCE, {"revision": was})
    of = [said for said in (row.get("withheld"), row.get("told")) if isinstance(said, dict)]
    named = [row.get("revision"), *(one for said in of for one in said.values())]
    found: dict[str, FleetState] = {}
    for one in list(dict.fromkeys(str(one) for one in named if one and one != revision))[:MOST]:
        at = store.good_since(one)
        try:
            # Where signers are asked for, what nobody answers for is not read, whatever a row says.
            problem = source.signature(one, at, "").problem if at is not None else None
            fleet = None if at is None or problem else loader.load(source.tree(one), source.read, source).fleet
        except SourceError as error:
            log.warning("revision.lost", revision=one, error=str(error))
            continue
        if fleet is not None:
            found[one] = fleet
        else:
            log.warning("revision.lost", revision=one, error=str(problem or "it is not known to have been good"))
    return found
