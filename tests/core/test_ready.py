"""Ready: traffic is moved to a backend when something of it is healthy; all else of the same commit is told at once."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.connect import Connector, check
from reconciler.core.envoy import endpoints_of
from reconciler.core.facts import Facts
from reconciler.core.hooks import HookRun
from reconciler.core.model import Connected, FleetState, Health, HealthStatus, Observed, ObservedState, Ref, Snapshot
from reconciler.core.overdue import Wait
from reconciler.core.plan import plan
from reconciler.core.ready import Ready
from tests.core.written import EDGE, HOST, hosts_of, written
from tests.fleets import load_text

GROUP = EDGE.replace("{configuration: edge}", "{}")


def app(name: str, replicas: int = 1) -> str:
    spec = f"{{replicas: {replicas}, command: [run], ports: [{{name: http}}]}}"
    return f"kind: Application\nmetadata: {{name: {name}}}\nspec: {spec}"


def site(name: str, to: str, *domains: str, port: int = 8080) -> str:
    """`to`: a backend, or weights as in YAML."""
    leads = f"weights: {to}" if to.startswith("{") else f"backend: {to}"
    served = ", ".join(f"'{domain}'" for domain in domains or (f"{name}.example",))
    return f"kind: VirtualHost\nmetadata: {{name: {name}}}\nspec: {{group: edge, port: {port}, domains: [{served}], {leads}}}"


def fleet_of(*documents: str) -> FleetState:
    return written(all="\n---\n".join((GROUP, *documents)), host=HOST).fleet()


def seen_of(healths: Mapping[str, HealthStatus], port: int = 1) -> ObservedState:
    """One instance of each of these Applications; where it listens follows from its name."""
    found = {}
    for name, health in healths.items():
        ports = {"http": 1000 * port + sum(name.encode())}
        fields = {"uid": f"uid-Application/{name}", "owner": f"Application/{name}", "address": "127.0.0.1", "ports": ports}
        one = Observed(Ref("Container", f"{name}-1"), "any", "local", fields, Health(health), 1.0)
        found[one.key] = one
    return ObservedState(found)


@dataclass
class Edge:
    """One proxy, told the news round by round as the loop does it."""

    connector: Connector = field(default_factory=Connector)
    ready: Ready = field(default_factory=Ready)
    running: Snapshot | None = None
    wait: Wait | None = None
    # Another number, and everything has been started again on another port.
    port: int = 1

    def tell(self, fleet: FleetState, **healths: HealthStatus) -> "Edge":
        self.ready.turn()
        seen = seen_of(healths, self.port)
        wanted = self.connector.connect(fleet, seen, {})["edge-1"]
        told, self.wait = self.ready.part(wanted, self.running, self.connector)
        assert check(told) == []
        afresh = Connector()
        again = Ready().part(afresh.connect(fleet, seen, {})["edge-1"], self.running, afresh)
        assert (again[0].version, again[1]) == (told.version, self.wait), "what is remembered says the same as from scratch"
        if self.running is None or told.version != self.running.version:
            self.running = told
        return self

    @property
    def leads(self) -> dict[str, list[str]]:
        """Virtual host ⇒ its clusters, over all ports."""
        assert self.running is not None
        return {name: clusters for name, (_, clusters) in hosts_of(self.running).items()}

    def ends(self, name: str) -> list[int]:
        assert self.running is not None
        return sorted(port for _, port in endpoints_of(self.running.resources["eds"][f"Application/{name}/http"]))


BEFORE = fleet_of(app("hello"), site("a", "hello"))
AFTER = fleet_of(app("hello"), app("green"), site("a", "green"))


def moving(after: FleetState, before: FleetState = BEFORE, **healths: HealthStatus) -> Edge:
    """A proxy that runs `before`, and is told `after` while green starts."""
    return Edge().tell(before, hello="healthy", **healths).tell(after, hello="healthy", green="starting", **healths)


def test_a_route_is_moved_when_its_backend_is_healthy() -> None:
    """Until then it leads where it led, with the new cluster there already; and the reason says so."""
    edge = moving(AFTER)
    assert edge.leads == {"a": ["hello"]}
    assert edge.running is not None
    assert list(edge.running.resources["cds"]) == ["green", "hello"]
    assert edge.wait is not None
    assert edge.wait.why == "sends no requests to Application/green before one is healthy there: virtual host a stays as it was"
    assert "convoy explain Application/green" in edge.wait.overdue
    edge.tell(AFTER, hello="healthy", green="healthy")
    assert edge.leads == {"a": ["green"]}
    assert edge.wait is None
    assert list(edge.running.resources["cds"]) == ["green"]


def test_a_quiet_round_gives_the_same_object() -> None:
    """A wait costs its proxies no new snapshot round by round."""
    edge = moving(AFTER)
    ready, connector, parts = Ready(), Connector(), []
    for _ in range(3):
        ready.turn()
        wanted = connector.connect(AFTER, seen_of({"hello": "healthy", "green": "starting"}), {})["edge-1"]
        parts.append(ready.part(wanted, edge.running, connector)[0])
    assert parts[0] is parts[1] is parts[2]


def test_a_first_start_waits_for_nothing() -> None:
    """A proxy that was told nothing yet has no requests to lose."""
    edge = Edge().tell(AFTER, hello="healthy", green="starting")
    assert edge.leads == {"a": ["green"]}
    assert edge.wait is None


def test_what_was_moved_is_not_moved_back() -> None:
    """A backend that falls sick later keeps its route: it is put right where it is."""
    edge = moving(AFTER).tell(AFTER, hello="healthy", green="healthy").tell(AFTER, hello="healthy", green="unhealthy")
    assert edge.leads == {"a": ["green"]}
    assert edge.wait is None


def test_a_newer_commit_ends_the_wait() -> None:
    """Leading elsewhere, or back, needs nobody's leave."""
    edge = moving(AFTER).tell(BEFORE, hello="healthy", green="starting")
    assert edge.leads == {"a": ["hello"]}
    assert edge.wait is None


