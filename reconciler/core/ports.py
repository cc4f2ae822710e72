"""Fixed port numbers of workloads that would clash on one host, with each other's or with a proxy's listener.

Listeners among themselves are seen to in core/sockets.py, which knows what Envoy is told of them.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from reconciler.core.across import Found, Locate, Pair
from reconciler.core.envelope import Key
from reconciler.core.kinds.application import Application
from reconciler.core.kinds.configuration import Configuration
from reconciler.core.kinds.container import Container
from reconciler.core.kinds.host import Host
from reconciler.core.kinds.proxy import Proxy
from reconciler.core.kinds.proxygroup import ProxyGroup
from reconciler.core.kinds.spec import Run
from reconciler.core.kinds.virtualhost import VirtualHost
from reconciler.core.model import Ref, Resource
from reconciler.core.parse import Document
from reconciler.core.wording import Flaw

EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, never bound


@dataclass(frozen=True, slots=True)
class Claim:
    """Somebody's port on a host; `path` is where a person would change it."""

    document: Document
    ref: Ref
    path: tuple[str | int, ...]
    address: str


class Hosts:
    """Which hosts there are, by tenant."""

    def __init__(self, resources: Sequence[Resource]) -> None:
        self.addresses = {(one.ref.tenant, one.ref.name): one.spec.address for one in resources if isinstance(one.spec, Host)}
        self._of: dict[str, list[str]] = defaultdict(list)
        for tenant, name in self.addresses:
            self._of[tenant].append(name)

    def may_run(self, resource: Resource) -> Sequence[str]:
        spec = resource.spec
        if isinstance(spec, Application) and spec.hosts:
            return spec.hosts
        if isinstance(spec, Container | Proxy) and spec.host:
            return (spec.host,)
        return self._of[resource.ref.tenant]


def clashes(pairs: Sequence[Pair], locate: Locate) -> Iterator[Found]:
    """A number is known to clash only where it is known which host it is on: the one that is named, or the only one."""
    fixed = [(document, checked.resource) for document, checked in pairs if checked.fixed and checked.resource]
    if not fixed:
        return
    hosts = Hosts([checked.resource for _, checked in pairs if checked.resource])
    taken: dict[tuple[str, str, int], list[Claim]] = defaultdict(list)
    for document, resource in fixed:
        may_run = hosts.may_run(resource)
        yield from _replicas(document, resource, len(may_run))
        if len(may_run) != 1:
            continue
        address = hosts.addresses.get((resource.ref.tenant, may_run[0]), "")
        for path, port in _numbers(resource):
            place = (resource.ref.tenant, may_run[0], port)
            claim = Claim(document, resource.ref, path, address)
            yield from _taken(claim, port, taken[place], locate)
            taken[place].append(claim)
    for host, port, claim in _listeners(pairs, hosts):
        yield from _taken(claim, port, taken.get((claim.ref.tenant, host, port), ()), locate)


def _taken(claim: Claim, port: int, others: Iterable[Claim], locate: Locate) -> Iterator[Found]:
    for other in others:
        same = claim.address == other.address or claim.address in EVERYWHERE or other.address in EVERYWHERE
        if same and other.ref != claim.ref:
            what = f"port {port} is taken on the same host: {other.ref} has it, {locate(other.document, other.path)}"
            yield claim.document, Flaw(claim.path, what, "give one of them another number, or leave the workload's out")
            return


def _numbers(resource: Resource) -> Iterator[tuple[tuple[str | int, ...], int]]:
    if isinstance(resource.spec, Run):
        for i, port in enumerate(resource.spec.ports):
            if port.port is not None:
                yield ("spec", "ports", i, "port"), port.port


def _replicas(document: Document, resource: Resource, hosts: int) -> Iterator[Found]:
    spec = resource.spec
    if isinstance(spec, Application) and 0 < hosts < spec.replicas:
        on = "one host" if hosts == 1 else f"{hosts} hosts"
        for path, port in _numbers(resource):
            what = f"{spec.replicas} replicas on {on} cannot all have port {port}"
            yield document, Flaw(path, what, "leave the number out: the host chooses, and proxies find every replica")


def _listeners(pairs: Sequence[Pair], hosts: Hosts) -> Iterator[tuple[str, int, Claim]]:
    """Host and port of every proxy's listeners, as far as their short spellings say, and as documents of today have them."""
    listeners: dict[Key, dict[str, tuple[str, int | None]]] = defaultdict(dict)
    served: dict[Key, str] = {}
    for _, checked in pairs:
        spec, ref = (checked.resource.spec, checked.resource.ref) if checked.resource else (None, None)
        if ref is None:
            continue
        if isinstance(spec, Configuration):
            listeners["Configuration", ref.tenant, ref.name] = {one.name: (one.address, one.port) for one in spec.listeners}
        elif isinstance(spec, VirtualHost):
            listeners["VirtualHost", ref.tenant, spec.group][f"port-{spec.port}"] = (spec.address, spec.port)
        elif isinstance(spec, ProxyGroup):
            served["ProxyGroup", ref.tenant, ref.name] = spec.configuration or ""
    for document, checked in pairs:
        resource = checked.resource
        if resource is None or not isinstance(resource.spec, Proxy):
            continue
        may_run, tenant, spec = hosts.may_run(resource), resource.ref.tenant, resource.spec
        group = ("ProxyGroup", tenant, spec.group)
        if len(may_run) != 1 or group not in served:
            continue
        configuration = "" if spec.revision else spec.configuration or served[group]
        told: tuple[tuple[Key, str], ...] = (
            (("VirtualHost", tenant, spec.group), "group"),
            (("Configuration", tenant, configuration), "configuration" if spec.configuration else "group"),
        )
        for key, whose in told:
            for name, (address, own) in listeners[key].items():
                port = spec.ports.get(name, own)
                path = ("spec", "ports", name) if name in spec.ports else ("spec", whose)
                if port is not None:
                    yield may_run[0], port, Claim(document, resource.ref, path, address)
