"""Makes pull requests of proposals: a branch each, pushed once, and a pull request that is looked for before it is opened.

A thread of its own: however slow the forge is, no commit waits for it. Being killed anywhere leaves at most a branch, whose
name is the proposal's own, and whoever comes next goes on from there.
"""

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from reconciler.acceptance import EXPIRED, LONGEST_WAITING_S, End, refused_by
from reconciler.addressed import origin
from reconciler.committer import AGAIN_S, LONGEST_AGAIN_S, Committer, Opens
from reconciler.core.kinds.pulls import PullRequests
from reconciler.core.kinds.settings import Settings
from reconciler.core.model import FleetState, Ref
from reconciler.core.proposal import LONGEST_TITLE, VERBS, Proposed, Refused, title
from reconciler.core.show_layout import harmless
from reconciler.core.show_problems import code
from reconciler.core.trailers import REQUEST
from reconciler.desk import Desk, Drafted
from reconciler.forge import FORGES, Forge, ForgeError, Pull, Wire
from reconciler.forge.wire import Away, checked_token
from reconciler.git import Conflict, Declined, SourceError
from reconciler.log import Log
from reconciler.notify.outbound import NotTold, connect
from reconciler.seams import Seams
from reconciler.secrets import Opener, SecretError
from reconciler.store import Proposal, Store, StoreError
from reconciler.undecided import Undecided

LOOK_S = 0.5
# Before the id of the proposal: the branch of its pull request.
BRANCHES = "convoy/"
# What the forge is given for one of them, with all its waiting.
PATIENCE_S = 20.0
MOST_AT_ONCE, MOST_LISTED, LONGEST_WORDS = 20, 100, 1000
NO_FORGE = Refused(
    "no-forge",
    "no pull requests are opened here",
    "say in Settings on which forge, and with which token: `pullRequests` (docs/api.md)",
)


class _Later(Exception):
    """It could not be done now; why."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the Settings in force say, and whose they are."""

    ref: Ref
    pulls: PullRequests


def told_by(in_force: Callable[[], FleetState | None], last_good: Callable[[], str | None]) -> Told | None:
    """None where pull requests are opened nowhere. Raises SourceError where a Convoy that has just begun has not read yet what
    was in force before: whatever waits, nobody knows by then whether people are to look at it first."""
    fleet = in_force()
    if fleet is None and last_good():
        raise SourceError("the fleet's Settings have not been read yet")
    settings = next(fleet.of("Settings"), None) if fleet is not None else None
    pulls = cast(Settings, settings.spec).pull_requests if settings is not None else None
    return Told(settings.ref, pulls) if settings is not None and pulls is not None else None


def opens(told: Told | None) -> Opens:
    return "never" if told is None else "always" if told.pulls.always else "declined"


