"""A change that somebody proposes to one resource: what it asks for, and what its document would say then."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from reconciler.core.envelope import NAME, digest_of
from reconciler.core.kinds import API_VERSION, KINDS
from reconciler.core.model import DEFAULT_TENANT, Ref
from reconciler.core.patches import Unfit, copied, measure, merged, torn
from reconciler.core.told import CONFIRM
from reconciler.core.trailers import ACCOUNT, REQUEST
from reconciler.core.values import CLEAR, is_sealed, is_secret

Verb = Literal["put", "patch", "delete"]
VERBS: dict[str, str] = {"put": "Set", "patch": "Change", "delete": "Delete"}
LONGEST_MESSAGE, LONGEST_TITLE = 500, 72
PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----")
FLEET = "fleet/"


class Refused(Exception):
    """This is not done: by which code, what is wrong, and what to do. `problems` are those it would add, in words."""

    def __init__(self, code: str, what: str, hint: str = "", problems: tuple[str, ...] = ()) -> None:
        super().__init__(what)
        self.code, self.what, self.hint, self.problems = code, what, hint, problems


@dataclass(frozen=True, slots=True)
class Change:
    """One proposal's words.

    `document` is the whole of it (put), or a merge patch (patch). `match` are the digests of which it must have one now ("*":
    any), `seen` the one that was in force when it was asked; `new`: it must not be there yet. `uid` is for a new document.
    """

    verb: Verb
    ref: Ref
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)
    match: tuple[str, ...] = ()
    seen: str = ""
    new: bool = False
    uid: str = ""
    account: str = ""
    author: str = ""
    message: str = ""


def as_body(change: Change) -> dict[str, Any]:
    """The change as plain JSON values."""
    return {
        "verb": change.verb,
        "ref": str(change.ref),
        "document": dict(change.document),
        "match": list(change.match),
        "seen": change.seen,
        "new": change.new,
        "uid": change.uid,
        "account": change.account,
        "author": change.author,
        "message": change.message,
    }


def read_body(body: Mapping[str, Any]) -> Change:
    """And back; raises Refused on what is none."""
    try:
        verb, document = body["verb"], body["document"]
        words = {name: str(body[name]) for name in ("seen", "uid", "account", "author", "message")}
        if verb not in VERBS or not isinstance(document, dict):
            raise ValueError
        return Change(verb, Ref.parse(body["ref"]), document, tuple(map(str, body["match"])), new=bool(body["new"]), **words)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise Refused("bad-change", "this proposal says nothing that can be done") from None


def ref_named(kind: str, tenant: str, name: str) -> Ref:
    """`kind` as it is, in lower case, or as many of them; raises Refused."""
    kind = next((one for one in KINDS if kind in (one, one.lower(), plural(one))), "")
    if not kind:
        raise Refused("not-found", "there is no such kind", f"the kinds are {', '.join(KINDS)}")
    if not NAME.fullmatch(name) or not NAME.fullmatch(tenant):
        raise Refused("bad-name", "this is no name", "use lower-case letters, digits and `-` between them, at most 63")
    return Ref(kind, name, tenant)


def wanted(change: Change, now: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What the document is to say, None where it is to be gone, from what it says now. Raises Refused."""
    _expected(change, now)
    if change.verb == "delete":
        return None
    if now is None and change.verb == "patch":
        raise Refused("not-found", f"{change.ref} is not declared", "create it with PUT")
    before = dict(now or {})
    try:
        after = _merged(change, before) if change.verb == "patch" else _whole(change, before)
        measure(after)
        # Neither NaN nor half a character has a place in a document.
        orjson.dumps(after)
    except Unfit as error:
        raise Refused("bad-document", f"this {error.what}", error.hint) from None
    except (TypeError, ValueError, RecursionError):
        raise Refused(
            "bad-document", "the document holds what no document can: half characters, or numbers too large"
        ) from None
    _named_alike(change, after, before)
    for path in unsealed(before, after):
        words = ".".join(map(str, path))
        raise Refused("sealed", f"{words} is sealed, and would not be any more", "seal the new value with `convoy secret seal`")
    return after


def _expected(change: Change, now: Mapping[str, Any] | None) -> None:
    if change.new and now is not None:
        raise Refused("exists", f"{change.ref} is declared already", "leave out If-None-Match to replace it")
    if now is None and change.verb == "delete":
        raise Refused("not-found", f"{change.ref} is not declared")
    if not change.match:
        return
    digest = digest_of(now) if now is not None else ""
    if digest in change.match or ("*" in change.match and now is not None):
        return
    again = "read it again, and decide anew"
    if change.seen and change.seen in change.match:
        raise Refused("conflict", f"{change.ref} has been changed in Git meanwhile", again)
    raise Refused("precondition", f"{change.ref} is not what If-Match says", again)


def _merged(change: Change, before: dict[str, Any]) -> dict[str, Any]:
    for path in torn(before, change.document):
        words = ".".join(map(str, path))
        raise Refused("sealed", f"one part of {words} says nothing without the other", "write both `age` and `hash`")
    after = merged(copied(before), copied(dict(change.document)))
    return dict(shown_again(after, before))


