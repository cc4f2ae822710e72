"""Who asks: the token in `Authorization: Bearer …`, and whether it may do what it is shown for."""

from flask import Request

from reconciler.store import Store, Token


class Unknown(Exception):
    """Nobody we know. Why not is told to nobody."""


class Forbidden(Exception):
    """Somebody we know, who may not do this: the message says what is missing."""


def asker(store: Store, request: Request, scope: str) -> Token:
    """Asked before anything of the body is read; the log names whom it finds. Raises Unknown, Forbidden and StoreError."""
    scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
    token = store.tokens.shown(shown.strip()) if scheme.lower() == "bearer" else None
    if token is None:
        raise Unknown
    if scope not in token.scopes:
        raise Forbidden(f"this token may {' and '.join(sorted(token.scopes)) or 'nothing'}, and not {scope}")
    request.environ["convoy.by"] = token.name
    return token
