"""Imports of input of any kind: it is refused in words or told in bounds, and costs what it is."""

import json
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.core import show, show_adopted
from reconciler.core.adopt import Input, Names, adopt, check, read
from reconciler.core.adopt.inputs import DEEPEST_DUMP
from tests.adopt.inputs import bring, tcp, what

DEEP = b'{"node": ' + b'{"metadata": ' * 5000 + b"1" + b"}" * 5001


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "holds nothing"),
        (b"[1, 2]", "is a list"),
        (b"a: [", ""),
        (b"\xff\xfe\x00", "UTF-16"),
        (b"--- {}\n--- {}\n", "holds 2 documents"),
        (DEEP, "levels deep"),
        (b'{"node": {}, "node": {}}', "twice"),
        (b'{"a": NaN}', "not a finite number"),
        (b'{"a": ' + b"9" * 5000 + b"}", "digits"),
        (b'{"a": "\\u0000"}', "NUL"),
        (b"a: &a [*a]", "cycle"),
        (b'{"configs": [1]}', "/config_dump"),
        (b"apiVersion: convoy/v1\nkind: Host\n", "not an Envoy's"),
        (b'{"configs": [{"@type": "type.googleapis.com/envoy.admin.v2alpha.BootstrapConfigDump"}]}', "v2 API"),
        (b'{"x": {"@type": "type.googleapis.com/envoy.config.filter.http.router.v2.Router"}}', "v2 API"),
    ],
)
def test_input_of_any_kind_is_refused_in_words(text: bytes, words: str) -> None:
    """Whatever is read is no traceback, and says what is wrong."""
    found = read("file", text)
    assert found.problems
    assert words in str(found.problems[0])
    assert DEEPEST_DUMP < 100


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "@type", "x", "active_state"]), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = [
    "static_resources",
    "staticResources",
    "dynamic_resources",
    "node",
    "admin",
    "configs",
    "listeners",
    "clusters",
    "secrets",
]


def ends_in_words(said: Input) -> None:
    if said.problems:
        assert all(one.what for one in said.problems)
        return
    found = adopt(said, Names())
    verdict = check(found)
    assert {"ProxyGroup", "Proxy", "Configuration"} <= {draft.kind for draft in found.drafts}
    shown = show.plain(show_adopted.adopted(found, verdict), 100)
    assert ("checked" in shown or "would be another" in shown) != bool(verdict.problems)
    assert json.loads(json.dumps(show_adopted.adopted_json(found, verdict, [])))["check"]["same"] is verdict.same


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.sampled_from(KEYS), JSON | st.dictionaries(st.sampled_from(KEYS), st.lists(JSON, max_size=2), max_size=2)
    )
)
def test_no_value_makes_an_import_raise(said: dict[str, Any]) -> None:
    """Values of any type in any place end in documents, a report or a Problem."""
    ends_in_words(read("x", json.dumps(said).encode()))


DUMPED = [
    "ListenersConfigDump",
    "ClustersConfigDump",
    "RoutesConfigDump",
    "SecretsConfigDump",
    "EndpointsConfigDump",
    "EcdsConfigDump",
    "x",
]
LISTS = [
    "static_listeners",
    "dynamic_listeners",
    "static_clusters",
    "dynamic_active_clusters",
    "static_secrets",
    "dynamic_route_configs",
]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(DUMPED), st.dictionaries(st.sampled_from(LISTS), JSON, max_size=2)), max_size=3))
def test_no_dump_makes_an_import_raise(parts: list[tuple[str, dict[str, Any]]]) -> None:
    """The same for a dump."""
    found = read(
        "x",
        json.dumps(
            {"configs": [{"@type": f"type.googleapis.com/envoy.admin.v3.{kind}", **said} for kind, said in parts]}
        ).encode(),
    )
    ends_in_words(found)


def test_a_dump_of_nonsense_is_told_in_bounds() -> None:
    """What no Envoy knows is named up to a number, and the rest counted; text and Markdown have an end, and JSON has all."""
    clusters = [{"name": "a", **{f"no{i}": 1 for i in range(5000)}}, *({"name": "b", "no": i} for i in range(2000))]
    said = {"static_resources": {"clusters": clusters}}
    begun = time.process_time()
    found = bring({**said, **{f"nothing{i}": 1 for i in range(100_000)}})
    assert time.process_time() - begun < 10
    assert what(found, "bootstrap") == "99900 more fields that no Bootstrap has"
    assert "(and 4999 more)" in what(found, "static_resources.clusters[0]")
    verdict = check(found)
    left = sum(line.fate == "left out" for line in found.lines)
    for told in (show.plain(show_adopted.adopted(found, verdict), 100), show_adopted.adopted_markdown(found, verdict)):
        assert f"{left} left out" in told
        assert f"and {left - 1000} more: " in told
        assert len(told) < 500_000
    assert len(show_adopted.adopted_json(found, verdict, [])["report"]) == len(found.lines)


def test_routes_cost_what_they_are() -> None:
    """Twice the listeners and routes take about twice as long."""

    def took(number: int) -> float:
        routes = [{"route_config": {"name": f"r{i}"}} for i in range(number)]
        listeners = [{"active_state": {"listener": tcp(f"l{i}", "a", 1 + i)}} for i in range(number)]
        parts = [("RoutesConfigDump", "dynamic_route_configs", routes), ("ListenersConfigDump", "dynamic_listeners", listeners)]
        configs = [{"@type": f"type.googleapis.com/envoy.admin.v3.{kind}", name: listed} for kind, name, listed in parts]
        begun = time.process_time()
        found = bring({"configs": configs})
        assert sum("no listener that is imported asks" in line.what for line in found.lines) == number
        return time.process_time() - begun

    took(10)
    # The best of several: a busy machine makes one of them costlier.
    assert min(took(800) for _ in range(3)) < 8 * min(took(200) for _ in range(3))
