"""How things fare, from what is seen: folders with `observed.yaml` in and `health.txt` out (`--update` writes it anew), and
expressions of every kind."""

import re
import resource
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic.alias_generators import to_snake

from reconciler.core import findings, health
from reconciler.core.expressions import LONGEST, ExpressionError, compiled
from reconciler.core.facts import NO_FACTS
from reconciler.core.kinds.part import told
from reconciler.core.kinds.rule import HealthRule
from reconciler.core.model import Health, Observed, ObservedState, Plan, Ref
from reconciler.core.own_health import SEEN, by_kind, judged, variables
from reconciler.core.parse import parse
from reconciler.core.plan import plan
from reconciler.core.status import status
from reconciler.core.validate import validate
from tests.fleets import load_text

CASES = sorted(path for path in (Path(__file__).parent / "health").iterdir() if path.is_dir())
DOCUMENT = Path(__file__).parents[2] / "docs" / "health.md"
SETTINGS = "apiVersion: convoy/v1\nkind: Settings\nmetadata: {name: fleet}\nspec:\n  health:\n"


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_it_fares_as_written(case: Path, request: pytest.FixtureRequest) -> None:
    """What is seen of one thing, and rules about it, give this word and these reasons."""
    told = yaml.safe_load((case / "observed.yaml").read_text())
    kind = told["kind"]
    rules = by_kind(tuple(HealthRule.model_validate(rule) for rule in told.get("rules", ())))
    verdict = judged(seen(told), rules.get(kind, ()), Ref(kind, told.get("name", "x")), told.get("labels", {}))
    written = f"{verdict.status}: {verdict.message}".rstrip(": ") + "\n"
    if request.config.getoption("--update"):
        (case / "health.txt").write_text(written)
    assert written == (case / "health.txt").read_text()


def seen(told: dict[str, Any]) -> health.Seen:
    """`seen` has fields of the value; `fields` and `health` are what a driver tells of an instance."""
    values = {to_snake(name): value for name, value in told.get("seen", {}).items()}
    if "fields" in told:
        one = Observed(Ref("Container", "x"), "i", "local", told["fields"], Health(**told["health"]), 0.0)
        under = findings.instance(one)
        return health.Proxy(under, **values) if told["kind"] == "Proxy" else replace(under, **values)
    found: health.Seen = SEEN[told["kind"]](**values)
    return found


HOST = "apiVersion: convoy/v1\nkind: Host\nmetadata: {name: local}\nspec: {driver: process, address: 127.0.0.1}\n---\n"
APPLICATION = (
    "apiVersion: convoy/v1\nkind: Application\nmetadata: {name: web}\nspec: {replicas: 2, command: [x], ports: [{}]}\n"
)
TOLERANT = "    - {kind: Application, expression: 'healthy >= replicas'}\n    - {kind: Container, expression: restarts < 5}\n"


def planned(text: str) -> tuple[Plan, dict[Ref, Any]]:
    """The fleet with one replica healthy and one that keeps ending."""
    fleet = load_text(HOST + APPLICATION + "---\n" + text if text else HOST + APPLICATION)
    there = {}
    for ref, want in fleet.workloads.items():
        well = ref.name == "web-1"
        state = {"uid": want.uid, "live": want.live, "state": "running", "owner": str(want.owner), "restarts": 0 if well else 9}
        told = Health("healthy") if well else Health("unhealthy", message="no database")
        one = Observed(ref, want.instance, "local", state | {"exit": None if well else 1}, told, 999_990.0)
        there[one.key] = one
    observed = ObservedState(there, {})
    made = plan(fleet, observed, NO_FACTS, 1_000_000.0)
    return made, status(fleet, made, observed, NO_FACTS, {}, {}, 1_000_000.0)


def test_rules_change_what_is_shown_and_nothing_that_is_done() -> None:
    """With rules and without, the same is planned; what is shown is what they say."""
    without, shown = planned("")
    ruled, told = planned(SETTINGS + TOLERANT)
    assert ruled.actions == without.actions
    assert ruled.held == without.held
    web, sick = Ref("Application", "web"), Ref("Container", "web-2")
    assert shown[web].health == "degraded"
    assert "crash loop: ended 9 times" in shown[web].why
    assert shown[sick].health == "unhealthy"
    assert shown[sick].why.startswith("crash loop: ended 9 times, the last time with status 1; no database")
    assert told[web].health == "unhealthy"


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("expression: healthy >=", "Syntax error"),
        ("expression: helthy > 1", "undeclared reference to 'helthy' (at character 1)"),
        ("expression: name > 3", "no matching overload"),
        ("expression: replicas", "it is int, and not true or false"),
        ("expression: '[1, 2].all(x, x > healthy)'", "it iterates"),
        ("expression: 'true', select: nothing/x", "there is no kind 'nothing'"),
    ],
)
def test_what_is_wrong_with_a_rule_is_said_where_it_stands(rule: str, words: str) -> None:
    """A bad rule is a Problem at its line and column, in CEL's words."""
    text = SETTINGS + "    - {kind: Application, " + rule + "}\n"
    (problem,) = validate(parse("settings.yaml", "", text.encode()).documents).problems
    assert words in problem.what
    assert (problem.where.file, problem.where.line) == ("settings.yaml", 6)
    key = "select: " if "select" in rule else "expression: "
    assert text.splitlines()[5][: problem.where.column - 1].endswith(key)


