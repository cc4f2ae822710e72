"""Hosts that are a Convoy's own machine: what runs there is seen from that Convoy's state directory, and from nowhere else."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from reconciler.core.kinds.host import Host as HostSpec
from reconciler.core.kinds.sealed import Ciphertext
from reconciler.core.model import Action, Observed, Ref
from reconciler.core.running import LogAsk, LogLine, Usage
from reconciler.drivers import DRIVERS, Driver, DriverError
from reconciler.orders import short
from reconciler.seams import Seams
from reconciler.secrets import Opener, SecretError
from reconciler.store import HOME, Store, StoreError
from reconciler.xds.identity import token


class Homes:
    """Makes the drivers of one Convoy. Whichever acts first on a host has it from then on, until `convoy take-over`."""

    def __init__(
        self, store: Store, name: str, acts: Callable[[], bool], state: Path, xds_socket: str, opener: Opener, seams: Seams
    ) -> None:
        self._store, self.name, self._acts, self._state = store, name, acts, state
        self._xds_socket, self._opener, self._seams = xds_socket, opener, seams
        self._installation = store.installation()

    def known(self) -> list[str]:
        """Hosts that were worked on from here, also those that no document declares any more."""
        with contextlib.suppress(FileNotFoundError):
            return sorted(directory.name for directory in self._directory().iterdir())
        return []

    def driver(self, name: str, spec: HostSpec) -> Driver:
        key = self._store.xds_key()
        made = DRIVERS[spec.driver](
            name,
            spec,
            self._directory() / name,
            self._installation,
            self._xds_socket,
            lambda node: token(key, node),
            self._seams,
            self._open_secret,
        )
        return _AtHome(made, lambda: self.settle(name))

    def settle(self, host: str) -> bool:
        """True when this host is ours for good; raises DriverError when it is another Convoy's."""
        try:
            home = str(self._store.guards().get(HOME + host, {}).get("name", ""))
            if home and not same(home, self.name):
                raise DriverError(
                    f"what runs on it is seen by {home} alone: run Convoy there, or, if that is no more, "
                    f"`convoy take-over {short(home)}`"
                )
            if not self._acts():
                return False
            if home != self.name:
                self._store.put_guards({HOME + host: {"name": self.name}})
        except StoreError as error:
            raise DriverError(str(error)) from error
        return True

    def _directory(self) -> Path:
        directory = self._state / "hosts"
        # Who only looks may have no state directory here at all.
        with contextlib.suppress(FileNotFoundError):
            directory.mkdir(mode=0o700, exist_ok=True)
        return directory

    def _open_secret(self, ref: Ref, sealed: Ciphertext, purpose: str) -> bytes:
        """At a driver's last hop; raises DriverError."""
        try:
            return self._opener.open(ref, sealed, purpose)
        except (SecretError, StoreError) as error:
            raise DriverError(str(error)) from error


def same(one: str, other: str) -> bool:
    """The names of leader.py: a state directory that was moved, or made anew in its place, is the same home."""
    return short(one) == short(other) or one.rpartition(" ")[0] == other.rpartition(" ")[0]


class _AtHome:
    """A driver that looks nowhere as long as its host is another Convoy's."""

    def __init__(self, driver: Driver, settle: Callable[[], bool]) -> None:
        self._driver, self._settle = driver, settle
        # Only who acts can take a host, so ours stays ours for as long as we act.
        self._settled = False

    def observe(self) -> Iterable[Observed]:
        self._settled = self._settled or self._settle()
        return self._driver.observe()

    def foreign(self) -> Mapping[tuple[Ref, str], str]:
        return self._driver.foreign()

    def apply(self, action: Action) -> None:
        self._driver.apply(action)

    def changed(self, timeout_s: float) -> bool:
        return self._driver.changed(timeout_s)

    def logs(self, ref: Ref, instance: str, ask: LogAsk) -> Iterator[LogLine | None]:
        self._settle()
        return self._driver.logs(ref, instance, ask)

    def usage(self, *, counting: bool = False) -> Iterable[Usage]:
        self._settle()
        return self._driver.usage(counting=counting)

    def close(self) -> None:
        self._driver.close()