def test_no_replicas_are_no_start() -> None:
    """Who leads to an Application of which none are wanted means it."""
    edge = moving(fleet_of(app("hello"), app("green", 0), site("a", "green")))
    assert edge.leads == {"a": ["green"]}
    assert edge.wait is None


@pytest.mark.parametrize(
    "after",
    [
        fleet_of(app("green"), site("a", "green")),
        fleet_of(app("hello", 0), app("green"), site("a", "green")),
        fleet_of(app("hello"), app("green"), site("a", "green")),
    ],
    ids=["removed", "scaled-to-nothing", "unused"],
)
def test_the_endpoints_of_what_stays_are_those_of_now(after: FleetState) -> None:
    """What no cluster of the new revision asks for is still followed: a restart elsewhere meanwhile loses no requests."""
    edge = moving(after)
    first = edge.ends("hello")
    edge.port = 2
    edge.tell(after, hello="healthy", green="starting")
    assert edge.leads == {"a": ["hello"]}
    assert edge.ends("hello") == [first[0] + 1000]
    edge.tell(after, hello="healthy", green="healthy")
    assert edge.leads == {"a": ["green"]}


def test_nothing_is_kept_for_what_is_gone() -> None:
    """Where nobody answers any more, and nobody will, waiting would protect nothing."""
    after = fleet_of(app("green"), site("a", "green"))
    edge = moving(after).tell(after, green="starting")
    assert edge.leads == {"a": ["green"]}
    assert edge.wait is None


def test_what_is_declared_and_sick_is_waited_for() -> None:
    """A crash of the old backend while the new one starts does not move its requests to nobody for good."""
    edge = moving(AFTER).tell(AFTER, hello="unhealthy", green="starting")
    assert edge.leads == {"a": ["hello"]}
    assert edge.wait is not None


