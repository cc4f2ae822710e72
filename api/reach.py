"""What a surface may use: the store to read, control's local socket to ask, and what keeps clients from each other."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

from api.limits import Limits
from reconciler.log import Log
from reconciler.store import Store


@dataclass(frozen=True, slots=True)
class Reach:
    """`run` is the directory of control's socket; `secure` where clients come by TLS; `followed` the URL and the branch that
    Convoy follows, "" where it follows a folder. `over` is set once control is gone, so that nobody waits for it any more."""

    store: Store
    run: Path
    log: Log
    limits: Limits
    secure: bool = False
    followed: tuple[str, str] = ("", "")
    over: threading.Event = field(default_factory=threading.Event)
