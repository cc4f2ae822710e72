"""How every surface changes the fleet: what the request says about it beside its body, and one commit.

A route is: who asks, `terms`, `room` with `document` in it, its mapping to changes, and `make`; what is there then is told by
`api.written`. What goes wrong is raised, and each surface's wire.py has a status for it: Refused, Waiting, Opened, Unshown,
TooMany, BodyError, AskError, Full, KeyReused, StoreError.
"""

import contextlib
import hashlib
import json
import re
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
from flask import Request

from api import audit, tags
from api.bodies import BodyError, read_body
from api.limits import Held, TooMany
from api.people import Account
from api.reach import Reach
from reconciler.ask import REHEARSE, REHEARSE_WITH_DOCUMENTS, AskError, ask
from reconciler.core.proposal import LONGEST_MESSAGE, Change, Proposed, Refused, as_body, checked
from reconciler.store import Mode, Proposal, Token

# Ten times the largest document anybody has shown us.
LARGEST_DOCUMENT = 1024 * 1024
LONGEST_KEY, MOST_MATCHES = 200, 20
# How long a request waits for its commit, and at most for what follows from it.
COMMITTING_S, SYNCING_S, LONGEST_S = 20.0, 20, 60
REHEARSING_S = 90.0
MODES: dict[str, Mode] = {"commit": "commit", "pull-request": "pull-request"}
JSON, MERGE_PATCH = "application/json", "application/merge-patch+json"


@dataclass(frozen=True, slots=True)
class Writer:
    """Who changes something: whose keys and limits these are (`id`), whom the commit's trailer names, and who it is by, as
    "Name <mail>". `reads`: may see what the fleet's documents say."""

    id: str
    account: str
    author: str
    reads: bool = True


