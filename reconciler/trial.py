"""Documents on trial: what would be planned if they were the next revision, from what the loop saw last. Nothing is written.

No Envoy is asked about them, though `convoy plan` and `serve` do ask one: whoever may only ask for a plan must not be able to
have a program of ours read, for minutes, what they have made up; the CI job that asks has its own Envoy (`convoy validate`).
No secret in them is opened either: whoever sends one would learn from the answer whether our key opens it.
"""

import contextlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

from reconciler.ask import PLAN, PLAN_AND_DOCUMENTS, AskError
from reconciler.certificates import foreseen
from reconciler.compare import edited
from reconciler.core import show
from reconciler.core.against import Answer, Moment, Question, QuestionError, answer_json, read_question
from reconciler.core.connect import Connector
from reconciler.core.guard import owners
from reconciler.core.model import XDS, FleetState, Plan, Problem, Ref, Snapshot, blob_id
from reconciler.core.parse import Document
from reconciler.core.premises import Premises
from reconciler.core.problems import problems_first
from reconciler.core.prospect import next_force, prospect
from reconciler.core.release import Orders
from reconciler.core.told import Said, Told, brought_back, heard
from reconciler.git import SourceError, Tree, layers
from reconciler.git.layers import NoDirectory
from reconciler.load import Loader
from reconciler.pins import Past
from reconciler.requests import Answering
from reconciler.seams import Seams
from reconciler.store import Damaged, Store, StoreError
from reconciler.wanted import EMPTIED

# What the documents may have in bytes for what was read of them to be remembered: about ten times that in memory.
LARGEST_REMEMBERED = 16 * 1024 * 1024


class Trial:
    """Answers questions one at a time, in whatever thread asks; the loop is not waited for and does not wait.

    `premises` gives those of the loop's last round, or None before it had one. What was read before is remembered by its
    content: asking again after a small change costs what changed.
    """

    def __init__(
        self,
        premises: Callable[[], Premises | None],
        store: Store,
        installation: str,
        seams: Seams,
        past: Past | None = None,
    ) -> None:
        """`past`: where commits are looked for that the documents name."""
        self._premises, self._store, self._installation, self._seams = premises, store, installation, seams
        self._past = past
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        # Without the pack on disk: what a stranger sent must not become what a restart believes to have read.
        self._loader, self._connector = Loader(None, self._seams), Connector()

    def requests(self) -> dict[str, Answering]:
        """What the local socket may ask: a plan; for those who may read the fleet, with what was changed in its documents."""
        return {PLAN: self.asked, PLAN_AND_DOCUMENTS: partial(self.asked, reads=True)}

    def asked(self, body: bytes, deadline: float, *, reads: bool = False) -> bytes:
        """Question and answer as JSON. Raises AskError alone."""
        try:
            question = read_question(body)
            answer = self.answer(question, deadline, reads=reads)
        except QuestionError as error:
            raise AskError(error.code, error.what, error.hint) from None
        except StoreError as error:
            raise AskError("store", str(error), "ask again soon") from None
        return json.dumps(answer_json(answer, question.form), ensure_ascii=False).encode("utf-8", "replace")

    def answer(self, question: Question, deadline: float, *, reads: bool = False) -> Answer:
        """`deadline` by the monotonic clock. `reads`: whoever asks may know what the documents in force say; else they could
        find it out by what the plan calls changed. Raises AskError and StoreError."""
        if not self._lock.acquire(timeout=max(0.0, deadline - self._seams.monotonic())):
            raise _late()
        try:
            return self._answer(question, deadline, reads)
        finally:
            if sum(map(len, question.files.values())) > LARGEST_REMEMBERED:
                self._forget()
            self._lock.release()

    def _answer(self, question: Question, deadline: float, reads: bool) -> Answer:
        known = self._premises()
        if known is None:
            raise AskError(
                "no-revision", "no revision is in force here yet, so nothing can be said about the next", "ask again soon"
            )
        now = self._seams.now()
        moment = Moment(self._installation, known.fleet.revision, max(0.0, now - known.at))
        fleet, problems, said, documents = self._load(question, known, now, deadline)
        if fleet is None or problems:
            return Answer(question.revision, moment, problems_first(problems))
        orders: Orders = {(one.verb, one.subject): one for one in said.every if one.until is None or now < one.until}
        force = next_force(known, fleet, orders, now)
        versions = foreseen(force.fleet, known.fleet, known.certificates)
        shut = {problem.ref for problem in _closed(force.fleet, known)}
        unopened = {ref: why for ref, why in known.facts.unopened.items() if ref in shut}
        found = prospect(known, force, orders, versions, unopened, self._store.refused(), self._connector, now)
        planned = found.plan
        answer = Answer(fleet.revision, moment, (), _closed(fleet, known), bool(planned.actions))
        changed = edited(self._store, fleet, documents) if reads else ()
        background = show.Background(fleet, owners(fleet, found.seen), changed)
        return worded(answer, question, planned, self._told_before(planned), background)

    def _load(
        self, question: Question, known: Premises, now: float, deadline: float
    ) -> tuple[FleetState | None, tuple[Problem, ...], Told, Mapping[Ref, Document]]:
        contents: dict[str, bytes] = {}
        files: dict[str, str] = {}
        # In the order of their paths, as Git and a folder give them.
        for path, content in sorted(question.files.items()):
            files[path] = blob_id(content)
            contents[files[path]] = content

        def read(blobs: Iterable[str]) -> Mapping[str, bytes]:
            if self._seams.monotonic() > deadline:
                raise _late()
            return {blob: contents[blob] for blob in blobs}

        past = _Followed(self._past, known.fleet.revision, self._seams, deadline) if self._past else None
        loaded = self._loader.load(_tree(question, files, read), read, past)
        orders = known.facts.orders.values()
        said = heard((Said(question.revision, question.author, question.message),), orders, now)
        if loaded.fleet is None or loaded.problems:
            return None, tuple(loaded.problems), said, {}
        if not loaded.fleet.resources and not said.empties(known.fleet.resources.keys()):
            return None, (EMPTIED,), said, {}
        held = brought_back(loaded.fleet, said.holds(), lambda blob: contents[blob])
        return loaded.fleet, held, said, loaded.documents

    def _told_before(self, planned: Plan) -> dict[str, Snapshot]:
        """What the proxies that would be told something run now."""
        found: dict[str, Snapshot] = {}
        for node in {node for action in planned.actions if action.host == XDS for node in action.want}:
            with contextlib.suppress(Damaged):
                good = self._store.good(node)
                if good is not None:
                    found[node] = good
        return found


