"""compile(): from documents to workloads and to what every group of proxies is told."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.compile import Compiler, compile
from reconciler.core.connect import Connector, check
from reconciler.core.kinds.application import Application
from reconciler.core.kinds.proxy import Proxy
from reconciler.core.model import ObservedState, Ref, Resource
from reconciler.core.pieces import Translation
from reconciler.core.translate import translate
from tests.core.test_virtualhosts import BARE, SECOND, SHOP
from tests.core.written import CONFIGURATION, EDGE, HOST, WEB, Written, told, traffic, written


def test_a_small_fleet() -> None:
    """Replicas, an Envoy and the four resources it is told follow from five documents."""
    fleet = written(web=WEB, edge=EDGE, configuration=CONFIGURATION, host=HOST).fleet()
    assert list(map(str, fleet.workloads)) == ["Container/web-1", "Container/web-2", "Proxy/edge-1"]
    assert {str(want.owner) for want in fleet.workloads.values()} == {"Application/web", "Proxy/edge-1"}
    assert traffic(fleet) == {"cds": ["web"], "lds": ["http"], "rds": ["main"], "sds": []}
    assert told(fleet, "cds", "web").eds == "Application/web/http"
    assert told(fleet, "lds", "http").refers == (("rds", "main"),)
    assert told(fleet, "rds", "main").refers == (("cds", "web"),)
    assert str(told(fleet, "lds", "http").origin) == "configuration.yaml:6:7"
    assert told(fleet, "rds", "main").owner == Ref("Configuration", "edge")
    assert told(fleet, "cds", "web").owner == Ref("Application", "web")


def test_the_host_that_is_named() -> None:
    """A Proxy's host is where it must run, and a Container's too; replicas have none of their own."""
    container = "kind: Container\nmetadata: {name: files}\nspec: {command: [run], host: local}"
    fleet = written(web=WEB, edge=EDGE, configuration=CONFIGURATION, host=HOST, files=container).fleet()
    hosts = {str(ref): want.host for ref, want in fleet.workloads.items()}
    assert hosts == {
        "Container/files": "local",
        "Container/web-1": "",
        "Container/web-2": "",
        "Proxy/edge-1": "local",
    }


def web(**spec: Any) -> tuple[str, str]:
    """Instance and live digest of an Application's first replica."""
    declared = Application.model_validate({"command": ["run"], **spec})
    base = written(web="kind: Application\nmetadata: {name: web}\nspec: {command: [run]}")
    ref = Ref("Application", "web")
    resources = {ref: replace(base.resources[ref], spec=declared, digest=str(spec))}
    fleet = compile("r", resources, base.locate).fleet
    assert fleet is not None
    want = fleet.workloads[Ref("Container", "web-1")]
    return want.instance, want.live


def test_instances_of_the_last_release() -> None:
    """These digests are on running things: when they change, an upgrade of Convoy replaces every fleet. Never mend the test."""
    assert web() == ("deccce5ae16ce177", "5b005ea94400c629")
    assert web(environment={"A": "b"}, check={"tcp": {}}, ports=[{}]) == ("971791d155845d40", "c3257eb9a59b478c")


def test_what_replaces_an_instance() -> None:
    """Only what an instance is made of replaces it: not where it runs, how many there are, or what changes in place."""
    instance, live = web(ports=[{"name": "http"}])
    assert web(ports=[{"name": "http"}], replicas=3, hosts=["a"], port="http") == (instance, live)
    in_place = web(ports=[{"name": "http"}], restart="never")
    assert in_place[0] == instance
    assert in_place[1] != live
    assert web(ports=[{"name": "http"}], environment={"A": "1"})[0] != instance


@pytest.mark.parametrize(
    ("change", "replaced"),
    [
        (("{configuration: edge}", "{configuration: other}"), False),
        (("host: local", "host: local, ports: {http: 10001}"), False),
        (("host: local", "host: other"), False),
        (("{configuration: edge}", "{configuration: edge, logLevel: info}"), True),
        (("{configuration: edge}", "{configuration: edge, xds: sotw}"), True),
        (("{configuration: edge}", "{configuration: edge, bootstrap: {stats_flush_interval: 1s}}"), True),
    ],
)
def test_what_replaces_an_envoy(change: tuple[str, str], replaced: bool) -> None:
    """An Envoy is replaced for what it is started with, and for nothing that reaches it by xDS."""
    other = CONFIGURATION.replace("{name: edge}", "{name: other}")
    files = {"web": WEB, "configuration": CONFIGURATION, "other": other, "host": HOST}
    before = written(**files, edge=EDGE).fleet().workloads[Ref("Proxy", "edge-1")]
    after = written(**files, edge=EDGE.replace(*change)).fleet().workloads[Ref("Proxy", "edge-1")]
    assert (before.instance != after.instance) == replaced
    assert before.live == after.live


