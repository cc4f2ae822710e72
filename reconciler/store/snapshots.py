"""Keeps what each proxy last ran without refusing anything: each resource and each set of them once."""

import contextlib
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import cache
from typing import Any

import orjson
from sqlalchemy import Connection, Table, delete, insert, select

from reconciler.core.delivery import Behind, Delivery, Standing
from reconciler.core.model import Ref, Snapshot, Where, XdsResource
from reconciler.store.database import Damaged, Database
from reconciler.store.questions import Question, chunks, found
from reconciler.store.rows import as_json, read_object
from reconciler.store.tables import BLOBS, DELIVERIES, GOODS, SETS

# Sets written before those that nobody points to any more are looked for.
SETS_PER_PRUNE = 256
# Sets whose digest is remembered, so that a thousand proxies of one group are a thousand pointers and no more work.
MOST_REMEMBERED = 1024
GOOD_SETS = Question(select(GOODS.c.node, GOODS.c.sets), GOODS.c.node)
DELIVERED = Question(select(DELIVERIES), DELIVERIES.c.node)
SET_BODIES = Question(select(SETS.c.digest, SETS.c.body), SETS.c.digest)
BLOBS_WHOLE = Question(select(BLOBS), BLOBS.c.digest)

Resources = Mapping[str, XdsResource]


