"""A route configuration by its virtual hosts: which of them may change now, and one in which the others stay as they were."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from envoy.config.route.v3 import route_pb2  # type: ignore[import-untyped]

from reconciler.core.envoy import content, packed, version_of
from reconciler.core.messages import Message
from reconciler.core.model import XdsResource
from reconciler.core.references import mentions

# Of wildcards at the beginning and at the end of domains, each of one kind may share requests with each of the other.
MOST_PAIRS = 100_000
# What stays may draw others with it, whose domains it needs. A chain of more than these is nobody's work.
MOST_STEPS = 8


@dataclass(frozen=True, slots=True)
class Mixed:
    """`resource` is None where none of it can change without what must not. `hosts` are the virtual hosts that stay as they
    were for the sake of these `clusters`."""

    resource: XdsResource | None
    hosts: tuple[str, ...]
    clusters: frozenset[str]


def mixed(new: XdsResource, old: XdsResource, starting: Collection[str], answered: Callable[[str], bool]) -> Mixed | None:
    """What may be told of `new` where `old` is told now; None: all of it.

    A virtual host waits where a request that was `answered` (by that cluster) before would go to one of the clusters that are
    `starting`. One that serves domains which nobody had before takes nothing from anybody: it does not wait.
    """
    is_now, was = _read(new), _read(old)
    before, after = _Hosts(was.virtual_hosts), _Hosts(is_now.virtual_hosts)
    had = {host.name: _used(host) for host in was.virtual_hosts}
    if max(len(before.domains), len(after.domains)) * max(len(before.ends_open), len(after.ends_open)) > MOST_PAIRS:
        fresh = {name for host in is_now.virtual_hosts for name in _used(host).intersection(starting)}.difference(*had.values())
        return Mixed(None, (), frozenset(fresh)) if fresh else None
    # New host ⇒ the old ones that some of its requests came to: by its domains, and by those that are nobody's own any more.
    earlier: dict[str, list[Message]] = defaultdict(list)
    for domain, host in after.domains.items():
        earlier[host.name] += before.at(domain)
    for domain in before.domains.keys() - after.domains.keys():
        for host in after.at(domain):
            earlier[host.name].append(before.domains[domain])
    waiting: dict[str, None] = {}
    clusters: set[str] = set()
    for host in is_now.virtual_hosts:
        led = _used(host).intersection(starting)
        for name in {one.name for one in earlier[host.name]} if led else ():
            # Who answers by redirecting, or by itself, needs no cluster for it.
            if (news := led - had[name]) and (not had[name] or any(map(answered, had[name]))):
                waiting[host.name] = None
                clusters |= news
    if not waiting:
        return None
    names, whose = tuple(waiting), frozenset(clusters)
    hosts = _together(is_now.virtual_hosts, was.virtual_hosts, waiting, earlier)
    if hosts is None or _head(is_now) != _head(was):
        return Mixed(None, names, whose)
    message = _head(is_now)
    message.virtual_hosts.extend(hosts)
    if message == was:
        return Mixed(None, names, whose)
    body, known = packed(message), {*new.refers, *old.refers}
    refers = dict.fromkeys(pair for one in mentions(message) if (pair := (one.type, one.name)) in known)
    return Mixed(replace(new, body=body, version=version_of("rds", body), refers=tuple(refers)), names, whose)


def _read(resource: XdsResource) -> Message:
    return route_pb2.RouteConfiguration.FromString(content(resource.body))


def _head(routes: Message) -> Message:
    """All but its virtual hosts."""
    head = route_pb2.RouteConfiguration()
    head.CopyFrom(routes)
    del head.virtual_hosts[:]
    return head


def _used(host: Message) -> set[str]:
    """The clusters that get requests of it: one with the weight nought is named, and gets none."""
    named = Counter(one.name for one in mentions(host) if one.type == "cds")
    named.subtract(
        one.name
        for route in host.routes
        for one in route.route.weighted_clusters.clusters
        if one.HasField("weight") and not one.weight.value
    )
    return {name for name, times in named.items() if times > 0}


class _Hosts:
    """Virtual hosts by what they are asked for."""

    def __init__(self, hosts: Sequence[Message]) -> None:
        self.domains = {domain.lower(): host for host in hosts for domain in host.domains}
        ends_open = (host for domain, host in self.domains.items() if domain.endswith("*") and domain != "*")
        self.ends_open = list({host.name: host for host in ends_open}.values())

    def at(self, domain: str) -> list[Message]:
        """Those that requests for this domain, or some of what it stands for, come to where it is nobody's own.

        The wildcard is at one end of a pattern, the longest fits best, and one at the beginning goes before one at the end:
        https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/route/v3/route_components.proto#config-route-v3-virtualhost
        """
        if domain in self.domains:
            return [self.domains[domain]]
        n = len(domain)
        suffixes, prefixes = (f"*{domain[i:]}" for i in range(n)), (f"{domain[:i]}*" for i in range(n, 0, -1))
        best = next((self.domains[one] for one in (*suffixes, *prefixes, "*") if one in self.domains), None)
        found = [best] if best is not None else []
        return [*found, *self.ends_open] if domain.startswith("*") else found


def _together(
    hosts: Iterable[Message], before: Sequence[Message], waiting: Collection[str], earlier: Mapping[str, Sequence[Message]]
) -> list[Message] | None:
    """`hosts`, with those of `before` in the place of what waits; no name and no domain twice. None where there is no end."""
    new = {host.name: host for host in hosts}
    held = set(waiting)
    for _ in range(MOST_STEPS):
        taken = set(_domains(new[name] for name in held))
        behind = {one.name for name in held for one in earlier.get(name, ())}
        back = {
            one.name: one
            for one in before
            if one.name in held or not taken.isdisjoint(_domains([one])) or (one.name in behind and _loses(one, new))
        }
        kept = set(_domains(back.values()))
        more = {
            name for name, host in new.items() if name not in held and (name in back or not kept.isdisjoint(_domains([host])))
        }
        if not more:
            placed = [back.pop(name, None) if name in held else host for name, host in new.items()]
            return [host for host in (*placed, *back.values()) if host is not None]
        held |= more
    return None


def _loses(host: Message, new: Mapping[str, Message]) -> bool:
    """Whether it is to serve less than it did."""
    return host.name not in new or not set(_domains([host])) <= set(_domains([new[host.name]]))


def _domains(hosts: Iterable[Message]) -> Iterator[str]:
    return (domain.lower() for host in hosts for domain in host.domains)
