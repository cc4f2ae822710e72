"""Everything in a bootstrap or a dump, one item for each thing an Envoy runs, and each read by itself: one that cannot be
read hides no other."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from envoy.config.bootstrap.v3 import bootstrap_pb2  # type: ignore[import-untyped]
from envoy.config.cluster.v3 import cluster_pb2  # type: ignore[import-untyped]
from envoy.config.endpoint.v3 import endpoint_pb2  # type: ignore[import-untyped]
from envoy.config.listener.v3 import listener_pb2  # type: ignore[import-untyped]
from envoy.config.route.v3 import route_pb2  # type: ignore[import-untyped]
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2  # type: ignore[import-untyped]

from reconciler.core.adopt.inputs import OLD_HINT, OLD_WORDS, Input
from reconciler.core.adopt.ledger import Ledger
from reconciler.core.adopt.same import get
from reconciler.core.messages import Fault, Message, Path, dotted, field_of, parse
from reconciler.core.scalars import short

CLASSES: dict[str, Any] = {
    "lds": listener_pb2.Listener,
    "cds": cluster_pb2.Cluster,
    "rds": route_pb2.RouteConfiguration,
    "sds": secret_pb2.Secret,
    "eds": endpoint_pb2.ClusterLoadAssignment,
}
STATIC = (("listeners", "lds"), ("clusters", "cds"), ("secrets", "sds"))
# Part of a dump ⇒ its lists, the key of the resource in an entry, its type, and whether it came from a control plane.
DUMPS: dict[str, tuple[tuple[str, tuple[str, ...], str, bool], ...]] = {
    "ListenersConfigDump": (
        ("static_listeners", ("listener",), "lds", False),
        ("dynamic_listeners", ("active_state", "listener"), "lds", True),
    ),
    "ClustersConfigDump": (
        ("static_clusters", ("cluster",), "cds", False),
        ("dynamic_active_clusters", ("cluster",), "cds", True),
        ("dynamic_warming_clusters", ("cluster",), "cds", True),
    ),
    "RoutesConfigDump": (
        ("static_route_configs", ("route_config",), "rds", False),
        ("dynamic_route_configs", ("route_config",), "rds", True),
    ),
    "EndpointsConfigDump": (
        ("static_endpoint_configs", ("endpoint_config",), "eds", False),
        ("dynamic_endpoint_configs", ("endpoint_config",), "eds", True),
    ),
    "SecretsConfigDump": (
        ("static_secrets", ("secret",), "sds", False),
        ("dynamic_active_secrets", ("secret",), "sds", True),
        ("dynamic_warming_secrets", ("secret",), "sds", True),
    ),
}
# Whoever has more fields at the top that no Envoy knows has no bootstrap; the rest of them are counted.
MOST_UNKNOWN = 100
# What an Envoy of those days said and one of ours does not know.
OLD_FIELDS = frozenset({"hosts", "tls_context", "config", "dns_resolvers_v1", "runtime", "rate_limit_service", "tls_contexts"})


@dataclass(frozen=True, slots=True)
class Item:
    """One thing: where it was, its type and name, what it says, and whether a control plane sent it."""

    section: str
    type: str
    name: str
    message: Message = field(repr=False)
    dynamic: bool = False


@dataclass(slots=True)
class Inventory:
    """`bootstrap` is all of it but its static resources; None where a dump has none."""

    bootstrap: Message
    items: list[Item] = field(default_factory=list)
    dump: bool = False

    def of(self, type: str) -> list[Item]:
        return [one for one in self.items if one.type == type]


def inventory(given: Input, ledger: Ledger) -> Inventory:
    """What could not be read is in the ledger as left out."""
    found = Inventory(bootstrap_pb2.Bootstrap(), dump=given.dump)
    if not given.dump:
        _bootstrap(given, given.value, "", (), found, ledger)
        return found
    for i, config in enumerate(given.value):
        kind = str(config["@type"]).rpartition(".")[2]
        if kind == "BootstrapConfigDump":
            key, said = get(config, "bootstrap")
            if isinstance(said, Mapping):
                _bootstrap(given, said, "bootstrap.", ("configs", i, key), found, ledger)
        elif kind in DUMPS:
            _dumped(given, config, kind, ("configs", i), found, ledger)
        else:
            _other(config, kind, ledger)
    _once(found, ledger)
    return found


def _bootstrap(given: Input, said: Mapping[str, Any], prefix: str, at: Path, found: Inventory, ledger: Ledger) -> None:
    unknown = 0
    for key, value in said.items():
        if value is not None and field_of(bootstrap_pb2.Bootstrap.DESCRIPTOR, key) is None:
            unknown += 1
            if unknown > MOST_UNKNOWN:
                continue
        if key in ("static_resources", "staticResources") and isinstance(value, Mapping):
            for inner, one in value.items():
                static = next((type for name, type in STATIC if name == inner), "")
                if static and isinstance(one, list):
                    for i, each in enumerate(one):
                        section = f"{prefix}static_resources.{inner}[{i}]"
                        _item(given, each, static, section, (*at, key, inner, i), False, found, ledger)
                else:
                    _section(given, {"static_resources": {inner: one}}, f"{prefix}static_resources.{inner}", at, found, ledger)
        elif value is not None:
            _section(given, {key: value}, f"{prefix}{key}", at, found, ledger)
    if unknown > MOST_UNKNOWN:
        what = f"{unknown - MOST_UNKNOWN} more fields that no Bootstrap has"
        ledger.left(prefix.rstrip(".") or "bootstrap", what, where=given.where(at))


def _section(given: Input, said: Mapping[str, Any], section: str, at: Path, found: Inventory, ledger: Ledger) -> None:
    message, faults = parse(said, bootstrap_pb2.Bootstrap, ())
    if faults:
        _unreadable(given, faults, section, "", at, ledger)
    else:
        found.bootstrap.MergeFrom(message)


def _item(given: Input, said: Any, type: str, section: str, at: Path, dynamic: bool, found: Inventory, ledger: Ledger) -> None:
    said = {key: value for key, value in said.items() if key != "@type"} if isinstance(said, Mapping) else said
    name = _name(said)
    if not isinstance(said, Mapping):
        ledger.left(section, "is no object", where=given.where(at))
        return
    message, faults = parse(said, CLASSES[type], ())
    if faults:
        _unreadable(given, faults, section, name, at, ledger)
    else:
        name = message.cluster_name if type == "eds" else message.name
        found.items.append(Item(section, type, name, message, dynamic))


def _name(said: Any) -> str:
    found = said.get("name", said.get("cluster_name", "")) if isinstance(said, Mapping) else ""
    return short(found, 100) if isinstance(found, str) else ""


def _unreadable(given: Input, faults: tuple[Fault, ...], section: str, name: str, at: Path, ledger: Ledger) -> None:
    first = faults[0]
    place = dotted(first.path)
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    what = f"{place}: {first.what}{more}" if place else f"{first.what}{more}"
    old = any(isinstance(part, str) and part in OLD_FIELDS for part in first.path[-1:])
    if old:
        what += f"; this {OLD_WORDS}"
    unknown = first.path[-1:] == ("@type",)
    hint = "no Convoy of this version can check or send it: it needs xds-protos that knows the type" if unknown else first.hint
    ledger.left(section, what, name, OLD_HINT if old else hint, given.where((*at, *first.path)))


def _dumped(given: Input, config: Mapping[str, Any], kind: str, at: Path, found: Inventory, ledger: Ledger) -> None:
    known = {"@type", "version_info", "versionInfo"}
    for name, path, type, dynamic in DUMPS[kind]:
        key, entries = get(config, name)
        known |= {name, key}
        for i, entry in enumerate(entries if isinstance(entries, list) else ()):
            section = f"{kind}.{name}[{i}]"
            said: Any = entry
            for part in path:
                _, said = get(said, part)
            if said is not None:
                _item(given, said, type, section, (*at, key, i, *path), dynamic, found, ledger)
            _states(entry, section, said is not None, ledger)
    for key in config:
        if key not in known:
            ledger.left(f"{kind}.{key}", "nothing in Convoy stands for this part of a dump")


def _states(entry: Any, section: str, active: bool, ledger: Ledger) -> None:
    name = _name(entry)
    _, error = get(entry, "error_state")
    if error is not None:
        details = error.get("details", "") if isinstance(error, Mapping) else ""
        ledger.left(f"{section}.error_state", f"the Envoy refused this: {short(str(details), 200)}", name)
    for state in ("warming_state", "draining_state"):
        _, said = get(entry, state)
        if said is not None:
            what = "what is there in force is imported, and not what it is on the way to" if active else "is not in force"
            ledger.left(f"{section}.{state}", what, name, "ask again when the Envoy has settled")
    if not active and error is None and get(entry, "draining_state")[1] is None and get(entry, "warming_state")[1] is None:
        ledger.left(section, "holds nothing that is in force", name)


def _other(config: Mapping[str, Any], kind: str, ledger: Ledger) -> None:
    words = {
        "ScopedRoutesConfigDump": "Convoy serves no scoped routes (SRDS); those in a listener itself are carried with it",
        "EcdsConfigDump": "Convoy serves no filters apart from their listener (ECDS): write the filter into it",
    }
    said = [key for key, value in config.items() if key not in ("@type", "version_info") and value]
    if said or kind not in words:
        ledger.left(short(kind, 80), words.get(kind, "nothing in Convoy stands for this part of a dump"))


def _once(found: Inventory, ledger: Ledger) -> None:
    """A dump says static resources twice: as the bootstrap has them, and as they run. What runs is what counts."""
    running = {(one.type, one.name) for one in found.items if not one.section.startswith("bootstrap.")}
    nameless = {_content(one) for one in found.items if one.type == "lds" and not one.section.startswith("bootstrap.")}
    order = {(one.type, one.name): i for i, one in enumerate(found.items) if one.section.startswith("bootstrap.")}
    kept = []
    for one in found.items:
        if one.section.startswith("bootstrap.") and (
            (one.type, one.name) in running or (one.type == "lds" and not one.name and _content(one) in nameless)
        ):
            ledger.carried(one.section, "", one.name, "the same as runs")
        else:
            kept.append(one)
    # A dump has no order of its own; the bootstrap in it has the one that people gave it.
    found.items = sorted(kept, key=lambda one: (order.get((one.type, one.name), len(order)), one.name))


def _content(item: Item) -> bytes:
    copy = type(item.message)()
    copy.CopyFrom(item.message)
    copy.name = ""
    said: bytes = copy.SerializeToString(deterministic=True)
    return said


def by_name(items: list[Item]) -> Iterator[tuple[Item, bool]]:
    """Each item, and whether one of its name came before it."""
    seen: set[str] = set()
    for one in items:
        yield one, one.name in seen
        seen.add(one.name)