def test_a_share_of_the_requests_waits_as_well() -> None:
    """A tenth of the requests is not sent to nobody either; a share of nothing is told at once."""
    some = fleet_of(app("hello"), app("green"), site("a", "{hello: 90, green: 10}"))
    assert moving(some).leads == {"a": ["hello"]}
    none = fleet_of(app("hello"), app("green"), site("a", "{hello: 100, green: 0}"))
    edge = moving(none)
    assert edge.leads == {"a": ["hello", "green"]}
    assert edge.wait is None
    edge.tell(some, hello="healthy", green="starting")
    assert edge.wait is not None, "from nothing to a tenth is a move"


def test_others_on_the_same_port_do_not_wait() -> None:
    """A backend of one virtual host that never becomes healthy holds up no other: neither a change nor a new one."""
    before = fleet_of(app("hello"), app("blue"), site("a", "hello"), site("b", "hello"))
    after = fleet_of(app("hello"), app("blue"), app("green"), site("a", "green"), site("b", "blue"), site("c", "green"))
    edge = moving(after, before, blue="healthy")
    assert edge.leads == {"a": ["hello"], "b": ["blue"], "c": ["green"]}
    assert edge.wait is not None
    assert edge.wait.why.endswith("virtual host a stays as it was")
    later = fleet_of(app("hello"), app("blue"), app("green"), site("a", "green"), site("b", "hello"), site("c", "blue"))
    edge.tell(later, hello="healthy", blue="healthy", green="starting")
    assert edge.leads == {"a": ["hello"], "b": ["hello"], "c": ["blue"]}


def test_a_new_host_takes_no_requests_from_a_wildcard() -> None:
    """What `*` answers goes on being answered by it; and what a host of its own had, where it is given up for a wildcard."""
    before = fleet_of(app("hello"), site("all", "hello", "*"))
    edge = moving(fleet_of(app("hello"), app("green"), site("all", "hello", "*"), site("a", "green")), before)
    assert edge.leads == {"all": ["hello"]}
    edge = moving(
        fleet_of(app("hello"), app("green"), site("b", "green", "*.example")), fleet_of(app("hello"), site("a", "hello"))
    )
    assert edge.leads == {"a": ["hello"]}


def test_a_domain_that_changes_hands() -> None:
    """Both hosts stay as they were: Envoy takes no domain twice."""
    before = fleet_of(app("hello"), site("a", "hello", "x.example", "y.example"), site("b", "hello", "z.example"))
    after = fleet_of(app("hello"), app("green"), site("a", "hello", "x.example"), site("b", "green", "y.example"))
    edge = moving(after, before)
    assert edge.leads == {"a": ["hello"], "b": ["hello"]}
    edge.tell(after, hello="healthy", green="healthy")
    assert edge.leads == {"a": ["hello"], "b": ["green"]}


def test_a_port_that_is_handed_over_is_not_waited_for() -> None:
    """A backend that takes its fixed port from the one it replaces can start only when that is gone: no wait would end."""
    numbered = "kind: Application\nmetadata: {name: %s}\nspec: {command: [run], ports: [{name: http, port: %d}]}"
    after = fleet_of(numbered % ("green", 1000 + sum(b"hello")), site("a", "green"))
    edge = Edge().tell(BEFORE, hello="healthy").tell(after, hello="healthy")
    assert edge.leads == {"a": ["green"]}
    other = fleet_of(numbered % ("green", 7), site("a", "green"))
    edge = Edge().tell(BEFORE, hello="healthy").tell(other, hello="healthy")
    assert edge.leads == {"a": ["hello"]}


CLUSTERED = "kind: Cluster\nmetadata: {name: shared}\nspec: {%s}"


@pytest.mark.parametrize("was", ["application: hello", "endpoints: ['127.0.0.1:9']"])
def test_a_cluster_that_is_given_another_backend(was: str) -> None:
    """Its routes say the same as before: the cluster itself waits."""
    before = fleet_of(app("hello"), CLUSTERED % was, site("a", "shared"))
    after = fleet_of(app("hello"), app("green"), CLUSTERED % "application: green", site("a", "shared"))
    edge = moving(after, before)
    assert edge.running is not None
    old = edge.running.resources["cds"]["shared"].eds
    assert old == ("Application/hello/http" if "hello" in was else "")
    assert edge.wait is not None
    assert edge.wait.why.endswith("cluster shared stays as it was")
    edge.tell(after, hello="healthy", green="healthy")
    assert edge.running.resources["cds"]["shared"].eds == "Application/green/http"


