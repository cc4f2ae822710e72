"""The nouns every part of Convoy speaks in; all frozen, all plain data."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, cast

from reconciler.core.kinds.document import Hook
from reconciler.core.kinds.settings import Settings
from reconciler.core.kinds.spec import Run, Spec
from reconciler.core.laid import Laid

# Nouns as well, and asked for here with the others.
from reconciler.core.refs import DEFAULT_TENANT as DEFAULT_TENANT
from reconciler.core.refs import DIGEST_FORMAT as DIGEST_FORMAT
from reconciler.core.refs import Problem as Problem
from reconciler.core.refs import Ref as Ref
from reconciler.core.refs import Source as Source
from reconciler.core.refs import Where as Where
from reconciler.core.refs import blob_id as blob_id
from reconciler.core.refs import canonical as canonical
from reconciler.core.refs import digest as digest


@dataclass(frozen=True, slots=True)
class Resource:
    """One declared thing, checked and typed."""

    ref: Ref
    uid: str
    spec: Spec
    source: Source
    labels: Mapping[str, str] = field(default_factory=dict)
    # What becomes of what runs when the document is gone: delete, retain or confirm.
    deletion: str = "delete"
    # What is done with differences no commit made: field ⇒ correct, report or ignore; "" stands for every other field.
    drift: Mapping[str, str] = field(default_factory=dict)
    # Digest of the document's content: equal digests mean an equal spec, so work may be memoised by it.
    digest: str = ""
    # Where an environment changed the document: its own place, those of the patches, and of the values of variables in it, in
    # the order in which they came to it. Empty where the document is as it is written at `source`.
    layers: tuple[Source, ...] = ()
    # What has to be as declared and healthy before this is made or changed.
    needs: tuple[Ref, ...] = ()
    # Set where this is run before or after changes are made, and is no workload that goes on running.
    hook: Hook | None = None
    # What was made of it alone, by whoever did so first; another one that says the same has its own.
    made: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Want:
    """One workload (a Container, one replica of an Application, a Proxy) with everything its driver needs.

    `instance` is the digest of the fields that only a replacement changes; `live` of those that change in place.
    `run` carries `${...}` words that only the host can fill (see `drivers/process`): PORT, PORT_<NAME>, ADDRESS, DIR, ENVOY,
    and in a Proxy's files XDS_TOKEN and XDS_INSTANCE. `owner` is the declared resource it comes from; `host` names the only
    host it may run on, or is empty.
    `fields` are the digests of the fields that change in place, one by one; `deletion` and `drift` are as in Resource.
    """

    ref: Ref
    uid: str
    instance: str
    live: str
    run: Run
    owner: Ref
    host: str = ""
    deletion: str = "delete"
    drift: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FleetState:
    """What one revision declares: every resource, and every workload that follows from them. Complete."""

    revision: str
    resources: Mapping[Ref, Resource]
    workloads: Mapping[Ref, Want]
    # What every proxy of a ProxyGroup is told, type ⇒ name ⇒ resource, save what only observation can fill in (EDS) and
    # what is one proxy's own (its ports). Under a Proxy: what that is told instead, for it has a Configuration of its own.
    traffic: Mapping[Ref, Mapping[str, Mapping[str, "XdsResource"]]] = field(default_factory=dict)

    def of(self, kind: str) -> Iterator[Resource]:
        found = self.kinds.get(kind, {})
        if isinstance(found, Laid):
            found = self.kinds[kind] = found.whole()
        return iter(found.values())

    @cached_property
    def kinds(self) -> dict[str, Mapping[Ref, Resource]]:
        """Asked for dozens of times in a round, of thousands of resources."""
        found: dict[str, dict[Ref, Resource]] = {}
        for ref, resource in self.resources.items():
            found.setdefault(ref.kind, {})[ref] = resource
        return {**found}


def settings_of(fleet: FleetState) -> Settings:
    """The fleet's Settings, or every default."""
    return next((cast(Settings, resource.spec) for resource in fleet.of("Settings")), Settings())


HealthStatus = Literal["healthy", "unhealthy", "starting", "unknown"]


@dataclass(frozen=True, slots=True)
class Health:
    """The last verdict on one instance. Times are Unix seconds; `passed` and `failed` count in a row."""

    status: HealthStatus
    checked_at: float = 0.0
    code: int = 0
    latency_ms: float = 0.0
    passed: int = 0
    failed: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class Observed:
    """One thing on a host that bears our mark.

    `fields` for a workload: `uid`, `owner` (printed ref), `deletion` (what its mark says), `live` (digest), `fields` (digests
    of the fields that change in place, where the driver can tell them), `state` (starting | running | stopping |
    stopped | failed; lost: nothing supervises it, so an update must start it again; unknown), `address`, `ports` (name ⇒
    number or socket path), `pid`, `restarts`, `exit` (status of the last run), `log` (path of its newest output), `stop_s`
    (the longest an orderly end may take), `shared` (who else listens on a port of an Envoy, in words). `since` is when its
    health last changed.
    """

    ref: Ref
    instance: str
    host: str
    fields: Mapping[str, Any]
    health: Health
    since: float

    @property
    def key(self) -> "Key":
        return (self.host, self.ref, self.instance)


