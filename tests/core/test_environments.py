"""An environment is its bases' documents and its own, told values, patched, and every mistake is shown where it was made."""

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core import show
from reconciler.core.patches import merged
from tests.layered import BASE, HEAD, HOST, PRODUCTION, Layered, container, environment, shop

# What RFC 7396 says of its own examples: https://www.rfc-editor.org/rfc/rfc7396#appendix-A
TABLE = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=12,
)


@pytest.mark.parametrize(("target", "patch", "result"), TABLE)
def test_a_merge_patch_is_the_one_of_the_standard(target: Any, patch: Any, result: Any) -> None:
    """Every line of the standard's own table."""
    assert merged(target, patch) == result


@given(JSON, JSON)
@settings(max_examples=300, deadline=None)
def test_merging_is_what_the_standard_says_of_any_json(target: Any, patch: Any) -> None:
    """For each member: null removes, a mapping merges, anything else replaces; what the patch does not name stays."""
    before = json.loads(json.dumps(target))
    result = merged(json.loads(json.dumps(target)), patch)
    if not isinstance(patch, dict):
        assert result == patch
        return
    was = before if isinstance(before, dict) else {}
    assert result.keys() == (was.keys() | patch.keys()) - {key for key, value in patch.items() if value is None}
    for key, value in result.items():
        if key not in patch:
            assert value == was[key]
        elif not isinstance(patch[key], dict):
            assert value == patch[key]
        else:
            assert value == merged(json.loads(json.dumps(was.get(key))), patch[key])


def test_bases_and_own_documents_are_one_fleet() -> None:
    """A base's documents come in; what this directory holds stands beside them and may name them."""
    layered = shop(environments__production__api=container("api"))
    assert set(layered.documents()) == {"Host/local", "Container/web", "Container/api"}
    assert layered.load().problems == ()


def test_without_an_environment_nothing_is_rendered() -> None:
    """A directory without environment.yaml is what it was before there were environments, `${var.x}` included."""
    layered = Layered({"hosts.yaml": HOST, "web.yaml": container("web", 'command: ["${var.x}"]')}, root="")
    assert layered.tree().layers == ()
    assert layered.documents()["Container/web"]["spec"] == {"host": "local", "command": ["${var.x}"]}
    assert layered.loader.rendered == 0


def test_a_file_of_that_name_without_an_environment_is_one_like_any_other() -> None:
    """Somebody's environment.yaml with ordinary documents goes on being a file with documents."""
    layered = Layered({"hosts.yaml": HOST, "environment.yaml": container("web")}, root="")
    assert layered.load().problems == ()
    assert layered.tree().layers == ()


def test_an_environment_without_changes_is_its_documents() -> None:
    """No variables, no patches: the very objects that were read, so that nothing is paid for."""
    layered = shop()
    written = layered.loader.render(layered.tree(), layered.contents)
    assert all(one.trail is None for one in written.documents)
    assert layered.loader.rendered == 0


def test_a_variable_that_stands_alone_keeps_its_type() -> None:
    """A number is a number, a list a list; inside a text it is text; `$$` keeps the words; other words are not touched."""
    layered = shop(
        "  values: {n: 6, names: [a, b]}\n",
        "  variables:\n    n: {type: integer}\n    names: {type: list}\n    on: {type: boolean, default: true}\n"
        "    share: {type: number, default: 0.5}\n    text: {default: '6'}\n",
    )
    words = (
        "command: [a, '${var.n}', 'n=${var.n}.', '${PORT}', '$${var.n}', '${var.text}', '${var.on} ${var.share}']\n"
        "  x: ${var.n}\n  y: ${var.names}\n  z: ${var.on}\n"
    )
    layered.files[BASE + "web.yaml"] = container("web", words)
    spec = layered.documents()["Container/web"]["spec"]
    assert spec == {
        "host": "local",
        "command": ["a", 6, "n=6.", "${PORT}", "${var.n}", "6", "true 0.5"],
        "x": 6,
        "y": ["a", "b"],
        "z": True,
    }


