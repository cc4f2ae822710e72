"""What of a revision is in force, as a pure decision: what cannot go alone, what counts at once, and hooks' runs."""

import gc
from dataclasses import replace
from time import process_time

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core import hooks
from reconciler.core.facts import FLEET, Facts, Order
from reconciler.core.hooks import HookRun
from reconciler.core.model import FleetState, Health, Observed, ObservedState, Ref
from reconciler.core.overdue import ENDING
from reconciler.core.plan import plan
from reconciler.core.release import NOTHING, Orders, changed, closure, compose, decide, subject
from reconciler.core.select import Selector
from tests.fleets import load_text

NOON = 1783080000.0
CLOSED = 'windows: [{kind: deny, schedule: "* * * * *", durationSeconds: 3600%s}]'
HEAD = "apiVersion: convoy/v1\nkind: Host\nmetadata: {name: h1}\n---\nkind: ProxyGroup\nmetadata: {name: edge}\n"
EDGE = """spec: {}
---
apiVersion: convoy/v1
kind: Proxy
metadata: {name: edge-1}
spec: {group: edge, host: h1}
---
apiVersion: convoy/v1
kind: VirtualHost
metadata: {name: site, labels: {team: shop}}
spec: {group: edge, port: 18999, domains: ["*"], backend: %s}
---
apiVersion: convoy/v1
kind: Application
metadata: {name: web}
spec: {command: [x, "%s"], ports: [{name: %s}]}
"""


def edge(revision: str, said: str = "", version: str = "v1", port: str = "http", more: str = "", to: str = "web") -> FleetState:
    text = HEAD.replace("kind: ProxyGroup", "apiVersion: convoy/v1\nkind: ProxyGroup") + EDGE % (to, version, port)
    text += f"---\napiVersion: convoy/v1\nkind: Settings\nmetadata: {{name: fleet}}\nspec: {{{said}}}\n{more}"
    return replace(load_text(text), revision=revision)


def application(name: str) -> str:
    return f"---\napiVersion: convoy/v1\nkind: Application\nmetadata: {{name: {name}}}\nspec: {{command: [y], ports: [{{}}]}}\n"


def named(refs: object) -> set[str]:
    return {str(ref) for ref in refs}  # type: ignore[attr-defined]


def test_all_that_is_withheld_is_as_it_was() -> None:
    """Nothing of a revision but its Settings comes into force; its name does, for that is the revision that is held."""
    base, wanted = edge("r1"), edge("r2", CLOSED % "", "v2", "other")
    force = decide(base, wanted, {}, {}, NOON)
    assert named(force.withheld) == {"Application/web"}
    assert force.fleet.revision == "r2"
    assert force.fleet.traffic == base.traffic
    assert force.fleet.workloads == base.workloads
    assert force.fleet.resources[Ref("Settings", "fleet")] == wanted.resources[Ref("Settings", "fleet")]
    again = decide(force.fleet, wanted, {}, {}, NOON + 1)
    assert again.fleet is force.fleet
    assert decide(force.fleet, edge("r2", "", "v2", "other"), {}, {}, NOON).withheld == {}


def test_what_a_group_is_told_is_told_whole() -> None:
    """A route to what is not there yet, or on the port that is not there yet, is not told; and what is new of a group waits."""
    base = edge("r1")
    only = CLOSED % ", only: [application/new]"
    wanted = edge("r2", only, more=application("new"), to="new")
    force = decide(base, wanted, {}, {}, NOON)
    assert named(force.withheld) == {"Application/new", "VirtualHost/site"}
    assert "what its proxies are told is told whole, and Application/new is held" in str(force.withheld)
    assert force.fleet.traffic == base.traffic
    first = decide(NOTHING, edge("r1", CLOSED % ", only: [team=shop]"), {}, {}, NOON)
    assert named(first.withheld) == {"VirtualHost/site", "ProxyGroup/edge", "Proxy/edge-1"}
    assert named(first.fleet.workloads) == {"Container/web-1"}


