"""adopt(): an inventory ⇒ the documents of a fleet, with a line in the ledger for every part of what the Envoy runs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from reconciler.core.adopt.endpoints import Assignments
from reconciler.core.adopt.hidden import secrets
from reconciler.core.adopt.inputs import Input
from reconciler.core.adopt.inventory import Inventory, Item, by_name, inventory
from reconciler.core.adopt.ledger import Ledger, Line
from reconciler.core.adopt.names import ON_THE_WIRE, is_label, label
from reconciler.core.adopt.same import rewritten, texts
from reconciler.core.adopt.spell import spelled_cluster, spelled_listener, spelled_routes
from reconciler.core.adopt.start import Start
from reconciler.core.adopt.tls import Certificates, served
from reconciler.core.adopt.write import Draft
from reconciler.core.eds import eds_target
from reconciler.core.envoy import ADS
from reconciler.core.messages import Message, dotted
from reconciler.core.model import Ref
from reconciler.core.references import mentions

SOURCES = ("envoy.extensions.filters.network.http_connection_manager.v3.Rds", "config_source")


@dataclass(frozen=True, slots=True)
class Names:
    """How the documents are to be called; what is left empty is made from what the Envoy says of itself."""

    group: str = ""
    proxy: str = ""
    host: str = ""


@dataclass(frozen=True, slots=True)
class Adopted:
    """`originals`: what the Envoy runs, by type and name. `elsewhere`: what the documents name and other documents declare.

    `altered` are the things that are meant to differ; they have a line each.
    """

    drafts: tuple[Draft, ...]
    lines: tuple[Line, ...]
    originals: Mapping[tuple[str, str], Message] = field(repr=False)
    bootstrap: Message = field(repr=False)
    group: str = ""
    altered: frozenset[tuple[str, str]] = frozenset()
    elsewhere: frozenset[tuple[Ref, str]] = frozenset()


def adopt(given: Input, names: Names, *, plain: bool = False, shared: bool = False) -> Adopted:
    """`plain`: only Envoy's own words. `shared`: clusters become documents of their own where their names allow it."""
    ledger = Ledger()
    return _Run(inventory(given, ledger), names, ledger, plain, shared).run()


