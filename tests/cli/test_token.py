"""`convoy token`: printed once, listed without it, taken back."""

import json
from pathlib import Path

from tests.cli.conftest import Convoy


def test_create_list_revoke(convoy: Convoy, state: Path) -> None:
    """The token alone is on standard output, so that a script can pass it on; nothing prints it again."""
    made = convoy("token", "create", "ci", "--may", "plan", "--expires", "2h")
    token = made.stdout.strip()
    assert (made.exit_code, token[:4]) == (0, "cvy_")
    assert "shown once" in made.stderr
    assert state.stat().st_mode & 0o077 == 0
    listed = convoy("token", "list")
    assert "ci" in listed.stdout
    assert "plan" in listed.stdout
    assert token[17:] not in listed.stdout + convoy("token", "list", "-o", "json").output
    (row,) = json.loads(convoy("token", "list", "-o", "json").stdout)["tokens"]
    assert (row["name"], row["may"], row["expired"], row["until"] - row["at"]) == ("ci", ["plan"], False, 7200.0)
    assert convoy("token", "revoke", "ci").stdout == "revoked ci\n"
    assert "no token" in convoy("token", "list").stdout


def test_what_cannot_be(convoy: Convoy) -> None:
    """Each with what to do."""
    assert convoy("token", "list").exit_code == 0
    assert convoy("token", "revoke", "ci").exit_code == 1
    assert convoy("token", "create", "ci").exit_code == 2
    assert convoy("token", "create", "ci", "--may", "everything").exit_code == 2
    assert convoy("token", "create", "ci", "--may", "plan", "--expires", "soon").exit_code == 2
    convoy("token", "create", "ci", "--may", "plan")
    again = convoy("token", "create", "ci", "--may", "read", "-o", "json")
    assert again.exit_code == 1
    assert "convoy token revoke ci" in json.loads(again.stdout)["error"]
