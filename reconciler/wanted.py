"""What is wanted: follows the source, loads each new revision, and accepts it only when nothing is wrong with it."""

import contextlib
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from reconciler.certificates import Certificates
from reconciler.checked import Unchecked, check
from reconciler.core.declared import Declaration
from reconciler.core.facts import DELETES, Order
from reconciler.core.model import FleetState, Problem, Ref, Where, settings_of
from reconciler.core.parse import Document
from reconciler.core.told import Said, Told, brought_back, heard, named
from reconciler.earlier import Earlier
from reconciler.gate import Gates
from reconciler.git import MOST_COMMITS, NoHistory, Signature, Source, SourceError
from reconciler.load import Loaded, Loader, environment_of
from reconciler.log import Log
from reconciler.makers import makers
from reconciler.metrics import Metrics
from reconciler.seams import Seams
from reconciler.store import Store, StoreError

# An unreadable source is tried again this often at first, half as often after each failure, up to the longest.
RETRY_S, LONGEST_RETRY_S = 1.0, 60.0
# How often whoever waits for a look asks for it: each begins only when the one before has ended.
HINT_S = 0.05
NOTHING, UNTRIED = Told(), ("", Signature())

EMPTIED = Problem(
    Where("."),
    "this revision declares nothing at all, and the one before did",
    "an emptied repository never empties a fleet: bring the documents back; or, where that is meant, commit (an empty commit "
    "will do) with the trailer `Convoy-Confirm: deletes`",
)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The revision in force, and what is known of a newer one that is not.

    `refused` is the newer revision and `problems` what is wrong with it. `unreadable` says why the source could not be read
    at the last try; what was accepted before stays in force. `noticed_at` is when the revision in force was first seen, and
    `signer` who answers for it, where somebody has to. `notes` are about trailers of the newest revision that are of no use:
    they stop nothing.
    """

    fleet: FleetState | None = None
    refused: str = ""
    problems: tuple[Problem, ...] = ()
    unreadable: str = ""
    noticed_at: float = 0.0
    signer: str = ""
    notes: tuple[str, ...] = ()
    # What people said, where it is not all in the store: a preview keeps nothing there, and `convoy down` is said by itself.
    orders: tuple[Order, ...] | None = None
    # After a start: the revisions that something in force is of, and which one was good before there was any word of that.
    before: Mapping[str, FleetState] = field(default_factory=dict)
    was: str = ""


class Wanted:
    """Follows one source in a thread of its own, so that a slow fetch delays nothing else."""

    def __init__(
        self,
        source: Source,
        loader: Loader,
        gate: Gates | None,
        certificates: Certificates,
        store: Store,
        metrics: Metrics,
        log: Log,
        seams: Seams,
        wake: Callable[[], None],
        *,
        recording: bool = True,
    ) -> None:
        self._recording = recording
        self._source, self._loader, self._gate, self._certificates = source, loader, gate, certificates
        self._store, self._metrics, self._log, self._seams, self._wake = store, metrics, log, seams, wake
        self._earlier = Earlier(source, loader, store, log)
        self._closed = threading.Event()
        self._tried = UNTRIED
        # The revision that was to be recorded as good last: where nobody answered, only the store knows whether it was.
        self._begun = ""
        self.accepted = Accepted()
        # What the resources of the revision that was loaded last were made from.
        self.documents: Mapping[Ref, Document] = {}
        # Its layers' files that say what is different there.
        self._layers: frozenset[str] = frozenset()
        self._looked, self._looks, self._looking = threading.Condition(), 0, False
        self._thread = seams.thread(self._follow, "wanted")

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._source.close()
        if self._thread.ident is not None:
            self._thread.join()

    def look(self) -> Accepted:
        """Read the source once. Whatever goes wrong, what was accepted before stays accepted."""
        try:
            with self._metrics.stage("fetch"):
                revision = self._source.fetch()
            noticed_at = self._seams.now()
            signature = self._signature(revision)
            if (revision, signature) != self._tried:
                self._tried = (revision, signature) if self._try(revision, signature, noticed_at) else UNTRIED
            elif self.accepted.unreadable:
                self._become(replace(self.accepted, unreadable=""))
        except (SourceError, StoreError, Unchecked) as error:
            # Nothing is accepted that could not be recorded: after a restart it would have to be found again.
            if self.accepted.unreadable != str(error):
                self._log.warning("source.unreadable", error=str(error))
            before = self.accepted
            with contextlib.suppress(StoreError):
                kept = self._in_force(before.refused) if self._recording else before
                before = replace(kept, refused=before.refused, problems=before.problems)
            self._become(replace(before, unreadable=str(error)))
        return self.accepted

    def _in_force(self, refused: str) -> Accepted:
        """What was accepted last: after a start, or where it was recorded and nobody heard, what the mirror still has of it, so
        that healing waits for no forge and the next start finds nothing else."""
        mine = self.accepted
        if mine.fleet is not None and (self._begun == mine.fleet.revision or self._store.last_good() != self._begun):
            return mine
        kept = self._last_good(refused)
        return mine if kept.fleet is None and mine.fleet is not None else kept

    def _signature(self, revision: str) -> Signature:
        """Who answers for it. Keys that were valid when a revision came into force need not be so for ever."""
        at = self._store.good_since(revision) or self._seams.now()
        return self._source.signature(revision, at, (self._store.last_good() or "") if self._recording else "")

    def _try(self, revision: str, signature: Signature, noticed_at: float) -> bool:
        """Whether it is known now what is in force; where what was good before could not be read, it is tried again."""
        loaded = Loaded(None, (signature.problem,)) if signature.problem else self._load(revision)
        fleet, problems = loaded.fleet, loaded.problems
        # Nothing is heard from whoever does not count.
        said = NOTHING if signature.problem else self._told(revision, noticed_at)
        if fleet is not None and not problems:
            problems = self._guarded(fleet, said)
        for words in said.words:
            self._log.warning("trailer.useless", revision=revision, why=words)
        if fleet is not None and not problems:
            was = "" if self.accepted.fleet is not None else self._store.last_good() or ""
            signed = f"signed by {signature.signer}" if signature.signer else ""
            self._begun = revision
            self._record(revision, (), signed, said, self._declaration(fleet, loaded))
            self._log.info(
                "revision.accepted", revision=revision, resources=len(fleet.resources), signer=signature.signer or None
            )
            # What was not kept is told beside.
            orders = None if self._recording else said.every
            last, early = self.accepted, self._earlier
            before = early.begin(revision, was) if last.fleet is None else early.go_on(last.before, last.fleet)
            was = was or last.was
            accepted = Accepted(fleet, noticed_at=noticed_at, signer=signature.signer, notes=said.words, orders=orders)
            self._become(replace(accepted, before=before, was=was))
            return True
        first = str(problems[0]) if problems else ""
        self._record(revision, problems, first)
        self._log.warning("revision.refused", revision=revision, problems=len(problems), first=first)
        good = self._in_force(revision)
        lost = "" if good.fleet is not None else good.unreadable
        seen = replace(good, refused=revision, problems=tuple(problems), unreadable=lost, notes=said.words)
        self._become(replace(seen, noticed_at=good.noticed_at or noticed_at))
        return not lost

    def _told(self, revision: str, noticed_at: float) -> Told:
        """What the trailers of the commits since the last accepted revision say."""
        commits = self._source.commits(self._store.last_good() or "", revision)
        said = heard(
            (Said(one.revision, one.author, one.message) for one in reversed(commits)), self._store.orders(), noticed_at
        )
        if len(commits) < MOST_COMMITS:
            return said
        return replace(said, words=(*said.words, f"only the newest {MOST_COMMITS} commits were asked for trailers"))

    def _guarded(self, fleet: FleetState, said: Told) -> tuple[Problem, ...]:
        """What speaks against a revision that has nothing wrong in itself."""
        if not fleet.resources:
            before = self._declared_before(fleet.revision)
            # One that is lost may have declared anything.
            if not (said.tells("confirm", DELETES) if before is None else said.empties(before)):
                return (EMPTIED,)
        return brought_back(fleet, said.holds(), lambda blob: self._source.read([blob])[blob])

    def _declared_before(self, revision: str) -> Collection[Ref] | None:
        """What the last good revision, another one than this, declares; None where that is lost."""
        if self.accepted.fleet is not None:
            return self.accepted.fleet.resources.keys()
        if self._store.last_good() in (None, revision):
            return ()
        good = self._last_good(revision).fleet
        return good.resources.keys() if good is not None else None

    def _record(
        self,
        revision: str,
        problems: tuple[Problem, ...],
        words: str,
        said: Told = NOTHING,
        declaration: Declaration | None = None,
    ) -> None:
        # What was only previewed was never in force, and must not become what a restart falls back on.
        if not self._recording:
            return
        # With the revision or not at all: failing here, neither is an order or an event lost nor does one stand without it.
        before = self._store.current()
        told = [(f"order.{order.verb}", order.subject, f"{order.by}: {order.reason}") for order in said.put]
        told += [(f"order.{verb}.dropped", subject, "by a commit's trailer") for verb, subject in said.drop]
        events = [(what, named(subject), why) for what, subject, why in told]
        if before is None or (before.revision, before.status == "refused") != (revision, bool(problems)):
            events.insert(0, ("revision.refused" if problems else "revision.accepted", revision, words))
        orders = (said.put, said.drop)
        status: Literal["good", "refused"] = "refused" if problems else "good"
        self._store.record_revision(revision, status, problems, *orders, declaration, events, said.requests)
        for what, subject, why in told:
            self._log.info(what, subject=subject, why=why)

    def _last_good(self, refused: str) -> Accepted:
        """After a restart on a refused revision: the last good one, loaded again from the mirror."""
        revision = self._store.last_good()
        if not revision or revision == refused:
            return Accepted()
        try:
            signature = self._signature(revision)
            loaded = Loaded(None, ()) if signature.problem else self._load(revision)
            if loaded.fleet is not None and self._recording:
                self._store.declare(self._declaration(loaded.fleet, loaded))
            before = self._earlier.begin(revision, revision)
            return Accepted(loaded.fleet, noticed_at=self._seams.now(), signer=signature.signer, before=before, was=revision)
        except (SourceError, Unchecked) as error:
            if self.accepted.unreadable != str(error):
                self._log.warning("revision.lost", revision=revision, error=str(error))
            return Accepted(unreadable="" if isinstance(error, NoHistory) else str(error))

    def _declaration(self, fleet: FleetState, loaded: Loaded) -> Declaration:
        layers = self._layers
        return Declaration(
            fleet.revision,
            fleet.resources,
            lambda ref: loaded.documents[ref].value,
            lambda since, files: makers(self._source, since, fleet.revision, files, layers),
        )

    def _load(self, revision: str) -> Loaded:
        with self._metrics.stage("load"):
            tree = self._source.tree(revision)
            loaded = self._loader.load(tree, self._source.read, self._source)
        self._layers = frozenset(environment_of(layer.root) for layer in tree.layers)
        self.documents = loaded.documents
        if loaded.fleet is None or self._gate is None or not settings_of(loaded.fleet).validate_with_envoy:
            return loaded
        with self._metrics.stage("gate"):
            problems = check(loaded.fleet, self._gate, self._certificates, self._closed)
        return Loaded(None, problems) if problems else loaded

    def _become(self, accepted: Accepted) -> None:
        if accepted != self.accepted:
            self.accepted = accepted
            self._wake()

    def look_now(self, deadline: float) -> bool:
        """Let the source be read now instead of when it seems worth it; True once that is done, False at the deadline (by the
        monotonic clock). For other threads than the one that follows."""
        with self._looked:
            # One that is under way may have begun too early.
            enough = self._looks + 1 + self._looking
            while self._looks < enough:
                left = deadline - self._seams.monotonic()
                if left <= 0 or self._closed.is_set():
                    return False
                self._source.hint()
                self._looked.wait(min(left, HINT_S))
        return True

    def _follow(self) -> None:
        retry_s = RETRY_S
        while not self._closed.is_set():
            with self._looked:
                self._looking = True
            try:
                unreadable = self.look().unreadable
            except Exception as error:  # noqa: BLE001 - a mistake of ours about one revision must not end the following of all others
                self._log.error("source.broken", error=f"{type(error).__name__}: {error}")
                unreadable = f"Convoy has failed at it, as its log says ({type(error).__name__})"
                self._become(replace(self.accepted, unreadable=unreadable))
            with self._looked:
                self._looks, self._looking = self._looks + 1, False
                self._looked.notify_all()
            if unreadable:
                self._seams.wait(self._closed, retry_s)
                retry_s = min(retry_s * 2, LONGEST_RETRY_S)
            else:
                retry_s = RETRY_S
                self._source.changed(None)
