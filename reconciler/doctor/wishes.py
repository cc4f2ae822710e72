"""Checks of what is wanted: whether the source can be reached, whose commits count, and what the documents say."""

import os
import time
from collections.abc import Iterator
from typing import cast

from reconciler.core.kinds.certificate import Certificate
from reconciler.core.kinds.spec import Run
from reconciler.core.show_doctor import Finding, Verdict
from reconciler.core.show_holds import ago
from reconciler.core.show_problems import count
from reconciler.doctor.ground import Ground, Nothing
from reconciler.git import SourceError
from reconciler.git.ask import tip
from reconciler.openings import sealed_in
from reconciler.secrets import IDENTITY_FILE
from reconciler.store import StoreError
from reconciler.tls import TlsError, read_chain

# How long a repository may take to say where its branch is.
ASK_S = 8.0
# A certificate that is not renewed by now was forgotten; Convoy's own are renewed when a third of their time is left.
SOON_S = 14 * 86400.0


def source(ground: Ground) -> Iterator[Finding]:
    followed = ground.followed
    if followed is None:
        raise Nothing("nothing is followed here yet: `convoy serve --source …` or `convoy apply`")
    if not followed.branch:
        if not os.access(followed.url, os.R_OK | os.X_OK):
            hint = f"bring it back, or name another: {followed.shown}"
            yield Finding("bad", f"the folder {followed.shown} is not there or cannot be read", hint)
            return
        yield Finding("ok", f"the folder {followed.shown}")
        return
    try:
        found = tip(followed.url, followed.branch, ASK_S)
    except SourceError as error:
        verdict: Verdict = "warn" if "***@" in followed.shown else "bad"
        hint = "see the network, the URL and the credentials of this user"
        if verdict == "warn":
            hint = "the password it is followed with is not kept; try `git ls-remote` with it"
        yield Finding(verdict, f"{followed.shown} cannot be asked: {error}", hint)
        return
    kept = ground.kept()
    known = kept.state if kept is not None else {}
    if known and found not in (known.get("revision"), known.get("refused")):
        hint = "if that lasts: is a Convoy at work (`convoy status`), and what does its log say?"
        yield Finding("warn", f"{followed.shown} is at {found[:12]}, which was not looked at yet", hint)
    mirror = ground.state / "mirrors"
    newest = max((one.stat().st_mtime for one in mirror.glob("*/FETCH_HEAD")), default=0.0)
    fetched = f", fetched {ago(time.time() - newest)} ago" if newest else ""
    yield Finding("ok", f"{followed.shown} is at {found[:12]}{fetched}")


def signatures(ground: Ground) -> Iterator[Finding]:
    followed = ground.followed
    if followed is None or not followed.branch:
        raise Nothing("no repository is followed")
    if not followed.signers:
        raise Nothing("commits need no signature")
    for name, path in sorted(followed.signers.items()):
        try:
            found = path.stat()
            with path.open("rb") as file:
                file.read(1)
        except OSError as error:
            hint = f"bring it back: without it no commit counts ({name})"
            yield Finding("bad", f"{path} cannot be read: {error.strerror}", hint)
            continue
        if found.st_mode & 0o022:
            hint = f"chmod go-w {path}: whoever writes to it decides whose commits count"
            yield Finding("bad", f"others can write to {path}", hint)
        if not found.st_size:
            yield Finding("bad", f"{path} is empty: nobody's commits count", "put the keys in that may sign")
    yield Finding("ok", f"commits are signed: {', '.join(sorted(followed.signers))}")


def documents(ground: Ground) -> Iterator[Finding]:
    try:
        wishes = ground.wishes()
    except (SourceError, StoreError) as error:
        yield Finding("warn", f"the documents cannot be read: {error}", "see the check of the source")
        return
    for problem in wishes.problems[:3]:
        yield Finding("bad", str(problem), "`convoy validate` shows it with its lines")
    if len(wishes.problems) > 3:
        yield Finding("bad", f"and {count(len(wishes.problems) - 3, 'more problem')}", "`convoy validate` shows them all")
    if wishes.fleet is not None:
        yield Finding("ok", f"{count(len(wishes.fleet.resources), 'document')} in {wishes.revision[:20]}")


def certificates(ground: Ground) -> Iterator[Finding]:
    now, fleet, kept = ground.seams.now(), ground.fleet(), ground.kept()
    ends: dict[str, float] = {}
    own: set[str] = set()
    for resource in fleet.of("Certificate") if fleet is not None else ():
        spec = cast(Certificate, resource.spec)
        if spec.chain is None:
            own.add(str(resource.ref))
            continue
        try:
            ends[str(resource.ref)] = read_chain(spec.chain.encode()).not_after
        except TlsError as error:
            yield Finding("bad", f"{resource.ref}: {error}", "put another chain into the document")
    for ref, end in (kept.certificates if kept is not None else {}).items():
        if str(ref) in own:
            ends[str(ref)] = end
    for name, end in sorted(ends.items()):
        who = "see that a Convoy is at work: it renews it" if name in own else "put a new chain and key into the document"
        if end <= now:
            yield Finding("bad", f"{name} has expired {ago(now - end)} ago", who)
        elif end - now < SOON_S and name not in own:
            yield Finding("warn", f"{name} expires in {ago(end - now)}", who)
    if not ends:
        raise Nothing("there are none")
    yield Finding("ok", f"{count(len(ends), 'certificate')}; the first expires in {ago(min(ends.values()) - now)}")


def identity(ground: Ground) -> Iterator[Finding]:
    fleet = ground.fleet()
    if fleet is None:
        raise Nothing("it is not known which secrets there are")
    sealed = [one.ref for one in fleet.of("Certificate") if cast(Certificate, one.spec).key is not None]
    sealed += [one.ref for one in fleet.resources.values() if isinstance(one.spec, Run) and any(sealed_in(one))]
    path = ground.state / IDENTITY_FILE
    if not sealed:
        raise Nothing("nothing is sealed")
    if not path.exists():
        what = f"{count(len(sealed), 'resource')} ({sealed[0]}, …) hold sealed secrets, and there is no {path}"
        yield Finding("bad", what, "bring back the key they are sealed for, or seal them again for `convoy secret keygen`'s")
        return
    yield Finding("ok", f"{path}, for {count(len(sealed), 'resource')}")
