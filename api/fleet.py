"""The fleet as every surface has it: what is declared, beside how it fares; and changes, which are proposed and waited for.

It reads SQL alone, and writes one thing: proposals. Who commits them is control (`reconciler/committer.py`).
"""

import contextlib
import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from reconciler.bell import PROPOSED, ring_at
from reconciler.core.declared import Declared
from reconciler.core.kinds import KINDS
from reconciler.core.model import DEFAULT_TENANT, Ref
from reconciler.core.proposal import Proposed, as_body
from reconciler.core.select import Labelled, Selector, SelectorError
from reconciler.store import Mode, Page, Proposal, Store, StoreError, Which, Window

# How often is looked whether something that is waited for has come; of that, how often when nothing has for a while.
LOOK_S, IDLE_LOOK_S, IDLE_AFTER_S = 0.01, 0.05, 1.0
IN_FORCE_LOOK_S = 0.03
# So long after a commit whoever made it is not shown what was before it. A revision comes into force within tenths of a second;
# one that has not by then is refused, or held up, and that is what is to be seen.
SETTLING_S = 5.0
# Who has written lately.
MOST_WRITERS = 1_000
# Of more than that, changed within that time by one, only the commits tell whether they are in force.
MOST_TOGETHER = 1_000


@dataclass(frozen=True, slots=True)
class Found:
    """One resource: as the revision in force declares it, and its status (None before anybody has looked)."""

    declared: Declared
    status: Mapping[str, Any] | None


