"""What proxies with a Configuration of their own are told, and when that comes into force."""

from collections.abc import Mapping
from dataclasses import replace

from reconciler.core.carried import carried_by
from reconciler.core.compile import compile
from reconciler.core.connect import Connector
from reconciler.core.facts import Facts
from reconciler.core.model import Connected, FleetState, ObservedState, Plan, Ref, Resource
from reconciler.core.release import decide
from reconciler.core.status import status
from reconciler.releases import _kept_as, _restored
from reconciler.wanted import Accepted
from tests.core.test_release import CLOSED, NOON
from tests.core.written import CONFIGURATION, EDGE, HOST, WEB, written

SHA = "a" * 40
SPARE = WEB.replace("{name: web}", "{name: spare}")
SECOND = """---
kind: Proxy
metadata: {name: edge-2, labels: {team: shop}}
spec: {group: edge, host: local, ports: {http: 10002}%s}
"""
GROUP, ONE, TWO = Ref("ProxyGroup", "edge"), Ref("Proxy", "edge-1"), Ref("Proxy", "edge-2")
EDGE_CONFIGURATION = Ref("Configuration", "edge")
PIN = f", configuration: edge, revision: {SHA}"


def fleet(revision: str, pin: str = "", to: str = "web", then: str = "web", said: str = "") -> FleetState:
    """Two proxies of one group; `pin` is said of the second, `then` is where the commit's routes led."""
    found = written(
        web=WEB,
        spare=SPARE,
        host=HOST,
        edge=EDGE + SECOND % pin,
        configuration=CONFIGURATION.replace("cluster: web", f"cluster: {to}"),
        settings=f"kind: Settings\nmetadata: {{name: fleet}}\nspec: {{{said}}}",
    )
    resources = {ref: replace(one, labels={"team": "shop"} if ref == TWO else {}) for ref, one in found.resources.items()}
    pinned: Mapping[Ref, Resource] = {TWO: past(then)} if "revision" in pin else {}
    compiled = compile(revision, resources, found.locate, pinned)
    assert compiled.fleet is not None, compiled.problems
    return compiled.fleet


def past(to: str) -> Resource:
    return written(configuration=CONFIGURATION.replace("cluster: web", f"cluster: {to}")).resources[EDGE_CONFIGURATION]


def clusters(of: FleetState) -> dict[str, set[str]]:
    """Node ⇒ the clusters it is told."""
    told = Connector().connect(of, ObservedState({}), {})
    return {node: set(snapshot.resources["cds"]) for node, snapshot in told.items()}


def test_a_pin_concerns_the_proxy_alone() -> None:
    """What it is told goes with the Proxy and its group, and not with the Configuration of today."""
    both = fleet("r1", PIN, to="spare")
    carried = carried_by(both)
    assert EDGE_CONFIGURATION in carried[GROUP]
    assert EDGE_CONFIGURATION not in carried[TWO]
    assert {TWO, GROUP, Ref("Application", "web")} <= carried[TWO]
    assert Ref("Host", "local") not in carried[TWO]


def test_a_pin_that_is_withheld() -> None:
    """Until a window opens the proxy goes with its group; and one whose pin goes away keeps it until then."""
    closed = CLOSED % ", only: [team=shop]"
    base, wanted = fleet("r1"), fleet("r2", PIN, "spare", said=closed)
    force = decide(base, wanted, {}, {}, NOON)
    assert set(force.withheld) == {TWO}
    assert clusters(force.fleet) == {"edge-1": {"spare"}, "edge-2": {"spare"}}
    assert clusters(decide(base, fleet("r2", PIN, "spare"), {}, {}, NOON).fleet)["edge-2"] == {"web"}
    base, wanted = fleet("r1", PIN, "spare"), fleet("r2", "", "spare", said=closed)
    force = decide(base, wanted, {}, {}, NOON)
    assert set(force.withheld) == {TWO}
    assert clusters(force.fleet) == {"edge-1": {"spare"}, "edge-2": {"web"}}


def test_what_is_withheld_is_put_together_again_after_a_restart() -> None:
    """From what is kept and the two revisions, whichever of them has the pin."""
    closed = CLOSED % ", only: [team=shop]"
    for before, after in (("", PIN), (PIN, ""), (PIN, f", configuration: edge, revision: {'b' * 40}")):
        base, wanted = fleet("r1", before, "spare", "web"), fleet("r2", after, "spare", "spare", closed)
        force = decide(base, wanted, {}, {}, NOON)
        assert set(force.withheld) == {TWO}
        row = _kept_as(force, base, wanted, {})
        accepted = Accepted(wanted, before={"r1": base}, was="r1")
        again = _restored(row, wanted, accepted)
        assert again.traffic == force.fleet.traffic
        assert again.resources == force.fleet.resources
        assert again.workloads == force.fleet.workloads


def test_whose_status_a_pinned_proxy_is() -> None:
    """The Configuration of today is as declared where it is served; the pinned proxy, and its group, wait for their own."""
    both = fleet("r1", PIN, to="spare")
    snapshots = Connector().connect(both, ObservedState({}), {})
    one = Connected("edge-1", "1.40", 0.0, snapshots["edge-1"].version, True, {})
    facts = Facts(snapshots=snapshots, connected={"edge-1": one})
    found = status(both, Plan("r1", ()), ObservedState({}), facts, {}, {}, NOON)
    assert (found[EDGE_CONFIGURATION].sync, found[EDGE_CONFIGURATION].why) == ("synced", "")
    assert (found[GROUP].sync, found[GROUP].why) == ("pending", "Proxy/edge-2: proxy edge-2 is not connected")
