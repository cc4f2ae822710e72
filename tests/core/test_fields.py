"""What differs between two documents is told by leaf, folded, with its effect, and never with a secret in it."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.fields import MOST_FIELDS, Fields, differences, effects
from reconciler.core.kinds import KINDS
from reconciler.core.kinds.container import REGISTERED
from reconciler.core.values import ABSENT, LONGEST_VALUE

AGE = "-----BEGIN AGE ENCRYPTED FILE-----\ncanary-ciphertext\n-----END AGE ENCRYPTED FILE-----\n"


def told(before: Any, after: Any) -> list[str]:
    return [f"{one.path}: {one.before} => {one.after}" for one in differences(before, after).listed]


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1, "b": "x"}, {"a": 2, "c": None}, ["a: 1 => 2", "c: None => null", "b: x => None"]),
        ({"a": {"b": {"c": "1"}}}, {"a": {"b": {"c": "two words"}}}, ['a.b.c: "1" => two words']),
        ({}, {"a": {}, "b": []}, ["a: None => {}", "b: None => []"]),
        ({"a": {"x": 1}}, {"a": 5}, ["a: {… 1 fields} => 5"]),
        ({"a": "true"}, {"a": True}, ['a: "true" => true']),
        ({"a.b": 1}, {"a.b": 2}, ['"a.b": 1 => 2']),
        # Entries with a name are the same entry wherever they stand.
        (
            {"ports": [{"name": "http", "port": 1}, {"name": "admin"}]},
            {"ports": [{"name": "new", "port": 3}, {"name": "http", "port": 2}, {"name": "admin"}]},
            ["ports[new].name: None => new", "ports[new].port: None => 3", "ports[http].port: 1 => 2"],
        ),
        (
            {"l": [{"port": 1, "a": 1}, {"port": 2}]},
            {"l": [{"port": 2}, {"port": 1, "a": 2}]},
            ["l[1].a: 1 => 2", "l[order]: 1, 2 => 2, 1"],
        ),
        # Of others, what is the same at both ends is left out.
        ({"c": ["a", "b", "c"]}, {"c": ["a", "x", "b", "c"]}, ["c[1]: None => x"]),
        ({"c": ["a", "b", "c"]}, {"c": ["a", "c"]}, ["c[1]: b => None"]),
        ({"c": ["a"]}, {"c": []}, ["c[0]: a => None"]),
        (
            {"c": []},
            {"c": list("abcdefgh")},
            [*(f"c[{i}]: None => {letter}" for i, letter in enumerate("abcde")), "c[5]: None => … 3 more entries"],
        ),
        ({"l": [{"name": "x"}, {"name": "x"}]}, {"l": [{"name": "x"}, {"name": "y"}]}, ["l[1].name: x => y"]),
    ],
)
def test_leaves(before: Any, after: Any, lines: list[str]) -> None:
    """One line for each leaf that differs, in the order of the document as it is now."""
    assert told(before, after) == lines


def test_long_values_show_where_they_begin_to_differ() -> None:
    """Of a page of text one sees the first difference, and how much follows."""
    text = "".join(f"line {i}\n" for i in range(100))
    (one,) = differences({"f": text}, {"f": text.replace("line 50\n", "line fifty\n")}).listed

    assert one.before is not None
    assert one.after is not None
    assert one.before == "line 51: line 50… 393 more characters"
    assert one.after == "line 51: line fifty… 393 more characters"
    (one,) = differences({"f": "x" * 500 + "a"}, {"f": "x" * 500 + "b" * 500}).listed
    assert one.before == "…" + "x" * 24 + "a"
    assert one.after == "…" + "x" * 24 + "b" * 32 + "… 468 more characters"


def test_a_sealed_value_is_never_shown() -> None:
    """Neither its ciphertext, nor its hash, nor what stood in the clear in its place."""
    one, same, other = ({"age": AGE + str(i), "hash": hash} for i, hash in enumerate(("a" * 64, "a" * 64, "b" * 64)))

    def change(before: Any, after: Any) -> list[str]:
        return told({"spec": {"x": before}}, {"spec": {"x": after}})

    assert change(one, same) == []
    assert change(one, other) == ["spec.x: (sealed) => (sealed, another secret)"]
    assert change("canary", one) == ["spec.x: (in the clear, hidden) => (sealed)"]
    assert change(one, "canary") == ["spec.x: (sealed) => (in the clear, hidden)"]
    assert change({"a": "canary"}, one) == ["spec.x: (in the clear, hidden) => (sealed)"]
    assert told({}, {"spec": {"x": one}}) == ["spec.x: None => (sealed)"]
    assert told({"a": AGE}, {"a": AGE + "x"}) == ["a: (hidden) => (hidden)"]


def test_of_a_webhooks_address_the_host_is_shown() -> None:
    """What stands behind it opens it in most services; that it is another is told all the same."""

    def change(before: str, after: str) -> list[str]:
        return told(*({"spec": {"to": {"webhook": {"url": url}}}} for url in (before, after)))

    where = "spec.to.webhook.url: "
    assert change("https://a.example/canary", "https://b.example:8443?canary") == [
        f"{where}https://a.example/(hidden) => https://b.example:8443/(hidden)"
    ]
    assert change("https://a.example/canary", "https://a.example/canary2") == [f"{where}(hidden) => (hidden)"]
    assert change("https://a.example/", "canary") == [f"{where}https://a.example/ => …/(hidden)"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DB_PASSWORD", "canary"),
        ("API_TOKEN", "canary"),
        ("SECRET_KEY_BASE", "canary"),
        ("server.key", "canary"),
        ("URL", "postgres://user:canary@host/db"),
        ("etc/x", "-----BEGIN RSA PRIVATE KEY-----\ncanary"),
    ],
)
def test_what_looks_like_a_secret_is_not_shown(name: str, value: str) -> None:
    """A plan is read by more people than the repository: what somebody wrote in the clear stays out of it all the same."""
    for before, after in ((ABSENT, value), (value, ABSENT), (value, value.replace("canary", "canary2")), (value, 5)):
        for field in ("environment", "files"):
            was, now = ({"spec": {field: {} if side is ABSENT else {name: side}}} for side in (before, after))
            found = differences(was, now).listed
            assert found
            assert "canary" not in repr(found)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"command": ["serve", "--password", "canary1"]}, {"command": ["serve", "--password", "canary2"]}),
        ({"command": ["serve"]}, {"command": ["serve", "--api-token", "canary2", "-v"]}),
        ({"command": ["serve", "--token=canary1"]}, {"command": ["serve", "--token=canary2"]}),
        ({"files": {"a.conf": "a = 1\ndb_password = canary1\n"}}, {"files": {"a.conf": "a = 1\ndb_password = canary2\n"}}),
        ({"files": {"a.conf": "x" * 200 + "secret: canary1"}}, {"files": {"a.conf": "x" * 200 + "secret: canary2"}}),
        (
            {"h": {"key": "Authorization", "value": "Bearer canary1"}},
            {"h": {"key": "Authorization", "value": "Bearer canary2"}},
        ),
        ({"lua": "h['authorization'] = 'Bearer canary1'\n\n"}, {"lua": "h['authorization'] = 'Bearer canary2'\n\n"}),
        ({"tls": {"privateKey": {"inlineString": "canary1"}}}, {"tls": {"privateKey": {"inlineString": "canary2"}}}),
    ],
)
def test_nor_is_what_stands_beside_a_secrets_name(before: Any, after: Any) -> None:
    """Arguments, lines of files, headers: the value goes with the name, wherever the text is cut."""
    found = differences({"spec": before}, {"spec": after}).listed
    assert found
    assert "canary" not in repr(found)


def test_what_envoys_are_told_is_not_taken_for_secrets() -> None:
    """Envoy's own words hold "secret" and "token" everywhere."""
    before = {"spec": {"tokenBucket": {"maxTokens": 1}, "sdsSecretConfig": {"name": "a"}}}
    after = {"spec": {"tokenBucket": {"maxTokens": 2}, "sdsSecretConfig": {"name": "b"}}}
    assert told(before, after) == ["spec.tokenBucket.maxTokens: 1 => 2", "spec.sdsSecretConfig.name: a => b"]


