"""What an instance prints and uses: what a driver is asked, and answers, beside whether it is there and well."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.core.model import Ref

# A longer line comes in pieces: nobody has to hold it whole.
LONGEST_LINE = 64 * 1024


@dataclass(frozen=True, slots=True)
class LogAsk:
    """Which of an instance's output: the last `lines` of it (None: all), printed after `since` (Unix seconds); with
    `previous` of the run before the last one; with `follow` also what comes, until the instance is gone."""

    lines: int | None = None
    since: float = 0.0
    previous: bool = False
    follow: bool = False


@dataclass(frozen=True, slots=True)
class LogLine:
    """Bytes as they were printed, with the line's end where they have one. `at` (Unix seconds): None where nobody knows."""

    text: bytes
    at: float | None = None

    @property
    def whole(self) -> bool:
        """Whether the line ends here: one that is long, or not finished yet, comes in pieces."""
        return self.text.endswith(b"\n")


@dataclass(frozen=True, slots=True)
class Traffic:
    """What an Envoy counts: requests and errors (5xx) since it began, connections open now, and how long requests took that
    ended in its last five seconds (upper bound in ms ⇒ how many that took longer than the bound before)."""

    requests: int = 0
    errors: int = 0
    connections: int = 0
    buckets: Mapping[float, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Counted:
    """What an Envoy has counted of one thing since it began: requests that were answered, errors (5xx) among them, and how long
    they took (a histogram, as latency.py packs it: a thousand Envoys have many); and connections open now."""

    requests: int = 0
    errors: int = 0
    connections: int = 0
    latency: bytes = b""


@dataclass(frozen=True, slots=True)
class Counts:
    """Of an Envoy as a whole, and of each cluster that it has used, by Envoy's name for it. `at` is by the clock that never
    goes back."""

    at: float
    whole: Counted
    clusters: Mapping[str, Counted] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Usage:
    """What one instance has used since it began, and uses. `traffic` is what an Envoy says of itself, where it answers; who
    asks for that has `counts` in its place.

    `cpu_s` counts processor seconds and never goes back as long as the same processes run; `memory_bytes` is what is held in
    memory now, with pages that processes share counted for each. `pid` and `age_s` (0, and None, where nobody can tell) say
    which of an instance's runs this is, and how long ago it began.
    """

    ref: Ref
    instance: str
    host: str
    cpu_s: float
    memory_bytes: int
    processes: int
    at: float
    traffic: Traffic | None = None
    counts: Counts | None = None
    pid: int = 0
    age_s: float | None = None
