"""Finds out what people have made of pull requests: what came into force tells of most, and the forge is asked about the rest.

A commit that came by a merge names its request as it was made for it. One squashed into other words does not, nor does what was
closed tell anything: then the forge is asked, about one at a time.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

from reconciler.git import Branch
from reconciler.log import Log
from reconciler.seams import Seams
from reconciler.store import Proposal, Store

# As many, the newest, are followed; the forge is asked about one of them so often: 720 requests in an hour, of the 5,000 that
# the one that counts them most strictly allows.
MOST_FOLLOWED, ASK_EVERY_S = 100, 5.0
# Of one: after half a minute, then after a tenth of its age, at most after an hour; and whenever something came into force.
SOONEST_S, LATEST_S, OF_AGE = 30.0, 3600.0, 0.1
LOOK_S = 2.0
# Commits in which they are looked for where nobody knows since when.
MOST_WALKED = 20_000


class Undecided:
    """Those of one store, in the thread of whoever asks. `pull` asks the forge about one by its number: its state and its
    commit, or None where it cannot be told now."""

    def __init__(
        self,
        store: Store,
        branch: Branch,
        pull: Callable[[int], tuple[str, str] | None],
        may_act: Callable[[], bool],
        log: Log,
        seams: Seams,
    ) -> None:
        self._store, self._branch, self._pull, self._may_act = store, branch, pull, may_act
        self._log, self._seams = log, seams
        # What was in force when these were looked for.
        self._seen, self._known = "", frozenset[str]()
        # When the forge is to be asked about each, and when it was.
        self._due: dict[str, float] = {}
        self._asked: dict[str, float] = {}
        self._look_at = self._ask_at = 0.0

    def look(self) -> None:
        """One step; returns at once when nothing is due. Raises SourceError and StoreError."""
        now = self._seams.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_S
        left: Sequence[Proposal] = self._store.proposals.undecided(MOST_FOLLOWED)
        good = (self._store.last_good() or "") if left else ""
        if not good or not self._may_act():
            return
        news = good != self._seen
        if news or {one.id for one in left} - self._known:
            left = self._merged(left, good)
            self._seen, self._known = good, frozenset(one.id for one in left)
        pauses = {one.id: now + pause_s(self._seams.now() - one.at) for one in left if _number(one)}
        self._due = {id: now if news else self._due.get(id, later) for id, later in pauses.items()}
        self._asked = {id: self._asked.get(id, -math.inf) for id in pauses}
        due = [one for one in left if self._due.get(one.id, math.inf) <= now]
        if due and now >= self._ask_at:
            # In turns: where something comes into force all the time, all are due all the time.
            first = min(due, key=lambda one: self._asked[one.id])
            self._ask_at, self._due[first.id], self._asked[first.id] = now + ASK_EVERY_S, pauses[first.id], now
            self._ask(first, good)

    def _merged(self, left: Sequence[Proposal], good: str) -> list[Proposal]:
        """Those that what is in force does not hold."""
        known, fresh = ([one for one in left if (one.id in self._known) is was] for was in (True, False))
        found: dict[str, str] = {}
        # Each commit is looked at once for those that are known, and for a new one from where it began.
        for some, since in ((known, self._seen), (fresh, str(fresh[0].answer.get("base", "")) if fresh else "")):
            if some and since != good:
                found |= self._branch.requested(good, {one.id for one in some}, MOST_WALKED, since=since, anywhere=True)
        for one in left:
            if one.id in found:
                self._became(one, "merged", found[one.id])
        return [one for one in left if one.id not in found]

    def _ask(self, one: Proposal, good: str) -> None:
        self._seams.point("pulls.ask", one.id)
        said = self._pull(_number(one))
        if said is None:
            return
        state, revision = said
        if state == "merged" and self._branch.holds(good, revision):
            self._became(one, "merged", revision)
        elif (state, one.state) in (("closed", "proposed"), ("open", "closed")):
            self._became(one, "closed" if state == "closed" else "proposed", one.revision)

    def _became(self, one: Proposal, state: Literal["proposed", "merged", "closed"], revision: str) -> None:
        # What was said of it while it was closed goes.
        answer: dict[str, Any] = {name: said for name, said in one.answer.items() if name not in ("code", "what", "hint")}
        if state == "closed":
            url = one.answer.get("url", "")
            answer |= {"code": "closed", "what": f"its pull request was closed, not merged: {url}"}
            answer |= {"hint": "talk to whoever closed it; what is asked for under another key is another pull request"}
        self._store.proposals.became(one.id, state, revision, answer)
        self._log.info(f"pulls.{'reopened' if state == 'proposed' else state}", number=_number(one), revision=revision)


def pause_s(age_s: float) -> float:
    """How long the forge is not asked again about one of this age."""
    return min(max(SOONEST_S, age_s * OF_AGE), LATEST_S)


def _number(one: Proposal) -> int:
    number = one.answer.get("number")
    return number if isinstance(number, int) else 0