def _whole(change: Change, before: Mapping[str, Any]) -> dict[str, Any]:
    given = copied(dict(change.document))
    metadata = given.get("metadata", {})
    if not isinstance(metadata, dict):
        raise Refused("bad-document", "`metadata` is a mapping")
    metadata.setdefault("name", change.ref.name)
    old = before.get("metadata", {}).get("uid") if before else change.uid
    if old and "uid" not in metadata:
        # Whose past this is; whoever writes the document need not know it.
        metadata["uid"] = old
    given["metadata"] = metadata
    given.setdefault("apiVersion", API_VERSION)
    given.setdefault("kind", change.ref.kind)
    # In the order in which people write them.
    first = [key for key in ("apiVersion", "kind", "metadata") if key in given]
    after = {key: given[key] for key in (*first, *(key for key in given if key not in first))}
    return dict(shown_again(after, before))


def _named_alike(change: Change, after: Mapping[str, Any], before: Mapping[str, Any]) -> None:
    metadata = after.get("metadata")
    if not isinstance(metadata, dict) or (after.get("kind"), metadata.get("name")) != (change.ref.kind, change.ref.name):
        raise Refused("bad-document", f"the document is not about {change.ref}", "a name stays: delete it and create another")
    old = before.get("metadata")
    uid = old.get("uid") if isinstance(old, dict) else None
    if before and metadata.get("uid") != uid:
        raise Refused("bad-document", "`metadata.uid` stays as it is", "leave it out")


def unsealed(before: Any, after: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where a sealed secret would become something that is not sealed; to take it away is no such thing."""
    if isinstance(before, Mapping) and is_sealed(before):
        if not (isinstance(after, Mapping) and is_sealed(after)) and after is not None:
            yield path
    elif isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in before.keys() & after.keys():
            yield from unsealed(before[key], after[key], (*path, key))
    elif isinstance(before, list) and isinstance(after, list):
        for one, other, place in _pairs(before, after):
            yield from unsealed(one, other, (*path, place))


def _pairs(before: list[Any], after: list[Any]) -> Iterator[tuple[Any, Any, int]]:
    """The entries of two lists that are the same thing: by their names, or else by their places."""
    every = [*before, *after]
    if all(isinstance(one, dict) and isinstance(one.get("name"), str) for one in every):
        known = {one["name"]: one for one in before}
        yield from ((known[one["name"]], one, place) for place, one in enumerate(after) if one["name"] in known)
    else:
        yield from ((one, other, place) for place, (one, other) in enumerate(zip(before, after, strict=False)))


# What is shown


def shown(value: Any, path: tuple[str | int, ...] = (), *, hidden: bool = False) -> Any:
    """A document as it is answered: sealed values sealed, and words in the place of secrets that stand there in the clear."""
    if isinstance(value, Mapping):
        if is_sealed(value):
            return dict(value)
        return {key: shown(one, (*path, key), hidden=hidden or is_secret(path, key)) for key, one in value.items()}
    if isinstance(value, list):
        return [shown(one, (*path, place), hidden=hidden) for place, one in enumerate(value)]
    if isinstance(value, str) and (hidden or PRIVATE_KEY.search(value)):
        return CLEAR
    return value


def shown_again(value: Any, before: Any) -> Any:
    """What comes back, with what was hidden from whoever sends it in its place again. Raises Refused."""
    if isinstance(value, dict):
        old = before if isinstance(before, Mapping) else {}
        return {key: shown_again(one, old.get(key)) for key, one in value.items()}
    if isinstance(value, list):
        known = {place: one for one, _, place in _pairs(before, value)} if isinstance(before, list) else {}
        return [shown_again(one, known.get(place)) for place, one in enumerate(value)]
    if value == CLEAR:
        if not isinstance(before, str):
            raise Refused("bad-document", f"{CLEAR} stands where nothing was hidden", "write the value itself, sealed")
        return before
    return value


# What the commit says


def message(change: Change, id: str) -> str:
    """Title, and the trailers by which Convoy knows its own commits again."""
    said = plain(change.message)
    title = said or f"{VERBS[change.verb]} {change.ref}"
    paragraphs = [title if len(title) <= LONGEST_TITLE else title[: LONGEST_TITLE - 1] + "…"]
    if paragraphs[0] != title:
        # Indented, it can be no trailer, whatever it says.
        paragraphs.append(f"  {said[:LONGEST_MESSAGE]}")
    trailers = [f"{CONFIRM}: {change.ref}"] if change.verb == "delete" else []
    trailers += [f"{REQUEST}: {id}", f"{ACCOUNT}: {change.account}"]
    return "\n\n".join([*paragraphs, "\n".join(trailers)]) + "\n"


def plain(text: str) -> str:
    """One line without anything that cannot be seen."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


# Where a new document goes


def file_of(ref: Ref, root: str, files: Iterable[str]) -> str:
    """`<kinds>/<name>.yaml` below the fleet's directory, or its tenant's; below `fleet/`, where documents are kept there (as
    `convoy init` does). `files` are those that there are."""
    if ref.tenant != DEFAULT_TENANT:
        below = f"tenants/{ref.tenant}/"
    else:
        below = FLEET if any(path.startswith(root + FLEET) for path in files) else ""
    return f"{root}{below}{plural(ref.kind)}/{ref.name}.yaml"


def plural(kind: str) -> str:
    """`proxies` for Proxy; Settings are many already."""
    word = kind.lower()
    return word if word.endswith("s") else f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"
