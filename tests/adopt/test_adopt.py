"""Imports without an Envoy: what becomes of every part."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from envoy.config.bootstrap.v3 import bootstrap_pb2  # type: ignore[import-untyped]
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.core.adopt import Adopted, Names, adopt, check, read
from reconciler.core.messages import dotted
from tests.adopt.inputs import bring, cluster, tcp, what
from tests.adopt.running import BOOTSTRAPS
from tests.cli.conftest import Convoy, convoy, state

__all__ = ["convoy", "state"]

NAMES = [field.name for field in bootstrap_pb2.Bootstrap.DESCRIPTOR.fields]


def fates(found: Adopted) -> dict[str, str]:
    return {line.section: line.fate for line in found.lines}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sets(st.sampled_from(NAMES)), st.lists(st.sampled_from(["a", "b", "bad name", "", "x" * 300]), max_size=4), st.booleans()
)
def test_nothing_is_dropped_in_silence(sections: set[str], names: list[str], broken: bool) -> None:
    """Every field at the top of a bootstrap and every resource in it is in the documents or in the report, each with a line."""
    said: dict[str, Any] = dict.fromkeys(sections)
    for name in sections:
        field = bootstrap_pb2.Bootstrap.DESCRIPTOR.fields_by_name[name]
        message = field.message_type
        said[name] = "x" if message is None else [] if field.is_repeated else {}
        if broken:
            said[name] = 7.5
    static = {
        "clusters": [cluster(name) for name in names],
        "listeners": [tcp(name, "a", 18400 + i) for i, name in enumerate(names)],
    }
    said["static_resources"] = static
    found = bring(said)
    told = "\n".join(draft.text for draft in found.drafts)
    lines = [line.section for line in found.lines]
    for i in range(len(names)):
        assert f"static_resources.clusters[{i}]" in lines
        assert f"static_resources.listeners[{i}]" in lines
    for name in sections - {"static_resources"}:
        empty = said[name] in ("", [], {})
        assert empty or name in told or any(line.split(".")[0] == name for line in lines), name


def test_a_section_of_every_kind_is_carried_or_named() -> None:
    """Each section that holds something is carried in the bootstrap, or has a line that says why not."""
    said = {
        "node": {"id": "n", "cluster": "c", "metadata": {"a": 1}},
        "admin": {"address": {"pipe": {"path": "/a"}}, "profile_path": "/p"},
        "cluster_manager": {"local_cluster_name": "a"},
        "flags_path": "/flags",
        "hds_config": {
            "api_type": "GRPC",
            "transport_api_version": "V3",
            "grpc_services": [{"envoy_grpc": {"cluster_name": "a"}}],
        },
        "layered_runtime": {"layers": [{"name": "r", "rtds_layer": {"name": "r", "rtds_config": {"ads": {}}}}]},
        "watchdogs": {"main_thread_watchdog": {"miss_timeout": "1s"}},
        "static_resources": {"clusters": [cluster("a")]},
        "nonsense": {"x": 1},
    }
    found = bring(said)
    assert fates(found) == {
        "nonsense": "left out",
        "node.id": "carried",
        "node.cluster": "carried",
        "node": "carried",
        "admin.address": "replaced",
        "admin": "carried",
        "layered_runtime.layers[0]": "left out",
        "cluster_manager": "carried",
        "flags_path": "carried",
        "hds_config": "carried",
        "watchdogs": "carried",
        "static_resources.clusters[0]": "carried",
    }
    assert check(found).same


def test_names_stay_what_the_envoy_calls_them() -> None:
    """Documents have DNS labels; listeners and clusters keep their own names, which statistics speak of."""
    found = bring({"node": {"id": "É_1", "cluster": "Größe/X"}, "static_resources": {"clusters": [cluster("Up_Stream|80")]}})
    assert [one.ref for one in found.drafts] == ["ProxyGroup/groe-x", "Proxy/e-1", "Configuration/groe-x"]
    assert found.drafts[2].spec["clusters"][0]["name"] == "Up_Stream|80"
    assert check(found).same


def test_text_stays_text() -> None:
    """Words that YAML takes for something else are read back as what the Envoy has."""
    words = [
        "no",
        "0o17",
        "1e3",
        "12:30:45",
        "null",
        "~",
        "",
        " a ",
        "a\nb\n",
        "a: b",
        "é",
        "\u2028",
        "=",
        "<<",
        "0x1F",
        "1_000",
    ]
    values = {f"k{i}": word for i, word in enumerate(words)}
    found = bring({"node": {"metadata": values}, "static_resources": {"clusters": [cluster("a")]}})
    assert found.drafts[0].spec["bootstrap"]["node"]["metadata"] == values
    assert check(found).unlike == ()


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", ["http", "tcp", "authz"])
def test_in_every_spelling_it_says_the_same(name: str, plain: bool, shared: bool) -> None:
    """Whole messages or short spellings, inline or shared clusters: what would be told is what runs."""
    found = adopt(read(name, (BOOTSTRAPS / f"{name}.yaml").read_bytes()), Names(), plain=plain, shared=shared)
    verdict = check(found)
    # A shared cluster is told to who mentions it; what nobody mentions stays where everybody is told it.
    assert [one for one in verdict.unlike if not one.meant] == []
    assert verdict.problems == ()


def test_routes_are_short_where_that_says_the_same() -> None:
    """Routes from a control plane are written as people write them, and nothing of what they say changes."""
    retry = {"retry_on": "connect-failure,refused-stream,reset-before-request", "num_retries": 2}
    hosts = [
        {
            "name": "all",
            "domains": ["*"],
            "retry_policy": retry,
            "routes": [
                {"match": {"prefix": "/a"}, "route": {"cluster": "a", "timeout": "2.5s", "prefix_rewrite": "/"}},
                {"match": {"path": "/b"}, "route": {"weighted_clusters": {"clusters": [{"name": "a", "weight": 1}]}}},
                {"match": {"prefix": "x"}, "redirect": {"host_redirect": "y"}},
            ],
        }
    ]
    routes = {"@type": "x/envoy.config.route.v3.RouteConfiguration", "name": "main", "virtual_hosts": hosts}
    kind = "type.googleapis.com/envoy.admin.v3."
    hcm = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    router = {"name": "r", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}
    source = {"ads": {}, "resource_api_version": "V3"}
    manager = {
        "@type": hcm,
        "stat_prefix": "x",
        "rds": {"route_config_name": "main", "config_source": source},
        "http_filters": [router],
    }
    listener = tcp("l", "a") | {"filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}]}
    dump = {
        "configs": [
            {"@type": kind + "ClustersConfigDump", "dynamic_active_clusters": [{"cluster": cluster("a")}]},
            {
                "@type": kind + "ListenersConfigDump",
                "dynamic_listeners": [{"name": "l", "active_state": {"listener": listener}}],
            },
            {"@type": kind + "RoutesConfigDump", "dynamic_route_configs": [{"route_config": routes}]},
        ]
    }
    found = bring(dump)
    (said,) = found.drafts[2].spec["routes"]
    assert said["virtualHosts"][0]["routes"] == [
        {"prefix": "/a", "cluster": "a", "timeoutSeconds": 2.5, "envoy": {"route": {"prefix_rewrite": "/"}}},
        {"path": "/b", "weights": {"a": 1}},
        {"envoy": {"match": {"prefix": "x"}, "redirect": {"host_redirect": "y"}}},
    ]
    assert "envoy" not in said["virtualHosts"][0]
    assert check(found).unlike == ()


def test_what_an_envoy_would_not_say_is_left_out_by_name() -> None:
    """Unknown types, the old API, secrets in the clear, names no document can have: each alone, with its reason."""
    unknown = tcp("u", "a")
    unknown["filter_chains"][0]["filters"][0]["typed_config"] = {"@type": "type.googleapis.com/vendor.Filter", "x": 1}
    header = {"header": {"key": "Authorization", "value": "Bearer s3cret-token"}}
    hosts = [{"name": "a", "domains": ["*"], "request_headers_to_add": [header]}]
    kind = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    manager = {"@type": kind, "stat_prefix": "x", "route_config": {"name": "r", "virtual_hosts": hosts}}
    secret = tcp("s", "a") | {"filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}]}
    old = cluster("old", hosts=[{"socket_address": {"address": "127.0.0.1", "port_value": 1}}])
    clusters = [
        cluster("a"),
        old,
        cluster("two words"),
        cluster("e", type="EDS", eds_cluster_config={"eds_config": {"ads": {}}}),
    ]
    del clusters[3]["load_assignment"]
    found = bring({"static_resources": {"listeners": [tcp("l", "a"), unknown, secret], "clusters": clusters}})
    assert "vendor.Filter" in what(found, "static_resources.listeners[1]")
    assert "Authorization in the clear" in what(found, "static_resources.listeners[2]")
    assert "v2 API" in what(found, "static_resources.clusters[1]")
    assert "no document can say it" in what(found, "static_resources.clusters[2]")
    assert "come from a control plane" in what(found, "static_resources.clusters[3]")
    assert fates(found)["static_resources.listeners[0]"] == "carried"
    assert "s3cret-token" not in str(found.lines) + "".join(draft.text for draft in found.drafts)
    assert check(found).same


def test_the_command(convoy: Convoy, tmp_path: Path) -> None:
    """Documents on standard output, the report beside it; files are made once."""
    file = str(BOOTSTRAPS / "http.yaml")
    done = convoy("import", "envoy", file)
    assert done.exit_code == 0
    assert [one["kind"] for one in yaml.safe_load_all(done.stdout)] == ["ProxyGroup", "Proxy", "Configuration"]
    assert "checked: the imported fleet says exactly what the Envoy runs" in done.stderr
    assert "admin.address: Convoy gives each Envoy an admin socket of its own" in done.stderr

    into = tmp_path / "fleet"
    done = convoy(
        "import", "envoy", file, "--into", str(into), "--name", "edge", "--strict", "--report", str(tmp_path / "r.md")
    )
    assert done.exit_code == 0
    assert sorted(one.name for one in into.iterdir()) == ["edge-configuration.yaml", "edge-proxies.yaml"]
    assert "`admin.address`" in (tmp_path / "r.md").read_text()
    before = {one: one.read_text() for one in into.iterdir()}
    done = convoy("import", "envoy", file, "--into", str(into), "--name", "edge", "--plain")
    assert done.exit_code == 1
    assert "is there already" in done.stderr
    assert {one: one.read_text() for one in into.iterdir()} == before

    told = json.loads(convoy("import", "envoy", "-", "-o", "json", input=Path(file).read_bytes()).stdout)
    assert told["check"] == {"same": True, "compared": told["check"]["compared"], "differences": [], "problems": []}
    for words in (["--admin", "http://192.0.2.1:1"], ["--admin", str(tmp_path / "nobody.sock")], ["--admin", "gopher://x:1/"]):
        failed = convoy("import", "envoy", *words)
        assert failed.exit_code == 1
        assert failed.stderr.startswith("error: ")
    assert convoy("import", "envoy").exit_code == 2
    assert convoy("import", "envoy", file, "--name", "Not A Label").exit_code == 2


def test_what_is_left_out_is_said_to_the_end(convoy: Convoy, tmp_path: Path) -> None:
    """Nobody is told that a fleet says exactly what an Envoy runs while a part of it is missing."""
    file = tmp_path / "part.json"
    file.write_text(json.dumps({"static_resources": {"clusters": [cluster("a"), cluster("b", type="X")]}}))
    done = convoy("import", "envoy", str(file), "--strict")
    assert done.exit_code == 3
    assert "says what the Envoy runs, but for 1 part left out" in done.stderr
    assert "exactly" not in done.stderr


def test_what_is_not_compiled_is_said(convoy: Convoy, tmp_path: Path) -> None:
    """Routes to a cluster that nobody has are a Problem of the documents, with where and what; the end says so."""
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps({"static_resources": {"listeners": [tcp("l", "nowhere\u001b[31m")]}}))
    done = convoy("import", "envoy", str(bad))
    assert done.exit_code == 1
    assert "there is no cluster" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_a_path_is_told_as_people_write_it() -> None:
    """What is broken is named by its path."""
    found = bring({"static_resources": {"clusters": [cluster("a", lb_policy="FASTEST")]}})
    assert dotted(("lb_policy",)) in what(found, "static_resources.clusters[0]")
