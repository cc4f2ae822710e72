"""What there is to tell, shared: one entry per content, one mapping per set of contents, one encoding per response."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any
from weakref import WeakValueDictionary

from reconciler.core.model import XDS_TYPES, Ref, Snapshot, Where, XdsResource
from reconciler.xds import wire
from reconciler.xds.entries import (
    ABSENT,
    EMPTY,
    NO_NAMES,
    Entries,
    Entry,
    digest,
    digest_of,
    endpoints,
    endpoints_needed,
    routes_needed,
)

OpenSecret = Callable[[XdsResource], bytes]

# Results kept for streams that come to the same point later. A push to a thousand streams needs about ten of them.
MEMO_LIMIT = 1024
# Encoded responses kept beyond those on their way. 1,000 clusters are half a megabyte; this is for storms of reconnects.
BODIES_LIMIT_BYTES = 64 << 20


class Told:
    """A published snapshot, ready to be told: type ⇒ entries, shared with every equal snapshot.

    `needs` is what an Envoy subscribes to once it has the clusters and listeners: until then it is not in sync.
    """

    __slots__ = ("contents", "needs", "version")

    def __init__(self, version: str, contents: Mapping[str, Entries], needs: Mapping[str, frozenset[str]]) -> None:
        self.version, self.contents, self.needs = version, contents, needs


class Body:
    """One response, equal for every stream that needs it. `full`: what it does not hold does not exist any more."""

    __slots__ = ("_encoded", "delta", "entries", "errors", "full", "nonce", "removed", "secret", "type", "url", "version")

    def __init__(
        self,
        delta: bool,
        full: bool,
        type: str,
        url: str,
        entries: tuple[Entry, ...],
        removed: tuple[str, ...],
        errors: tuple[str, ...],
        salt: int,
    ) -> None:
        self.delta, self.full, self.type, self.url = delta, full, type, url
        self.entries, self.removed, self.errors = entries, removed, errors
        self.version = digest_of({entry.name: entry for entry in entries})
        # The nonce names the content, so that the whole response can be shared; the salt tells a forced repetition from
        # the first time. https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#ack-nack-and-resource-type-instance-version
        parts = [(self.version, str(delta)), *((name, "-") for name in removed), *((name, "?") for name in errors)]
        self.nonce = f"{digest(parts)}.{salt}"
        self.secret = any(entry.resource is not None and entry.resource.secret is not None for entry in entries)
        self._encoded: bytes | None = None

    def encoded(self, open_secret: OpenSecret) -> bytes:
        """The bytes to send. Kept for the next stream, unless a secret was opened for them."""
        if self._encoded is not None:
            return self._encoded
        bodies = [_opened(entry.resource, open_secret) for entry in self.entries if entry.resource is not None]
        errors = [wire.resource_error(name, self.type) for name in self.errors]
        if self.delta:
            resources = [(e.name, e.version, body) for e, body in zip(self.entries, bodies, strict=True)]
            result = wire.delta(self.url, self.version, self.nonce, resources, self.removed, errors)
        else:
            result = wire.sotw(self.url, self.version, self.nonce, bodies, errors)
        if not self.secret:
            self._encoded = result
        return result

    @property
    def size(self) -> int:
        return sum(len(entry.resource.body) for entry in self.entries if entry.resource is not None) + 100


def _opened(resource: XdsResource, open_secret: OpenSecret) -> bytes:
    return resource.body if resource.secret is None else open_secret(resource)


class Library:
    """Every entry, mapping and response in use, each once. Not thread-safe: the server holds its lock around it."""

    def __init__(self) -> None:
        self._entries: WeakValueDictionary[tuple[str, str, str], Entry] = WeakValueDictionary()
        self._memo: dict[tuple[Any, ...], tuple[tuple[Any, ...], Any]] = {}
        self._contents: OrderedDict[tuple[Entry, ...], Entries] = OrderedDict()
        self._tries: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._sent: OrderedDict[tuple[str, str], Entries] = OrderedDict()
        self._names: OrderedDict[frozenset[str], frozenset[str]] = OrderedDict()
        self._bodies: OrderedDict[tuple[Any, ...], Body] = OrderedDict()
        self._bodies_bytes = 0

    def memo(self, function: Callable[..., Any], *args: Any) -> Any:
        """`function(*args)`, computed once for the same objects. What comes back is shared: never change it."""
        key = (function, *map(id, args))
        kept = self._memo.get(key)
        if kept is not None:
            return kept[1]
        result = function(*args)
        # The arguments are kept as well, so that their ids cannot come to mean something else.
        self._memo[key] = (args, result)
        if len(self._memo) > MEMO_LIMIT:
            # The oldest goes, used or not: keeping track of use would cost every stream more than doing it again costs one.
            del self._memo[next(iter(self._memo))]
        return result

    def entry(self, type: str, name: str, version: str, resource: XdsResource | None = None) -> Entry:
        entry = self._entries.get((type, name, version))
        if entry is None:
            entry = self._entries[(type, name, version)] = Entry(type, name, version, resource)
        elif entry.resource is None:
            entry.resource = resource
        return entry

    def told(self, snapshot: Snapshot) -> Told:
        """The snapshot as it is told; equal parts of different snapshots become the same objects."""
        found: Told = self.memo(self._told, snapshot)
        return found

    def _told(self, snapshot: Snapshot) -> Told:
        contents = {type: self.memo(self.content, snapshot.resources.get(type, EMPTY)) for type in XDS_TYPES}
        # So that a client which comes back with the version of its clusters is understood, also when another process sent
        # them: what a snapshot that was published before the newest one held need not vanish all at once.
        self._remember(wire.TYPE_URLS["cds"], self.memo(digest_of, contents["cds"]), contents["cds"])
        needs = {
            "eds": self.memo(endpoints_needed, contents["cds"], contents["eds"]),
            "rds": self.memo(routes_needed, contents["lds"], contents["rds"]),
        }
        return Told(snapshot.version, contents, needs)

    def content(self, resources: Mapping[str, XdsResource]) -> Entries:
        """The shared entries of these resources, by name."""
        entries = tuple(self.entry(r.type, r.name, r.version, r) for _, r in sorted(resources.items()))
        return self.shared(entries)

    def shared(self, entries: tuple[Entry, ...]) -> Entries:
        if not entries:
            return EMPTY
        found = self._contents.get(entries)
        if found is None:
            found = self._contents[entries] = MappingProxyType({entry.name: entry for entry in entries})
            if len(self._contents) > MEMO_LIMIT:
                self._contents.popitem(last=False)
        else:
            self._contents.move_to_end(entries)
        return found

    def names(self, names: frozenset[str]) -> frozenset[str]:
        """The shared set equal to this one: a thousand proxies subscribe to the same thousand names."""
        if not names:
            return NO_NAMES
        found = self._names.setdefault(names, names)
        self._names.move_to_end(found)
        if len(self._names) > MEMO_LIMIT:
            self._names.popitem(last=False)
        return found

    def absent(self, name: str) -> Entry:
        """Answers, in the state of the world, for endpoints that do not exist."""
        entry = self.entry("eds", name, ABSENT)
        if entry.resource is None:
            entry.resource = XdsResource("eds", name, ABSENT, wire.empty_assignment(name), Where(""), Ref("Cluster", name))
        return entry

    def body(
        self,
        delta: bool,
        full: bool,
        type: str,
        url: str,
        entries: tuple[Entry, ...],
        removed: tuple[str, ...],
        errors: tuple[str, ...],
        salt: int,
    ) -> Body:
        key = (delta, full, url, entries, removed, errors, salt)
        found = self._bodies.get(key)
        if found is None:
            found = self._bodies[key] = Body(delta, full, type, url, entries, removed, errors, salt)
            self._bodies_bytes += found.size
            if full:
                self._remember(url, found.version, self.shared(entries))
            while self._bodies_bytes > BODIES_LIMIT_BYTES and len(self._bodies) > 1:
                self._bodies_bytes -= self._bodies.popitem(last=False)[1].size
        else:
            self._bodies.move_to_end(key)
        return found

    def _remember(self, url: str, version: str, entries: Entries) -> None:
        self._sent[(url, version)] = entries
        if len(self._sent) > MEMO_LIMIT:
            self._sent.popitem(last=False)

    def sent(self, url: str, version: str) -> Entries:
        """What a state of the world of this version held; empty when that is no longer known."""
        return self._sent.get((url, version), EMPTY)

    def may_try(self, cause: str, stream: object, now: float, patience_s: float) -> bool:
        """Whether this stream should find out what is wrong with a refused response: one does, for everybody."""
        by, until = self._tries.get(cause, (id(stream), 0.0))
        if by != id(stream) and now < until:
            return False
        self._tries[cause] = (id(stream), now + patience_s)
        self._tries.move_to_end(cause)
        if len(self._tries) > MEMO_LIMIT:
            self._tries.popitem(last=False)
        return True


def merged(have: Entries, body: Body) -> Entries:
    """What a client holds after it has taken this response in."""
    result = {} if body.full else dict(have)
    result.update((entry.name, entry) for entry in body.entries)
    for name in body.removed:
        result.pop(name, None)
    return MappingProxyType(result)


def endpoints_after(have: Entries, body: Body) -> frozenset[str]:
    """The EDS names of the clusters that this response adds or changes."""
    return endpoints(have, {entry.name: entry for entry in body.entries})
