"""What the proxies of one group are told: its Configuration, its VirtualHosts, and every cluster and secret those need."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from reconciler.core.envoy import TYPE_URLS, version_of, wrapped
from reconciler.core.kinds.virtualhost import VirtualHost
from reconciler.core.listeners import port_listener
from reconciler.core.messages import Fault
from reconciler.core.model import Ref, Resource, Where, XdsResource
from reconciler.core.near import did_you_mean
from reconciler.core.pieces import Piece
from reconciler.core.references import Mention
from reconciler.core.routes import joined, virtual_host

Traffic = Mapping[str, Mapping[str, XdsResource]]
# Guessing what was meant takes a look at every name there is; past this many guesses in a group nobody reads them.
MOST_GUESSES = 100
# A fault, and the document it is in.
Found = tuple[Ref, Fault]


@dataclass(frozen=True, slots=True)
class Part:
    """A piece as a resource, with the document it stands in."""

    piece: Piece
    resource: XdsResource


@dataclass(frozen=True, slots=True, eq=False)
class Host:
    """A VirtualHost, read: its spec and its encoded form."""

    resource: Resource
    spec: VirtualHost
    encoded: bytes
    mentions: tuple[Mention, ...]


@dataclass(slots=True)
class Group:
    """One group while it is being put together."""

    # What its Configuration declares, also what is broken there; and the clusters its Envoys have from their bootstrap.
    declared: frozenset[tuple[str, str]]
    built_in: frozenset[str]
    # What is declared outside its Configuration: the cluster of a name (None: there is none), all names there are, and
    # whether there is a Certificate of a name.
    shared: Callable[[str], Part | None]
    cluster_names: Callable[[], Collection[str]]
    certificates: Mapping[str, Resource]
    begins: Callable[[Resource], Where]
    parts: dict[str, dict[str, Part]] = field(default_factory=lambda: {"cds": {}, "lds": {}, "rds": {}})
    secrets: dict[str, XdsResource] = field(default_factory=dict)
    faults: list[Found] = field(default_factory=list)

    def add(self, parts: Iterable[Part]) -> None:
        for part in parts:
            self.parts[part.piece.type].setdefault(part.piece.name, part)

    def clashes(self, parts: Iterable[Part], owner: Ref) -> Iterator[Found]:
        """Parts that have the name of something in the group's Configuration."""
        for part in parts:
            if part.piece.name in self.parts[part.piece.type]:
                what = f"{owner} has something named {part.piece.name!r}, as this VirtualHost's port is named"
                yield part.resource.owner, Fault(("port",), what, "rename that")

    def close(self) -> Traffic:
        """Follow every mention until all that is needed is here, or known to be missing."""
        waiting = [part for parts in self.parts.values() for part in parts.values()]
        done: dict[str, dict[str, XdsResource]] = {"cds": {}, "lds": {}, "rds": {}, "sds": self.secrets}
        while waiting:
            part = waiting.pop()
            absent = set()
            for mention in part.piece.mentions:
                if mention.name in (done if mention.type == "sds" else self.parts)[mention.type]:
                    continue
                there, found = self._follow(part, mention)
                if not there:
                    absent.add((mention.type, mention.name))
                elif found is not None:
                    self.parts["cds"][mention.name] = found
                    waiting.append(found)
            resource = part.resource
            if absent:
                resource = replace(resource, refers=tuple(one for one in resource.refers if one not in absent))
            done[part.piece.type][part.piece.name] = resource
        return {type: dict(sorted(resources.items())) for type, resources in done.items()}

    def _follow(self, part: Part, mention: Mention) -> tuple[bool, Part | None]:
        """Whether the mention leads to something that is not here yet, and the part to add for it."""
        if mention.type == "sds":
            return self._secret(part, mention), None
        if (mention.type, mention.name) in self.declared or (mention.type == "cds" and mention.name in self.built_in):
            return False, None
        own = [name for type, name in self.declared if type == mention.type]
        if mention.type == "rds":
            self._lost(part, mention, "route configuration", own, "declare it under `routes`")
            return False, None
        found = self.shared(mention.name)
        if found is None and mention.firm and mention.name not in self.cluster_names():
            names = {*own, *self.built_in, *self.cluster_names()}
            self._lost(part, mention, "cluster", names, "declare a Cluster or an Application of that name")
        return found is not None, found

    def _secret(self, part: Part, mention: Mention) -> bool:
        certificate = self.certificates.get(mention.name)
        if certificate is None:
            self._lost(part, mention, "Certificate", self.certificates, "declare a Certificate of that name")
            return False
        where, ref = self.begins(certificate), certificate.ref
        self.secrets[mention.name] = XdsResource("sds", mention.name, "", b"", where, ref, secret=ref)
        return True

    def _lost(self, part: Part, mention: Mention, what: str, names: Iterable[str], hint: str) -> None:
        if len(self.faults) < MOST_GUESSES:
            hint = did_you_mean(mention.name, names, hint)
        self.faults.append((part.resource.owner, Fault(mention.path, f"there is no {what} {mention.name!r}", hint)))


