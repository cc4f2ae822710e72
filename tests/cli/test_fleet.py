"""`convoy init` and `validate`, and where sources are."""

import json
from pathlib import Path

import pytest

from reconciler.commands.fleet import shipped
from tests.cli.conftest import Convoy

HELLO = shipped("examples") / "hello" / "fleet"


def test_init_makes_a_repository_from_the_template(convoy: Convoy, tmp_path: Path) -> None:
    """The template's files and a Git repository on branch main, with nothing committed."""
    result = convoy("init", str(tmp_path / "fleet"), "-o", "json")

    assert result.exit_code == 0
    assert (tmp_path / "fleet" / ".git" / "HEAD").read_text() == "ref: refs/heads/main\n"
    made = json.loads(result.stdout)
    assert all((tmp_path / "fleet" / file).is_file() for file in made["files"])
    template = {
        str(p.relative_to(shipped("fleet-repo-template"))) for p in shipped("fleet-repo-template").rglob("*") if p.is_file()
    }
    assert set(made["files"]) == template - {".keep"}


def test_init_leaves_what_is_there_alone(convoy: Convoy, tmp_path: Path) -> None:
    """A directory that holds something is refused, and nothing in it is touched."""
    (tmp_path / "mine.txt").write_text("mine")
    result = convoy("init", str(tmp_path))

    assert result.exit_code == 1
    assert "not empty" in result.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine.txt"]


def test_init_into_a_fresh_clone(convoy: Convoy, tmp_path: Path) -> None:
    """A repository without files is as good as an empty directory, and stays the repository it is."""
    (tmp_path / ".git").mkdir()
    result = convoy("init", str(tmp_path))

    assert result.exit_code == 0
    assert not list((tmp_path / ".git").iterdir())


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "web.yaml").write_text(
        "apiVersion: convoy/v1\nkind: Application\nmetadata:\n  name: web\nspec:\n  replcas: 2\n  command: [true, 1]\n"
    )
    (folder / "host.yaml").write_text("apiVersion: convoy/v1\nkind: Host\nmetadata:\n  name: local\nspec:\n  drivr: process\n")
    return folder


def test_validate_says_what_is_there(convoy: Convoy) -> None:
    """A fleet without problems: how many resources of which kinds."""
    result = convoy("validate", str(HELLO))

    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("valid: ")
    assert "1 Application" in result.stdout


def test_validate_shows_every_problem_with_its_line(convoy: Convoy, broken: Path) -> None:
    """All problems at once, each with file, line and column, the line itself and a mark."""
    result = convoy("validate", str(broken))

    assert result.exit_code == 1
    assert "host.yaml:6:3: " in result.stdout
    assert "web.yaml:6:3: " in result.stdout
    assert "  6 │   replcas: 2\n    │   ^~~~~~~\n" in result.stdout
    assert "did you mean" in result.stdout


def test_validate_for_programs(convoy: Convoy, broken: Path) -> None:
    """JSON in one line where nobody is watching; the exit code is the same."""
    result = convoy("validate", str(broken), "--output", "json")
    answer = json.loads(result.stdout)

    assert result.exit_code == 1
    assert result.stdout.count("\n") == 1
    assert answer["valid"] is False
    assert {"file": "host.yaml", "line": 6, "column": 3}.items() <= answer["problems"][0].items()


def test_validate_for_pull_requests(convoy: Convoy, broken: Path) -> None:
    """Markdown begins with how many there are."""
    assert convoy("validate", str(broken), "-o", "markdown").stdout.startswith("**")


@pytest.mark.parametrize("command", ["validate", "plan", "apply"])
def test_a_place_that_is_no_folder(command: str, convoy: Convoy, tmp_path: Path) -> None:
    """A missing folder or a file is said to be one, with what to do; nothing looks like an empty fleet."""
    (tmp_path / "web.yaml").write_text("")

    missing, file = convoy(command, str(tmp_path / "nowhere")), convoy(command, str(tmp_path / "web.yaml"))

    assert (missing.exit_code, file.exit_code) == (1, 1)
    assert "no folder" in missing.stderr
    assert "one file" in file.stderr


def test_folder_and_source_exclude_each_other(convoy: Convoy) -> None:
    """Which one is meant cannot be guessed."""
    assert convoy("validate", ".", "--source", "x").exit_code == 2
    assert convoy("validate", ".", "--subdirectory", "x").exit_code == 2


def test_an_unreadable_source_is_an_error_for_programs_too(convoy: Convoy, tmp_path: Path) -> None:
    """With --output json the error is JSON."""
    result = convoy("validate", "--source", str(tmp_path / "nowhere.git"), "-o", "json")

    assert result.exit_code == 1
    assert "nowhere.git" in json.loads(result.stdout)["error"]
