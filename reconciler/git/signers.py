"""Whose signatures count on the followed branch, told from outside it; and what they say of a revision."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

import pygit2

from reconciler.core.model import Problem, Where
from reconciler.git.history import REVISION
from reconciler.git.signed import Malformed, take_apart
from reconciler.git.source import Signature, SourceError
from reconciler.git.verifiers import Refused, Rules, by_gpg, by_ssh
from reconciler.seams import Seams

# A refusal may be a matter of time (a key not valid yet, a clock that was wrong), so it is looked at again this often.
AGAIN_S = 60.0
# Revisions whose verdict is kept: the newest, the one in force, and some that a person moves between.
MOST_VERDICTS = 16
# Of the policy, and of a commit object, which holds no files.
LARGEST_FILE = 16 * 1024 * 1024
WHERE = Where(".")


@dataclass(frozen=True, slots=True)
class Files:
    """Where the policy is. `ssh` is an allowed-signers file, `revoked` SSH keys that no longer count, `gpg` exported keys."""

    ssh: Path | None = None
    revoked: Path | None = None
    gpg: Path | None = None

    def __bool__(self) -> bool:
        return self.ssh is not None or self.gpg is not None


@dataclass(frozen=True, slots=True)
class _Verdict:
    state: tuple[object, ...]
    again_at: float
    signature: Signature


class Signers:
    """Not thread-safe; its mirror's lock guards it. A revision is checked once, and again when the files change."""

    def __init__(self, files: Files, seams: Seams) -> None:
        self._files, self._seams = files, seams
        self._verdicts: dict[str, _Verdict] = {}
        self._forward: tuple[str, str, bool] = ("", "", False)
        # Checks made so far: each costs a process or two.
        self.checks = 0

    def signature(self, repository: pygit2.Repository, commit: pygit2.Commit, at: float, after: str) -> Signature:
        """Who answers for a commit, as Source.signature says; raises SourceError, and pygit2's errors."""
        revision, now = str(commit.id), self._seams.monotonic()
        state = tuple(self._identity(path) for path in (self._files.ssh, self._files.revoked, self._files.gpg))
        kept = self._verdicts.pop(revision, None)
        if kept is None or kept.state != state or (kept.signature.problem is not None and now >= kept.again_at):
            self._seams.point("git.signature", revision)
            self.checks += 1
            kept = _Verdict(state, now + AGAIN_S, self._judged(repository, commit, at))
        self._verdicts[revision] = kept
        while len(self._verdicts) > MOST_VERDICTS:
            del self._verdicts[next(iter(self._verdicts))]
        if kept.signature.problem is None and not self._leads_on(repository, commit, after):
            return Signature(kept.signature.signer, backwards(after))
        return kept.signature

    def vouch(self, revision: str) -> bool:
        """Whether this revision was found to be signed by somebody who counts."""
        kept = self._verdicts.get(revision)
        return kept is not None and kept.signature.problem is None

    def _judged(self, repository: pygit2.Repository, commit: pygit2.Commit, at: float) -> Signature:
        try:
            size = repository.odb.read_header(commit.id)[1]
            if size > LARGEST_FILE:
                raise Malformed(f"is {size} bytes long; the most is {LARGEST_FILE}")
            signed = take_apart(repository.odb.read(commit.id)[1])
            if signed.tree != str(commit.tree_id):
                raise Malformed("is not written as git writes commits")
            if not signed.signature:
                raise Refused("is not signed")
            return Signature(self._signer(signed.signature, signed.payload, at))
        except (Malformed, Refused) as error:
            files = " or ".join(str(file) for file in (self._files.ssh, self._files.gpg) if file is not None)
            hint = f"have somebody whom {files} allows sign it (`git commit --amend --no-edit -S`), or a commit on top of it"
            return Signature("", Problem(WHERE, f"this commit {error}, and only signed ones count here", hint))

    def _signer(self, signature: bytes, payload: bytes, at: float) -> str:
        ssh, gpg, revoked = self._files.ssh, self._files.gpg, self._files.revoked
        if signature.startswith(b"-----BEGIN SSH SIGNATURE-----"):
            if ssh is None:
                raise Refused("is signed with an SSH key, while only those of --gpg-keyring are allowed")
            return by_ssh(signature, payload, self._read(ssh), self._read(revoked) if revoked is not None else None, at)
        if signature.startswith(b"-----BEGIN PGP SIGNATURE-----"):
            if gpg is None:
                raise Refused("is signed with a GPG key, while only those of --signers are allowed")
            return by_gpg(signature, payload, self._read(gpg), at)
        raise Refused("has a signature that is neither SSH's nor GPG's")

    def _leads_on(self, repository: pygit2.Repository, commit: pygit2.Commit, after: str) -> bool:
        revision = str(commit.id)
        if revision == after or not REVISION.fullmatch(after):
            return True
        if self._forward[:2] != (revision, after):
            leads = after in repository and repository.descendant_of(commit.id, pygit2.Oid(hex=after))
            self._forward = (revision, after, leads)
        return self._forward[2]

    def _identity(self, path: Path | None) -> tuple[int, ...]:
        if path is None:
            return ()
        try:
            there = os.stat(path)
        except OSError as error:
            raise unreadable(path, error.strerror or str(error)) from error
        return (there.st_dev, there.st_ino, there.st_size, there.st_mtime_ns, there.st_ctime_ns, there.st_mode)

    def _read(self, path: Path) -> Rules:
        self._seams.point("git.signers", path)
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                if not stat.S_ISREG(mode):
                    raise unreadable(path, "it is not a file")
                if mode & stat.S_IWOTH:
                    raise unreadable(path, "everybody on this machine may write to it: chmod o-w")
                content = file.read(LARGEST_FILE + 1)
        except OSError as error:
            raise unreadable(path, error.strerror or str(error)) from error
        if len(content) > LARGEST_FILE:
            raise unreadable(path, f"it has more than {LARGEST_FILE} bytes")
        return Rules(path, content)


def unreadable(path: Path, why: str) -> SourceError:
    return SourceError(f"cannot tell whose commits count from {path}: {why}; nothing new is accepted until that is mended")


def backwards(after: str) -> Problem:
    what = f"this commit is signed, but does not lead on from {after[:12]}, which is in force: the branch was rewritten"
    hint = "a signature does not say that going back is meant: commit on top of what is in force, or `git merge -s ours` it"
    return Problem(WHERE, what, hint)