TCP = """kind: Configuration
metadata: {name: edge}
spec:
  listeners:
    - name: tcp
      port: 9000
      envoy:
        filterChains:
          - filters:
              - name: envoy.filters.network.tcp_proxy
                typedConfig:
                  "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
                  statPrefix: tcp
                  cluster: %s
"""
ROUTED = """kind: Configuration
metadata: {name: edge}
spec:
  listeners: [{name: http, port: 9000, routes: %s}]
  routes:
    - {name: one, virtualHosts: [{routes: [{prefix: /, cluster: hello}]}]}
    - {name: two, virtualHosts: [{routes: [{prefix: /, cluster: %s}]}]}
"""


@pytest.mark.parametrize(
    ("was", "now"), [(TCP % "hello", TCP % "green"), (ROUTED % ("one", "hello"), ROUTED % ("two", "green"))], ids=["tcp", "rds"]
)
def test_a_listener_that_is_led_elsewhere(was: str, now: str) -> None:
    """By its own words, or by other routes than it had: it waits itself."""
    group = EDGE.replace("\n---", "\n---\n" + was + "---", 1)
    before = written(all="\n---\n".join((group, app("hello"))), host=HOST).fleet()
    group = EDGE.replace("\n---", "\n---\n" + now + "---", 1)
    after = written(all="\n---\n".join((group, app("hello"), app("green"))), host=HOST).fleet()
    edge = moving(after, before)
    assert edge.running is not None
    old = edge.running.resources["lds"]
    assert {name: one.version for name, one in old.items()} == {
        name: one.version for name, one in before.traffic[Ref("ProxyGroup", "edge")]["lds"].items()
    }
    assert edge.wait is not None
    edge.tell(after, hello="healthy", green="healthy")
    assert edge.running.resources["lds"] != old
    assert edge.wait is None


def read_of(*documents: str) -> FleetState:
    """Read as from a repository, with what is said beside a spec."""
    return load_text(
        "\n---\n".join(f"apiVersion: convoy/v1\n{one.strip()}" for one in (*GROUP.split("---"), HOST_ITSELF, *documents))
    )


HOST_ITSELF = "kind: Host\nmetadata: {name: local}\nspec: {}"
HOOK = "kind: Container\nmetadata: {name: after, hook: {when: after-sync, only: [%s]}}\nspec: {command: [run]}"


def here(fleet: FleetState, kind: str, name: str) -> Observed:
    """It runs as it is declared, and well."""
    want = fleet.workloads[Ref(kind, name)]
    fields = {"uid": want.uid, "live": want.live, "owner": str(want.owner), "state": "running", "address": "127.0.0.1"}
    return Observed(want.ref, want.instance, "local", fields, Health("healthy"), 1.0)


def facts_of(edge: Edge, **more: Any) -> Facts:
    """The proxy has acknowledged all that it was told."""
    assert edge.running is not None
    assert edge.wait is not None
    told = edge.running.version
    connected = {"edge-1": Connected("edge-1", "1.40.0", 0.0, told, True, {})}
    awaiting = {"edge-1": edge.wait}
    return Facts(connected=connected, snapshots={"edge-1": edge.running}, published={"edge-1": told}, awaiting=awaiting, **more)


@pytest.mark.parametrize("about", ["VirtualHost/a", "Application/green", "Proxy/edge-1"])
def test_what_runs_after_a_sync_runs_after_the_move(about: str) -> None:
    """Whichever part of the move it is for."""
    fleet, ref = read_of(app("hello"), app("green"), site("a", "green"), HOOK % about), Ref("Container", "after")
    facts = facts_of(moving(AFTER), hooks={ref: HookRun("k", "r1", 1, "due", 1.0)})
    seen = ObservedState({one.key: one for one in (here(fleet, "Proxy", "edge-1"), here(fleet, "Container", "green-1"))})
    held = {one.ref: one.reason for one in plan(fleet, seen, facts, 2.0).held}
    assert held[ref] == f"waits for Proxy/edge-1, which {facts.awaiting['edge-1'].why}"
    assert ref in [one.ref for one in plan(fleet, seen, replace(facts, awaiting={}), 2.0).actions]


