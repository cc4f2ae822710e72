"""What every kind's spec shares: frozen models, YAML's field names, and what they refer to."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

# https://www.rfc-editor.org/rfc/rfc1123#page-13 as Kubernetes reads it: what a DNS label may be.
NAME_PATTERN = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
PortNumber = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86400)]
# An Envoy v3 message in its JSON form; checked against the protobuf and its validation rules in core/envoy.py.
EnvoyMessage = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reference:
    """A spec names another resource: where it says so (keys and indices within `spec`), of which kinds, which name."""

    path: tuple[str | int, ...]
    kinds: tuple[str, ...]
    name: str


class Part(BaseModel):
    """A piece of a spec: frozen, unknown fields refused, camelCase in YAML and snake_case in Python."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True, use_attribute_docstrings=True
    )


class Spec(Part):
    """One kind's `spec`."""

    # Fields that change on a running thing without replacing it; every other field is changed by replacement.
    in_place: ClassVar[frozenset[str]] = frozenset()
    # One document that shows the kind at its best; schemas/ carries it.
    example: ClassVar[dict[str, Any]] = {}

    def references(self) -> Iterator[Reference]:
        """Every resource this spec names."""
        return iter(())


class Port(Part):
    """A port the workload listens on."""

    name: Name = "http"
    """The name by which checks, clusters and `${PORT_<NAME>}` speak of it."""
    port: PortNumber | None = None
    """A fixed number. Left out, the driver chooses a free one and tells the workload by `${PORT_<NAME>}`."""
    protocol: Literal["tcp", "unix"] = "tcp"
    """`unix`: a socket path in the instance's own directory instead of a number."""


class HttpRequest(Part):
    """An HTTP request to one of the workload's own ports."""

    path: str = Field("/", pattern=r"^/[^\s\x00]*$", max_length=1024)
    """Path and query."""
    port: Name | None = None
    """A port's name; the first port where left out."""
    method: Literal["GET", "HEAD", "POST"] = "GET"


class TcpCheck(Part):
    """Healthy when the port accepts a connection."""

    port: Name | None = None
    """A port's name; the first port where left out."""


class Check(Part):
    """How to tell that an instance is healthy. Exactly one of `http`, `tcp`, `command`."""

    http: HttpRequest | None = None
    """Healthy when the answer's status is 200 to 399."""
    tcp: TcpCheck | None = None
    command: tuple[str, ...] | None = Field(None, min_length=1)
    """Healthy when it exits with 0; run in the instance's directory with its environment."""
    interval_s: Seconds = Field(1.0, alias="intervalSeconds")
    timeout_s: Seconds = Field(2.0, alias="timeoutSeconds")
    healthy_after: int = Field(1, ge=1, le=100)
    """How many passes in a row make it healthy."""
    unhealthy_after: int = Field(2, ge=1, le=100)
    """How many failures in a row make it unhealthy."""


class Stop(Part):
    """How an instance is asked to end."""

    http: HttpRequest | None = None
    """A request sent before the signal, for example to start draining."""
    wait_s: float = Field(0.0, ge=0, le=3600, alias="waitSeconds")
    """How long to wait between that request and the signal."""
    signal: Literal["TERM", "INT", "QUIT", "HUP"] = "TERM"
    grace_s: Seconds = Field(10.0, alias="graceSeconds")
    """How long after the signal it is killed."""


class Log(Part):
    """Where standard output and error go: files beside the instance, rotated by size."""

    max_bytes: int = Field(10_000_000, ge=4096, le=1 << 40)
    files: int = Field(3, ge=1, le=100)
    """How many files are kept, the current one included."""


class Run(Spec):
    """What one running instance is made of."""

    in_place: ClassVar[frozenset[str]] = frozenset({"check", "restart", "stop", "log"})

    command: tuple[str, ...] = Field(min_length=1, max_length=1000)
    """The program and its arguments. `${PORT}` (the first port), `${PORT_<NAME>}`, `${ADDRESS}` and `${DIR}` are filled in."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Added to a small clean environment (PATH, HOME, LANG, TMPDIR); the same `${...}` words are filled in."""
    files: dict[str, str] = Field(default_factory=dict)
    """Files written into the instance's directory before it starts: relative path ⇒ text."""
    working_directory: str | None = None
    """An absolute path on the host; the instance's own directory where left out."""
    ports: tuple[Port, ...] = ()
    check: Check | None = None
    """Left out: healthy while the process runs."""
    restart: Literal["always", "on-failure", "never"] = "always"
    stop: Stop = Field(default_factory=Stop)
    log: Log = Field(default_factory=Log)