def test_a_replica_with_the_name_of_a_container() -> None:
    """Two workloads of one name are a Problem, at the Application."""
    container = "kind: Container\nmetadata: {name: web-2}\nspec: {command: [run]}"
    problems = written(web=WEB, container=container).problems()
    assert problems == ["web.yaml:4:18: replica 'web-2' has the name of Container/web-2 (rename one of them)"]


PIECES: dict[str, list[str]] = {
    "web": [WEB, WEB.replace("[run]", "[run, fast]"), WEB.replace("{name: http}, ", "")],
    "edge": [EDGE, BARE, SECOND, EDGE.replace("host: local}", f"host: local, configuration: edge, revision: {'a' * 40}}}")],
    "configuration": [
        CONFIGURATION,
        "# moved down\n" + CONFIGURATION,
        CONFIGURATION.replace("cluster: web", "weights: {web: 1, spare: 2}"),
        CONFIGURATION.replace("prefix: /", "path: /x"),
    ],
    "cluster": [
        "",
        'kind: Cluster\nmetadata: {name: spare}\nspec: {endpoints: ["127.0.0.1:1"]}',
        "kind: Cluster\nmetadata: {name: spare}\nspec: {application: web}",
    ],
    "shop": ["", SHOP, SHOP.replace("web: 3", "web: 4"), SHOP.replace("8443", "10000")],
    "host": [HOST],
}
# What a commit of before declares that a Proxy may be pinned to: the same object every time, as a loader gives it.
THEN = written(configuration=CONFIGURATION.replace("10000", "10009")).resources[Ref("Configuration", "edge")]
CHOICES = st.fixed_dictionaries({name: st.sampled_from(texts) for name, texts in PIECES.items()})


@settings(max_examples=60, deadline=None)
@given(st.lists(CHOICES, min_size=2, max_size=5), st.randoms(use_true_random=False))
def test_incremental_equals_from_scratch(revisions: list[dict[str, str]], random: Any) -> None:
    """Whatever came before, and in whatever order documents are given, a revision compiles to the same.

    What then is told refers to nothing that is not there.
    """
    compiler = Compiler()
    known: dict[tuple[str, str], Written] = {}
    for revision in revisions:
        parts = [known.setdefault((name, text), written(**{name: text})) for name, text in revision.items()]
        resources = {ref: one for part in parts for ref, one in part.resources.items()}
        documents = {ref: one for part in parts for ref, one in part.documents.items()}
        locate = Written(resources, documents).locate
        shuffled = list(resources.items())
        random.shuffle(shuffled)
        proxies = [one for one in resources.values() if isinstance(one.spec, Proxy) and one.spec.revision]
        pinned = {one.ref: THEN for one in proxies}
        incremental = compiler.compile("r", dict(shuffled), locate, pinned)
        for one in (*resources.values(), THEN):
            one.made.clear()
        scratch = compile("r", resources, locate, pinned)
        assert incremental == scratch
        if scratch.fleet is not None:
            told = Connector().connect(scratch.fleet, ObservedState({}), {})
            assert [check(snapshot) for snapshot in told.values()] == [[]] * len(told)


def test_a_change_elsewhere_translates_nothing_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that touches one document leaves the translations of the others as they are."""
    translated: list[Ref] = []

    def noted(resource: Resource, targets: Sequence[Resource | None]) -> Translation:
        translated.append(resource.ref)
        return translate(resource, targets)

    monkeypatch.setattr("reconciler.core.compiling.translate", noted)
    first = written(web=WEB, edge=EDGE, host=HOST, configuration=CONFIGURATION)
    second = written(web=WEB.replace("[run]", "[run, fast]"))
    compiler = Compiler()
    compiler.compile("r1", first.resources, first.locate)
    assert translated == [Ref("Configuration", "edge")]
    compiler.compile("r2", {**first.resources, **second.resources}, first.locate)
    assert translated == [Ref("Configuration", "edge")]


def test_two_who_have_the_same_documents_translate_them_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What leads to addresses is made of one document alone; what leads to an Application, of that as well, by each."""
    translated: list[str] = []

    def noted(resource: Resource, targets: Sequence[Resource | None]) -> Translation:
        translated.append(resource.ref.name)
        return translate(resource, targets)

    monkeypatch.setattr("reconciler.core.compiling.translate", noted)
    alone = "kind: Cluster\nmetadata: {name: %s}\nspec: {endpoints: ['127.0.0.1:%d']}"
    both = written(
        web=WEB, host=HOST, one=alone % ("one", 1), to="kind: Cluster\nmetadata: {name: to}\nspec: {application: web}"
    )
    first, second = Compiler(), Compiler()
    assert first.compile("r", both.resources, both.locate) == second.compile("r", both.resources, both.locate)
    assert sorted(translated) == ["one", "to", "to"]
    other = written(one=alone % ("one", 2))
    changed = {**both.resources, **other.resources}
    compiled = second.compile("r2", changed, both.locate)
    assert sorted(translated) == ["one", "one", "to", "to"]
    assert compiled == compile("r2", changed, both.locate)
    # And one that is like another with something else in it has none of what was made of that.
    assert replace(both.resources[Ref("Cluster", "one")], uid="u").made == {}
