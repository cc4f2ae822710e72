"""Certificates of the document ⇔ Certificate documents; what a certificate says of itself is read from its PEM."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from api.surfaces.envoy_fleet.mapping.envoy import entry_id, get, items
from api.surfaces.envoy_fleet.wire import Invalid, moment
from reconciler import tls
from reconciler.core.declared import Declared
from reconciler.core.model import Ref
from reconciler.core.proposal import Change

KIND = "Certificate"
# Who names certificates.
USERS = ("Configuration", "VirtualHost")
DAY_S = 86_400.0


def chain(body: Mapping[str, Any]) -> str:
    """The certificate and what it was issued by, as one PEM, which is that of the key. Raises Invalid."""
    given = {name: body.get(name, "").strip() for name in ("certificate_pem", "certificate_chain")}
    for name, text in given.items():
        if "PRIVATE KEY" in text:
            raise Invalid(name, "a private key stands in it: take it for known to others, and make a new one")
        if text and _read(text) is None:
            raise Invalid(name, "holds no certificate that can be read: it is PEM, from -----BEGIN CERTIFICATE-----")
    whole = "\n".join(text for text in given.values() if text) + "\n"
    found = _read(whole)
    if found is None:
        raise Invalid("certificate_pem", "holds no certificate that can be read")
    fault = found.fault()
    if fault:
        raise Invalid("certificate_chain" if given["certificate_chain"] else "certificate_pem", fault)
    try:
        tls.check_key(body["private_key"].encode("utf-8", "replace"), found)
    except tls.TlsError as error:
        raise Invalid("private_key", str(error)) from None
    if not whole.startswith("-----BEGIN CERTIFICATE-----"):
        raise Invalid("certificate_pem", "something stands before -----BEGIN CERTIFICATE-----: leave it out")
    return whole


def created(name: str, tenant: str, whole: str, key: Mapping[str, str]) -> Change:
    """`key` is sealed."""
    return Change("put", Ref(KIND, name, tenant), {"spec": {"chain": whole, "key": dict(key)}}, new=True)


def shown(declared: Declared, made: str, users: Iterable[Declared], now: float) -> dict[str, Any]:
    """`made` is the PEM chain that Convoy has made for it, "" for none; `users` are documents that may name it."""
    spec = declared.spec
    pem = get(spec, "chain") or made
    found = _read(pem) if isinstance(pem, str) and pem else None
    return {
        "id": declared.uid,
        "name": declared.name,
        "subject": found.subject if found else None,
        "issuer": found.issuer if found else None,
        "not_before": moment(found.not_before) if found else None,
        "not_after": moment(found.not_after) if found else None,
        "days_until_expiry": math.floor((found.not_after - now) / DAY_S) if found else None,
        "in_use_by": [use for user in users for use in _uses(user, declared.name)],
        "created_at": moment(declared.created),
        "updated_at": moment(declared.at),
    }


def _uses(user: Declared, name: str) -> Iterator[dict[str, Any]]:
    spec = user.spec
    if user.kind == "VirtualHost":
        if get(get(spec, "tls"), "certificate") == name:
            yield {"type": "virtual_host", "id": user.uid, "name": user.name}
        return
    for listener in items(spec, "listeners"):
        if name in {get(get(listener, "tls"), "certificate"), *_secrets(get(listener, "envoy"))}:
            told = str(get(listener, "name"))
            yield {"type": "listener", "id": entry_id(user.uid, "listeners", told), "name": told}


def _secrets(message: Any) -> Iterator[str]:
    """The certificates that an Envoy message asks for by SDS. A document's depth is bounded where it is read."""
    if isinstance(message, Mapping):
        for key, value in message.items():
            if key in ("tls_certificate_sds_secret_configs", "tlsCertificateSdsSecretConfigs") and isinstance(value, list):
                yield from (str(get(one, "name")) for one in value)
            else:
                yield from _secrets(value)
    elif isinstance(message, list):
        for one in message:
            yield from _secrets(one)


def _read(pem: str) -> tls.Chain | None:
    try:
        return tls.read_chain(pem.encode("utf-8", "replace"))
    except tls.TlsError:
        return None
