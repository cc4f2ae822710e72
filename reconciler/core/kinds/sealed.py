"""What a sealed secret looks like in a document: ciphertext for age's tools, and a hash that stands for what is in it."""

from typing import Any

from pydantic import Discriminator, Field, Tag

from reconciler.core.kinds.part import Part

# How errors tell which of the two was meant; no key of a document can be one of these, for a NUL is in no document.
TEXT, SEALED = "\0text", "\0sealed"
HASH_PATTERN = r"^([0-9a-f]{64}|unkeyed-[0-9a-f]{32})$"


class Ciphertext(Part):
    """A secret that nobody compares with another."""

    # Not shown in any message: whoever put the secret itself here must not find it in a log as well.
    age: str = Field(
        pattern=r"^-----BEGIN AGE ENCRYPTED FILE-----\n[\s\S]+-----END AGE ENCRYPTED FILE-----\n?$",
        max_length=1 << 20,
        repr=False,
    )
    """The ciphertext, in age's armoured form."""


class Sealed(Ciphertext):
    """A secret as Git may hold it."""

    hash: str = Field(pattern=HASH_PATTERN, repr=False)
    """Keyed hash of the plaintext: sealing the same secret again changes nothing. `unkeyed-…` where the sealer had no key."""


def _shape(value: Any) -> str:
    return SEALED if isinstance(value, dict | Sealed) else TEXT


told_by_shape = Discriminator(_shape)

__all__ = ["HASH_PATTERN", "SEALED", "TEXT", "Ciphertext", "Sealed", "Tag", "told_by_shape"]