def test_without_the_library_a_rule_is_a_problem() -> None:
    """Where there is no build of it, fleets without rules load, and a rule says what to install."""
    code = (
        "import sys\n"
        "sys.modules['cel_expr_python'] = None\n"
        "from reconciler.core.parse import parse\n"
        "from reconciler.core.validate import validate\n"
        f"text = {SETTINGS!r}\n"
        "rule = '    - {kind: Host, expression: seen}\\n'\n"
        "print([str(one) for one in validate(parse('s.yaml', '', (text + rule).encode()).documents).problems])\n"
        "print(validate(parse('s.yaml', '', (text + '    []').encode()).documents).problems)\n"
    )
    first, second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert "s.yaml:6" in first
    assert "cel-expr-python, which is not here" in first
    assert "pip install 'convoy-fleet[expressions]'" in first
    assert second == "()"


GROWING = "name"
for _ in range(7):
    GROWING = f"[{GROWING}].map(x, x+x+x+x+x+x+x+x+x+x)[0]"
LOOPS = "true"
for number in range(7):
    LOOPS = f"[0,1,2,3,4,5,6,7,8,9].all(x{number}, {LOOPS})"
HOSTILE = [
    GROWING + " == ''",
    LOOPS,
    "(" * 400 + "true" + ")" * 400,
    "!" * 900 + "true",
    "1" + "+1" * 450 + " == 1",
    "[" * 400 + "]" * 400 + " == []",
    "x" * (LONGEST + 1),
    "name.matches('" + "(a*)*" * 50 + "b')",
    "name.matches('((((a{100}){100}){100}){100}){100}')",
    "name.matches('" + "(x+x+)+" * 40 + "y')",
    "+".join(["name"] * 150) + " == ''",
    "{'a': 1}.exists(k, k == name)",
    "labels.filter(k, true).size() > 0",
    "size(string(bytes(name + name))) > 9223372036854775807 + 1",
    "timestamp('9999-12-31T23:59:59Z') + duration('1000000h') > timestamp('0001-01-01T00:00:00Z')",
    "\u202ename == ''",
    "name == '\\U0010FFFF'",
    "name == '",
    "",
]


def test_no_expression_takes_long_or_much() -> None:
    """Whatever somebody writes ends in milliseconds, in little memory, with an answer or in words."""
    code = (
        "import resource, sys\n"
        "from tests.core.test_health import try_all\n"
        "try_all()\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=240)
    before, after = map(int, done.stdout.split())
    assert after - before < 100_000


def try_all() -> None:
    known = tuple(("labels" if kind == "map" else name, kind) for name, kind in variables("Application"))
    values: dict[str, Any] = {
        "name": "x" * 5000,
        "labels": {f"k{i}": "v" * 60 for i in range(100)},
        "tenant": "",
        "status": "",
        "message": "",
    }
    values |= {"replicas": 3, "healthy": 2, "starting": 0, "unhealthy": 1, "restarts": 3, "worst": ""}
    compiled("true", known)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    for text in HOSTILE:
        began = time.process_time()
        try:
            answer = str(compiled(text, known).holds(values))
        except ExpressionError as error:
            answer = error.what
        assert answer
        assert "\n" not in answer
        assert time.process_time() - began < 5, text[:80]


def test_every_variable_is_in_the_document_and_the_schema() -> None:
    """People are told of every variable, and of none that is not there."""
    text = DOCUMENT.read_text()
    described = told(HealthRule)["expression"]
    for kind in SEEN:
        (row,) = re.findall(rf"^\| [^|]*\b{kind}\b[^|]* \|([^|]*`[^|]*)\|$", text, re.MULTILINE)
        names = {name for name, _ in variables(kind)[5:]}
        assert set(re.findall(r"`(\w+)`", row)) == names, kind
        assert names <= set(re.findall(r"`(\w+)`", described))
    assert all(one.name == "instance" or one.type in (bool, int, float, str) for kind in SEEN.values() for one in fields(kind))
