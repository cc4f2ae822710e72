"""What `envoy --mode validate` prints, reduced to what it says about the resource itself."""

import re

from reconciler.xds.nacks import normalised

LONGEST_WORDS = 1000

_SAID = re.compile(r"error initializing configuration '[^']*': ")
# "…: Proto constraint validation failed (A | caused by B | caused by C)", after a dump of the whole message.
_RULES = re.compile(r"Proto constraint validation failed \((.*)\)", re.DOTALL)
_CAUSED = " | caused by "
# The links of that chain which speak of the bootstrap and the listener that the resource was put into.
_AROUND = re.compile(r"(?:Bootstrap|StaticResources|HttpConnectionManager)ValidationError\b")
_INDEX = re.compile(r"StaticResourcesValidationError\.(Clusters|Listeners)\[(\d+)\]")
_WRAPPER = re.compile(r"error adding listener(?: named)? 'rds/\d+': ")
_CARRIER = re.compile(r"\(envoy\.config\.bootstrap\.v3\.[^)]*\)")
_PREFIX = re.compile(r"^\[[^\]]*\](?:\[[^\]]*\])+ \[[^\]]*\] ", re.MULTILINE)

# True of the machine that asks, and not of the resource: files, sockets and variables that a proxy's own machine may have.
_HERE = re.compile(
    r"unable to open file|unable to read file|failed to open|no such file|file does not exist|does not exist|invalid path"
    r"|permission denied|cannot bind|address (?:already )?in use|address not available|too many open files|cannot allocate"
    r"|failed to load incomplete (?:certificate|private key)|failed to load (?:trusted ca|crl|certificate|private key).* from /"
    r"|environment variable|unable to watch|inotify|operation not permitted|no space left",
    re.IGNORECASE,
)


def said(stderr: str) -> str | None:
    """What Envoy says about the configuration it refused, as one line; None when it says nothing of that kind."""
    found = _SAID.search(stderr)
    if found is None:
        return None
    text = stderr[found.end() :]
    rules = _RULES.search(text)
    if rules is not None:
        links = rules.group(1).split(_CAUSED)
        inner = [link for link in links if not _AROUND.match(link)]
        # A rule of the wrapping itself would be our own fault; then everything is shown.
        text = ": ".join(link.removesuffix(": embedded message failed validation") for link in inner or links)
    text = _CARRIER.sub("", _WRAPPER.sub("", text))
    return normalised(text)[:LONGEST_WORDS]


def position(stderr: str) -> tuple[str, int] | None:
    """("Clusters" | "Listeners", its index) of the one that breaks a protobuf rule, where Envoy says so."""
    found = _INDEX.search(stderr)
    return (found.group(1), int(found.group(2))) if found else None


def only_here(words: str) -> bool:
    """Whether this may be this machine's trouble alone."""
    return _HERE.search(words) is not None


def last_line(stderr: str) -> str:
    """The last thing it said, for when it said nothing that we know."""
    lines = [line for line in _PREFIX.sub("", stderr).splitlines() if line.strip()]
    return normalised(lines[-1])[:LONGEST_WORDS] if lines else ""
