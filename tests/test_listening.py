"""A port that a process of an earlier life has is waited for, and nobody else's."""

import os
from pathlib import Path

import pytest

from reconciler.listening import ListenError, Listening, listen
from reconciler.log import Log
from reconciler.seams import Seams


class Leaving(Seams):
    """Whoever has this socket open with this file leaves when somebody waits."""

    def __init__(self, held: Listening) -> None:
        self.held, self.looks = held, list[float]()

    def sleep(self, seconds: float) -> None:
        self.looks.append(seconds)
        if len(self.looks) == 2:
            self.held.socket.close()
            os.close(self.held.alive)


@pytest.mark.parametrize(("held_alone", "alone"), [(True, True), (True, False), (False, True), (False, False)])
def test_who_is_waited_for(held_alone: bool, alone: bool, tmp_path: Path) -> None:
    """One with the same directory, once whoever has started it ends or is gone, and no longer than may be; a stranger never.
    Whoever takes over from another control waits for that in any case."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()
    log = Log(level="error")
    held = listen("127.0.0.1:0", ours, 0.0, log, Seams(), plain=True, alone=held_alone)
    address = f"127.0.0.1:{held.socket.getsockname()[1]}"
    leaving = Leaving(held)
    if alone or held_alone:
        with pytest.raises(ListenError, match="another `convoy serve` in this state directory does"):
            listen(address, ours, 60.0, log, leaving, plain=True, alone=alone)
        held.leave()
    for run, within_s in ((theirs, 60.0), (ours, 0.0)):
        with pytest.raises(ListenError, match="Address already in use"):
            listen(address, run, within_s, log, leaving, plain=True, alone=alone)
    assert not leaving.looks
    found = listen(address, ours, 60.0, log, leaving, plain=True, alone=alone)
    assert len(leaving.looks) == 2
    assert "{}:{}".format(*found.socket.getsockname()) == address
    found.leave()
    found.socket.close()
    os.close(found.alive)
