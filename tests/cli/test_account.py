"""`convoy account`: made with a password that no command line holds, listed, changed, deleted; the first admin, shown once."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

import api.surfaces
from reconciler import store as stores
from reconciler.commands import account as commands
from reconciler.commands.account import surfaces
from reconciler.commands.options import Call
from reconciler.store import Store, passwords
from reconciler.terminal import Terminal
from tests.cli.conftest import Convoy

PASSWORD = "correct horse battery"


def test_words_are_the_stores_and_the_surfaces() -> None:
    """What `--help` says without loading either."""
    assert commands.ROLES == stores.ROLES
    assert surfaces() == sorted(api.surfaces.SURFACES)


def test_one_is_made_and_changed(convoy: Convoy, store: Store) -> None:
    """By one line of standard input each; what is printed is what is so, and no password is."""
    made = convoy("account", "create", "Ada@example.com", "--role", "convoy=viewer", "--tenant", "acme", input=f"{PASSWORD}\n")
    assert (made.exit_code, made.stdout) == (0, "made ada@example.com of acme, viewer on convoy\n")
    kept = store.accounts.of("ada@example.com")
    assert kept is not None
    assert passwords.fits(store.accounts.password(kept.id), PASSWORD)

    assert convoy("account", "role", "ada@example.com", "convoy", "admin").stdout == "admin ada@example.com on convoy\n"
    assert convoy("account", "disable", "ada@example.com").stdout == "disabled ada@example.com\n"
    (row,) = json.loads(convoy("account", "list", "-o", "json").stdout)["accounts"]
    assert (row["status"], row["roles"], row["tokens"]) == ("disabled", {"convoy": "admin"}, [])
    assert "disabled" in convoy("account", "list").stdout
    assert convoy("account", "enable", "ADA@example.com").exit_code == 0
    assert convoy("account", "password", "ada@example.com", input="another password\n").exit_code == 0
    assert passwords.fits(store.accounts.password(kept.id), "another password")
    assert convoy("account", "role", "ada@example.com", "convoy", "none", "-o", "json").exit_code == 0
    assert store.accounts.of("ada@example.com").roles == {}  # type: ignore[union-attr]  # it is there
    assert convoy("account", "delete", "ada@example.com").stdout == "deleted ada@example.com\n"
    assert "no account" in convoy("account", "list").stdout


def test_a_token_that_speaks_for_one(convoy: Convoy, store: Store) -> None:
    """Named with its account in the list; gone with it."""
    assert convoy("account", "create", "ci@example.com", "--role", "convoy=operator", "--no-password").exit_code == 0
    made = convoy("token", "create", "ci", "--account", "ci@example.com", "--may", "read", "--may", "write")
    found = store.tokens.shown(made.stdout.strip())
    assert found is not None
    kept = store.accounts.get(found.account)
    assert kept is not None
    assert kept.email == "ci@example.com"
    assert json.loads(convoy("account", "list", "-o", "json").stdout)["accounts"][0]["tokens"] == ["ci"]
    assert convoy("account", "delete", "ci@example.com").exit_code == 0
    assert store.tokens.shown(made.stdout.strip()) is None


def test_keys_are_rotated(convoy: Convoy, store: Store) -> None:
    """There is a new one each time."""
    assert convoy("account", "rotate-keys").exit_code == convoy("account", "rotate-keys").exit_code == 0
    assert len(store.sessions.believed()) == 2


def test_a_signing_secret(convoy: Convoy, store: Store) -> None:
    """Alone on standard output, once; named in the list without it; another each time, and none after --off."""
    made = store.accounts.create("ci@example.com", "default", {})
    first, second = convoy("account", "signing", "CI@example.com"), convoy("account", "signing", "ci@example.com", "-o", "json")
    said = json.loads(second.stdout)
    assert first.stdout.strip() != said["secret"]
    assert store.signatures.secret(made.id) == said["secret"].encode()
    assert "shown once" in first.stderr
    listed = convoy("account", "list")
    assert "active, signs" in listed.stdout
    assert said["secret"] not in listed.output + convoy("events", "-o", "json").output
    assert json.loads(convoy("account", "list", "-o", "json").stdout)["accounts"][0]["signs"] is True
    assert convoy("account", "signing", "ci@example.com", "--off").stdout == "taken ci@example.com signs no more\n"
    assert store.signatures.secret(made.id) is None
    assert convoy("account", "signing", "ci@example.com", "--off").exit_code == 1
    assert "signs" not in convoy("account", "list").stdout


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["create", "ada"], 1),
        (["create", "ada@example.com", "--role", "convoy=root"], 2),
        (["create", "ada@example.com", "--role", "nowhere=admin"], 2),
        (["create", "ada@example.com", "--tenant", "../x"], 1),
        (["create", "ada@example.com", "--password", "x"], 2),
        (["role", "ada@example.com", "convoy", "viewer"], 1),
        (["role", "ada@example.com", "nowhere", "viewer"], 2),
        (["disable", "\x1b[31m@example.com"], 1),
        (["password", "ada@example.com"], 1),
        (["delete", "ada@example.com"], 1),
        (["signing", "ada@example.com"], 1),
        (["signing", "\x1b[31m@example.com", "--off"], 1),
    ],
)
def test_what_cannot_be(words: list[str], code: int, convoy: Convoy, store: Store) -> None:
    """Each is said so, in words that a terminal obeys nothing of, and nothing is made."""
    failed = convoy("account", *words, input=f"{PASSWORD}\n")
    assert failed.exit_code == code
    assert "\x1b" not in failed.output
    assert not store.accounts.every()


@pytest.mark.parametrize("given", ["", "\n", "short\n", "x" * 5000 + "\n"])
def test_what_is_no_password(given: str, convoy: Convoy, store: Store) -> None:
    """Refused without saying it."""
    failed = convoy("account", "create", "ada@example.com", input=given)
    assert failed.exit_code == 1
    assert "password" in failed.output
    assert "xxxx" not in failed.output
    assert not store.accounts.every()


def test_the_first_admin(state: Path, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Once, on a terminal that a person watches, on standard error alone; where nobody watches, none is made."""
    commands.first_admin(Call(state, Terminal(live=False)))
    assert not store.accounts.every()
    commands.first_admin(Call(state, Terminal(live=True)))
    said = capsys.readouterr()
    (made,) = store.accounts.every()
    assert (made.email, made.tenant, made.roles) == ("admin@localhost", "default", dict.fromkeys(surfaces(), "admin"))
    password = said.err.split("password ")[1].split()[0]
    assert passwords.fits(store.accounts.password(made.id), password)
    assert said.out == ""
    commands.first_admin(Call(state, Terminal(live=True)))
    assert capsys.readouterr().err == ""
    assert password not in repr(store.events())


@pytest.mark.slow
def test_a_password_is_typed_unseen(state: Path, store: Store) -> None:
    """On a terminal it is asked for twice and not echoed."""
    leader, follower = pty.openpty()
    words = [sys.executable, "-m", "reconciler", "account", "create", "ada@example.com"]
    process = subprocess.Popen(
        words,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=os.environ | {"CONVOY_STATE": str(state), "NO_COLOR": "1"},
        start_new_session=True,
    )
    os.close(follower)
    seen = b""
    for prompt in (b"Password", b"epeat"):
        while prompt not in seen:
            seen += os.read(leader, 4096)
        seen = b""
        os.write(leader, f"{PASSWORD}\n".encode())
    rest = b""
    try:
        while piece := os.read(leader, 4096):
            rest += piece
    except OSError:
        pass
    os.close(leader)
    assert process.wait(100) == 0
    assert b"made ada@example.com" in rest
    assert PASSWORD.encode() not in rest
    kept = store.accounts.of("ada@example.com")
    assert kept is not None
    assert passwords.fits(store.accounts.password(kept.id), PASSWORD)