class Snapshots:
    """Thread-safe as far as its caller writes from one thread at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # Pointers as they are in the database, of the nodes asked about or written.
        self._pointers: dict[str, str] = {}
        self._remembered: dict[int, tuple[Resources, str]] = {}
        self._new_sets = 0
        # Node ⇒ body, as in the database.
        self._delivered: dict[str, str] | None = None

    def forget(self) -> None:
        """Somebody else may have written."""
        self._pointers.clear()
        self._delivered = None

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
            known = {row[0]: row[1] for row in found(connection, GOOD_SETS, changed)}
        changed = [node for node in changed if known.get(node) != pointers[node]]
        if changed:
            with self._database.writing("last good") as connection:
                self._insert_sets(connection, named)
                for nodes in chunks(changed):
                    connection.execute(delete(GOODS).where(GOODS.c.node.in_(nodes)))
                connection.execute(insert(GOODS), [{"node": n, "version": versions[n], "sets": pointers[n]} for n in changed])
                self._prune(connection)
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

    def deliver(self, deliveries: Mapping[str, Delivery | None]) -> None:
        """Node ⇒ where it stands, or None to drop it; the same again is not written, whenever it is said to be so."""
        known = self.delivered()
        self._delivered = None
        named: dict[str, Resources] = {}
        bodies: dict[str, str] = {}
        for node, one in deliveries.items():
            if one is not None:
                body = {"connected": one.connected, "synced": one.synced, "envoy": one.envoy, "more": one.more}
                body["behind"] = [asdict(each) for each in one.behind]
                for name, snapshot in (("wanted", one.wanted), ("told", one.told)):
                    sets = (
                        {type: self._digest(found) for type, found in snapshot.resources.items() if found} if snapshot else {}
                    )
                    named |= {sets[type]: snapshot.resources[type] for type in sets} if snapshot else {}
                    body[name] = {"version": snapshot.version, "sets": sets} if snapshot else None
                bodies[node] = as_json(body)
        changed = [node for node in deliveries if known.get(node) != bodies.get(node)]
        if changed:
            with self._database.writing("deliveries") as connection:
                self._insert_sets(connection, named)
                for nodes in chunks(changed):
                    connection.execute(delete(DELIVERIES).where(DELIVERIES.c.node.in_(nodes)))
                rows = [{"node": node, "body": bodies[node], "at": one.at} for node in changed if (one := deliveries[node])]
                if rows:
                    connection.execute(insert(DELIVERIES), rows)
                self._prune(connection)
        left = {node: body for node, body in known.items() if node not in deliveries}
        self._delivered = left | bodies

    def delivered(self) -> dict[str, str]:
        """Node ⇒ what is kept of where it stands, as text."""
        if self._delivered is None:
            with self._database.reading("deliveries") as connection:
                self._delivered = {row.node: row.body for row in connection.execute(select(DELIVERIES))}
        return self._delivered

    def delivery(self, node: str) -> Delivery | None:
        """None where nothing of it can be read: it is shown, and never sent."""
        with self._database.reading("deliveries") as connection:
            row = connection.execute(select(DELIVERIES).where(DELIVERIES.c.node == node)).one_or_none()
            body = read_object(row.body) if row is not None else None
            if row is None or body is None:
                return None
            try:
                wanted, told = (
                    self._read(connection, str(one["version"]), one["sets"]) if one is not None else None
                    for one in (body["wanted"], body["told"])
                )
                behind = tuple(Behind(one["type"], one["name"], one["acked"]) for one in body["behind"])
                connected, synced, envoy, more = (body[name] for name in ("connected", "synced", "envoy", "more"))
                if wanted is None:
                    return None
                return Delivery(wanted, told, bool(connected), bool(synced), str(envoy), behind, int(more), float(row.at))
            except (ValueError, KeyError, IndexError, TypeError, AttributeError):
                return None

    def standings(self, nodes: Iterable[str]) -> dict[str, Standing]:
        """Of many at once, without what they were told; what cannot be read is left out."""
        found_: dict[str, Standing] = {}
        with self._database.reading("deliveries") as connection:
            for row in found(connection, DELIVERED, set(nodes)):
                with contextlib.suppress(KeyError, TypeError, ValueError):
                    body = read_object(row.body) or {}
                    wanted, told = ((body[name] or {}).get("version") for name in ("wanted", "told"))
                    current = wanted is not None and wanted == told
                    standing = Standing(
                        bool(body["connected"]), bool(body["synced"]), current, str(body["envoy"]), float(row.at)
                    )
                    found_[row.node] = standing
        return found_

    def _read(self, connection: Connection, version: str, sets: dict[str, str]) -> Snapshot:
        texts = {row[0]: row[1] for row in found(connection, SET_BODIES, sets.values())}
        bodies = {digest: orjson.loads(text) for digest, text in texts.items() if _name(text.encode()) == digest}
        wanted = {entry[2] for entries in bodies.values() for entry in entries}
        blobs = {row[0]: bytes(row[1]) for row in found(connection, BLOBS_WHOLE, wanted)}
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

    def _prune(self, connection: Connection) -> None:
        """Now and then: nothing reads what nobody points to."""
        if self._new_sets >= SETS_PER_PRUNE:
            self._new_sets = 0
            _prune(connection)


def _prune(connection: Connection) -> None:
    """Drop the sets no proxy points to, and the resources in none of those that are left."""
    sets = {digest for (body,) in connection.execute(select(GOODS.c.sets)) for digest in (read_object(body) or {}).values()}
    for (body,) in connection.execute(select(DELIVERIES.c.body)):
        with contextlib.suppress(KeyError, TypeError, AttributeError):
            read = read_object(body) or {}
            sets.update(digest for name in ("wanted", "told") if read[name] for digest in read[name]["sets"].values())
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
            *([one.pinned] if one.pinned else []),
        )
        for name, one in sorted(resources.items())
    ]
    return orjson.dumps(entries).decode()


def _resource(type: str, entry: list[Any], blobs: Mapping[str, bytes]) -> XdsResource:
    name, version, blob, origin, owner, secret, eds, refers, *pinned = entry
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
        pinned=str(pinned[0]) if pinned else "",
    )


def _name(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:32]


@cache
def _digests(table: Table) -> Question:
    return Question(select(table.c.digest), table.c.digest)


def _missing(connection: Connection, table: Table, digests: Iterable[str]) -> list[str]:
    wanted = list(digests)
    there = {row[0] for row in found(connection, _digests(table), wanted)}
    return [digest for digest in wanted if digest not in there]
