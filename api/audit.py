"""What the audit says of a call: who, by which operation, on what, from where, and what came of it; nothing of it is a secret.

Of a request only these are kept: who asked, by which operation, on which resource, from which address, with which program; and
of a change the fields that it changed, without what is hidden wherever documents are read. Neither its body, nor its query, nor
any other header.
"""

import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from flask import Flask, has_request_context, request

from reconciler.core.declared import Declared
from reconciler.core.masked import NAMING, shown
from reconciler.core.proposal import Change, Refused, wanted
from reconciler.store.audit import CHANGE, NOBODY, READ, Call

# The last words of operations' names, where they are no action's name.
ACTIONS = {"add": "CREATE", "upload": "CREATE"}
METHODS = {"POST": "CREATE", "PUT": "UPDATE", "PATCH": "UPDATE", "DELETE": "DELETE"}
# A delivery of a forge makes Convoy look, and changes nothing.
LOOKING = ("READ", "PLAN", "DELIVER")
# Operations of our own surface that are actions by their names.
ACTING = ("plan", "sync", "confirm", "suspend", "resume", "take-over", "rollback")
BULK = "bulk."
# What those are about whose names do not say it. What is about no one resource is about the fleet.
TYPES: Mapping[str, str] = {
    **dict.fromkeys(ACTING, "fleet"),
    "bulk.proxies.update": "proxy",
    "bulk.delete": "resource",
    "ws.connect": "event",
    "events": "event",
    "every": "resource",
    "of_all": "metric",
    "history_of_all": "history",
}
# As a contract names operations: proxies.configuration.update.
OPERATION = re.compile(r"[a-z_]+(\.[a-z_]+)+")
# What names a resource; what stands in its place otherwise may be anything.
ID = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
# Tokens, ours and others', wherever somebody has put them.
SECRET = re.compile(r"cvy_\w*|eyJ[\w-]*(\.[\w-]*)*|(?<=bearer )\S+|(?<=basic )\S+", re.IGNORECASE)
HIDDEN = "(hidden)"
LONGEST_AGENT = 200


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: `account` is an id, "" for a token that is nobody's; `by` its e-mail or the token's name. `known` is False
    where it was not proved."""

    account: str = ""
    by: str = ""
    tenant: str = ""
    known: bool = True


@dataclass(frozen=True, slots=True)
class Heard:
    """One call, before rows are made of it. `ids` are what stood in the variable parts of its path."""

    at: float
    who: Asker
    surface: str
    operation: str
    method: str
    ids: Mapping[str, Any]
    address: str
    agent: str
    status: int
    request: str
    changes: Sequence[tuple[Change, Declared | None]] = field(default=(), repr=False)

    @property
    def kind(self) -> str:
        if not self.who.known:
            return NOBODY
        return READ if action(self.operation, self.method) in LOOKING else CHANGE


def listen(flask: Flask, surface: str) -> None:
    """From now on it is known of each request which operation of this surface it is."""

    @flask.before_request
    def operation() -> None:
        rule = request.url_rule
        # A stream's path has two rules, for those who would have one and for those who would not.
        name = rule.endpoint.removesuffix(" plain") if rule is not None else ""
        request.environ["convoy.operation"] = surface, name, request.view_args or {}


def changed(changes: Sequence[tuple[Change, Declared | None]]) -> None:
    """The request that is being answered has committed these; beside each, what was declared before, None for nothing."""
    if has_request_context():
        request.environ["convoy.changes"] = (*request.environ.get("convoy.changes", ()), *changes)


def about(ref: str) -> None:
    """The request that is being answered is about this resource, which its body names."""
    kind, _, name = ref.partition("/")
    surface, operation, ids = request.environ["convoy.operation"]
    if name:
        request.environ["convoy.operation"] = surface, operation, {**ids, "kind": kind, "name": name.rpartition("/")[2]}


def named(operation: str, ids: Mapping[str, str], who: Asker) -> None:
    """The request that is being answered is this operation on these, whatever its path holds, and who asks."""
    surface = request.environ["convoy.operation"][0]
    request.environ["convoy.operation"], request.environ["convoy.who"] = (surface, operation, ids), who


@lru_cache(maxsize=1_000)
def action(operation: str, method: str) -> str:
    if method not in METHODS:
        return "READ"
    if operation in ACTING:
        return operation.replace("-", "_").upper()
    word = operation.rpartition(".")[2]
    return ACTIONS.get(word, word.upper()) if OPERATION.fullmatch(operation) else METHODS[method]


def resource_type(operation: str, ids: Mapping[str, Any]) -> str:
    """`proxies.configuration.update` is about a proxy_configuration; on our own surface, a path says the kind."""
    named = str(ids.get("kind", ""))
    if operation in TYPES and not named:
        return TYPES[operation]
    if OPERATION.fullmatch(operation):
        return "_".join(_one_of(word) for word in operation.split(".")[:-1])
    if named:
        return _one_of(_kind(named)) if ID.fullmatch(named) else ""
    return operation if operation.isalpha() else ""


def _kind(kind: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|-", "_", kind).lower()


def _one_of(words: str) -> str:
    if words.endswith("ies"):
        return f"{words[:-3]}y"
    return words[:-1] if words.endswith("s") and not words.endswith(("ss", "us")) else words


def rows(heard: Heard) -> Iterator[Call]:
    """A row for each resource that was changed; one where none was."""
    named = next((str(heard.ids[name]) for name in ("id", "name") if name in heard.ids), "")
    type, did = resource_type(heard.operation, heard.ids), action(heard.operation, heard.method)
    id = named if ID.fullmatch(named) and not SECRET.search(named) else ""
    one = Call(
        heard.at,
        heard.kind,
        heard.who.account,
        heard.who.by,
        heard.who.tenant,
        heard.surface,
        did,
        type,
        id,
        heard.address,
        harmless(heard.agent),
        heard.status,
        heard.request,
    )
    if not heard.changes:
        yield one
    for place, (change, was) in enumerate(heard.changes):
        before, after = differences(change, was.document if was is not None else None)
        yield replace(
            one,
            id=str(uuid.uuid4()),
            action=did if place == 0 else _verb(change, was),
            # What many of at once are changed is told of each as what it is.
            resource_type=type if place == 0 and type and not heard.operation.startswith(BULK) else _kind(change.ref.kind),
            resource_id=was.uid if was is not None else change.uid or str(change.ref),
            before=before,
            after=after,
        )


def _verb(change: Change, was: Declared | None) -> str:
    return "DELETE" if change.verb == "delete" else "UPDATE" if was is not None else "CREATE"


def differences(change: Change, was: Mapping[str, Any] | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields that differ, as they were and as they are, without what is secret."""
    try:
        now = wanted(Change(change.verb, change.ref, change.document, uid=change.uid), was)
    except Refused:
        # Somebody else has changed it at the same moment; what was asked for is known all the same.
        now = dict(change.document)
    before, after = dict(was or {}), dict(now or {})
    # What is hidden is so by where it stands, and by what stands beside it and names it: nothing else has to be gone through.
    same = {name for name in before.keys() & after.keys() if before[name] == after[name]} - {*NAMING, "age"}
    before, after = ({name: one for name, one in each.items() if name not in same} for each in (before, after))
    return _differing(before, after, shown(before, variables=False), shown(after, variables=False))


def _differing(
    before: Mapping[str, Any], after: Mapping[str, Any], old: Mapping[str, Any], new: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of `old` and `new`, which are what is shown of the other two, the fields in which those differ."""
    was, now = dict[str, Any](), dict[str, Any]()
    for name in [*before, *(name for name in after if name not in before)]:
        one, other = old.get(name), new.get(name)
        if name in before and name in after and before[name] == after[name]:
            continue
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            one, other = _differing(before[name], after[name], one, other)
        if name in before:
            was[name] = one
        if name in after:
            now[name] = other
    return was, now


def harmless(agent: str) -> str:
    """What a program calls itself: short, printable, and without what looks like a token."""
    return SECRET.sub(HIDDEN, "".join(one for one in agent[:LONGEST_AGENT] if one.isprintable()))
