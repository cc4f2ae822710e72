"""What is wrong with one document by itself is found, each mistake at its place, in words that help."""

import copy
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.kinds import KINDS
from reconciler.core.model import Ref
from reconciler.core.parse import Document
from reconciler.core.validate import validate
from tests.core.checked import check, document, documents, problems


def one(kind: str, spec: str) -> str:
    """The only Problem of a document with this spec, without the place's file and line."""
    found = problems(document(kind, "x", spec))
    assert len(found) == 1, found
    assert found[0].startswith("f.yaml:4:"), found[0]
    return found[0].removeprefix("f.yaml:4:")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("kind: Host\nmetadata: {name: a}", "1:1: `apiVersion` is missing (write `apiVersion: convoy/v1`)"),
        ("apiVersion: v1\nkind: Host\nmetadata: {name: a}", "1:13: `apiVersion` must be 'convoy/v1', not 'v1'"),
        ("apiVersion: convoy/v1\nmetadata: {name: a}", "1:1: `kind` is missing (known kinds: Settings, Host,"),
        ("apiVersion: convoy/v1\nkind: host\nmetadata: {name: a}", "2:7: there is no kind 'host' (did you mean 'Host'?)"),
        ("apiVersion: convoy/v1\nkind: Aplication\nmetadata: {name: a}", "(did you mean 'Application'?)"),
        ("apiVersion: convoy/v1\nkind: [Host]\nmetadata: {name: a}", "2:7: `kind` must be text, not a list"),
        ("apiVersion: convoy/v1\nkind: Host", "1:1: `metadata` is missing"),
        ("apiVersion: convoy/v1\nkind: Host\nmetadata: x", "3:11: `metadata` must be a mapping, not text"),
        ("apiVersion: convoy/v1\nkind: Host\nmetadata: {}", "3:1: `name` is missing"),
        ("apiVersion: convoy/v1\nkind: Host\nmetadata: {name: Web}", "3:18: `name` does not fit: 'Web'"),
        ("apiVersion: convoy/v1\nkind: Host\nmetadata: {name: a_b}", "3:18: `name` does not fit"),
        ("apiVersion: convoy/v1\nkind: Host\nmetadata: {name: -a}", "3:18: `name` does not fit"),
        ("apiVersion: convoy/v1\nkind: Host\nmetadata: {name: ../a}", "3:18: `name` does not fit"),
        ('apiVersion: convoy/v1\nkind: Host\nmetadata: {name: "a\\n"}', "3:18: `name` does not fit"),
        (f"apiVersion: convoy/v1\nkind: Host\nmetadata: {{name: {'a' * 64}}}", "3:18: `name` does not fit"),
        (
            "apiVersion: convoy/v1\nkind: Host\nmetadata: {name: 12}",
            '3:18: `name` must be text, not a number (put it in quotes: "12")',
        ),
        ("apiVersion: convoy/v1\nkind: Host\nmetadata: {name: a, nmae: b}", "3:21: unknown field `nmae`"),
        ("apiVersion: convoy/v1\nkind: Host\nmetadata: {name: a, uid: 1-2}", "3:26: `uid` does not fit"),
        ("apiVersion: convoy/v1\nkind: Host\nmetadata: {name: a, labels: {a b: c}}", "3:30: the key 'a b' does not fit"),
        ("apiVersion: convoy/v1\nkind: Host\nmetadata: {name: a, labels: {a: true}}", 'put it in quotes: "true"'),
        (
            "apiVersion: convoy/v1\nkind: Host\nmetadata: {name: a}\nsepc: {}",
            "4:1: unknown field `sepc` (did you mean 'spec'?)",
        ),
        ("apiVersion: convoy/v1\nkind: Host\nmetadata: {name: a}\nspec: []", "4:7: `spec` must be a mapping, not a list"),
        ("apiVersion: convoy/v1\nkind: Proxy\nmetadata: {name: a}", "1:1: `spec` is missing"),
    ],
)
def test_what_is_wrong_with_an_envelope(text: str, found: str) -> None:
    """Each mistake in what every document has is one Problem at its place."""
    listed = problems(text)
    assert len(listed) == 1, listed
    assert found in listed[0]


