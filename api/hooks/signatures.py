"""Whether a delivery is from whoever knows the hook's secret: on the raw bytes, before anything of them is understood;
of a form, for the forges that sign what it holds, no more than where its field begins and ends.

Every comparison takes as long whatever is shown (`hmac.compare_digest`), that of a password as well as that of a signature.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Sequence

from api.hooks.delivery import Delivery, Malformed, enclosed

# A delivery and the hook's secret ⇒ whether it counts.
Check = Callable[[Delivery, bytes], bool]

PREFIX = "sha256="
# https://github.com/standard-webhooks/standard-webhooks: what follows is the key, in base64.
WHSEC = b"whsec_"
MOST_SIGNATURES = 5


def _bytes(header: str) -> bytes:
    """As it came: WSGI gives headers as latin-1."""
    return header.strip().encode("latin-1", "replace")


def prefixed(*names: str) -> Check:
    """`sha256=` and the HMAC-SHA256 in hexadecimal, in the first of these headers that is there."""

    def check(delivery: Delivery, secret: bytes) -> bool:
        shown = _first(delivery, names)
        return shown.startswith(PREFIX) and _hex(delivery.body, secret, shown.removeprefix(PREFIX))

    return check


def bare(*names: str) -> Check:
    """The HMAC-SHA256 in hexadecimal and nothing before it: of the JSON, also where a form holds it (so Gitea and Gogs, whose
    documentation says nothing of forms)."""

    def check(delivery: Delivery, secret: bytes) -> bool:
        try:
            signed = enclosed(delivery)
        except Malformed:
            return False
        return _hex(signed, secret, _first(delivery, names))

    return check


def _first(delivery: Delivery, names: Sequence[str]) -> str:
    return next((shown for name in names if (shown := delivery.header(name))), "")


def _hex(signed: bytes, secret: bytes, shown: str) -> bool:
    right = hmac.new(secret, signed, hashlib.sha256).hexdigest().encode()
    return hmac.compare_digest(right, _bytes(shown).lower())


def gitlab(delivery: Delivery, secret: bytes) -> bool:
    """The token itself in `X-Gitlab-Token`, or a signature over id, time and body; where both are there, both have to be right.

    https://docs.gitlab.com/user/project/integrations/webhooks/ and, for the signature, GitLab's merge request 230944.
    """
    token, signed = delivery.header("x-gitlab-token"), delivery.header("webhook-signature")
    if not token and not signed:
        return False
    told = not token or hmac.compare_digest(secret, _bytes(token))
    return told & (not signed or _standard(delivery, secret, signed))


def _standard(delivery: Delivery, secret: bytes, signed: str) -> bool:
    try:
        key = base64.b64decode(secret.removeprefix(WHSEC), validate=True) if secret.startswith(WHSEC) else secret
    except (binascii.Error, ValueError):
        key = secret
    head = f"{delivery.header('webhook-id')}.{delivery.header('webhook-timestamp')}."
    digest = hmac.new(key, head.encode("latin-1", "replace") + delivery.body, hashlib.sha256).digest()
    right = b"v1," + base64.b64encode(digest)
    found = False
    for shown in signed.split()[:MOST_SIGNATURES]:
        found |= hmac.compare_digest(right, _bytes(shown))
    return found


def basic(delivery: Delivery, secret: bytes) -> bool:
    """The secret as the password of basic authentication, with whatever user name."""
    scheme, _, shown = delivery.header("authorization").partition(" ")
    try:
        said = base64.b64decode(_bytes(shown), validate=True)
    except (binascii.Error, ValueError):
        said = b""
    password = said.partition(b":")[2]
    return (scheme.lower() == "basic") & hmac.compare_digest(secret, password)
