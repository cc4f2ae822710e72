"""TLS material of every Certificate: made and renewed here or read from Git, and put together only when it is sent."""

import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from envoy.extensions.transport_sockets.tls.v3 import secret_pb2  # type: ignore[import-untyped]

from reconciler import tls
from reconciler.core.envoy import packed
from reconciler.core.kinds.certificate import Certificate, SelfSigned
from reconciler.core.kinds.sealed import Sealed
from reconciler.core.model import FleetState, Problem, Ref, Resource, Where, XdsResource, digest
from reconciler.seams import Seams
from reconciler.secrets import Opener, SecretError
from reconciler.store import KeptCertificate

# A self-signed certificate is replaced when this share of its time is left.
RENEWED_WITH_LEFT = 1 / 3
# Versions and checks remembered: more than any fleet has certificates, and of no size.
MOST_REMEMBERED = 20_000
SERIAL_BITS = 8 * tls.SERIAL_BYTES - 1


class Kept(Protocol):
    """Where certificates made here outlive the process, as `Store` has it."""

    def certificate(self, ref: Ref) -> KeptCertificate | None: ...

    def put_certificate(self, ref: Ref, certificate: KeptCertificate) -> None: ...


@dataclass(frozen=True, slots=True)
class _Issued:
    """What is known of a kept certificate without its key. Times are Unix seconds."""

    spec: str
    serial: str
    not_before: float
    not_after: float

    def fresh(self, now: float) -> bool:
        return self.not_before <= now < self.not_after - (self.not_after - self.not_before) * RENEWED_WITH_LEFT


@dataclass(frozen=True, slots=True)
class _Offer:
    """What stands behind one version. `withheld` says why nothing can be sent; `chain` is None for a self-signed one."""

    ref: Ref
    version: str
    spec: str = ""
    serial: str = ""
    self_signed: SelfSigned | None = None
    chain: tls.Chain | None = None
    chain_pem: bytes = b""
    key: Sealed | None = None
    fault: str = ""
    withheld: str = ""


