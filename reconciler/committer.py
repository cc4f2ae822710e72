"""The one writer of the followed branch: takes what was proposed from the store, all that waits at once, and pushes once.

A proposal is accepted if it adds no Problem. Each is a commit of its own. What was pushed is known again by its trailer, so
that being killed anywhere neither loses nor doubles one.
"""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Literal

from reconciler.acceptance import LONGEST_WORDS, Acceptance, Base, Batch, End, author_of, refusal, refused_by
from reconciler.ask import AskError
from reconciler.bell import PROPOSED, Bell
from reconciler.core.against import Answer, Question, answer_json
from reconciler.core.proposal import Refused, message, read_body
from reconciler.core.show_layout import harmless
from reconciler.desk import Desk, Drafted
from reconciler.files import Parses
from reconciler.git import Conflict, Declined, SourceError
from reconciler.log import Log
from reconciler.seams import Seams
from reconciler.store import Proposal, Store, StoreError

# A batch that is larger would make those who came first wait for the last.
MOST_AT_ONCE = 100
# How often it looks without being rung for; and how long it leaves a remote alone that could not be reached, up to the longest.
LOOK_S, AGAIN_S, LONGEST_AGAIN_S = 2.0, 0.5, 30.0
# Those who come at nearly the same time are prepared together; that they are checked is most of what few of them cost.
GATHER_S = 0.005
# How often a batch is made anew because others push meanwhile, before it is left for the next look.
MOST_TRIES, FEWER = 5, 4
# Pushes after which what they have made is packed although others wait; else that is done when nobody does.
MOST_UNTIDIED = 100
# Commits in which our own are looked for after a start, and after a push of which nobody knows how it ended.
MOST_WALKED = 20_000
NO_GIT = Refused(
    "no-git",
    "this fleet is followed as a folder, and a change is a commit",
    "edit its files, or let `convoy serve` follow a repository (--source, --branch)",
)

# For what pull requests are opened: for nothing; for what the branch does not take; for everything.
Opens = Literal["never", "declined", "always"]


