"""Recipients: whom a secret is sealed for, as age writes them, checked by their form and their own checksum."""

from typing import Annotated

from pydantic import AfterValidator, Field

from reconciler.core.kinds.part import broken

# https://github.com/C2SP/C2SP/blob/main/age.md#x25519-recipient-stanza: 32 bytes in Bech32, as its data and its checksum.
PREFIX, DIGITS, LENGTH = "age1", "qpzry9x8gf2tvdw0s3jn54khce6mua7l", 62
# https://github.com/bitcoin/bips/blob/master/bip-0173.mediawiki#checksum
GENERATORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
HINT = "it is what `convoy secret recipient` or `age-keygen -y` prints: `age1…`, 62 characters"
PATTERN = r"^age1[qpzry9x8gf2tvdw0s3jn54khce6mua7l]{58}$"


def recipient(text: str) -> str:
    """The text, when it is an age recipient of this kind; no message repeats it, for it may be an identity put in its place."""
    if text.upper().startswith("AGE-SECRET-KEY-"):
        hint = "take the identity for known to others: make a new one, and put its recipient here (`convoy secret recipient`)"
        raise broken("an age identity stands openly where its recipient belongs", hint)
    if not text.startswith(PREFIX) or len(text) != LENGTH or any(letter not in DIGITS for letter in text[len(PREFIX) :]):
        raise broken("this is no age recipient", HINT)
    if _checksum(text) != 1:
        raise broken("this age recipient has a typing error in it: its checksum is wrong", HINT)
    return text


def _checksum(text: str) -> int:
    """Bech32's polymod over prefix and digits: 1 when nothing was mistyped."""
    prefix, _, data = text.rpartition("1")
    values = [ord(letter) >> 5 for letter in prefix] + [0] + [ord(letter) & 31 for letter in prefix]
    values += [DIGITS.index(letter) for letter in data]
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(GENERATORS):
            check ^= generator if (top >> bit) & 1 else 0
    return check


# The pattern is for editors; they cannot tell a typing error.
Recipient = Annotated[str, AfterValidator(recipient), Field(json_schema_extra={"pattern": PATTERN})]
