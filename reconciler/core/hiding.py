"""Takes known secrets out of a text: whole, and line by line, for parts of keys turn up in messages as well."""

import re
from collections.abc import Collection, Iterable

HIDDEN = "[hidden]"
# What is shorter stands in innocent words too: it is hidden only where it stands as a word of its own.
SHORTEST_SECRET = 6
# A line of a secret that is as long as this is hidden by itself as well.
SHORTEST_LINE = 16


def parts(secret: str) -> set[str]:
    """What of a secret is to be hidden wherever it stands."""
    lines = (line.strip() for line in secret.splitlines())
    found = {secret, secret.strip(), *(line for line in lines if len(line) >= SHORTEST_LINE)}
    # The first and last line of a key in PEM form are no secret.
    kept = {part for part in found if len(part) >= SHORTEST_SECRET and not part.startswith("-----")}
    return kept | ({secret} if secret.startswith("-----") and "\n" in secret.strip() else set())


def longest_first(known: Iterable[str]) -> tuple[str, ...]:
    """In the order in which they are to be hidden: what holds another is hidden whole."""
    return tuple(sorted(set(known), key=lambda part: (-len(part), part)))


def hide(text: str, known: Collection[str]) -> str:
    """The text without these parts, which are `longest_first`."""
    for part in known:
        if part in text:
            text = text.replace(part, HIDDEN)
    return text


def hide_secrets(text: str, secrets: Iterable[str]) -> str:
    """The text without these secrets; one that is very short, only where no letter or digit stands beside it."""
    listed = [secret for secret in secrets if secret.strip()]
    text = hide(text, longest_first(part for secret in listed for part in parts(secret)))
    short = longest_first(secret.strip() for secret in listed if len(secret.strip()) < SHORTEST_SECRET)
    for word in short:
        text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", HIDDEN, text)
    return text