Key = tuple[str, Ref, str]


@dataclass(frozen=True, slots=True)
class ObservedState:
    """What was seen, and the hosts that could not be (with the reason why)."""

    resources: Mapping[Key, Observed]
    blind: Mapping[str, str] = field(default_factory=dict)
    # What bears the mark of another installation ⇒ that installation's id. Never touched unless it is taken over.
    foreign: Mapping[Key, str] = field(default_factory=dict)

    def of(self, ref: Ref) -> list[Observed]:
        return [seen for key, seen in self.resources.items() if key[1] == ref]


Verb = Literal["take-over", "create", "update", "delete"]

# The host that `Action.host` names when what acts is the xDS server.
XDS = "xds"


@dataclass(frozen=True, slots=True)
class Action:
    """One step for one host. `deadline_s` is how long the step may take.

    `want` is a Want for a create and an update, None for a delete, the other installation's id for a take-over. `restarts`:
    this update ends what runs, if it still does, and starts it again. `drift`: no commit asked for it, something else has
    changed what runs; `fields` are those that differ, as drift policies name them, where the driver can tell.
    """

    verb: Verb
    ref: Ref
    instance: str
    host: str
    want: Any
    reason: str
    needs: tuple[Ref, ...] = ()
    deadline_s: float = 30.0
    restarts: bool = False
    drift: bool = False
    fields: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        return (self.host, self.ref, self.instance)


@dataclass(frozen=True, slots=True)
class Held:
    """What the plan would do but must not yet: why, and until when (Unix seconds; None: until a fact changes).

    `verb` is None where nobody can tell what will be to do (a host that cannot be seen). `release` is what a person has to do
    about it; empty where time or the next look releases it by itself, and `overdue` is what it becomes where that takes too
    long. `drifted`: what runs differs though no commit asked for it, and is left as it is because the drift policy says so.
    """

    ref: Ref
    reason: str
    until: float | None = None
    instance: str = ""
    verb: Verb | None = None
    release: str = ""
    drifted: bool = False
    overdue: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now, what is held back, and when to look again even if nothing happens (Unix seconds).

    `left` is what differs and is meant to: kept by its deletion policy, or a drift that is ignored (ref ⇒ why).
    """

    revision: str
    actions: tuple[Action, ...]
    held: tuple[Held, ...] = ()
    wake_at: float | None = None
    left: Mapping[Ref, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an action. Done is not proof: only the next observation is."""

    action: Action
    status: Literal["done", "failed", "skipped"]
    error: str = ""
    at: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class XdsResource:
    """One resource an Envoy is told. `version` is a hash of its content.

    `body` is the serialised `google.protobuf.Any`. A secret has no body here: `secret` names the Certificate, and the xDS
    server asks for the opened bytes when it builds the answer. `eds` names the EDS service a cluster takes its endpoints
    from, "" for other clusters. `origin` is where a person would edit it.
    """

    type: str
    name: str
    version: str
    body: bytes
    origin: Where
    owner: Ref
    secret: Ref | None = None
    eds: str = ""
    # Names this resource refers to, as (type, name): what must be there before it, and longer than it.
    refers: tuple[tuple[str, str], ...] = ()
    # The commit that declares it so, where a Proxy is pinned to that; `origin` is then where the Proxy says so.
    pinned: str = ""


# Short names of the xDS types, in the order in which upserts are sent; type URLs are in core/envoy.py.
XDS_TYPES = ("cds", "eds", "sds", "lds", "rds")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything one proxy is told: type ⇒ name ⇒ resource. `version` is a hash of all versions in it."""

    version: str
    resources: Mapping[str, Mapping[str, XdsResource]]

    def get(self, type: str, name: str) -> XdsResource | None:
        return self.resources.get(type, {}).get(name)


@dataclass(frozen=True, slots=True)
class Nack:
    """Envoy refused something: its words (normalised), and which resources it named."""

    type: str
    names: tuple[str, ...]
    # Content versions of the refused resources, so that the very same content is never sent again.
    versions: tuple[str, ...]
    message: str
    at: float
    # The version of Envoy it says it is: another one may take the very same content.
    envoy: str = ""


@dataclass(frozen=True, slots=True)
class Connected:
    """What is known of one proxy's xDS streams.

    `acked` is what the proxy has last acknowledged (type ⇒ name ⇒ version); `sent` the snapshot version it was last told to
    run; `synced` is true when all of that is acknowledged. `envoy` is the version of Envoy it says it is. While one Envoy
    replaces another there are two under one node id: then all of this is about the one that is further behind, `envoys` are
    the versions of both, and `instances` says of each (by `instance_on`) whether it is synced; `unnamed` counts the streams
    that do not say which they are.
    """

    node: str
    envoy: str
    since: float
    sent: str
    synced: bool
    acked: Mapping[str, Mapping[str, str]]
    nacks: tuple[Nack, ...] = ()
    instances: Mapping[str, bool] = field(default_factory=dict)
    unnamed: int = 1
    envoys: frozenset[str] = frozenset()


def instance_on(host: str, instance: str) -> str:
    """By which words an Envoy says which instance of its Proxy it is: a moved one has the same digest on two hosts."""
    return f"{host}/{instance}"
