"""What happened and what was told to us: every fact that Convoy keeps, in one database."""

import contextlib
import secrets
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from reconciler.core.declared import Declaration, Declared, Place
from reconciler.core.delivery import Delivery, Standing
from reconciler.core.facts import Order
from reconciler.core.model import Problem, Ref, Snapshot
from reconciler.seams import Seams
from reconciler.store import backup as backups
from reconciler.store import happened, orders, precious, revisions
from reconciler.store import lease as leases
from reconciler.store.accounts import Accounts
from reconciler.store.audit import Audit
from reconciler.store.backup import Backup
from reconciler.store.current import Current
from reconciler.store.database import Database, Lease
from reconciler.store.declarations import Declarations
from reconciler.store.hooks import Hooks
from reconciler.store.logs import append
from reconciler.store.notices import Notices
from reconciler.store.pages import Pages
from reconciler.store.past import Past
from reconciler.store.proposals import Proposals
from reconciler.store.readers import answers
from reconciler.store.readings import Readings
from reconciler.store.reports import Reports
from reconciler.store.resources import Resources
from reconciler.store.rows import KeptCertificate
from reconciler.store.sessions import Sessions
from reconciler.store.signatures import Signatures
from reconciler.store.snapshots import Snapshots
from reconciler.store.tables import EVENTS, GUARDS, STATE, STATUS
from reconciler.store.tokens import Tokens

KEY_BYTES = 32


