"""The fleet as every surface has it: what is declared, beside how it fares; and changes, which are proposed and waited for.

It reads SQL alone, and writes one thing: proposals. Who commits them is control (`reconciler/committer.py`).
"""

import contextlib
import hashlib
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from reconciler.bell import PROPOSED, ring_at
from reconciler.core.declared import Declared
from reconciler.core.kinds import KINDS
from reconciler.core.model import Ref
from reconciler.core.proposal import Change, as_body
from reconciler.core.select import Selector
from reconciler.store import Proposal, Store, StoreError

# How often is looked whether something that is waited for has come; of that, how often when nothing has for a while.
LOOK_S, IDLE_LOOK_S, IDLE_AFTER_S = 0.005, 0.05, 1.0
IN_FORCE_LOOK_S = 0.03


@dataclass(frozen=True, slots=True)
class Found:
    """One resource: as the revision in force declares it, and its status (None before anybody has looked)."""

    declared: Declared
    status: Mapping[str, Any] | None


class Fleet:
    """Thread-safe. Raises StoreError."""

    def __init__(self, store: Store, run: Path, over: threading.Event) -> None:
        """`over`: whoever commits is gone, and nobody waits any more."""
        self._store, self._run, self._over = store, run, over
        self._lock = threading.Lock()
        # Proposals that are waited for: by id, what wakes those who wait, one event for each of them.
        self._waited: dict[str, list[threading.Event]] = {}
        self._watching = False

    def get(self, ref: Ref) -> Found | None:
        printed = str(ref)
        declared = self._store.declared([printed]).get(printed)
        return Found(declared, self._store.status([printed]).get(printed)) if declared is not None else None

    def listed(self, kind: str, selector: Selector, start: int, most: int) -> tuple[int, list[Found]]:
        """How many there are of this kind ("": of all) that are selected, and those from `start`, in the order of refs."""
        refs = [ref for ref in sorted(map(Ref.parse, self._store.places())) if not kind or ref.kind == kind]
        known: dict[str, Declared] = {}
        if selector.wants_labels:
            known = self._store.declared(map(str, refs))
            refs = [ref for ref in refs if str(ref) in known and selector.covers(ref, _labels(known[str(ref)]))]
        else:
            refs = [ref for ref in refs if selector.covers(ref)]
        page = [str(ref) for ref in refs[start : start + most]]
        found = {ref: known[ref] for ref in page if ref in known} or self._store.declared(page)
        statuses = self._store.status(page)
        return len(refs), [Found(found[ref], statuses.get(ref)) for ref in page if ref in found]

    def propose(self, change: Change, token: str, key: str) -> Proposal:
        """It waits from now on, whatever happens to us. Raises Full and KeyReused."""
        body = as_body(change)
        # What asks for the same: neither what is given to it here, nor what was in force when it was asked.
        asked = {name: body[name] for name in ("verb", "ref", "document", "match", "new", "message")}
        digest = hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()
        made = self._store.proposals.add(token, key, digest, body)
        ring_at(self._run / PROPOSED)
        return made

    def proposal(self, id: str) -> Proposal | None:
        return self._store.proposals.get(id)

    def wait(self, made: Proposal, timeout_s: float) -> Proposal:
        """As it is once it is decided, or when the time is over."""
        if made.state != "waiting":
            return made
        event = threading.Event()
        with self._lock:
            self._waited.setdefault(made.id, []).append(event)
            if not self._watching:
                self._watching = True
                threading.Thread(target=self._watch, name="proposals", daemon=True).start()
        event.wait(timeout_s)
        with self._lock:
            left = [one for one in self._waited.pop(made.id, ()) if one is not event]
            if left:
                self._waited[made.id] = left
        return self._store.proposals.get(made.id) or made

    def _watch(self) -> None:
        """One for all that wait: as many again would ask the store no less often."""
        last = time.monotonic()
        while True:
            with self._lock:
                ids = list(self._waited)
                if not ids:
                    self._watching = False
                    return
            ended: Iterable[str] = ()
            # Those who wait ask the store themselves in the end, and are told why it does not answer.
            with contextlib.suppress(StoreError):
                ended = self._store.proposals.decided(ids)
            with self._lock:
                for event in (event for id in (ids if self._over.is_set() else ended) for event in self._waited.pop(id, ())):
                    event.set()
            last = time.monotonic() if ended else last
            time.sleep(LOOK_S if time.monotonic() - last < IDLE_AFTER_S else IDLE_LOOK_S)

    def in_force(self, made: Proposal, timeout_s: float, *, synced: bool = False) -> bool:
        """Wait until what was committed is what reading gives (it, or what came after it); `synced`: and is so on the hosts."""
        end = time.monotonic() + timeout_s
        ref, digest = str(made.body.get("ref", "")), made.answer.get("digest", "")
        while True:
            declared = self._store.declared([ref]).get(ref)
            if (declared.digest if declared is not None else "") == digest:
                if not synced:
                    return True
                row = self._store.status([ref]).get(ref)
                state = self._store.state() or {}
                good = self._store.last_good()
                done = row.get("sync") == "synced" if row is not None else declared is None
                if done and state.get("revision") == good:
                    return True
            if time.monotonic() >= end or self._over.wait(IN_FORCE_LOOK_S):
                return False


def _labels(declared: Declared) -> Mapping[str, str]:
    metadata = declared.document.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, Mapping) else None
    return labels if isinstance(labels, Mapping) else {}


def selector(texts: Iterable[str]) -> Selector:
    """Raises SelectorError."""
    return Selector.parse([text for text in texts if text], KINDS)
