"""`convoy secret` where environments share a base: whose recipients count, and what is written where."""

from pathlib import Path

import pytest
import yaml

from reconciler.core.kinds.sealed import Sealed
from reconciler.core.model import Ref
from reconciler.secrets import Opener, keygen, recipients_in
from tests.cli.conftest import Convoy

HEAD = "apiVersion: convoy/v1\nkind: {}\nmetadata: {{name: {}}}\n"
ALICE, BOB = keygen(), keygen()


@pytest.fixture
def repository(convoy: Convoy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two environments over one base, each with recipients of its own beside this Convoy; the base has a secret for all."""
    monkeypatch.chdir(tmp_path)
    convoy("secret", "keygen")
    own = convoy("secret", "recipient").stdout.strip()
    place = tmp_path / "fleet"
    (place / "bases/shop").mkdir(parents=True)
    (place / ".git").mkdir()
    (place / "bases/shop/environment.yaml").write_text(
        HEAD.format("Environment", "shop") + "spec:\n  variables: {whom: {type: list}}\n"
    )
    (place / "bases/shop/settings.yaml").write_text(HEAD.format("Settings", "fleet") + "spec:\n  recipients: ${var.whom}\n")
    for name, keys in (("production", ALICE), ("staging", BOB)):
        (place / "environments" / name).mkdir(parents=True)
        (place / "environments" / name / "environment.yaml").write_text(
            HEAD.format("Environment", name)
            + f"spec:\n  bases: [../../bases/shop]\n  values:\n    whom: [{own}, {keys.recipient}]\n"
        )
    sealed = convoy(
        "secret", "seal", "-o", "json", "-r", own, "-r", ALICE.recipient, "-r", BOB.recipient, input="common"
    ).stdout
    (place / "bases/shop/web.yaml").write_text(
        "# shared\n" + HEAD.format("Container", "web") + f"spec:\n  command: [x]\n  environment:\n    TOKEN: {sealed}"
    )
    (place / "bases/shop/hosts.yaml").write_text(HEAD.format("Host", "local"))
    return place


def editor(tmp_path: Path, new: str) -> str:
    script = tmp_path / "editor"
    script.write_text(f"#!/bin/sh\nprintf %s '{new}' > \"$1\"\n")
    script.chmod(0o755)
    return str(script)


def token(rendered: str) -> Sealed:
    (document,) = (one for one in yaml.safe_load_all(rendered) if one["kind"] == "Container")
    return Sealed(**document["spec"]["environment"]["TOKEN"])


def test_the_environments_recipients_count(convoy: Convoy, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the Settings stand and whatever fills them in: those that hold in this environment; in a base, one is named."""
    monkeypatch.chdir(repository / "environments/production")
    sealed = yaml.safe_load(convoy("secret", "seal", input="s").stdout)
    opener = Opener([ALICE.identity], lambda *_: None)
    assert opener.open(Ref("Container", "x"), Sealed(**sealed), "test") == b"s"
    assert recipients_in(Sealed(**sealed)) == 2
    monkeypatch.chdir(repository / "bases/shop")
    result = convoy("secret", "seal", input="s")
    assert result.exit_code == 1
    assert "the variable 'whom' has no value" in result.stderr
    assert "--fleet" in result.stderr
    named = convoy("secret", "seal", "--fleet", str(repository / "environments/staging"), input="s")
    assert recipients_in(Sealed(**yaml.safe_load(named.stdout))) == 2


def test_a_bases_secret_becomes_the_environments_own(convoy: Convoy, repository: Path, tmp_path: Path) -> None:
    """Edited for one environment, it is written into that one's layer; the base and the other environment keep theirs."""
    base = repository / "bases/shop/web.yaml"
    before, production = base.read_bytes(), repository / "environments/production"
    own = (production / "environment.yaml").read_text()
    result = convoy("secret", "edit", str(base), "--fleet", str(production), EDITOR=editor(tmp_path, "mine"), VISUAL=None)
    assert result.exit_code == 0, result.output
    assert base.read_bytes() == before
    assert (production / "environment.yaml").read_text().startswith(own + "  patches:\n")

    opener = Opener([ALICE.identity], lambda *_: None)
    rendered = {name: convoy("render", str(repository / "environments" / name)).stdout for name in ("production", "staging")}
    assert opener.open(Ref("Container", "web"), token(rendered["production"]), "test") == b"mine"
    assert opener.open(Ref("Container", "web"), token(rendered["staging"]), "test") == b"common"
    assert convoy("validate", str(production)).exit_code == 0

    # From then on it is a secret of that file, of the resource that the patch is for.
    result = convoy(
        "secret", "edit", f"{production / 'environment.yaml'}#Container/web", EDITOR=editor(tmp_path, "again"), VISUAL=None
    )
    assert result.exit_code == 0, result.output
    again = token(convoy("render", str(production)).stdout)
    assert opener.open(Ref("Container", "web"), again, "test") == b"again"


def test_rekeying_an_environment_leaves_its_bases(convoy: Convoy, repository: Path, tmp_path: Path) -> None:
    """What others share is sealed for others too: it stays, and a person hears of it."""
    production = repository / "environments/production"
    base = (repository / "bases/shop/web.yaml").read_bytes()
    convoy(
        "secret",
        "edit",
        str(repository / "bases/shop/web.yaml"),
        "--fleet",
        str(production),
        EDITOR=editor(tmp_path, "mine"),
        VISUAL=None,
    )
    own = production / "environment.yaml"
    own.write_text(own.read_text().replace(ALICE.recipient, BOB.recipient))
    result = convoy("secret", "rekey", str(production))
    assert result.exit_code == 0, result.output
    assert "bases are shared: the secrets in" in result.stderr
    assert (repository / "bases/shop/web.yaml").read_bytes() == base
    opener = Opener([BOB.identity], lambda *_: None)
    assert opener.open(Ref("Container", "web"), token(convoy("render", str(production)).stdout), "test") == b"mine"
    assert convoy("secret", "rekey", "--check", str(production)).exit_code == 0
    # At the root there is more than one answer to whom it should be sealed for.
    result = convoy("secret", "rekey", str(repository))
    assert result.exit_code == 1
    assert "--fleet" in result.stderr