def test_the_environment_speaks_last() -> None:
    """A default, over it a base's value for its own base, over it the environment's."""
    declares = environment("bottom", variables="{a: {default: d}, b: {default: d}, c: {default: d}}")
    layered = Layered(
        {
            "bottom/environment.yaml": declares,
            "bottom/x.yaml": HOST + "---\n" + container("x", "command: ['${var.a}', '${var.b}', '${var.c}']"),
            "middle/environment.yaml": environment("middle", bases="[../bottom]", values="{b: m, c: m}"),
            "top/environment.yaml": environment("top", bases="[../middle]", values="{c: t}"),
        },
        root="top/",
    )
    assert layered.documents()["Container/x"]["spec"] == {"host": "local", "command": ["d", "m", "t"]}


def test_a_base_reached_twice_is_there_once() -> None:
    """Each of the two that name it changes it, in their order; neither changes what only the other has."""
    patch = "[{target: {kind: Container}, merge: {spec: {environment: {%s: '1', LAST: %s}}}}]"
    layered = Layered(
        {
            "common/x.yaml": HOST + "---\n" + container("common"),
            "a/environment.yaml": environment("a", bases="[../common]", patches=patch % ("A", "a")),
            "a/x.yaml": container("a"),
            "b/environment.yaml": environment("b", bases="[../common]", patches=patch % ("B", "b")),
            "b/x.yaml": container("b"),
            "top/environment.yaml": environment("top", bases="[../a, ../b]"),
        },
        root="top/",
    )
    found: Any = {name: one["spec"] for name, one in layered.documents().items() if name != "Host/local" and "spec" in one}
    assert found["Container/common"]["environment"] == {"A": "1", "B": "1", "LAST": "b"}
    assert found["Container/a"]["environment"] == {"A": "1", "LAST": "a"}
    assert found["Container/b"]["environment"] == {"B": "1", "LAST": "b"}


def test_patches_merge_operate_and_delete() -> None:
    """One after the other, each on what the one before left; labels are put on everything at last."""
    layered = shop(
        "  patches:\n"
        "  - target: {kind: Container, name: web}\n    merge: {spec: {command: [a, b], host: ~}}\n"
        "  - target: {kind: Container, name: web}\n    json:\n"
        "    - {op: test, path: /spec/command/0, value: a}\n    - {op: add, path: /spec/command/-, value: '${var.n}'}\n"
        "    - {op: copy, from: /spec/command, path: /spec/again}\n    - {op: remove, path: /spec/command/0}\n"
        "  - target: {labels: {tier: db}}\n    delete: true\n"
        "  labels: {environment: '${var.n}'}\n"
        "  variables: {n: {default: last}}\n",
        bases__shop__db=HEAD.format("Container", "db").replace("db}", "db, labels: {tier: db}}") + "spec: {command: [x]}\n",
    )
    assert layered.documents() == {
        "Host/local": {
            "apiVersion": "convoy/v1",
            "kind": "Host",
            "metadata": {"name": "local", "labels": {"environment": "last"}},
        },
        "Container/web": {
            "apiVersion": "convoy/v1",
            "kind": "Container",
            "metadata": {"name": "web", "labels": {"environment": "last"}},
            "spec": {"command": ["b", "last"], "again": ["a", "b", "last"]},
        },
    }


def test_a_patch_for_many_gives_each_its_own() -> None:
    """What is put into two documents and then changed in one stays in the other."""
    layered = shop(
        "  patches:\n  - target: {kind: Container}\n    merge: {spec: {environment: {A: '1'}}}\n"
        "  - target: {kind: Container}\n    json: [{op: add, path: /spec/stop, value: {signal: INT}}]\n"
        "  - target: {name: web}\n    json: [{op: add, path: /spec/environment/B, value: '2'}, "
        "{op: add, path: /spec/stop/graceSeconds, value: 1}]\n",
        bases__shop__api=container("api"),
    )
    found: Any = layered.documents()
    assert found["Container/web"]["spec"]["environment"] == {"A": "1", "B": "2"}
    assert found["Container/api"]["spec"]["environment"] == {"A": "1"}
    assert found["Container/api"]["spec"]["stop"] == {"signal": "INT"}


