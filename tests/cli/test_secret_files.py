"""`convoy secret edit` and `rekey`: secrets in a fleet's files, and whom they are sealed for."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.commands.sealing import MOST_BYTES
from reconciler.core.model import Ref
from reconciler.core.parse import parse
from reconciler.core.spans import find
from reconciler.secrets import IDENTITY_FILE, Keys, Opener, keygen, recipients_in, seal
from tests.cli.conftest import Convoy

ALICE = keygen()


@pytest.fixture
def fleet(convoy: Convoy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with Settings that name this Convoy and Alice, and a workload with three secrets and many comments."""
    monkeypatch.chdir(tmp_path)
    convoy("secret", "keygen")
    own = convoy("secret", "recipient").stdout.strip()
    fleet = tmp_path / "repository" / "fleet"
    (fleet / "apps").mkdir(parents=True)
    (fleet.parent / ".git").mkdir()
    settings = (
        f"apiVersion: convoy/v1\nkind: Settings\nmetadata: {{name: fleet}}\nspec:\n  recipients: [{own}, {ALICE.recipient}]\n"
    )
    (fleet / "settings.yaml").write_text(settings)
    # Inside the fleet from here on: whom to seal for is found by where one is.
    monkeypatch.chdir(fleet / "apps")
    key = convoy("secret", "hash-key").stdout
    (fleet / "settings.yaml").write_text(settings + "  " + key.replace("\n", "\n  ").rstrip() + "\n")
    (fleet / "apps" / "web.yaml").write_text(
        "# Grüße\napiVersion: convoy/v1\nkind: Container\nmetadata:\n  name: web   # the name\nspec:\n"
        "  command: [run]\n  environment:\n    PLAIN: 'as it is'\n    TOKEN:   # of the shop\n"
        + indented(convoy("secret", "seal", input="hunter-1").stdout, 6)
        + "    # below\n    OTHER: "
        + convoy("secret", "seal", "-o", "json", input="hunter-2").stdout
        + "---\napiVersion: convoy/v1\nkind: Container\nmetadata: {name: other}\nspec:\n  command: [run]\n  files:\n"
        + "    etc/app.conf:\n"
        + indented(convoy("secret", "seal", input="line 1\nline 2\n").stdout, 6)
    )
    return fleet


def indented(text: str, by: int) -> str:
    return "".join(" " * by + line + "\n" for line in text.splitlines())


def opened(file: Path, *keys: Keys) -> dict[str, bytes]:
    """`Kind/name field` ⇒ the plaintext, by these keys."""
    opener = Opener([one.identity for one in keys], lambda ref, purpose: None)
    found = {}
    for document in parse(file.name, "", file.read_bytes()).documents:
        ref = Ref(document.value["kind"], document.value["metadata"]["name"])
        for place in find(document):
            assert place.sealed is not None
            found[f"{ref} {place.field}"] = opener.open(ref, place.sealed, "test")
    return found


def hashes(file: Path) -> list[str | None]:
    return [place.hash for document in parse(file.name, "", file.read_bytes()).documents for place in find(document)]


def lines_besides(text: str) -> list[str]:
    """Without the lines of ciphertext and hashes, which are the only ones that may change."""
    text = re.sub(r"-----BEGIN AGE[\s\S]*?-----END AGE ENCRYPTED FILE-----", "CIPHERTEXT", text)
    return re.sub(r"[0-9a-f]{64}", "HASH", text).splitlines()


Editor = Callable[[str], str]


@pytest.fixture
def editor(tmp_path: Path) -> Editor:
    """An $EDITOR that runs this Python over `paths`, and writes down how it found them."""

    def make(text: str) -> str:
        program = tmp_path / "editor.py"
        program.write_text(
            f"import os, pathlib, sys\npaths = [pathlib.Path(p) for p in sys.argv[1:]]\n"
            f"log = pathlib.Path({str(tmp_path / 'seen')!r})\n"
            f"log.write_text(''.join(f'{{oct(p.stat().st_mode)}} {{oct(p.parent.stat().st_mode)}} {{p}}\\n' for p in paths))\n"
            + text
        )
        return f"{sys.executable} {program}"

    return make


def test_sealing_in_a_fleet_is_for_its_recipients(fleet: Path, convoy: Convoy) -> None:
    """Settings say for whom, and this Convoy is always among them; who else is named opens it too, and a stranger does not."""
    sealed = json.loads(convoy("secret", "seal", "-o", "json", input="x-1").stdout)
    assert sealed["age"].count("BEGIN") == 1
    assert opened(fleet / "apps" / "web.yaml", ALICE) == {
        "Container/web spec.environment.TOKEN": b"hunter-1",
        "Container/web spec.environment.OTHER": b"hunter-2",
        "Container/other spec.files.etc/app.conf": b"line 1\nline 2\n",
    }
    assert convoy("validate", str(fleet)).exit_code == 0


