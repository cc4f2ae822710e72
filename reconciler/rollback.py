"""Puts one resource's document back to what it was: finds what that is, and says it as a commit on the branch."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from reconciler.core.envelope import digest_of
from reconciler.core.layers import root_of
from reconciler.core.model import Ref
from reconciler.core.splice import NotSpliced, Written, broken, spliced, written
from reconciler.core.told import HOLD, RELEASE, ROLLBACK, about
from reconciler.git import Commit, Past, Signature, Source, Tree
from reconciler.rollback_layers import Back, Layers, Released, RollbackError

# Files read at a time, so that a huge repository is never in memory as a whole.
BATCH = 500
# What a commit's first line shows of a reason; the whole of it stands below.
LONGEST_TITLE = 72
LOOK = "look at what it is now, and roll back again if that is still meant"


class Rollback:
    """Finds what one document was. Methods may raise SourceError and RollbackError."""

    def __init__(self, source: Source, past: Past, ref: Ref, held: Iterable[str], now_s: float) -> None:
        """`held`: subjects of the holds that are known beside the branch's own trailers. Keys are judged at `now_s`."""
        self._source, self._past, self._ref, self._now_s = source, past, ref, now_s
        self._layers = Layers(source, past, ref)
        # Whether the fleet is an environment with bases, whose past is not looked through for what is gone.
        self._shares = False
        self._held = [digest for printed, digest in map(about, held) if printed == str(ref)]

    def find(self, to: str = "") -> Back:
        """Back to what it was before it became what it is, leaving out what is held; or to what it was in the commit `to`."""
        tree = self._tip()
        self._shares = len(tree.layers) > 1
        composed = self._layers.composed(tree)
        if composed is not None:
            return self._layers.find(tree, composed, set(self._held), to)
        tip, files, root = tree.revision, own(tree), tree.root
        now = self._one(files, root, "at the tip of the branch")
        since, old, was, held = self._named(tip, root, now, to) if to else self._before(tip, root, now)
        return self._back(tip, files, now, since, old, was, tuple(held))

    def again(self, back: Back) -> Back:
        """The same on the branch as it is now, provided that the document itself is what it was."""
        tree = self._tip()
        composed = self._layers.composed(tree)
        if composed is not None and back.composed is not None and back.now is not None:
            if digest_of(composed.value) != back.now.digest:
                raise RollbackError(f"{self._ref} was changed meanwhile: {LOOK}")
            return self._layers.written(tree, composed, back.composed, back.since, back.was, back.held)
        tip, files, root = tree.revision, own(tree), tree.root
        now = self._one(files, root, "at the tip of the branch")
        was = back.now if back.now is not None and back.now.digest else None
        # The line breaks around it are those of where it stands.
        if (now.raw.strip() if now else None) != (was.raw.strip() if was else None):
            raise RollbackError(self._changed_by(back.tip, tip, root))
        return self._back(tip, files, now, back.since, back.old, back.was, back.held)

    def _tip(self) -> Tree:
        tip = self._source.fetch()
        problem = self._source.signature(tip, self._now_s, "").problem
        if problem is not None:
            raise RollbackError(f"the tip of the branch, {tip[:12]}, is not read: {problem.what}; {problem.hint}")
        return self._source.tree(tip)

    def _back(
        self,
        tip: str,
        files: Mapping[str, str],
        now: Written | None,
        since: Commit,
        old: Written,
        was: Commit,
        held: tuple[str, ...],
    ) -> Back:
        path = now.file if now is not None else old.file
        before = self._source.read([files[path]])[files[path]] if path in files else b""
        try:
            if now is None and path in files:
                now = broken(path, files[path], before, self._ref)
            text = spliced(before, now, old, self._ref)
        except NotSpliced as error:
            raise RollbackError(str(error)) from error
        return Back(self._ref, tip, now, since, old, was, path, before, text, held)

    def _before(self, tip: str, root: str, now: Written | None) -> tuple[Commit, Written, Commit, list[str]]:
        digest = now.digest if now is not None else ""
        held, released = set(self._held), Released()
        since: Commit | None = None
        for commit, parent, before, changed in self._versions(tip, root, now):
            held |= released.holds(commit, self._ref)
            if not changed:
                continue
            if since is None and (before.digest if before is not None else "") != digest:
                since = commit
            if since is not None and before is not None and before.digest != digest and before.digest not in held:
                return since, before, self._source.info(parent), []
        if now is None and since is None:
            if self._shares:
                hint = "what a base declared is brought back in the base, or copied from it"
                raise RollbackError(f"no commit of the branch has declared {self._ref} in {root.rstrip('/')} itself: {hint}")
            raise RollbackError(f"no commit of the branch has ever declared {self._ref}: see that its kind and name are right")
        where = f"{now.file}:{now.line}: " if now is not None else ""
        but = " but what is held" if held else ""
        raise RollbackError(f"{where}{self._ref} was nothing else before{but}: name a commit with --to, or change the document")

    def _named(self, tip: str, root: str, now: Written | None, to: str) -> tuple[Commit, Written, Commit, list[str]]:
        was, files = self._past.named(tip, to)
        old = self._one(files, root, f"in {was.revision[:12]}")
        if old is None:
            raise RollbackError(
                f"{was.revision[:12]} does not declare {self._ref}: name a commit that does; to remove it, remove its document"
            )
        digest = now.digest if now is not None else ""
        if old.digest == digest:
            raise RollbackError(f"{self._ref} is what it was in {was.revision[:12]} already")
        held, released = set(self._held), Released()
        since: Commit | None = None
        for commit, _, before, changed in self._versions(tip, root, now):
            held |= released.holds(commit, self._ref)
            if changed and since is None and (before.digest if before is not None else "") != digest:
                since = commit
        # A commit that led to the tip declared something else, so one in between has changed it; or a merge left it out.
        return since or self._source.info(tip), old, was, [old.digest] if old.digest in held else []

    def _versions(self, tip: str, root: str, now: Written | None) -> Iterator[tuple[Commit, str, Written | None, bool]]:
        """Each commit, the revision it was made on, what the document was in that one, and whether that may differ."""
        here = now
        for step in self._past.steps(tip):
            if not step.before or (here is not None and step.same(here.file)):
                yield step.commit, step.before, None if not step.before else here, not step.before and here is not None
                continue
            files = {path: blob for path, (blob, _) in step.changed().items() if blob is not None}
            found = self._written(files, root)
            before = next((one for one in found if here is not None and one.file == here.file), next(iter(found), None))
            yield step.commit, step.before, before, here is not None or before is not None
            here = before

    def _one(self, files: Mapping[str, str], root: str, where: str) -> Written | None:
        found = self._written(files, root)
        if len(found) > 1:
            places = ", ".join(f"{one.file}:{one.line}" for one in found)
            raise RollbackError(f"{self._ref} is declared more than once {where} ({places}): leave one of them first")
        return found[0] if found else None

    def _written(self, files: Mapping[str, str], root: str) -> list[Written]:
        found: list[Written] = []
        paths = iter(files.items())
        while batch := dict(islice(paths, BATCH)):
            found += written(batch, self._source.read(set(batch.values())), self._ref, root)
        return found

    def _changed_by(self, old: str, tip: str, root: str) -> str:
        """Words about who was quicker."""
        hint = LOOK
        now = self._one(own(self._tip()), root, "at the tip of the branch")
        for commit, parent, _, changed in self._versions(tip, root, now):
            if changed:
                return (
                    f"{self._ref} was changed meanwhile, by {commit.revision[:12]} ({commit.subject[:100]}, {commit.author}): "
                    f"{hint}"
                )
            if parent == old:
                break
        return f"{self._ref} was changed meanwhile, or the branch was rewritten: {hint}"


