"""Certificate: TLS material, delivered to proxies by SDS."""

from typing import Any, ClassVar

from pydantic import Field

from reconciler.core.kinds.spec import Part, Spec


class SelfSigned(Part):
    """Convoy makes key and certificate itself and keeps them in its state directory."""

    names: tuple[str, ...] = Field(min_length=1, max_length=100)
    """DNS names and IP addresses it is for."""
    days: int = Field(90, ge=1, le=3650)
    """How long it is valid; Convoy makes a new one when a third of that is left."""


class Sealed(Part):
    """A secret as Git may hold it."""

    age: str = Field(
        pattern=r"^-----BEGIN AGE ENCRYPTED FILE-----\n[\s\S]+-----END AGE ENCRYPTED FILE-----\n?$", max_length=1 << 20
    )
    """The ciphertext, in age's armoured form."""
    hash: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Keyed hash of the plaintext: sealing the same secret again changes nothing."""


class Certificate(Spec):
    """TLS material. Exactly one of `selfSigned`, or `chain` with `key`."""

    example: ClassVar[dict[str, Any]] = {
        "apiVersion": "convoy/v1",
        "kind": "Certificate",
        "metadata": {"name": "shop"},
        "spec": {"selfSigned": {"names": ["shop.example", "localhost"]}},
    }

    self_signed: SelfSigned | None = None
    chain: str | None = Field(None, pattern=r"^-----BEGIN CERTIFICATE-----", max_length=1 << 20)
    """The certificate and its intermediates, PEM."""
    key: Sealed | None = None
    """The private key, sealed by `convoy secret seal`."""