@pytest.mark.parametrize(
    ("kind", "spec", "found"),
    [
        ("Host", "{adress: a}", "8: unknown field `adress` (did you mean 'address'?)"),
        ("Host", "{zzz: a}", "8: unknown field `zzz` (known here: state, driver, address, ports)"),
        ("Host", "{driver: proces}", "16: `driver` must be 'process', not 'proces' (did you mean 'process'?)"),
        ("Host", "{ports: 30000-20000}", "'30000-20000' is not a range of ports"),
        ("Host", "{ports: 1-99999}", "is not a range of ports"),
        ("Host", "{address: }", "8: `address` has no value (write text, or leave the field out)"),
        ("Settings", "{drainSeconds: soon}", "22: `drainSeconds` must be a number, not text"),
        ("Settings", "{validateWithEnvoy: yes}", "27: `validateWithEnvoy` must be true or false, not text"),
        ("Container", "{command: []}", "17: `command` must have at least 1 entry"),
        ("Container", "{command: ['']}", "the program to run is empty"),
        ("Container", "{command: run}", "17: `command` must be a list, not text"),
        ("Container", "{command: [run, 5]}", '23: `command[1]` must be text, not a number (put it in quotes: "5")'),
        ("Container", "{command: [x], ports: [{port: 0}]}", "`port` must be at least 1, not 0"),
        ("Container", "{command: [x], ports: [{port: 65536}]}", "`port` must be at most 65535, not 65536"),
        ("Container", "{command: [x], ports: [{port: '80'}]}", "`port` must be a whole number, not text"),
        ("Container", "{command: [x], ports: [{port: 80.5}]}", "`port` must be a whole number, not a fraction"),
        ("Container", "{command: [x], ports: [{}, {}]}", "two ports are named 'http'"),
        ("Container", "{command: [x], ports: [{port: 8080}, {name: b, port: 8080}]}", "two ports have the number 8080"),
        ("Container", "{command: [x], ports: [{protocol: unix, port: 80}]}", "a Unix socket has no port number"),
        ("Container", "{command: [x], environment: {A-B: c}}", "the key 'A-B' does not fit"),
        ("Container", "{command: [x], environment: {A: 1}}", "`A` must be text, not a number (put it in quotes)"),
        ("Container", "{command: [x], files: {/etc/passwd: x}}", "30: '/etc/passwd' is an absolute path"),
        ("Container", "{command: [x], files: {a/../../b: x}}", "'a/../../b' leads out of the instance's directory"),
        ("Container", "{command: [x], files: {./a: x}}", "is not a plain relative path"),
        ("Container", "{command: [x], files: {a/: x}}", "is not a plain relative path"),
        ("Container", "{command: [x], files: {'': x}}", "is not a plain relative path"),
        ("Container", '{command: [x], files: {"a\\eb": x}}', "cannot be seen"),
        ("Container", f"{{command: [x], files: {{{'a' * 300}: x}}}}", "too long for a file"),
        ("Container", "{command: [x], files: {a: x, a/b: y}}", "'a' is a file and a directory"),
        (
            "Container",
            "{command: [x], workingDirectory: tmp}",
            "40: `workingDirectory` does not fit: 'tmp' (write an absolute path",
        ),
        ("Container", "{command: [x], check: {}}", "a check needs one of `http`, `tcp` and `command`"),
        ("Container", "{command: [x], ports: [{}], check: {http: {}, tcp: {}}}", "not http and tcp (remove one)"),
        ("Container", "{command: [x], check: {tcp: {}}}", "there is no port to send this to"),
        ("Container", "{command: [x], ports: [{}], check: {http: {port: b}}}", "there is no port 'b' (there is http)"),
        ("Container", "{command: [x], ports: [{}], stop: {http: {port: b}}}", "there is no port 'b' (there is http)"),
        (
            "Container",
            "{command: [x], ports: [{}], check: {http: {path: a b}}}",
            "`path` does not fit: 'a b' (begin it with `/`",
        ),
        ("Application", "{command: [x], replicas: -1}", "`replicas` must be at least 0, not -1"),
        ("Application", "{command: [x], replicas: 1001}", "`replicas` must be at most 1000, not 1001"),
        ("Application", "{command: [x], port: http}", "there is no port 'http' (declare it under `ports`)"),
        ("Cluster", "{}", "a cluster must say where its requests go"),
        ("Cluster", "{endpoints: ['a:99999']}", "'a:99999' has no port number"),
        ("Cluster", "{endpoints: [a]}", "`endpoints[0]` does not fit: 'a' (write address:port)"),
        ("Cluster", "{endpoints: ['a:1'], port: http}", "`port` names a port of `application` or `container`"),
        ("Configuration", "{listeners: [{name: a, address: localhost}]}", "39: 'localhost' is not an IP address"),
        (
            "Configuration",
            "{routes: [{name: a, virtualHosts: [{routes: [{cluster: b}]}]}]}",
            "a route must say which requests it is for",
        ),
        ("Configuration", "{routes: [{name: a, virtualHosts: [{routes: [{prefix: /}]}]}]}", "a route must say where they go"),
        ("Configuration", "{routes: [{name: a, virtualHosts: [{domains: []}]}]}", "`domains` must have at least 1 entry"),
        ("Certificate", "{}", "7: a certificate needs `selfSigned`, or `chain` and `key`"),
        ("Certificate", "{selfSigned: {names: [a b]}}", "`names[0]` does not fit: 'a b'"),
        ("Certificate", "{chain: '-----BEGIN CERTIFICATE-----'}", "a certificate needs `key` beside `chain`"),
        ("VirtualHost", "{group: g, port: 1, domains: [a]}", "there is neither `backend` nor `weights`"),
        ("VirtualHost", "{group: g, port: 1, domains: [a b], backend: b}", "`domains[0]` does not fit: 'a b' (write a domain"),
        ("VirtualHost", "{group: g, port: 1, domains: [a], weights: {a: 0}}", "41: no cluster has any share of the requests"),
        ("VirtualHost", "{group: g, port: 1, domains: [a], weights: {}}", "no cluster has any share of the requests"),
    ],
)
def test_what_is_wrong_with_a_spec(kind: str, spec: str, found: str) -> None:
    """Wrong types, unknown fields, values out of bounds and broken rules are each one Problem at its column."""
    problem = one(kind, spec)
    if found[0].isdigit():
        assert problem.startswith(found)
    assert found in problem


