"""Documents ⇒ typed resources, or every Problem there is, each at its line and column."""

from bisect import bisect_left
from collections.abc import ItemsView, Iterable, Iterator, Mapping, Sequence, ValuesView
from dataclasses import dataclass, field
from operator import attrgetter

from reconciler.core import across, waits
from reconciler.core.across import Pair
from reconciler.core.edition import Edition, differing
from reconciler.core.envelope import Checked, Key, check, hinted, tenant_of
from reconciler.core.kinds import KINDS
from reconciler.core.kinds.spec import Spec
from reconciler.core.laid import whole
from reconciler.core.layers import root_of
from reconciler.core.model import Problem, Ref, Resource, Where
from reconciler.core.parse import Document, locate
from reconciler.core.ports import clashes

# More than this nobody reads; the rest is counted.
MOST_PROBLEMS = 1000
# A place costs reading a document again; past this many Problems, the document's first line must do.
MOST_PLACES = 2 * MOST_PROBLEMS
# Of so many edits, or one in ten documents, it is found out one by one what they concern; of more, all are looked at.
FEW = 16

# Path ⇒ the documents of that file.
ByFile = Mapping[str, Sequence[Document]]
_place, _start = attrgetter("source.file", "source.start"), attrgetter("source.start")


@dataclass(frozen=True, slots=True)
class Validated:
    """The sound resources and where each is written; `problems` in the order of files and lines.

    `whole`: every document is a resource, so whatever is not among them is really not declared.
    """

    resources: Edition[Ref, Resource]
    problems: tuple[Problem, ...]
    documents: "Documents"
    whole: bool


class Documents(Mapping[Ref, Document]):
    """What each resource is made from: found in its file where that is asked for, so that keeping it costs nothing."""

    __slots__ = ("_by_file", "_every", "_resources")

    def __init__(self, resources: Mapping[Ref, Resource], by_file: ByFile) -> None:
        self._resources, self._by_file = resources, by_file
        self._every: dict[Ref, Document] | None = None

    def __getitem__(self, ref: Ref) -> Document:
        source = self._resources[ref].source
        documents = self._by_file[source.file]
        return documents[bisect_left(documents, source.start, key=_start)]

    def __iter__(self) -> Iterator[Ref]:
        return iter(self._resources)

    def __len__(self) -> int:
        return len(self._resources)

    def values(self) -> ValuesView[Document]:
        return self._whole().values()

    def items(self) -> ItemsView[Ref, Document]:
        return self._whole().items()

    def _whole(self) -> dict[Ref, Document]:
        if self._every is None:
            self._every = {ref: self[ref] for ref in self}
        return self._every


@dataclass(slots=True)
class Memo:
    """What the last call found out."""

    given: ByFile = field(default_factory=dict)
    # What the last call was told besides documents, and what came of it; None when there were Problems.
    circumstances: tuple[object, ...] = ()
    sound: Validated | None = None
    names: across.Named = field(default_factory=lambda: across.Named({}))


def validate(
    documents: Iterable[Document] | ByFile,
    memo: Memo | None = None,
    *,
    root: str | tuple[str, ...] = "",
    unread: Iterable[bytes] = (),
    kinds: Mapping[str, type[Spec]] = KINDS,
) -> Validated:
    """Check every document by itself and all of them together.

    `root` is the fleet's directory, "" or ending in "/", or those of all layers of an environment; `unread` are texts of the
    fleet that could not be parsed or rendered.
    The order of the documents makes no difference. With the `memo` of the last call, the cost follows what changed; and
    with files that know in what they differ, what is as it was is not even looked at.
    """
    memo = memo or Memo()
    given, unread = documents if isinstance(documents, Mapping) else by_file(documents), tuple(unread)
    circumstances = (root, unread, kinds)
    result = _edited(given, memo, root, kinds) if memo.sound and memo.circumstances == circumstances else None
    if result is None:
        memo.sound = None
        memo.names, result = _whole(given, root, unread, kinds)
        memo.circumstances = circumstances
    memo.given, memo.sound = given, result if result.whole and not result.problems else None
    return result


def by_file(documents: Iterable[Document]) -> ByFile:
    """In each file in the order of their lines."""
    found: dict[str, list[Document]] = {}
    for document in documents:
        found.setdefault(document.source.file, []).append(document)
    return {file: sorted(some, key=_start) for file, some in found.items()}


def _whole(
    given: ByFile, root: str | tuple[str, ...], unread: tuple[bytes, ...], kinds: Mapping[str, type[Spec]]
) -> tuple[across.Named, Validated]:
    """Everything, from every document."""
    every = sorted((document for some in whole(given).values() for document in some), key=_place)
    pairs = [(document, _checked(document, root, kinds)) for document in every]
    nameless = [document.raw for document, checked in pairs if checked.ref is None]
    names, twice = across.named(pairs, [*unread, *nameless])
    places = _Places()
    problems = [one for _, checked in pairs for one in checked.problems]
    for document, flaw in _between(pairs, names, twice, places):
        ref = _checked(document, root, kinds).ref
        problems.append(Problem(places(document, flaw.path, flaw.key), flaw.what, hinted(document, flaw), ref))
    later = {document for (document, _), _ in twice}
    sound = [
        (checked.resource, document) for document, checked in pairs if checked.resource is not None and document not in later
    ]
    resources = Edition((resource.ref, resource) for resource, _ in sound)
    documents = Documents(resources, given)
    return names, Validated(resources, ordered_problems(problems), documents, len(sound) == len(pairs))


