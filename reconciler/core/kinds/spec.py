"""What every kind's spec shares: frozen models, YAML's field names, and what they refer to."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from reconciler.core.kinds.part import Part as Part
from reconciler.core.kinds.part import broken as broken
from reconciler.core.kinds.sealed import SEALED, TEXT, Sealed, Tag, told_by_shape

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


@dataclass(frozen=True, slots=True)
class Selecting:
    """A spec selects resources: where it says so (within `spec`), and the words, as `--only` takes them."""

    path: tuple[str | int, ...]
    text: str


class Spec(Part):
    """One kind's `spec`."""

    # Fields that change on a running thing without replacing it; every other field is changed by replacement.
    in_place: ClassVar[frozenset[str]] = frozenset()
    # Whether something runs because of it, so that there is something to delete and something that can drift.
    runs: ClassVar[bool] = False
    # One document that shows the kind at its best; schemas/ carries it.
    example: ClassVar[dict[str, Any]] = {}

    def references(self) -> Iterator[Reference]:
        """Every resource this spec names."""
        return iter(())

    def selecting(self) -> Iterator[Selecting]:
        """Every selector in this spec."""
        return iter(())

    def suffix_length(self) -> int:
        """How many characters are put behind the resource's name for what is made of it."""
        return 0


# https://pubs.opengroup.org/onlinepubs/9699919799/basedefs/V1_chap08.html, with lower case, which many programs use.
EnvironmentName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=256)]
# What Linux takes for one component of a path, and for one argument (MAX_ARG_STRLEN less the name before it).
LONGEST_COMPONENT, LONGEST_ARGUMENT = 255, 128 * 1024 - 512
Argument = Annotated[str, Field(max_length=LONGEST_ARGUMENT)]
# Text as it is, or a secret in its place.
Value = Annotated[Annotated[Argument, Tag(TEXT)] | Annotated[Sealed, Tag(SEALED)], told_by_shape]
Content = Annotated[Annotated[str, Tag(TEXT)] | Annotated[Sealed, Tag(SEALED)], told_by_shape]


def relative(path: str) -> str:
    """A path that stays inside the instance's directory, written in the one way that names it."""
    hint = "write it relative to the instance's directory, like `etc/app.conf`"
    if path.startswith("/"):
        raise broken(f"{path!r} is an absolute path", hint)
    parts = path.split("/")
    if ".." in parts:
        raise broken(f"{path!r} leads out of the instance's directory", hint)
    if "" in parts or "." in parts:
        raise broken(f"{path!r} is not a plain relative path", hint)
    if not path.isprintable():
        raise broken(f"{path!r} holds characters that cannot be seen", "leave them out")
    if len(path) > 1024 or any(len(part.encode()) > LONGEST_COMPONENT for part in parts):
        raise broken(f"a path of {len(path)} characters is too long for a file", "shorten it")
    return path


# The same for editors; JSON Schema's regular expressions have what pydantic's lack.
RELATIVE_PATTERN = r"^(?!\.{0,2}(/|$))(?!.*//)(?!.*/\.{0,2}(/|$))[^\x00-\x1f]+$"
FilePath = Annotated[str, AfterValidator(relative)]


class Port(Part):
    """A port the workload listens on."""

    name: Name = "http"
    """The name by which checks, clusters and `${PORT_<NAME>}` speak of it."""
    port: PortNumber | None = None
    """A fixed number. Left out, the driver chooses a free one and tells the workload by `${PORT_<NAME>}`. Under a fixed one,
    what replaces an instance on its host is made after that has stopped, and requests fail in between."""
    protocol: Literal["tcp", "unix"] = "tcp"
    """`unix`: a socket path in the instance's own directory instead of a number."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.protocol == "unix" and self.port is not None:
            raise broken("a Unix socket has no port number", "leave out `port` or `protocol`", "port")
        return self


class HttpRequest(Part):
    """An HTTP request to one of the workload's own ports."""

    path: str = Field("/", pattern=r"^/[^\s\x00]*$", max_length=1024)
    """Path and query."""
    port: Name | None = None
    """A port's name; the first port where left out."""
    method: Literal["GET", "HEAD", "POST"] = "GET"
    """The request's method."""


class TcpCheck(Part):
    """Healthy when the port accepts a connection."""

    port: Name | None = None
    """A port's name; the first port where left out."""


