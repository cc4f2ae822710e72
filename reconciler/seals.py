"""Seals what is given over the API, so that it can be put into a document: for the fleet's recipients, with its keyed hash.

The plain value comes over control's local socket and is forgotten with the answer: it is in no log, no store and no message.
"""

import json
from collections.abc import Callable
from typing import Any

import orjson

from reconciler.ask import AskError
from reconciler.core.kinds.sealed import Sealed
from reconciler.core.kinds.settings import Settings
from reconciler.core.model import FleetState, settings_of
from reconciler.secrets import Opener, SecretError, seal
from reconciler.store import Store, StoreError

# One document's: a certificate has one key, a Notification at most two.
MOST_VALUES = 20
# In age's armour it still fits into a document's field (1 MiB).
MOST_BYTES = 740_000


class Seals:
    """Answers the request `seal`. `fleet` gives what is in force, or None before anything is."""

    def __init__(self, fleet: Callable[[], FleetState | None], opener: Opener, store: Store) -> None:
        self._fleet, self._opener, self._store = fleet, opener, store

    def asked(self, body: bytes, _: float) -> bytes:
        """{name: text} ⇒ {name: {age, hash}}, as JSON. Raises AskError, which shows nothing of what was given."""
        plain = _values(body)
        try:
            recipients, hash_key = self._recipients(), self._hash_key()
            sealed = {name: seal(text, recipients, hash_key) for name, text in plain.items()}
        except SecretError as error:
            raise AskError("unsealable", str(error), "mend `recipients` in Settings") from None
        except StoreError as error:
            raise AskError("store", str(error), "ask again soon") from None
        return json.dumps({name: _document(one) for name, one in sealed.items()}).encode()

    def _recipients(self) -> tuple[str, ...]:
        """The fleet's, and this Convoy's own: what it seals it has to open. Raises AskError and SecretError."""
        fleet = self._fleet()
        if fleet is None:
            raise AskError(
                "no-revision", "no revision is in force here yet, so nobody knows whom to seal for", "ask again soon"
            )
        declared = settings_of(fleet).recipients
        if not declared:
            raise AskError(
                "unsealable",
                "secrets cannot be taken over the API: this fleet's Settings name no `recipients` to seal them for",
                "commit the line that `convoy secret recipient` prints, or seal it yourself with `convoy secret seal`",
            )
        own = self._opener.recipients()
        if not own:
            raise AskError(
                "unsealable",
                "secrets cannot be taken over the API: the Convoy that runs has no age identity to open them with",
                "make one with `convoy secret keygen` and commit its recipient into Settings",
            )
        return tuple(dict.fromkeys((*declared, own[0]))) if not set(own) & set(declared) else declared

    def _hash_key(self) -> bytes | None:
        """None where the fleet's own cannot be opened here; then the hash is drawn by lot."""
        fleet = self._fleet()
        found = next(iter(fleet.of("Settings")), None) if fleet is not None else None
        spec = found.spec if found is not None else None
        if found is None or not isinstance(spec, Settings) or spec.hash_key is None:
            return self._store.digest_key()
        try:
            return self._opener.open(found.ref, spec.hash_key, "hash")
        except SecretError:
            return None


def _values(body: bytes) -> dict[str, bytes]:
    try:
        found: Any = orjson.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
        raise AskError("bad-question", "what is to be sealed are names with text")
    if not 0 < len(found) <= MOST_VALUES:
        raise AskError("bad-question", f"from 1 to {MOST_VALUES} values are sealed at once")
    plain = {name: text.encode() for name, text in found.items()}
    for name, text in plain.items():
        if not text:
            raise AskError("bad-question", f"`{name}` is empty: there is nothing to seal")
        if len(text) > MOST_BYTES:
            raise AskError("too-large", f"`{name}` has {len(text):,} bytes, and {MOST_BYTES:,} can be sealed at most")
    return plain


def _document(sealed: Sealed) -> dict[str, str]:
    return {"age": sealed.age, "hash": sealed.hash}