WRONG = [
    (
        "  values: {replica: 3}\n",
        "  variables: {replicas: {type: integer, default: 1}}\n",
        "environments/production/environment.yaml:6:12: there is no variable 'replica' | did you mean 'replicas'?",
    ),
    (
        "  values: {replicas: many}\n",
        "  variables: {replicas: {type: integer, default: 1}}\n",
        (
            "environments/production/environment.yaml:6:22: 'replicas' must be a whole number, not 'many' | "
            "it is declared at bases/shop/environment.yaml:5:15"
        ),
    ),
    (
        "",
        "  variables: {replicas: {type: integer}}\n",
        (
            "environments/production/environment.yaml:5:3: the variable 'replicas' has no value | "
            "say what it is under `values` here; it is declared at bases/shop/environment.yaml:5:15"
        ),
    ),
    (
        "  variables: {replicas: {}}\n",
        "  variables: {replicas: {default: x}}\n",
        (
            "environments/production/environment.yaml:6:15: the variable 'replicas' is declared twice: "
            "first at bases/shop/environment.yaml:5:15 | rename one; to say what it is here, write it under `values`"
        ),
    ),
    (
        "  patches: [{target: {kind: Container, name: wep}, merge: {}}]\n",
        "",
        (
            "environments/production/environment.yaml:6:46: no document of the bases or of this directory has "
            "kind 'Container' name 'wep' | did you mean 'web'?"
        ),
    ),
    (
        "  patches: [{target: {kind: Contaner}, merge: {}}]\n",
        "",
        (
            "environments/production/environment.yaml:6:29: no document of the bases or of this directory has "
            "kind 'Contaner' | did you mean 'Container'?"
        ),
    ),
    (
        "  patches: [{target: {name: web}, json: [{op: replace, path: /spec/comand, value: 1}]}]\n",
        "",
        (
            "environments/production/environment.yaml:6:62: does not fit Container/web, bases/shop/web.yaml:1:1: "
            "`replace` /spec/comand: there is nothing to do that to | "
        ),
    ),
    (
        "  patches: [{target: {name: web}, merge: {metadata: {name: other}}}]\n",
        "",
        (
            "environments/production/environment.yaml:6:13: does not fit Container/web, bases/shop/web.yaml:1:1: "
            "a patch cannot make another resource of it | leave `kind` and `metadata.name` as they are"
        ),
    ),
    (
        "  patches: [{target: {name: web}, merge: {spec: {restart: '${var.policy}'}}}]\n",
        "  variables: {police: {default: never}}\n",
        "environments/production/environment.yaml:6:59: there is no variable 'policy' | did you mean 'police'?",
    ),
    # Flaws that only the rendered document has, each where somebody wrote it.
    (
        "  patches: [{target: {name: web}, merge: {spec: {restart: sometimes}}}]\n",
        "",
        (
            "environments/production/environment.yaml:6:59: `restart` must be 'always', 'on-failure' or 'never', "
            "not 'sometimes' | it changes bases/shop/web.yaml:1:1"
        ),
    ),
    (
        "  patches: [{target: {name: web}, json: [{op: add, path: /spec/comand, value: 1}]}]\n",
        "",
        (
            "environments/production/environment.yaml:6:58: unknown field `comand` | did you mean 'command'?; "
            "it changes bases/shop/web.yaml:1:1"
        ),
    ),
]


@pytest.mark.parametrize(("spec", "base", "said"), WRONG)
def test_a_mistake_is_shown_where_it_was_made(spec: str, base: str, said: str) -> None:
    """File, line and column of the layer that says it, and the other place where that helps."""
    found = shop(spec, base).problems()
    assert [one for one in found if one.startswith(said)] == found[:1], "\n".join(found)
    assert len(found) == 1


