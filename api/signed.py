"""Access and refresh tokens: JWTs that are signed with HS256 by a key of the store's, and nothing else is believed."""

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jwt

from reconciler.store import SigningKey

Use = Literal["access", "refresh"]
ALGORITHM = "HS256"
# Ours have about 500 characters. Nothing longer is even looked at.
LONGEST = 2048
ACCESS_S = 3600.0
# Who signed and who reads are the same machine, or several whose clocks agree about so well.
SKEW_S = 5.0
CLAIMS = ["iss", "aud", "sub", "sid", "jti", "iat", "exp"]
# Times are compared with the store's clock, below.
# Tokens whose signatures were right, by their digests: the key that they were signed with, and what they say.
PROVED: dict[bytes, tuple[SigningKey, Mapping[str, Any]]] = {}
MOST_PROVED = 2_000
OPTIONS: Any = {"require": CLAIMS, "verify_exp": False, "verify_iat": False, "verify_nbf": False}


@dataclass(frozen=True, slots=True)
class Claims:
    """`session` and `account` are ids of the store's; `secret` is what a refresh token proves, "" in an access token."""

    account: str
    session: str
    secret: str


def signed(use: Use, claims: Claims, installation: str, key: SigningKey, now: float, until: float) -> str:
    """`until` is when it expires, in Unix seconds, as `now` is."""
    said = {"iss": installation, "aud": use, "sub": claims.account, "sid": claims.session, "iat": int(now), "exp": int(until)}
    said["jti"] = claims.secret or secrets.token_urlsafe(16)
    return jwt.encode(said, key.key, ALGORITHM, headers={"kid": key.id}, sort_headers=True)


def read(use: Use, text: str, installation: str, keys: Sequence[SigningKey], now: float | None) -> Claims | None:
    """What a token of this use says; None for everything that one of these keys has not signed, or that expired by `now`."""
    if len(text) > LONGEST or not text.isascii():
        return None
    # Whoever asks shows the same token for an hour: what was proved once is so for as long as that key is one of them. Kept is
    # a digest, so that no token is, and that nothing is learned from how long it takes to be looked up.
    proof = hashlib.sha256(f"{use} {installation} {text}".encode()).digest()
    proved = PROVED.get(proof)
    if proved is not None and proved[0] in keys:
        return _claims(use, proved[1], now)
    try:
        # The library reads a whole token for its header, and then again: only which key is meant is read here.
        head = json.loads(base64.urlsafe_b64decode(text.partition(".")[0] + "=="))
        key = next((one for one in keys if one.id == head["kid"]), None)
        if key is None:
            return None
        said = jwt.decode(text, key.key, algorithms=[ALGORITHM], audience=use, issuer=installation, options=OPTIONS)
    except (jwt.PyJWTError, ValueError, LookupError, TypeError, RecursionError):
        return None
    if len(PROVED) >= MOST_PROVED:
        PROVED.clear()
    PROVED[proof] = key, said
    return _claims(use, said, now)


def _claims(use: Use, said: Mapping[str, Any], now: float | None) -> Claims | None:
    texts, times = [said[name] for name in ("sub", "sid", "jti", "aud")], [said["iat"], said["exp"]]
    if not all(isinstance(one, str) for one in texts) or not all(type(one) is int for one in times):
        return None
    if now is not None and not times[0] - SKEW_S <= now < times[1]:
        return None
    return Claims(texts[0], texts[1], texts[2] if use == "refresh" else "")
