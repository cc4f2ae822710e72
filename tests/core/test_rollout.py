"""How far a Rollout has got: what its proxies have acknowledged of what they are pinned to."""

from collections.abc import Mapping
from dataclasses import replace

from reconciler.core.blend import blend
from reconciler.core.compile import compile
from reconciler.core.connect import Connector
from reconciler.core.facts import Facts
from reconciler.core.model import Connected, FleetState, Held, ObservedState, Ref, Snapshot
from reconciler.core.overdue import Wait
from reconciler.core.rollout import (
    COMPLETED,
    FAILED,
    STARTED,
    STATES,
    Progress,
    Scene,
    advance,
    as_row,
    counts_said,
    events,
    read_row,
    why,
)
from tests.core.test_pinned import past
from tests.core.written import CONFIGURATION, EDGE, HOST, WEB, written

A, B = "a" * 40, "b" * 40
ROLLOUT = """kind: Rollout
metadata: {name: %s}
spec: {configuration: edge, revision: %s, proxies: [edge-1, edge-2]}
---
"""
PROXY = """---
kind: Proxy
metadata: {name: edge-%d}
spec: {group: edge, host: local, ports: {http: %d}%s}
"""


def fleet(one: str = A, two: str = A, more: str = "", proxies: int = 2) -> FleetState:
    """Two proxies, each pinned to a commit; "" for not."""
    group = EDGE.partition("---")[0]
    pins = [f", configuration: edge, revision: {pin}" if pin else "" for pin in (one, two)]
    edge = group + "".join(PROXY % (n + 1, 10001 + n, pins[n]) for n in range(proxies))
    found = written(web=WEB, host=HOST, edge=edge, configuration=CONFIGURATION, rollouts=ROLLOUT % ("first", A) + more)
    pinned = {Ref("Proxy", f"edge-{n + 1}"): past("web") for n in range(proxies) if pins[n]}
    compiled = compile("r", found.resources, found.locate, pinned)
    assert compiled.fleet is not None, compiled.problems
    return compiled.fleet


def scene(
    of: FleetState,
    acked: Mapping[str, bool] | None = None,
    refused: Mapping[str, str] | None = None,
    now: float = 100.0,
    force: FleetState | None = None,
    withheld: Mapping[Ref, Held] | None = None,
) -> Scene:
    """`acked`: connected node ⇒ whether it has acknowledged what it is told; `refused`: node ⇒ its words on the listener."""
    wanted = Connector().connect(force or of, ObservedState({}), {})
    settled: dict[str, Snapshot] = {}
    for node, snapshot in wanted.items():
        words = (refused or {}).get(node)
        bad = {one.version: words for one in snapshot.resources["lds"].values()} if words else {}
        settled[node] = blend(snapshot, bad, {}).snapshot
    connected = {node: Connected(node, "1.40", 0.0, settled[node].version, done, {}) for node, done in (acked or {}).items()}
    facts = Facts(snapshots=settled, connected=connected, withheld=withheld or {})
    said = {Ref("Proxy", node): words for node, words in (refused or {}).items()}
    return Scene(of, force or of, wanted, facts, said, now)


def step(of: FleetState, known: Progress | None = None, name: str = "first", **more: object) -> Progress:
    seen = scene(of, **more)  # type: ignore[arg-type]
    return advance(of.resources[Ref("Rollout", name)], known, seen)


def states(progress: Progress) -> dict[str, str]:
    return {name: turn.state for name, turn in progress.turns.items()}


def told(of: FleetState, progress: Progress) -> tuple[list[str], Progress]:
    due, noted = events(of.resources[Ref("Rollout", "first")], progress)
    return [f"{kind}: {words}" for kind, words in due], noted


def test_from_pending_to_completed() -> None:
    """Not there, told, acknowledged; each event once, and times that stay."""
    both = fleet()
    first = step(both, now=100.0)
    assert (first.state, states(first)) == ("pending", {"edge-1": "pending", "edge-2": "pending"})
    assert why(first) == "0 of 2 proxies have it; edge-1: it is not connected"
    said, first = told(both, first)
    assert said == [f"{STARTED}: Configuration/edge as commit {A[:12]} declares it, to 2 proxies"]
    second = step(both, first, acked={"edge-1": True, "edge-2": False}, now=101.0)
    assert (second.state, states(second)) == ("in_progress", {"edge-1": "completed", "edge-2": "in_progress"})
    assert told(both, second) == ([], second)
    third = step(both, second, acked={"edge-1": False, "edge-2": True}, now=102.0)
    assert (third.state, third.started_at, third.ended_at) == ("completed", 100.0, 102.0)
    said, third = told(both, third)
    assert said == [f"{COMPLETED}: 2 of 2 proxies have it"]
    later = step(both, third, acked={}, now=103.0)
    assert (later, told(both, later)) == (third, ([], third))
    assert read_row(as_row(third)) == third


