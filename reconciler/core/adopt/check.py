"""check(): what Convoy would tell the Envoy × what it runs ⇒ every field in which the two differ."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from envoy.config.bootstrap.v3 import bootstrap_pb2  # type: ignore[import-untyped]
from google.protobuf import json_format  # type: ignore[import-untyped]

from reconciler.core.adopt.carry import Adopted
from reconciler.core.adopt.inventory import CLASSES
from reconciler.core.adopt.same import differences
from reconciler.core.adopt.tls import stand_ins
from reconciler.core.adopt.write import Draft
from reconciler.core.bootstrap import XDS_CLUSTER, bootstrap
from reconciler.core.compile import compile
from reconciler.core.envoy import content
from reconciler.core.kinds.proxygroup import ProxyGroup
from reconciler.core.messages import Message, Path, dotted
from reconciler.core.model import Problem, Ref, Where
from reconciler.core.parse import Document, locate, parse
from reconciler.core.validate import validate

# Of one thing; who has more than that to read has another Envoy before them.
MOST_DIFFERENCES = 100


@dataclass(frozen=True, slots=True)
class Unlike:
    """One field of one thing: what the Envoy runs, and what it would be told. `meant`: a line of the report says so."""

    type: str
    name: str
    field: str
    runs: str
    told: str
    meant: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """`problems` are those of the documents, without the keys that nobody has sealed yet."""

    compared: int
    unlike: tuple[Unlike, ...]
    problems: tuple[Problem, ...] = ()

    @property
    def same(self) -> bool:
        """Whether the fleet says what the Envoy runs, save what the report names."""
        return not self.problems and all(one.meant for one in self.unlike)


def check(adopted: Adopted) -> Verdict:
    """Compile the documents and compare by content; for keys not sealed yet, and workloads of elsewhere, others stand in."""
    names = {one.name: one for one in adopted.drafts if one.kind == "Certificate"}
    drafts = [one for one in adopted.drafts if one.kind != "Certificate"] + list(stand_ins(names).values())
    drafts += _elsewhere(adopted.elsewhere)
    documents: list[Document] = []
    problems: list[Problem] = []
    for one in drafts:
        parsed = parse(f"{one.ref}.yaml", "", one.text.encode(errors="replace"))
        documents += parsed.documents
        problems += parsed.problems
    validated = validate(documents)
    problems += [one for one in validated.problems if not (one.ref and one.ref.kind == "Proxy" and "host" in one.what.lower())]
    if problems:
        return Verdict(0, (), tuple(problems))

    def where(ref: Ref, path: Path, *, key: bool = False) -> Where:
        document = validated.documents.get(ref)
        return locate(document, path, key=key) if document is not None else Where(str(ref))

    compiled = compile("import", validated.resources, where)
    if compiled.fleet is None:
        return Verdict(0, (), compiled.problems)
    group = Ref("ProxyGroup", adopted.group)
    told = {
        (type, resource.name): CLASSES[type].FromString(content(resource.body))
        for type, resources in compiled.fleet.traffic[group].items()
        if type in ("lds", "rds", "cds")
        for resource in resources.values()
    }
    spec = compiled.fleet.resources[group].spec
    assert isinstance(spec, ProxyGroup)  # noqa: S101 - what is called so is of that kind
    unlike = [*_resources(adopted, told), *_bootstrap(adopted, spec)]
    return Verdict(len(adopted.originals) + 1, tuple(unlike))


def _resources(adopted: Adopted, told: Mapping[tuple[str, str], Message]) -> Iterable[Unlike]:
    for key in sorted({*adopted.originals, *told}):
        meant = key in adopted.altered
        if key not in told:
            yield Unlike(*key, "", "is there", "is not", meant)
        elif key not in adopted.originals:
            yield Unlike(*key, "", "is not there", "is", meant)
        else:
            for i, (path, runs, says) in enumerate(differences(adopted.originals[key], told[key])):
                if i == MOST_DIFFERENCES:
                    break
                yield Unlike(*key, dotted(path), runs, says, meant)


def _bootstrap(adopted: Adopted, spec: ProxyGroup) -> Iterable[Unlike]:
    text, _, _ = bootstrap(spec, adopted.group)
    told = bootstrap_pb2.Bootstrap()
    json_format.ParseDict(json.loads(text), told)
    for name in ("id", "cluster"):
        told.node.ClearField(name)
    told.admin.ClearField("address")
    told.ClearField("dynamic_resources")
    others = [one for one in told.static_resources.clusters if one.name != XDS_CLUSTER]
    del told.static_resources.clusters[:]
    told.static_resources.clusters.extend(others)
    for name in ("node", "admin", "static_resources"):
        if not getattr(told, name).ListFields():
            told.ClearField(name)
    for path, runs, says in differences(adopted.bootstrap, told):
        yield Unlike("bootstrap", "", dotted(path), runs, says, False)


def _elsewhere(named: Iterable[tuple[Ref, str]]) -> list[Draft]:
    ports: dict[Ref, list[str]] = {}
    for ref, port in sorted(named, key=str):
        ports.setdefault(ref, []).append(port)
    return [
        Draft(ref.kind, ref.name, {"command": ["true"], "ports": [{"name": port} for port in known]})
        for ref, known in ports.items()
    ]