def test_a_backend_may_need_the_proxy_that_waits_for_it() -> None:
    """The proxy is as it should be as soon as it has what it is told: what it awaits is made."""
    green = app("green").replace("{name: green}", "{name: green, needs: [Proxy/edge-1]}")
    fleet = read_of(app("hello"), green, site("a", "green"))
    there = here(fleet, "Proxy", "edge-1")
    planned = plan(fleet, ObservedState({there.key: there}), facts_of(moving(AFTER)), 2.0)
    assert Ref("Container", "green-1") in [one.ref for one in planned.actions]
    assert Ref("Proxy", "edge-1") in [one.ref for one in planned.held]


NAMES, DOMAINS, APPS = ("a", "b", "c"), ("*", "*.example", "x.example", "y.example", "x.*"), ("p", "q", "r", "s")
PROBES = ("x.example", "y.example", "z.example", "x.other", "other")


def matching(leads: Mapping[str, tuple[list[str], list[str]]], probe: str) -> list[str]:
    """The clusters this host name is served by, as Envoy chooses: exact, then the longest suffix, then prefix, then any."""
    found: list[tuple[int, int, list[str]]] = []
    for domains, clusters in leads.values():
        for domain in domains:
            if domain == probe:
                found.append((4, 0, clusters))
            elif domain == "*":
                found.append((1, 0, clusters))
            elif domain.startswith("*") and probe.endswith(domain[1:]) and probe != domain[1:]:
                found.append((3, len(domain), clusters))
            elif domain.endswith("*") and probe.startswith(domain[:-1]) and probe != domain[:-1]:
                found.append((2, len(domain), clusters))
    return max(found, key=lambda one: one[:2])[2] if found else []


@st.composite
def sites(draw: st.DrawFn) -> list[str]:
    left, made = list(DOMAINS), []
    for name in NAMES[: draw(st.integers(1, 3))]:
        if left:
            domains = draw(st.lists(st.sampled_from(left), min_size=1, max_size=3, unique=True))
            left = [one for one in left if one not in domains]
            made.append(site(name, draw(st.sampled_from(APPS)), *domains))
    return made


@settings(max_examples=40, deadline=None)
@given(st.lists(sites(), min_size=2, max_size=4), st.data())
def test_no_request_that_was_answered_goes_to_nobody(revisions: list[list[str]], data: st.DataObject) -> None:
    """Whatever hosts and domains change, commit by commit, while backends come and go: who was answered is not sent to a
    backend that starts, no domain is there twice, and with all backends healthy everything is as declared."""
    edge, apps = Edge(), [app(name) for name in APPS]
    for documents in revisions:
        fleet = fleet_of(*apps, *documents)
        words: dict[str, HealthStatus] = {
            name: data.draw(st.sampled_from(("healthy", "healthy", "starting")), label=name) for name in APPS
        }
        before = hosts_of(edge.running) if edge.running is not None else {}
        edge.tell(fleet, **words)
        assert edge.running is not None
        after = hosts_of(edge.running)
        domains = [domain for served, _ in after.values() for domain in served]
        assert len(domains) == len(set(domains))
        declared = hosts_of(edge.connector.connect(fleet, seen_of(words), {})["edge-1"])
        for probe in PROBES:
            was, now = matching(before, probe), matching(after, probe)
            # What the new revision serves no more may be answered as it was, or not at all.
            if was and now != was and matching(declared, probe):
                assert now, f"{probe} was served, is declared, and is served no more"
                assert words[now[0]] == "healthy", (probe, was, now)
    well: dict[str, HealthStatus] = dict.fromkeys(APPS, "healthy")
    edge.tell(fleet, **well)
    assert edge.wait is None
    assert edge.running is not None
    assert edge.running.version == Connector().connect(fleet, seen_of(well), {})["edge-1"].version
