"""`convoy comment`: what it takes from a job's environment, and how it answers."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from reconciler import cli
from reconciler.forge.ci import Job, job
from tests.forge.conftest import BOT, EVIL, FORK, TOKEN
from tests.forge.stand_in import Reply, StandIn

HEAD = "4f1c2ab" + "0" * 33


@pytest.fixture
def environment(kind: str, forge: StandIn, tmp_path: Path) -> dict[str, str]:
    actions = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_API_URL": forge.api,
        "GITHUB_SERVER_URL": "https://git.example",
        "GITHUB_REPOSITORY": "us/fleet",
        "GITHUB_REF": "refs/pull/7/merge",
        "GITHUB_SHA": "e" * 40,
        "GITHUB_RUN_ID": "90",
        "GITHUB_RUN_NUMBER": "3",
        "GITHUB_RUN_ATTEMPT": "2",
        "GITHUB_TOKEN": TOKEN,
    }
    return {
        "github": {**actions, "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")},
        "gitea": {**actions, "GITEA_ACTIONS": "true", "GITHUB_REF": "refs/pull/7/head"},
        "gitlab": {
            "GITLAB_CI": "true",
            "CI_API_V4_URL": forge.api,
            "CI_MERGE_REQUEST_PROJECT_ID": "41",
            "CI_MERGE_REQUEST_IID": "7",
            "CI_COMMIT_SHA": HEAD,
            "CI_PIPELINE_IID": "3",
            "CI_JOB_ID": "77",
            "CI_JOB_URL": "https://gitlab.example/us/fleet/-/jobs/77",
            "GITLAB_TOKEN": TOKEN,
        },
    }[kind]


def convoy(environment: dict[str, str], *words: str, text: str = "") -> Result:
    """With nothing of the environment of whoever runs the tests."""
    others = dict.fromkeys(("GITHUB_ACTIONS", "GITEA_ACTIONS", "FORGEJO_ACTIONS", "GITLAB_CI", "GITHUB_TOKEN"))
    return CliRunner().invoke(cli.convoy, ["comment", *words], input=text, env={**others, **environment}, prog_name="convoy")


def test_a_job_tells_all_but_the_commit(environment: dict[str, str], forge: StandIn, kind: str, tmp_path: Path) -> None:
    """From a file or from standard input; what was done is said in words or as JSON."""
    (tmp_path / "plan.md").write_text("**1 to create**")
    result = convoy(environment, "--revision", HEAD, str(tmp_path / "plan.md"))
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("a comment was written on 7")
    result = convoy(environment, "--revision", HEAD, "-o", "json", text="**2 to create**")
    assert json.loads(result.stdout)["done"] == "updated"

    (said,) = forge.of(BOT[kind])
    assert "### Fleet: `4f1c2ab00000`\n\n**2 to create**" in said
    run = "jobs/77" if kind == "gitlab" else "us/fleet/actions/runs/" + ("90" if kind == "github" else "3")
    assert f"{run})</sub>" in said
    assert all(TOKEN not in str(request.path) for request in forge.heard)


def test_what_is_named_wins(environment: dict[str, str], forge: StandIn, kind: str) -> None:
    """Another repository, number and token than the job's own; from outside of any CI everything is named."""
    named = ["--forge", kind, "--api", forge.api, "--repository", "us/fleet", "--number", "7", "--revision", HEAD]
    assert convoy({"CONVOY_FORGE_TOKEN": TOKEN}, *named, text="x").exit_code == 0
    assert len(forge.of(BOT[kind])) == 1
    assert convoy({**environment, "CONVOY_FORGE_TOKEN": EVIL}, *named, text="y").exit_code == 0
    assert len(forge.of("mallory")) == 1
    result = convoy(environment, "--revision", HEAD, "--number", "8", text="x")
    assert (result.exit_code, "no such thing" in result.stderr) == (0, True)


def test_without_permission_the_text_is_shown_elsewhere(environment: dict[str, str], forge: StandIn, kind: str) -> None:
    """On the run's page where it has one, else in its log, and it is said why."""
    token = "GITLAB_TOKEN" if kind == "gitlab" else "GITHUB_TOKEN"
    for value in (FORK, ""):
        result = convoy({**environment, token: value}, "--revision", HEAD, text="**1 to create**\n::error::x")
        assert result.exit_code == 0, result.output
        assert "no comment was written" in result.stderr
        if kind == "github":
            assert "**1 to create**" in Path(environment["GITHUB_STEP_SUMMARY"]).read_text()
        else:
            assert "│ **1 to create**\n│ : :error: :x" in result.stdout
    answer = json.loads(convoy({**environment, token: FORK}, "--revision", HEAD, "-o", "json", text="x").stdout)
    assert answer["done"] == ("summary" if kind == "github" else "log")
    assert forge.remarks == []


