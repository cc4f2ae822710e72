"""Shows values of documents: each on one line, folded where it is long, and without anything secret."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# So much of a value is shown, and so much of what stands around its first difference.
LONGEST_VALUE, AROUND = 80, 24

SEALED, HIDDEN, CLEAR = "(sealed)", "(hidden)", "(in the clear, hidden)"
RESEALED = "(sealed, another secret)"
AGE = "-----BEGIN AGE ENCRYPTED FILE-----"
# Whoever writes a secret in the clear names it so; a plan ends up where many people read it. What Envoys are told is full of
# such words (`sdsSecretConfig`, `tokenBucket`), so there they count only where a name ends with them.
SECRET = re.compile(r"(?i)(passw(or)?d|passphrase|secret|token|credentials?|api[-_]?key|private[-_]?key)$")
SECRET_VALUE = re.compile(
    r"(?i)passw|passphrase|secret|token|credential|(^|[^a-z])(key|pass|auth|pwd)([^a-z]|$)|id_(rsa|ed25519)|"
    r"\.(pem|p12|pfx|jks)$|(^|/)\.env"
)
VALUES = (("environment",), ("files",))
# The same within a text: a line of a file, an argument, a header.
ASSIGNED = re.compile(
    r"(?i)((?:passw(?:or)?d|passphrase|secret|token|credentials?|api[-_]?key|authorization|cookie)"
    r"[\"'\])]{0,3}[ \t]{0,20}[=:][ \t]{0,20})[^\n,;]{1,4096}"
)
HEADERS = re.compile(r"(?i)^(proxy-)?authorization$|^(set-)?cookie$")
# `scheme://user:password@host`, where a password may itself have an `@`. No scan passes the next `/`, so all are linear.
USERINFO = re.compile(r"(?<=://)[^/\s'\"]*@")
PRIVATE = re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----")
# A webhook's address: what stands behind the host opens it, in most services (Slack, Teams, Discord).
ADDRESS = ("to", "webhook", "url")
HOST = re.compile(r"(https?://[^\s/?#@]+)(?:/?$|[/?#])", re.IGNORECASE)
PLAIN = re.compile(r"[A-Za-z0-9_-]+")


class Entry(str):
    """Which entry of a list of objects: the name by which it is matched."""


class Absent:
    """What stands for a side that is not there."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = Absent()


def announces(value: Any) -> bool:
    """Whether this text says that what stands next to it is a secret: `--password`, or a header's name."""
    return isinstance(value, str) and bool(SECRET.search(value) or HEADERS.search(value))


def is_secret(path: Sequence[str | int], name: str) -> bool:
    """Whether what stands under this name, at this path, is called like a secret."""
    return bool((SECRET_VALUE if tuple(path[-1:]) in VALUES else SECRET).search(name))


def is_sealed(value: Any) -> bool:
    """Whether this is a secret as Git holds it, by its shape alone, whatever field it stands in."""
    return isinstance(value, Mapping) and isinstance(age := value.get("age"), str) and age.lstrip().startswith(AGE)


def is_address(path: Sequence[str | int]) -> bool:
    """Whether a webhook's address stands at this path of a document."""
    return tuple(path[-3:]) == ADDRESS


def host_only(url: str) -> str:
    """A webhook's address as those see it who have no need to know it: where it leads, without what opens it."""
    found = HOST.match(url)
    if found is None:
        return f"…/{HIDDEN}"
    return url if found.end() == len(url) and url[-1] not in "?#" else f"{found[1]}/{HIDDEN}"


def printed(path: Iterable[str | int]) -> str:
    """`spec.ports[http].port`, with names that are not plain words in quotes."""
    words = ""
    for part in path:
        if isinstance(part, int):
            words += f"[{part}]"
        elif isinstance(part, Entry):
            words += f"[{_short(part)}]"
        elif PLAIN.fullmatch(part):
            words += f"{'.' if words else ''}{_short(part)}"
        else:
            words += f"{'.' if words else ''}{json.dumps(_short(part), ensure_ascii=False)}"
    return words or "(the document)"


def shown(value: Any) -> str:
    """One value on one line, of bounded length; what is secret by its shape is left out of it."""
    return _cut(_words(value))


