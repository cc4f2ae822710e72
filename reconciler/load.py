"""Loads a revision: reads the files it does not know yet, checks everything, and compiles it into a FleetState."""

import contextlib
import gc
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from reconciler.core.compile import Compiler
from reconciler.core.compiling import Locate, problem_of
from reconciler.core.edition import Edition, differing
from reconciler.core.laid import Laid
from reconciler.core.layers import ENVIRONMENT as ENVIRONMENT_FILE
from reconciler.core.layers import among, declared, root_of
from reconciler.core.model import FleetState, Problem, Ref, Where
from reconciler.core.parse import Document, Parsed, locate, parse
from reconciler.core.pinned import Then, then
from reconciler.core.render import Renderer
from reconciler.core.validate import Memo, Validated, by_file, ordered_problems, validate
from reconciler.files import File, Parses, Written, placed
from reconciler.git import Tree
from reconciler.pack import Pack, Records
from reconciler.pins import Past, Pins
from reconciler.seams import Seams

Read = Callable[[Iterable[str]], Mapping[str, bytes]]

DOCUMENT_ENDINGS = (".yaml", ".yml")
# Read and parsed at a time, so that a huge repository is never in memory as a whole.
BATCH = 500
# All documents of a fleet together: fifty times the largest fleet in our budgets.
LARGEST_FLEET = 256 * 1024 * 1024
# Of the environments that somebody may have meant.
MOST_NAMED = 8
# From how many new files on a load is a whole fleet's first.
MANY_FILES = 1000
# The pack on disk is written again as a whole when more than one in so many files is not in it yet.
UNSAVED_SHARE = 20


@dataclass(frozen=True, slots=True)
class Loaded:
    """A revision's fleet, or what is wrong with it: never both. `parsed` counts the files that had to be parsed for it.

    `documents` hold what each resource of the fleet was made from.
    """

    fleet: FleetState | None
    problems: tuple[Problem, ...]
    parsed: int = 0
    documents: Mapping[Ref, Document] = field(default_factory=dict)


