"""Sealing and opening secrets."""

from pathlib import Path

import pytest

from reconciler.addressed import addressed, origin
from reconciler.core.kinds.sealed import Sealed
from reconciler.core.model import Ref
from reconciler.seams import Seams
from reconciler.secrets import Keys, Opener, SecretError, keygen, recipient, seal, write_identity

REF = Ref("Certificate", "shop")
PLAINTEXT = b"correct horse battery staple"
KEY = b"k" * 32
RECIPIENT = keygen().recipient


def opener(*identities: str, record: list[tuple[Ref, str]] | None = None) -> Opener:
    opened = [] if record is None else record
    return Opener(identities, lambda ref, purpose: opened.append((ref, purpose)))


def test_open_undoes_seal_for_each_recipient() -> None:
    """What is sealed for two opens with either's identity, and with nobody else's."""
    first, second, stranger = keygen(), keygen(), keygen()
    sealed = seal(PLAINTEXT, [first.recipient, second.recipient], KEY)
    assert opener(first.identity).open(REF, sealed, "sds") == PLAINTEXT
    assert opener(stranger.identity, second.identity).open(REF, sealed, "sds") == PLAINTEXT
    with pytest.raises(SecretError, match=r"Certificate/shop: it is sealed for others"):
        opener(stranger.identity).open(REF, sealed, "sds")


def test_sealing_again_changes_the_ciphertext_and_keeps_the_hash() -> None:
    """The keyed hash tells whether the secret changed; it depends on the key, and is what the Certificate kind accepts."""
    one, two = (seal(PLAINTEXT, [RECIPIENT], KEY) for _ in range(2))
    assert one.age != two.age
    assert one.hash == two.hash
    assert one.hash != seal(PLAINTEXT, [RECIPIENT], b"another").hash
    assert one.hash != seal(PLAINTEXT + b"!", [RECIPIENT], KEY).hash
    assert Sealed.model_validate(one.model_dump()) == one


def test_each_opening_is_recorded_before_the_value_is_given() -> None:
    """The record has ref and purpose; where it cannot be written nothing is opened."""
    keys = keygen()
    record: list[tuple[Ref, str]] = []
    sealed = seal(PLAINTEXT, [keys.recipient], KEY)
    opener(keys.identity, record=record).open(REF, sealed, "sds")
    assert record == [(REF, "sds")]

    def full(ref: Ref, purpose: str) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        Opener([keys.identity], full).open(REF, sealed, "sds")


@pytest.mark.parametrize(
    "damage", [lambda age: age[:200], lambda age: age.replace("A", "B"), lambda age: "nonsense", lambda age: "é"]
)
def test_damaged_ciphertext_is_told_without_any_of_it(damage: object) -> None:
    """Whatever the ciphertext is, opening fails with a SecretError that names the resource and quotes nothing."""
    keys = keygen()
    sealed = seal(PLAINTEXT, [keys.recipient], KEY)
    broken = Sealed.model_construct(age=damage(sealed.age), hash=sealed.hash)  # type: ignore[operator]
    with pytest.raises(SecretError, match="Certificate/shop: it is damaged") as raised:
        opener(keys.identity).open(REF, broken, "sds")
    assert PLAINTEXT.decode() not in str(raised.value)
    assert keys.identity not in str(raised.value)


def test_a_wrong_recipient_is_not_repeated() -> None:
    """Who pastes an identity where a recipient belongs does not find it in logs."""
    keys = keygen()
    with pytest.raises(SecretError, match="recipient 2") as raised:
        seal(PLAINTEXT, [keys.recipient, keys.identity], KEY)
    assert keys.identity not in str(raised.value)
    with pytest.raises(SecretError, match="nobody"):
        seal(PLAINTEXT, [], KEY)


