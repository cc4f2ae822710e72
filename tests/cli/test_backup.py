"""`convoy backup` and `restore` as a person types them."""

import json
from contextlib import closing
from pathlib import Path

import pytest

from reconciler.core.model import Ref
from reconciler.seams import Seams
from reconciler.store import KeptCertificate, Store, default_url
from tests.cli.conftest import Convoy

KEPT = KeptCertificate("digest", b"KEY-hunter2", b"CHAIN", 5000.0)


@pytest.fixture
def used(store: Store, convoy: Convoy) -> Store:
    """A store with something precious in it, and an age identity beside it."""
    assert store.installation()
    store.put_certificate(Ref("Certificate", "web"), KEPT)
    assert convoy("secret", "keygen").exit_code == 0
    return store


def test_sealed_and_restored_elsewhere(used: Store, convoy: Convoy, state: Path, tmp_path: Path) -> None:
    """Made while the store is open, sealed for the key named, restored with it into another state directory."""
    other, file = tmp_path / "other", tmp_path / "convoy.backup"
    made = convoy("secret", "keygen", CONVOY_STATE=str(tmp_path / "vault"))
    key = tmp_path / "vault" / "age-identity.txt"
    recipient = made.stdout.split()[1]
    done = convoy("backup", str(file), "-r", recipient)
    assert done.exit_code == 0, done.output
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_bytes().startswith(b"-----BEGIN AGE")
    refused = convoy("restore", str(file), CONVOY_STATE=str(other))
    assert refused.exit_code == 1
    assert "there is no age identity" in refused.stderr
    assert convoy("restore", str(file)).exit_code == 1
    restored = convoy("restore", str(file), "--identity", str(key), "-o", "json", CONVOY_STATE=str(other))
    assert restored.exit_code == 0, restored.output
    assert json.loads(restored.stdout)["installation"] == used.installation()
    with closing(Store(default_url(other), Seams())) as again:
        assert again.certificate(Ref("Certificate", "web")) == KEPT
    assert (other / "age-identity.txt").read_text() == (state / "age-identity.txt").read_text()
    assert (other / "age-identity.txt").stat().st_mode & 0o777 == 0o600


def test_for_our_own_key(used: Store, convoy: Convoy, tmp_path: Path) -> None:
    """Without a recipient it is sealed for this Convoy, which says that its key has to be kept elsewhere."""
    done = convoy("backup", str(tmp_path / "b"))
    assert done.exit_code == 0
    assert "keep a copy of that elsewhere" in done.stderr
    assert convoy("restore", str(tmp_path / "b"), "--force").exit_code == 0
    assert used.certificate(Ref("Certificate", "web")) == KEPT


def test_plain_is_said(used: Store, convoy: Convoy, tmp_path: Path) -> None:
    """Readable only when asked for, and then for us alone."""
    assert convoy("backup", str(tmp_path / "b"), "--plain", "-r", "age1x").exit_code == 2
    assert convoy("backup", str(tmp_path / "b"), "--plain").exit_code == 0
    assert (tmp_path / "b").read_bytes().startswith(b'{"convoy":"backup"')
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o600
    assert convoy("restore", str(tmp_path / "b"), CONVOY_STATE=str(tmp_path / "other")).exit_code == 0


def test_nothing_is_written_over(used: Store, convoy: Convoy, tmp_path: Path) -> None:
    """Neither a file that is there, nor a used store, nor another identity; each is said and left as it is."""
    file, other = tmp_path / "b", tmp_path / "other"
    file.write_text("mine")
    assert "is there already" in convoy("backup", str(file), "--plain").stderr
    assert file.read_text() == "mine"
    assert convoy("backup", str(tmp_path / "c"), "--plain").exit_code == 0
    assert "say --force" in convoy("restore", str(tmp_path / "c")).stderr
    convoy("secret", "keygen", CONVOY_STATE=str(other))
    identity = (other / "age-identity.txt").read_text()
    refused = convoy("restore", str(tmp_path / "c"), CONVOY_STATE=str(other))
    assert (refused.exit_code, "another age identity" in refused.stderr) == (1, True)
    assert not (other / "convoy.db").exists()
    assert convoy("restore", str(tmp_path / "c"), "--force", CONVOY_STATE=str(other)).exit_code == 0
    assert (other / "age-identity.txt").read_text() == identity


def test_a_failed_restore_leaves_no_identity(used: Store, convoy: Convoy, tmp_path: Path) -> None:
    """All or nothing: the store as it was, and no key beside it."""
    other = tmp_path / "other"
    assert convoy("backup", str(tmp_path / "b"), "--plain").exit_code == 0
    other.mkdir(mode=0o700)
    with closing(Store(default_url(other), Seams())) as taken:
        assert taken.acquire("control", "somebody", 60)
    refused = convoy("restore", str(tmp_path / "b"), "--force", CONVOY_STATE=str(other))
    assert "a Convoy is at work" in refused.stderr
    assert not (other / "age-identity.txt").exists()


@pytest.mark.parametrize("content", [b"", b"hello\n", b"-----BEGIN AGE ENCRYPTED FILE-----\nx\n"])
def test_what_is_no_backup(content: bytes, used: Store, convoy: Convoy, tmp_path: Path) -> None:
    """An error in words."""
    (tmp_path / "b").write_bytes(content)
    done = convoy("restore", str(tmp_path / "b"))
    assert done.exit_code == 1
    assert done.stderr.startswith("error: ")


def test_nothing_to_back_up(convoy: Convoy, tmp_path: Path) -> None:
    """Where no Convoy has worked, no file is made."""
    done = convoy("backup", str(tmp_path / "b"), "--plain")
    assert (done.exit_code, "there is no store" in done.stderr) == (1, True)
    assert not (tmp_path / "b").exists()