class _Run:
    """One import."""

    def __init__(self, found: Inventory, names: Names, ledger: Ledger, plain: bool, shared: bool) -> None:
        self.found, self.ledger, self.plain, self.shared = found, ledger, plain, shared
        node = found.bootstrap.node
        self.group = names.group or label(node.cluster or node.id, "envoy")
        self.proxy = names.proxy or (label(node.id, "") if not names.group else "") or f"{self.group}-1"
        self.host = names.host
        self.certificates = Certificates()
        self.assignments = Assignments(found.of("eds"))
        self.spec: dict[str, list[dict[str, Any]]] = {"listeners": [], "routes": [], "clusters": []}
        self.clusters: list[Draft] = []
        self.originals: dict[tuple[str, str], Message] = {}
        self.told: dict[tuple[str, str], Message] = {}
        self.altered: set[tuple[str, str]] = set()
        self.elsewhere: set[tuple[Ref, str]] = set()

    def run(self) -> Adopted:
        start = Start(self.found, self.ledger, self.group, self.proxy)
        self.control = start.control
        self.certificates.take(self.found.of("sds"), self.ledger)
        started = start.run(self.certificates, self._used_clusters())
        inline = [one for one in self.found.of("rds") if not one.dynamic]
        for section, type in (("listeners", "lds"), ("routes", "rds"), ("clusters", "cds")):
            for item, twice in by_name(self.found.of(type)):
                if type == "rds" and (not item.dynamic or self._served_elsewhere(item)):
                    continue
                if item in started.clusters:
                    self.ledger.carried(item.section, f"ProxyGroup/{self.group} bootstrap.static_resources.clusters", item.name)
                elif item in started.replaced:
                    what = "it leads to the control plane that Convoy takes the place of"
                    self.ledger.replaced(item.section, what, item.name)
                elif twice:
                    self.ledger.left(item.section, "something of this type and name was there before it", item.name)
                else:
                    self._one(section, item)
        self._inline(inline)
        self.assignments.tell(self.ledger, {name for type, name in self.originals if type == "cds"} | started.names)
        return Adopted(
            tuple(self._drafts(started.said)),
            tuple(self.ledger.lines),
            self.originals,
            started.bootstrap,
            self.group,
            frozenset(self.altered),
            frozenset(self.elsewhere),
        )

    def _used_clusters(self) -> frozenset[str]:
        items = (*self.found.of("lds"), *self.found.of("rds"), *self.found.of("cds"))
        found: set[str] = set()
        for item in items:
            # A source of configuration that Convoy takes the place of is no use of its cluster.
            copy = _copied(item.message)
            self._sources(copy)
            found.update(one.name for one in mentions(copy) if one.type == "cds")
        return frozenset(found)

    def _one(self, section: str, item: Item) -> None:
        message = _copied(item.message)
        name = item.name
        changes = self._sources(message)
        if section == "listeners" and not name:
            name = message.name = f"listener-{len(self.spec['listeners']) + 1}"
            changes.append(f"it has no name of its own, and is called {name!r} here")
        changes += self.certificates.settle(message, name, self.control)
        if section == "clusters":
            found = self._endpoints(item, message)
            if found is None:
                return
            changes += found
        held = next(secrets(message), None)
        if held is not None:
            where, what = held
            hint = (
                "give it by the name of a file on the host, or by SDS"
                if what.startswith("a ")
                else "import the file that the Envoy was started with"
            )
            self.ledger.left(item.section, f"{dotted(where)} is {what}", item.name, hint)
            return
        if not ON_THE_WIRE.match(name):
            what = "its name is longer than 253 characters or has spaces, and no document can say it"
            self.ledger.left(item.section, what, item.name)
            return
        spell = {"listeners": spelled_listener, "routes": spelled_routes, "clusters": spelled_cluster}[section]
        said = spell(message, plain=self.plain)
        if isinstance(said, str):
            self.ledger.left(item.section, said, item.name)
            return
        key = (item.type, name)
        self.originals[key], self.told[key] = _named(item.message, name), message
        into = f"Configuration/{self.group} {section}[{len(self.spec[section])}]"
        if section == "clusters" and self.shared and is_label(name) and name in self.mentioned:
            self.clusters.append(Draft("Cluster", name, {key: value for key, value in said.items() if key != "name"}))
            into = f"Cluster/{name}"
        else:
            self.spec[section].append(said)
        if changes:
            self.altered.add(key)
            keyless = any("private key" in one for one in changes)
            hint = (
                "seal the key: `convoy secret seal < FILE` prints what stands under `key` of the Certificate" if keyless else ""
            )
            self.ledger.changed(item.section, "; ".join(dict.fromkeys(changes)), item.name, into, hint)
        else:
            self.ledger.carried(item.section, into, item.name)

    @cached_property
    def mentioned(self) -> frozenset[str]:
        """Clusters that listeners and routes name: a document of its own is told to nobody else. Known once those are told."""
        told = (message for key, message in self.told.items() if key[0] != "cds")
        return frozenset(one.name for message in told for one in mentions(message) if one.type == "cds")

    @cached_property
    def asked(self) -> frozenset[str]:
        """Routes that listeners ask their control plane for. Known once those are told."""
        told = (message for key, message in self.told.items() if key[0] == "lds")
        return frozenset(one.name for message in told for one in mentions(message) if one.type == "rds")

    @cached_property
    def named(self) -> frozenset[str]:
        """Every text in a listener: whatever it takes from elsewhere is among them."""
        return frozenset(text for one in self.found.of("lds") for text in texts(one.message))

    def _served_elsewhere(self, item: Item) -> bool:
        """Routes that no listener asks its control plane for come from a file, or from somebody who stays."""
        if item.name in self.asked:
            return False
        if item.name in self.named:
            self.ledger.carried(item.section, "", item.name, "its listener goes on taking it from where it does")
        else:
            self.ledger.left(item.section, "no listener that is imported asks for these routes", item.name)
        return True

    def _sources(self, message: Message) -> list[str]:
        """Routes and endpoints that were asked of the control plane of before are asked of Convoy."""
        said: list[str] = []

        def change(one: Message) -> bool:
            type = one.DESCRIPTOR.full_name
            field = (
                "config_source" if type == SOURCES[0] else "eds_config" if type.endswith(".EdsClusterConfig") else "sds_config"
            )
            if type != SOURCES[0] and not type.endswith((".EdsClusterConfig", ".SdsSecretConfig")):
                return False
            if not served(getattr(one, field), self.control):
                return False
            getattr(one, field).CopyFrom(ADS)
            said.append(f"its {field} is Convoy's one stream")
            return True

        rewritten(message, change)
        return said

    def _endpoints(self, item: Item, message: Message) -> list[str] | None:
        """Endpoints that a control plane told, written down as they are; None where nobody knows them."""
        source = message.eds_cluster_config.eds_config.WhichOneof("config_source_specifier")
        if message.type != message.EDS or message.HasField("cluster_type") or source not in ("ads", "self"):
            return []
        service = message.eds_cluster_config.service_name or item.name
        target = eds_target(service)
        if target is not None:
            self.elsewhere.add(target)
            self.ledger.note(item.section, f"its endpoints are {target[0]}, which this fleet must declare", item.name)
            return []
        found = self.assignments.take(service, item.name)
        if found is None:
            hint = "import /config_dump?include_eds, or say whose they are by `application` or `endpoints`"
            self.ledger.left(
                item.section, "its endpoints come from a control plane and are not in what was read", item.name, hint
            )
            return None
        message.type = message.STATIC
        message.ClearField("eds_cluster_config")
        message.load_assignment.CopyFrom(found)
        message.load_assignment.cluster_name = item.name
        return ["its endpoints came from a control plane, and are written down as they were when it was asked"]

    def _inline(self, items: Iterable[Item]) -> None:
        """Route configurations that stand in their listeners: a dump says them twice."""
        held = {text for key, one in self.originals.items() if key[0] == "lds" for text in _route_configs(one)}
        for item in items:
            if item.message.SerializeToString(deterministic=True) in held:
                self.ledger.carried(item.section, "within its listener", item.name)
            else:
                self.ledger.left(item.section, "it stands in a listener that was left out, or in none", item.name)

    def _drafts(self, said: Mapping[str, Any]) -> Iterable[Draft]:
        group: dict[str, Any] = {"configuration": self.group}
        yield Draft("ProxyGroup", self.group, {**group, "bootstrap": said} if said else group)
        yield Draft("Proxy", self.proxy, {"group": self.group, **({"host": self.host} if self.host else {})})
        yield Draft("Configuration", self.group, {name: entries for name, entries in self.spec.items() if entries})
        yield from self.clusters
        yield from self.certificates.drafts.values()


def _route_configs(message: Message) -> list[bytes]:
    found: list[bytes] = []

    def look(one: Message) -> bool:
        if one.DESCRIPTOR.full_name.endswith(".HttpConnectionManager") and one.HasField("route_config"):
            found.append(one.route_config.SerializeToString(deterministic=True))
        return False

    rewritten(_copied(message), look)
    return found


def _copied(message: Message) -> Message:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def _named(message: Message, name: str) -> Message:
    copy = _copied(message)
    copy.name = name
    return copy