def test_identity_file_is_private_and_kept(tmp_path: Path) -> None:
    """It is made with mode 0600, is never overwritten, and what others can read is refused until that is mended."""
    path, keys = tmp_path / "age-identity.txt", keygen()
    from_file = Opener.from_file(path, lambda ref, purpose: None)
    sealed = seal(PLAINTEXT, [keys.recipient], KEY)
    with pytest.raises(SecretError, match=r"no age identity in .*keygen"):
        from_file.open(REF, sealed, "sds")
    write_identity(path, keys, Seams())
    assert path.stat().st_mode & 0o777 == 0o600
    assert from_file.open(REF, sealed, "sds") == PLAINTEXT
    with pytest.raises(SecretError, match="is there already"):
        write_identity(path, keygen(), Seams())
    path.chmod(0o640)
    with pytest.raises(SecretError, match="others can read"):
        from_file.open(REF, sealed, "sds")
    path.chmod(0o600)
    assert from_file.open(REF, sealed, "sds") == PLAINTEXT


def test_identity_file_may_hold_several_keys_and_change(tmp_path: Path) -> None:
    """A key added later opens what was sealed for it; a line that is no key is named by its number alone."""
    path, old, new = tmp_path / "age-identity.txt", keygen(), keygen()
    from_file = Opener.from_file(path, lambda ref, purpose: None)
    write_identity(path, old, Seams())
    sealed = seal(PLAINTEXT, [new.recipient], KEY)
    with pytest.raises(SecretError, match="sealed for others"):
        from_file.open(REF, sealed, "sds")
    path.write_text(f"# two\n{old.identity}\n\n{new.identity}\n")
    assert from_file.open(REF, sealed, "sds") == PLAINTEXT
    path.write_text(f"{old.identity[:-5]}QQQQQ\n")
    with pytest.raises(SecretError, match="line 1 of") as raised:
        from_file.open(REF, sealed, "sds")
    assert old.identity[:-5] not in str(raised.value)


def test_identity_and_recipient_belong_together() -> None:
    """The recipient can be had from the identity again."""
    keys = keygen()
    assert Keys(keys.identity, recipient(keys.identity)) == keys


def test_what_is_sealed_for_an_address_is_used_for_nothing_else() -> None:
    """Neither beside another address nor in another place; and what is sent somewhere has to be sealed for there."""
    keys = keygen()
    record: list[tuple[Ref, str]] = []
    opened = opener(keys.identity, record=record)
    bound, free = (seal(text, [keys.recipient], KEY) for text in (addressed(PLAINTEXT, "https://git.example"), PLAINTEXT))
    assert opened.open(REF, bound, "token", "https://git.example") == PLAINTEXT
    assert opened.open_whole(REF, bound, "edit") == b"convoy-sealed-for https://git.example\n" + PLAINTEXT
    for sealed, to, words in (
        (bound, "https://evil.example", "it is sealed for https://git.example; put that address back"),
        (bound, "http://git.example", "will not send"),
        (bound, "", "is sealed to be sent to https://git.example, and for nothing else"),
        (free, "https://git.example", "not sealed for an address; seal it again with `convoy secret seal --for https://git"),
    ):
        with pytest.raises(SecretError) as raised:
            opened.open(REF, sealed, "token", to)
        assert words in str(raised.value)
        assert PLAINTEXT.decode() not in str(raised.value)
    assert record == [(REF, "token"), (REF, "edit")]


def test_origins() -> None:
    """As browsers compare them; what is none is not repeated, for it may be the secret itself."""
    assert origin("https://API.github.com/v3?x#y") == "https://api.github.com"
    assert origin("https://git.example:443/api/v1") == "https://git.example"
    assert origin("http://[::1]:8080/") == "http://[::1]:8080"
    assert origin("smtp://mail.example:587") == "smtp://mail.example"
    # However long the rest of it is, and whatever stands in that.
    assert origin(f"https://git.example/{'sub/' * 450}ü") == "https://git.example"
    for text in (
        "git.example",
        "ftp://a",
        "https:///",
        "https://a@b",
        "https://[",
        "https://a:99999",
        "https://a b",
        "https://ü",
        f"https://{'a.' * 150}b/",
    ):
        with pytest.raises(ValueError, match="is no address") as raised:
            origin(text)
        assert text not in str(raised.value)
