"""What a client says when it refuses a response: its words made comparable, and the resources they name."""

import re
from collections.abc import Collection

# Protobuf marks its debug output with one of these, picked at random per process, and with random spacing, so that nobody
# relies on the text: https://protobuf.dev/news/2024-12-04/#debug-redaction. Two refusals of one content must compare equal.
_MARKS = re.compile(r"goo\.gle/debug\w*")
_SPACES = re.compile(r"\s+")
LONGEST_MESSAGE = 4000

# "Error adding/updating cluster(s) a: why, b: why", and with listener(s) a line for each. Everything else an Envoy says (PGV
# rules, durations, routes, endpoints) names no resource that we could rely on.
_ENVOY = re.compile(r"Error adding/updating (?:cluster|listener)\(s\) ")
_BETWEEN = re.compile(r", |\n")
LONGEST_NAME = 1000
# "[resource index 0: name: why]" from gRPC, gRFC A46.
_GRPC = re.compile(r"resource index \d+: ")


def normalised(message: str) -> str:
    """The message without what changes from one refusal of the same content to the next."""
    return _SPACES.sub(" ", _MARKS.sub("", message)).strip()[:LONGEST_MESSAGE]


def blamed(message: str, candidates: Collection[str]) -> dict[str, str]:
    """Name ⇒ what is said of it, for those of `candidates` that the message names in the forms Envoy and gRPC use."""
    found: dict[str, str] = {}
    envoy = _ENVOY.search(message)
    if envoy is not None:
        starts = [envoy.end(), *(match.end() for match in _BETWEEN.finditer(message, envoy.end()))]
        heads = [(start, name) for start in starts if (name := _at(message, start, candidates)) is not None]
        ends = [*(start for start, _ in heads[1:]), len(message)]
        for (start, name), end in zip(heads, ends, strict=False):
            found.setdefault(name, message[start + len(name) + 2 : end].rstrip(", \n"))
    for match in _GRPC.finditer(message):
        name = _at(message, match.end(), candidates)
        if name is not None:
            following = _GRPC.search(message, match.end())
            words = message[match.end() + len(name) + 2 : following.start() if following else len(message)]
            found.setdefault(name, words.rstrip("[]; \n"))
    return found


def _at(message: str, start: int, candidates: Collection[str]) -> str | None:
    """The longest candidate that stands at `start`, followed by a colon. Names may hold colons and spaces themselves."""
    end = message.find(": ", start)
    found = None
    while end != -1 and end - start <= LONGEST_NAME:
        if message[start:end] in candidates:
            found = message[start:end]
        end = message.find(": ", end + 1)
    return found
