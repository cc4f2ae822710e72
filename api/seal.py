"""Seals what a client sends in the clear and a document may only hold sealed: control does it, and it is kept nowhere here."""

from collections.abc import Mapping
from pathlib import Path

import orjson

from reconciler.ask import SEAL, AskError, ask

SEALING_S = 20.0


def sealed(run: Path, plain: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Name ⇒ {age, hash}, as it stands in a document; `run` is Reach's. Raises AskError: `unsealable` where the fleet names
    nobody to seal for, `too-large`, `bad-question`, and what any request of control may say."""
    for name, text in plain.items():
        if not text.isprintable() and any("\ud800" <= one <= "\udfff" for one in text):
            raise AskError("bad-question", f"`{name}` holds half a character")
    found: dict[str, dict[str, str]] = orjson.loads(ask(run, SEAL, orjson.dumps(dict(plain)), SEALING_S))
    return found