def test_a_flaw_of_a_value_is_shown_at_the_value() -> None:
    """What an environment gives is wrong there; a default is wrong in the base; a text with both is wrong where it stands."""
    layered = shop(
        "  values:\n    policy: sometimes\n",
        "  variables: {policy: {}, level: {type: integer, default: 7}}\n",
        bases__shop__web=container("web", "command: [x]\n  restart: ${var.policy}\n  host: ${var.level}").replace(
            "host: local\n  ", ""
        ),
    )
    assert layered.problems() == [
        (
            "bases/shop/environment.yaml:5:59: `host` must be text, not a number | "
            'put it in quotes: "7"; it is ${var.level} at bases/shop/web.yaml:7:9'
        ),
        (
            "environments/production/environment.yaml:7:13: `restart` must be 'always', 'on-failure' or 'never', "
            "not 'sometimes' | it is ${var.policy} at bases/shop/web.yaml:6:12"
        ),
    ]


def test_an_unknown_variable_in_a_base_is_shown_there() -> None:
    """At the line of the text, once, with a guess; and how to write the words themselves."""
    layered = shop(base="  variables: {replicas: {default: x}}\n")
    layered.files[BASE + "web.yaml"] = container("web", "command:\n  - ${var.replica}\n  - ${var.replicas\n  - ${var.zzzzz}")
    assert layered.problems() == [
        "bases/shop/web.yaml:7:5: there is no variable 'replica' | did you mean 'replicas'?",
        (
            "bases/shop/web.yaml:8:5: '${var.replicas' is no variable | "
            "write ${var.NAME}, or $${var. where that text itself is meant"
        ),
        (
            "bases/shop/web.yaml:9:5: there is no variable 'zzzzz' | "
            "there is replicas; where that text itself is meant, write $${var.zzzzz}"
        ),
    ]


SEALED = "{age: '-----BEGIN AGE ENCRYPTED FILE-----\n\n    x\n\n    -----END AGE ENCRYPTED FILE-----', hash: unkeyed-%s}" % (
    "0" * 32
)


def test_no_variable_goes_into_a_sealed_secret() -> None:
    """A value that an overlay gives cannot become a part of what was sealed, and a patch replaces it whole or not at all."""
    secret = "command: [x]\n  environment:\n    TOKEN: {age: '${var.a}', hash: '${var.b}'}"
    layered = shop(base="  variables: {a: {default: x}, b: {default: y}}\n", bases__shop__web=container("web", secret))
    assert layered.problems() == [
        (
            "bases/shop/web.yaml:8:12: a sealed secret takes no variables: what it is, its ciphertext alone says | "
            "put another sealed secret in its place by a patch"
        )
    ]
    whole = container("web", f"command: [x]\n  environment:\n    TOKEN: {SEALED}")
    for patch in (
        "merge: {spec: {environment: {TOKEN: {hash: x}}}}",
        "json: [{op: replace, path: /spec/environment/TOKEN/age, value: x}]",
    ):
        (problem,) = shop(f"  patches:\n  - target: {{name: web}}\n    {patch}\n", bases__shop__web=whole).problems()
        assert problem.startswith("environments/production/environment.yaml:8:")
        assert "says nothing without the other" in problem
    assert (
        shop(
            f"  patches:\n  - target: {{name: web}}\n    merge: {{spec: {{environment: {{TOKEN: {SEALED}}}}}}}\n",
            bases__shop__web=whole,
        ).problems()
        == []
    )


