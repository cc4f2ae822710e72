"""`convoy secret`: what is printed and what never is."""

import json
from pathlib import Path

import pytest

from reconciler.core.kinds.sealed import Sealed
from reconciler.core.model import Ref
from reconciler.secrets import Opener
from tests.cli.conftest import Convoy


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This repository is full of fleets: sealing in the midst of them would ask which one is meant."""
    monkeypatch.chdir(tmp_path)


def test_secrets_are_sealed_for_this_convoy(convoy: Convoy, state: Path) -> None:
    """A key once, its recipient for everybody, YAML for a document; the identity is never printed."""
    made = convoy("secret", "keygen", "-o", "json")
    identity = (state / "age-identity.txt").read_text().splitlines()[-1]
    sealed = convoy("secret", "seal", input=b"canary-4711")

    assert made.exit_code == 0
    assert json.loads(made.stdout)["recipient"] == convoy("secret", "recipient").stdout.strip()
    assert sealed.stdout.startswith("age: |\n  -----BEGIN AGE ENCRYPTED FILE-----\n")
    assert "\nhash: " in sealed.stdout
    assert not any(secret in text for text in (made.output, sealed.output) for secret in (identity, "canary"))
    assert convoy("secret", "keygen").exit_code == 1


def test_a_token_is_sealed_for_its_address(convoy: Convoy, state: Path) -> None:
    """`--for` is sealed in front of it, as an origin; what is no address is a mistake of whoever typed it."""
    convoy("secret", "keygen")
    sealed = json.loads(convoy("secret", "seal", "--for", "https://git.example/api/v1", "-o", "json", input="t0ken").stdout)
    opener = Opener.from_file(state / "age-identity.txt", lambda *_: None)
    assert opener.open(Ref("Settings", "fleet"), Sealed(**sealed), "test", "https://git.example") == b"t0ken"
    assert convoy("secret", "seal", "--for", "git.example", input="t0ken").exit_code == 2


def test_sealing_needs_somebody_to_seal_for(convoy: Convoy) -> None:
    """Without a key, and for what is no recipient, it says what to do and repeats nothing of the secret."""
    nobody, nonsense = convoy("secret", "seal", input="canary"), convoy("secret", "seal", "-r", "AGE-SECRET", input="canary")

    assert (nobody.exit_code, nonsense.exit_code) == (1, 1)
    assert "secret keygen" in nobody.stderr
    assert "age1" in nonsense.stderr
    assert "canary" not in nobody.output + nonsense.output
