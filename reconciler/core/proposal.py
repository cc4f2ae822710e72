"""What somebody proposes: changes of resources, made by one commit or not at all; and what each document would say then."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import orjson

from reconciler.core.envelope import NAME, digest_of
from reconciler.core.kinds import API_VERSION, KINDS
from reconciler.core.kinds.document import Metadata
from reconciler.core.kinds.part import Part
from reconciler.core.masked import shown_again, unsealed
from reconciler.core.model import DEFAULT_TENANT, Ref
from reconciler.core.named import taken, upserted
from reconciler.core.patches import Unfit, copied, measure, merged, torn
from reconciler.core.told import CONFIRM, HOLD
from reconciler.core.trailers import ACCOUNT, REQUEST

Verb = Literal["put", "rollback", "patch", "upsert", "append", "delete"]
WHOLE = ("put", "rollback")
VERBS: dict[str, str] = {
    "put": "Set",
    "rollback": "Roll back",
    "patch": "Change",
    "upsert": "Change",
    "append": "Add to",
    "delete": "Delete",
}
LONGEST_MESSAGE, LONGEST_TITLE = 500, 72
# A deployment to all proxies of a fleet of 2,000; of what a trailer says, as many as count in one commit (core/told.py); and as
# many are listed as a person can still read.
MOST_CHANGES, MOST_TOLD, MOST_LISTED = 2_001, 200, 50
FLEET = "fleet/"


class Refused(Exception):
    """This is not done: by which code, what is wrong, and what to do. `problems` are those it would add, in words."""

    def __init__(self, code: str, what: str, hint: str = "", problems: tuple[str, ...] = ()) -> None:
        super().__init__(what)
        self.code, self.what, self.hint, self.problems = code, what, hint, problems


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one resource.

    `document` is the whole of it (put; rollback, by which what it was, of the digest in `match`, is held), or a merge patch
    (patch); or one whose lists of things with names are laid over the lists that are there (upsert), or put behind them, where
    none of these names is taken (append). `match` are the digests of which it must have one now ("*": any), `seen` the one that
    was in force when it was asked; `new`: it must not be there yet.
    `uid` is for a new document.
    """

    verb: Verb
    ref: Ref
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)
    match: tuple[str, ...] = ()
    seen: str = ""
    new: bool = False
    uid: str = ""


@dataclass(frozen=True, slots=True)
class Proposed:
    """All that one commit is to do, by whom, and in which words ("": in ours). Each resource is in it once."""

    changes: tuple[Change, ...]
    account: str = ""
    author: str = ""
    message: str = ""


def as_body(proposed: Proposed) -> dict[str, Any]:
    """The same as plain JSON values."""
    changes = [
        {
            "verb": one.verb,
            "ref": str(one.ref),
            "document": dict(one.document),
            "match": list(one.match),
            "seen": one.seen,
            "new": one.new,
            "uid": one.uid,
        }
        for one in proposed.changes
    ]
    return {"changes": changes, "account": proposed.account, "author": proposed.author, "message": proposed.message}


def read_body(body: Mapping[str, Any]) -> Proposed:
    """And back; raises Refused on what is none."""
    try:
        changes = tuple(map(_read_change, body["changes"]))
        if not changes:
            raise ValueError
        read = Proposed(changes, *(str(body[name]) for name in ("account", "author", "message")))
    except (AttributeError, KeyError, TypeError, ValueError):
        raise Refused("bad-change", "this proposal says nothing that can be done") from None
    return checked(read)


def _read_change(body: Mapping[str, Any]) -> Change:
    verb, document = body["verb"], body["document"]
    if verb not in VERBS or not isinstance(document, dict):
        raise ValueError
    match = tuple(map(str, body["match"]))
    return Change(verb, Ref.parse(body["ref"]), document, match, str(body["seen"]), bool(body["new"]), str(body["uid"]))


def checked(proposed: Proposed) -> Proposed:
    """The same; raises Refused where one commit cannot be all of it."""
    told = sum(one.verb in ("delete", "rollback") for one in proposed.changes)
    if len(proposed.changes) > MOST_CHANGES or told > MOST_TOLD:
        what = f"{len(proposed.changes)} changes at once, {told} of them to delete or roll back, are too many"
        raise Refused("too-many", what, f"at most {MOST_CHANGES:,} go at once, {MOST_TOLD} of these: ask in several requests")
    ref, times = Counter(one.ref for one in proposed.changes).most_common(1)[0]
    if times > 1:
        raise Refused("bad-change", f"{ref} is named {times} times", "say once what is to become of it")
    return proposed