@pytest.mark.parametrize(
    ("kind", "path", "effect"),
    [
        ("Container", "spec.command", "replace"),
        ("Container", "spec.check", "in place"),
        ("Container", "spec.host", "placed"),
        ("Container", "metadata.deletion", "in place"),
        ("Container", "metadata.drift", "ruled"),
        ("Container", "metadata.labels", "ruled"),
        ("Container", "metadata.annotations", "noted"),
        ("Application", "spec.replicas", "placed"),
        ("Application", "spec.port", "told"),
        ("Proxy", "spec.group", "replace"),
        ("Proxy", "spec.ports", "told"),
        ("ProxyGroup", "spec.drainSeconds", "replace"),
        ("ProxyGroup", "spec.configuration", "told"),
        ("Configuration", "spec.listeners", "told"),
        ("Host", "spec.state", "placed"),
        ("Settings", "spec.deleteBudget", "ruled"),
        ("Unheard", "spec.x", "noted"),
    ],
)
def test_how_a_field_takes_effect(kind: str, path: str, effect: str) -> None:
    """In place, by replacement, by what Envoys are told, by being moved, or not at all."""
    assert effects(kind)((*path.split("."), "deeper")) == effect


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_of_every_kind_has_an_effect(kind: str) -> None:
    """No field that is declared is without consequence, but for what only tells of something."""
    for name, field in KINDS[kind].model_fields.items():
        telling = {"VirtualMachine": KINDS[kind].model_fields.keys(), "Container": REGISTERED, "Proxy": {"cluster"}}.get(
            kind, ()
        )
        assert (effects(kind)(("spec", field.alias or name)) == "noted") == (name in telling)