BASES = [
    ("/etc", "it is an absolute path"),
    ("../../../etc", "it leads out of the repository"),
    ("../../bases/../../x", "it leads out of the repository"),
    ("../../.git", "what begins with a dot is no part of a fleet"),
    ('"../../bases/shop\\u200b"', "it holds characters that no directory here has"),
    ("..\\bases", "it holds characters that no directory here has"),
    ("../../bases/shopp", "there is no such directory"),
    ("../../bases/shop-2", "there is no such directory"),
    (".", "a cycle: environments/production → environments/production"),
    ("../../bases/loop", "a cycle: environments/production → bases/loop → environments/production"),
    ("../..", "environments/production lies in the repository's root, which does not name it as a base"),
    ("..", "environments/production lies in environments, which does not name it as a base"),
]


@pytest.mark.parametrize(("base", "said"), BASES)
def test_a_base_stays_within_reach(base: str, said: str) -> None:
    """No path leads out of the repository, round in a circle, or to what only looks like a base; each is told at its line."""
    loop = environment("loop", bases="[../../environments/production]")
    layered = shop(bases__loop__environment=loop)
    layered.files[PRODUCTION + "environment.yaml"] = f"{HEAD.format('Environment', 'p')}spec:\n  bases:\n  - {base}\n"
    found = layered.load().problems
    assert [one for one in found if said in one.what], found
    assert {str(one.where) for one in found} <= {
        "environments/production/environment.yaml:6:5",
        "bases/loop/environment.yaml:5:11",
    }


def test_a_base_inside_the_directory_that_names_it_is_a_layer_of_its_own() -> None:
    """Its documents count once, as the base's."""
    layered = Layered({"environment.yaml": environment(bases="[base]"), "base/x.yaml": HOST, "own.yaml": container("web")}, "")
    assert set(layered.documents()) == {"Host/local", "Container/web"}
    assert [layer.root for layer in layered.tree().layers] == ["base/", ""]


def test_tenants_of_a_base_are_tenants() -> None:
    """`tenants/<tenant>/` counts from each layer's own directory, and a patch may be for one of them."""
    layered = shop(
        "  patches: [{target: {tenant: acme, name: web}, merge: {spec: {command: [y]}}}]\n",
        bases__shop__tenants__acme__web=container("web", "command: [x]").replace("  host: local\n", ""),
        bases__shop__tenants__acme__hosts=HEAD.format("Host", "acme"),
    )
    fleet = layered.load().fleet
    assert fleet is not None
    commands: Any = {str(ref): one.spec.command for ref, one in fleet.resources.items() if ref.kind == "Container"}  # type: ignore[attr-defined]
    assert commands == {"Container/web": ("x",), "Container/acme/web": ("y",)}


def test_what_is_declared_in_base_and_environment_is_a_problem() -> None:
    """Nothing overrides by having the same name: a patch says so openly."""
    (problem,) = shop(environments__production__web=container("web")).problems()
    assert problem.startswith(
        "environments/production/web.yaml:3:18: Container/web is declared twice: first at bases/shop/web.yaml:3:18"
    )


def test_a_resource_knows_its_layers() -> None:
    """Where the document stands, the patch, and the values: what a person may want to edit."""
    layered = shop(
        "  values: {word: z}\n  patches:\n  - target: {name: web}\n    merge: {spec: {restart: never}}\n",
        "  variables: {word: {}}\n",
        bases__shop__web=container("web", "command: ['${var.word}']"),
    )
    fleet = layered.load().fleet
    assert fleet is not None
    found = {str(ref): [f"{one.file}:{one.line}" for one in resource.layers] for ref, resource in fleet.resources.items()}
    own = "environments/production/environment.yaml"
    assert found == {"Host/local": [], "Container/web": ["bases/shop/web.yaml:1", f"{own}:8", f"{own}:6"]}


def test_environments_read_as_one_fleet_say_what_to_name() -> None:
    """At the repository's root there is one thing to say, and not what follows from it."""
    layered = shop("  patches: [{target: {name: web}, merge: {}}]\n", environments__staging__environment=environment("staging"))
    layered.root = ""
    (problem,) = layered.problems()
    assert problem == (
        "bases/shop/environment.yaml:2:7: this directory holds environments, and is none itself | "
        "name one of them instead: environments/production, environments/staging"
    )