class Certificates:
    """Thread-safe. Nothing is made before a proxy asks for it, so a revision that is only looked at leaves no trace.

    A key sealed in Git is opened once when it is first seen, for the purpose "check", and whenever it is sent, for "sds".
    """

    def __init__(self, kept: Kept, opener: Opener, seams: Seams) -> None:
        self._kept, self._opener, self._seams = kept, opener, seams
        self._lock = threading.RLock()
        self._issued: dict[Ref, _Issued | None] = {}
        # Of what a proxy may ask for and nobody has yet: (ref, digest of its spec, what it replaces) ⇒ its serial number.
        self._planned: OrderedDict[tuple[Ref, str, str], str] = OrderedDict()
        self._offers: OrderedDict[str, _Offer] = OrderedDict()
        self._latest: dict[Ref, str] = {}
        self._checked: OrderedDict[tuple[Ref, str], _Offer] = OrderedDict()

    def versions(self, fleet: FleetState) -> Mapping[Ref, str]:
        """Every Certificate ⇒ the version of what proxies get for it now; it reveals nothing of a key."""
        with self._lock:
            offers = list(self._offered(fleet))
            for offer in offers:
                self._offers[offer.version] = offer
                self._offers.move_to_end(offer.version)
                self._latest[offer.ref] = offer.version
            _trim(self._offers)
        return {offer.ref: offer.version for offer in offers}

    def ends(self, fleet: FleetState) -> Mapping[Ref, float]:
        """Certificate ⇒ when what proxies get for it ends (Unix seconds), of those that somebody has read or made."""
        found: dict[Ref, float] = {}
        with self._lock:
            for offer in self._offered(fleet):
                issued = self._issued.get(offer.ref)
                if offer.chain is not None:
                    found[offer.ref] = offer.chain.not_after
                elif issued is not None and issued.serial == offer.serial:
                    found[offer.ref] = issued.not_after
        return found

    def problems(self, fleet: FleetState) -> tuple[Problem, ...]:
        """What is wrong with this fleet's Certificates. Those that cannot be sent are withheld, each for itself alone."""
        found = []
        with self._lock:
            offers = {offer.ref: offer for offer in self._offered(fleet)}
        for resource in fleet.of("Certificate"):
            offer = offers[resource.ref]
            what, hint = offer.withheld or offer.fault, ""
            if not what and offer.chain is not None:
                what, hint = _dates(offer.chain, self._seams.now())
            if what:
                found.append(Problem(Where(resource.source.file, resource.source.line), what, hint, resource.ref))
        return tuple(found)

    def secret(self, resource: XdsResource) -> bytes:
        """The serialised `Any` of the Secret that this resource stands for, with its key in it; raises SecretError.

        A version that is not known any more gets what its Certificate has now.
        """
        ref = resource.secret
        if ref is None:
            raise SecretError(f"{resource.name} is no secret of a Certificate")
        with self._lock:
            offer = self._offers.get(resource.version) or self._offers.get(self._latest.get(ref, ""))
        if offer is None:
            raise SecretError(f"{ref} is not declared: there is nothing to send for it")
        if offer.withheld:
            raise SecretError(offer.withheld)
        if offer.key is not None:
            return _message(resource.name, offer.chain_pem, self._opener.open(ref, offer.key, "sds"))
        pair = self._self_signed(offer)
        self._opener.record(ref, "sds")
        return _message(resource.name, pair.chain_pem, pair.key_pem)

    def _offered(self, fleet: FleetState) -> Iterator[_Offer]:
        for resource in fleet.of("Certificate"):
            spec = resource.spec
            if not isinstance(spec, Certificate):
                continue
            if spec.self_signed is not None:
                yield self._to_be_made(resource.ref, spec.self_signed)
            else:
                yield self._from_git(resource, spec)

    # Made here

    def _to_be_made(self, ref: Ref, wanted: SelfSigned) -> _Offer:
        spec = digest(["selfSigned", list(wanted.names), wanted.days])
        try:
            tls.alternative_names(wanted.names)
        except tls.TlsError as error:
            return _withheld(ref, spec, f"cannot make a certificate for {ref}: {error}")
        issued = self._known(ref)
        if issued is not None and issued.spec == spec and issued.fresh(self._seams.now()):
            serial = issued.serial
        else:
            key = (ref, spec, issued.serial if issued else "")
            serial = self._planned.setdefault(key, f"{secrets.randbits(SERIAL_BITS) | 1:x}")
            _trim(self._planned)
        return _Offer(ref, digest(["selfSigned", str(ref), spec, serial]), spec, serial, self_signed=wanted)

    def _known(self, ref: Ref) -> _Issued | None:
        if ref not in self._issued:
            self._issued[ref] = _issued(self._kept.certificate(ref))
        return self._issued[ref]

    def _self_signed(self, offer: _Offer) -> KeptCertificate:
        """The kept one; or a new one, when that is what this offer is about."""
        with self._lock:
            kept = self._kept.certificate(offer.ref)
            issued = _issued(kept)
            if kept is not None and issued is not None:
                planned = self._planned.get((offer.ref, offer.spec, issued.serial))
                if issued.serial == offer.serial or planned != offer.serial:
                    return kept
            made = self._make(offer)
            self._kept.put_certificate(offer.ref, made)
            self._issued[offer.ref] = _issued(made)
            for key in [key for key in self._planned if key[0] == offer.ref]:
                del self._planned[key]
            return made

    def _make(self, offer: _Offer) -> KeptCertificate:
        wanted = offer.self_signed
        if wanted is None:
            raise SecretError(f"{offer.ref} is not self-signed")
        try:
            pair = tls.self_signed(wanted.names, wanted.days, int(offer.serial, 16), self._seams.now())
        except tls.TlsError as error:
            raise SecretError(f"cannot make a certificate for {offer.ref}: {error}") from None
        return KeptCertificate(offer.spec, pair.key_pem, pair.chain_pem, pair.not_after)

    # From Git

    def _from_git(self, resource: Resource, spec: Certificate) -> _Offer:
        """What cannot be opened is tried again each time: an identity may be added, and the document stays the same."""
        chain_pem, key = (spec.chain or "").encode(), spec.key
        content = resource.digest or digest([spec.chain, key.age if key else "", key.hash if key else ""])
        known = self._checked.get((resource.ref, content))
        if known is not None:
            return known
        offer = self._check(resource.ref, chain_pem, key)
        if not offer.withheld:
            self._checked[(resource.ref, content)] = offer
            _trim(self._checked)
        return offer

    def _check(self, ref: Ref, chain_pem: bytes, key: Sealed | None) -> _Offer:
        spec = _chain_digest(chain_pem, key)
        if key is None:
            return _withheld(ref, spec, f"{ref} has no key: seal one with `convoy secret seal`")
        try:
            chain = tls.read_chain(chain_pem)
            tls.check_key(self._opener.open(ref, key, "check"), chain)
        except tls.TlsError as error:
            return _withheld(ref, spec, f"cannot use {ref}: {error}")
        except SecretError as error:
            return _withheld(ref, spec, str(error))
        sent = _Offer(ref, digest(["chain", str(ref), spec]), spec, chain.serial, chain=chain, chain_pem=chain_pem, key=key)
        fault = chain.fault()
        return replace(sent, fault=f"{ref}: {fault}") if fault else sent


