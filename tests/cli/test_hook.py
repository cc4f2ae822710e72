"""`convoy hook`: printed once, listed without its secrets, taken back."""

import json
from pathlib import Path

import pytest

from reconciler.store import Heard
from tests.cli.conftest import Convoy


def test_create_list_revoke(convoy: Convoy, state: Path) -> None:
    """URL and secret are printed once; nothing prints either again."""
    made = convoy("hook", "create", "fleet", "--provider", "github", "--url-base", "https://convoy.example/")
    words = [line.split()[1] for line in made.stdout.splitlines()[:2]]
    assert made.exit_code == 0
    assert words[0].startswith("https://convoy.example/hooks/github/")
    assert "shown once" in made.stderr
    assert "Secret" in made.stdout
    assert state.stat().st_mode & 0o077 == 0
    listed = (
        convoy("hook", "list").stdout + convoy("hook", "list", "fleet").stdout + convoy("hook", "list", "-o", "json").stdout
    )
    assert "never" in listed
    assert words[1] not in listed
    assert words[0].rpartition("-")[2] not in listed
    (row,) = json.loads(convoy("hook", "list", "-o", "json").stdout)["hooks"]
    assert (row["name"], row["provider"], row["deliveries"], row["last"]) == ("fleet", "github", {}, [])
    assert convoy("hook", "revoke", "fleet").stdout == "revoked fleet\n"
    assert "no hook" in convoy("hook", "list").stdout


def test_what_came(convoy: Convoy, state: Path) -> None:
    """How many, and of one hook the last, newest first; what a stranger called an event drives no terminal."""
    from contextlib import closing

    from reconciler.seams import Seams
    from reconciler.store import Store, default_url

    convoy("hook", "create", "fleet", "--provider", "gitea")
    with closing(Store(default_url(state), Seams())) as store:
        (hook,) = store.hooks.every()
        store.hooks.put_heard({hook.id: [Heard(1.0, "push", "woken"), Heard(2.0, "\x1b[31m", "refused", "no signature")]})
    assert "2 deliveries, 1 refused" in convoy("hook", "list").stdout
    shown = convoy("hook", "list", "fleet").stdout
    assert "\x1b[31m" not in shown
    assert shown.index("no signature") < shown.index("woke Convoy")
    assert json.loads(convoy("hook", "list", "fleet", "-o", "json").stdout)["last"][0]["verdict"] == "woken"


def test_a_secret_of_the_forges_own(convoy: Convoy, tmp_path: Path) -> None:
    """From a file or standard input; it is not printed again."""
    (tmp_path / "signing").write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
    made = convoy("hook", "create", "a", "--provider", "gitlab", "--secret-file", str(tmp_path / "signing"))
    assert (made.exit_code, "MfKQ" in made.output) == (0, False)
    piped = convoy("hook", "create", "b", "--provider", "gitlab", "--secret-file", "-", "-o", "json", input="x" * 20)
    assert json.loads(piped.stdout)["secret"] is None
    assert convoy("hook", "create", "c", "--provider", "gitlab", "--secret-file", "-", input=" \n").exit_code == 1
    assert convoy("hook", "create", "c", "--provider", "gitlab", "--secret-file", "-", input="short").exit_code == 1
    (tmp_path / "bytes").write_bytes(b"\xff\xfe" * 20)
    bad = convoy("hook", "create", "c", "--provider", "gitlab", "--secret-file", str(tmp_path / "bytes"))
    assert (bad.exit_code, "no text" in bad.stderr) == (1, True)


@pytest.mark.parametrize(
    "base", ["convoy.example", "ftp://convoy.example", "https://u:p@convoy.example", "https://x?y", "https://[", "https://x\n"]
)
def test_no_base(convoy: Convoy, base: str) -> None:
    """What the forge could not call is refused before anything is made."""
    assert convoy("hook", "create", "a", "--provider", "github", "--url-base", base).exit_code == 2
    assert json.loads(convoy("hook", "list", "-o", "json").stdout) == {"hooks": []}


def test_what_cannot_be(convoy: Convoy) -> None:
    """Each with what to do."""
    assert convoy("hook", "list").exit_code == 0
    assert convoy("hook", "list", "fleet").exit_code == 1
    assert convoy("hook", "revoke", "fleet").exit_code == 1
    assert convoy("hook", "create", "fleet").exit_code == 2
    assert convoy("hook", "create", "fleet", "--provider", "sourceforge").exit_code == 2
    assert convoy("hook", "create", "fleet", "--provider", "github", "--repository", "fleet").exit_code == 2
    convoy("hook", "create", "fleet", "--provider", "github")
    again = convoy("hook", "create", "fleet", "--provider", "github", "-o", "json")
    assert again.exit_code == 1
    assert "convoy hook revoke fleet" in json.loads(again.stdout)["error"]