def host_of(resource: Resource) -> Host:
    spec = cast(VirtualHost, resource.spec)
    return Host(resource, spec, *virtual_host(resource.ref.name, spec))


def ports(hosts: Iterable[Host]) -> dict[int, tuple[Host, ...]]:
    """The VirtualHosts of a group by port, in the order of their names."""
    found: dict[int, list[Host]] = {}
    for host in sorted(hosts, key=lambda one: one.resource.ref.name):
        found.setdefault(host.spec.port, []).append(host)
    return {port: tuple(serving) for port, serving in found.items()}


def port_parts(
    port: int, hosts: Sequence[Host], begins: Callable[[Resource], Where]
) -> tuple[tuple[Part, ...], tuple[Found, ...]]:
    """The listener and the route configuration of one port's VirtualHosts, both named `port-<number>`."""
    faults = [*_unlike(port, hosts), *_same_domains(port, hosts)]
    chains, wrong = _chains(hosts)
    faults.extend(wrong)
    if faults:
        return (), tuple(faults)
    first = hosts[0]
    name, owner = f"port-{port}", first.resource.ref
    origin = begins(first.resource)
    listener = port_listener(name, first.spec.address, port, chains)
    with_port = any(":" in domain for host in hosts for domain in host.spec.domains)
    body = wrapped(TYPE_URLS["rds"], joined(name, [host.encoded for host in hosts], not with_port))
    mentions = tuple({(one.type, one.name): one for host in hosts for one in host.mentions}.values())
    routes = Piece("rds", name, body, version_of("rds", body), (), mentions)
    parts = tuple(Part(piece, bound(piece, owner, origin)) for piece in (listener, routes))
    return parts, ()


def bound(piece: Piece, owner: Ref, origin: Where) -> XdsResource:
    refers = tuple(dict.fromkeys((one.type, one.name) for one in piece.mentions))
    return XdsResource(piece.type, piece.name, piece.version, piece.body, origin, owner, eds=piece.eds, refers=refers)


def _unlike(port: int, hosts: Sequence[Host]) -> Iterator[Found]:
    """One port is one socket: it has one address, and speaks TLS or does not."""
    first = hosts[0]
    for host in hosts[1:]:
        if host.spec.address != first.spec.address:
            what = f"port {port} listens on {first.spec.address} for {first.resource.ref}"
            yield host.resource.ref, Fault(("address",), what, "give all VirtualHosts of a port the same address")
        if (host.spec.tls is None) != (first.spec.tls is None):
            words = ("TLS", "plain HTTP") if first.spec.tls else ("plain HTTP", "TLS")
            what = f"port {port} is {words[0]} for {first.resource.ref} and {words[1]} here"
            yield host.resource.ref, Fault(("tls",), what, "use one port for each")


def _same_domains(port: int, hosts: Sequence[Host]) -> Iterator[Found]:
    known: dict[str, Ref] = {}
    for host in hosts:
        for i, domain in enumerate(host.spec.domains):
            other = known.get(domain.lower())
            if other is not None:
                where = "twice in this document" if other == host.resource.ref else f"already served by {other}"
                yield host.resource.ref, Fault(("domains", i), f"domain {domain!r} on port {port} is {where}")
            known[domain.lower()] = host.resource.ref


def _chains(hosts: Sequence[Host]) -> tuple[dict[str, list[str]], list[Found]]:
    """Certificate ⇒ the names it is shown for; https://www.rfc-editor.org/rfc/rfc6066#section-3 knows no ports in names."""
    chains: dict[str, list[str]] = {}
    shown: dict[str, str] = {}
    faults: list[Found] = []
    several = len({host.spec.tls.certificate for host in hosts if host.spec.tls}) > 1
    for host in hosts:
        if host.spec.tls is None:
            continue
        certificate = host.spec.tls.certificate
        names = chains.setdefault(certificate, [])
        for i, domain in enumerate(host.spec.domains):
            name = domain.lower().partition(":")[0]
            if several and "*" in name and name != "*" and not name.startswith("*."):
                what = f"{domain!r} cannot tell which certificate to show"
                faults.append((host.resource.ref, Fault(("domains", i), what, "write it as a whole name or as *.name")))
            elif shown.setdefault(name, certificate) != certificate:
                what = f"{name!r} is already shown the certificate {shown[name]!r} on this port"
                faults.append((host.resource.ref, Fault(("tls", "certificate"), what)))
            elif name not in names:
                names.append(name)
    return chains, faults
