"""Puts back what several layers say of a resource: as a patch in the environment's own layer, never in a base."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from reconciler.core.as_yaml import as_yaml
from reconciler.core.envelope import check, digest_of, ref_of, tenant_of
from reconciler.core.kinds import KINDS
from reconciler.core.layers import ENVIRONMENT, root_of
from reconciler.core.model import DEFAULT_TENANT, Ref
from reconciler.core.own_layer import NotWritten, patch_between, with_patch
from reconciler.core.parse import Document
from reconciler.core.splice import Written
from reconciler.core.told import HOLD, RELEASE
from reconciler.core.trailers import LONGEST_MESSAGE, trailers
from reconciler.git import Commit, Past, Source, Tree
from reconciler.load import Loader
from reconciler.seams import Seams


class RollbackError(Exception):
    """There is nothing to put back, or it cannot be done by itself; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Back:
    """One rollback, on one tip.

    `now` is the document as it stands at the tip (None: it does not), `old` what is to stand in its place, as it did in the
    commit `was`; `since` is the commit that made it what it is now. `path` gets `text`, and had `before` ("" for no file).
    """

    ref: Ref
    tip: str
    now: Written | None
    since: Commit
    old: Written
    was: Commit
    path: str
    before: bytes
    text: bytes
    held: tuple[str, ...] = ()
    # Of a resource that several layers of an environment make: what it is to be again.
    composed: Document | None = None

    @property
    def hold(self) -> str:
        """The digest of what is rolled back from; empty where that cannot come back, for it cannot be read."""
        return self.now.digest if self.now is not None else ""


class Layers:
    """What one resource was in each revision, rendered. Methods may raise SourceError and RollbackError."""

    def __init__(self, source: Source, past: Past, ref: Ref) -> None:
        self._source, self._past, self._ref = source, past, ref
        self._loader = Loader(None, Seams())
        self._last: tuple[Tree, Document | None] | None = None

    def composed(self, tree: Tree) -> Document | None:
        """The resource's document, where it is not just a document in the environment's own directory."""
        found = self._rendered(tree) if tree.layers else None
        own = found is not None and found.trail is None and root_of(found.source.file, tree.roots) == tree.root
        return None if own else found

    def find(self, tree: Tree, now: Document, held: set[str], to: str) -> Back:
        """Back to what it was in `to`, or before it became what it is now, leaving out what is held."""
        digest, released = digest_of(now.value), Released()
        since: Commit | None = None
        target = self._past.named(tree.revision, to)[0] if to else None
        for commit, parent, document in self._versions(tree):
            held |= released.holds(commit, self._ref)
            before = digest_of(document.value) if document is not None else ""
            if since is None and before != digest:
                since = commit
            if target is not None or (document is not None and check(document, self._ref.tenant, KINDS).problems):
                # What has Problems was never in force.
                continue
            if since is not None and document is not None and before != digest and before not in held:
                return self.written(tree, now, document, since, self._source.info(parent), ())
        if target is None:
            but = " but what is held" if held else ""
            raise RollbackError(f"{now.source.file}:{now.source.line}: {self._ref} was nothing else before{but}")
        old = self._rendered(self._source.tree(target.revision)) if self._there(target.revision, tree.root) else None
        if old is None:
            raise RollbackError(f"{target.revision[:12]} does not declare {self._ref}: name a commit that does")
        if digest_of(old.value) == digest:
            raise RollbackError(f"{self._ref} is what it was in {target.revision[:12]} already")
        again = (digest_of(old.value),) if digest_of(old.value) in held else ()
        return self.written(tree, now, old, since or self._source.info(tree.revision), target, again)

    def written(self, tree: Tree, now: Document, old: Document, since: Commit, was: Commit, held: tuple[str, ...]) -> Back:
        """The environment.yaml with a patch that makes `old` of what the resource is; it is rendered, and must be just that."""
        path = tree.root + ENVIRONMENT
        before = self._source.read([tree.files[path]])[tree.files[path]]
        target = {"kind": self._ref.kind, "name": self._ref.name}
        if self._ref.tenant != DEFAULT_TENANT:
            target["tenant"] = self._ref.tenant
        comment = f"Put back to what it was in {was.revision[:12]}; to be removed when its layers say so again."
        instead = f"take back {since.revision[:12]} itself (git revert {since.revision[:12]}), or change {path} by hand"
        try:
            text = with_patch(before, {"target": target, **patch_between(now.value, old.value)}, comment)
        except NotWritten as error:
            raise RollbackError(f"{self._ref} is composed of several layers, and {error}; or {instead}") from error
        blob = "rolled-back"
        there = Tree("", {**tree.files, path: blob}, tree.problems, tree.root, tree.layers)
        after = self._rendered(there, {blob: text})
        if after is None or after.value != old.value:
            raise RollbackError(
                f"no patch in {path} makes {self._ref} what it was, for it is composed of several layers: {instead}"
            )
        return Back(
            self._ref, tree.revision, _written(now, path), since, _written(old, path), was, path, before, text, held, old
        )

    def _versions(self, tree: Tree) -> Iterator[tuple[Commit, str, Document | None]]:
        """Each commit, the revision it was made on, and what the resource was in that one."""
        for step in self._past.steps(tree.revision):
            if not step.before or not self._there(step.before, tree.root):
                yield step.commit, step.before, None
                continue
            try:
                document = self._rendered(self._source.tree(step.before))
            except RollbackError:
                # A revision with problems was never in force.
                continue
            yield step.commit, step.before, document

    def _there(self, revision: str, root: str) -> bool:
        return self._past.blob(revision, root + ENVIRONMENT) is not None

    def _rendered(self, tree: Tree, texts: Mapping[str, bytes] | None = None) -> Document | None:
        if self._last is not None and self._last[0].files == tree.files:
            return self._last[1]

        def read(blobs: Iterable[str]) -> Mapping[str, bytes]:
            wanted, given = set(blobs), texts or {}
            known = {blob: given[blob] for blob in wanted if blob in given}
            return {**known, **self._source.read(wanted - known.keys())}

        written = self._loader.render(tree, read)
        if written.problems:
            raise RollbackError(f"{written.problems[0]}: mend this first")
        roots = tree.roots
        found = None
        for one in written.documents:
            tenant = tenant_of(one.source.file, root_of(one.source.file, roots))[0]
            if ref_of(one.value, tenant, KINDS) == self._ref:
                found = one
                break
        self._last = tree, found
        return found


def _written(document: Document, file: str) -> Written:
    source = document.source
    raw = as_yaml(document.value).encode()
    return Written(file, source.blob, source.line, source.start, source.end, raw, digest_of(document.value))


class Released:
    """Reads commits from the newest back: a hold that a newer commit has released counts no more."""

    def __init__(self) -> None:
        self._released: set[str] = set()

    def holds(self, commit: Commit, ref: Ref) -> set[str]:
        """The digests that this commit holds of this resource's content."""
        held: set[str] = set()
        if len(commit.message) > LONGEST_MESSAGE:
            return held
        for trailer in reversed(trailers(commit.message)):
            printed, _, digest = trailer.value.partition("@")
            if printed != str(ref):
                continue
            if trailer.token.lower() == RELEASE.lower():
                self._released.add(digest)
            elif trailer.token.lower() == HOLD.lower() and digest and not {"", digest} & self._released:
                held.add(digest)
        return held
