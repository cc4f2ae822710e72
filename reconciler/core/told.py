"""What commits tell Convoy in their trailers: orders to keep and to take back; and what a hold refuses."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

from reconciler.core.facts import DELETES, Order, OrderVerb
from reconciler.core.kinds import KINDS
from reconciler.core.model import FleetState, Problem, Ref, Resource, Where
from reconciler.core.parse import locate, parse
from reconciler.core.trailers import ACCOUNT, LONGEST_MESSAGE, REQUEST, Trailer, trailers

CONFIRM, HOLD, RELEASE, ROLLBACK = "Convoy-Confirm", "Convoy-Hold", "Convoy-Release", "Convoy-Rollback"
OURS = "convoy-"
# More orders than one commit can mean.
MOST_TRAILERS = 250
# Content that was rolled back from and is not to come back: three years of one a day. The oldest go first.
MOST_HOLDS = 1_000
DIGEST = re.compile(r"[0-9a-f]{16}")
LONGEST_SHOWN = 200
# As many as commits are read at once; the newest of them is what counts.
MOST_REQUESTS = 1_000
# A kind and two names of at most 63 characters. What no index of a database takes could not be kept.
LONGEST_REF = 200

# Verb and subject of an order.
About = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Said:
    """One commit, as far as it tells us anything."""

    revision: str
    author: str
    message: str


@dataclass(frozen=True, slots=True)
class Told:
    """Orders to keep, orders to take back (verb and subject), and words about what was not understood or not kept.

    `every` are all that are in force once this is told. `requests`: ids of what these commits were asked for over the API.
    """

    put: tuple[Order, ...] = ()
    drop: tuple[About, ...] = ()
    words: tuple[str, ...] = ()
    every: tuple[Order, ...] = ()
    requests: tuple[str, ...] = ()

    def tells(self, verb: str, subject: str) -> bool:
        return any((order.verb, order.subject) == (verb, subject) for order in self.put)

    def empties(self, before: Collection[Ref]) -> bool:
        """Whether a fleet of these resources may become none: a person has said so of all of them, or of each by its name."""
        confirmed = {order.subject for order in self.put if order.verb == "confirm"}
        return DELETES in confirmed or all(str(ref) in confirmed for ref in before)

    def holds(self) -> dict[str, Order]:
        """Every hold in force once this is told, by its subject."""
        return {order.subject: order for order in self.every if order.verb == "hold"}


def heard(commits: Iterable[Said], orders: Iterable[Order], at: float) -> Told:
    """What these commits, oldest first, tell whoever has these orders. `at`: when they were noticed (Unix seconds)."""
    known: dict[About, Order] = {(order.verb, order.subject): order for order in orders}
    now = dict(known)
    words: list[str] = []
    requests: list[str] = []
    for commit in commits:
        for trailer in _of(commit, words):
            if trailer.token == REQUEST:
                requests.append(trailer.value[:LONGEST_SHOWN])
            flaw = _tell(trailer, commit, now, at)
            if flaw:
                words.append(f"commit {commit.revision[:12]}: `{_short(f'{trailer.token}: {trailer.value}')}` {flaw}")
    holds = sorted((order for (verb, _), order in now.items() if verb == "hold"), key=lambda order: (order.at, order.subject))
    for order in holds[: max(0, len(holds) - MOST_HOLDS)]:
        del now["hold", order.subject]
        words.append(f"the hold on {order.subject} is given up: {MOST_HOLDS} are kept, and it was the oldest")
    put = tuple(order for about, order in now.items() if known.get(about) is not order)
    dropped = tuple(about for about in known if about not in now)
    # Each commit of ours has one.
    return Told(put, dropped, tuple(words), tuple(now.values()), tuple(requests[-MOST_REQUESTS:]))


def _of(commit: Said, words: list[str]) -> Iterable[Trailer]:
    if len(commit.message) > LONGEST_MESSAGE:
        words.append(
            f"commit {commit.revision[:12]}: its message has more than {LONGEST_MESSAGE} characters, so no trailer of it counts"
        )
        return ()
    ours = [trailer for trailer in trailers(commit.message) if trailer.token.lower().startswith(OURS)]
    if len(ours) > MOST_TRAILERS:
        words.append(f"commit {commit.revision[:12]}: only the first {MOST_TRAILERS} of its {len(ours)} trailers count")
    return islice(ours, MOST_TRAILERS)


def _tell(trailer: Trailer, commit: Said, now: dict[About, Order], at: float) -> str:
    """Take one trailer into `now`, or say what is wrong with it."""
    token, value = trailer.token.lower(), trailer.value
    if token in (ROLLBACK.lower(), REQUEST.lower(), ACCOUNT.lower()):
        return ""
    if token not in (CONFIRM.lower(), HOLD.lower(), RELEASE.lower()):
        return f"is no trailer that Convoy knows: there are {CONFIRM}, {HOLD} and {RELEASE}"
    subject, at_sign, digest = value.partition("@")
    if at_sign and (token == CONFIRM.lower() or not DIGEST.fullmatch(digest)):
        return "does not name a resource" if token == CONFIRM.lower() else "has no digest of 16 hexadecimal digits after `@`"
    if not (token == CONFIRM.lower() and value == DELETES) and ref_of(subject) is None:
        return "names no resource: write KIND/NAME, as `convoy get` shows it"
    if token == RELEASE.lower():
        held = [key for key in now if key[0] == "hold" and (key[1] == value or (not digest and about(key[1])[0] == value))]
        for key in held:
            del now[key]
        return "" if held else "releases nothing: there is no such hold"
    if token == HOLD.lower() and not digest:
        return "has no digest after `@`: `convoy rollback` writes the whole of it"
    verb: OrderVerb = "hold" if token == HOLD.lower() else "confirm"
    now[verb, value] = Order(verb, value, _why(commit), commit.author, at)
    return ""


def ref_of(text: str) -> Ref | None:
    """The resource that this names, if its kind is one of ours."""
    if len(text) > LONGEST_REF:
        return None
    try:
        ref = Ref.parse(text)
    except ValueError:
        return None
    return ref if ref.kind in KINDS and text == str(ref) else None


def about(subject: str) -> tuple[str, str]:
    """A hold's subject ⇒ the printed ref, and the digest."""
    ref, _, digest = subject.rpartition("@")
    return ref, digest