class _Waiter:
    """Somebody who waits for a proposal to be decided, and how it was."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.ended: Proposal | None = None


@dataclass(slots=True)
class _Written:
    """The last that one has changed and was committed, and until when (monotonic) he is not shown what was before it;
    `settled` once it was seen in force."""

    proposal: Proposal
    until: float
    settled: bool = False


class Fleet:
    """Thread-safe. Raises StoreError."""

    def __init__(self, store: Store, run: Path, over: threading.Event) -> None:
        """`over`: whoever commits is gone, and nobody waits any more."""
        self._store, self._run, self._over = store, run, over
        self._lock = threading.Lock()
        # Proposals that are waited for, by id, and who waits.
        self._waited: dict[str, list[_Waiter]] = {}
        self._watching = False
        # Whoever has written ⇒ the last of it.
        self._written: OrderedDict[str, _Written] = OrderedDict()

    def get(self, ref: Ref) -> Found | None:
        printed = str(ref)
        declared = self._store.declared([printed]).get(printed)
        return Found(declared, self._store.status([printed]).get(printed)) if declared is not None else None

    def find(self, kind: str, word: str, tenant: str = DEFAULT_TENANT) -> Declared | None:
        """What is declared of it: by its name, by its uid, or by the first eight digits or more of that, where only one has
        them."""
        return self._store.resources.find(tenant, kind, word)

    def digests(self, refs: Iterable[Ref]) -> dict[Ref, str]:
        """Of those that are declared, their documents' digests."""
        printed = {str(ref): ref for ref in refs}
        return {printed[ref]: digest for ref, digest in self._store.resources.digests(printed).items()}

    def listed(self, which: Which, window: Window) -> Page:
        """A page of what is declared."""
        return self._store.pages.page(which, window)

    # What is to be changed

    def propose(self, proposed: Proposed, writer: str, key: str, asks: str = "", mode: Mode = "commit") -> Proposal:
        """It waits from now on, whatever happens to us. Raises Full and KeyReused.

        `asks` is what under one key has to be the same each time; "": the changes.
        """
        body = as_body(proposed)
        # What asks for the same: neither what is given to it here, nor what was in force when it was asked.
        changes = [{name: one[name] for name in ("verb", "ref", "document", "match", "new")} for one in body["changes"]]
        asked = {"changes": changes, "message": proposed.message, "mode": mode}
        digest = asks or hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()
        made = self._store.proposals.add(writer, key, digest, body, [str(one.ref) for one in proposed.changes], mode)
        ring_at(self._run / PROPOSED)
        return made

    def proposed(self, writer: str, key: str, asks: str) -> Proposal | None:
        """What this one has asked for under this key before. Raises KeyReused."""
        return self._store.proposals.known(writer, key, asks)

    def proposal(self, id: str) -> Proposal | None:
        return self._store.proposals.get(id)

    def wait(self, made: Proposal, timeout_s: float) -> Proposal:
        """As it is once it is decided, or when the time is over."""
        if made.state != "waiting":
            return made
        waiter = _Waiter()
        with self._lock:
            self._waited.setdefault(made.id, []).append(waiter)
            if not self._watching:
                self._watching = True
                threading.Thread(target=self._watch, name="proposals", daemon=True).start()
        # Until then nothing is held, and what is read after it is as it is then.
        self._store.refresh()
        waiter.event.wait(timeout_s)
        with self._lock:
            left = [one for one in self._waited.pop(made.id, ()) if one is not waiter]
            if left:
                self._waited[made.id] = left
        ended = waiter.ended or self._store.proposals.get(made.id) or made
        if ended.state == "committed":
            self._remember(ended)
        return ended

    def _watch(self) -> None:
        """One for all that wait: as many again would ask the store no less often."""
        last = time.monotonic()
        while True:
            with self._lock:
                ids = list(self._waited)
                if not ids:
                    self._watching = False
                    return
            ended: Mapping[str, Proposal] = {}
            # Those who wait ask the store themselves in the end, and are told why it does not answer.
            with contextlib.suppress(StoreError):
                ended = self._store.proposals.decided(ids)
            with self._lock:
                for id in ids if self._over.is_set() else ended:
                    for waiter in self._waited.pop(id, ()):
                        waiter.ended = ended.get(id)
                        waiter.event.set()
            last = time.monotonic() if ended else last
            time.sleep(LOOK_S if time.monotonic() - last < IDLE_AFTER_S else IDLE_LOOK_S)

    # What has been changed

    def _remember(self, made: Proposal) -> None:
        with self._lock:
            known, now = self._written.get(made.token), time.monotonic()
            if known is not None and not known.settled and now < known.until:
                made = _together(known.proposal, made)
            if known is None or known.proposal.number <= made.number:
                self._written[made.token] = _Written(made, now + SETTLING_S)
                self._written.move_to_end(made.token)
            while len(self._written) > MOST_WRITERS:
                self._written.popitem(last=False)

    def unsettled(self, writer: str) -> tuple[Proposal | None, float]:
        """What this one has changed a moment ago where reading does not give it yet, and how long that is to be waited for."""
        with self._lock:
            written = self._written.get(writer)
        if written is None:
            return None, 0.0
        # What was read so far may be from before it was seen in force, by another request.
        self._store.refresh()
        left_s = written.until - time.monotonic()
        if written.settled or left_s <= 0 or self._is_in_force(written.proposal):
            written.settled = True
        if left_s <= 0:
            with self._lock:
                if self._written.get(writer) is written:
                    del self._written[writer]
        return (None, 0.0) if written.settled else (written.proposal, left_s)

    def in_force(self, made: Proposal, timeout_s: float, *, synced: bool = False, judged: bool = False) -> bool:
        """Wait until what was committed is what reading gives (it, or what came after it); `synced`: and is so on the hosts.
        `judged`: who is told of a refusal does not wait until the time is over."""
        end = time.monotonic() + timeout_s
        there = False
        while True:
            self._store.refresh()
            there = there or self._is_in_force(made)
            if there and (not synced or self._is_synced(made)):
                return True
            if judged and not there and self._is_refused(made):
                return False
            self._store.refresh()
            if time.monotonic() >= end or self._over.wait(IN_FORCE_LOOK_S):
                return False

    def _is_in_force(self, made: Proposal) -> bool:
        # They are committed in the order of their numbers.
        if made.state == "merged" or self._store.proposals.in_force() >= made.number:
            return True
        # A person has pushed onto ours, or a revision holds it of which nobody knows that.
        wanted = {str(one.get("ref")): one.get("digest") for one in made.changes}
        if not wanted:
            return self._store.proposals.traced(made)
        return self._store.resources.digests(wanted) == {ref: digest for ref, digest in wanted.items() if digest}

    def _is_refused(self, made: Proposal) -> bool:
        """Whether it was what was judged last, and will not come into force by itself."""
        judged = self._store.current()
        return judged is not None and (judged.revision, judged.status) == (made.revision, "refused")

    def _is_synced(self, made: Proposal) -> bool:
        if (self._store.state() or {}).get("revision") != self._store.last_good():
            return False
        rows, declared = self._store.status(made.refs), self._store.resources.digests(made.refs)
        return all(rows[ref].get("sync") == "synced" if ref in rows else ref not in declared for ref in made.refs)


def _together(one: Proposal, other: Proposal) -> Proposal:
    """The later of two, with what both have changed: where that alone is as it is to be, since it changed nothing, or took back
    what had changed, the other need not be in force."""
    first, last = (one, other) if one.number < other.number else (other, one)
    changes = {str(each.get("ref")): each for each in (*first.changes, *last.changes)}
    told = first.changes and last.changes and len(changes) <= MOST_TOGETHER
    return replace(last, answer={**last.answer, "changes": [*changes.values()] if told else []})


def selector(texts: Iterable[str]) -> Selector:
    """Raises SelectorError."""
    found = Selector.parse([text for text in texts if text], KINDS)
    for word in (word for words in found.any_of for word in words):
        if isinstance(word, Labelled) and "[" in word.value:
            raise SelectorError("in a label's value `*` and `?` stand for letters here, and `[` for nothing")
    return found
