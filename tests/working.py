"""A Convoy at work in a thread of this process, on a fleet in a folder."""

import contextlib
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import TypeVar

from reconciler.control import Control, open_control
from reconciler.git import Directory
from reconciler.log import Log
from reconciler.seams import Seams


class World:
    """The folder, and beside it the state directory."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder, self.state = root, root / "fleet", root / "state"
        self.folder.mkdir()

    @contextlib.contextmanager
    def convoy(self, seams: Seams | None = None) -> Iterator[Control]:
        with (
            contextlib.closing(Directory(self.folder, Seams(), poll_s=0.2)) as source,
            open_control(self.state, source=source, log=Log(level="error"), seams=seams) as control,
        ):
            running = threading.Thread(target=control.run)
            running.start()
            try:
                yield control
            finally:
                control.stop()
                running.join()

    def down(self) -> None:
        with open_control(self.state, source=None, log=Log(level="error")) as control:
            assert control.down(60).converged


Made = TypeVar("Made", bound=World)


@contextlib.contextmanager
def opened(kind: Callable[[Path], Made]) -> Iterator[Made]:
    """One in a directory of its own, with a short path for its sockets; at the end nothing of it runs or is there."""
    root = Path(mkdtemp(prefix="convoy-test-")).resolve()
    made = kind(root)
    try:
        yield made
    finally:
        made.down()
        shutil.rmtree(root)


def until(holds: Callable[[], object], within_s: float = 200) -> None:
    over = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < over, f"not within {within_s} s"
        time.sleep(0.05)
