"""Makes and reads certificates and keys; the only place that talks to the cryptography library."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# Clocks differ: a certificate that is only valid from this very second is refused by a client whose clock is behind.
BACKDATED = timedelta(minutes=5)
# RFC 5280, section 4.1.2.2: at most 20 octets, positive. One octet less keeps clear of the sign bit.
SERIAL_BYTES = 19
# RFC 5280, appendix A: a longer common name is no certificate. It is for people; what counts are the alternative names.
LONGEST_COMMON_NAME = 64


class TlsError(Exception):
    """A certificate or key is not what it should be. The message holds nothing of a key."""


@dataclass(frozen=True)
class Pair:
    """A certificate chain and its private key, both PEM. Times are Unix seconds."""

    chain_pem: bytes
    key_pem: bytes
    not_before: float
    not_after: float

    def __repr__(self) -> str:
        return f"Pair(not_after={self.not_after})"


@dataclass(frozen=True)
class Chain:
    """A parsed chain, the leaf first."""

    certificates: tuple[x509.Certificate, ...]

    @property
    def leaf(self) -> x509.Certificate:
        return self.certificates[0]

    @cached_property
    def serial(self) -> str:
        return f"{self.leaf.serial_number:x}"

    @cached_property
    def subject(self) -> str:
        """`CN=shop.example`: https://www.rfc-editor.org/rfc/rfc4514"""
        return self.leaf.subject.rfc4514_string()

    @cached_property
    def issuer(self) -> str:
        return self.leaf.issuer.rfc4514_string()

    @cached_property
    def not_before(self) -> float:
        return max(one.not_valid_before_utc.timestamp() for one in self.certificates)

    @cached_property
    def not_after(self) -> float:
        return min(one.not_valid_after_utc.timestamp() for one in self.certificates)

    def fault(self) -> str:
        """What is wrong with the order of the chain, or ""."""
        for number, (one, issuer) in enumerate(zip(self.certificates, self.certificates[1:], strict=False), 1):
            try:
                one.verify_directly_issued_by(issuer)
            except Exception:  # noqa: BLE001 - a bad signature, a wrong name, an unknown algorithm: it is not the issuer
                return f"certificate {number} of the chain is not issued by certificate {number + 1}"
        return ""


def read_chain(pem: bytes) -> Chain:
    """Parse a PEM chain; raises TlsError."""
    try:
        return Chain(tuple(x509.load_pem_x509_certificates(pem)))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise TlsError(f"the chain cannot be read as PEM certificates: {error}") from None


def check_key(key_pem: bytes, chain: Chain) -> None:
    """Raises TlsError unless this is the private key of the chain's leaf."""
    try:
        key = load_pem_private_key(key_pem, None)
    except TypeError:
        raise TlsError("the key is protected by a passphrase: seal it without one, sealing protects it") from None
    except (ValueError, UnsupportedAlgorithm):
        # The library's words may quote the key.
        raise TlsError("the key cannot be read as a PEM private key") from None
    try:
        wanted, found = chain.leaf.public_key(), key.public_key()
        form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        same = wanted.public_bytes(*form) == found.public_bytes(*form)
    except (ValueError, AttributeError, UnsupportedAlgorithm):
        raise TlsError("the chain's first certificate has a public key of a kind that TLS does not use") from None
    if not same:
        raise TlsError("the key is not that of the chain's first certificate")


def alternative_names(names: Iterable[str]) -> list[x509.GeneralName]:
    """IP addresses as such, all else as DNS names; raises TlsError for what can be neither."""
    result: list[x509.GeneralName] = []
    for name in names:
        try:
            result.append(x509.IPAddress(ipaddress.ip_address(name)))
            continue
        except ValueError:
            pass
        labels = name.removeprefix("*.").split(".")
        if not all(label and len(label) <= 63 and label.isascii() and _is_label(label) for label in labels) or len(name) > 253:
            raise TlsError(f"{name!r} is neither a DNS name nor an IP address: write international names in their xn-- form")
        result.append(x509.DNSName(name))
    return result


def self_signed(names: Iterable[str], days: float, serial: int, now: float) -> Pair:
    """A new ECDSA P-256 key and its certificate for these names; raises TlsError."""
    names = tuple(names)
    alternatives = alternative_names(names)
    key = ec.generate_private_key(ec.SECP256R1())
    begin = datetime.fromtimestamp(now, UTC) - BACKDATED
    end = datetime.fromtimestamp(now, UTC) + timedelta(days=days)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:LONGEST_COMMON_NAME])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        # Some clients trust only what may sign as its own root; a path length of nothing lets it sign nothing else.
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Pair(
        certificate.public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        begin.timestamp(),
        end.timestamp(),
    )


def _is_label(label: str) -> bool:
    return all(letter.isalnum() or letter in "-_" for letter in label) and not label.startswith("-") and not label.endswith("-")
