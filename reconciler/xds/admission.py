"""What a client may say at all: anything else ends its stream before it costs memory or confuses two proxies."""

from collections.abc import Collection
from typing import Any

# Types one stream may ask for, known or not; and names over all of them. A delta request with 50,000 names has 4 MB.
MOST_TYPES = 32
MOST_NAMES = 200_000
LONGEST_NAME = 2048
# Two DNS labels and a slash make 127.
LONGEST_NODE = 256
# In a stream's metadata, beside its token.
INSTANCE_KEY = "convoy-instance"


class Rejected(Exception):
    """The client broke the protocol; the stream must end. `code` is the name of a gRPC status."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def check_node(node: Any, known: str) -> None:
    """The first request must name a node, and later ones may name no other."""
    if not known and not node.id:
        raise Rejected("INVALID_ARGUMENT", "the first request of a stream must carry node.id, and this one does not")
    if len(node.id) > LONGEST_NODE:
        raise Rejected("INVALID_ARGUMENT", f"node.id is longer than {LONGEST_NODE} characters")
    if known and node.id and node.id != known:
        raise Rejected("INVALID_ARGUMENT", f"this stream belongs to node {known!r}; open another one for {node.id!r}")


def agent(node: Any) -> str:
    """The version of the client's program, as it gives it."""
    number = node.user_agent_build_version.version
    exact = f"{number.major_number}.{number.minor_number}.{number.patch}"
    return str(node.user_agent_version or (exact if exact != "0.0.0" else ""))[:64]


def instance(metadata: Collection[tuple[str, Any]] | None) -> str:
    """Which of its node's Envoys a stream is, as Convoy's bootstrap has it say; "" where it says nothing of the kind."""
    said = [value for key, value in metadata or () if key == INSTANCE_KEY]
    return said[0] if len(said) == 1 and isinstance(said[0], str) and len(said[0]) <= LONGEST_NODE else ""


def check_type(url: str, only: str, asked: Collection[str]) -> str:
    """The type URL that is meant. `only` is the one type of this service, empty on the aggregated one."""
    if only and url and url != only:
        raise Rejected("INVALID_ARGUMENT", f"this service serves {only} alone: ask the aggregated one for {url[:256]!r}")
    if not url and not only:
        raise Rejected("INVALID_ARGUMENT", "a request on the aggregated stream must carry type_url, and this one does not")
    if url not in asked and (len(asked) >= MOST_TYPES or len(url) > LONGEST_NAME):
        raise Rejected(
            "RESOURCE_EXHAUSTED", f"one stream may ask for {MOST_TYPES} types with names of {LONGEST_NAME} characters"
        )
    return url or only


def check_names(names: frozenset[str], held: int) -> None:
    """Refuse a subscription that is only meant to cost memory. `held` is how many names the stream has already."""
    if len(names) + held > MOST_NAMES:
        raise Rejected("RESOURCE_EXHAUSTED", f"one stream may subscribe to {MOST_NAMES} names")
    if any(len(name) > LONGEST_NAME for name in names):
        raise Rejected("INVALID_ARGUMENT", f"a resource name may have {LONGEST_NAME} characters")