def foreseen(fleet: FleetState, running: FleetState, versions: Mapping[Ref, str]) -> dict[Ref, str]:
    """What `versions` would say of a fleet that somebody only asks about: nothing of it is opened, and nothing remembered.

    `versions` are those of the running fleet. A Certificate that is not as it is there counts as one that can be sent.
    """
    found: dict[Ref, str] = {}
    for resource in fleet.of("Certificate"):
        ref, spec = resource.ref, resource.spec
        same = running.resources.get(ref)
        if same is not None and same.spec == spec and ref in versions:
            found[ref] = versions[ref]
        elif isinstance(spec, Certificate):
            found[ref] = _foreseen(ref, spec)
    return found


def _foreseen(ref: Ref, spec: Certificate) -> str:
    if spec.self_signed is not None:
        # Of a serial number that nobody has drawn yet.
        return digest(["selfSigned", str(ref), digest(["selfSigned", list(spec.self_signed.names), spec.self_signed.days]), ""])
    return digest(["chain", str(ref), _chain_digest((spec.chain or "").encode(), spec.key)])


def _chain_digest(chain_pem: bytes, key: Sealed | None) -> str:
    # The keyed hash stands for the key: ciphertext differs each time the same key is sealed.
    return digest(["chain", chain_pem.decode(), key.hash if key else ""])


def _withheld(ref: Ref, spec: str, why: str) -> _Offer:
    """Of a version of its own: proxies are asked to take it anew when it can be sent."""
    return _Offer(ref, digest(["withheld", str(ref), spec, why]), spec, withheld=why)


def _issued(kept: KeptCertificate | None) -> _Issued | None:
    """None also for what cannot be read: then another is made."""
    if kept is None:
        return None
    try:
        chain = tls.read_chain(kept.chain_pem)
    except tls.TlsError:
        return None
    return _Issued(kept.spec_digest, chain.serial, chain.not_before, chain.not_after)


def _dates(chain: tls.Chain, now: float) -> tuple[str, str]:
    """What is wrong with the dates: it is sent all the same, for an older one would be no better."""
    if now >= chain.not_after:
        return f"the certificate has expired on {_day(chain.not_after)}", "have a new one issued, and seal its key beside it"
    if now < chain.not_before:
        return f"the certificate is not valid before {_day(chain.not_before)}", "see whether this machine's clock is right"
    return "", ""


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _message(name: str, chain_pem: bytes, key_pem: bytes) -> bytes:
    secret = secret_pb2.Secret(name=name)
    secret.tls_certificate.certificate_chain.inline_bytes = chain_pem
    secret.tls_certificate.private_key.inline_bytes = key_pem
    return packed(secret)


def _trim(remembered: OrderedDict[Any, Any]) -> None:
    while len(remembered) > MOST_REMEMBERED:
        remembered.popitem(last=False)
