"""Who made each change of what is declared, as far as the branch's own line tells."""

from collections.abc import Collection

from reconciler.core.declared import Maker
from reconciler.core.trailers import description
from reconciler.git import Commit, Source, SourceError


def makers(source: Source, since: str, revision: str, files: Collection[str], layers: Collection[str] = ()) -> dict[str, Maker]:
    """Who last changed each of these files; of one that is too old to be found, nothing is said but what it is part of.

    `layers` are the files whose values and patches say what the documents in all others are: where only those were changed,
    whoever did that last.
    """
    try:
        found = source.makers(since, revision, {*files, *layers} if since else files)
        newest = source.info(revision) if since else None
    except SourceError:
        # Worth a word less in the history, not a revision that waits.
        found, newest = {}, None
    known = {file: _maker(commit) for file, commit in found.items()}
    last = Maker(revision, newest.author, description(newest.message)) if newest is not None else Maker(revision)
    layered = next((maker for file, maker in known.items() if file in layers), None) if since else None
    return {file: known.get(file) or layered or last for file in files}


def _maker(commit: Commit) -> Maker:
    return Maker(commit.revision, commit.author, description(commit.message))
