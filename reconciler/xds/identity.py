"""Who may connect as whom: a bearer token that is bound to one node id."""

import hashlib
import hmac


def token(key: bytes, node: str) -> str:
    """The token with which this node proves itself, as `authorization: Bearer <token>` in the stream's metadata."""
    return hmac.new(key, b"xds:" + node.encode(), hashlib.sha256).hexdigest()


class Identity:
    """Checks tokens made with the installation's key."""

    def __init__(self, key: bytes) -> None:
        if not key:
            raise ValueError("the installation's key is empty: tokens made with it would be known to everybody")
        self._key = key

    def allows(self, node: str, authorization: str) -> bool:
        """Whether this `authorization` header belongs to this node. Takes equally long for every wrong token."""
        expected = f"Bearer {token(self._key, node)}"
        return hmac.compare_digest(expected.encode(), authorization.encode("utf-8", "surrogateescape"))
