"""The documents of an environment as they are there: bases taken in, variables filled in, patches applied."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reconciler.core.changes import Changes
from reconciler.core.envelope import tenant_of
from reconciler.core.kinds.environment import KIND
from reconciler.core.layers import ENVIRONMENT, Layer, root_of
from reconciler.core.model import Problem, Where
from reconciler.core.near import did_you_mean, listing
from reconciler.core.parse import Document, locate
from reconciler.core.patches import Unfit, copied, measure, merged, operated, torn
from reconciler.core.trail import Change, Rendered
from reconciler.core.variables import Unfilled, Value, fill, mentions
from reconciler.core.wording import Flaw, quoted

# All rendered documents of an environment together, in values and characters: as much as a fleet's files may hold in bytes.
LARGEST_ENVIRONMENT = 256 * 1024 * 1024
# More about one environment nobody reads.
MOST_PROBLEMS = 1000


@dataclass(frozen=True, slots=True)
class Rendering:
    """The documents, in the order of those they are made of; `lost` are the bytes of those that could not be rendered."""

    documents: tuple[Document, ...]
    problems: tuple[Problem, ...] = ()
    lost: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class _Made:
    """What became of one document (None: it was deleted), and all that went into it.

    `considered` are the changes that its kind, name and tenant fit, `changes` those among them that its labels fit as well.
    """

    kind: Any
    name: Any
    values: tuple[Value, ...]
    considered: tuple[Change, ...]
    changes: tuple[Change, ...]
    document: Document | None
    problems: tuple[Problem, ...] = ()
    size: int = 0


@dataclass
class Renderer:
    """Remembers what became of each document: it is made anew when it, or anything that went into it, is another.

    Not thread-safe. `made` counts the documents that were made anew, those aside that are as they are written.
    """

    made: int = 0
    _last: dict[Document, _Made] = field(default_factory=dict)
    # All documents of the last call and its layers, and what came of it; only where there were no Problems.
    _given: list[Document] = field(default_factory=list)
    _circumstances: tuple[Layer, ...] = ()
    _sound: tuple[Document | None, ...] = ()
    _size: int = 0
    _changes: Changes = field(default_factory=Changes)

    def render(self, layers: Sequence[Layer], documents: Iterable[Document]) -> Rendering:
        """`layers` as in a Tree, one at least; the documents are all that stand in them."""
        given = list(documents)
        edited = self._edited(tuple(layers), given)
        if edited is not None:
            return edited
        self._given, self._circumstances, self._sound = given, tuple(layers), ()
        roots = tuple(layer.root for layer in layers)
        places = {root + ENVIRONMENT: root for root in roots}
        environments: dict[str, Document] = {}
        others: list[Document] = []
        problems: list[Problem] = []
        for document in given:
            root = places.get(document.source.file)
            if document.value.get("kind") != KIND:
                others.append(document)
            elif root is None or root in environments:
                problems.append(_stray(document, root))
            else:
                environments[root] = document
        same = self._changes.read(layers, environments) and not problems
        problems += self._changes.problems
        if problems:
            self._last = {}
            return Rendering((), tuple(problems))
        result = self._all(others, roots, same)
        if not result.problems:
            # An Environment stands for no document.
            nothing = _Made(None, None, (), (), (), None)
            self._sound = tuple(self._last.get(one, nothing).document for one in given)
        return result

    def _edited(self, layers: tuple[Layer, ...], given: list[Document]) -> Rendering | None:
        """The last result with some documents edited; None when that takes a look at all of them."""
        if not self._sound or layers != self._circumstances or len(given) != len(self._given):
            return None
        changed = [number for number, (old, new) in enumerate(zip(self._given, given, strict=True)) if old is not new]
        if len(changed) > len(given) // 10 + 1 or any(
            KIND in (self._given[number].value.get("kind"), given[number].value.get("kind")) for number in changed
        ):
            return None
        roots = tuple(layer.root for layer in layers)
        made: dict[Document, _Made] = {}
        size = self._size
        for number in changed:
            document, was = given[number], self._last[self._given[number]]
            one = made[document] = self._one(document, root_of(document.source.file, roots))
            size += one.size - was.size
            # A patch may fit nothing any more.
            if one.problems or one.document is None or set(was.changes) - set(one.changes) or size > LARGEST_ENVIRONMENT:
                return None
        sound = list(self._sound)
        # All of the old ones first: one that only stands elsewhere among the others is an old one and a new one.
        for number in changed:
            self._last.pop(self._given[number], None)
        for number in changed:
            document = given[number]
            self._last[document] = made[document]
            sound[number] = made[document].document
        self._given, self._sound, self._size = given, tuple(sound), size
        return Rendering(tuple(one for one in sound if one is not None))

    def _all(self, documents: list[Document], roots: tuple[str, ...], same: bool) -> Rendering:
        """`same`: the environments say what they said the last time."""
        rendered: list[Document] = []
        problems: list[Problem] = []
        lost: list[bytes] = []
        now: dict[Document, _Made] = {}
        fitting: set[Change] = set()
        size = 0
        for document in documents:
            made = self._last.get(document) if same else None
            made = now[document] = made or self._one(document, root_of(document.source.file, roots))
            fitting.update(made.changes)
            size += made.size
            if made.document is not None:
                rendered.append(made.document)
            elif made.problems:
                problems += made.problems
                lost.append(document.raw)
            if len(problems) >= MOST_PROBLEMS or size > LARGEST_ENVIRONMENT:
                break
        self._last, self._size = now, size
        if size > LARGEST_ENVIRONMENT:
            what = f"variables and patches make more than {LARGEST_ENVIRONMENT} characters of its documents"
            return Rendering((), (Problem(Where(roots[-1] + ENVIRONMENT), what, "split it into several environments"),))
        if not problems:
            problems += [_fits_nothing(one, now.values()) for one in self._changes.targeted if one not in fitting]
        return Rendering(tuple(rendered), tuple(problems), tuple(lost))

    def _one(self, document: Document, root: str) -> _Made:
        old = self._last.get(document)
        values = self._changes.values
        if old is not None and (old.problems or any(values.get(one.name) is not one for one in old.values)):
            old = None
        filled: tuple[Any, tuple[Value, ...]] | None = None
        if old is None:
            try:
                filled = self._filled(document)
            except Unfilled as error:
                problems = tuple(_problem(document, flaw) for flaw in error.flaws)
                return _Made(None, None, (), (), (), None, problems)
        kind, name = (old.kind, old.name) if old is not None else _named(filled[0] if filled else document.value)
        considered = self._changes.considered(root, kind, name, tenant_of(document.source.file, root)[0])
        if old is not None and old.considered == considered:
            return old
        value, used = filled or self._filled(document)
        if not considered and (value is document.value or value == document.value):
            return _Made(kind, name, used, (), (), document)
        return self._made(document, value, used, considered)

    def _filled(self, document: Document) -> tuple[Any, tuple[Value, ...]]:
        return fill(document.value, self._changes.values) if mentions(document) else (document.value, ())

    def _made(self, document: Document, value: Any, used: tuple[Value, ...], considered: tuple[Change, ...]) -> _Made:
        self.made += 1
        kind, name = _named(value)
        value = copied(value) if value is document.value else value
        changes: list[Change] = []
        size = 0
        change = None
        try:
            for change in considered:
                if not _labelled(value, change):
                    continue
                changes.append(change)
                if change.what == "delete":
                    return _Made(kind, name, used, considered, tuple(changes), None)
                value = _changed(value, change)
                if not isinstance(value, dict) or _named(value) != (kind, name):
                    raise Unfit("a patch cannot make another resource of it", "leave `kind` and `metadata.name` as they are")
            size = measure(value)
        except Unfit as error:
            at = locate(change.document, (*change.path, *error.at)) if change is not None else locate(document, ())
            what = f"does not fit {kind}/{name}, {locate(document, ())}: {error.what}"
            return _Made(kind, name, used, considered, tuple(changes), None, (Problem(at, what, error.hint),))
        trail = Rendered(document, used, tuple(changes))
        made = Document(document.source, value, document.raw, document.column, trail)
        return _Made(kind, name, used, considered, tuple(changes), made, (), size)


def _changed(value: Any, change: Change) -> Any:
    if change.what == "json":
        return operated(value, copied(change.content))
    for path in torn(value, change.content):
        what = f"one part of the sealed secret {'.'.join(map(str, path))} says nothing without the other"
        raise Unfit(what, "write both `age` and `hash`, as `convoy secret seal` prints them", "merge", *path)
    return merged(value, copied(change.content))


def _labelled(value: Mapping[str, Any], change: Change) -> bool:
    if change.target is None or not change.target.labels:
        return True
    metadata = value.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, dict) else None
    return isinstance(labels, dict) and all(labels.get(name) == text for name, text in change.target.labels.items())


def _named(value: Mapping[str, Any]) -> tuple[Any, Any]:
    metadata = value.get("metadata")
    return value.get("kind"), metadata.get("name") if isinstance(metadata, dict) else None


def _problem(document: Document, flaw: Flaw) -> Problem:
    return Problem(locate(document, flaw.path, key=flaw.key), flaw.what, flaw.hint, None, flaw.quiet)


def _stray(document: Document, root: str | None) -> Problem:
    if root is not None:
        return Problem(locate(document, ("kind",)), "a second Environment in this file", "put everything into one")
    hint = f"an Environment stands in {ENVIRONMENT}, at the top of its directory, which is named under `bases`"
    return Problem(locate(document, ("kind",)), "this Environment is none of this environment's bases", hint)


def _fits_nothing(change: Change, made: Iterable[_Made]) -> Problem:
    """A patch for what is not there: most likely a name that was changed in a base."""
    path = (*change.path, "target")
    target, there = change.target, [(one.kind, one.name) for one in made if isinstance(one.name, str)]
    hint = "remove the patch, or see what there is with `convoy render`"
    if target is not None and target.name is not None:
        names = {name for kind, name in there if target.kind in (None, kind)}
        hint = did_you_mean(target.name, names - {target.name}, hint)
        path = (*path, "name")
    elif target is not None and target.kind is not None:
        kinds = {str(kind) for kind, _ in there}
        if target.kind not in kinds:
            hint = did_you_mean(target.kind, kinds, f"there is {listing(sorted(kinds))}" if kinds else hint)
            path = (*path, "kind")
    said = " ".join(f"{name} {quoted(one)}" for name, one in _said(target))
    return Problem(locate(change.document, path), f"no document of the bases or of this directory has {said}", hint)


def _said(target: Any) -> Iterable[tuple[str, Any]]:
    for name in ("kind", "name", "tenant"):
        if getattr(target, name, None) is not None:
            yield name, getattr(target, name)
    for name, text in getattr(target, "labels", {}).items():
        yield f"label {name}", text
