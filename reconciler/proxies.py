"""The proxies: what each should run, what it has acknowledged, what it refused, and what that means for everybody else."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from reconciler.core.blend import blend, with_live
from reconciler.core.connect import Connector
from reconciler.core.envoy import endpoints_of
from reconciler.core.facts import Endpoint
from reconciler.core.model import Action, Connected, Nack, Ref, Snapshot, XdsResource
from reconciler.core.overdue import Wait
from reconciler.core.ready import Ready
from reconciler.log import Log
from reconciler.refusals import Refusals
from reconciler.seams import Seams
from reconciler.store import Damaged, Store
from reconciler.xds.server import Server

# What Envoy says when the trouble is the machine's, not the configuration's: that proxy's alone, never quarantined for others.
# https://www.envoyproxy.io/docs/envoy/latest/configuration/listeners/stats counts it as a listener create failure.
# A secret that did not open is no fault of the content either.
OWN_TROUBLE = (
    "cannot bind",
    "address already in use",
    "permission denied",
    "cannot assign requested address",
    "the secret could not be opened",
)
NOWHERE: frozenset[Endpoint] = frozenset()
# Assignments whose endpoints are kept though nobody runs them any more: looking for those takes a look at all that is told.
SPARE_ENDS = 1_000


@dataclass
class Proxies:
    """Between the loop and the xDS server. Called from the loop's thread alone."""

    server: Server
    store: Store
    log: Log
    seams: Seams
    connected: Mapping[str, Connected] = field(default_factory=dict)
    published: dict[str, Snapshot] = field(default_factory=dict)
    # Node ⇒ content version ⇒ Envoy's words, for what is one proxy's own trouble.
    own: dict[str, dict[str, str]] = field(default_factory=dict)
    # Node ⇒ why it is not told all that is wanted yet.
    awaiting: Mapping[str, Wait] = field(default_factory=dict)
    _ready: Ready = field(default_factory=Ready)
    # Node ⇒ what is wanted of it without that.
    _parts: Mapping[str, Snapshot] = field(default_factory=dict)
    _good: dict[str, Snapshot] = field(default_factory=dict)
    # Content version of an assignment ⇒ its endpoints.
    _ends: dict[str, frozenset[Endpoint]] = field(default_factory=dict)
    _most_ends: int = SPARE_ENDS
    # Node ⇒ where all that it was told sends requests, since it last had acknowledged everything: it may use any of it.
    # Endpoints, not snapshots: a proxy that is away for weeks is told thousands of those.
    _under_way: dict[str, frozenset[Endpoint]] = field(default_factory=dict)
    # Node ⇒ what it has refused, as far as its server still remembers it: a proxy that goes on for ever fills nothing.
    _heard: dict[str, set[Nack]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.refusals = Refusals(self.store)

    def recall(self) -> None:
        """After a restart: what was refused before, so that it is not sent again."""
        self.refusals.recall()

    def look(self) -> None:
        """Take in what the proxies have acknowledged and refused since the last look."""
        self.connected = self.server.connected()
        for node, state in self.connected.items():
            for nack in state.nacks:
                self._hear(node, nack)
            if node in self._heard:
                self._heard[node] &= {replace(nack, at=0.0) for nack in state.nacks}
        good = {
            node: told for node, told in self.published.items() if self._runs(node, told) and self._good.get(node) is not told
        }
        if good:
            self.store.put_goods(good)
        # Only now: what could not be written is found again at the next look.
        self._good.update(good)

    def _runs(self, node: str, told: Snapshot) -> bool:
        state = self.connected.get(node)
        return state is not None and state.synced and state.sent == told.version

    def _hear(self, node: str, nack: Nack) -> None:
        heard, once = self._heard.setdefault(node, set()), replace(nack, at=0.0)
        if once in heard:
            return
        own = any(word in nack.message.lower() for word in OWN_TROUBLE)
        self.log.warning("xds.refused", node=node, type=nack.type, names=",".join(nack.names), own=own, message=nack.message)
        if own:
            self.own.setdefault(node, {}).update(dict.fromkeys(nack.versions, nack.message))
        else:
            self.refusals.learn(nack)
        words = f"{nack.type.upper()} {', '.join(nack.names)}: {nack.message}"
        self.store.event("xds.refused", f"Proxy/{node}", words, nack.at)
        # At the end: what could not be written is heard again at the next look.
        heard.add(once)

    def settle(self, wanted: Mapping[str, Snapshot], connector: Connector) -> dict[str, Snapshot]:
        """What each proxy should run: what is wanted, without what waits for its backends, without what was refused,
        consistent again."""
        result: dict[str, Snapshot] = {}
        parts: dict[str, Snapshot] = {}
        awaiting: dict[str, Wait] = {}
        self._ready.turn()
        for node, whole in wanted.items():
            running = self._told_last(node) if self._ready.starts(whole, connector) else None
            snapshot, wait = self._ready.part(whole, running, connector)
            if wait is not None:
                parts[node], awaiting[node] = snapshot, wait
            bad = self._refused(node, snapshot)
            good = with_live(self._last_good(node), snapshot, connector.live) if bad else {}
            result[node] = blend(snapshot, bad, good).snapshot if bad else snapshot
        self._parts, self.awaiting = parts, awaiting
        return result

    def _told_last(self, node: str) -> Snapshot | None:
        """What it was last told; after a restart, what it last acknowledged."""
        if node in self.published:
            return self.published[node]
        return self._good[node] if self._last_good(node) else None

    def _refused(self, node: str, snapshot: Snapshot) -> dict[str, str]:
        """What must not be sent to this proxy, by the words of its own version of Envoy."""
        if not self.refusals.by_any():
            return {}
        state = self.connected.get(node)
        words = self.refusals.by_all(state.envoys) if state and state.envoys else self.refusals.by_any()
        bad = {version: words[version] for version in _versions(snapshot) if version in words}
        if bad and state is None:
            # Whatever another Envoy said: this one has run it, and will be here again.
            for resources in self._last_good(node).values():
                for resource in resources.values():
                    bad.pop(resource.version, None)
        return bad

    def _last_good(self, node: str) -> Mapping[str, Mapping[str, XdsResource]]:
        if node not in self._good:
            try:
                kept = self.store.good(node)
            except Damaged as error:
                # It would be in every round again: the proxy goes on with what it has until it acknowledges the next.
                self.log.error("proxy.last_good", node=node, error=str(error))
                kept = Snapshot("", {})
            if kept is None:
                return {}
            self._good[node] = kept
        return self._good[node].resources

    def tell(self, actions: tuple[Action, ...]) -> None:
        for action in actions:
            self.seams.point("xds.publish", action)
            self.server.publish_all(action.want)
            self.published.update(action.want)
            # Proxies of one group are told the same, and mostly were told the same before: computed, and kept, once for all.
            told: dict[tuple[int, frozenset[Endpoint]], frozenset[Endpoint]] = {}
            for node, snapshot in action.want.items():
                assignments, before = snapshot.resources.get("eds", {}), self._under_way.get(node, NOWHERE)
                same = (id(assignments), before)
                if same not in told:
                    told[same] = before.union(*(self._ends_of(one) for one in assignments.values()))
                self._under_way[node] = told[same]
        if len(self._ends) > self._most_ends:
            self._prune()

    def _prune(self) -> None:
        """Keep the ends of what is told or acknowledged. Whoever acknowledges something older yet is not known to have let
        go of anything, until it acknowledges the next."""
        used = {one.version for told in self.published.values() for one in told.resources.get("eds", {}).values()}
        for state in self.connected.values():
            used.update(state.acked.get("eds", {}).values())
        self._ends = {version: ends for version, ends in self._ends.items() if version in used}
        self._most_ends = 2 * len(self._ends) + SPARE_ENDS

    def _ends_of(self, assignment: XdsResource) -> frozenset[Endpoint]:
        if assignment.version not in self._ends:
            self._ends[assignment.version] = endpoints_of(assignment)
        return self._ends[assignment.version]

    def forget(self, kept: set[str]) -> None:
        """Proxies that are neither wanted nor seen any more."""
        for node in self.published.keys() - kept:
            self.server.forget(node)
            del self.published[node]
            self._under_way.pop(node, None)
            self._good.pop(node, None)
            self.own.pop(node, None)
            self._heard.pop(node, None)

    def versions(self) -> dict[str, str]:
        return {node: snapshot.version for node, snapshot in self.published.items()}

    def reaches(self, next: Mapping[str, Snapshot]) -> dict[str, frozenset[Endpoint] | None]:
        """Node ⇒ the endpoints that requests may go to by what it has acknowledged, is taking in, or is told `next`; None where
        not known."""
        result: dict[str, frozenset[Endpoint] | None] = {}
        coming: dict[int, frozenset[Endpoint]] = {}
        for node, state in self.connected.items():
            if node in self.published and self._runs(node, self.published[node]):
                self._under_way.pop(node, None)
            versions = state.acked.get("eds", {}).values()
            known = [self._ends[version] for version in versions if version in self._ends]
            taking, told = self._under_way.get(node, NOWHERE), self.published.get(node)
            if node in next and (told is None or told.version != next[node].version):
                ends = next[node].resources.get("eds", {})
                if id(ends) not in coming:
                    coming[id(ends)] = NOWHERE.union(*(self._ends_of(one) for one in ends.values()))
                taking |= coming[id(ends)]
            result[node] = taking.union(*known) if len(known) == len(versions) else None
        return result

    def why_refused(self, wanted: Mapping[str, Snapshot]) -> dict[Ref, str]:
        """Declared resource ⇒ what Envoys have refused of it, in their words, with the place to mend it."""
        result: dict[Ref, str] = {}
        for node, whole in sorted(wanted.items()):
            snapshot = self._parts.get(node, whole)
            ref, state = Ref.parse(f"Proxy/{node}"), self.connected.get(node)
            own, refused = self.own.get(node, {}), self._refused(node, snapshot)
            both = state.envoys if state is not None and len(state.envoys) > 1 else ()
            if not own and not refused and not (both and self.refusals.by_any()):
                # Nearly always, and in every round: a thousand proxies with a thousand resources each are a million.
                continue
            for resource in (one for resources in snapshot.resources.values() for one in resources.values()):
                message = refused.get(resource.version)
                if message is not None:
                    # What a commit declares that only some proxies are pinned to is no fault of what is declared now.
                    whose = ref if resource.pinned else resource.owner
                    result.setdefault(whose, f"{resource.origin}: Envoy refuses {resource.name}: {message}")
                elif resource.version in own:
                    result.setdefault(ref, f"{resource.origin}: {resource.name}: {own[resource.version]}")
                elif words := self.refusals.words(resource.version, both):
                    # Of two that run side by side, the one that takes it stays, and serves.
                    versions = " and ".join(sorted(both))
                    why = f"{resource.origin}: one of its Envoys ({versions}) refuses {resource.name}: {words}"
                    result.setdefault(ref, why)
        return result


def _versions(snapshot: Snapshot) -> Iterator[str]:
    return (one.version for resources in snapshot.resources.values() for one in resources.values())
