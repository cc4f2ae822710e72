"""Which proposals a branch takes: those that add no Problem. They are checked together, and in halves where that fails."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reconciler.core.envelope import digest_of
from reconciler.core.laid import whole
from reconciler.core.layers import ENVIRONMENT
from reconciler.core.model import FleetState, Problem, Ref
from reconciler.core.parse import Document
from reconciler.core.proposal import Change, Proposed, Refused, read_body
from reconciler.core.show_layout import harmless
from reconciler.core.told import about, brought_back
from reconciler.core.written import BY_HAND, Files, Made, made, together
from reconciler.files import Parses
from reconciler.git import Person, Source, SourceError, Tree
from reconciler.load import BATCH, Loader
from reconciler.log import Log
from reconciler.seams import Seams
from reconciler.store import Proposal, Store, StoreError

LONGEST_WORDS, MOST_PROBLEMS = 1000, 50
# Whoever asked has long gone; what they meant may be meant no more.
LONGEST_WAITING_S = 3600.0
EXPIRED = Refused("expired", "this has waited too long for the repository", "ask again")
# Of what bases say: each becomes a patch of one file, which is read anew for it.
MOST_PATCHED = 200
# State, revision and answer, as the store keeps them.
End = tuple[Any, str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class State:
    """A fleet (None where it cannot be read) with what is wrong with it, in words; `texts` are contents that no commit holds
    yet."""

    files: Files
    problems: Mapping[tuple[object, ...], str]
    texts: Mapping[str, bytes]
    fleet: FleetState | None

    @property
    def empty(self) -> bool:
        return not self.files.documents


@dataclass(frozen=True, slots=True)
class Accepted:
    """`files`: path ⇒ what its commit writes there (None: gone); none where nothing changes."""

    proposal: Proposal
    proposed: Proposed
    made: tuple[Made, ...]

    @property
    def files(self) -> dict[str, bytes | None]:
        return {one.path: one.text for one in self.made if one.path}

    @property
    def answer(self) -> dict[str, Any]:
        """What became of each resource, in the order in which it was asked for."""
        changes = [
            {"ref": str(change.ref), "digest": one.digest, "file": one.path, "changed": bool(one.path), "created": one.created}
            for change, one in zip(self.proposed.changes, self.made, strict=True)
        ]
        return {"changes": changes}


Base = tuple[Tree, State]


@dataclass(frozen=True, slots=True)
class Batch:
    """What is to become of these proposals on `tree`: the end of some, a commit of each of the others, and then `after`."""

    tree: Tree
    proposals: Sequence[Proposal]
    accepted: Sequence[Accepted]
    ends: Mapping[str, End]
    after: State

    def with_more(self, later: "Batch") -> "Batch":
        """The same, and then what is to become of others on top of it."""
        return Batch(
            self.tree,
            (*self.proposals, *later.proposals),
            (*self.accepted, *later.accepted),
            {**self.ends, **later.ends},
            later.after,
        )

    def becomes(self, head: str) -> Base:
        """The fleet where its commits, of which this is the last, are in the mirror."""
        return replace(self.tree, revision=head, files=self.after.files.files), replace(self.after, texts={})


class Acceptance:
    """Remembers the branch's tip as it was read last. Not thread-safe. Raises SourceError and StoreError."""

    def __init__(self, source: Source, store: Store, log: Log, seams: Seams, parses: Parses | None = None) -> None:
        self._source, self._store, self._log, self._seams = source, store, log, seams
        self._loader = Loader(None, seams, parses)
        # Judged last. An environment's files are judged after each change, and the same ones again after the last of them.
        self._judged: State | None = None
        self._tip: Base | None = None

    def became(self, base: Base) -> None:
        """The branch is there now."""
        self._tip = base

    def based(self, tip: str) -> Base:
        """The fleet at the tip of the branch."""
        if self._tip is not None and self._tip[0].revision == tip and self._tip[1].files.documents is not None:
            return self._tip
        signature = self._source.signature(tip, self._seams.now(), "")
        if signature.problem is not None:
            # A signed commit on top of it would vouch for it.
            raise SourceError(f"the tip of the branch, {tip[:12]}, is not read: {signature.problem.what}")
        tree = self._source.tree(tip)
        files = Files(tree.files, tree.root, tree.layers)
        self._tip = tree, self._loaded(tree, files, {})
        return self._tip

    def _loaded(self, tree: Tree, files: Files, texts: Mapping[str, bytes]) -> State:
        """The same with what is wrong with it, and with what its resources are made from."""
        if self._judged is not None and self._judged.files.files is files.files:
            return replace(self._judged, texts=texts)
        read = _reading(self._source, texts)
        files = replace(files, files=whole(files.files))
        there = replace(tree, files=files.files)
        loaded = self._loader.load(there, read, self._source)
        documents: Mapping[Ref, Document] | None = loaded.documents if loaded.fleet is not None else None
        if documents is None:
            found = ((files.ref(one), one) for one in self._loader.render(there, read).documents)
            documents = {ref: one for ref, one in found if ref is not None}
        self._judged = State(replace(files, documents=documents), _words(loaded.problems), {}, loaded.fleet)
        return replace(self._judged, texts=texts)

    def _brought_back(self, before: State, after: State) -> Mapping[tuple[object, ...], str]:
        """What is held, as of now, and was not there before; what was there when it was held is in nobody's way."""
        if after.fleet is None:
            return {}
        held = {order.subject: order for order in self._store.orders() if order.verb == "hold"}
        there = before.fleet.resources if before.fleet is not None else {}
        for subject in list(held):
            printed, digest = about(subject)
            resource = there.get(Ref.parse(printed))
            if resource is not None and resource.digest == digest:
                del held[subject]
        read = _reading(self._source, after.texts)
        return _words(brought_back(after.fleet, held, lambda blob: read([blob])[blob]))

    def batch(self, base: Base, waiting: Sequence[Proposal]) -> Batch:
        """Nothing of it is made yet."""
        tree, state = base
        late = self._seams.now() - LONGEST_WAITING_S
        ends = {one.id: refused_by(EXPIRED) for one in waiting if one.at < late}
        accepted, after = self.accept(state, tree, [one for one in waiting if one.id not in ends], ends)
        return Batch(tree, waiting, accepted, ends, after)

    def accept(
        self, state: State, tree: Tree, waiting: Sequence[Proposal], ends: dict[str, End]
    ) -> tuple[list[Accepted], State]:
        """As many as add no Problem, one after the other; the others get their end."""
        files, texts, accepted = state.files, dict(state.texts), list[Accepted]()
        refused: dict[str, End] = {}
        for one in waiting:
            try:
                proposed = read_body(one.body)
                author_of(proposed)
                results = self.made(proposed, files, tree, texts)
            except Refused as error:
                refused[one.id] = refused_by(error)
                continue
            except (SourceError, StoreError):
                raise
            except Exception as error:  # noqa: BLE001 - one that we cannot bear must not end the committing of others
                self._log.error("proposal.broken", id=one.id, error=f"{type(error).__name__}: {error}")
                refused[one.id] = refused_by(Refused("broken", "Convoy has failed on this; its log says how"))
                continue
            files = results[-1].files
            accepted.append(Accepted(one, proposed, results))
        if not any(one.files for one in accepted):
            ends.update(refused)
            return accepted, state
        after = self._loaded(tree, files, texts)
        problems = {**after.problems, **self._brought_back(state, after)}
        new = [words for key, words in problems.items() if key not in state.problems]
        if not new and (not after.empty or _each_named(state, accepted)):
            ends.update(refused)
            return accepted, after
        if len(waiting) > 1:
            half = len(waiting) // 2
            first, between = self.accept(state, tree, waiting[:half], ends)
            last, after = self.accept(between, tree, waiting[half:], ends)
            return first + last, after
        words = new or ["nothing would be declared any more, and an emptied repository never empties a fleet"]
        ends[waiting[0].id] = refused_by(Refused("invalid", words[0], "", tuple(words)))
        return [], state

    def contents(self, files: Files, texts: Mapping[str, bytes]) -> dict[str, bytes]:
        """Path ⇒ what the file holds, of all; in pieces, so that others can read the repository meanwhile."""
        blobs, found = whole(files.files), dict(texts)
        left = list(set(blobs.values()) - texts.keys())
        for start in range(0, len(left), BATCH):
            found |= self._source.read(left[start : start + BATCH])
        return {path: found[blob] for path, blob in blobs.items() if blob in found}

    def made(self, proposed: Proposed, files: Files, tree: Tree, texts: dict[str, bytes]) -> tuple[Made, ...]:
        """Its changes, one after the other; what is new is put into `texts`. Raises Refused, and then it counts for nothing."""
        if files.layers and len(proposed.changes) > MOST_PATCHED:
            what = f"{len(proposed.changes):,} changes at once are more than one environment.yaml takes"
            raise Refused("too-many", what, f"in an environment at most {MOST_PATCHED} go at once: ask in several requests")
        read = _reading(self._source, texts)
        files, done = together(proposed.changes, files, lambda blob: read([blob])[blob])
        patches = files.root + ENVIRONMENT
        # Where resources stand beside the environment, each patch of it moves them.
        beside = bool(files.layers) and any(one.source.file == patches for one in (files.documents or {}).values())
        # Path ⇒ what stands there in the end; several changes may be of one file.
        last = {one.path: one.text for one in done.values()}
        texts.update((files.files[path], text) for path, text in last.items() if text is not None)
        for change in proposed.changes:
            if change.ref in done:
                continue
            result = done[change.ref] = made(change, files, lambda blob: read([blob])[blob])
            if result.path:
                last[result.path] = result.text
                if result.text is not None:
                    blob = result.files.files[result.path]
                    texts[blob] = result.text
                    self._loader.know(blob, result.parsed, len(result.text))
            if result.files.documents is not None:
                files = result.files
            elif result.path == patches and not beside:
                # No other resource stands elsewhere for that; what the layers make of all patches is found out once.
                files = replace(result.files, documents=files.documents)
            else:
                files = self._loaded(tree, result.files, texts).files
        if files.layers and any(one.path for one in done.values()):
            files = self._loaded(tree, replace(files, documents=None), texts).files
            done = {change.ref: _rendered(change, done[change.ref], files) for change in proposed.changes}
        every = (done[change.ref] for change in proposed.changes)
        return tuple(replace(one, files=files, text=last[one.path] if one.path else one.text) for one in every)