def named(subject: str) -> str:
    """As events name it: the resource alone, where an order is about some content of it."""
    ref, digest = about(subject)
    return ref if digest and ref else subject


def _why(commit: Said) -> str:
    return f"{_short(commit.message.strip().partition(chr(10))[0])} ({commit.revision[:12]})"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…"


def brought_back(fleet: FleetState, holds: Mapping[str, Order], read: Callable[[str], bytes]) -> tuple[Problem, ...]:
    """A Problem for each document whose content is held. `read`: blob id ⇒ content."""
    found: list[Problem] = []
    for subject, order in holds.items():
        printed, digest = about(subject)
        resource = fleet.resources.get(Ref.parse(printed))
        if resource is not None and resource.digest == digest:
            by = f", by {order.by}" if order.by else ""
            what = f"this content of {printed} was rolled back and is held: {order.reason}{by}"
            hint = f"change the document, or release it by a commit with the trailer `{RELEASE}: {printed}`"
            found.append(Problem(_where(resource, read), what, hint, resource.ref))
    return tuple(sorted(found, key=lambda problem: problem.where))


def _where(resource: Resource, read: Callable[[str], bytes]) -> Where:
    """The document's first word."""
    source = resource.source
    for document in parse(source.file, source.blob, read(source.blob)).documents:
        if document.source.start == source.start:
            return locate(document, ())
    return Where(source.file, source.line)