def test_what_runs_is_never_taken_for_undeclared() -> None:
    """Where nobody knows what was in force, what runs of what is withheld is left alone, and not counted as a delete."""
    wanted = edge("r1", CLOSED % "")
    force = decide(NOTHING, wanted, {}, {}, NOON)
    assert named(force.fleet.resources) == {"Settings/fleet"}
    fields = {"owner": "Application/web", "state": "running", "address": "127.0.0.1", "ports": {}}
    seen = Observed(Ref("Container", "web-1"), "x", "h1", fields, Health("healthy"), 0.0)
    planned = plan(force.fleet, ObservedState({seen.key: seen}), Facts(withheld=force.withheld, let_go={seen.key: 0.0}), NOON)
    assert planned.actions == ()
    assert named(held.ref for held in planned.held) == named(force.withheld)


def test_a_lost_host_counts_at_once() -> None:
    """What was lost with it is put back elsewhere like after any accident; draining a host is a change."""
    base = edge("r1")
    for state, held in (("lost", set()), ("draining", {"Host/h1"})):
        text = edge("r2", CLOSED % "")
        ref = Ref("Host", "h1")
        host = replace(text.resources[ref], spec=text.resources[ref].spec.model_copy(update={"state": state}), digest=state)
        wanted = replace(text, resources={**text.resources, ref: host})
        assert named(decide(base, wanted, {}, {}, NOON).withheld) == held


def test_an_order_is_about_its_revision_and_what_that_needs() -> None:
    """A part is released with all that it names and needs; another revision is another matter."""
    base, wanted = NOTHING, edge("r2", "sync: manual", more=application("other"))

    def withheld(verb: str, about: str) -> set[str]:
        orders: Orders = {(verb, about): Order(verb, about, "", "eve", NOON)}  # type: ignore[arg-type]
        return named(decide(base, wanted, {}, orders, NOON).withheld)

    every = named(wanted.resources) - {"Settings/fleet"}
    assert withheld("sync", subject("r1")) == withheld("override", subject("r2")) == every
    assert withheld("sync", subject("r2")) == set()
    assert withheld("sync", subject("r2", "team=shop")) == {"Application/other", "Host/h1", "Proxy/edge-1"}
    everything = closure(Selector.parse(["proxies"], ["Proxy"]), base, wanted)
    assert named(everything) == {"Proxy/edge-1", "ProxyGroup/edge", "Host/h1"}


def test_an_order_that_somebody_has_spoiled_releases_nothing_and_stops_nothing() -> None:
    """The selectors of others count, however many there are."""
    wanted = edge("r2", "sync: manual", more=application("other"))
    texts = ["no such kind/x", "a/b/c/d", "team=shop", *(f"application/none-{n}" for n in range(60))]
    orders: Orders = {("sync", subject("r2", text)): Order("sync", subject("r2", text), "", "eve", NOON) for text in texts}
    assert named(decide(NOTHING, wanted, {}, orders, NOON).withheld) == {"Application/other", "Host/h1", "Proxy/edge-1"}


NAMES = "abcd"
FLEETS = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(["v1", "v2"]))


@given(FLEETS, FLEETS, st.sets(st.sampled_from(NAMES)))
@settings(max_examples=60, deadline=None)
def test_what_is_withheld_is_as_before_and_all_else_as_wanted(
    before: dict[str, str], after: dict[str, str], held: set[str]
) -> None:
    """Resource by resource, also for what is new and what is gone; and then only what is withheld differs."""

    def fleet(revision: str, wants: dict[str, str]) -> FleetState:
        docs = "".join(
            f"---\napiVersion: convoy/v1\nkind: Container\nmetadata: {{name: {name}}}\nspec: {{command: [{version}]}}\n"
            for name, version in wants.items()
        )
        return replace(load_text("apiVersion: convoy/v1\nkind: Host\nmetadata: {name: h}\n" + docs), revision=revision)

    base, wanted = fleet("r1", before), fleet("r2", after)
    differing = changed(base, wanted)
    withheld = {ref for ref in differing if ref.name in held}
    made = compose(base, wanted, withheld, differing)
    for name in NAMES:
        ref = Ref("Container", name)
        source = base if ref in withheld else wanted
        assert getattr(made.workloads.get(ref), "instance", None) == getattr(source.workloads.get(ref), "instance", None)
        assert (ref in made.resources) == (ref in source.resources)
    assert changed(made, wanted) == withheld


