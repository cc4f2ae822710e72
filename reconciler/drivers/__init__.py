"""What a driver is: it looks at one host, and it does one action there. Both may be repeated without harm."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from reconciler.core.model import Action, Observed, Ref
from reconciler.core.running import LogAsk, LogLine, Usage


class DriverError(Exception):
    """What was attempted, on what, and what to do; the only exception a driver lets out."""


class NoInstance(DriverError):
    """There is no such instance of ours on the host, or not any more."""


class Driver(Protocol):
    """One host. Safe to call from several threads at once."""

    def observe(self) -> Iterable[Observed]:
        """Everything on the host that bears our mark; raises DriverError when it cannot be seen whole."""

    def foreign(self) -> Mapping[tuple[Ref, str], str]:
        """What the last look found that bears another installation's mark: (ref, instance) ⇒ that installation."""

    def apply(self, action: Action) -> None:
        """Carry out one action within `action.deadline_s`; raises DriverError. Doing it twice is as doing it once."""

    def changed(self, timeout_s: float) -> bool:
        """Wait until something on the host may have changed (True) or the time is over (False)."""

    def logs(self, ref: Ref, instance: str, ask: LogAsk) -> Iterator[LogLine | None]:
        """What an instance of ours has printed, oldest first, its secrets taken out; raises DriverError, also at the first
        line, and NoInstance. While following: None at least every second in which nothing came, and an end when the
        instance is gone."""

    def usage(self, *, counting: bool = False) -> Iterable[Usage]:
        """What every instance of ours that runs uses now; raises DriverError. `counting`: of Envoys all that they have counted
        since they began, by cluster. Within a minute at most, whatever Envoys do: those who do not answer have none."""

    def close(self) -> None:
        """Let go of watches and threads. What runs on the host goes on running."""


# At the end, because a driver imports what is above.
from reconciler.drivers.process import Process  # noqa: E402

# Host.driver ⇒ how to make one: (host, spec, directory, installation, xds_socket, xds_token, seams).
DRIVERS: dict[str, Callable[..., Driver]] = {"process": Process}