def test_a_wrong_token_and_a_forge_that_is_down_fail(environment: dict[str, str], forge: StandIn, kind: str) -> None:
    """What the set-up lacks should be seen; the text is kept where the run has a page."""
    token = "GITLAB_TOKEN" if kind == "gitlab" else "GITHUB_TOKEN"
    result = convoy({**environment, token: "wrong"}, "--revision", HEAD, text="**1**")
    assert result.exit_code == 1
    assert "does not know this token" in result.stderr
    assert "wrong" not in result.output
    result = convoy({**environment, token: "two\nlines"}, "--revision", HEAD, text="**1**")
    assert result.exit_code == 1
    assert "lines" not in result.output

    forge.vices += [lambda _: Reply(400, {"message": "no"})]
    result = convoy(environment, "--revision", HEAD, "-o", "json", text="**1**")
    assert result.exit_code == 1
    assert "400" in json.loads(result.stdout)["error"]


def test_what_is_cut_is_whole_elsewhere(environment: dict[str, str], forge: StandIn, kind: str) -> None:
    """A comment has its beginning, with a link to the run that has all of it."""
    text = "**many**\n" + "".join(f"- line {n} {'x' * 60}\n" for n in range(20_000))
    result = convoy(environment, "--revision", HEAD, text=text)

    assert result.exit_code == 0
    (said,) = forge.of(BOT[kind])
    assert "**Cut here**" in said
    whole = Path(environment["GITHUB_STEP_SUMMARY"]).read_text() if kind == "github" else result.stdout
    assert "line 13000 " in whole
    assert kind == "github" or "line 19999 " in whole


def test_marking_as_outdated(environment: dict[str, str], forge: StandIn, kind: str) -> None:
    """Nothing to mark is no failure."""
    assert "no comment of ours yet" in convoy(environment, "--outdated", "--revision", HEAD).stdout
    convoy(environment, "--revision", HEAD, text="x")
    assert "updated" in convoy(environment, "--outdated", "--revision", "b" * 40).stdout
    assert "**Out of date.**" in forge.of(BOT[kind])[0]
    assert convoy(environment, "--outdated", "--revision", "b" * 40, "-o", "json").exit_code == 0


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    """Outside of CI, and in a run that is not for a pull request."""
    assert "--forge, --api" in convoy({}, text="x").stderr
    push = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_REF": "refs/heads/main",
        "GITHUB_API_URL": "https://x",
        "GITHUB_REPOSITORY": "a/b",
    }
    result = convoy(push, text="x")
    assert result.exit_code == 1
    assert "--number (is this run for a pull request?), --revision" in result.stderr
    named = ("--forge", "gitea", "--api", "https://x", "--repository", "a/b", "--number", "1")
    assert convoy({}, *named, "--revision", "a b", text="x").exit_code == 2
    for wrong in ("--> x", "a--b", "A", "a" * 64):
        assert convoy({}, *named, "--revision", "a", f"--name={wrong}", text="x").exit_code == 2
    assert "cannot read" in convoy({}, *named, "--revision", "a", str(tmp_path / "none.md")).stderr


def test_plaintext_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """By option or by variable; an empty variable asks for nothing."""
    monkeypatch.setattr("reconciler.forge.wire.MOST_TRIES", 1)
    named = ["--forge", "gitea", "--api", "http://forge.invalid/api", "--repository", "a/b", "--number", "1", "--revision", "a"]
    for unasked in ({}, {"CONVOY_PLAINTEXT": ""}):
        assert "without TLS" in convoy({"CONVOY_FORGE_TOKEN": TOKEN, **unasked}, *named, text="x").stderr
    for asked, option in (({"CONVOY_PLAINTEXT": "1"}, []), ({}, ["--plaintext"])):
        result = convoy({"CONVOY_FORGE_TOKEN": TOKEN, **asked}, *named, *option, text="x")
        assert "forge.invalid cannot be asked" in result.stderr


def test_hostile_environments_are_read_as_nothing() -> None:
    """Numbers are numbers; what is none is not there."""
    assert job({}) == Job()
    found = job({"GITHUB_ACTIONS": "true", "GITHUB_REF": "refs/pull/7/merge/../8", "GITHUB_RUN_ID": "9" * 99})
    assert (found.number, found.run) == (0, (0, 0))
    assert job({"GITLAB_CI": "true", "CI_MERGE_REQUEST_IID": "7; rm"}).number == 0


def test_the_documents_limits_are_those_of_the_code() -> None:
    """docs/pull-requests.md has the table that reviewers read."""
    from reconciler.forge import FORGES

    text = (Path(__file__).parents[2] / "docs" / "pull-requests.md").read_text()
    said = {
        name: int(number.replace(",", "")) for name, number in re.findall(r"^\| (\w+)[^|]* \| ([\d,]+) \|", text, re.MULTILINE)
    }
    assert {name.lower(): number for name, number in said.items()} == {name: kind.limit for name, kind in FORGES.items()}