HOOK = """---
apiVersion: convoy/v1
kind: Container
metadata: {name: migrate, needs: [Application/db], hook: {when: before-sync}}
spec: {command: [migrate]}
"""


def test_a_hook_is_never_for_what_it_needs() -> None:
    """Over however many needs, nor for another hook, nor for hosts; so that none can wait for itself."""
    db = application("db").replace("{name: db}", "{name: db, needs: [Application/deep]}") + application("deep")
    wanted = edge("r1", more=HOOK + db)
    hook = wanted.resources[Ref("Container", "migrate")]
    covered = hooks.scope(hook, (wanted,))
    assert named(covered) == {"Application/web", "VirtualHost/site", "ProxyGroup/edge", "Proxy/edge-1"}
    force = decide(NOTHING, wanted, {}, {}, NOON)
    assert named(force.withheld) == named(covered)
    run = force.runs[hook.ref]
    assert (run.state, run.number, run.revision) == ("due", 1, "r1")


def test_runs_go_forward_only() -> None:
    """The same content asks for no second run, and none is taken for another: not its digest alone makes its instance."""
    wanted = edge("r1", more=HOOK + application("db"))
    ref = Ref("Container", "migrate")
    first = decide(NOTHING, wanted, {}, {}, NOON).runs
    assert decide(NOTHING, wanted, first, {}, NOON + 5).runs == first
    done = {ref: replace(first[ref], state="succeeded")}
    force = decide(NOTHING, wanted, done, {}, NOON + 6)
    assert (force.withheld, force.runs) == ({}, done)
    other = edge("r2", more=HOOK + application("db"), version="v2")
    second = decide(force.fleet, other, done, {}, NOON + 7).runs
    back = decide(edge("r2", more=HOOK + application("db"), version="v2"), wanted, second, {}, NOON + 8).runs
    want = wanted.workloads[ref]
    assert len({run[ref].instance(want) for run in (first, second, back)}) == 3
    failed = {ref: replace(second[ref], state="failed", since=NOON + 7)}
    assert decide(force.fleet, other, failed, {}, NOON + 8).runs == failed
    assert "has failed" in str(decide(force.fleet, other, failed, {}, NOON + 8).withheld)
    retry: Orders = {("retry", FLEET): Order("retry", FLEET, "", "eve", NOON + 9)}
    assert decide(force.fleet, other, failed, retry, NOON + 9).runs[ref].state == "due"


def test_how_a_run_ended_is_seen_once() -> None:
    """Gone without an end has failed; half made, or on a host that cannot be seen, it is what it was; a spoiled row is none."""
    wanted = edge("r1", more=HOOK + application("db"))
    ref = Ref("Container", "migrate")
    run = HookRun("k", "r1", 1, "running", NOON)
    assert hooks.advance({ref: run}, wanted, ObservedState({}, {"h1": "away"}), NOON + 1) == {ref: run}
    gone = hooks.advance({ref: run}, wanted, ObservedState({}), NOON + 1)[ref]
    assert (gone.state, gone.why) == ("failed", "it is gone, and nobody knows how it ended")
    due = replace(run, state="due")
    assert hooks.advance({ref: due}, wanted, ObservedState({}), NOON + 1) == {ref: due}
    half = Observed(
        ref, run.instance(wanted.workloads[ref]), "h1", {"state": "lost"}, Health("unhealthy", message="no shim"), 1.0
    )
    seen = ObservedState({half.key: half})
    assert hooks.advance({ref: run}, wanted, seen, NOON + 1, {half.key}) == {ref: run}
    assert hooks.advance({ref: run}, wanted, seen, NOON + 1)[ref].why == "no shim"
    rows = {str(ref): hooks.run_json(run), "x": {}, "Container/y": {**hooks.run_json(run), "state": "?"}}
    assert dict(hooks.read_runs(rows)) == {ref: run}