class At:
    """A Source that stays at one revision of another: one that is only in the mirror, and on no branch yet."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.revision = ""

    def fetch(self) -> str:
        return self.revision

    def signature(self, revision: str, at: float, after: str) -> Signature:
        return self.source.signature(revision, at, after)

    def tree(self, revision: str) -> Tree:
        return self.source.tree(revision)

    def past(self, revision: str, commit: str) -> Tree:
        return self.source.past(revision, commit)

    def read(self, blob_ids: Iterable[str]) -> Mapping[str, bytes]:
        return self.source.read(blob_ids)

    def info(self, revision: str) -> Commit:
        return self.source.info(revision)

    def commits(self, old: str, new: str) -> tuple[Commit, ...]:
        return self.source.commits(old, new)

    def makers(self, old: str, new: str, files: Iterable[str]) -> Mapping[str, Commit]:
        return self.source.makers(old, new, files)

    def changed(self, timeout_s: float | None) -> bool:
        return self.source.changed(timeout_s)

    def hint(self) -> None:
        self.source.hint()

    def close(self) -> None:
        self.source.close()


def own(tree: Tree) -> Mapping[str, str]:
    """The files of the fleet's own directory: what only this fleet has, and a rollback may change."""
    if not tree.layers:
        return tree.files
    roots = tree.roots
    return {path: blob for path, blob in tree.files.items() if root_of(path, roots) == tree.root}


def message(back: Back, reason: str) -> str:
    """What the commit says: why, what came back and what went, and the trailers that Convoy reads."""
    said = plain(reason)
    title = f"Roll back {back.ref}" + (f": {said}" if said else f" to what it was in {back.was.revision[:12]}")
    paragraphs = [title if len(title) <= LONGEST_TITLE else title[: LONGEST_TITLE - 1] + "…"]
    if paragraphs[0] != title and said:
        paragraphs.append(said)
    paragraphs.append(
        f"It is again what it was in {_named(back.was)}.\n"
        f"What {_named(back.since)}, by {plain(back.since.author)}, made of it does not count."
    )
    lines = [f"{RELEASE}: {back.ref}@{digest}" for digest in back.held]
    lines.append(f"{ROLLBACK}: {back.ref} {back.since.revision}")
    lines += [f"{HOLD}: {back.ref}@{back.hold}"] if back.hold else []
    return "\n\n".join([*paragraphs, "\n".join(lines)]) + "\n"


def _named(commit: Commit) -> str:
    return f"{commit.revision[:12]} ({plain(commit.subject)[:LONGEST_TITLE]})"


def plain(text: str) -> str:
    """One line without anything that cannot be seen."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