class Check(Part):
    """How to tell that an instance is healthy. Exactly one of `http`, `tcp`, `command`."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["http"]}, {"required": ["tcp"]}, {"required": ["command"]}]}
    )

    http: HttpRequest | None = None
    """Healthy when the answer's status is 200 to 399."""
    tcp: TcpCheck | None = None
    """Healthy when a port accepts a connection; `tcp: {}` for the first one."""
    command: tuple[Argument, ...] | None = Field(None, min_length=1, max_length=1000)
    """Healthy when it exits with 0; run in the instance's directory with its environment."""
    interval_s: Seconds = Field(1.0, alias="intervalSeconds")
    """How long after the start of one check the next one starts."""
    timeout_s: Seconds = Field(2.0, alias="timeoutSeconds")
    """A check that takes longer has failed."""
    healthy_after: int = Field(1, ge=1, le=100)
    """How many passes in a row make it healthy."""
    unhealthy_after: int = Field(2, ge=1, le=100)
    """How many failures in a row make it unhealthy."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        said = [name for name in ("http", "tcp", "command") if getattr(self, name) is not None]
        if not said:
            raise broken("a check needs one of `http`, `tcp` and `command`", "`tcp: {}` tries to connect to the first port")
        if len(said) > 1:
            raise broken(f"a check takes one of `http`, `tcp` and `command`, not {' and '.join(said)}", "remove one", said[1])
        return self


class Stop(Part):
    """How an instance is asked to end."""

    http: HttpRequest | None = None
    """A request sent before the signal, for example to start draining."""
    wait_s: float = Field(0.0, ge=0, le=3600, alias="waitSeconds")
    """How long to wait between that request and the signal."""
    signal: Literal["TERM", "INT", "QUIT", "HUP"] = "TERM"
    """The signal that asks it to end."""
    grace_s: Seconds = Field(10.0, alias="graceSeconds")
    """How long after the signal it is killed."""


class Log(Part):
    """Where standard output and error go: files beside the instance, rotated by size."""

    max_bytes: int = Field(10_000_000, ge=4096, le=1 << 40)
    """How large one file may grow before the next one is begun."""
    files: int = Field(3, ge=1, le=100)
    """How many files are kept, the current one included."""


class Run(Spec):
    """What one running instance is made of."""

    in_place: ClassVar[frozenset[str]] = frozenset({"check", "restart", "stop", "log"})
    runs: ClassVar[bool] = True

    command: tuple[Argument, ...] = Field(min_length=1, max_length=1000)
    """The program and its arguments. `${PORT}` (the first port), `${PORT_<NAME>}`, `${ADDRESS}` and `${DIR}` are filled in."""
    environment: dict[EnvironmentName, Value] = Field(default_factory=dict, repr=False)
    """Added to a small clean environment (PATH, HOME, LANG, TMPDIR); the same `${...}` words are filled in.

    A value may be sealed (`convoy secret seal`); what is opened of it is the value as it is, without words filled in.
    """
    files: dict[FilePath, Content] = Field(
        default_factory=dict, json_schema_extra={"propertyNames": {"pattern": RELATIVE_PATTERN}}, repr=False
    )
    """Files written into the instance's directory before it starts: relative path ⇒ text, or a sealed file."""
    working_directory: str | None = Field(None, pattern=r"^/[^\x00]*$", max_length=4096)
    """An absolute path on the host; the instance's own directory where left out."""
    ports: tuple[Port, ...] = Field((), max_length=100)
    """The ports it listens on. The first is the one that is meant where none is named."""
    check: Check | None = None
    """Left out: healthy while the process runs."""
    restart: Literal["always", "on-failure", "never"] = "always"
    """What happens when the process ends by itself."""
    stop: Stop = Field(default_factory=Stop)
    """How it is asked to end."""
    log: Log = Field(default_factory=Log)
    """How much of what it writes is kept."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.command and not self.command[0].strip():
            raise broken("the program to run is empty", "the first entry of `command` names it", "command", 0)
        for path in self.files:
            for end in (i for i, character in enumerate(path) if character == "/"):
                if path[:end] in self.files:
                    raise broken(f"{path[:end]!r} is a file and a directory", "rename one of the two", "files", path)
        self._ports_fit()
        return self

    def _ports_fit(self) -> None:
        names: set[str] = set()
        numbers: set[int] = set()
        for i, port in enumerate(self.ports):
            if port.name in names:
                raise broken(f"two ports are named {port.name!r}", "give each a name of its own", "ports", i, "name")
            if port.port is not None and port.port in numbers:
                raise broken(f"two ports have the number {port.port}", "give each a number of its own", "ports", i, "port")
            names.add(port.name)
            numbers.update(() if port.port is None else (port.port,))
        self._port_of(self.stop.http, names, "stop", "http")
        if self.check is not None:
            self._port_of(self.check.http, names, "check", "http")
            self._port_of(self.check.tcp, names, "check", "tcp")

    @staticmethod
    def _port_of(asked: HttpRequest | TcpCheck | None, names: set[str], *path: str) -> None:
        if asked is None:
            return
        if not names:
            raise broken("there is no port to send this to", "declare one: `ports: [{name: http}]`", *path)
        if asked.port is not None and asked.port not in names:
            raise broken(f"there is no port {asked.port!r}", f"there is {', '.join(sorted(names))}", *path, "port")
