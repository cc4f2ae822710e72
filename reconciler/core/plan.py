"""plan(): from what is wanted, what is seen and what is known, the steps to take now and the reasons for those held back."""

from collections import defaultdict
from collections.abc import Container, Mapping, Sequence

from reconciler.core import guard, hooks
from reconciler.core.closing import Closing
from reconciler.core.diff import Difference, diff
from reconciler.core.facts import NOT_YET, Facts
from reconciler.core.fixed import STOPPED, WAITS, Turns, holders
from reconciler.core.handover import reached_by, running_proxies, unready, why_made
from reconciler.core.kinds.document import PRESENCE
from reconciler.core.model import Action, FleetState, Held, Observed, ObservedState, Plan, Ref, Verb, Want, settings_of
from reconciler.core.order import Needs, heals, late
from reconciler.core.overdue import ENDING, REACHED, SILENT, UNREADY
from reconciler.core.place import Hosts, place
from reconciler.core.telling import tell

STARTING_S = 30.0
TAKE_OVER_S = 60.0
# How a secret that does not open is made to.
UNSEAL = "seal it again for this Convoy (`convoy secret rekey`), or give it the key; it is tried again by itself"


def plan(wanted: FleetState, seen: ObservedState, facts: Facts, now: float) -> Plan:
    """What to do now. Pure: the same arguments give the same plan, whatever the order of what is in them."""
    draft = _Draft(wanted, seen, facts, now)
    draft.take_over()
    for ref in sorted(wanted.workloads):
        draft.workload(wanted.workloads[ref], draft.bearing.get(ref, []))
    draft.undeclared(guard.undeclared(wanted, seen.resources.values(), facts))
    told, untold = tell(wanted, facts)
    draft.actions += told
    draft.held += untold
    order = {"take-over": 0, "create": 1, "update": 2, "delete": 3}
    actions = sorted(draft.actions, key=lambda a: (order[a.verb], a.host, a.ref, a.instance))
    draft.held += facts.withheld.values()
    held = sorted(late(draft.held, facts, draft.settings.start_deadline_s, now), key=lambda h: (h.ref, h.instance, h.reason))
    wakes = [h.until for h in held if h.until is not None]
    return Plan(wanted.revision, tuple(actions), tuple(held), min(wakes, default=None), draft.left)


