"""What stays in an Envoy's bootstrap: everything of it that Convoy does not write itself."""

from dataclasses import dataclass, field
from typing import Any

from reconciler.core.adopt.hidden import secrets
from reconciler.core.adopt.inventory import Inventory, Item
from reconciler.core.adopt.ledger import Ledger
from reconciler.core.adopt.same import as_said, texts
from reconciler.core.adopt.tls import Certificates
from reconciler.core.bootstrap import XDS_CLUSTER
from reconciler.core.messages import Message, dotted
from reconciler.core.references import mentions

# What an Envoy says of itself, though nobody wrote it.
ITSELF = ("user_agent_name", "user_agent_version", "user_agent_build_version", "extensions", "client_features")


@dataclass(frozen=True, slots=True)
class Started:
    """`said` is a ProxyGroup's `bootstrap`, `bootstrap` the same as a message; `clusters` stand in it, `replaced` nowhere."""

    said: dict[str, Any]
    bootstrap: Message = field(repr=False)
    clusters: tuple[Item, ...] = ()
    replaced: tuple[Item, ...] = ()

    @property
    def names(self) -> set[str]:
        return {one.name for one in (*self.clusters, *self.replaced)}


class Start:
    """One bootstrap. `control` are the clusters by which the Envoy asked its control plane."""

    def __init__(self, found: Inventory, ledger: Ledger, group: str, proxy: str) -> None:
        self._found, self._ledger, self._group, self._proxy = found, ledger, group, proxy
        self._given = found.bootstrap
        dynamic = (one.name for one in mentions(self._given.dynamic_resources) if one.type == "cds")
        self.control = frozenset(dynamic) if self._given.HasField("dynamic_resources") else frozenset()
        self._prefix = "bootstrap." if found.dump else ""

    def run(self, certificates: Certificates, used: frozenset[str]) -> Started:
        """`used` are the clusters that listeners, routes and other clusters name."""
        kept = type(self._given)()
        kept.CopyFrom(self._given)
        self._ours(kept)
        self._layers(kept)
        for name in [one.name for one, _ in kept.ListFields()]:
            self._clean(kept, name)
        # Statistics sinks and tracers call the field that names a cluster by many names: what names one, is meant to.
        wanted = frozenset(texts(kept))
        static = [one for one in self._found.of("cds") if not one.dynamic]
        clusters = self._clusters([one for one in static if one.name in wanted])
        gone = (self.control | {XDS_CLUSTER}) - used - wanted
        replaced = tuple(one for one in static if one.name in gone)
        for item in clusters:
            message = kept.static_resources.clusters.add()
            message.CopyFrom(item.message)
            certificates.settle(message, item.name, self.control)
        for name in self._said(kept):
            self._ledger.carried(f"{self._prefix}{name}", f"ProxyGroup/{self._group} bootstrap.{name}")
        return Started(as_said(kept), kept, clusters, replaced)

    def _said(self, kept: Message) -> list[str]:
        return [field.name for field, _ in kept.ListFields() if field.name != "static_resources"]

    def _ours(self, kept: Message) -> None:
        """What Convoy writes."""
        tell, at = self._ledger, self._prefix
        if kept.HasField("dynamic_resources"):
            tell.replaced(f"{at}dynamic_resources", "Convoy is the control plane now, over a stream of its own")
            kept.ClearField("dynamic_resources")
        if kept.HasField("admin"):
            if kept.admin.HasField("address"):
                tell.replaced(
                    f"{at}admin.address", "Convoy gives each Envoy an admin socket of its own, which only its user may open"
                )
                kept.admin.ClearField("address")
            if not kept.admin.ListFields():
                kept.ClearField("admin")
        if kept.HasField("node"):
            self._node(kept.node)
            if not kept.node.ListFields():
                kept.ClearField("node")

    def _node(self, node: Message) -> None:
        for name, new in (("id", self._proxy), ("cluster", self._group)):
            old = getattr(node, name)
            if old == new:
                self._ledger.carried(f"{self._prefix}node.{name}", f"{'Proxy' if name == 'id' else 'ProxyGroup'}/{new}", old)
            elif old:
                self._ledger.replaced(f"{self._prefix}node.{name}", f"the Envoy will call itself {new!r}", old)
            node.ClearField(name)
        for name in ITSELF:
            if name in {field.name for field, _ in node.ListFields()}:
                self._ledger.carried(f"{self._prefix}node.{name}", "", what="an Envoy says this of itself")
                node.ClearField(name)

    def _layers(self, kept: Message) -> None:
        """Runtime layers that a control plane serves: Convoy serves none, and an Envoy would wait for them."""
        layers = list(kept.layered_runtime.layers)
        stay = [one for one in layers if not one.HasField("rtds_layer")]
        if len(stay) == len(layers):
            return
        for i, one in enumerate(layers):
            if one.HasField("rtds_layer"):
                what = "Convoy serves no runtime layers (RTDS): write its values as a `static_layer`"
                self._ledger.left(f"{self._prefix}layered_runtime.layers[{i}]", what, one.name)
        del kept.layered_runtime.layers[:]
        kept.layered_runtime.layers.extend(stay)
        if not kept.layered_runtime.ListFields():
            kept.ClearField("layered_runtime")

    def _clean(self, kept: Message, name: str) -> None:
        """A section with a secret in it, or a word that Convoy would fill in, is left out as a whole."""
        alone = type(kept)()
        value = getattr(kept, name)
        if hasattr(value, "extend"):
            getattr(alone, name).extend(value)
        elif hasattr(value, "CopyFrom"):
            getattr(alone, name).CopyFrom(value)
        else:
            return
        held = next(secrets(alone), None)
        if held is not None:
            where, what = held
            self._ledger.left(
                f"{self._prefix}{name}", f"{dotted(where)} is {what}", hint="give it by the name of a file on the host"
            )
        elif "${" in str(as_said(alone)):
            self._ledger.left(f"{self._prefix}{name}", "it holds `${`, which Convoy would take for a word that it fills in")
        else:
            return
        kept.ClearField(name)

    def _clusters(self, items: list[Item]) -> tuple[Item, ...]:
        kept = []
        for item in items:
            held = next(secrets(item.message), None)
            if held is None:
                kept.append(item)
        return tuple(kept)