def _words(problems: Iterable[Problem]) -> dict[tuple[object, ...], str]:
    """The same Problem has the same key, whatever lines moved."""
    return {(one.where.file, one.what, one.ref): str(one) for one in problems}


def _each_named(state: State, accepted: Sequence[Accepted]) -> bool:
    """Whether somebody has asked for the delete of each document there was, by its name: that is no emptied repository."""
    gone = {change.ref for one in accepted for change in one.proposed.changes if change.verb == "delete"}
    return gone >= (state.files.documents or {}).keys()


def _rendered(change: Change, made: Made, files: Files) -> Made:
    """The same, as the layers have it in the end. Raises Refused."""
    found = (files.documents or {}).get(change.ref)
    digest = digest_of(found.value) if found is not None else ""
    if digest != made.digest and made.path and not made.created:
        what = f"no patch in the environment's own layer makes {change.ref} what it is to be"
        raise Refused("unwritable", what, BY_HAND)
    # To what is new here, the environment may add labels.
    return replace(made, digest=digest)


def _reading(source: Source, texts: Mapping[str, bytes]) -> Callable[[Iterable[str]], Mapping[str, bytes]]:
    def read(blobs: Iterable[str]) -> Mapping[str, bytes]:
        wanted = set(blobs)
        known = {blob: texts[blob] for blob in wanted if blob in texts}
        left = wanted - known.keys()
        return {**known, **(source.read(left) if left else {})}

    return read


def author_of(proposed: Proposed) -> Person:
    try:
        return Person.parse(proposed.author)
    except SourceError as error:
        raise Refused("bad-author", str(error), "make another token, with --author") from None


def refused_by(error: Refused) -> End:
    problems = [harmless(one)[:LONGEST_WORDS] for one in error.problems[:MOST_PROBLEMS]]
    return ("refused", "", {"code": error.code, "what": harmless(error.what), "hint": error.hint, "problems": problems})


def refusal(end: End) -> Refused:
    """And back."""
    said = end[2]
    return Refused(said["code"], said["what"], said["hint"], tuple(said["problems"]))
