"""`convoy render`, and the other commands with environments."""

import json
import shutil
from pathlib import Path

import pytest

from reconciler.commands.fleet import shipped
from reconciler.core.parse import parse
from tests.cli.conftest import Convoy
from tests.repos import git


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The example of two environments over one base, as a repository with one commit."""
    place = tmp_path / "fleet"
    shutil.copytree(shipped("examples") / "environments", place)
    git(place, "init", "-q", "-b", "main")
    commit(place, "Begin")
    return place


def commit(place: Path, message: str) -> str:
    git(place, "add", "-A")
    git(place, "-c", "user.name=A", "-c", "user.email=a@example.com", "commit", "-q", "-m", message)
    return git(place, "rev-parse", "HEAD")


def test_render_prints_what_the_environment_is(convoy: Convoy, repository: Path) -> None:
    """All documents, each after variables and patches; what is printed is read again as the same."""
    result = convoy("render", str(repository / "environments/production"))

    assert result.exit_code == 0, result.stderr
    documents = parse("out.yaml", "", result.stdout.encode()).documents
    assert [f"{one.value['kind']}/{one.value['metadata']['name']}" for one in documents] == [
        "Host/local",
        "Application/status",
        "Application/web",
        "ProxyGroup/edge",
        "Proxy/edge-1",
        "Configuration/edge",
    ]
    web, edge = documents[2].value, documents[5].value
    assert web["metadata"] == {"name": "web", "drift": "report", "labels": {"environment": "production"}}
    assert (web["spec"]["replicas"], web["spec"]["restart"]) == (2, "on-failure")
    assert web["spec"]["files"]["index.html"] == "welcome to the shop\n"
    assert edge["spec"]["listeners"][0]["port"] == 18300
    assert [route["cluster"] for route in edge["spec"]["routes"][0]["virtualHosts"][0]["routes"]] == ["status", "web"]


def test_render_is_the_same_from_git_and_from_the_folder(convoy: Convoy, repository: Path) -> None:
    """A branch of the repository with the environment's directory, or that directory itself; and JSON says the same."""
    folder = convoy("render", str(repository / "environments/staging"))
    branch = convoy("render", "--source", str(repository), "--subdirectory", "environments/staging")
    told = json.loads(convoy("render", str(repository / "environments/staging"), "-o", "json").stdout)

    assert folder.stdout == branch.stdout
    assert [one["document"] for one in told["documents"]] == [
        one.value for one in parse("out.yaml", "", folder.stdout.encode()).documents
    ]


def test_render_explains_which_file_says_what(convoy: Convoy, repository: Path) -> None:
    """Above each document: where it stands, and what changed it there; and only what is asked for."""
    result = convoy("render", str(repository / "environments/production"), "--explain", "--only", "application/web")

    assert result.stdout.startswith(
        "---\n"
        "# bases/shop/web.yaml:1, changed by\n"
        "#   environments/production/environment.yaml:12\n"
        "#   environments/production/environment.yaml:24\n"
        "#   environments/production/environment.yaml:8\n"
        "#   bases/shop/environment.yaml:17\n"
        "apiVersion: convoy/v1\nkind: Application\n"
    )
    assert result.stdout.count("---") == 1
    assert "did you mean 'web'?" in convoy("render", str(repository / "environments/production"), "--only", "app/wep").stderr


def test_render_shows_what_cannot_be_rendered(convoy: Convoy, repository: Path) -> None:
    """Problems of rendering end it; one that only validating finds does not, so that a person can look at what came out."""
    own = repository / "environments/production/environment.yaml"
    own.write_text(own.read_text().replace("name: web}", "name: wep}"))
    result = convoy("render", str(own.parent))
    assert result.exit_code == 1
    assert "environments/production/environment.yaml:12:" in result.stdout
    assert "did you mean 'web'?" in result.stdout

    own.write_text(own.read_text().replace("name: wep}", "name: web}").replace("on-failure", "sometimes"))
    assert convoy("render", str(own.parent)).exit_code == 0
    assert convoy("validate", str(own.parent)).exit_code == 1


def test_validate_checks_every_environment_in_one_go(convoy: Convoy, repository: Path) -> None:
    """At the repository's root, from the folder and from Git: each environment, and a base's mistake once."""
    for words in ([str(repository)], ["--source", str(repository)]):
        result = convoy("validate", *words)
        assert result.exit_code == 0, result.stdout + result.stderr
        assert [line.split(":")[0] for line in result.stdout.splitlines()[::2]] == [
            "environments/production",
            "environments/staging",
        ]
    base = repository / "bases/shop/web.yaml"
    base.write_text(base.read_text().replace("check:", "chek:"))
    (repository / "stray.yaml").write_text("a: b\n")
    result = convoy("validate", str(repository))
    assert result.exit_code == 1
    assert result.stdout.startswith("environments/production: 1 problem\nenvironments/staging: 1 problem\n")
    assert result.stdout.count("bases/shop/web.yaml:10:3: unknown field `chek`") == 1
    assert "part of no environment: stray.yaml" in result.stderr
    told = json.loads(convoy("validate", str(repository), "-o", "json").stdout)
    assert (told["valid"], len(told["problems"])) == (False, 1)
    assert {name: one["valid"] for name, one in told["environments"].items()} == {
        "environments/production": False,
        "environments/staging": False,
    }


@pytest.mark.parametrize("command", ["plan", "render", "apply"])
def test_the_repositorys_root_is_no_environment(convoy: Convoy, repository: Path, command: str) -> None:
    """What acts on one fleet says which ones there are, and does nothing."""
    result = convoy(command, str(repository))

    assert result.exit_code == 1
    assert "name one of them instead: environments/production, environments/staging" in result.stdout + result.stderr


def test_a_folder_in_no_repository_reaches_nothing_outside_it(convoy: Convoy, repository: Path) -> None:
    """Without Git nobody says how far a base may be away, so the folder itself is the end."""
    shutil.rmtree(repository / ".git")
    result = convoy("validate", str(repository / "environments/staging"))

    assert result.exit_code == 1
    assert "environment.yaml:6:11: '../../bases/shop' cannot be a base: it leads out of the repository" in result.stdout


def test_links_lead_nowhere(convoy: Convoy, repository: Path, tmp_path: Path) -> None:
    """Neither in the folder nor in Git is a base found behind a symbolic link, wherever it points."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x.yaml").write_text("a: b\n")
    shutil.rmtree(repository / "bases/shop")
    (repository / "bases/shop").symlink_to(tmp_path / "outside")
    commit(repository, "A link")
    for words in (
        [str(repository / "environments/staging")],
        ["--source", str(repository), "--subdirectory", "environments/staging"],
    ):
        result = convoy("validate", *words)
        assert result.exit_code == 1
        assert "'../../bases/shop' cannot be a base: " in result.stdout
