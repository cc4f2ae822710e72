"""What is wanted: the source, whose commits count, the documents, certificates and the key for secrets."""

import shutil
import time
from pathlib import Path

import pytest

from reconciler.core.model import Ref
from reconciler.doctor.ground import Followed
from reconciler.git import Directory, Mirror
from reconciler.seams import Seams
from reconciler.secrets import IDENTITY_FILE
from reconciler.store import KeptCertificate, Store
from reconciler.tls import self_signed
from tests.repos import hermetic, make_origin

from .room import FLEET, Room


def test_a_folder_that_is_gone(room: Room, tmp_path: Path) -> None:
    """The source, and that its documents cannot be read."""
    room.follow(tmp_path / "fleet")
    assert room.one("source")[0] == "ok"
    assert room.one("documents")[:2][0] == "ok"
    shutil.rmtree(tmp_path / "fleet")
    assert room.one("source")[0] == "bad"
    assert room.one("documents")[0] == "warn"


def test_documents_with_problems(room: Room, tmp_path: Path) -> None:
    """With file and line, and how many more there are."""
    room.follow(tmp_path / "fleet", FLEET + "".join(f"---\nkind: Nonsense{n}\n" for n in range(6)))
    found = room.says("documents")
    assert {one.verdict for one in found} == {"bad"}
    assert found[0].what.startswith("fleet.yaml:")
    assert "more problem" in found[-1].what


def test_a_repository(room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where its branch is, a branch that is gone, a repository that is gone; nothing is fetched."""
    hermetic(monkeypatch)
    origin = make_origin(tmp_path)
    head = origin.commit({"fleet.yaml": FLEET})
    where = str(origin.path)

    def follow(branch: str) -> None:
        made = Mirror(where, branch, room.state / "mirror", Seams())
        room.followed = Followed(where, branch, f"{where} branch {branch}", lambda: made)

    follow("main")
    assert room.one("source")[:2] == ("ok", f"{where} branch main is at {head[:12]}")
    assert not (room.state / "mirror").exists()
    follow("gone")
    assert "there is no branch gone" in room.one("source")[1]
    shutil.rmtree(where)
    follow("main")
    assert room.one("source")[0] == "bad"


def test_signers(room: Room, tmp_path: Path) -> None:
    """A list of signers that is gone, empty, or open to others."""
    signers = tmp_path / "signers"
    room.followed = Followed("/origin", "main", "/origin", lambda: Directory(tmp_path, Seams()), {"ssh": signers})
    assert "cannot be read" in room.one("signatures")[1]
    signers.write_text("")
    signers.chmod(0o666)
    assert ["others can write" in one.what or "is empty" in one.what for one in room.says("signatures")] == [True, True]
    signers.write_text("me@example ssh-ed25519 AAAA\n")
    signers.chmod(0o644)
    assert room.one("signatures") == ("ok", "commits are signed: ssh", "")


def chain(days: float) -> str:
    return self_signed(["shop.example"], 400, 7, time.time() + (days - 400) * 86400).chain_pem.decode()


def test_certificates(room: Room, tmp_path: Path, opened: Store) -> None:
    """Those from Git are for people to renew, Convoy's own for Convoy; both are told when it is late."""
    text = ""
    for name, days in (("over", -2.0), ("soon", 5.5), ("fine", 100.0)):
        pem = "".join(f"    {line}\n" for line in chain(days).splitlines())
        text += f"---\napiVersion: convoy/v1\nkind: Certificate\nmetadata: {{name: {name}}}\nspec:\n  chain: |\n{pem}"
        text += (
            "  key:\n    age: |\n      -----BEGIN AGE ENCRYPTED FILE-----\n      abc\n      -----END AGE ENCRYPTED FILE-----\n"
        )
        text += f"    hash: '{'0' * 64}'\n"
    text += "---\napiVersion: convoy/v1\nkind: Certificate\nmetadata: {name: own}\nspec: {selfSigned: {names: [a.example]}}\n"
    room.follow(tmp_path / "fleet", text)
    pair = self_signed(["a.example"], 1, 9, time.time() - 3 * 86400)
    opened.put_certificate(Ref("Certificate", "own"), KeptCertificate("d", pair.chain_pem, pair.key_pem, time.time() - 100))
    found = {one.what.split()[0]: (one.verdict, one.what) for one in room.says("certificates")}
    assert found.keys() == {"Certificate/over", "Certificate/own", "Certificate/soon"}
    assert found["Certificate/over"] == ("bad", "Certificate/over has expired 2d ago")
    assert found["Certificate/soon"] == ("warn", "Certificate/soon expires in 5d")
    assert found["Certificate/own"][0] == "bad"
    verdict, what, _ = room.one("identity")
    assert (verdict, "hold sealed secrets, and there is no" in what) == ("bad", True)
    (room.state / IDENTITY_FILE).write_text("x")
    assert room.one("identity")[0] == "ok"
