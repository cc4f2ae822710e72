"""The gate itself: which questions are new, who asks them, and what the answers mean for a snapshot."""

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from reconciler.core.model import Snapshot, XdsResource
from reconciler.gate.bootstrap import CHECKED, FORMAT, Item, items_of, named_clusters, secrets_of
from reconciler.gate.search import CHECK_S, Asking, Found, search
from reconciler.gate.validate import AT_ONCE, DEADLINE_S, Validator, envoy_version
from reconciler.seams import Seams, Wake

# A check that came to nothing (Envoy too slow, no memory) is tried again after this long.
RETRY_S = 60.0
# How often a check that somebody waits for looks whether they still do.
LOOK_S = 0.05
# Verdicts and answers remembered; a verdict is small, and what is forgotten is only asked again.
MOST_VERDICTS, MOST_ANSWERS, MOST_TYPES = 4096, 100_000, 256


# What is asked about by itself: (what every answer depends on, digest of an item or of all that depend on each other).
Part = tuple[str, str]
Parts = Mapping[Part, Sequence[Item]]
Items = tuple[Mapping[str, XdsResource], list[Item]]


class Kept(Protocol):
    """Where verdicts outlive the process: digest ⇒ text, as `Store` has it."""

    def verdict(self, digest: str) -> str | None: ...

    def put_verdict(self, digest: str, body: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a real Envoy says to one snapshot. `refused`: content version ⇒ its words. `checked_by` is its version, or "".

    `elsewhere`: content version ⇒ why only the proxy's own machine can tell (a file that is not here, say); those pass.
    `unchecked` says why the check could not be made, or not to its end: then nothing beyond `refused` is known to be bad.
    """

    ok: bool
    refused: Mapping[str, str] = field(default_factory=dict)
    checked_by: str = ""
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    unchecked: str = ""


class Gate:
    """Thread-safe. At most two Envoys run at once. Without a binary every verdict is ok, checked by "".

    `wake` is called when a verdict that `verdict` could not give at once is there.
    """

    def __init__(self, envoy: Path | None, kept: Kept, seams: Seams, wake: Wake, *, deadline_s: float = DEADLINE_S) -> None:
        self._envoy, self._kept, self._seams, self._wake = envoy, kept, seams, wake
        self._validator = Validator(envoy, seams, deadline_s) if envoy else None
        self._lock = threading.Lock()
        self._verdicts: OrderedDict[str, tuple[Verdict, float | None]] = OrderedDict()
        # Of each part: item's digest ⇒ words, for what is refused of it.
        self._answers: OrderedDict[Part, dict[str, str]] = OrderedDict()
        self._items: OrderedDict[int, Items] = OrderedDict()
        # The same item for the same content: type, version ⇒ item.
        self._singly: OrderedDict[tuple[str, str], Item] = OrderedDict()
        self._jobs: dict[str, _Job] = {}
        self._waiting: list[_Job] = []
        self._newest: dict[str, str] = {}
        self._workers = 0
        self._closed = False

    @property
    def runs(self) -> int:
        """How many times an Envoy was run."""
        return self._validator.runs if self._validator else 0

    def verdict(self, snapshot: Snapshot, node: str = "") -> Verdict | None:
        """The verdict, or None while it is worked on in the background.

        `node` (or group) names for whom: what was asked for it before is abandoned, if nobody else asks for that.
        """
        if self._validator is None:
            return Verdict(True)
        with self._lock:
            known = self._known(snapshot.version)
            self._supersede(node, snapshot.version)
            if known is None and not self._closed:
                self._begin(snapshot, self._validator)
            return known

    def check(self, snapshot: Snapshot, *, deadline_s: float = CHECK_S, closed: threading.Event | None = None) -> Verdict:
        """The same, waited for: until there is a verdict, or the deadline has passed, or `closed` is set."""
        if self._validator is None:
            return Verdict(True)
        with self._lock:
            known = self._known(snapshot.version)
            if known is not None:
                return known
            job = self._begin(snapshot, self._validator, waited_for=True)
        begun = self._seams.monotonic()
        while not self._seams.wait(job.done, LOOK_S):
            if self._seams.monotonic() - begun > deadline_s:
                return self._unchecked(f"no verdict within {deadline_s:g} s")
            if self._closed or (closed is not None and closed.is_set()):
                return self._unchecked("Convoy is about to end")
        return job.verdict or self._unchecked("Convoy is about to end")

    def close(self) -> None:
        """End every check and kill its Envoy."""
        with self._lock:
            self._closed = True
            for job in self._jobs.values():
                job.cancelled.set()

    def _unchecked(self, why: str) -> Verdict:
        return Verdict(False, {}, envoy_version(self._envoy) if self._envoy else "", unchecked=f"could not be checked: {why}")

    def _known(self, version: str) -> Verdict | None:
        verdict, until = self._verdicts.get(version, (None, None))
        if until is not None and self._seams.monotonic() > until:
            del self._verdicts[version]
            return None
        return verdict

    def _supersede(self, node: str, version: str) -> None:
        before = self._newest.get(node)
        if not node or before == version:
            return
        self._newest[node] = version
        job = self._jobs.get(before or "")
        if job is not None and not job.waited_for and before not in self._newest.values():
            job.cancelled.set()
            del self._jobs[job.snapshot.version]

    def _begin(self, snapshot: Snapshot, validator: Validator, waited_for: bool = False) -> "_Job":
        job = self._jobs.get(snapshot.version)
        if job is None:
            job = self._jobs[snapshot.version] = _Job(snapshot, validator)
            if self._closed:
                job.cancelled.set()
            self._waiting.append(job)
            if self._workers < AT_ONCE:
                self._workers += 1
                threading.Thread(target=self._work, name=f"gate-{self._workers}", daemon=True).start()
        job.waited_for |= waited_for
        return job

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._workers -= 1
                    return
                job = self._waiting.pop(0)
            verdict = None
            try:
                if not job.cancelled.is_set():
                    verdict = self._judge(job)
            except Exception as error:  # noqa: BLE001 - one snapshot's check that fails must not end the thread of all others
                verdict = self._unchecked(f"{type(error).__name__}: {error}")
            finally:
                self._finish(job, verdict)

    def _finish(self, job: "_Job", verdict: Verdict | None) -> None:
        with self._lock:
            if self._jobs.get(job.snapshot.version) is job:
                del self._jobs[job.snapshot.version]
            if job.cancelled.is_set():
                verdict = None
            if verdict is not None:
                until = self._seams.monotonic() + RETRY_S if verdict.unchecked or verdict.elsewhere else None
                self._verdicts[job.snapshot.version] = (verdict, until)
                _trim(self._verdicts, MOST_VERDICTS)
        job.verdict = verdict
        job.done.set()
        if verdict is not None:
            self._wake()

    def _judge(self, job: "_Job") -> Verdict:
        """Put together what is known of each part; ask about what is not."""
        build = job.validator.build()
        snapshot, secrets = job.snapshot, secrets_of(job.snapshot)
        names = snapshot.resources.get("cds", {}).keys()
        items = [item for type in CHECKED for item in self._items_of(type, snapshot.resources.get(type, {}))]
        bound = [item for item in items if not item.apart]
        stubs = named_clusters(bound, names)
        base = _digest([FORMAT, build, *sorted(secrets)])
        parts = {(base, item.digest): [item] for item in items if item.apart}
        if bound:
            parts[(base, _digest([*sorted(stubs), *(item.digest for item in bound)]))] = bound
        whole = _digest([base, *sorted(digest for _, digest in parts)])
        with self._lock:
            missing = {part: asked for part, asked in parts.items() if part not in self._answers}
        if missing and self._recall(whole, parts):
            missing = {}
        found = Found()
        if missing:
            found = search(
                [item for asked in missing.values() for item in asked],
                Asking(job.validator, stubs, secrets, job.cancelled, self._seams),
            )
            self._remember(missing, found)
        verdict = self._put_together(items, parts, found)
        if missing and not verdict.unchecked and not verdict.elsewhere:
            words = {part[1]: refused for part in parts if (refused := self._answers.get(part))}
            self._keep(whole, json.dumps(words, sort_keys=True, separators=(",", ":")))
        return verdict

    def _recall(self, whole: str, parts: Parts) -> bool:
        """Learn from a verdict of before this process began."""
        try:
            body = self._kept.verdict(whole)
            words: dict[str, dict[str, str]] = json.loads(body or "null")
        except Exception:  # noqa: BLE001 - what cannot be recalled is asked again
            return False
        if not isinstance(words, dict):
            return False
        with self._lock:
            for part in parts:
                self._answers[part] = words.get(part[1], {})
        return True

    def _keep(self, whole: str, body: str) -> None:
        try:
            self._kept.put_verdict(whole, body)
        except Exception:  # noqa: BLE001 - the verdict stands whether or not the next process will know it
            return

    def _remember(self, missing: Parts, found: Found) -> None:
        """Answers that hold: not what a search that ended early left open, nor what files that come and go decide."""
        with self._lock:
            for part, asked in missing.items():
                refused = {item.digest: found.refused[item.digest] for item in asked if item.digest in found.refused}
                if all(item.digest in found.accepted or item.digest in refused for item in asked):
                    self._answers[part] = refused
            _trim(self._answers, MOST_ANSWERS)

    def _put_together(self, items: Sequence[Item], parts: Parts, found: Found) -> Verdict:
        with self._lock:
            answers = [answer for part in parts if (answer := self._answers.get(part))]
        words = dict(found.refused)
        for answer in answers:
            words |= answer
        refused = {item.resource.version: words[item.digest] for item in items if item.digest in words}
        elsewhere = {i.resource.version: found.elsewhere[i.digest] for i in items if i.digest in found.elsewhere}
        unchecked = f"could not be checked: {found.unchecked}" if found.unchecked else ""
        version = envoy_version(self._envoy) if self._envoy else ""
        return Verdict(not refused and not unchecked, refused, version, elsewhere, unchecked)

    def _items_of(self, type: str, resources: Mapping[str, XdsResource]) -> list[Item]:
        """Made once for each mapping: snapshots of one group, and of one revision and the next, share what is the same."""
        with self._lock:
            known = self._items.get(id(resources))
            if known is not None and known[0] is resources:
                return known[1]
        items = items_of(type, resources.values(), self._singly)
        with self._lock:
            _trim(self._singly, MOST_ANSWERS)
            self._items[id(resources)] = (resources, items)
            _trim(self._items, MOST_TYPES)
        return items


@dataclass
class _Job:
    """One snapshot being checked."""

    snapshot: Snapshot
    validator: Validator
    cancelled: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)
    verdict: Verdict | None = None
    waited_for: bool = False


def _digest(words: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()


def _trim(remembered: OrderedDict[Any, Any], most: int) -> None:
    while len(remembered) > most:
        remembered.popitem(last=False)