@pytest.mark.parametrize(
    "text", ["kind: Environment\nspec: {bases: [", "kind: Environment\nspec: {bases: 3}\n", "kind: Environment\n"]
)
def test_a_broken_environment_is_the_only_thing_told(text: str) -> None:
    """Nothing is said about documents that miss what it would have given them."""
    layered = shop()
    layered.files[PRODUCTION + "web.yaml"] = container("x", "command: ['${var.a}']\n  nonsense: 1")
    layered.files[PRODUCTION + "environment.yaml"] = text
    found = layered.load().problems
    assert found
    assert {one.where.file for one in found} == {PRODUCTION + "environment.yaml"}


def test_copies_of_copies_come_to_an_end() -> None:
    """A few lines cannot stand for a billion things, however they are copied, nor make a text of gigabytes."""
    copies = "".join(f"    - {{op: copy, from: /spec, path: /spec/x{number}}}\n" for number in range(60))
    (problem,) = shop(f"  patches:\n  - target: {{name: web}}\n    json:\n{copies}").problems()
    assert "makes a document of more than" in problem
    long = "x" * 4096
    words = "${var.a}" * 6000
    (problem,) = shop(
        base=f"  variables: {{a: {{default: {long}}}}}\n", bases__shop__web=container("web", f'command: ["{words}"]')
    ).problems()
    assert "says more than" in problem


NAMES = st.sampled_from(["web", "api", "db"])


@st.composite
def repositories(draw: st.DrawFn) -> Layered:
    """An environment of random documents, patches and values, right and wrong."""
    documents = draw(
        st.lists(
            st.tuples(NAMES, st.sampled_from(["x", "${var.a}", "${var.b} y", "${var.zz}", "$${var.a}"])), min_size=1, max_size=4
        )
    )
    where = draw(st.lists(st.sampled_from([BASE, PRODUCTION]), min_size=4, max_size=4))
    value = draw(st.sampled_from(["1", "[p, q]", "text", "true"]))
    merge = draw(st.dictionaries(st.sampled_from("abcd"), JSON, max_size=3))
    pointer = draw(
        st.sampled_from(["/spec/command/0", "/spec/command/-", "/spec/x", "/spec", "", "/metadata/name", "/spec/command/9"])
    )
    op = draw(st.sampled_from(["add", "remove", "replace", "test"]))
    operation = {"op": op, "path": pointer} | ({"value": draw(JSON)} if op != "remove" else {})
    patches = [
        {"target": {"name": draw(NAMES)}, "merge": {"spec": merge}},
        {"target": {"kind": "Container"}, "json": [operation]},
    ][: draw(st.integers(0, 2))]
    layered = shop(
        f"  values: {{a: {value}}}\n  patches: {json.dumps(patches)}\n",
        "  variables: {{a: {{type: {}}}, b: {{default: bb}}}}\n".format(
            draw(st.sampled_from(["string", "list", "integer", "boolean"]))
        ),
    )
    del layered.files[BASE + "web.yaml"]
    for number, (name, word) in enumerate(documents):
        layered.files[f"{where[number]}{number}.yaml"] = container(name, f"command: ['{word}']")
    return layered


@given(repositories(), st.randoms())
@settings(max_examples=150, deadline=None)
def test_rendering_is_the_same_whatever_the_order_and_every_problem_has_a_place(layered: Layered, random: Any) -> None:
    """Files come in any order, the answer is one; a Problem's line is a line of a file that is there."""
    first = layered.load()
    shuffled = list(layered.files.items())
    random.shuffle(shuffled)
    again = Layered(dict(shuffled)).load()
    assert (first.problems, first.fleet and first.fleet.resources) == (again.problems, again.fleet and again.fleet.resources)
    for problem in first.problems:
        lines = re.split(r"\r\n|\r|\n", layered.files[problem.where.file])
        assert 1 <= problem.where.line <= len(lines)
        assert 1 <= problem.where.column <= len(lines[problem.where.line - 1]) + 1


