"""What is given over the API is sealed by control: for whom, with which hash, when not, and that it is written nowhere."""

import base64
import io
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from api.seal import sealed
from reconciler import seals
from reconciler.ask import SEAL, AskError, ask
from reconciler.core.kinds.sealed import Sealed
from reconciler.core.model import FleetState, Ref
from reconciler.log import Log
from reconciler.metrics import Metrics
from reconciler.requests import Requests
from reconciler.seals import MOST_BYTES, MOST_VALUES, Seals
from reconciler.seams import Seams
from reconciler.secrets import IDENTITY_FILE, Keys, Opener, encrypt, keyed_hash, keygen, write_identity
from reconciler.store import Store
from tests.fleets import load_text

REF, SECRET = Ref("Notification", "told"), "correct horse battery staple"
HASH_KEY = b"h" * 32


def settings(*recipients: str, hash_key: str = "") -> FleetState:
    spec = {"recipients": recipients} | ({"hashKey": {"age": hash_key}} if hash_key else {})
    return load_text(json.dumps({"apiVersion": "convoy/v1", "kind": "Settings", "metadata": {"name": "fleet"}, "spec": spec}))


class Sealing:
    """Control's socket with nothing but this behind it, an identity, and a fleet that a test sets."""

    def __init__(self, directory: Path, run: Path) -> None:
        self.keys, self.other = keygen(), keygen()
        self.store, self.run, self.state = Store(f"sqlite:///{directory / 'convoy.db'}", Seams()), run, directory
        self.fleet: FleetState | None = settings(self.other.recipient, self.keys.recipient)
        self.opener = Opener.from_file(directory / IDENTITY_FILE, self.store.opened)
        write_identity(directory / IDENTITY_FILE, self.keys, Seams())
        found = Seals(lambda: self.fleet, self.opener, self.store)
        self.said = io.StringIO()
        self.requests = Requests(run, {SEAL: found.asked}, Metrics(), Log(self.said, level="debug"), Seams())

    def close(self) -> None:
        self.requests.close()
        self.store.close()

    def opened(self, keys: Keys, found: dict[str, str]) -> str:
        return Opener([keys.identity], lambda *_: None).open(REF, Sealed(**found), "test").decode()


@pytest.fixture
def sealing(tmp_path: Path, sockets: Path) -> Iterator[Sealing]:
    with closing(Sealing(tmp_path, sockets)) as opened:
        yield opened


def test_sealed_for_everybody_who_is_named(sealing: Sealing) -> None:
    """Each value by itself; every recipient can open it, and a document may hold it; sealed again it has the same hash."""
    pem = "-----BEGIN PRIVATE KEY-----\nü\n-----END PRIVATE KEY-----\n"
    found = sealed(sealing.run, {"secret": SECRET, "key": pem})
    assert found.keys() == {"secret", "key"}
    for keys in (sealing.keys, sealing.other):
        assert sealing.opened(keys, found["secret"]) == SECRET
        assert sealing.opened(keys, found["key"]) == pem
    again = sealed(sealing.run, {"secret": SECRET})["secret"]
    assert (again["hash"], again["age"] == found["secret"]["age"]) == (found["secret"]["hash"], False)
    assert found["secret"]["hash"] == keyed_hash(SECRET.encode(), sealing.store.digest_key())


def test_the_fleets_own_hash_key(sealing: Sealing) -> None:
    """Where it can be opened, hashes are those that everybody makes, and the opening is an event; where not, one is drawn."""
    ours = [sealing.keys.recipient]
    sealing.fleet = settings(*ours, hash_key=encrypt(HASH_KEY, ours))
    assert sealed(sealing.run, {"secret": SECRET})["secret"]["hash"] == keyed_hash(SECRET.encode(), HASH_KEY)
    assert [one.ref for one in sealing.store.events() if one.kind == "secret.opened"] == ["Settings/fleet"]
    sealing.fleet = settings(*ours, hash_key=encrypt(HASH_KEY, [sealing.other.recipient]))
    assert sealed(sealing.run, {"secret": SECRET})["secret"]["hash"].startswith("unkeyed-")


def test_what_it_seals_it_can_open(sealing: Sealing) -> None:
    """A Convoy that the recipients forget is one of them all the same."""
    sealing.fleet = settings(sealing.other.recipient)
    found = sealed(sealing.run, {"secret": SECRET})["secret"]
    assert sealing.opened(sealing.keys, found) == sealing.opened(sealing.other, found) == SECRET


def test_when_nothing_can_be_sealed(sealing: Sealing) -> None:
    """No revision, no recipients, no identity: each says what to do, and nothing of what was given."""
    fleet = sealing.fleet
    for missing, code, words in (
        (None, "no-revision", "no revision is in force"),
        (settings(), "unsealable", "name no `recipients`"),
    ):
        sealing.fleet = missing
        with pytest.raises(AskError, match=words) as raised:
            sealed(sealing.run, {"secret": SECRET})
        assert raised.value.code == code
        assert raised.value.hint
    sealing.fleet = fleet
    (sealing.state / IDENTITY_FILE).unlink()
    with pytest.raises(AskError, match="no age identity") as raised:
        sealed(sealing.run, {"secret": SECRET})
    assert (raised.value.code, SECRET in raised.value.what + raised.value.hint) == ("unsealable", False)


NO_QUESTIONS = [
    b"",
    b"[]",
    b"{}",
    b"\xff",
    b'{"a": 1}',
    b'{"a": ""}',
    b'{"a": {"b": "c"}}',
    b"[" * 100_000,
    b'{"a": "\\ud800"}',
]


@pytest.mark.parametrize("body", [*NO_QUESTIONS, json.dumps({str(i): "x" for i in range(MOST_VALUES + 1)}).encode()])
def test_what_is_no_question(body: bytes, sealing: Sealing) -> None:
    """Whatever is sent, it is told apart from what is ours to mend."""
    with pytest.raises(AskError) as raised:
        ask(sealing.run, SEAL, body, 120)
    assert raised.value.code == "bad-question"


def test_sizes(sealing: Sealing) -> None:
    """The largest that fits is sealed, and one byte more is refused; half a character never leaves the web process."""
    assert len(sealed(sealing.run, {"key": "x" * MOST_BYTES})["key"]["age"]) < 1 << 20
    with pytest.raises(AskError, match="740,001 bytes") as raised:
        sealed(sealing.run, {"key": "x" * (MOST_BYTES + 1)})
    assert raised.value.code == "too-large"
    with pytest.raises(AskError, match="half a character"):
        sealed(sealing.run, {"key": "x\ud800"})


def test_it_is_written_nowhere(sealing: Sealing, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not in the log and not in the store, also when sealing fails in a way that nobody foresaw."""
    sealed(sealing.run, {"secret": SECRET})

    def fails(*_: object) -> Sealed:
        raise ZeroDivisionError("no reason")

    monkeypatch.setattr(seals, "seal", fails)
    with pytest.raises(AskError) as raised:
        sealed(sealing.run, {"secret": SECRET})
    assert raised.value.code == "broken"
    said = sealing.said.getvalue()
    assert "request.broken" in said
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    for form in (SECRET.encode(), base64.b64encode(SECRET.encode())[:30], SECRET.encode().hex().encode()):
        assert form not in kept
        assert form.decode() not in said