def test_everybody_with_the_hash_key_makes_the_same_hash(fleet: Path, convoy: Convoy, state: Path, tmp_path: Path) -> None:
    """Another machine with a recipient's identity seals the same secret under the same hash; one without makes up its own."""
    own = json.loads(convoy("secret", "seal", "-o", "json", input="same").stdout)["hash"]
    laptop, stranger = tmp_path / "laptop", tmp_path / "stranger"
    laptop.mkdir(mode=0o700)
    (laptop / IDENTITY_FILE).write_text(f"{ALICE.identity}\n")
    (laptop / IDENTITY_FILE).chmod(0o600)
    alices = convoy("--state", str(laptop), "secret", "seal", "-o", "json", input="same")
    unkeyed = [convoy("--state", str(stranger), "secret", "seal", "-o", "json", input="same") for _ in range(2)]

    assert json.loads(alices.stdout)["hash"] == own
    assert "drawn by lot" in unkeyed[0].stderr
    made = {json.loads(one.stdout)["hash"] for one in unkeyed}
    assert len(made) == 2
    assert all(one.startswith("unkeyed-") for one in made)


def test_an_edit_changes_what_was_edited(fleet: Path, convoy: Convoy, editor: Editor, tmp_path: Path) -> None:
    """The edited secret alone is sealed again, for all recipients, with another hash; the rest of the file stays as it is."""
    file = fleet / "apps" / "web.yaml"
    before, was = file.read_text(), hashes(file)
    text = "paths[0].write_text(paths[0].read_text().replace('hunter-1', 'hunter-one') + '\\n')"
    done = convoy("secret", "edit", f"{file}#Container/web", EDITOR=editor(text), VISUAL="")

    assert done.exit_code == 0, done.output
    assert "sealed Container/web spec.environment.TOKEN for 2 recipients" in done.stdout
    for keys in (ALICE,):
        assert list(opened(file, keys).values()) == [b"hunter-one", b"hunter-2", b"line 1\nline 2\n"]
    assert lines_besides(file.read_text()) == lines_besides(before)
    assert [old == new for old, new in zip(was, hashes(file), strict=True)] == [False, True, True]
    assert convoy("validate", str(fleet)).exit_code == 0
    seen = (tmp_path / "seen").read_text().splitlines()
    assert all(line.startswith("0o100600 0o40700 ") for line in seen)
    assert len(seen) == 2
    assert not Path(seen[0].split()[-1]).parent.exists()


def test_without_a_change_the_file_is_not_touched(fleet: Path, convoy: Convoy, editor: Editor) -> None:
    """Not a byte and not its time, though an editor has put a line break at the end."""
    file = fleet / "apps" / "web.yaml"
    before = file.read_bytes(), file.stat()
    done = convoy(
        "secret", "edit", str(file), EDITOR=editor("[p.write_bytes(p.read_bytes().rstrip(b'\\n') + b'\\n') for p in paths]")
    )
    assert done.exit_code == 0, done.output
    assert "as it was" in done.stdout
    after = file.stat()
    assert (file.read_bytes(), after.st_mtime_ns, after.st_ino) == (before[0], before[1].st_mtime_ns, before[1].st_ino)


@pytest.mark.parametrize(
    ("words", "text", "said"),
    [
        ((), "sys.exit(3)", "the editor ended with status 3"),
        ((), "[p.unlink() for p in paths]", "has left no file"),
        ((), "paths[0].write_text('\\n')", "would be empty"),
        (("--field", "spec.nothing"), "", "no such secret: there is Container/web spec.environment.TOKEN"),
        (("-r", "age1nonsense"), "paths[0].write_text('new')", "no age recipient"),
    ],
)
def test_what_goes_wrong_changes_nothing(
    fleet: Path, convoy: Convoy, editor: Editor, tmp_path: Path, words: tuple[str, ...], text: str, said: str
) -> None:
    """It is said what, without any of the secret; the file stays, and the open copy goes."""
    file = fleet / "apps" / "web.yaml"
    before = file.read_bytes()
    done = convoy("secret", "edit", str(file), *words, EDITOR=editor(text), VISUAL="")
    assert done.exit_code == 1
    assert said in done.stderr
    assert "hunter" not in done.output
    assert file.read_bytes() == before
    if (tmp_path / "seen").exists():
        assert not Path((tmp_path / "seen").read_text().splitlines()[0].split()[-1]).parent.exists()


