"""docs/lessons.md tells the truth: all lessons are there, and every test that it names exists."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "lessons.md"
ROW = re.compile(r"^\| ([TO]\d+) \| (.+) \| (.*) \| ?(.*) ?\|$", re.MULTILINE)
NAMED = re.compile(r"`(tests/[\w/.]+\.py)::(\w+)`")
OURS = sorted(path for room in ("api", "reconciler") for path in (ROOT / room).rglob("*.py"))


@cache
def written_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text())
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in functions if node.name.startswith("test_"))


def rows() -> list[tuple[str, str, str, str]]:
    return ROW.findall(DOCUMENT.read_text())


def test_every_lesson_has_its_line() -> None:
    """T1 to T32, once each and in order."""
    assert [number for number, *_ in rows() if number.startswith("T")] == [f"T{n}" for n in range(1, 33)]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_the_tests_it_names_exist(row: tuple[str, str, str, str]) -> None:
    """And what names none says why it does not concern us yet."""
    _, _, what_we_do, tests = row
    named = NAMED.findall(tests)
    assert named or what_we_do.startswith("not yet: ")
    assert len(named) == tests.count("`") / 2, "a test is named as `tests/file.py::test_name`"
    for path, name in named:
        assert (ROOT / path).is_file(), path
        assert name in written_in(path), f"{path}::{name}"


def calls(path: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))


def test_no_shell_is_ever_started() -> None:
    """No program is run through a shell: not by subprocess, nor by the older ways."""
    for path in OURS:
        for call in calls(path):
            name = ast.unparse(call.func)
            assert name not in ("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"), path
            shells = [word for word in call.keywords if word.arg == "shell"]
            assert all(isinstance(word.value, ast.Constant) and word.value.value is False for word in shells), path


SECRET = re.compile(r"\b(token|authorization|hash|digest_key|password|secret|mac)\b")


def test_secrets_are_compared_in_constant_time() -> None:
    """Where a token or a keyed hash is checked, it is by hmac.compare_digest; `==` on what is secret is found here."""
    checked = {path.name for path in OURS if "compare_digest(" in path.read_text()}
    assert "identity.py" in checked
    for path in (*(ROOT / "reconciler" / "xds").glob("*.py"), ROOT / "reconciler" / "secrets.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
                sides = (one for one in (node.left, *node.comparators) if isinstance(one, ast.Name | ast.Attribute))
                assert not any(SECRET.search(ast.unparse(one)) for one in sides), f"{path.name}: {ast.unparse(node)}"
