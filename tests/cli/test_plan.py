"""`convoy plan` for any commit, between two, for a part of the fleet, and for a pull request."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Convoy
from tests.repos import git, hermetic

FLEET = """
apiVersion: convoy/v1
kind: Host
metadata: {name: local}
spec: {driver: process}
---
apiVersion: convoy/v1
kind: Application
metadata: {name: web, labels: {team: shop}}
spec: {replicas: 1, command: [sleep, "60"], environment: {COLOUR: blue, API_TOKEN: never-shown}}
---
apiVersion: convoy/v1
kind: Container
metadata: {name: other}
spec: {command: [sleep, "60"]}
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two commits of a fleet in a directory of its own; the folder as in the second."""
    hermetic(monkeypatch)
    top = tmp_path / "repository"
    (top / "fleet").mkdir(parents=True)
    git(top, "init", "--quiet", "--initial-branch=main")
    for text in (FLEET, FLEET.replace("replicas: 1", "replicas: 2").replace("blue", "green")):
        (top / "fleet" / "fleet.yaml").write_text(text)
        git(top, "add", ".")
        git(top, "-c", "user.name=A", "-c", "user.email=a@b.example", "commit", "--quiet", "--message=change")
    return top


def test_between_two_commits(convoy: Convoy, repository: Path, state: Path) -> None:
    """From documents alone: nothing of a Convoy is needed, and nothing is left behind."""
    result = convoy("plan", str(repository / "fleet"), "--from", "HEAD~1", "--to", "HEAD", "--exit-code")

    assert result.exit_code == 2, result.output
    assert "plan: 1 to create, 1 to replace" in result.stdout
    assert "touches 2 of 3 workloads; documents: 1 changed" in result.stdout
    assert "~  spec.environment.COLOUR  by replacement   blue → green" in result.stdout
    assert "never-shown" not in result.stdout
    assert not state.exists()
    back = json.loads(convoy("plan", str(repository / "fleet"), "--from", "HEAD", "--to", "HEAD~1", "-o", "json").stdout)
    assert next(iter(back)) == "blast"
    assert (back["blast"]["deleted"], back["blast"]["replaced"], back["blast"]["workloads"]) == (1, 1, {"touched": 2, "of": 3})
    assert back["documents"]["Application/web"]["fields"][0] == {
        "path": "spec.replicas",
        "before": "2",
        "after": "1",
        "effect": "placed",
    }


NEW = """
---
apiVersion: convoy/v1
kind: Container
metadata: {name: new%s, labels: {team: "shop"}}
spec: {command: [sleep, "60"], environment: {COLOUR: "re|d`\\e[31m", DB_PASSWORD: never-shown}}
"""


def test_what_new_documents_say(convoy: Convoy, repository: Path) -> None:
    """A few are shown in the text; of many, what to ask; folded for a pull request; no secret, no escape."""
    file = repository / "fleet" / "fleet.yaml"
    file.write_text(file.read_text() + NEW % 1)
    words = ("plan", str(repository / "fleet"), "--from", "HEAD")
    result = convoy(*words)
    assert "+  spec.environment.COLOUR" in result.stdout
    assert "+  metadata.labels.team" in result.stdout
    markdown = convoy(*words, "-o", "markdown").stdout
    assert "<details><summary><code>+</code> <code>Container/new1</code> create</summary>" in markdown
    assert "| `spec.command[0]` | `sleep` |" in markdown
    for printed in (result.stdout, markdown, convoy(*words, "-o", "json").stdout):
        assert "spec.environment.DB_PASSWORD" in printed
        assert "never-shown" not in printed
        assert "\x1b" not in printed

    file.write_text(file.read_text() + "".join(NEW % number for number in range(2, 9)))
    many = convoy(*words).stdout
    assert "COLOUR" not in many
    assert "`convoy plan --only KIND/NAME`" in many
    assert "spec.environment.COLOUR" in convoy(*words, "--only", "container/new7").stdout
    assert convoy(*words, "-o", "markdown").stdout.count("`spec.environment.COLOUR`") == 8


def test_the_folder_against_a_commit(convoy: Convoy, repository: Path) -> None:
    """Without --to it is the folder as it stands, committed or not; without HOME or a state directory."""
    alone = {"CONVOY_STATE": None, "HOME": None}
    assert "nothing changes" in convoy("plan", str(repository / "fleet"), "--from", "HEAD", **alone).stdout
    file = repository / "fleet" / "fleet.yaml"
    file.write_text(file.read_text().replace("60", "61"))
    result = convoy("plan", str(repository / "fleet"), "--from", "main", **alone)
    assert result.exit_code == 0, result.output
    assert "3 to replace" in result.stdout
    here = convoy("plan", "--source", str(repository), "--subdirectory", "fleet", "--from", "HEAD~1", **alone)
    assert "1 to create, 1 to replace" in here.stdout, here.output


def test_what_is_wrong_in_either(convoy: Convoy, repository: Path) -> None:
    """Problems are shown with whose they are; nothing is compared."""
    (repository / "fleet" / "fleet.yaml").write_text("kind: Nothing\n")
    result = convoy("plan", str(repository / "fleet"), "--from", "HEAD")
    assert result.exit_code == 1
    assert "fleet.yaml:1" in result.stdout
    assert "has problems" in result.stderr
    unknown = convoy("plan", str(repository / "fleet"), "--from", "--upload-pack=x")
    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert "no name of a commit" in unknown.stderr


def test_a_part_of_it(convoy: Convoy, repository: Path) -> None:
    """What is not selected is counted; a name that nobody bears is an error with the nearest one."""
    words = ("plan", str(repository / "fleet"), "--from", "HEAD~1")
    part = convoy(*words, "--only", "Container/web-2")
    assert "plan: 1 to create " in part.stdout, part.output
    assert "only Container/web-2: 1 more resource of this plan is not shown" in part.stdout
    nothing = convoy(*words, "--only", "Container/other", "--exit-code")
    assert nothing.exit_code == 0
    assert "nothing to do for what is selected" in nothing.stdout
    wrong = convoy(*words, "--only", "app/wbe")
    assert wrong.exit_code == 1
    assert "there is no Application/wbe: did you mean 'web'?" in wrong.stderr
    assert "there is no kind 'other'" in convoy(*words, "--only", "other").stderr
    answer = json.loads(convoy(*words, "--only", "team=shop", "-o", "json").stdout)
    assert (answer["selected"], answer["leftOut"]) == ("team=shop", 0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--to", "HEAD"), "--to belongs to --from"),
        (("--from", "HEAD", "--at", "HEAD"), "give one of them"),
        (("--limit", "10"), "3000"),
        (("--only", "x" * 500), "longer than 400"),
    ],
)
def test_what_does_not_go_together(convoy: Convoy, repository: Path, words: tuple[str, ...], said: str) -> None:
    """The command line is refused, and nothing is looked at."""
    result = convoy("plan", str(repository / "fleet"), *words)
    assert result.exit_code == 2
    assert said in result.stderr


def test_for_a_pull_request(convoy: Convoy, repository: Path) -> None:
    """Markdown keeps to its limit."""
    text = convoy("plan", str(repository / "fleet"), "--from", "HEAD~1", "-o", "markdown", "--limit", "3000").stdout
    assert text.startswith("**1 to create, 1 to replace**")
    assert len(text) <= 3000
    assert "never-shown" not in text


@pytest.mark.slow
def test_for_any_commit_on_the_hosts_as_they_are(convoy: Convoy, repository: Path) -> None:
    """`--at` plans for a commit as if it were the newest; the plan of the folder goes on as it was."""
    fleet = str(repository / "fleet")
    now = convoy("plan", fleet)
    assert "3 to create" in now.stdout, now.output
    then = convoy("plan", fleet, "--at", "HEAD~1")
    assert "2 to create" in then.stdout, then.output
    assert git(repository, "rev-parse", "HEAD~1")[:12] in then.stdout
    for words in (("--branch", "main"), ()):
        branch = convoy("plan", "--source", str(repository), *words, "--subdirectory", "fleet", "--at", "main~1")
        assert "2 to create" in branch.stdout, branch.output
    assert convoy("plan", fleet, "--at", "nope").exit_code == 1
