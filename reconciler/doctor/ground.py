"""What the checks stand on: where things are, and what several of them need, looked up once and only when one asks."""

import contextlib
import fcntl
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from reconciler.core.kinds.host import Host as HostSpec
from reconciler.core.model import FleetState, Observed, Problem, Ref
from reconciler.drivers import DRIVERS, DriverError
from reconciler.git import Source, SourceError
from reconciler.load import Loader
from reconciler.seams import Seams
from reconciler.store import Examined, StoreError, examine

T = TypeVar("T")


class Nothing(Exception):
    """What a check is about is not there, and need not be; the message says so."""


class Once(Generic[T]):
    """A value that is worked out when it is first asked for; a failure is kept like a value."""

    def __init__(self, work_out: Callable[[], T]) -> None:
        self._work_out = work_out
        self._lock = threading.Lock()
        self._known: list[T] = []
        self._failed: Exception | None = None

    def __call__(self) -> T:
        with self._lock:
            if self._failed is not None:
                raise self._failed
            if not self._known:
                try:
                    self._known.append(self._work_out())
                except Exception as error:
                    self._failed = error
                    raise
            return self._known[0]


@dataclass(frozen=True)
class Followed:
    """What is followed: a folder (`branch` empty) or a branch. `open` makes its Source; `shown` holds no password."""

    url: str
    branch: str
    shown: str
    open: Callable[[], Source]
    signers: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Wishes:
    """The documents in force, or those in the folder: the fleet, or what is wrong with them."""

    revision: str
    fleet: FleetState | None
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class Sight:
    """What the hosts show: what bears our mark, what bears others' (host, printed ref ⇒ whose), and why some show nothing."""

    seen: tuple[Observed, ...]
    foreign: Mapping[tuple[str, str], str]
    blind: Mapping[str, str]


class Ground:
    """One state directory and its store, as they are."""

    def __init__(self, state: Path, store_url: str, followed: Followed | None, seams: Seams) -> None:
        self.state, self.followed, self.seams = state, followed, seams
        self.store: Once[Examined] = Once(partial(_examined, store_url))
        self.wishes: Once[Wishes] = Once(self._wishes)
        self.sight: Once[Sight] = Once(self._look)

    @property
    def hosts(self) -> Path:
        return self.state / "hosts"

    def working(self) -> int:
        """The process that holds this state directory; 0 when there is none."""
        return holder(self.state / "lock")

    def kept(self) -> Examined | None:
        """The store, where it can be read."""
        with contextlib.suppress(StoreError):
            return self.store()
        return None

    def fleet(self) -> FleetState | None:
        """What is declared, as far as that can be known."""
        with contextlib.suppress(SourceError, StoreError, Nothing, OSError):
            return self.wishes().fleet
        return None

    def _wishes(self) -> Wishes:
        if self.followed is None:
            raise Nothing("no source is known here yet")
        source = self.followed.open()
        try:
            kept = self.kept()
            revision = str(kept.state.get("revision", "")) if kept is not None else ""
            if not self.followed.branch:
                revision = source.fetch()
            elif not revision:
                raise Nothing("no revision is in force yet")
            tree = source.tree(revision)
            loaded = Loader(None, self.seams).load(tree, source.read, source)
            return Wishes(revision, loaded.fleet, tuple(loaded.problems))
        finally:
            source.close()

    def _look(self) -> Sight:
        """By the drivers' own eyes, which make nothing."""
        kept = self.kept()
        if kept is None or not kept.installation:
            raise Nothing("the store does not say which marks are ours")
        specs: dict[str, HostSpec] = {one.name: HostSpec() for one in folders(self.hosts)}
        fleet = self.fleet()
        if fleet is not None:
            specs |= {resource.ref.name: cast(HostSpec, resource.spec) for resource in fleet.of("Host")}
        seen: list[Observed] = []
        foreign: dict[tuple[str, str], str] = {}
        blind: dict[str, str] = {}
        for name, spec in sorted(specs.items()):
            make: Any = DRIVERS[spec.driver]
            directory = self.hosts / name
            try:
                with contextlib.closing(
                    make(name, spec, directory, kept.installation, "", lambda _: "", self.seams, _sealed)
                ) as driver:
                    seen += driver.observe()
                    foreign |= {(name, str(ref)): whose for (ref, _), whose in driver.foreign().items()}
            except DriverError as error:
                blind[name] = str(error)
        return Sight(tuple(seen), foreign, blind)


def _examined(url: str) -> Examined:
    try:
        return examine(url)
    except OSError as error:
        raise StoreError(f"cannot open the store: {error.strerror or error}") from error


def _sealed(ref: Ref, *_: object) -> bytes:
    raise DriverError(f"the doctor opens no secrets ({ref})")


def folders(directory: Path) -> list[Path]:
    """The directories in this one, in order; none where it cannot be read."""
    try:
        return sorted(one for one in directory.iterdir() if one.is_dir() and not one.is_symlink())
    except OSError:
        return []


def holder(path: Path) -> int:
    """The process that holds this lock file, by its own word; 0 when nobody does."""
    try:
        lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        said = os.read(lock, 20).split()
        return int(said[0]) if said and said[0].isdigit() else -1
    except OSError:
        return 0
    finally:
        os.close(lock)
    return 0