class Store(Past):
    """Thread-safe. Raises StoreError. Writing again what is there already writes nothing (`writes` counts transactions)."""

    def __init__(self, url: str, seams: Seams, *, make: bool = True) -> None:
        """Without `make`, raises NoStore where nobody has made it yet."""
        super().__init__(Database(url, seams, make=make))
        self._seams = seams
        self._lock = threading.RLock()
        self._snapshots = Snapshots(self._database)
        self.tokens = Tokens(self._database, seams)
        self.accounts = Accounts(self._database, seams)
        self.audit = Audit(self._database)
        self.sessions = Sessions(self._database, seams)
        self.signatures = Signatures(self._database, seams)
        self.proposals = Proposals(self._database, seams)
        self.resources = Resources(self._database)
        self.reports = Reports(self._database, seams)
        self.hooks = Hooks(self._database, seams)
        self.pages = Pages(self._database)
        self.readings = Readings(url, seams)
        self._meta: dict[str, bytes] = {}
        self._current = Current(self._database)
        self._declarations = Declarations(self._database)

    def close(self) -> None:
        self.readings.close()
        self._database.close()

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """What this thread writes inside becomes one transaction: all of it or nothing, and nothing slow may be done in it."""
        # Before the database's own lock, as everywhere: who takes them in another order waits for ever.
        with self._lock:
            try:
                with self._database.batch():
                    yield
            except BaseException:
                self._forget()
                raise

    def _forget(self) -> None:
        """Of what was thought to be in the database nothing is known."""
        self._meta.clear()
        self._current.forget()
        self._declarations.forget()
        self._snapshots.forget()

    @property
    def writes(self) -> int:
        return self._database.writes

    def backup(self, files: Mapping[str, str]) -> Backup:
        """All that is precious, with these files (name ⇒ text), as it is at one moment."""
        return backups.take(self._database, self._seams.now(), files)

    def restore(self, backup: Backup, *, force: bool, last: Callable[[], None] = lambda: None) -> None:
        """Become what the backup holds; `last` is called when all else has succeeded, and may still prevent it."""
        backups.put(self._database, backup, force=force, last=last)
        with self._lock:
            self._forget()

    # Who we are

    def installation(self) -> str:
        """This installation's id, a UUID; what it makes bears it as a mark."""
        return self._once("installation", lambda: str(uuid.uuid4()).encode()).decode()

    def xds_key(self) -> bytes:
        """The key that proxies' tokens are made with."""
        return self._once("xds_key", lambda: secrets.token_bytes(KEY_BYTES))

    def digest_key(self) -> bytes:
        """The key that digests of secrets are made with."""
        return self._once("digest_key", lambda: secrets.token_bytes(KEY_BYTES))

    def _once(self, name: str, make: Callable[[], bytes]) -> bytes:
        with self._lock:
            if name not in self._meta:
                self._meta[name] = precious.once(self._database, name, make)
            return self._meta[name]

    # The lease

    def acquire(self, name: str, holder: str, ttl_s: float) -> Lease | None:
        """The lease under a new epoch, or None while another holder has it. From then on, every write checks that epoch."""
        lease = leases.acquire(self._database, name, holder, ttl_s)
        if lease is not None:
            with self._lock:
                self._database.fence = lease
                self._forget()
        return lease

    def renew(self, lease: Lease, ttl_s: float) -> bool:
        return leases.renew(self._database, lease, ttl_s)

    def release(self, lease: Lease) -> None:
        leases.release(self._database, lease)

    # Revisions

    def record_revision(
        self,
        revision: str,
        status: Literal["good", "refused"],
        problems: Sequence[Problem],
        told: Sequence[Order] = (),
        taken_back: Sequence[tuple[str, str]] = (),
        declaration: Declaration | None = None,
        events: Sequence[tuple[str, str, str]] = (),
        requests: Sequence[str] = (),
    ) -> None:
        """`told` and `taken_back` (verb and subject), the orders its commits carry, what it declares, the events that tell of
        it (as in `add_events`), and the proposals (ids) that its commits since the last good one were made for: all or none."""
        with self._lock:
            where = (self._database, self._seams, self._declarations)
            revisions.record(*where, revision, status, problems, told, taken_back, declaration, events, requests)

    def declare(self, declaration: Declaration) -> None:
        """What the last good revision declares; nothing is written where that is known."""
        with self._lock:
            revisions.declare(self._database, self._seams, self._declarations, declaration)

    # What is declared, and how it came to be so

    def declared(self, refs: Iterable[str] | None = None) -> dict[str, Declared]:
        """Printed ref ⇒ what the last accepted revision declares of it; of these or of all."""
        return self._declarations.every(refs)

    def places(self) -> dict[str, Place]:
        """The same without what the documents say: which content, and where it stands."""
        return self._declarations.places()

    def mentioning(self, name: str) -> dict[str, Declared]:
        """The same of those (at most a thousand) whose documents hold this text, as a value or as a key."""
        return self._declarations.mentioning(name)

    def by_heart(self, key: tuple[object, ...], make: Callable[[], bytes]) -> bytes:
        """What `make` says, or has said before of the same state of the database: of nothing but that, and of the key."""
        if self._database.in_view() is None:
            return make()
        with self._database.reading("resources") as connection:
            known = answers(connection)
        if known is None:
            return make()
        text: bytes | None = known.get(key)
        if text is None:
            state, text = known.state, make()
            with self._database.reading("resources") as connection:
                # What has waited in between has let go of that state, and perhaps of that connection.
                if answers(connection) is known and known.state == state:
                    known.keep(key, text, len(text))
        return text

    # Plans, outcomes, events

    def put_plan(self, revision: str, plan: object, at: float | None = None) -> None:
        """`plan` as plain JSON values; kept when it is not the same as the last."""
        happened.put_plan(self._database, self._seams, revision, plan, at)

    def add_outcomes(self, outcomes: Sequence[Mapping[str, Any]]) -> None:
        """Outcomes as plain JSON values, oldest first."""
        happened.add_outcomes(self._database, self._seams, outcomes)

    def event(self, kind: str, ref: str, message: str, at: float | None = None) -> None:
        """Never give it what is secret: events are shown."""
        row: dict[str, Any] = {"kind": kind, "ref": ref, "message": message}
        append(self._database, self._seams, EVENTS, [row if at is None else row | {"at": at}])

    def add_events(self, events: Sequence[tuple[str, str, str]]) -> None:
        """Several that happened now: kind, printed ref and message of each."""
        if events:
            append(self._database, self._seams, EVENTS, happened.event_rows(events))

    def opened(self, ref: Ref, purpose: str) -> None:
        """A secret was opened; every opening is recorded."""
        self.event("secret.opened", str(ref), purpose)

    def notices(self) -> Notices:
        """What somebody outside is told."""
        return Notices(self._database)

    # What is now

    def put_status(self, changes: Mapping[str, Mapping[str, Any] | None]) -> None:
        """Printed ref ⇒ its status as plain JSON values, or None to drop it. Rows that are the same are not written."""
        with self._lock:
            self._current.put(STATUS, changes)

    def status(self, refs: Iterable[str] | None = None) -> dict[str, dict[str, Any]]:
        """Printed ref ⇒ its status; of these or of all."""
        return self._current.every(STATUS) if refs is None else self._current.some(STATUS, refs)

    def put_state(self, state: Mapping[str, Any]) -> None:
        """Where the fleet as a whole stands, as plain JSON values."""
        with self._lock:
            self._current.put(STATE, {"fleet": state})

    def state(self) -> dict[str, Any] | None:
        return self._current.every(STATE).get("fleet")

    # What people told us beside Git, and what the guards remember

    def put_order(self, order: Order) -> None:
        """A later order about the same replaces the earlier one."""
        orders.put(self._database, order)

    def orders(self) -> tuple[Order, ...]:
        return orders.every(self._database)

    def drop_orders(self, *which: tuple[str, str]) -> int:
        """Verb and subject of each; how many there were."""
        return orders.drop(self._database, *which)

    def put_guards(self, changes: Mapping[str, Mapping[str, Any] | None]) -> None:
        """Name ⇒ what is to be remembered as plain JSON values, or None to drop it."""
        with self._lock:
            self._current.put(GUARDS, changes)

    def guards(self) -> dict[str, dict[str, Any]]:
        return self._current.every(GUARDS)

    # What proxies run and refuse

    def refuse(self, version: str, envoy: str, type: str, name: str, message: str, at: float) -> None:
        """This Envoy refuses the resource of this content version; the first words about it are kept."""
        row = {"version": version, "envoy": envoy, "type": type, "name": name, "message": message, "at": at}
        precious.refuse(self._database, row)

    def refused(self, envoy: str | None = None) -> dict[str, str]:
        """Content version ⇒ the words of the Envoy that refused it; of this version of Envoy, or of any."""
        return precious.refused(self._database, envoy)

    def put_good(self, node: str, snapshot: Snapshot) -> None:
        """What this proxy runs now without refusing anything of it."""
        self.put_goods({node: snapshot})

    def put_goods(self, goods: Mapping[str, Snapshot]) -> None:
        """The same for many proxies, in one transaction."""
        with self._lock:
            self._snapshots.put(goods)

    def good(self, node: str) -> Snapshot | None:
        """What this proxy last ran without refusing anything of it."""
        return self._snapshots.get(node)

    def put_deliveries(self, deliveries: Mapping[str, Delivery | None]) -> None:
        """Node ⇒ where it stands with what it is told, or None to drop it; what is there already is not written."""
        with self._lock:
            self._snapshots.deliver(deliveries)

    def delivery(self, node: str) -> Delivery | None:
        return self._snapshots.delivery(node)

    def standings(self, nodes: Iterable[str]) -> dict[str, Standing]:
        """Where these proxies stand, in short."""
        return self._snapshots.standings(nodes)

    def delivered(self) -> set[str]:
        """The nodes of which that is known."""
        with self._lock:
            return set(self._snapshots.delivered())

    def put_verdict(self, digest: str, body: str) -> None:
        """Remember what a real Envoy said about content of this digest."""
        precious.put_verdict(self._database, digest, body, self._seams.now())

    def verdict(self, digest: str) -> str | None:
        return precious.verdict(self._database, digest)

    # Certificates

    def put_certificate(self, ref: Ref, certificate: KeptCertificate) -> None:
        precious.put_certificate(self._database, ref, certificate)

    def certificate(self, ref: Ref) -> KeptCertificate | None:
        return precious.certificate(self._database, ref)