class _Draft:
    """Collects the steps and the holds of one plan."""

    def __init__(self, wanted: FleetState, seen: ObservedState, facts: Facts, now: float) -> None:
        self.wanted, self.seen, self.facts, self.now = wanted, seen, facts, now
        self.settings = settings_of(wanted)
        self.hosts = Hosts(wanted)
        self.bearing: dict[Ref, list[Observed]] = defaultdict(list)
        for one in seen.resources.values():
            self.bearing[one.ref].append(one)
        self.closing = Closing(wanted, facts, self.settings, now)
        self.needs = Needs(wanted, seen, facts, self.bearing)
        self.running: Mapping[str, Sequence[Observed]] = running_proxies(seen)
        self.busy = {(host, ref) for host, ref, _ in facts.in_flight}
        self.busy_somewhere = {ref for host, ref in self.busy if self.hosts.declared.get(host) != "lost"}
        self.foreign = {ref: (host, whose) for (host, ref, _), whose in sorted(seen.foreign.items())}
        self.actions: list[Action] = []
        self.held: list[Held] = []
        self.left: dict[Ref, str] = {}
        self.turns = Turns(self.needs.workloads, self.bearing, [ref for _, ref in self.busy])

    def take_over(self) -> None:
        """What bears the mark of an installation that a person said is ours to take."""
        for (host, ref, instance), whose in sorted(self.seen.foreign.items()):
            if guard.ordered(self.facts, "take-over", whose) is not None:
                self.act("take-over", ref, instance, host, whose, f"taken over from installation {whose}", TAKE_OVER_S)

    def workload(self, want: Want, bearing: list[Observed]) -> None:
        resource = self.wanted.resources.get(want.ref)
        if resource is not None and resource.hook is not None:
            self.hook(want, bearing)
            return
        host, open_hosts = self.somewhere(want, bearing)
        if host is not None:
            self.carry(want, host, diff(want, host, bearing), bearing, open_hosts)

    def hook(self, want: Want, bearing: list[Observed]) -> None:
        """Begin a run that is due, end what should run no longer. The last run stays, for its log, until there is another."""
        resource = self.wanted.resources[want.ref]
        run = self.facts.hooks.get(want.ref)
        for one, why in hooks.over(want, run, bearing):
            if one.host not in self.seen.blind:
                self.act("delete", one.ref, one.instance, one.host, None, why, self.grace_s(one), guard.owner_of(one))
        if run is not None and run.state == "failed":
            self.hold(want.ref, f"its last run has failed: {run.why}", None, run.instance(want), None, hooks.RETRY)
        if run is None or not run.pending:
            return
        instance = run.instance(want)
        if any(one.instance == instance for one in bearing):
            self.hold(want.ref, "it is running", run.since + hooks.deadline_s(resource), instance)
            return
        if any(hooks.living(one) for one in bearing):
            self.hold(want.ref, "its run for an earlier revision is being ended", None, instance, "create", overdue=ENDING)
            return
        blind = sorted(self.seen.blind.keys() & {*self.hosts.may_bear(want)})
        if blind:
            # It may be running there already.
            self.unseen(want.ref, blind[0], instance, "create")
            return
        awaited = hooks.awaited(resource, self.wanted)
        after = resource.hook is not None and resource.hook.when == "after-sync"
        wait = self.needs.through(awaited) or (self.needs.moved(awaited) if after else None)
        if wait is not None:
            self.hold(want.ref, wait.why, None, instance, "create", overdue=wait.overdue)
            return
        host, _ = self.somewhere(want, bearing)
        if host is not None:
            self.act("create", want.ref, instance, host, hooks.as_run(want, run), hooks.words(resource), STARTING_S)

    def somewhere(self, want: Want, bearing: list[Observed]) -> tuple[str | None, list[str]]:
        """The host for this workload, and all that are open to it; None where there is none, with the reason held."""
        may = self.hosts.may_bear(want)
        blind = sorted({one.host for one in bearing if one.host in self.seen.blind} | (set(may) & self.seen.blind.keys()))
        if blind and (not bearing or any(one.host in blind for one in bearing)):
            # It may be there already: making a second one, or moving it, must wait until somebody can look.
            self.unseen(want.ref, blind[0])
            return None, []
        if want.ref in self.foreign:
            there, whose = self.foreign[want.ref]
            if guard.ordered(self.facts, "take-over", whose) is not None:
                return None, []
            reason = f"on host {there} it bears the mark of installation {whose}"
            self.hold(want.ref, reason, release=f"`convoy take-over {whose}` if that one is no more, or remove it there")
            return None, []
        removed = sorted({one.host for one in bearing if one.host not in self.hosts.declared})
        if removed:
            reason = f"host {removed[0]} is no longer declared and still bears it"
            release = f"declare Host/{removed[0]} again: `state: draining` empties it, `state: lost` writes it off"
            self.hold(want.ref, reason, release=release)
            return None, []
        open_hosts = [host for host in self.hosts.open(want, bearing) if host not in self.seen.blind]
        host = place(want, open_hosts, bearing)
        if host is None:
            reason, release = self.hosts.why_none(want)
            self.hold(want.ref, reason, release=release)
            return None, []
        return host, open_hosts

    def carry(self, want: Want, host: str, found: Difference, bearing: list[Observed], open_hosts: list[str]) -> None:
        if found.current is None or found.changed:
            what = found.changed or "it is gone"
            drifted = not found.surplus and guard.drifted(want, self.facts, open_hosts)
            fields = found.fields if found.changed else (PRESENCE,)
            left = guard.leave(want, fields, what, self.facts, self.settings) if drifted else ""
            if isinstance(left, Held):
                self.held.append(left)
            elif left:
                self.left[want.ref] = left
            elif (closed := self.closed(want, bearing, found.current)) is not None:
                self.held.append(closed)
            elif found.current is None:
                why = why_made(want, bearing)
                self.act("create", want.ref, want.instance, host, want, why, STARTING_S, drift=drifted)
            else:
                how = (drifted, found.fields, found.restarts)
                self.act("update", want.ref, want.instance, host, want, found.changed, STARTING_S, "", *how)
        freed = self.freed(want, host, found)
        for one in found.surplus:
            waits = unready(found.current, bearing, self.facts)
            if one.key in freed:
                continue
            if waits:
                self.hold(one.ref, waits, None, one.instance, "delete", overdue=UNREADY.format(ref=one.ref))
            else:
                self.remove(one, "replaced" if one.instance != want.instance else f"moved to host {host}")

    def freed(self, want: Want, host: str, found: Difference) -> Container[object]:
        """What is stopped before its replacement is made, since that is to have the same port; nothing where that would wait.

        Whoever sends requests there goes on to: it is the same address. Of several replicas one is replaced at a time.
        """
        taken = holders(want, host, found.surplus)
        if (host, want.ref) in self.busy:
            # One of them is being stopped, or its replacement made.
            return taken
        made = [one for one in self.actions[-1:] if one.verb == "create" and one.ref == want.ref]
        if not taken or not (made or found.current):
            return ()
        if made:
            self.actions.pop()
            words = WAITS.format(port=min(taken.values()))
            self.hold(want.ref, words, None, want.instance, "create", overdue=ENDING)
        turn = self.turns.before(want)
        for one in (one for one in found.surplus if one.key in taken):
            if turn is not None:
                first, why = turn
                self.hold(one.ref, why, None, one.instance, "delete", overdue=UNREADY.format(ref=first))
            else:
                reason = STOPPED.format(port=taken[one.key])
                self.act("delete", one.ref, one.instance, one.host, None, reason, self.grace_s(one), guard.owner_of(one))
        return taken

    def closed(self, want: Want, bearing: list[Observed], current: Observed | None) -> Held | None:
        """Why a change is not begun now. What has run here and is gone is made anew at any time, as it is declared now."""
        if heals(want, self.facts) or (not bearing and want.ref in self.facts.settled):
            return None
        return self.closing.holds(want.owner, want.ref, want.instance, "create" if current is None else "update")

    def undeclared(self, gone: list[Observed]) -> None:
        """What no document declares: retained, held, or deleted within the budget."""
        before, passed = guard.remembered_lot(gone, self.facts, self.settings, len(self.bearing))
        waiting = guard.lot(gone, self.facts) - passed
        for one in sorted(gone, key=lambda o: (o.ref, o.host, o.instance)):
            kept = guard.kept(one, self.facts)
            if kept:
                self.left[one.ref] = kept
                continue
            sure = guard.confirmed(one, self.facts)
            held = None if sure else guard.why_not_deleted(one, waiting, before, self.settings)
            held = held or self.closing.holds(guard.owner_ref(one), one.ref, one.instance, "delete")
            # Of what is declared with fewer replicas there is enough for whoever needs it.
            still = guard.owner_ref(one) in self.wanted.resources
            wait = None if held is not None or still else self.needs.after(guard.owner_of(one))
            if held is not None:
                self.held.append(held)
            elif wait is not None and one.host not in self.seen.blind:
                self.hold(one.ref, wait.why, None, one.instance, "delete", overdue=wait.overdue)
            else:
                self.remove(one, "no longer declared")

    def remove(self, one: Observed, reason: str) -> None:
        if one.host in self.seen.blind:
            self.unseen(one.ref, one.host, one.instance, "delete")
            return
        if one.ref.kind != "Proxy":
            node = reached_by(one, self.facts, self.running)
            if node:
                why = f"proxy {node} may still send requests to it"
                self.hold(one.ref, why, None, one.instance, "delete", overdue=REACHED.format(node=node))
                return
            since = self.facts.let_go.get(one.key)
            over = (self.now if since is None else since) + self.settings.drain_s
            if self.now < over:
                self.hold(one.ref, "draining", over, one.instance, "delete")
                return
        self.act("delete", one.ref, one.instance, one.host, None, reason, self.grace_s(one), guard.owner_of(one))

    def grace_s(self, one: Observed) -> float:
        """How long its delete may take."""
        return float(one.fields.get("stop_s") or 20.0) + 10.0

    def unseen(self, ref: Ref, host: str, instance: str = "", verb: Verb | None = None) -> None:
        reason = self.seen.blind[host]
        if reason == NOT_YET:
            self.hold(ref, f"host {host} is {reason}", None, instance, verb, overdue=SILENT.format(host=host))
        else:
            release = f"bring host {host} back; when it is gone for good, commit `state: lost` in Host/{host}"
            self.hold(ref, f"host {host} cannot be seen: {reason}", None, instance, verb, release)

    def act(
        self,
        verb: Verb,
        ref: Ref,
        instance: str,
        host: str,
        want: object,
        reason: str,
        deadline_s: float,
        owner: str = "",
        drift: bool = False,
        fields: tuple[str, ...] = (),
        restarts: bool = False,
    ) -> None:
        order = guard.suspended(ref, str(want.owner) if isinstance(want, Want) else owner, host, self.facts)
        if order is not None:
            reason, until, release = guard.words_of(order)
            self.hold(ref, reason, until, instance, verb, release)
            return
        closed = self.facts.unopened.get(want.owner, "") if isinstance(want, Want) else ""
        if closed:
            self.hold(ref, closed, None, instance, verb, UNSEAL)
            return
        # A second one is not made while a step elsewhere may be making it there.
        if (host, ref) in self.busy or (verb == "create" and ref in self.busy_somewhere):
            self.hold(ref, "a step for it is under way", None, instance, verb, overdue=SILENT.format(host=host))
            return
        wait = self.needs.before(want) if isinstance(want, Want) else None
        if wait is not None:
            self.hold(ref, wait.why, None, instance, verb, overdue=wait.overdue)
            return
        failure = self.facts.failures.get((host, ref, instance))
        if failure is not None and self.now < failure.retry_at:
            reason = f"failed {failure.count} times, next try later: {failure.error}"
            self.hold(ref, reason, failure.retry_at, instance, verb)
            return
        self.actions.append(Action(verb, ref, instance, host, want, reason, (), deadline_s, restarts, drift, fields))

    def hold(
        self,
        ref: Ref,
        reason: str,
        until: float | None = None,
        instance: str = "",
        verb: Verb | None = None,
        release: str = "",
        overdue: str = "",
    ) -> None:
        self.held.append(Held(ref, reason, until, instance, verb, release, overdue=overdue))