@pytest.mark.slow
def test_what_changed_elsewhere_meanwhile_is_kept(fleet: Path, convoy: Convoy, editor: Editor) -> None:
    """A line that somebody adds while the editor is open stays; a secret that somebody else seals meanwhile does too."""
    file = fleet / "apps" / "web.yaml"
    done = convoy(
        "secret",
        "edit",
        str(file),
        "--field",
        "environment.TOKEN",
        EDITOR=editor(
            f"f = pathlib.Path({str(file)!r}); f.write_text('# added\\n' + f.read_text()); paths[0].write_text('mine')"
        ),
    )
    assert done.exit_code == 0, done.output
    assert file.read_text().startswith("# added\n# Grüße\n")
    assert opened(file, ALICE)["Container/web spec.environment.TOKEN"] == b"mine"
    rekeyed = f"{sys.executable} -m reconciler secret rekey {file}"
    done = convoy("secret", "edit", str(file), EDITOR=editor(f"os.system({rekeyed!r}); paths[0].write_text('theirs')"))
    assert done.exit_code == 1
    assert "changed" in done.stderr
    assert opened(file, ALICE)["Container/web spec.environment.TOKEN"] == b"mine"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_nothing_behind(
    fleet: Path, state: Path, editor: Editor, tmp_path: Path, number: signal.Signals
) -> None:
    """Told to end while the editor is open, it ends the editor too and removes the plaintext; Ctrl-C is the editor's."""
    words = [sys.executable, "-m", "reconciler", "secret", "edit", str(fleet / "apps" / "web.yaml")]
    text = f"import time\npathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\ntime.sleep(600)"
    environment = os.environ | {"CONVOY_STATE": str(state), "EDITOR": editor(text), "VISUAL": ""}
    with subprocess.Popen(words, env=environment, stderr=subprocess.PIPE) as running:
        until = time.monotonic() + 60
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            assert time.monotonic() < until
            time.sleep(0.05)
        place = Path((tmp_path / "seen").read_text().splitlines()[0].split()[-1]).parent
        assert b"hunter-1" in b"".join(path.read_bytes() for path in place.iterdir())
        running.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert running.poll() is None
        running.send_signal(number)
        assert running.wait(60) == 128 + number
    assert not place.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_rekey_follows_the_settings(fleet: Path, convoy: Convoy) -> None:
    """A new recipient opens everything afterwards, the hash key included, and one who is gone opens nothing; hashes stay."""
    bob, file, settings = keygen(), fleet / "apps" / "web.yaml", fleet / "settings.yaml"
    before, was = file.read_text(), hashes(file)
    settings.write_text(settings.read_text().replace(ALICE.recipient, bob.recipient))
    done = convoy("secret", "rekey", str(fleet))

    assert done.exit_code == 0, done.output
    assert "4 secrets in 2 files sealed again for 2 recipients" in done.stdout
    assert list(opened(file, bob).values()) == [b"hunter-1", b"hunter-2", b"line 1\nline 2\n"]
    assert len(opened(settings, bob)["Settings/fleet spec.hashKey"]) == 32
    for one in (file, settings):
        with pytest.raises(Exception, match="sealed for others"):
            opened(one, ALICE)
    assert (hashes(file), lines_besides(file.read_text())) == (was, lines_besides(before))
    assert convoy("validate", str(fleet)).exit_code == 0


def test_rekey_check_tells_what_is_not_so(fleet: Path, convoy: Convoy) -> None:
    """It changes nothing, names file and line, and says no more than an age file tells."""
    files = [fleet / "apps" / "web.yaml", fleet / "settings.yaml"]
    assert convoy("secret", "rekey", "--check", str(fleet)).exit_code == 0
    files[1].write_text(files[1].read_text().replace(f", {ALICE.recipient}", ""))
    before = [one.read_bytes() for one in files]
    done = convoy("secret", "rekey", "--check", "-o", "json", str(fleet))
    answer = json.loads(done.stdout)

    assert done.exit_code == 1
    assert len(answer["wrong"]) == 4
    assert f"{files[0]}:11: Container/web spec.environment.TOKEN is sealed for 2 and not for 1 recipients" in answer["wrong"]
    assert [one.read_bytes() for one in files] == before


