"""Reads what happened for every Notification, and carries each message until it has arrived or is given up."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from reconciler.core import show_forms
from reconciler.core.kinds import KINDS
from reconciler.core.kinds.notification import Notification
from reconciler.core.model import DEFAULT_TENANT, FleetState, Ref, Resource
from reconciler.core.notices import LONGEST_BACKOFF_S, MOST_ITEMS, Memory, backoff_s, each, message, news, subjects
from reconciler.core.select import Selection, Selector
from reconciler.core.show_events import Happened as Event
from reconciler.core.show_events import of_action
from reconciler.log import Log
from reconciler.notify.outbound import NotTold
from reconciler.notify.tests import Tests
from reconciler.notify.ways import tell
from reconciler.seams import Seams
from reconciler.secrets import Opener, SecretError
from reconciler.store import Attempt, Store, StoreError
from reconciler.store.attempts import Outcome
from reconciler.store.notices import MOST_WAITING, Place

# How often it is looked for what happened.
POLL_S = 1.0
# What happens within so long after the first is one message; and between two messages of one Notification passes so long.
BURST_S, GAP_S = 2.0, 10.0
# How much is read at once, and how many receivers are spoken to at once: one that is slow holds up no other.
PIECE, AT_ONCE = 2_000, 8
# Where each event is a message, so many are read, and no more while any of them waits.
MOST_SINGLY = 50
# About half a day of trying.
MOST_TRIES = 50


@dataclass(slots=True)
class _Fleet:
    """The Notifications of one fleet, and what their selectors cover."""

    of: FleetState | None = None
    notifications: dict[str, Resource] = field(default_factory=dict)
    about: dict[str, Callable[[str], bool]] = field(default_factory=dict)


class Courier:
    """A thread of its own, in the Convoy that acts. `count` is told of each message what became of it."""

    def __init__(
        self,
        store: Store,
        fleet: Callable[[], FleetState | None],
        acts: Callable[[], bool],
        opener: Opener,
        installation: str,
        count: Callable[[str], None],
        log: Log,
        seams: Seams,
    ) -> None:
        self._store, self._notices, self._happened = store, store.notices(), store.happened()
        self._read_fleet, self._acts, self._opener, self._installation = fleet, acts, opener, installation
        self._count, self._log, self._seams = count, log, seams
        self._fleet = _Fleet()
        self._digests: dict[str, str] = {}
        # Notification ⇒ since when there is something that it has not read.
        self._since: dict[str, float] = {}
        self._busy: set[str] = set()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._pool = seams.pool(AT_ONCE, "notify")
        self.tests = Tests(fleet, self._told, store, installation, count, log, seams)
        self._thread = seams.thread(self._run, "courier")
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        # Who is being spoken to is not waited for: what has not arrived is told again by whoever acts next.
        self._pool.shutdown(wait=False, cancel_futures=True)
        self.tests.close()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self.turn()
            except StoreError as error:
                self._log.error("notify.failed", error=str(error))
            except Exception as error:  # noqa: BLE001 - a mistake of ours about one message must not end all telling
                self._log.error("notify.failed", error=f"{type(error).__name__}: {error}")
            self._seams.wait(self._ended, POLL_S)

    def turn(self) -> None:
        """Once through all of them; raises StoreError."""
        fleet = self._read_fleet()
        if fleet is None:
            return
        self._know(fleet)
        places = self._notices.places()
        if not (self._fleet.notifications or places) or not self._acts():
            return
        self._notices.forget(places.keys() - self._fleet.notifications.keys())
        last, queues = self._happened.last_numbers(), self._queues()
        gathered = [self._gather(name, places.get(name), last, len(queues.get(name, ()))) for name in self._fleet.notifications]
        self._hand(self._queues() if any(gathered) else queues)

    def _queues(self) -> dict[str, list[tuple[str, float]]]:
        """Notification ⇒ the messages that wait, oldest first, and when each is due."""
        queues: dict[str, list[tuple[str, float]]] = {}
        for id, name, due in self._notices.waiting():
            queues.setdefault(name, []).append((id, due))
        return queues

    def _know(self, fleet: FleetState) -> None:
        if fleet is self._fleet.of:
            return
        found = {str(one.ref): one for one in fleet.of("Notification") if cast(Notification, one.spec).active}
        labels: dict[Ref, Mapping[str, str]] = {}
        owners: dict[Ref, Ref] = {}
        about = {}
        for name, one in found.items():
            only = cast(Notification, one.spec).only
            if only and not labels:
                # Of a whole fleet, and few Notifications ask for it.
                labels = {ref: one.labels for ref, one in fleet.resources.items()}
                owners = {ref: want.owner for ref, want in fleet.workloads.items() if want.owner != ref}
            chosen = _about(Selection(Selector.parse(only, KINDS), labels, owners)) if only else _everything
            whole = one.ref.tenant == DEFAULT_TENANT and not is_singly(cast(Notification, one.spec))
            about[name] = chosen if whole else _own(one.ref.tenant, chosen)
            before = self._digests.get(name)
            if before is not None and before != one.digest:
                self._notices.again(name)
            self._digests[name] = one.digest
        self._fleet = _Fleet(fleet, found, about)

    def _gather(self, name: str, place: Place | None, last: tuple[int, int], waiting: int) -> bool:
        """Read what one Notification has not read, unless more of it is still coming; whether there is something to tell."""
        now = self._seams.now()
        if place is None or place.event > last[0] or place.outcome > last[1]:
            # It is new: what was before is not told. Or the store counts anew.
            self._notices.put(name, Place(*last, 0.0), {}, ())
            return False
        if (place.event, place.outcome) == last:
            self._since.pop(name, None)
            return False
        spec = cast(Notification, self._fleet.notifications[name].spec)
        singly, since = is_singly(spec), self._since.setdefault(name, now)
        # A clock that was ahead and was put right makes nobody wait for what it said.
        if not singly and (0 <= now - since < BURST_S or 0 <= now - place.at < GAP_S):
            return False
        if singly and waiting:
            # In order, that is, and what is not read is not lost.
            return False
        piece = MOST_SINGLY if singly else PIECE
        events = self._happened.events_after(place.event, piece)
        outcomes = self._happened.outcomes_after(place.outcome, piece)
        read = [Event(one.at, one.kind, one.ref, one.message, one.number) for one in events]
        read += [of_action(number, record) for number, record in outcomes if record]
        read.sort(key=lambda one: one.at)
        told: Memory = self._notices.told(name, subjects(read))
        if singly:
            read = [one for one in read if show_forms.told(one.kind, one.ref, one.message)]
        found = news(read, spec.on, self._fleet.about[name], told, spec.repeat_after_s, len(read) if singly else MOST_ITEMS)
        reached = events[-1].number if events else place.event, outcomes[-1][0] if outcomes else place.outcome
        made: list[dict[str, Any]] = []
        if singly:
            made = each(name, self._installation, found, self._uid, now)
        elif found.items:
            made = [message(name, self._installation, found, place.event, now)]
        place = Place(*reached, now if made else place.at)
        self._notices.put(name, place, found.told, made, now - spec.repeat_after_s)
        self._since.pop(name, None)
        return bool(made)

    def _uid(self, ref: str) -> str:
        fleet = self._fleet.of
        try:
            found = fleet.resources.get(Ref.parse(ref)) if fleet is not None else None
        except ValueError:
            return ""
        return found.uid if found is not None else ""

    def _hand(self, queues: Mapping[str, list[tuple[str, float]]]) -> None:
        """The oldest message of each Notification that is due, unless one of it is under way."""
        now = self._seams.now()
        for name, queue in queues.items():
            while len(queue) > MOST_WAITING:
                self._give_up(name, queue.pop(0)[0], f"more than {MOST_WAITING} messages wait: nobody takes them")
            due = queue[0][1]
            with self._lock:
                if now < due <= now + LONGEST_BACKOFF_S or name in self._busy:
                    continue
                self._busy.add(name)
            self._pool.submit(self._carry_all, name, [id for id, _ in queue])

    def _carry_all(self, name: str, ids: Sequence[str]) -> None:
        """In a thread of the pool: the first, and where each event is a message, those after it until one does not arrive."""
        try:
            for id in ids:
                resource = self._fleet.notifications.get(name)
                if resource is None or not self._carry(name, id, resource) or not is_singly(cast(Notification, resource.spec)):
                    return
        except StoreError as error:
            # It is told again: whoever is told twice knows it by the id.
            self._log.error("notify.failed", error=str(error))
        finally:
            with self._lock:
                self._busy.discard(name)

    def _carry(self, name: str, id: str, resource: Resource) -> bool:
        """Whether it has arrived; raises StoreError."""
        notice = self._notices.get(id)
        if self._ended.is_set() or not self._acts():
            return False
        if notice is None:
            # Spoiled, or gone meanwhile: those behind it are not to wait for it.
            self._notices.arrived(id)
            return True
        begun, clock = self._seams.now(), self._seams.monotonic()
        why, tries = self._told(resource, notice.body), notice.tries + 1
        took_s = self._seams.monotonic() - clock
        outcome: Outcome = "told" if not why else "given up" if tries >= MOST_TRIES else "failed"
        kinds = ", ".join(sorted({str(one["kind"]) for one in notice.body["events"]}))
        self._notices.attempts.add(Attempt(name, id, kinds, begun, took_s, tries, outcome, why))
        if not why:
            self._notices.arrived(id)
            self._count("told")
        elif outcome == "given up":
            self._give_up(name, id, why)
        else:
            self._notices.failed(id, why, self._seams.now() + backoff_s(tries))
            self._count("failed")
            self._log.warning("notify.not_told", notification=name, why=why, tries=tries)
        return not why

    def _told(self, resource: Resource, body: Mapping[str, object]) -> str:
        """ "" when it has arrived, else why not."""
        spec = cast(Notification, resource.spec)
        try:
            self._seams.point("notify.tell", str(resource.ref))
            tell(spec.to.way, body, lambda one, what, to: self._opener.open(resource.ref, one, what, to), self._seams)
        except (NotTold, SecretError) as error:
            return str(error)
        except OSError as error:
            return str(error.strerror or type(error).__name__)
        except Exception as error:  # noqa: BLE001 - whatever a receiver makes us trip over, it is tried again later, not at once
            return f"it cannot be told ({type(error).__name__})"
        return ""

    def _give_up(self, name: str, id: str, why: str) -> None:
        self._notices.failed(id, why, None)
        self._store.event("notification.failed", name, why)
        self._count("given up")
        self._log.error("notify.given_up", notification=name, why=why)


def is_singly(spec: Notification) -> bool:
    """Whether each event is a message of its own, and told at once."""
    return spec.to.webhook is not None and spec.to.webhook.form == "envoy-fleet"


def _everything(_: str) -> bool:
    return True


def _own(tenant: str, chosen: Callable[[str], bool]) -> Callable[[str], bool]:
    """Of those, what is this tenant's: it hears nothing of others, nor of revisions, which are about all of them."""

    def about(subject: str) -> bool:
        try:
            return Ref.parse(subject).tenant == tenant and chosen(subject)
        except ValueError:
            return False

    return about


def _about(selection: Selection) -> Callable[[str], bool]:
    def about(subject: str) -> bool:
        try:
            return Ref.parse(subject) in selection
        except ValueError:
            # A revision: it is about all of them.
            return True

    return about