def _edited(given: ByFile, memo: Memo, root: str | tuple[str, ...], kinds: Mapping[str, type[Spec]]) -> Validated | None:
    """The last result with some documents edited, gone or new; None when that takes a look at all of them."""
    before = memo.sound
    if before is None:
        return None
    gone: dict[Key, Pair] = {}
    come: dict[Key, Pair] = {}
    for path in differing(memo.given, given):
        old, new = memo.given.get(path, ()), given.get(path, ())
        kept = set(old).intersection(new)
        gone.update(_pairs([one for one in old if one not in kept], root, kinds))
        fresh = [one for one in new if one not in kept]
        pairs = _pairs(fresh, root, kinds)
        if len(pairs) < len(fresh) or not come.keys().isdisjoint(pairs):
            return None
        come.update(pairs)
    if max(len(gone), len(come)) > FEW + len(before.resources) // 10 or not memo.names.unaffected(gone, come):
        return None
    memo.names.became(gone, come)
    vanished = tuple(Ref(kind, name, tenant) for kind, tenant, name in gone.keys() - come.keys())
    edited = {checked.resource.ref: checked.resource for _, checked in come.values() if checked.resource is not None}
    if _order(gone) == _order(come):
        resources = before.resources.edited({**edited})
    else:
        # Something has come, gone or moved: each goes to its place in the order of files and lines.
        left = dict(before.resources)
        for ref in (*vanished, *edited):
            left.pop(ref, None)
        items = list(left.items())
        for ref, resource in edited.items():
            place = (resource.source.file, resource.source.start)
            items.insert(bisect_left(items, place, key=_place_of), (ref, resource))
        resources = before.resources.reordered(items, {*vanished, *edited})
    return Validated(resources, (), Documents(resources, given), True)


def _pairs(documents: list[Document], root: str | tuple[str, ...], kinds: Mapping[str, type[Spec]]) -> dict[Key, Pair]:
    """Of those that are sound by themselves, in the order of their lines; of two of one name the last."""
    pairs = ((one, _checked(one, root, kinds)) for one in sorted(documents, key=_place))
    refs = ((checked.resource.ref, (one, checked)) for one, checked in pairs if checked.resource is not None)
    return {(ref.kind, ref.tenant, ref.name): pair for ref, pair in refs}


def _place_of(item: tuple[Ref, Resource]) -> tuple[str, int]:
    return item[1].source.file, item[1].source.start


def _order(pairs: Mapping[Key, Pair]) -> list[tuple[Key, str]]:
    return sorted(((key, document.source.file) for key, (document, _) in pairs.items()), key=lambda one: one[1])


def ordered_problems(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """By place, each once, and not more than anybody reads."""
    unique = sorted(set(problems), key=lambda one: (one.where, one.what, one.hint))
    if len(unique) <= MOST_PROBLEMS:
        return tuple(unique)
    shown = unique[:MOST_PROBLEMS]
    more = f"{len(unique) - MOST_PROBLEMS} more Problems are not shown"
    return (*shown, Problem(shown[-1].where, more, "mend these first"))


class _Places:
    """Looks up places for messages, until there are too many of them."""

    def __init__(self) -> None:
        self._left = MOST_PLACES

    def __call__(self, document: Document, path: tuple[str | int, ...], key: bool = False) -> Where:
        self._left -= 1
        return locate(document, path if self._left > 0 else (), key=key)


def _between(
    pairs: list[Pair], names: across.Named, twice: list[tuple[Pair, Pair]], places: across.Locate
) -> Iterator[across.Found]:
    yield from across.taken_twice(twice, places)
    yield from across.same_uid(pairs, places)
    yield from across.settings(pairs, places)
    yield from across.hosts(pairs, places)
    yield from across.dangling(pairs, names)
    yield from across.cycles(pairs, names)
    yield from waits.missing(pairs, names)
    yield from waits.in_circles(pairs)
    yield from clashes(pairs, places)


def _checked(document: Document, root: str | tuple[str, ...], kinds: Mapping[str, type[Spec]]) -> Checked:
    """What a document says by itself; one that is the same object is not checked again, whoever has it."""
    tenant, misplaced = tenant_of(document.source.file, root_of(document.source.file, root))
    if misplaced:
        return Checked(None, None, (misplaced,))
    key = tenant, id(kinds)
    found = document.found.get(key)
    if found is None:
        # The kinds are kept as well: as long as they are, nothing else can have their identity.
        found = document.found[key] = check(document, tenant, kinds), kinds
    checked: Checked = found[0]
    return checked