class Loader:
    """Remembers what files say by blob id: in memory, and below `cache_dir` if there is one. Not thread-safe.

    What it remembers saves work and never changes the answer.
    """

    def __init__(self, cache_dir: Path | None, seams: Seams, parses: Parses | None = None) -> None:
        self._seams = seams
        self._pack = Pack(cache_dir, seams) if cache_dir is not None else None
        self._packed: Records | None = None
        self._parses = parses or Parses()
        self._unsaved = 0
        self._anew()

    def _anew(self) -> None:
        """Forget all but what files say."""
        # The files of the last revision, what they say, which of them have something wrong with them, and their size in bytes.
        self._tree = Tree("", {})
        self._files: dict[str, File] = {}
        self._documents: Laid[str, tuple[Document, ...]] = Laid(Edition(), {})
        self._faulty: dict[str, File] = {}
        self._size = 0
        self._memo = Memo()
        self._compiler = Compiler()
        self._renderer = Renderer()
        self._pins = Pins(self._then)
        self._earlier: Loader | None = None

    def load(self, tree: Tree, read: Read, past: Past | None = None) -> Loaded:
        """Load this revision; `read` is asked only for blobs not seen before, and `past` for the commits that Proxies name.

        Raises what these two raise, and nothing else.
        """
        try:
            with _undisturbed(len(tree.files) - len(self._files) > MANY_FILES):
                return self._load(tree, read, past)
        except BaseException:
            # What is remembered may be half of this revision and half of the one before.
            self._anew()
            raise

    def know(self, blob: str, parsed: Parsed, size: int) -> None:
        """What a file of so many bytes says, from whoever has parsed it already."""
        self._parses.blobs.setdefault(blob, File(blob, parsed, size))
        # Not all that is asked about comes to be loaded.
        self._forget(self._files)

    def render(self, tree: Tree, read: Read) -> Written:
        """The documents of this revision as they are after bases, variables and patches; raises what `read` raises."""
        parsed, found = self._read_all(tree, read)
        if found is not None:
            return Written((), {}, [*tree.problems, found], [], parsed, whole=False)
        faulty = [self._faulty[path].parsed for path in sorted(self._faulty)]
        problems = [*tree.problems, *(problem for one in faulty for problem in one.problems)]
        unread = [text for one in faulty for text in one.unread]
        if not tree.layers:
            return Written(tree.files, self._documents, problems, unread, parsed, whole=not problems)
        if any(problem.where.file == environment_of(layer.root) for problem in problems for layer in tree.layers):
            # What nobody can read, or what is not there, says too little about all the rest.
            return Written((), {}, problems, unread, parsed, whole=False, ended=True)
        written = Written(tree.files, self._documents, problems, unread, parsed, whole=not problems)
        rendering = self._renderer.render(tree.layers, written.documents)
        return replace(
            written,
            by_file=by_file(rendering.documents),
            problems=[*problems, *rendering.problems],
            unread=[*unread, *rendering.lost],
            whole=written.whole and not rendering.problems,
            ended=bool(rendering.problems) and not rendering.lost,
        )

    @property
    def rendered(self) -> int:
        """How many documents have been made out of several layers, each time that one was."""
        return self._renderer.made

    def _then(self, tree: Tree, past: Past) -> Then:
        """What a commit of before declares. What its files say is known already, as far as they are the same today."""
        if self._earlier is None:
            self._earlier = Loader(None, self._seams, self._parses)
        written = self._earlier.render(tree, past.read)
        return then(written.documents, tree.roots, ordered_problems(written.problems))

    def _load(self, tree: Tree, read: Read, past: Past | None) -> Loaded:
        written = self.render(tree, read)
        problems, parsed = written.problems, written.parsed
        if written.ended:
            return Loaded(None, ordered_problems(problems), parsed)
        validated = validate(written.by_file, self._memo, root=tree.roots, unread=written.unread)
        problems += validated.problems
        if problems and not tree.layers:
            problems = misplaced(written.documents) or problems
        if problems and not (validated.whole and written.whole):
            return Loaded(None, ordered_problems(problems), parsed)
        pinned = self._pins.pinned(tree, validated.resources, past)
        locate = _locator(validated)
        problems += [problem_of(locate, ref, fault) for ref, fault in pinned.faults]
        compiled = self._compiler.compile(tree.revision, validated.resources, locate, pinned.configurations)
        known = {problem.where for problem in problems}
        problems += [problem for problem in compiled.problems if problem.where not in known]
        if problems or compiled.fleet is None:
            return Loaded(None, ordered_problems(problems), parsed)
        return Loaded(compiled.fleet, (), parsed, validated.documents)

    def _read_all(self, tree: Tree, read: Read) -> tuple[int, Problem | None]:
        """Know what every document file of the tree says; how many were parsed for it, and what is wrong with their number."""
        changes: dict[str, File | None] = {}
        unknown: dict[str, list[str]] = {}
        known, roots, size, count = self._files, tree.roots, self._size, 0
        same = self._tree.roots == roots
        for path in differing(self._tree.files, tree.files) if same else known.keys() | tree.files.keys():
            blob, file = tree.files.get(path), known.get(path)
            if file is not None and file.blob != blob:
                changes[path] = None
                size -= file.size
            if blob is not None and (file is None or file.blob != blob) and is_document(path, root_of(path, roots)):
                unknown.setdefault(blob, []).append(path)
        for blobs in _batches(list(unknown)):
            found, parsed = self._read(blobs, unknown, read)
            count += parsed
            for blob in blobs:
                for path in unknown[blob]:
                    changes[path] = placed(found[blob], path)
                    size += found[blob].size
            if size > LARGEST_FLEET:
                what = f"the fleet's documents are more than {LARGEST_FLEET} bytes together"
                return count, Problem(Where(tree.root or "."), what, "split it into several fleets")
        self._become(tree, changes, size)
        if unknown:
            self._remember(unknown, count)
        return count, None

    def _become(self, tree: Tree, changes: Mapping[str, File | None], size: int) -> None:
        documents: dict[str, tuple[Document, ...] | None] = {}
        for path, file in changes.items():
            self._files.pop(path, None)
            self._faulty.pop(path, None)
            documents[path] = file.parsed.documents if file is not None else None
            if file is not None:
                self._files[path] = file
            if file is not None and file.parsed.problems:
                self._faulty[path] = file
        self._tree, self._size = tree, size
        if documents:
            self._documents = self._documents.changed(documents)

    def _read(self, blobs: list[str], paths: Mapping[str, list[str]], read: Read) -> tuple[dict[str, File], int]:
        """These blobs, each as the file of some path, and how many of them had to be parsed."""
        known = self._parses.blobs
        found = {blob: known[blob] for blob in blobs if blob in known}
        missing = [blob for blob in blobs if blob not in found]
        if missing and self._packed is None:
            self._packed = self._pack.open() if self._pack else Records(b"")
        for blob in missing:
            documents = self._packed.documents(blob, paths[blob][0]) if self._packed else None
            if documents is not None:
                found[blob] = File(blob, Parsed(documents), sum(len(one.raw) for one in documents))
        missing = [blob for blob in missing if blob not in found]
        if missing:
            for blob, text in read(missing).items():
                found[blob] = File(blob, parse(paths[blob][0], blob, text), len(text))
        return found, len(missing)

    def _remember(self, new: Mapping[str, list[str]], parsed: int) -> None:
        files = self._files
        self._packed = Records(b"")
        self._parses.blobs.update((blob, files[paths[0]]) for blob, paths in new.items())
        self._forget(files)
        self._unsaved += parsed
        if self._pack is not None and self._unsaved > len(files) // UNSAVED_SHARE:
            self._pack.save({file.blob: file.parsed.documents for file in files.values() if not file.parsed.problems})
            self._unsaved = 0

    def _forget(self, files: Mapping[str, File]) -> None:
        """All but these, when there is much else."""
        if len(self._parses.blobs) > 2 * len(files) + 1000:
            # Another mapping, not this one emptied: somebody may be looking into it.
            self._parses.blobs = {file.blob: file for file in files.values()}


