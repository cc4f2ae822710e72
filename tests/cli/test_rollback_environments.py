"""`convoy rollback` where a base is shared: what comes back does so in the environment's own layer, and nowhere else."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Convoy
from tests.repos import Origin, git, hermetic, make_origin

pytestmark = pytest.mark.slow
HEAD = "apiVersion: convoy/v1\nkind: {}\nmetadata: {{name: {}}}\n"
OWN = "environments/production/environment.yaml"
ENVIRONMENT = HEAD.format("Environment", "production") + "spec:\n  bases: [../../bases/shop] # shared\n"


def web(seconds: int, more: str = "") -> str:
    return HEAD.format("Container", "web") + f"spec:\n  host: h\n  command: [sleep, '{seconds}']\n{more}"


def files(seconds: int, own: str = ENVIRONMENT, **others: str) -> dict[str, str]:
    return {
        "bases/shop/web.yaml": web(seconds),
        "bases/shop/hosts.yaml": HEAD.format("Host", "h"),
        OWN: own,
        "environments/staging/environment.yaml": ENVIRONMENT.replace("production", "staging"),
        **others,
    }


@pytest.fixture
def origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Origin:
    hermetic(monkeypatch)
    return make_origin(tmp_path)


def roll_back(convoy: Convoy, origin: Origin, *words: str, what: str = "Container/web", code: int = 0) -> str:
    place = ("--source", str(origin.path), "--subdirectory", "environments/production", "--author", "Eve <eve@example.org>")
    result = convoy("rollback", what, *place, *words, GIT_CONFIG_GLOBAL="/dev/null")
    assert result.exit_code == code, result.output
    return result.output


def rendered(convoy: Convoy, origin: Origin, environment: str) -> list[str]:
    """What runs as Container/web there."""
    place = ("--source", str(origin.path), "--subdirectory", f"environments/{environment}", "--only", "Container/web")
    (document,) = json.loads(convoy("render", *place, "-o", "json").stdout)["documents"]
    command: list[str] = document["document"]["spec"]["command"]
    return command


def test_what_a_base_says_is_put_back_by_a_patch(convoy: Convoy, origin: Origin) -> None:
    """Production has its old one again, staging keeps the new one, and the base is as it was; the content is held."""
    good = origin.commit(files(1))
    bad = origin.commit(files(2), message="Sleep longer")
    shown = roll_back(convoy, origin, "--reason", "it overslept")

    assert git(origin.path, "diff-tree", "-r", "--name-only", bad, "main") == OWN
    assert git(origin.path, "show", f"main:{OWN}") + "\n" == (
        ENVIRONMENT + "  patches:\n"
        f"    # Put back to what it was in {good[:12]}; to be removed when its layers say so again.\n"
        "    - target:\n        kind: Container\n        name: web\n"
        '      merge:\n        spec:\n          command:\n          - sleep\n          - "1"\n'
    )
    assert rendered(convoy, origin, "production") == ["sleep", "1"]
    assert rendered(convoy, origin, "staging") == ["sleep", "2"]
    message = git(origin.path, "log", "-1", "--format=%B", "main")
    assert f"Convoy-Rollback: Container/web {bad}\nConvoy-Hold: Container/web@" in message
    assert "Roll back Container/web: it overslept" in message
    assert f"before {bad[:12]} Sleep longer" in shown
    assert "1 to create" in shown


def test_what_was_held_is_left_out(convoy: Convoy, origin: Origin) -> None:
    """A second rollback goes on to what it was before; what had Problems was never in force. A named one counts."""
    first = origin.commit(files(1))
    origin.commit(files(2))
    origin.commit({**files(9), "bases/shop/web.yaml": web(9, "  nonsense: true\n")})
    origin.commit(files(3))
    roll_back(convoy, origin)
    assert rendered(convoy, origin, "production") == ["sleep", "2"]
    roll_back(convoy, origin)
    assert rendered(convoy, origin, "production") == ["sleep", "1"]
    assert "is what it was in" in roll_back(convoy, origin, "--to", first[:12], code=1)


def test_a_value_that_was_changed_here_is_put_back_here(convoy: Convoy, origin: Origin) -> None:
    """Whichever layer made it what it is: the patch behind all others has the last word."""
    declares = HEAD.format("Environment", "shop") + "spec: {variables: {s: {}}}\n"
    base = {"bases/shop/environment.yaml": declares, "bases/shop/web.yaml": web(1).replace("'1'", "'${var.s}'")}
    for value in ("one", "two"):
        others = {**base, "environments/staging/environment.yaml": ENVIRONMENT + "  values: {s: x}\n"}
        origin.commit({**files(1, ENVIRONMENT + f"  values: {{s: {value}}}\n"), **others})
    roll_back(convoy, origin)
    assert rendered(convoy, origin, "production") == ["sleep", "one"]


def test_a_document_of_its_own_is_put_back_where_it_stands(convoy: Convoy, origin: Origin) -> None:
    """No patch where there is a document that only this environment has."""
    own = "environments/production/own.yaml"
    origin.commit(files(1, **{own: web(5).replace("name: web", "name: own") + "# kept\n"}))
    tip = origin.commit(files(1, **{own: web(6).replace("name: web", "name: own") + "# kept\n"}))
    roll_back(convoy, origin, what="Container/own")
    assert git(origin.path, "diff-tree", "-r", "--name-only", tip, "main") == own
    assert "sleep, '5'" in git(origin.path, "show", f"main:{own}")


def test_what_no_patch_can_do_is_refused_by_name(convoy: Convoy, origin: Origin) -> None:
    """Labels of the environment come after its patches; a file without room for lines stays as it is."""
    origin.commit(files(1, ENVIRONMENT + "  labels: {tier: a}\n"))
    bad = origin.commit(files(1, ENVIRONMENT + "  labels: {tier: b}\n"))
    said = roll_back(convoy, origin, code=1)
    assert f"no patch in {OWN} makes Container/web what it was" in said
    assert f"git revert {bad[:12]}" in said
    flow = ENVIRONMENT.replace("spec:\n  bases: [../../bases/shop] # shared", "spec: {bases: [../../bases/shop]}")
    origin.commit(files(1, flow))
    origin.commit(files(2, flow))
    assert "in lines, without braces and brackets" in roll_back(convoy, origin, code=1)
    assert "what a base declared is brought back in the base" in roll_back(convoy, origin, what="Host/other", code=1)


def test_a_dry_run_shows_the_patch_and_pushes_nothing(convoy: Convoy, origin: Origin) -> None:
    """The file that would change is the environment's own."""
    origin.commit(files(1))
    tip = origin.commit(files(2))
    answer = json.loads(roll_back(convoy, origin, "--dry-run", "-o", "json"))
    assert (answer["file"], answer["tip"], origin.tip()) == (OWN, tip, tip)