def test_a_refusal() -> None:
    """It has failed when nobody is left who could still have it, with Envoy's words; who is not there keeps nobody waiting."""
    both = fleet()
    words = "edge.yaml:7:3: Envoy refuses http: no such filter"
    one = step(both, acked={"edge-1": True, "edge-2": False}, refused={"edge-1": words})
    assert (one.state, states(one)) == ("in_progress", {"edge-1": "failed", "edge-2": "in_progress"})
    assert why(one) == f"0 of 2 proxies have it; edge-1: {words}"
    for acked in ({"edge-1": True, "edge-2": True}, {"edge-1": True}):
        ended = step(both, one, acked=acked, refused={"edge-1": words})
        assert ended.state == "failed"
        assert f"{FAILED}: " in told(both, ended)[0][-1]
        assert words in told(both, ended)[0][-1]
    mended = step(both, ended, acked={"edge-1": True, "edge-2": True})
    assert mended.state == "completed"


def test_a_port_that_is_taken() -> None:
    """What is one proxy's own trouble is no fault of the content, and it does not have it all the same."""
    both = fleet()
    own = replace(scene(both, acked={"edge-1": False, "edge-2": True}), refused={Ref("Proxy", "edge-1"): "cannot bind"})
    found = advance(both.resources[Ref("Rollout", "first")], None, own)
    assert (found.state, found.turns["edge-1"].why) == ("failed", "cannot bind")


def test_what_waits_for_its_backend_has_not_failed() -> None:
    """It is not told all of it yet, and nobody has refused anything."""
    both = fleet()
    words = "sends no requests to Application/green before one is healthy there"
    there = scene(both, acked={"edge-1": True, "edge-2": True}, refused={"edge-1": "no"})
    waits = replace(there, refused={}, facts=replace(there.facts, awaiting={"edge-1": Wait(words, "")}))
    one = advance(both.resources[Ref("Rollout", "first")], None, waits)
    assert (one.turns["edge-1"].state, one.turns["edge-1"].why) == ("in_progress", words)
    assert one.state == "in_progress"


def test_what_comes_after_it() -> None:
    """A proxy that has had it has had it; one that has not goes on without: by whom it is said."""
    both = fleet()
    half = step(both, acked={"edge-1": True})
    after = fleet(B, B, ROLLOUT % ("second", B))
    assert step(after, half, acked={"edge-1": True, "edge-2": True}).state == "superseded"
    found = step(after, half)
    assert states(found) == {"edge-1": "completed", "edge-2": "superseded"}
    assert found.turns["edge-2"].why == "superseded by Rollout/second"
    assert why(found) == "1 of 2 proxies have it; edge-2: superseded by Rollout/second"
    said = why(found, counted=True)
    assert said == "1 of 2 proxies have it (1 superseded); edge-2: superseded by Rollout/second"
    assert counts_said(said) == found.counts
    # As it was said before others were counted.
    assert counts_said(why(found)) == {**dict.fromkeys(STATES, 0), "completed": 1, "in_progress": 1}
    assert counts_said("2 proxies") == {}
    done = step(both, None, acked={"edge-1": True, "edge-2": True})
    then = step(fleet(A, ""), done)
    assert (then.state, why(then)) == ("completed", "edge-2 has had it, and is superseded: it serves what its group does")
    assert step(fleet(proxies=1), half).turns["edge-2"].why == "no longer declared"


def test_an_old_record_in_a_new_store() -> None:
    """What was over before anybody looked is told to nobody."""
    after = fleet(B, "")
    found = step(after)
    assert (found.state, told(after, found)) == ("superseded", ([], found))


def test_what_is_withheld_is_pending() -> None:
    """As long as a window keeps the pins back, with its words; then it goes on."""
    both, before = fleet(), fleet("", "")
    held = {Ref("Proxy", f"edge-{n}"): Held(Ref("Proxy", f"edge-{n}"), "the window opens at 9") for n in (1, 2)}
    found = step(both, force=before, withheld=held, acked={"edge-1": True, "edge-2": True})
    assert (found.state, found.turns["edge-2"].why) == ("pending", "the window opens at 9")
    assert step(both, found, acked={"edge-1": True, "edge-2": True}).state == "completed"


def test_another_content_under_the_same_name_begins_anew() -> None:
    """A Rollout that was edited is another one."""
    done = step(fleet(), None, acked={"edge-1": True, "edge-2": True}, now=1.0)
    edited = fleet(B, B)
    resource = edited.resources[Ref("Rollout", "first")]
    other = replace(resource, spec=resource.spec.model_copy(update={"revision": B}))
    edited = replace(edited, resources={**edited.resources, other.ref: other})
    found = step(edited, done, now=2.0)
    assert (found.state, found.started_at) == ("pending", 2.0)


def test_spoiled_rows() -> None:
    """What somebody has spoiled in the store begins anew, and harms nothing."""
    good = as_row(step(fleet()))
    for name, value in (("turns", 3), ("turns", [["a", "b"]]), ("state", "x"), ("startedAt", "x"), ("told", None)):
        assert read_row({**good, name: value}) is None
    assert read_row({}) is None
