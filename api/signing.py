"""How a request is signed: the words that are, and the two headers that say so; for whoever asks and whoever is asked.

The form of the second is that of the webhooks that Convoy sends (docs/notifications.md).
"""

import hashlib
import hmac

# When it was signed, in Unix seconds, a fraction of them too where one signs more than once in a second.
TIMESTAMP = "X-Request-Timestamp"
SIGNATURE = "X-Request-Signature"
PREFIX = "sha256="
# Of no body at all.
EMPTY = hashlib.sha256(b"").hexdigest()


def signature(secret: bytes, method: str, path: str, timestamp: str, digest: str) -> str:
    """The HMAC-SHA256 in hexadecimal. `path` begins with /api/v1, wherever that is served, has no `%2D` and the like in it, for
    these may be spelled otherwise on their way, and ends with `?` and the query, as that is sent, where there is one; `digest`
    is the SHA-256 of the body as it is sent, in hexadecimal.

    No line but the path's can hold the end of one, so that other requests have other words.
    """
    words = "\n".join((method, path, timestamp, digest))
    return hmac.new(secret, words.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()
