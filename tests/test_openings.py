"""Secrets of workloads are looked into before they are needed, each document for itself."""

from pathlib import Path

import pytest

from reconciler.core.model import Ref
from reconciler.openings import AGAIN_S, Openings
from reconciler.seams import Seams
from reconciler.secrets import Keys, Opener, SecretError, keygen, seal, write_identity
from tests.fleets import load_text

HASH_KEY = b"k" * 32


class Clock(Seams):
    def __init__(self) -> None:
        self.at = 100.0

    def monotonic(self) -> float:
        return self.at


def document(kind: str, name: str, keys: Keys, plaintext: str, hash: str = "") -> str:
    sealed = seal(plaintext.encode(), [keys.recipient], HASH_KEY)
    armored = sealed.age.strip().replace("\n", "\n        ")
    return (
        f"---\napiVersion: convoy/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n  command: [run]\n  environment:\n"
        f"    TOKEN:\n      age: |\n        {armored}\n      hash: {hash or sealed.hash}\n"
    )


@pytest.fixture
def ours(tmp_path: Path) -> "Ours":
    keys, clock, record = keygen(), Clock(), list[tuple[Ref, str]]()
    write_identity(tmp_path / "identity", keys, clock)
    opener = Opener.from_file(tmp_path / "identity", lambda ref, purpose: record.append((ref, purpose)), clock)
    return keys, Openings(opener, clock), record, clock


Ours = tuple[Keys, Openings, list[tuple[Ref, str]], Clock]


def test_each_secret_is_opened_once(ours: Ours) -> None:
    """What opens is looked into once for all its rounds, and what is not sealed never."""
    keys, openings, record, _ = ours
    plain = (
        "---\napiVersion: convoy/v1\nkind: Container\nmetadata: {name: plain}\nspec: {command: [run], environment: {A: b}}\n"
    )
    fleet = load_text(document("Application", "web", keys, "one") + plain)
    assert openings.problems(fleet) == openings.problems(fleet) == ()
    assert record == [(Ref("Application", "web"), "check")]


def test_what_is_sealed_for_others_is_told_and_tried_again(ours: Ours, tmp_path: Path) -> None:
    """It is a Problem at its document, until an identity that opens it is added; the others are not concerned."""
    keys, openings, record, clock = ours
    stranger = keygen()
    fleet = load_text(document("Container", "a", keys, "one") + document("Container", "b", stranger, "two"))
    (problem,) = openings.problems(fleet)
    assert (problem.ref, problem.where.line) == (Ref("Container", "b"), fleet.resources[Ref("Container", "b")].source.line)
    assert "environment TOKEN: cannot open the secret of Container/b: it is sealed for others" in problem.what

    with (tmp_path / "identity").open("a") as file:
        file.write(f"{stranger.identity}\n")
    assert len(openings.problems(fleet)) == 1
    clock.at += AGAIN_S
    assert openings.problems(fleet) == ()
    assert record == [(Ref("Container", "a"), "check"), (Ref("Container", "b"), "check")]


def test_a_new_secret_under_an_old_hash_is_told(ours: Ours) -> None:
    """Who pastes a new ciphertext and leaves the hash would have a change that nobody sees; the old one stays in use."""
    keys, openings, _, _ = ours
    first = seal(b"one", [keys.recipient], HASH_KEY)
    assert openings.problems(load_text(document("Container", "a", keys, "one"))) == ()
    (problem,) = openings.problems(load_text(document("Container", "a", keys, "two", hash=first.hash)))
    assert "the hash beside it is that of another secret" in problem.what
    assert openings.problems(load_text(document("Container", "a", keys, "one"))) == ()


def test_many_secrets_hold_up_no_round(ours: Ours) -> None:
    """A look takes its share of time and goes on in the next round; a preview sees all of them."""
    keys, openings, record, clock = ours
    fleet = load_text("".join(document("Container", f"c{n}", keys, f"{n}") for n in range(6)))
    slow = clock.monotonic

    def monotonic() -> float:
        clock.at += 0.01
        return slow()

    clock.monotonic = monotonic  # type: ignore[method-assign]
    openings.problems(fleet, slice_s=0.025)
    assert 0 < len(record) < 6
    openings.problems(fleet, slice_s=None)
    assert len(record) == 6


def test_a_mismatched_hash_is_no_opening(ours: Ours) -> None:
    """What is refused is not recorded as handed out."""
    keys, _, _, _ = ours
    record: list[tuple[Ref, str]] = []
    opener = Opener([keys.identity], lambda ref, purpose: record.append((ref, purpose)))
    one, two = (seal(text, [keys.recipient], HASH_KEY) for text in (b"one", b"two"))
    opener.open(Ref("Container", "a"), one, "run")
    with pytest.raises(SecretError, match="hash beside it"):
        opener.open(Ref("Container", "a"), two.model_copy(update={"hash": one.hash}), "run")
    assert len(record) == 1