@pytest.mark.parametrize(
    "route", ["{path: /a, cluster: web}", "{prefix: /, envoy: {redirect: {}}}", "{envoy: {match: {}, route: {}}}"]
)
def test_what_envoy_says_counts_for_the_short_spelling(route: str) -> None:
    """A route may leave to its `envoy` message what the short spelling would say."""
    text = document("Application", "web", "{command: [x], ports: [{}]}")
    assert (
        problems(text + document("Configuration", "c", f"{{routes: [{{name: a, virtualHosts: [{{routes: [{route}]}}]}}]}}"))
        == []
    )


def test_everything_is_found_at_once() -> None:
    """One document may have many mistakes, in the order in which they stand there."""
    text = document(
        "Application",
        "web",
        "\n  replicas: two\n  comand: [x]\n  environment: {A B: c}\n  files: {../x: y, /z: y}"
        "\n  ports: [{port: 0}, {nam: a}]\n  check: {intervalSeconds: 0}",
    )
    found = check(text + document("Host", "h", "{x: 1}")).problems
    assert [(problem.where.line, problem.where.column) for problem in found] == [
        *((4, 1), (5, 13), (6, 3), (7, 17), (8, 11), (8, 20), (9, 18), (9, 23), (10, 28), (15, 8)),
    ]
    assert found[0].ref == Ref("Application", "web")


def test_secrets_are_not_repeated() -> None:
    """Whoever writes a secret where it does not belong must not find it in a message, a log and a pull request as well."""
    for spec in (
        "{key: {age: hunter2, hash: hunter2}, chain: hunter2}",
        "{key: hunter2, chain: x}",
        '{chain: "-----BEGIN CERTIFICATE-----\\n-----BEGIN PRIVATE KEY-----\\nhunter2", key: {age: hunter2, hash: x}}',
    ):
        assert "hunter2" not in "".join(problems(document("Certificate", "c", spec)))
    assert "hunter2" not in "".join(problems(document("Container", "c", "{command: [x], environment: {A: [hunter2]}}")))


def test_messages_stay_short_and_printable() -> None:
    """Long and invisible values are cut and escaped before they reach anybody's terminal."""
    text = document("Host", "h", f'{{driver: "\\e[31m{"x" * 5000}", "\\e[2J{"y" * 500}": 1}}')
    for problem in check(text).problems:
        assert problem.what.isprintable()
        assert len(problem.what) < 200


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["web", "edge", "local", "/", "a:1", "http"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(list(KINDS)), st.lists(st.tuples(st.randoms(use_true_random=False), VALUES), min_size=1, max_size=3))
def test_no_document_makes_validate_raise(kind: str, changes: list[tuple[Any, Any]]) -> None:
    """Whatever stands anywhere in a document: a resource, or Problems with places in it."""
    value = copy.deepcopy(KINDS[kind].example)
    for random, new in changes:
        at: Any = value
        while isinstance(at, dict | list) and at:
            key = random.choice(list(at)) if isinstance(at, dict) else random.randrange(len(at))
            if not isinstance(at[key], dict | list) or not at[key] or random.random() < 0.3:
                at[key] = new
                break
            at = at[key]
    one_ = Document(
        documents({"f.yaml": "a: 1"})[0].source, value, yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "replace")
    )
    found = validate([one_])
    assert bool(found.problems) or found.whole
    for problem in found.problems:
        assert problem.what.isprintable()
        assert len(problem.what) < 400
