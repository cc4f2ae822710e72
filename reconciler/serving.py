"""What goes on beside the loop: who asks is answered, what is proposed is committed, people are told, each minute is read."""

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from reconciler.ask import REHEARSE, REHEARSE_WITH_DOCUMENTS, SEAL, TELL, AskError
from reconciler.committer import Committer
from reconciler.core.kinds.settings import Retention
from reconciler.core.model import FleetState, settings_of
from reconciler.desk import Desk
from reconciler.files import Parses
from reconciler.git import Source
from reconciler.log import Log
from reconciler.loop import Loop
from reconciler.metrics import Metrics
from reconciler.notify import Courier
from reconciler.ourselves import Ourselves
from reconciler.pulls import Pulls, opens, told_by
from reconciler.requests import Answering, Requests
from reconciler.scraper import Scraper
from reconciler.seals import Seals
from reconciler.seams import Seams
from reconciler.secrets import Opener
from reconciler.store import Store
from reconciler.syncs import Syncs
from reconciler.trial import Trial
from reconciler.wanted import Wanted
from reconciler.web import Http, Web


@dataclass(frozen=True, slots=True)
class Asked:
    """What others may ask of a Convoy that follows, over HTTP: `http` is where it is served from here; without, by processes
    that serve it alone. `desk` is where what is proposed is committed; without, it is told that nothing can be."""

    http: Http | None
    desk: Desk | None


@dataclass(slots=True)
class Serving:
    """Of one Convoy that acts. What is begun here ends with `closing`, the last of it first; the loop does not notice."""

    store: Store
    store_url: str
    source: Source | None
    asked: Asked | None
    run: Path
    opener: Opener
    parses: Parses
    installation: str
    acts: Callable[[], bool]
    wake: threading.Event
    metrics: Metrics
    log: Log
    seams: Seams
    closing: contextlib.ExitStack
    # Whether it is to end.
    ended: Callable[[], bool]
    _carrying: Courier | None = None
    _web: Web | None = None

    def carry(self, wanted: Wanted) -> None:
        """Whoever a Notification names is told what happens."""
        self._carrying = Courier(
            self.store,
            lambda: wanted.accepted.fleet,
            self.acts,
            self.opener,
            self.installation,
            self.metrics.notified,
            self.log,
            self.seams,
        )
        self.closing.callback(self._carrying.close)

    def _tell(self, body: bytes, deadline: float) -> bytes:
        if self._carrying is None:
            raise AskError("busy", "Convoy is only starting", "ask again soon")
        return self._carrying.tests.asked(body, deadline)

    def scrape(self, loop: Loop) -> None:
        """What Envoys have served is read each minute."""
        ourselves, proxies = Ourselves(self.seams), loop.proxies

        def retention() -> Retention | None:
            return settings_of(loop.premises.fleet).retention if loop.premises else None

        scraper = Scraper(
            self.store.readings,
            lambda: [*loop.hosts.workers.values()],
            lambda node: told.resources.get("cds", {}) if (told := proxies.published.get(node)) else {},
            retention,
            lambda: ourselves.now(loop.view.status.values(), proxies.server.counters(), loop.rounds, self.metrics.alive()),
            self.acts,
            self.log,
            self.seams,
        )
        self.closing.callback(scraper.start().close)

    def answer(self, loop: Loop, wanted: Wanted | None) -> None:
        """Others may ask what would be planned, by HTTP and a process of its own; and for a sync, where `wanted` may change."""
        trial = Trial(lambda: loop.premises, self.store, self.installation, self.seams, self.source)
        answers = dict(trial.requests())
        if wanted is not None:
            answers["sync"] = Syncs(wanted.look_now, lambda: wanted.accepted, loop, self.wake, self.seams).asked
            if self.asked is not None:
                answers |= self._committing(trial, self.asked.desk, lambda: wanted.accepted.fleet)
                answers[TELL] = self._tell
                answers[SEAL] = Seals(lambda: wanted.accepted.fleet, self.opener, self.store).asked
        try:
            requests = Requests(self.run, answers, self.metrics, self.log, self.seams)
        except OSError as error:
            # Nobody can ask then; everything else goes on.
            self.log.warning("requests.none", error=str(error))
            return
        self.closing.callback(requests.close)
        if self.asked is None:
            return
        self.metrics.hooks(self.store.hooks.counts)
        if self.asked.http is not None:
            where = (self.metrics, self.log, self.seams)
            self._web = web = Web(self.asked.http, self.store_url, self.run, *where, self.ended)
            self.closing.callback(web.close)

    def replace_web(self) -> None:
        """Where HTTP is served from here."""
        if self._web is not None:
            self._web.replace()

    def _committing(self, trial: Trial, desk: Desk | None, fleet: Callable[[], FleetState | None]) -> dict[str, Answering]:
        """What is proposed over HTTP is committed, in a thread of its own; and what a change would do can be asked."""
        hint = self.source.hint if self.source is not None else self.wake.set
        acts, where = self.acts, (self.log, self.seams)
        told = partial(told_by, fleet, self.store.last_good)
        committer = Committer(self.store, desk, acts, hint, *where, lambda: opens(told()), self.parses)
        self.closing.callback(committer.close)
        self.closing.callback(committer.start(self.run).close)
        if desk is not None:
            pulls = Pulls(self.store, desk, committer, told, self.opener, acts, *where)
            self.closing.callback(pulls.close)
            pulls.start()
        shown = partial(trial.answer, reads=True)
        return {
            REHEARSE: lambda body, deadline: committer.rehearse(body, deadline, trial.answer),
            REHEARSE_WITH_DOCUMENTS: lambda body, deadline: committer.rehearse(body, deadline, shown),
        }