@given(repositories(), repositories())
@settings(max_examples=100, deadline=None)
def test_what_is_remembered_changes_no_answer(one: Layered, other: Layered) -> None:
    """From one environment to the next and back: the same as from nothing."""
    one.load()
    files = one.files
    one.files = other.files
    then = one.load()
    fresh = Layered(other.files).load()
    assert (then.problems, then.fleet and then.fleet.resources) == (fresh.problems, fresh.fleet and fresh.fleet.resources)
    one.files = files
    back, fresh = one.load(), Layered(files).load()
    assert (back.problems, back.fleet and back.fleet.resources) == (fresh.problems, fresh.fleet and fresh.fleet.resources)


def test_a_commit_renders_what_it_changes() -> None:
    """One file of a base: one document. A value: those that use it. A comment in a base's environment: nothing else."""
    layered = shop(
        "  values: {a: x, b: y}\n  patches:\n  - target: {name: c7}\n    merge: {spec: {restart: never}}\n",
        "  variables: {a: {}, b: {}, c: {default: z}}\n",
    )
    for number in range(200):
        word = "'${var.a}'" if number < 20 else "'${var.c}'" if number < 60 else "x"
        layered.files[f"{BASE}c{number}.yaml"] = container(f"c{number}", f"command: [{word}]")
    assert layered.load().problems == ()
    assert layered.loader.rendered == 60
    made = layered.loader.rendered
    layered.load()
    assert layered.loader.rendered == made
    layered.files[f"{BASE}c30.yaml"] = container("c30", "command: ['${var.c}', y]")
    layered.files[f"{BASE}c100.yaml"] = container("c100", "command: [y]")
    read = len(layered.read)
    assert layered.load().problems == ()
    assert layered.loader.rendered == made + 1
    # The two files, and the two environments, which are read each time.
    assert len({*layered.read[read:]}) == 2 + 2
    made = layered.loader.rendered
    layered.files[PRODUCTION + "environment.yaml"] = layered.files[PRODUCTION + "environment.yaml"].replace("a: x", "a: xx")
    loaded = layered.load()
    assert loaded.problems == ()
    assert layered.loader.rendered == made + 20
    assert loaded.fleet is not None
    made = layered.loader.rendered
    layered.files[BASE + "environment.yaml"] += "# a comment\n"
    layered.load()
    # The default that forty of them use stands in that file, whose lines have moved.
    assert layered.loader.rendered == made + 40


@given(repositories(), st.integers(0, 3), NAMES, st.sampled_from(["x", "${var.a}", "${var.zz}", "$${var.b}"]))
@settings(max_examples=150, deadline=None)
def test_one_edited_document_is_as_if_all_were_new(layered: Layered, number: int, name: str, word: str) -> None:
    """Whatever it was and becomes: the quick way there and the long one give the same answer, and so does the way back."""
    layered.load()
    path = next(one for one in sorted(layered.files) if one.endswith(f"{number % (len(layered.files) - 3)}.yaml"))
    before = layered.files[path]
    for text in (container(name, f"command: ['{word}']"), before):
        layered.files[path] = text
        now, fresh = layered.load(), Layered(dict(layered.files)).load()
        assert (now.problems, now.fleet and now.fleet.resources) == (fresh.problems, fresh.fleet and fresh.fleet.resources)


def test_explain_names_the_layers() -> None:
    """Who looks at a resource sees which lines of which files made it what it is there."""
    row = {"ref": "Container/web", "sync": "synced", "health": "healthy", "since": 0.0, "where": "bases/shop/web.yaml:1"}
    layers = ["bases/shop/web.yaml:1", "environments/production/environment.yaml:8"]
    shown = show.plain(show.explain({**row, "layers": layers}, show.Known(), 1.0))
    assert "environments/production/environment.yaml:8" in shown
    assert "convoy render --explain" in shown
    assert "changed" not in show.plain(show.explain(row, show.Known(), 1.0))
