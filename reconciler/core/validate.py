"""Documents ⇒ typed resources, or every Problem there is, each at its line and column."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from reconciler.core import across, waits
from reconciler.core.across import Pair
from reconciler.core.envelope import Checked, check, hinted, tenant_of
from reconciler.core.kinds import KINDS
from reconciler.core.kinds.spec import Spec
from reconciler.core.layers import root_of
from reconciler.core.model import Problem, Ref, Resource, Where
from reconciler.core.parse import Document, locate
from reconciler.core.ports import clashes

# More than this nobody reads; the rest is counted.
MOST_PROBLEMS = 1000
# A place costs reading a document again; past this many Problems, the document's first line must do.
MOST_PLACES = 2 * MOST_PROBLEMS


@dataclass(frozen=True, slots=True)
class Validated:
    """The sound resources and where each is written; `problems` in the order of files and lines.

    `whole`: every document is a resource, so whatever is not among them is really not declared.
    """

    resources: Mapping[Ref, Resource]
    problems: tuple[Problem, ...]
    documents: Mapping[Ref, Document]
    whole: bool


@dataclass(slots=True)
class Memo:
    """What the last call found out. A document that is the same object is not checked again."""

    checked: dict[Document, Checked] = field(default_factory=dict)
    given: list[Document] = field(default_factory=list)
    # What the last call was told besides documents, and what came of it; None when there were Problems.
    circumstances: tuple[object, ...] = ()
    sound: Validated | None = None
    names: across.Named = field(default_factory=lambda: across.Named({}))


def validate(
    documents: Iterable[Document],
    memo: Memo | None = None,
    *,
    root: str | tuple[str, ...] = "",
    unread: Iterable[bytes] = (),
    kinds: Mapping[str, type[Spec]] = KINDS,
) -> Validated:
    """Check every document by itself and all of them together.

    `root` is the fleet's directory, "" or ending in "/", or those of all layers of an environment; `unread` are texts of the
    fleet that could not be parsed or rendered.
    The order of the documents makes no difference. With the `memo` of the last call, the cost follows what changed.
    """
    memo = memo or Memo()
    given, unread = list(documents), tuple(unread)
    circumstances = (root, unread, kinds)
    edited = _edited(given, memo, root, kinds) if memo.sound and memo.circumstances == circumstances else None
    if edited is not None:
        memo.given, memo.sound = given, edited
    else:
        memo.sound = None
        memo.names, result = _whole(given, memo, root, unread, kinds)
        memo.given, memo.circumstances = given, circumstances
        memo.sound = result if result.whole and not result.problems else None
        edited = result
    if len(memo.checked) > 2 * len(given) + 1000:
        memo.checked = {document: memo.checked[document] for document in given}
    return edited


def _whole(
    given: list[Document], memo: Memo, root: str | tuple[str, ...], unread: tuple[bytes, ...], kinds: Mapping[str, type[Spec]]
) -> tuple[across.Named, Validated]:
    """Everything, from every document."""
    pairs = [(document, _checked(document, memo, root, kinds)) for document in sorted(given, key=_place)]
    nameless = [document.raw for document, checked in pairs if checked.ref is None]
    names, twice = across.named(pairs, [*unread, *nameless])
    places = _Places()
    problems = [one for _, checked in pairs for one in checked.problems]
    for document, flaw in _between(pairs, names, twice, places):
        ref = memo.checked[document].ref
        problems.append(Problem(places(document, flaw.path, flaw.key), flaw.what, hinted(document, flaw), ref))
    later = {document for (document, _), _ in twice}
    sound = [
        (checked.resource, document) for document, checked in pairs if checked.resource is not None and document not in later
    ]
    resources = {resource.ref: resource for resource, _ in sound}
    sources = dict(zip(resources, [document for _, document in sound], strict=True))
    return names, Validated(resources, ordered_problems(problems), sources, len(sound) == len(pairs))


def _edited(
    given: list[Document], memo: Memo, root: str | tuple[str, ...], kinds: Mapping[str, type[Spec]]
) -> Validated | None:
    """The last result with some documents edited; None when that takes a look at all of them."""
    before = memo.sound
    if before is None or len(given) != len(memo.given):
        return None
    changed = [(old, new) for old, new in zip(memo.given, given, strict=True) if old is not new]
    if len(changed) > len(given) // 10 + 1:
        return None
    resources, documents = dict(before.resources), dict(before.documents)
    for old, new in changed:
        was, now = memo.checked[old], _checked(new, memo, root, kinds)
        # Same thing in the same place of the same file, with nothing about it that others could clash with.
        alike = was.ref == now.ref and was.uid == now.uid and old.source.file == new.source.file
        if now.resource is None or not alike or not across.unaffected(was, now, memo.names):
            return None
        resources[now.resource.ref] = now.resource
        documents[now.resource.ref] = new
    return Validated(resources, (), documents, True)


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


def _checked(document: Document, memo: Memo, root: str | tuple[str, ...], kinds: Mapping[str, type[Spec]]) -> Checked:
    found = memo.checked.get(document)
    if found is None:
        tenant, misplaced = tenant_of(document.source.file, root_of(document.source.file, root))
        found = Checked(None, None, (misplaced,)) if misplaced else check(document, tenant, kinds)
        memo.checked[document] = found
    return found


def _place(document: Document) -> tuple[str, int]:
    return document.source.file, document.source.start