def folded(before: Any, after: Any) -> tuple[str | None, str | None]:
    """Both sides as they are shown: of long ones the place where they begin to differ."""
    if isinstance(before, str) and isinstance(after, str) and "\n" in before and "\n" in after:
        return _lines(before, after)
    old, new = (None if side is ABSENT else _words(side) for side in (before, after))
    if old == new and isinstance(before, str):
        # Only what is hidden differs.
        return HIDDEN, HIDDEN
    if old is None or new is None or max(len(old), len(new)) <= LONGEST_VALUE:
        return (None if old is None else _cut(old)), (None if new is None else _cut(new))
    start = _first_difference(old, new)
    return _around(old, start), _around(new, start)


def _lines(before: str, after: str) -> tuple[str, str]:
    """Of two texts, the first line that differs."""
    if _private(before) or _private(after):
        return HIDDEN, HIDDEN
    old, new = without_secrets(before), without_secrets(after)
    if old == new:
        return HIDDEN, HIDDEN
    start = _first_difference(old, new)
    number = old.count("\n", 0, start) + 1
    begin = old.rfind("\n", 0, start) + 1
    return _line(old, begin, start, number), _line(new, begin, start, number)


def _line(text: str, begin: int, start: int, number: int) -> str:
    """The line that begins there, around the place where it begins to differ, and how much of the text follows."""
    end = text.find("\n", begin)
    end = len(text) if end < 0 else end
    first = begin if end - begin <= LONGEST_VALUE - AROUND else max(begin, start - AROUND)
    last = min(end, first + LONGEST_VALUE - AROUND)
    rest = len(text) - last
    words = text[first:last]
    # How far in a line stands says nothing, unless it is what differs.
    words = f"…{words}" if first > begin else words.lstrip(" ") if text[begin:start].strip(" ") else words
    words = words if words.isprintable() else json.dumps(words, ensure_ascii=False)
    return f"line {number:,}: {words}{_more(rest)}"


def without_secrets(text: str) -> str:
    """Passwords in URLs, and what is assigned to something that is called like a secret. Linear in the text's length."""
    return ASSIGNED.sub(r"\1***", nameless(text))


def nameless(text: str) -> str:
    """The same text without user names, passwords and tokens before the host of a URL. Linear in the text's length."""
    return USERINFO.sub("***@", text)


def _private(text: str) -> bool:
    return bool(PRIVATE.search(text)) or AGE in text


def _words(value: Any) -> str:
    """As JSON, with plain words left bare; bounded, for a part of a document may be megabytes."""
    if isinstance(value, str):
        if _private(value):
            return HIDDEN
        text = without_secrets(value)
        bare = (
            text.isprintable() and text == text.strip() and text not in ("", "null", "true", "false") and text[0] not in '"[{('
        )
        return text if bare and not _number(text) else json.dumps(text, ensure_ascii=False)
    if isinstance(value, Mapping):
        return "{}" if not value else f"{{… {len(value):,} fields}}"
    if is_list(value):
        return "[]" if not value else f"[… {len(value):,} entries]"
    return json.dumps(value, ensure_ascii=False, default=str)


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def hidden_pair(before: Any, after: Any) -> tuple[str | None, str | None]:
    return (None if before is ABSENT else HIDDEN), (None if after is ABSENT else HIDDEN)


def _cut(text: str) -> str:
    if len(text) <= LONGEST_VALUE:
        return text
    kept = LONGEST_VALUE - AROUND
    return f"{text[:kept]}{_more(len(text) - kept)}"


def _more(characters: int) -> str:
    return f"… {characters:,} more character{'' if characters == 1 else 's'}" if characters else ""


def _around(text: str, start: int) -> str:
    """What stands around the first difference."""
    if len(text) <= LONGEST_VALUE:
        return text
    begin = max(0, start - AROUND)
    end = min(len(text), begin + LONGEST_VALUE - AROUND)
    rest = len(text) - end
    return ("…" if begin else "") + text[begin:end] + _more(rest)


def _first_difference(one: str, other: str) -> int:
    """By halves, so that megabytes are compared as fast as memory is."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_VALUE else f"{name[:LONGEST_VALUE]}…"


def is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def is_open(value: Any) -> bool:
    """A container that stands against something of another shape: comparing those is not for `==`."""
    return isinstance(value, Mapping) or is_list(value)