def ref_named(kind: str, tenant: str, name: str) -> Ref:
    """`kind` as it is, in lower case, or as many of them; raises Refused."""
    kind = _spellings().get(kind, "")
    if not kind:
        raise Refused("not-found", "there is no such kind", f"the kinds are {', '.join(KINDS)}")
    if not NAME.fullmatch(name) or not NAME.fullmatch(tenant):
        raise Refused("bad-name", "this is no name", "use lower-case letters, digits and `-` between them, at most 63")
    return Ref(kind, name, tenant)


@cache
def _spellings() -> Mapping[str, str]:
    """Each way of naming a kind ⇒ the kind."""
    return {word: one for one in KINDS for word in (one, one.lower(), plural(one))}


def wanted(change: Change, now: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What the document is to say, None where it is to be gone, from what it says now. Raises Refused."""
    _expected(change, now)
    if change.verb == "delete":
        return None
    if now is None and change.verb not in WHOLE:
        raise Refused("not-found", f"{change.ref} is not declared", "create it with PUT")
    before = dict(now or {})
    try:
        after = _whole(change, before) if change.verb in WHOLE else _merged(change, before)
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
        raise Refused("exists", f"{change.ref} is declared already", "change that one, or use another name")
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
    if change.verb == "append":
        for path, name in taken(before, change.document):
            raise Refused("exists", f"{change.ref} has {name!r} in {path[-1]} already", "use another name, or change that one")
    lay = merged if change.verb == "patch" else upserted
    after = lay(copied(before), copied(dict(change.document)))
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
    if not before:
        _arrange(given, change.ref.kind)
    # In the order in which people write them.
    first = [key for key in ("apiVersion", "kind", "metadata") if key in given]
    after = {key: given[key] for key in (*first, *(key for key in given if key not in first))}
    return dict(shown_again(after, before))


def _arrange(document: dict[str, Any], kind: str) -> None:
    """The fields of what is written for the first time stand as the schema has them; below them all stays as it was given."""
    for name, model in (("metadata", Metadata), ("spec", KINDS[kind])):
        part = document.get(name)
        if isinstance(part, dict):
            known = [key for key in _fields(model) if key in part]
            document[name] = {key: part[key] for key in (*known, *(key for key in part if key not in known))}


def _fields(model: type[Part]) -> Iterator[str]:
    """As documents call them."""
    return (field.alias or name for name, field in model.model_fields.items())


def _named_alike(change: Change, after: Mapping[str, Any], before: Mapping[str, Any]) -> None:
    metadata = after.get("metadata")
    if not isinstance(metadata, dict) or (after.get("kind"), metadata.get("name")) != (change.ref.kind, change.ref.name):
        raise Refused("bad-document", f"the document is not about {change.ref}", "a name stays: delete it and create another")
    old = before.get("metadata")
    uid = old.get("uid") if isinstance(old, dict) else None
    if before and metadata.get("uid") != uid:
        raise Refused("bad-document", "`metadata.uid` stays as it is", "leave it out")


# What the commit says


def message(proposed: Proposed, id: str) -> str:
    """Title, and the trailers by which Convoy knows its own commits again."""
    said = title(proposed)
    paragraphs = [said if len(said) <= LONGEST_TITLE else said[: LONGEST_TITLE - 1] + "…"]
    if paragraphs[0] != said:
        # Indented, it can be no trailer, whatever it says.
        paragraphs.append(f"  {said[:LONGEST_MESSAGE]}")
    if len(proposed.changes) > 1:
        lines = [f"  {VERBS[one.verb]} {one.ref}" for one in proposed.changes[:MOST_LISTED]]
        more = len(proposed.changes) - len(lines)
        paragraphs.append("\n".join([*lines, f"  and {more} more"] if more else lines))
    trailers = [f"{CONFIRM}: {one.ref}" for one in proposed.changes if one.verb == "delete"]
    trailers += [f"{HOLD}: {one.ref}@{digest}" for one in proposed.changes if one.verb == "rollback" for digest in one.match]
    trailers += [f"{REQUEST}: {id}", f"{ACCOUNT}: {plain(proposed.account)}"]
    return "\n\n".join([*paragraphs, "\n".join(trailers)]) + "\n"


def title(proposed: Proposed) -> str:
    """What it is called, by whoever asked or else by us; one line of any length."""
    first, others = proposed.changes[0], len(proposed.changes) - 1
    return plain(proposed.message) or f"{VERBS[first.verb]} {first.ref}" + (f" and {others} more" if others else "")


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