def environment_of(root: str) -> str:
    return root + ENVIRONMENT_FILE


def misplaced(documents: list[Document]) -> list[Problem]:
    """Where environments were read as if they were one fleet: everything else that is wrong follows from that."""
    # In their order: that in which a tree lists its files tells of those before it.
    found = sorted(declared(documents), key=lambda one: (one.source.file, one.source.start))
    if not found:
        return []
    files = {one.source.file: one.raw for one in found}
    named = ", ".join(root.rstrip("/") for root in among(files)[:MOST_NAMED]) or "the directory that it is in"
    what = "this directory holds environments, and is none itself"
    return [Problem(locate(found[0], ("kind",)), what, f"name one of them instead: {named}")]


def is_document(path: str, root: str) -> bool:
    """Whether a path of the tree holds documents: the right ending, and nothing hidden below the fleet's directory."""
    below = path[len(root) :]
    return below.endswith(DOCUMENT_ENDINGS) and not below.startswith(".") and "/." not in below


@contextlib.contextmanager
def _undisturbed(many: bool) -> Iterator[None]:
    """While a whole fleet is being read, Python's collector would look again and again at a million objects that stay.

    Afterwards it is told to leave them out for good, or each of its rounds would delay some later commit by 0.2 s. They have
    no cycles, so they are freed by their reference counts all the same.
    """
    if not many or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def _batches(blobs: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(blobs), BATCH):
        yield blobs[start : start + BATCH]


def _locator(validated: Validated) -> Locate:
    def where(ref: Ref, path: tuple[str | int, ...], *, key: bool = False) -> Where:
        document = validated.documents.get(ref)
        return locate(document, path, key=key) if document is not None else Where(".")

    return where