def test_rekey_changes_a_file_whole_or_not_at_all(fleet: Path, convoy: Convoy) -> None:
    """One secret that does not open keeps its whole file as it is, and no other; the exit code tells."""
    file, settings = fleet / "apps" / "web.yaml", fleet / "settings.yaml"
    strange = seal(b"x", [keygen().recipient], b"k")
    content = file.read_text() + "    etc/other: " + json.dumps({"age": strange.age, "hash": strange.hash}) + "\n"
    file.write_text(content)
    before = settings.read_text()
    done = convoy("secret", "rekey", str(fleet))

    assert done.exit_code == 1
    assert "sealed for others" in done.stderr
    assert file.read_text() == content
    assert settings.read_text() != before


def test_rekey_of_a_file_that_cannot_be_edited_says_so(fleet: Path, convoy: Convoy) -> None:
    """A ciphertext shared by an anchor on the text itself cannot be replaced in its place: nothing is written."""
    sealed = json.loads(convoy("secret", "seal", "-o", "json", input="x-1").stdout)
    file = fleet / "odd.yaml"
    file.write_text(
        "apiVersion: convoy/v1\nkind: Container\nmetadata: {name: odd}\nspec:\n  command: [run]\n  environment:\n"
        f"    A: {{age: &a {json.dumps(sealed['age'])}, hash: {sealed['hash']}}}\n    B: {{age: *a, hash: {sealed['hash']}}}\n"
    )
    assert convoy("validate", str(fleet)).exit_code == 0
    before = file.read_text()
    done = convoy("secret", "rekey", str(file))
    assert done.exit_code == 1
    assert "leaves no room" in done.stderr
    assert file.read_text() == before


def test_a_key_that_settings_do_not_name_is_added_and_told(fleet: Path, convoy: Convoy, state: Path, tmp_path: Path) -> None:
    """Whoever seals can open it again; that it is one more than Settings name is said, and `--check` finds it elsewhere."""
    laptop = tmp_path / "laptop"
    convoy("--state", str(laptop), "secret", "keygen")
    sealed = convoy("--state", str(laptop), "secret", "seal", input="x-1")
    named = convoy("secret", "seal", input="x-1")
    assert "none of the recipients in Settings" in sealed.stderr
    assert "none of the recipients in Settings" not in named.stderr
    text = "apiVersion: convoy/v1\nkind: Container\nmetadata: {name: more}\nspec:\n  command: [run]\n  files:\n    a:\n"
    (fleet / "more.yaml").write_text(text + indented(sealed.stdout, 6))
    assert "is sealed for 3 and not for 2 recipients" in convoy("secret", "rekey", "--check", str(fleet)).stderr


def test_a_tenants_secret_is_called_by_its_tenant(fleet: Path, convoy: Convoy, editor: Editor) -> None:
    """Where a file lies says whose it is, as everywhere."""
    file = fleet / "tenants" / "acme" / "web.yaml"
    file.parent.mkdir(parents=True)
    file.write_text((fleet / "apps" / "web.yaml").read_text())
    done = convoy("secret", "edit", f"{file}#Container/acme/other", EDITOR=editor("paths[0].write_text('new')"))
    assert "sealed Container/acme/other spec.files.etc/app.conf" in done.stdout, done.output


def test_the_longest_secret_fits_into_a_document(fleet: Path, convoy: Convoy) -> None:
    """What `seal` takes, the kinds accept; what is longer is refused before it is sealed."""
    sealed = convoy("secret", "seal", input=b"x" * MOST_BYTES)
    text = "apiVersion: convoy/v1\nkind: Container\nmetadata: {name: long}\nspec:\n  command: [run]\n  files:\n    long:\n"
    (fleet / "long.yaml").write_text(text + indented(sealed.stdout, 6))
    assert convoy("validate", str(fleet)).exit_code == 0
    assert convoy("secret", "seal", input=b"x" * (MOST_BYTES + 1)).exit_code == 1


def test_settings_that_are_wrong_stop_sealing(fleet: Path, convoy: Convoy) -> None:
    """Nobody seals for half of the recipients: the Problem is shown with its line and column."""
    settings = fleet / "settings.yaml"
    settings.write_text(settings.read_text().replace(ALICE.recipient, ALICE.recipient[:-1] + "q"))
    done = convoy("secret", "seal", input="hunter-3")
    assert done.exit_code == 1
    assert "settings.yaml:5:" in done.stderr
    assert "typing error" in done.stderr


def test_an_age_file_tells_for_how_many_it_is() -> None:
    """Padding that other tools add to a header is no recipient; what is no age file has none."""
    keys = [keygen().recipient for _ in range(3)]
    assert [recipients_in(seal(b"x", keys[:n], b"k")) for n in (1, 2, 3)] == [1, 2, 3]
    broken = seal(b"x", keys, b"k")
    assert recipients_in(broken.model_copy(update={"age": broken.age.replace("\n", "\nA", 1)})) is None
