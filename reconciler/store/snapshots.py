"""Keeps what each proxy last ran without refusing anything: each resource and each set of them once."""

import contextlib
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from sqlalchemy import Connection, Table, delete, insert, select

from reconciler.core.model import Ref, Snapshot, Where, XdsResource
from reconciler.store.database import Damaged, Database
from reconciler.store.rows import chunks, found, read_object
from reconciler.store.tables import BLOBS, GOODS, SETS

# Sets written before those that nobody points to any more are looked for.
SETS_PER_PRUNE = 256
# Sets whose digest is remembered, so that a thousand proxies of one group are a thousand pointers and no more work.
MOST_REMEMBERED = 1024

Resources = Mapping[str, XdsResource]


class Snapshots:
    """Thread-safe as far as its caller writes from one thread at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # Pointers as they are in the database, of the nodes asked about or written.
        self._pointers: dict[str, str] = {}
        self._remembered: dict[int, tuple[Resources, str]] = {}
        self._new_sets = 0

    def forget(self) -> None:
        """Somebody else may have written."""
        self._pointers.clear()

    def put(self, goods: Mapping[str, Snapshot]) -> None:
        named: dict[str, Resources] = {}
        pointers: dict[str, str] = {}
        versions: dict[str, str] = {}
        for node, snapshot in goods.items():
            sets = {}
            for type, resources in snapshot.resources.items():
                if resources:
                    sets[type] = self._digest(resources)
                    named[sets[type]] = resources
            pointers[node] = orjson.dumps(sets, option=orjson.OPT_SORT_KEYS).decode()
            versions[node] = snapshot.version
        changed = [node for node in goods if self._pointers.get(node) != pointers[node]]
        if not changed:
            return
        with self._database.reading("last good") as connection:
            query = select(GOODS.c.node, GOODS.c.sets)
            known = {row[0]: row[1] for row in found(connection, query, GOODS.c.node, changed)}
        changed = [node for node in changed if known.get(node) != pointers[node]]
        if changed:
            with self._database.writing("last good") as connection:
                self._insert_sets(connection, named)
                for nodes in chunks(changed):
                    connection.execute(delete(GOODS).where(GOODS.c.node.in_(nodes)))
                connection.execute(insert(GOODS), [{"node": n, "version": versions[n], "sets": pointers[n]} for n in changed])
                if self._new_sets >= SETS_PER_PRUNE:
                    self._new_sets = 0
                    _prune(connection)
        self._pointers.update({node: pointers[node] for node in goods})

    def get(self, node: str) -> Snapshot | None:
        """Raises Damaged where it is not, byte by byte, what was put there: it would be sent to proxies."""
        with self._database.reading("last good") as connection:
            row = connection.execute(select(GOODS.c.version, GOODS.c.sets).where(GOODS.c.node == node)).one_or_none()
            if row is None:
                return None
            try:
                return self._read(connection, row.version, orjson.loads(row.sets))
            except (ValueError, KeyError, IndexError, TypeError, AttributeError):
                raise Damaged(
                    f"the store {self._database.shown} has lost part of what {node} last ran: restore a backup"
                ) from None

    def _read(self, connection: Connection, version: str, sets: dict[str, str]) -> Snapshot:
        query = select(SETS.c.digest, SETS.c.body)
        texts = {row[0]: row[1] for row in found(connection, query, SETS.c.digest, sets.values())}
        bodies = {digest: orjson.loads(text) for digest, text in texts.items() if _name(text.encode()) == digest}
        wanted = {entry[2] for entries in bodies.values() for entry in entries}
        blobs = {row[0]: bytes(row[1]) for row in found(connection, select(BLOBS), BLOBS.c.digest, wanted)}
        blobs = {digest: blob for digest, blob in blobs.items() if _name(blob) == digest}
        resources = {
            type: {entry[0]: _resource(type, entry, blobs) for entry in bodies[digest]} for type, digest in sets.items()
        }
        return Snapshot(version, resources)

    def _digest(self, resources: Resources) -> str:
        remembered = self._remembered.get(id(resources))
        if remembered is not None and remembered[0] is resources:
            return remembered[1]
        digest = _name(_body(resources).encode())
        if len(self._remembered) >= MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[id(resources)] = (resources, digest)
        return digest

    def _insert_sets(self, connection: Connection, named: Mapping[str, Resources]) -> None:
        missing = _missing(connection, SETS, named)
        bodies = {_name(resource.body): resource.body for digest in missing for resource in named[digest].values()}
        blobs = [{"digest": digest, "body": bodies[digest]} for digest in _missing(connection, BLOBS, bodies)]
        if blobs:
            connection.execute(insert(BLOBS), blobs)
        if missing:
            connection.execute(insert(SETS), [{"digest": digest, "body": _body(named[digest])} for digest in missing])
        self._new_sets += len(missing)


def _prune(connection: Connection) -> None:
    """Drop the sets no proxy points to, and the resources in none of those that are left."""
    sets = {digest for (body,) in connection.execute(select(GOODS.c.sets)) for digest in (read_object(body) or {}).values()}
    kept: set[str] = set()
    dead = []
    for digest, body in connection.execute(select(SETS.c.digest, SETS.c.body)):
        if digest in sets:
            with contextlib.suppress(ValueError, IndexError, TypeError):
                kept.update(entry[2] for entry in orjson.loads(body))
        else:
            dead.append(digest)
    unused = [digest for (digest,) in connection.execute(select(BLOBS.c.digest)) if digest not in kept]
    for table, digests in ((SETS, dead), (BLOBS, unused)):
        for some in chunks(digests):
            connection.execute(delete(table).where(table.c.digest.in_(some)))


def _body(resources: Resources) -> str:
    """A set, as text: no key is in it, for a secret's bytes are opened only when it is sent."""
    entries = [
        (
            name,
            one.version,
            _name(one.body),
            (one.origin.file, one.origin.line, one.origin.column),
            str(one.owner),
            str(one.secret) if one.secret else "",
            one.eds,
            one.refers,
        )
        for name, one in sorted(resources.items())
    ]
    return orjson.dumps(entries).decode()


def _resource(type: str, entry: list[Any], blobs: Mapping[str, bytes]) -> XdsResource:
    name, version, blob, origin, owner, secret, eds, refers = entry
    return XdsResource(
        type=type,
        name=name,
        version=version,
        body=blobs[blob],
        origin=Where(*origin),
        owner=Ref.parse(owner),
        secret=Ref.parse(secret) if secret else None,
        eds=eds,
        refers=tuple((type, name) for type, name in refers),
    )


def _name(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:32]


def _missing(connection: Connection, table: Table, digests: Iterable[str]) -> list[str]:
    wanted = list(digests)
    there = {row[0] for row in found(connection, select(table.c.digest), table.c.digest, wanted)}
    return [digest for digest in wanted if digest not in there]
