"""A store that fails while a revision is recorded: what is in force is what the next start finds."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from reconciler.seams import Seams
from reconciler.store import StoreError
from tests.repos import Origin, hermetic, make_origin
from tests.test_wanted import HOST, OTHER, following


@pytest.fixture
def origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Origin:
    hermetic(monkeypatch)
    return make_origin(tmp_path)


class Failing(Seams):
    """Once it is armed, the I/O at this point fails after so many others of it."""

    def __init__(self, at: str) -> None:
        super().__init__()
        self.at, self.left = at, -1

    def point(self, name: str, *about: object) -> None:
        if name == self.at and self.left >= 0:
            self.left -= 1
            if self.left < 0:
                raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize("skip", range(3))
@pytest.mark.parametrize("point", ["store.write", "store.commit"])
def test_what_is_in_force_is_what_the_next_start_finds(point: str, skip: int, tmp_path: Path, origin: Origin) -> None:
    """A store that fails while revisions are recorded, and the newest is refused: one fleet, before a start and after it."""
    first = origin.commit({"a.yaml": HOST})
    seams = Failing(point)
    with following(tmp_path, origin, seams) as wanted:
        wanted.look()
        second = origin.commit({"b.yaml": OTHER}, message="x\n\nConvoy-Confirm: Host/h1\n")
        seams.left = skip
        assert bool(wanted.look().unreadable) == (skip == 0)
        third = origin.commit({"a.yaml": HOST.replace("driver", "drivers")})
        wanted.look()
        here = wanted.look()
        events = [one.kind for one in wanted._store.events()]
    assert here.fleet is not None
    assert (here.fleet.revision, here.refused, here.unreadable) == (second if skip else first, third, "")
    assert events == ["revision.accepted", *(("revision.accepted", "order.confirm") if skip else ()), "revision.refused"]
    with following(tmp_path, origin) as wanted:
        there = wanted.look()
    assert there.fleet is not None
    assert there.fleet.revision == here.fleet.revision


def test_a_revision_is_in_force_where_nobody_heard_that_it_was_recorded(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store has it, and its answer is lost: it is followed at once, and stays when the next revision is refused."""
    origin.commit({"a.yaml": HOST})
    with following(tmp_path, origin) as wanted:
        wanted.look()
        record, lost = wanted._store.record_revision, [True]

        def unheard(*given: Any) -> None:
            record(*given)
            if lost.pop():
                raise StoreError("the connection is gone")

        monkeypatch.setattr(wanted._store, "record_revision", unheard)
        second = origin.commit({"b.yaml": OTHER})
        accepted = wanted.look()
        assert accepted.unreadable == "the connection is gone"
        assert accepted.fleet is not None
        assert accepted.fleet.revision == second
        monkeypatch.undo()
        third = origin.commit({"a.yaml": HOST.replace("driver", "drivers")})
        accepted = wanted.look()
        assert accepted.fleet is not None
        assert (accepted.fleet.revision, accepted.refused, accepted.unreadable) == (second, third, "")
        told = [(one.kind, one.ref) for one in wanted._store.events() if one.ref in (second, third)]
        assert told == [("revision.accepted", second), ("revision.refused", third)]
