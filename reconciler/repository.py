"""Whether two URLs name one repository: each becomes a key, and the keys are equal. Nothing here is ever a pattern."""

from urllib.parse import unquote, urlsplit

LONGEST = 2_048
NOWHERE = ""
NETWORK = frozenset({"http", "https", "ssh", "git", "git+ssh", "ssh+git"})
# Before the host of a key that stands for this path on any host: some payloads name no host, and the signature does.
ANYWHERE = "*"


def key(url: str) -> str:
    """`host/path`, or `/path` on this machine: without scheme, credentials, port, `.git`, and case; NOWHERE for what is no URL.

    Ports differ between the ssh and the https spelling of one repository, so they are left out. That two repositories might
    thereby have one key costs a needless look at the one that is followed, no more: hence paths regardless of case as well.
    """
    if not url or len(url) > LONGEST or not url.isprintable() or url != url.strip():
        return NOWHERE
    scheme, separator, _ = url.partition("://")
    if not separator:
        return _local(url) if url.startswith("/") else _scp(url)
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
    except ValueError:
        return NOWHERE
    path = unquote(parts.path)
    if scheme.lower() == "file":
        return _local(path) if host in ("", "localhost") else NOWHERE
    return _key(host, path) if scheme.lower() in NETWORK else NOWHERE


def _scp(url: str) -> str:
    """`user@host:path`: https://git-scm.com/docs/git-clone#_git_urls"""
    place, separator, path = url.partition(":")
    return _key(place.rpartition("@")[2].rstrip("."), unquote(path)) if separator and "/" not in place else NOWHERE


def _local(path: str) -> str:
    words = [word for word in path.split("/") if word]
    return f"/{'/'.join(words)}".removesuffix(".git").rstrip("/") if words else NOWHERE


def anywhere(path: str) -> str:
    """The key of this path, whatever host it is on."""
    found = _key("host", path)
    return f"{ANYWHERE}{found.removeprefix('host')}" if found else NOWHERE


def same(one: str, other: str) -> bool:
    """Whether two keys are of one repository."""
    if NOWHERE in (one, other):
        return False
    if one.startswith(f"{ANYWHERE}/") or other.startswith(f"{ANYWHERE}/"):
        return not one.startswith("/") and not other.startswith("/") and one.partition("/")[2] == other.partition("/")[2]
    return one == other


def _key(host: str, path: str) -> str:
    host = host.casefold()
    words = [word for word in path.casefold().removesuffix("/").removesuffix(".git").split("/") if word]
    if host in ("", ANYWHERE) or not words:
        return NOWHERE
    host, words = _azure(host, words)
    # Bitbucket Data Center serves `/scm/project/repository` by https, and the same without `scm` by ssh.
    if len(words) == 3 and words[0] == "scm":
        words = words[1:]
    return "/".join((host, *words)) if words else NOWHERE


def _azure(host: str, words: list[str]) -> tuple[str, list[str]]:
    """Azure DevOps has four spellings: https and ssh, each at its new host and at an organization's own old one."""
    if host in ("ssh.dev.azure.com", "vs-ssh.visualstudio.com") and words[0] == "v3":
        host, words = "dev.azure.com", words[1:]
    elif host.endswith(".visualstudio.com"):
        words = [host.removesuffix(".visualstudio.com"), *(word for word in words if word != "defaultcollection")]
        host = "dev.azure.com"
    if len(words) >= 3 and words[-2] == "_git":
        # A project's repository of the same name may be named without the project.
        words = [*words[:-2], words[-1]] if len(words) >= 4 or host != "dev.azure.com" else [words[0], words[2], words[2]]
    return host, words
