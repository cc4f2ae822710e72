"""Who made each change of what is declared, as far as the branch's own line tells."""

from collections.abc import Collection

from reconciler.core.declared import Maker
from reconciler.git import Source, SourceError


def makers(source: Source, since: str, revision: str, files: Collection[str], layers: Collection[str] = ()) -> dict[str, Maker]:
    """Who last changed each of these files; of one that is too old to be found, nothing is said but what it is part of.

    `layers` are the files whose values and patches say what the documents in all others are: where only those were changed,
    whoever did that last.
    """
    try:
        found = source.makers(since, revision, {*files, *layers} if since else files)
        newest = source.info(revision).author if since else ""
    except SourceError:
        # Worth a word less in the history, not a revision that waits.
        found, newest = {}, ""
    known = {file: Maker(commit.revision, commit.author) for file, commit in found.items()}
    layered = next((maker for file, maker in known.items() if file in layers), None) if since else None
    return {file: known.get(file) or layered or Maker(revision, newest) for file in files}
