"""Changes that depend on what is read: where Git has moved meanwhile, they are worked out anew."""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from api.changes import Done, NotDone, Terms, Writer, make
from api.reach import Reach
from reconciler.core.proposal import Change

# How often a change is worked out, and how long is waited for what came between to be in force.
TRIES, MOVING_S, LOOK_S = 8, 3.0, 0.02
# So long those who were too late wait for each other; after that they try beside each other.
TURN_S = 15.0
# What a change is refused for that was worked out from what is not so any more.
MOVED = ("conflict", "exists")
# The terms of a request ⇒ what is to be changed (their `match` is what was read), on which terms.
Plan = Callable[[Terms], tuple[tuple[Change, ...], Terms]]


def worked_out(reach: Reach, plan: Plan, by: Writer, terms: Terms) -> Done:
    """All of these changes by one commit, unless the client has said what it must be changed from. Raises what `make` does."""
    done = _tried(reach, plan, by, terms)
    if done.proposal is None or not terms.synced:
        return done
    return replace(done, late=not reach.fleet.in_force(done.proposal, terms.timeout_s, synced=True, judged=True))


def _tried(reach: Reach, plan: Plan, by: Writer, terms: Terms) -> Done:
    """Nobody waits here until it is carried out: others are to have their turn meanwhile."""
    with contextlib.ExitStack() as line:
        for left in reversed(range(TRIES)):
            planned, said = plan(terms)
            # What was read was in force, whatever is by now: nobody is told of an If-Match that was never sent.
            every = tuple(one if terms.match else replace(one, seen="".join(one.match[:1])) for one in planned)
            try:
                return make(reach, every, by, replace(said, synced=False))
            except NotDone as why:
                # Under its key it has been refused for good, unless it was for a conflict; and what If-None-Match says must not
                # be there does not go away.
                if why.code not in MOVED or terms.match or (why.code == "exists" and (terms.key or terms.new)) or not left:
                    raise
                if left == TRIES - 1:
                    line.enter_context(reach.turns.of(every[0].ref, TURN_S))
                _moved(reach, every)
    raise AssertionError


def _moved(reach: Reach, every: Sequence[Change]) -> None:
    """Wait until what was read is not in force any more."""
    end = time.monotonic() + MOVING_S
    while time.monotonic() < end:
        now = reach.fleet.digests(one.ref for one in every)
        if any(now.get(one.ref, "") not in (one.match or ("",)) for one in every if one.match or one.new):
            return
        if reach.over.wait(LOOK_S):
            return