class Committer:
    """Works in a thread of its own until it is closed, and only while `may_act`. `pushed` is called after each push."""

    def __init__(
        self,
        store: Store,
        desk: Desk | None,
        may_act: Callable[[], bool],
        pushed: Callable[[], None],
        log: Log,
        seams: Seams,
        opens: Callable[[], Opens] = lambda: "never",
        parses: Parses | None = None,
    ) -> None:
        """`opens`: what becomes a pull request, beside what is asked for as one; raises SourceError while nobody knows.
        `parses` are those of whoever follows, too."""
        self._opens = opens
        self._store, self._desk, self._may_act, self._pushed = store, desk, may_act, pushed
        self._log, self._seams = log, seams
        self._accepting = Acceptance(desk.source, store, log, seams, parses) if desk is not None else None
        self._lock = threading.Lock()
        # Pushes since what they have made was packed.
        self._untidied = 0
        # What waits, as far as it was prepared while that on which it stands was pushed.
        self._ahead: Batch | None = None
        # Nobody knows what an earlier life has pushed.
        self._unsure = True
        self._closed, self._rung = threading.Event(), threading.Event()
        self._thread = seams.thread(self._work, "committer")

    def start(self, run: Path) -> Bell:
        """Begin; the bell by which others tell of a proposal is in this directory."""
        self._thread.start()
        return Bell(run, self._rung.set, PROPOSED)

    def close(self) -> None:
        self._closed.set()
        self._rung.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._desk is not None:
            self._desk.close()

    def _work(self) -> None:
        again_s = AGAIN_S
        while not self._closed.is_set():
            self._rung.clear()
            try:
                self._turn()
                again_s = AGAIN_S
                continue
            except (SourceError, StoreError) as error:
                self._log.warning("committer.waits", error=str(error), again_in_s=again_s)
            except Exception as error:  # noqa: BLE001 - one proposal that we cannot bear must not end the committing of others
                self._log.error("committer.broken", error=f"{type(error).__name__}: {error}")
            self._seams.wait(self._closed, again_s)
            again_s = min(2 * again_s, LONGEST_AGAIN_S)

    def _turn(self) -> None:
        """One batch, and what comes before the next."""
        taken = self.drain()
        if self._desk is not None and self._untidied >= (MOST_UNTIDIED if taken else 1):
            self._untidied = 0
            self._desk.branch.tidy()
        if not taken:
            self._seams.wait(self._rung, LOOK_S)

    def drain(self) -> int:
        """Take what waits, as one batch; how many that were. Raises SourceError and StoreError: it waits then."""
        ahead, self._ahead = self._ahead, None
        waiting = ahead.proposals if ahead is not None else self._store.proposals.waiting(MOST_AT_ONCE)
        taken = len(waiting)
        if not waiting or not self._may_act():
            return 0
        if self._desk is None or self._accepting is None:
            self._store.proposals.decide({one.id: refused_by(NO_GIT) for one in waiting})
            return taken
        with self._lock:
            for _ in range(MOST_TRIES):
                try:
                    self._batch(self._desk, self._accepting, waiting, ahead, looks_ahead=True)
                    return taken
                except Conflict as moved:
                    # Nothing of it is there, or all of it and more behind it: the next look at the branch tells.
                    self._unsure, ahead = True, None
                    self._log.info("committer.again", why=str(moved))
                    # Fewer are made sooner, before whoever pushes there pushes again.
                    waiting = self._store.proposals.waiting(max(1, len(waiting) // FEWER))
                except Exception:
                    # It may be on the branch, and not written down.
                    self._unsure = True
                    raise
        return taken

    def _batch(
        self,
        desk: Desk,
        accepting: Acceptance,
        waiting: Sequence[Proposal],
        ahead: Batch | None = None,
        *,
        looks_ahead: bool = False,
    ) -> None:
        """`ahead` is what they have been made into already, on top of what was pushed last."""
        if ahead is None:
            tip = desk.source.fetch()
            waiting = self._unmade(desk, tip, waiting)
            if not waiting:
                return
        if self._opens() == "always":
            self._store.proposals.turn(one.id for one in waiting)
            return
        self._commit(desk, accepting, ahead or accepting.batch(accepting.based(tip), waiting), looks_ahead)

    def _unmade(self, desk: Desk, tip: str, waiting: Sequence[Proposal]) -> Sequence[Proposal]:
        """Those that are not on the branch already; of the others, and of all that wait beside these, it is written down."""
        if not self._unsure:
            return waiting
        known = desk.branch.requested(tip, self._store.proposals.waiting_ids(), MOST_WALKED)
        if known:
            self._store.proposals.decide({id: ("committed", revision, {"found": True}) for id, revision in known.items()})
            self._pushed()
        self._unsure = False
        return [one for one in waiting if one.id not in known]

    def _commit(self, desk: Desk, accepting: Acceptance, batch: Batch, looks_ahead: bool) -> None:
        """Make the commits, push them at once, and write down how each ended. Raises Conflict, SourceError and StoreError."""
        tip = batch.tree.revision
        try:
            revisions = desk.made(tip, batch.accepted)
            head = revisions[-1] if revisions else tip
            ends = dict(batch.ends)
            for one, revision in zip(batch.accepted, revisions, strict=True):
                ends[one.proposal.id] = ("committed", revision, one.answer)
            if head == tip:
                self._store.proposals.decide(ends)
                return
            if not self._may_act():
                raise SourceError("another Convoy acts now")
            base = batch.becomes(head)
            with self._preparing(accepting, base, batch.proposals) if looks_ahead else nullcontext(list[Batch]()) as prepared:
                desk.branch.push(head, tip)
                self._untidied += 1
                with suppress(SourceError):
                    # Else it is fetched as anything else that is new. Before all else: whoever follows looks already.
                    desk.branch.followed(head)
                self._store.proposals.decide(ends)
                self._log.info("committer.pushed", revision=head, commits=sum(bool(one.files) for one in batch.accepted))
                self._pushed()
        except Declined as error:
            self._halve(desk, accepting, batch, error)
            return
        accepting.became(base)
        self._ahead = prepared[-1] if prepared else None

    @contextmanager
    def _preparing(self, accepting: Acceptance, base: Base, pushed: Sequence[Proposal]) -> Iterator[list[Batch]]:
        """What waits beside these is prepared on top of them, and on top of that what comes, until they are pushed; it counts
        only where that succeeds."""
        prepared, over = list[Batch](), threading.Event()

        def prepare() -> None:
            taken = {one.id for one in pushed}
            most = len(taken) + MOST_AT_ONCE
            while len(taken) < most:
                self._rung.clear()
                # Looked at after that, for the end of the push rings last: else it would be slept through.
                if over.is_set():
                    break
                others = [one for one in self._store.proposals.waiting(most) if one.id not in taken][: most - len(taken)]
                if others:
                    last = prepared[-1] if prepared else None
                    more = accepting.batch(base if last is None else (last.tree, last.after), others)
                    prepared[:] = [more if last is None else last.with_more(more)]
                    taken.update(one.id for one in others)
                else:
                    self._seams.wait(self._rung, LOOK_S)
                # Who has been answered asks again, all of them at nearly the same time.
                self._seams.wait(over, GATHER_S)

        def prepared_or_not() -> None:
            # Whatever is wrong is met again, and told, where it is prepared after the push.
            with suppress(Exception):
                prepare()

        thread = self._seams.thread(prepared_or_not, "committer-ahead")
        thread.start()
        try:
            yield prepared
        finally:
            over.set()
            self._rung.set()
            thread.join()

    def _halve(self, desk: Desk, accepting: Acceptance, batch: Batch, error: Declined) -> None:
        # A push of an earlier life may have been under way all along, and succeed now.
        self._unsure = True
        accepted, every, half = batch.accepted, list(batch.proposals), len(batch.accepted) // 2
        # One of several may be what the other side does not take; others may be found on the branch meanwhile. And what was
        # refused beside them may have been for what they would have made of the branch: that is asked again.
        at = every.index(accepted[half].proposal)
        parts = [every[:at], every[at:]]
        if not half:
            alone = every.pop(at)
            parts = [every]
            if self._opens() != "never":
                # What the branch does not take, people may.
                self._store.proposals.turn([alone.id])
            else:
                words = harmless(" ".join(str(error).split()))[:LONGEST_WORDS]
                self._store.proposals.decide({alone.id: refused_by(Refused("declined", words))})
        for part in parts:
            left = self._store.proposals.waiting_ids()
            still = [one for one in part if one.id in left]
            if still:
                self._batch(desk, accepting, still)

    def draft(self, one: Proposal) -> Drafted:
        """What it would be as the next commit, for a branch of its own. Raises Refused, SourceError and StoreError."""
        if self._desk is None or self._accepting is None:
            raise NO_GIT
        with self._lock:
            tree, state = self._accepting.based(self._desk.source.fetch())
            ends: dict[str, End] = {}
            accepted, _ = self._accepting.accept(state, tree, [one], ends)
            if not accepted:
                raise refusal(ends[one.id])
            (revision,) = self._desk.made(tree.revision, accepted)
        return Drafted(accepted[0].proposed, tree.revision, revision, accepted[0].answer)

    def rehearse(self, body: bytes, deadline: float, trial: Callable[[Question, float], Answer]) -> bytes:
        """What a change would do, as JSON; nothing is kept of it. Raises AskError."""
        if self._desk is None or self._accepting is None:
            raise AskError(NO_GIT.code, NO_GIT.what, NO_GIT.hint)
        try:
            proposed = read_body(json.loads(body))
            author_of(proposed)
            texts: dict[str, bytes] = {}
            with self._lock:
                tree, state = self._accepting.based(self._desk.source.fetch())
                results = self._accepting.made(proposed, state.files, tree, texts)
            # No longer among those who commit: a large fleet takes its time.
            files = self._accepting.contents(results[-1].files, texts)
            said = message(proposed, "")
            answer = trial(Question(files, tree.root, tree.revision, said, proposed.author, form="json"), deadline)
        except Refused as error:
            raise AskError(error.code, error.what, error.hint) from None
        except (SourceError, ValueError) as error:
            raise AskError("away", f"the repository cannot be read: {error}", "ask again soon") from None
        return json.dumps(answer_json(answer, "json"), ensure_ascii=False).encode("utf-8", "replace")
