"""The rig has teeth: each of these mistakes, made on purpose, breaks the law that it should."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest

import reconciler.loop as looping
from reconciler.core import guard, release
from reconciler.core import plan as planning
from reconciler.core.closing import Closing
from reconciler.core.connect import Connector
from reconciler.core.diff import Difference
from reconciler.core.model import Observed, ObservedState, Want
from reconciler.core.ready import Ready
from reconciler.hosts import Host, Hosts
from reconciler.leader import Leader
from reconciler.proxies import Proxies
from reconciler.record import Recalled, Record
from reconciler.store import Store

from .branch import Followed
from .making import Event
from .play import play
from .scenarios import EDGE, FIRST
from .worlds import FOLDER

Patch = pytest.MonkeyPatch


def commit(drop: Iterable[str] = (), **words: Mapping[str, Any]) -> Event:
    """Documents by `Kind__name`."""
    return {"do": "commit", "drop": [*drop], "set": {name.replace("__", "/"): said for name, said in words.items()}}


def wait(seconds: float) -> Event:
    return {"do": "wait", "s": seconds}


def outage(on: bool, host: str = "h1") -> Event:
    return {"do": "outage", "host": host, "on": on}


def acts_on_blind_hosts(patch: Patch) -> None:
    begin = planning._Draft.__init__
    patch.setattr(planning._Draft, "__init__", lambda me, w, seen, f, now: begin(me, w, replace(seen, blind={}), f, now))


def does_not_wait_for_the_replacement(patch: Patch) -> None:
    carry = planning._Draft.carry

    def hasty(me: Any, want: Want, host: str, found: Difference, bearing: list[Observed], open_hosts: list[str]) -> None:
        for one in found.surplus:
            me.act("delete", one.ref, one.instance, one.host, None, "replaced", 30.0)
        carry(me, want, host, replace(found, surplus=()), bearing, open_hosts)

    patch.setattr(planning._Draft, "carry", hasty)


def forgets_what_is_under_way(patch: Patch) -> None:
    observed = Hosts.observed
    patch.setattr(Hosts, "observed", lambda me: (observed(me)[0], frozenset()))


def does_not_ask_who_still_uses_it(patch: Patch) -> None:
    patch.setattr(planning, "reached_by", lambda *_: "")
    patch.setattr(looping, "reached_by", lambda *_: "")


def acts_before_it_records(patch: Patch) -> None:
    patch.setattr(Record, "plan", lambda *_: None)


def ignores_the_budget(patch: Patch) -> None:
    patch.setattr(guard, "why_not_deleted", lambda *_: None)


def remembers_nothing_after_a_restart(patch: Patch) -> None:
    patch.setattr(Record, "recall", lambda _: Recalled())


def loses_outcomes_when_the_store_fails(patch: Patch) -> None:
    forget = Record.forget

    def everything(me: Record) -> None:
        forget(me)
        me._untold = []

    patch.setattr(Record, "forget", everything)


def forgets_what_was_accepted(patch: Patch) -> None:
    patch.setattr(Store, "last_good", lambda _: None)


def tells_again_what_was_refused(patch: Patch) -> None:
    patch.setattr(Proxies, "recall", lambda _: None)


def empties_what_it_has_not_seen_yet(patch: Patch) -> None:
    connect = Connector.connect
    patch.setattr(
        Connector,
        "connect",
        lambda me, fleet, seen, versions: connect(
            me,
            fleet,
            ObservedState({key: one for key, one in seen.resources.items() if key[0] not in seen.blind}),
            versions,
        ),
    )


def believes_its_memory(patch: Patch) -> None:
    assignment = Connector._assignment

    def stale(me: Any, cluster: Any, *more: Any) -> Any:
        known = me._assignments.get(cluster.eds)
        return known[1] if known is not None else assignment(me, cluster, *more)

    patch.setattr(Connector, "_assignment", stale)


def takes_a_failing_driver_s_word(patch: Patch) -> None:
    patch.setattr(Host, "_mine", lambda *_: True)


def follows_an_older_revision(patch: Patch) -> None:
    tree = Followed.tree
    patch.setattr(Followed, "fetch", lambda me: me._branch.head and min(me._branch.head, "r001"))
    patch.setattr(Followed, "tree", tree)


def acts_though_another_does(patch: Patch) -> None:
    patch.setattr(Leader, "may_act", lambda _: True)


def gives_back_what_it_deletes(patch: Patch) -> None:
    patch.setattr(Hosts, "ending", lambda _: frozenset())


def falls_back_too_far(patch: Patch) -> None:
    patch.setattr(Store, "last_good", lambda _: "r001")


def works_on_what_is_suspended(patch: Patch) -> None:
    patch.setattr(guard, "suspended", lambda *_: None)


def changes_at_any_time(patch: Patch) -> None:
    patch.setattr(release, "_by_rules", lambda *_: {})
    patch.setattr(Closing, "holds", lambda *_: None)


def deletes_what_is_retained(patch: Patch) -> None:
    patch.setattr(guard, "kept", lambda *_: "")


def moves_to_what_is_not_there_yet(patch: Patch) -> None:
    patch.setattr(Ready, "part", lambda _, wanted, *more: (wanted, None))


OUTAGE = [FIRST, wait(12), outage(True), wait(8), commit(Application__a={"version": 2}), wait(8), outage(False)]
REPLACED = [FIRST, wait(12), commit(Application__a={"version": 2}), wait(12)]
MOVED = [
    FIRST,
    wait(12),
    {"do": "vice", "host": "h1", "healthy_after_s": 4.0},
    commit(Application__b={"replicas": 2}, VirtualHost__v1={"backend": "b"}),
    wait(12),
]
SILENT = [FIRST, wait(12), {"do": "silence", "on": True}, commit(Application__a={"version": 2}), wait(20)]
BLIND_START = [
    commit(Host__h1={}, Host__h2={}, Application__a={"hosts": ["h1"]}, **{r.replace("/", "__"): w for r, w in EDGE.items()}),
    wait(12),
    outage(True),
    {"do": "restart"},
    commit(Application__a={"hosts": ["h2"]}),
    wait(12),
]
MANY = [
    commit(Settings__fleet={"budget": 1}, Host__h1={}, Application__a={"replicas": 4}, Container__c1={}),
    wait(12),
    commit(["Application/a"]),
    wait(12),
]
SLOW_CREATE = [
    commit(Host__h1={}, Container__c1={}, Container__c2={}, Container__c4={}),
    {"do": "vice", "host": "h1", "slow_s": 3.0},
    wait(4.5),
    commit(Host__h2={}, Host__h3={}),
    wait(12),
]
STORE_FAILS = [FIRST, *({"do": "fault", "kind": "error", "point": "store.write", "skip": n} for n in range(8, 90, 6)), wait(20)]
REFUSED_HEAD = [FIRST, wait(12), {"do": "commit", "broken": True}, wait(3), {"do": "restart"}, wait(8)]
REFUSED_TWICE = [FIRST, wait(12), commit(VirtualHost__v1={"refused": True}), wait(8), {"do": "restart"}, wait(8)]
FALLS_BACK = [*REPLACED, {"do": "commit", "broken": True}, wait(3), {"do": "restart"}, wait(8)]
SUSPENDED = [
    FIRST,
    wait(12),
    {"do": "suspend", "subject": "Application/a", "on": True},
    commit(Application__a={"version": 2}),
    wait(8),
]
# From the fortieth second on it is open for a minute.
SHUT = [FIRST, wait(12), commit(Settings__fleet={"window": "allow"}), wait(2), commit(Application__a={"version": 2}), wait(12)]
RETAINED = [
    commit(Host__h1={}, Container__c1={"deletion": "retain"}, Container__c2={}),
    wait(8),
    commit(["Container/c1"]),
    wait(8),
]
# Stopped between the plan and its actions: everything later asks the store first, which would end the round.
STALLED = [FIRST, wait(12), commit(Application__a={"version": 2}), wait(0.01), {"do": "stall", "s": 20}, wait(60)]
WANTED_BACK = json.loads((FOLDER / "given-back-while-it-is-deleted.json").read_text())["events"]
NONSENSE = [
    FIRST,
    wait(12),
    *({"do": "fault", "kind": "nonsense", "point": "rig.observed", "skip": n} for n in range(9)),
    wait(60),
]

TEETH: list[tuple[Callable[[Patch], None], list[Event], str]] = [
    (acts_on_blind_hosts, OUTAGE, "blind is left alone"),
    (does_not_wait_for_the_replacement, REPLACED, "replaced first"),
    (forgets_what_is_under_way, SLOW_CREATE, "nothing doubled"),
    (does_not_ask_who_still_uses_it, SILENT, "let go first"),
    (acts_before_it_records, REPLACED, "the plan shown is what is done"),
    (ignores_the_budget, MANY, "the delete budget"),
    (remembers_nothing_after_a_restart, BLIND_START, "one copy"),
    (loses_outcomes_when_the_store_fails, STORE_FAILS, "outcomes are kept"),
    (forgets_what_was_accepted, REFUSED_HEAD, "all becomes well"),
    (tells_again_what_was_refused, REFUSED_TWICE, "what is refused is not told again"),
    (empties_what_it_has_not_seen_yet, OUTAGE, "traffic stays"),
    (believes_its_memory, REPLACED, "same again"),
    (falls_back_too_far, FALLS_BACK, "wishes stay"),
    (works_on_what_is_suspended, SUSPENDED, "suspended is left alone"),
    (changes_at_any_time, SHUT, "windows"),
    (deletes_what_is_retained, RETAINED, "deletion policy"),
    (acts_though_another_does, STALLED, "one acts"),
    (gives_back_what_it_deletes, WANTED_BACK, "let go first"),
    (moves_to_what_is_not_there_yet, MOVED, "moved when ready"),
    (takes_a_failing_driver_s_word, NONSENSE, "nonsense is not believed"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("mistake", "events", "law"), TEETH, ids=[mistake.__name__ for mistake, _, _ in TEETH])
def test_a_mistake_breaks_its_law(mistake: Callable[[Patch], None], events: list[Event], law: str) -> None:
    """Without the mistake no law is broken in this world; with it this one is."""
    world = {"seed": 1, "events": events}
    assert play(world).broken == []
    with pytest.MonkeyPatch.context() as patch:
        mistake(patch)
        broken = play(world).broken
    assert law in [name for name, _ in broken], broken