def test_of_what_runs_without_convoy_nothing_follows() -> None:
    """Also where the same field of another Container would replace it."""
    assert effects("Container", {"spec": {"virtualMachine": "vm-1"}})(("spec", "environment", "A")) == "noted"
    assert effects("Container", {"spec": {"command": ["x"]}})(("spec", "environment", "A")) == "replace"


def test_work_and_output_are_bounded() -> None:
    """The largest documents cost a moment, and what is not listed is counted."""
    before = {"a": {str(i): i for i in range(20_000)}, "t": "x" * 1_000_000}
    after = {"a": {str(i): -i - 1 for i in range(20_000)}, "t": "x" * 1_000_000 + "y"}
    begun = time.process_time()
    found = differences(before, after)
    assert time.process_time() - begun < 30
    assert len(found.listed) == MOST_FIELDS
    assert found.more == 20_000 + 1 - MOST_FIELDS
    assert found.whole
    assert not differences({}, {str(i): i for i in range(200_000)}).whole
    deep: Any = 1
    for _ in range(10_000):
        deep = {"a": deep}
    assert len(differences({}, deep).listed) == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=200),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=4) | st.just("name"), inner, max_size=4),
    max_leaves=20,
)


def listed(found: Fields) -> list[tuple[str | None, str | None]]:
    return [(one.before, one.after) for one in found.listed]


@given(JSON, JSON)
def test_any_two_documents(before: Any, after: Any) -> None:
    """Nothing raises, equal ones differ in nothing, unequal ones in something, and both ways tell the same."""
    assert differences(before, before) == Fields()
    there = differences({"x": before}, {"x": after})
    back = differences({"x": after}, {"x": before})
    assert bool(there.listed) or before == after
    assert sorted(map(repr, listed(there))) == sorted(repr((new, old)) for old, new in listed(back))
    for one in there.listed:
        for side in (one.before, one.after):
            assert side is None or (len(side) <= LONGEST_VALUE + 40 and "\n" not in side)