class Pulls:
    """Works in a thread of its own until it is closed, and only while `may_act`."""

    def __init__(
        self,
        store: Store,
        desk: Desk,
        committer: Committer,
        told: Callable[[], Told | None],
        opener: Opener,
        may_act: Callable[[], bool],
        log: Log,
        seams: Seams,
    ) -> None:
        self._store, self._desk, self._committer, self._told = store, desk, committer, told
        self._opener, self._may_act, self._log, self._seams = opener, may_act, log, seams
        self._undecided = Undecided(store, desk.branch, self._state, may_act, log, seams)
        self._closed = threading.Event()
        self._thread = seams.thread(self._work, "pulls")

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _work(self) -> None:
        again_s = AGAIN_S
        while not self._closed.is_set():
            try:
                self.turn()
                self._undecided.look()
                again_s = AGAIN_S
                self._seams.wait(self._closed, LOOK_S)
            except (_Later, SourceError, StoreError) as error:
                self._log.warning("pulls.waits", error=str(error), again_in_s=again_s)
                self._seams.wait(self._closed, again_s)
                again_s = min(2 * again_s, LONGEST_AGAIN_S)
            except Exception as error:  # noqa: BLE001 - one that we cannot bear must not end the opening of others
                self._log.error("pulls.broken", error=f"{type(error).__name__}: {error}")
                self._seams.wait(self._closed, again_s)
                again_s = min(2 * again_s, LONGEST_AGAIN_S)

    def turn(self) -> None:
        """Each that waits, in its order. Raises SourceError, StoreError, and what says that the forge has to be asked later."""
        waiting = self._store.proposals.waiting(MOST_AT_ONCE, mode="pull-request")
        if not waiting or not self._may_act():
            return
        told = self._told()
        if told is None:
            self._store.proposals.decide({one.id: refused_by(NO_FORGE) for one in waiting})
            return
        later: _Later | None = None
        late = self._seams.now() - LONGEST_WAITING_S
        for one in waiting:
            try:
                if one.at < late:
                    raise EXPIRED
                self._store.proposals.decide({one.id: self._opened(one, told)})
            except Refused as error:
                self._store.proposals.decide({one.id: refused_by(error)})
            except _Later as error:
                later = error
        if later is not None:
            raise later

    def _opened(self, one: Proposal, told: Told) -> End:
        """How it ended. Raises Refused and _Later."""
        name, base = f"{BRANCHES}{one.id}", self._desk.branch.name
        # An earlier life may have opened it, and a person merged or closed it since, and taken its branch away.
        pull = self._asking(told, lambda forge: forge.pull(name, base))
        if pull is not None:
            return "proposed", "", {"url": pull.url, "number": pull.number}
        drafted = self._committer.draft(one)
        if drafted.revision == drafted.tip:
            return "committed", drafted.tip, drafted.answer
        self._push(name, drafted)
        self._seams.point("pulls.open", name)
        made = self._asking(told, lambda forge: self._open(forge, name, one.id, drafted.proposed))
        if made is None:
            raise _Later("the forge knows nothing of the pull request that it was asked for")
        self._log.info("pulls.opened", number=made.number, branch=name)
        opened = {"url": made.url, "number": made.number, "base": drafted.tip}
        return "proposed", drafted.revision, {**drafted.answer, **opened}

    def _push(self, name: str, drafted: Drafted) -> None:
        branch = self._desk.aside(name)
        try:
            branch.push(drafted.revision, "")
        except Conflict:
            # An earlier life has pushed it, perhaps onto an older parent: that is what its pull request is about.
            self._log.info("pulls.found", branch=name)
        except Declined as error:
            raise Refused("declined", harmless(" ".join(str(error).split()))[:LONGEST_WORDS]) from None
        finally:
            branch.close()

    def _open(self, forge: Forge, name: str, id: str, proposed: Proposed) -> Pull:
        try:
            return forge.open_pull(name, self._desk.branch.name, title(proposed)[:LONGEST_TITLE], words(proposed, id))
        except ForgeError:
            # The answer may have been lost on its way.
            found = forge.pull(name, self._desk.branch.name)
            if found is None:
                raise
            return found

    def _asking(self, told: Told, ask: "Callable[[Forge], Pull | None]") -> "Pull | None":
        try:
            return ask(self._client(told))
        except (Away, OSError) as error:
            raise _Later(f"the forge cannot be asked: {error}") from None
        except (ForgeError, NotTold, ValueError) as error:
            raise Refused("forge", f"the pull request cannot be opened: {error}", "see Settings: pullRequests") from None

    def _state(self, number: int) -> tuple[str, str] | None:
        """What the forge says has become of one, and its commit; None where it cannot be asked."""
        try:
            told = self._told()
            pull = self._asking(told, lambda forge: forge.pull_numbered(number)) if told is not None else None
        except (_Later, Refused, SourceError) as error:
            self._log.info("pulls.unknown", number=number, why=str(error))
            return None
        return (pull.state, pull.revision) if pull is not None else None

    def _client(self, told: Told) -> Forge:
        pulls = told.pulls

        def dial(host: str, port: int, timeout_s: float) -> socket.socket:
            return connect(host, port, pulls.allow_private, min(timeout_s, PATIENCE_S))

        try:
            to = origin(pulls.api)
        except ValueError as error:
            raise Refused("forge", f"the forge's token is sent nowhere: {error}", "see Settings: pullRequests.api") from None
        try:
            opened = self._opener.open(told.ref, pulls.token, "pull requests: token", to)
            token = checked_token(opened.decode("ascii"))
        except (SecretError, UnicodeDecodeError) as error:
            words = str(error) if isinstance(error, SecretError) else "what is sealed is no token"
            raise Refused("forge", f"the forge's token cannot be used: {words}", "see Settings: pullRequests") from None
        kind = FORGES[pulls.forge]
        wire = Wire(
            pulls.api, token, kind.headers(token), self._seams, plain=pulls.allow_private, patience_s=PATIENCE_S, dial=dial
        )
        return kind.client(wire, pulls.repository)


def words(proposed: Proposed, id: str) -> str:
    """The pull request's own text, in Markdown in which nothing that anybody has sent is obeyed."""
    lines = [f"- {VERBS[one.verb]} {code(str(one.ref))}" for one in proposed.changes[:MOST_LISTED]]
    more = len(proposed.changes) - len(lines)
    lines += [f"- and {more} more"] if more else []
    return "\n".join([f"Asked for over Convoy's API by {code(proposed.account)}.", "", *lines, "", f"{REQUEST}: {id}"])