def test_one_run_at_a_time() -> None:
    """The next waits until the one for an earlier revision has been ended; where that takes too long it says what to do."""
    wanted = edge("r2", more=HOOK.replace("needs: [Application/db], ", ""))
    want = wanted.workloads[Ref("Container", "migrate")]
    run, earlier = HookRun("k", "r2", 2, "due", NOON), HookRun("j", "r1", 1, "running", NOON)
    old = Observed(want.ref, earlier.instance(want), "h1", {"state": "stopping"}, Health("starting"), NOON)
    for waited_s, words in ((0, ""), (61, "shows why it does not end")):
        facts = Facts(hooks={want.ref: run}, waiting={(want.ref, run.instance(want), ENDING): NOON - waited_s})
        planned = plan(wanted, ObservedState({old.key: old}), facts, NOON)
        assert [(one.verb, one.instance) for one in planned.actions if one.ref == want.ref] == [("delete", old.instance)]
        (held,) = [one for one in planned.held if one.ref == want.ref]
        assert held.reason.startswith("its run for an earlier revision is being ended")
        assert (words in held.release, bool(held.release)) == (True, bool(words))


def test_a_proxy_that_a_hook_needs_is_started_for_it() -> None:
    """With all that it is told, which is told whole; but once it is there, what it is told waits for the hook like all else."""
    for need in ("Proxy/edge-1", "ProxyGroup/edge"):
        more = HOOK.replace("Application/db", need) + application("other")
        wanted = edge("r1", more=more)
        force = decide(NOTHING, wanted, {}, {}, NOON)
        assert named(force.withheld) == {"Application/other"}
        base = edge("r0", more=more)
        assert named(decide(base, edge("r1", version="v2", more=more), {}, {}, NOON).withheld) == {"Application/web"}


def test_what_failed_for_another_revision_is_over_where_nothing_of_it_is_left() -> None:
    """Going back on what a hook failed for leaves nothing to do, and nothing that waits for a person."""
    ref = Ref("Container", "migrate")
    base = edge("r1", more=HOOK + application("db"))
    failed = {ref: HookRun("k", "r2", 2, "failed", NOON, "exited with status 3")}
    runs = decide(base, edge("r3", more=HOOK + application("db")), failed, {}, NOON + 1).runs
    assert (runs[ref].state, runs[ref].number) == ("idle", 2)
    assert decide(base, edge("r2", more=HOOK + application("db")), failed, {}, NOON + 1).runs == failed


def test_many_groups_cost_as_many_looks() -> None:
    """Twice as many ProxyGroups that are withheld take about twice as long, not four times."""

    def took(groups: int) -> float:
        text = edge("r1", CLOSED % "")
        resources, traffic = dict(text.resources), {}
        for number in range(groups):
            group, proxy = Ref("ProxyGroup", f"g{number}"), Ref("Proxy", f"p{number}")
            spec = resources[Ref("Proxy", "edge-1")].spec.model_copy(update={"group": group.name})
            resources[proxy] = replace(resources[Ref("Proxy", "edge-1")], ref=proxy, spec=spec, digest=proxy.name)
            resources[group] = replace(resources[Ref("ProxyGroup", "edge")], ref=group, digest=group.name)
            traffic[group] = text.traffic[Ref("ProxyGroup", "edge")]
        # What else this process holds is not looked through meanwhile.
        gc.collect()
        gc.disable()
        wanted, best = replace(text, resources=resources, traffic={**text.traffic, **traffic}), 9e9
        for _ in range(5):
            begun = process_time()
            assert len(decide(NOTHING, wanted, {}, {}, NOON).withheld) == len(wanted.resources) - 1
            best = min(best, process_time() - begun)
        gc.enable()
        return best

    assert took(1600) < 9 * took(400)
