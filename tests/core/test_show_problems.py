"""Problems as people, programs and pull requests are shown them."""

import re

import pytest

from reconciler.core import show
from reconciler.core.model import (
    Problem,
    Ref,
    Where,
)
from reconciler.core.show_problems import code, inert
from tests.core.golden import WIDTHS, golden

FILES = {
    "apps/web.yaml": (
        "apiVersion: convoy/v1\nkind: Application\nmetadata: {name: web}\nspec:\n  replcas: 2\n"
        '  environment: {TITLE: "日本語 ☃", MODE: fast}\n  ports:\n\t- {name: "http", port: 99999}\n'
    ),
    "long.yaml": "key: " + "x" * 300 + "\n" + "日" * 70 + " here: " + "y" * 70 + "\n",
}
PROBLEMS = (
    Problem(Where("apps/web.yaml", 8, 25), "99999 is more than 65535", "a port is a number from 1 to 65535"),
    Problem(Where("apps/web.yaml", 5, 3), "unknown field 'replcas'", "did you mean 'replicas'?", Ref("Application", "web")),
    Problem(Where("apps/web.yaml", 6, 40), "MODE is told to nobody", ""),
    Problem(Where("long.yaml", 1, 6), "is too long", "shorten it"),
    Problem(Where("long.yaml", 2, 72), "far to the right"),
    Problem(Where("link.yaml"), "is a symbolic link out of the folder, to '/etc/passwd'", "put the file itself there"),
    Problem(Where("apps/web.yaml", 99, 1), "a line that is not there any more", ""),
)


@pytest.mark.parametrize(("name", "width"), WIDTHS)
def test_problems(name: str, width: int | None, request: pytest.FixtureRequest) -> None:
    """Every Problem is shown in the order of the files, with its line and a mark under the very word."""
    golden(f"problems.{name}.txt", show.plain(show.problems(PROBLEMS, FILES), width), request)


def test_a_line_with_a_secret_is_not_shown() -> None:
    """Neither under its own Problem nor as the line before another's."""
    lines = "a: hunter2\nb: x\nc: y\n"
    found = (Problem(Where("f.yaml", 1, 4), "is no age file", quiet=True), Problem(Where("f.yaml", 2, 4), "is no number"))
    shown = show.plain(show.problems(found, {"f.yaml": lines}), 80)
    assert "hunter2" not in shown
    assert "f.yaml:1:4: is no age file" in shown
    assert "2 │ b: x" in shown


def test_problems_for_pull_requests(request: pytest.FixtureRequest) -> None:
    """Markdown with a limit says how many more there are."""
    golden("problems.md", show.problems_markdown(PROBLEMS, limit=4), request)


def test_problems_json() -> None:
    """A program gets file, line and column as numbers."""
    assert show.problem_json(PROBLEMS[1]) == {
        "file": "apps/web.yaml",
        "line": 5,
        "column": 3,
        "what": "unknown field 'replcas'",
        "hint": "did you mean 'replicas'?",
        "ref": "Application/web",
    }


@pytest.mark.parametrize(
    "hostile",
    [
        "<img src=x onerror=alert(1)>",
        "[click](javascript:alert(1))",
        "@everyone",
        "a|b",
        "`x`",
        "https://evil.example",
        "#12",
        "**b**",
    ],
)
def test_markdown_is_inert(hostile: str) -> None:
    """What a fleet file says is shown on a pull request as it is: no HTML, link, mention, table cell or emphasis."""
    shown = inert(hostile)

    assert "<" not in shown
    assert "[click](" not in shown
    assert not any(sign in shown.replace(f"\\{sign}", "") for sign in "`*|#[]")
    assert "@e" not in shown
    assert "https://" not in shown.replace("\\", "")


@pytest.mark.parametrize(
    "reference", ["#12", "us/fleet#1", "GH-12", "gh-3", "!3", "~4", "%5", "$6", "&7", "@us", "a@b.example"]
)
def test_references_of_forges_are_inert(reference: str) -> None:
    """Forges look for them in what is shown, after escapes are gone: a joint without width stands in each."""
    shown = re.sub(r"\\(.)", r"\1", inert(f"see {reference}")).replace("&amp;", "&")

    assert reference not in shown
    assert shown.replace("\u200b", "") == f"see {reference}"


def test_code_spans_hold_backticks() -> None:
    """A name with backticks does not end the code span it stands in."""
    assert code("a`b") == "``a`b``"
    assert code("`a") == "`` `a ``"