def writer(who: Token | Account) -> Writer:
    if isinstance(who, Account):
        return Writer(who.id, who.email, who.author)
    author = who.author or f"{who.name} <{who.name}@localhost>"
    return Writer(who.id, who.name, author, "read" in who.scopes)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a request says beside its body. `match` and `new` are about the resource that its URL names: If-Match and
    If-None-Match. `message` is the commit's title, "" for ours.

    `asks` is what has to be the same where the same `key` comes again: where changes are worked out from what is there, or
    hold what is sealed anew each time, it is made of the request; "": of the changes.
    """

    match: tuple[str, ...] = ()
    new: bool = False
    key: str = ""
    asks: str = ""
    message: str = ""
    dry_run: bool = False
    synced: bool = False
    timeout_s: float = SYNCING_S
    mode: Mode = "commit"


class Waiting(Exception):
    """It could not be committed yet, and will be once that can be done: `proposal` tells. It must not be sent again without
    its key."""

    def __init__(self, proposal: Proposal) -> None:
        refs = proposal.refs[0] + (f" and {len(proposal.refs) - 1} more" if len(proposal.refs) > 1 else "")
        super().__init__(f"{refs} could not be committed yet (proposal {proposal.id})")
        self.proposal = proposal


class Opened(Exception):
    """It has become a pull request, which people may merge: nothing has changed yet, and 202 says so. `url` is where it is."""

    def __init__(self, proposal: Proposal) -> None:
        self.proposal, self.url = proposal, str(proposal.answer.get("url", ""))
        super().__init__(f"a pull request has been opened: {self.url}")


class Unshown(Exception):
    """It is committed, and what it has come to is not known before it is in force, which it is not in time."""

    def __init__(self, proposal: Proposal) -> None:
        self.proposal = proposal
        super().__init__(f"this is committed, and not in force yet (revision {proposal.revision[:12]}): read it again soon")


class NotDone(Refused):
    """Refused by whoever commits, or by people who closed its pull request, under a proposal that can be asked for."""

    def __init__(self, proposal: Proposal) -> None:
        said = {name: str(proposal.answer.get(name, "")) for name in ("code", "what", "hint")}
        problems = proposal.answer.get("problems")
        super().__init__(**said, problems=tuple(map(str, problems)) if isinstance(problems, list) else ())
        self.proposal = proposal


@dataclass(frozen=True, slots=True)
class Done:
    """What has been committed, or, where that was all that was asked for, what it would do: `plan`, as JSON.

    `late`: it was to be carried out before this is answered, and was not in time.
    """

    proposed: Proposed
    proposal: Proposal | None = None
    plan: bytes = b""
    late: bool = False


def terms(request: Request) -> Terms:
    """Raises Refused."""
    new, said = request.headers.get("If-None-Match", "").strip(), request.args.get("message", "")
    if new not in ("", "*"):
        raise Refused("bad-query", "If-None-Match can only be `*` here: it must not be there yet")
    if len(said) > LONGEST_MESSAGE:
        raise Refused("bad-query", f"a message has at most {LONGEST_MESSAGE} characters")
    waits = request.args.get("wait", "committed")
    if waits not in ("committed", "synced"):
        raise Refused("bad-query", "`wait` is committed or synced")
    mode = request.args.get("mode", "commit")
    if mode not in MODES:
        raise Refused("bad-query", "`mode` is commit or pull-request")
    dry_run, synced = flag(request, "dry_run"), waits == "synced"
    return Terms(_matches(request), bool(new), _key(request), "", said, dry_run, synced, timeout_s(request), MODES[mode])


@contextlib.contextmanager
def room(reach: Reach, writer: Writer) -> Iterator[Held]:
    """One more change by this writer, with the bytes it takes; raises TooMany."""
    reach.changes.count(writer.id)
    with reach.changes.one() as held:
        yield held


def document(
    request: Request,
    take: Callable[[int], None],
    types: tuple[str, ...] = (JSON, MERGE_PATCH),
    check: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """The JSON object in its body. `check` is told the SHA-256 of the body as it came, in hexadecimal, before anything of it is
    understood. Raises BodyError, and what `take` and `check` raise."""
    came = hashlib.sha256()
    body = read_body(request.stream, request.headers.get("Content-Encoding", ""), LARGEST_DOCUMENT, take, came=came.update)
    check(came.hexdigest())
    if request.mimetype not in types:
        raise BodyError(415, "media-type", "the body is not said to be JSON", f"send it with Content-Type: {JSON}")
    try:
        # UTF-8 alone, as RFC 8259 (8.1) has it.
        found = json.loads(body.decode("utf-8-sig"), parse_constant=_no_number, object_pairs_hook=_once)
        # Half characters, numbers of any length and endless depth are JSON too, and no document holds them.
        orjson.dumps(found)
    except (ValueError, TypeError, RecursionError) as error:
        words = str(error) if isinstance(error, _Twice) else "the body is not JSON that a document can hold"
        raise BodyError(400, "bad-body", words) from None
    if not isinstance(found, dict):
        raise BodyError(400, "bad-body", "the body is no JSON object", "send a document, or a merge patch for one")
    return found


def make(reach: Reach, changes: Sequence[Change], by: Writer, asked: Terms) -> Done:
    """All of these by one commit, or nothing. The first is of the resource that the request's URL names.

    Raises Refused, Waiting and Opened, and as `dry_run` AskError.
    """
    fleet = reach.fleet
    first = replace(changes[0], match=asked.match or changes[0].match, new=asked.new or changes[0].new)
    # Tells 409 from 412 where something has to match.
    seen = fleet.digests(one.ref for one in (first, *changes[1:]) if one.match and not one.seen)
    every = tuple(
        replace(one, seen=one.seen or seen.get(one.ref, ""), uid=one.uid or str(uuid.uuid4())) for one in (first, *changes[1:])
    )
    proposed = checked(Proposed(every, by.account, by.author, asked.message))
    if asked.dry_run:
        what = REHEARSE_WITH_DOCUMENTS if by.reads else REHEARSE
        return Done(proposed, plan=ask(reach.run, what, json.dumps(as_body(proposed)).encode(), REHEARSING_S))
    was = reach.store.declared(str(one.ref) for one in every)
    changed = [(one, was.get(str(one.ref))) for one in every]
    try:
        made = _ended(reach, fleet.propose(proposed, by.id, asked.key, asked.asks, asked.mode))
    except Waiting:
        # It will be committed, and nobody asks again who did it.
        audit.changed(changed)
        raise
    audit.changed(changed)
    late = asked.synced and not fleet.in_force(made, asked.timeout_s, synced=True, judged=True)
    return Done(proposed, made, late=late)


def made_before(reach: Reach, by: Writer, asked: Terms) -> Proposal | None:
    """What was committed under this key before, and is not worked out again. Raises what `make` does."""
    known = reach.fleet.proposed(by.id, asked.key, asked.asks) if asked.key and not asked.dry_run else None
    return _ended(reach, known) if known is not None else None


def _ended(reach: Reach, proposal: Proposal) -> Proposal:
    made = reach.fleet.wait(proposal, COMMITTING_S)
    if made.state in ("refused", "closed"):
        raise NotDone(made)
    if made.state == "waiting":
        raise Waiting(made)
    if made.state == "proposed":
        raise Opened(made)
    return made


def settle(reach: Reach, writer: str) -> None:
    """Before anything is read: whoever has just changed something waits a moment until it is in force, and so is shown it."""
    made, left_s = reach.fleet.unsettled(writer)
    if made is not None:
        # With too many that wait already: better what was there a moment ago than nothing.
        with contextlib.suppress(TooMany), reach.waits.one():
            reach.fleet.in_force(made, left_s)


def come(reach: Reach, made: Proposal, timeout_s: float) -> None:
    """Before anything is read that must not be from before this change: wait until that is in force, unless it is refused.
    Raises AskError where it is not in time, or control is gone."""
    end = time.monotonic() + timeout_s
    made = reach.fleet.wait(made, timeout_s)
    if made.state == "committed" and reach.fleet.in_force(made, max(0.0, end - time.monotonic())):
        return
    if made.state in ("waiting", "committed"):
        how = "in force" if made.state == "committed" else "committed"
        code = "away" if reach.over.is_set() else "late"
        hint = "ask again soon; or without `after`, for what is in force now"
        raise AskError(code, f"{made.refs[0] if made.refs else 'it'} is not {how} yet (proposal {made.id})", hint)


def timeout_s(request: Request) -> float:
    return float(number(request, "timeoutSeconds", SYNCING_S, LONGEST_S))


def number(request: Request, name: str, default: int, most: int) -> int:
    """One of the query's, from 1 on. Raises Refused."""
    text = request.args.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) < 8 and 1 <= int(text) <= most):
        raise Refused("bad-query", f"`{name}` is a number from 1 to {most}")
    return int(text)


def flag(request: Request, name: str) -> bool:
    text = request.args.get(name, "false")
    if text not in ("true", "false"):
        raise Refused("bad-query", f"`{name}` is true or false")
    return text == "true"


def _matches(request: Request) -> tuple[str, ...]:
    """The digests that If-Match names; a weak one never matches (RFC 9110, 13.1.1)."""
    listed = [one.strip() for one in request.headers.get("If-Match", "").split(",") if one.strip()]
    if len(listed) > MOST_MATCHES:
        raise Refused("bad-query", f"If-Match names more than {MOST_MATCHES} tags")
    return tuple(map(tags.digest, listed))


def _key(request: Request) -> str:
    key = request.headers.get("Idempotency-Key", "")
    # Nothing is taken off it: what is left might be another's, or none.
    if len(key) > LONGEST_KEY or not re.fullmatch(r"[!-~]*", key):
        what = f"an Idempotency-Key has at most {LONGEST_KEY} characters, all of them printable ASCII and none a space"
        raise Refused("bad-query", what)
    return key


class _Twice(ValueError):
    pass


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Twice("the body holds one key twice in the same object")
    return found


def _no_number(_: str) -> Any:
    raise ValueError
