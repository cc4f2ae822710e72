"""Reads commits: one of them, or those that a revision has and an older one has not."""

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

import pygit2
from pygit2.enums import SortMode

from reconciler.core.trailers import LONGEST_MESSAGE
from reconciler.git.layers import NoDirectory, tree
from reconciler.git.source import MOST_COMMITS, Commit, Tree
from reconciler.git.trees import Trees, entry_at

# How many commits along the first parents are looked at for who made a change: a tenth of a second in a directory of 10,000.
MOST_STEPS = 100

REVISION = re.compile(r"[0-9a-f]{40}")


def commit_of(found: pygit2.Commit) -> Commit:
    author = found.author
    return Commit(
        str(found.id),
        f"{author.name} <{author.email}>",
        float(author.time),
        float(found.commit_time),
        # One more than is told of any: who reads it for trailers must see that its end is missing.
        found.message[: LONGEST_MESSAGE + 1],
        tuple(str(parent) for parent in found.parent_ids),
    )


def between(repository: pygit2.Repository, old: str, new: pygit2.Commit) -> tuple[Commit, ...]:
    """What `new` descends from and `old` does not, as Source.commits says. Raises pygit2's errors."""
    if old == str(new.id):
        return ()
    before = repository.get(old) if REVISION.fullmatch(old) else None
    if not isinstance(before, pygit2.Commit) or not repository.descendant_of(new.id, before.id):
        return (commit_of(new),)
    walk = repository.walk(new.id, SortMode.TOPOLOGICAL | SortMode.TIME)
    walk.hide(before.id)
    return tuple(commit_of(found) for found in itertools.islice(walk, MOST_COMMITS))


def makers(repository: pygit2.Repository, old: str, new: pygit2.Commit, files: Iterable[str]) -> dict[str, Commit]:
    """As Source.makers says. Raises pygit2's errors."""
    left, found, here = set(files), dict[str, Commit](), new
    for _ in range(MOST_STEPS):
        if not left or str(here.id) == old:
            break
        parent = repository.get(here.parent_ids[0]) if here.parent_ids else None
        if here.parent_ids and not isinstance(parent, pygit2.Commit):
            # A shallow clone ends here: who made what is in it nobody knows.
            break
        before = parent.tree if isinstance(parent, pygit2.Commit) else None
        mine = set(_differing(before, here.tree, [(file, file) for file in left]))
        if mine:
            found.update(dict.fromkeys(mine, commit_of(here)))
            left -= mine
        if not isinstance(parent, pygit2.Commit):
            break
        here = parent
    return found


class NotThere(Exception):
    """A commit that a document names is none that has led to this revision: what is so instead, and how to mend it."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what, self.hint = what, hint


class Ancestry:
    """Which commits led to a revision. From one revision to the next it costs a look at what is between the two."""

    def __init__(self) -> None:
        self._tip = ""
        self._led: set[str] = set()

    def past(self, repository: pygit2.Repository, revision: str, commit: str) -> pygit2.Commit:
        """The commit, which led to `revision` or is it. Raises NotThere and pygit2's errors."""
        if revision != self._tip:
            leads_on = self._tip in repository if self._tip else False
            if not leads_on or not repository.descendant_of(revision, self._tip):
                self._led.clear()
            self._tip = revision
        found = repository.get(commit)
        if not isinstance(found, pygit2.Commit):
            hint = "name one of this branch by all its 40 digits; of a clone that is shallow, fetch the rest"
            raise NotThere(f"there is no commit {commit[:12]} here", hint)
        if commit != revision and commit not in self._led:
            if not repository.descendant_of(revision, commit):
                hint = "name one that is on this branch: what stands on another may go away at any time"
                raise NotThere(f"commit {commit[:12]} is none of those that led to this revision", hint)
            self._led.add(commit)
        return found


def below(found: pygit2.Commit, root: str, trees: Trees) -> Tree:
    """The fleet in the directory `root` of this commit. Raises NotThere and pygit2's errors."""
    try:
        return tree(str(found.id), root, lambda root: trees.files(found.tree_id, root), trees.contents)
    except NoDirectory:
        here = root.rstrip("/")
        raise NotThere(f"commit {str(found.id)[:12]} has no directory {here}", "name one in which the fleet is there") from None


def _differing(old: pygit2.Object | None, new: pygit2.Object | None, paths: list[tuple[str, str]]) -> Iterator[str]:
    """Of these files (path from here, whole path) those that differ: only directories on the way to one that does are read."""
    below: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for path, whole in paths:
        name, _, rest = path.partition("/")
        below[name].append((rest, whole))
    for name, rests in below.items():
        was, now = (entry_at(tree, name) if isinstance(tree, pygit2.Tree) else None for tree in (old, new))
        if (was and was.id) == (now and now.id):
            continue
        yield from (whole for rest, whole in rests if not rest)
        deeper = [(rest, whole) for rest, whole in rests if rest]
        if deeper:
            yield from _differing(was, now, deeper)


# How a person names a commit: some of its digits, or the branch, and from there so many back.
NAMED = re.compile(r"(?P<from>[0-9a-f]{4,40}|.+?)(?P<back>(?:~\d{0,6}|\^)*)")


def named_commit(repository: pygit2.Repository, tip: pygit2.Commit, name: str, branch: str) -> pygit2.Commit | None:
    """The commit of this name that `tip` is or descends from; None when there is none."""
    parts = NAMED.fullmatch(name)
    if parts is None:
        return None
    start = str(tip.id) if parts["from"] in ("HEAD", branch) else parts["from"]
    if not re.fullmatch(r"[0-9a-f]{4,40}", start):
        return None
    try:
        found = repository.revparse_single(start + parts["back"])
    except (KeyError, ValueError, pygit2.GitError):
        return None
    if not isinstance(found, pygit2.Commit):
        return None
    return found if found.id == tip.id or repository.descendant_of(tip.id, found.id) else None
