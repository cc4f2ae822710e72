"""What a surface may use: the fleet and the store to read, control's local socket to ask, and what keeps clients from each
other."""

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from api.fleet import Fleet
from api.kept import Kept
from api.limits import Limits, changes, waits
from api.outer import Front
from api.recorder import Recorder
from api.turns import Turns
from reconciler.log import Log
from reconciler.store import Store


def _nothing() -> tuple[str, str]:
    return "", ""


@dataclass(frozen=True, slots=True)
class Reach:
    """`run` is the directory of control's socket; `secure` where clients come by TLS; `followed()` are the URL and the branch
    that Convoy follows, "" where it follows a folder. `over` is set once control is gone, so that nobody waits for it any more,
    `ending` once this process is about to end, and `succeeded` before that where another answers already.

    `signed`: what is critical is taken only where it is signed. `recorder` writes the audit; without it there is none (in tests
    of what it does not matter to).
    `limits` counts plans, `changes` what is to be committed, `waits` whoever reads and waits for something to come;
    `turns` keeps those apart who change the same thing; `kept` is JSON of what is as it was. What is in
    `closing` is called when this process ends.
    """

    store: Store
    run: Path
    log: Log
    limits: Limits
    secure: bool = False
    followed: Callable[[], tuple[str, str]] = _nothing
    over: threading.Event = field(default_factory=threading.Event)
    ending: threading.Event = field(default_factory=threading.Event)
    succeeded: threading.Event = field(default_factory=threading.Event)
    changes: Limits = field(default_factory=changes)
    waits: Limits = field(default_factory=waits)
    recorder: Recorder | None = None
    front: Front = field(default_factory=Front)
    turns: Turns = field(default_factory=Turns)
    closing: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    kept: Kept = field(default_factory=Kept)
    signed: bool = False
    fleet: Fleet = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fleet", Fleet(self.store, self.run, self.over))
