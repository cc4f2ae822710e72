"""Certificate: TLS material, delivered to proxies by SDS."""

from typing import Annotated, Any, ClassVar, Self

from pydantic import ConfigDict, Field, model_validator

from reconciler.core.kinds.sealed import Sealed
from reconciler.core.kinds.spec import Part, Spec, broken

# A DNS name, one with `*.` before it, or an IP address.
Subject = Annotated[str, Field(pattern=r"^(\*\.)?[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$|^[0-9A-Fa-f:.]+$", max_length=253)]


class SelfSigned(Part):
    """Convoy makes key and certificate itself and keeps them in its state directory."""

    names: tuple[Subject, ...] = Field(min_length=1, max_length=100)
    """DNS names and IP addresses it is for."""
    days: int = Field(90, ge=1, le=3650)
    """How long it is valid; Convoy makes a new one when a third of that is left."""


class Certificate(Spec):
    """TLS material. Exactly one of `selfSigned`, or `chain` with `key`."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["selfSigned"]}, {"required": ["chain", "key"]}]})
    example: ClassVar[dict[str, Any]] = {
        "apiVersion": "convoy/v1",
        "kind": "Certificate",
        "metadata": {"name": "shop"},
        "spec": {"selfSigned": {"names": ["shop.example", "localhost"]}},
    }

    self_signed: SelfSigned | None = None
    """Convoy makes and renews it."""
    chain: str | None = Field(None, pattern=r"^-----BEGIN CERTIFICATE-----", max_length=1 << 20, repr=False)
    """The certificate and its intermediates, PEM."""
    key: Sealed | None = None
    """The private key, sealed by `convoy secret seal`."""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if self.self_signed is not None:
            if self.chain is not None or self.key is not None:
                raise broken(
                    "a certificate is either `selfSigned` or has `chain` and `key`", "remove one or the other", "selfSigned"
                )
        elif self.chain is None or self.key is None:
            missing = "`selfSigned`, or `chain` and `key`"
            if self.chain is not None or self.key is not None:
                missing = "`key` beside `chain`" if self.key is None else "`chain` beside `key`"
            raise broken(f"a certificate needs {missing}", "`convoy secret seal` seals a private key")
        if self.chain is not None and "PRIVATE KEY" in self.chain:
            hint = "take the key for known to others: make a new one, and seal it with `convoy secret seal` into `key`"
            raise broken("a private key stands openly in `chain`", hint, "chain")
        return self