@dataclass(frozen=True, slots=True)
class _Followed:
    """The commits that led to the revision in force here, whatever branch the documents are of; read until the deadline."""

    source: Past
    revision: str
    seams: Seams
    deadline: float

    def past(self, revision: str, commit: str) -> Tree:
        with self._in_time():
            return self.source.past(self.revision, commit)

    def read(self, blob_ids: Iterable[str]) -> Mapping[str, bytes]:
        with self._in_time():
            return self.source.read(blob_ids)

    @contextlib.contextmanager
    def _in_time(self) -> Iterator[None]:
        if self.seams.monotonic() > self.deadline:
            raise _late()
        try:
            yield
        except SourceError as error:
            raise AskError("away", f"the repository cannot be read: {error}", "ask again soon") from None


def _closed(fleet: FleetState, known: Premises) -> tuple[Problem, ...]:
    """Whose secrets cannot be used: known only of what is as in the running fleet."""

    def same(ref: Ref) -> bool:
        now, then = fleet.resources.get(ref), known.fleet.resources.get(ref)
        return now is not None and then is not None and now.digest == then.digest

    return tuple(problem for problem in known.closed if problem.ref is not None and same(problem.ref))


def _tree(question: Question, files: Mapping[str, str], read: Callable[[Iterable[str]], Mapping[str, bytes]]) -> Tree:
    """Of which layers the fleet is made is read from the documents here as well, whatever the other side believes."""

    def listed(root: str) -> tuple[Mapping[str, str], tuple[Problem, ...]]:
        found = {path: blob for path, blob in files.items() if path.startswith(root)}
        if root and not found:
            raise NoDirectory
        return found, ()

    try:
        found = layers.tree(question.revision, question.root, listed, read)
    except NoDirectory:
        found = Tree(question.revision, {}, (), question.root)
    # What the other side has seen wrong it has seen for itself; the same again in other words helps nobody.
    told = {problem.where for problem in question.problems}
    return replace(found, problems=(*question.problems, *(problem for problem in found.problems if problem.where not in told)))


def worded(
    answer: Answer, question: Question, planned: Plan, running: Mapping[str, Snapshot], background: show.Background
) -> Answer:
    """The plan in the words of `convoy plan`: the side that knows the most words them."""
    if question.form == "markdown":
        return replace(answer, markdown=show.plan_markdown(planned, running, background, limit=question.limit))
    if question.form == "json":
        return replace(answer, data=show.plan_json(planned, running, background))
    return replace(answer, page=show.plan(planned, running, background))


def _late() -> AskError:
    return AskError("late", "the plan took longer than it may", "ask again; a large fleet is quicker the second time")
