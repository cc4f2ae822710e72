"""One poisoned field never stalls what stands beside it: it is a Problem where it stands, or it is carried like any other."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from reconciler.core.connect import Connector
from reconciler.core.facts import NO_FACTS
from reconciler.core.kinds import KINDS
from reconciler.core.model import FleetState, ObservedState, Ref
from reconciler.core.plan import plan
from reconciler.core.show import plan_json, plan_markdown
from reconciler.core.status import status
from reconciler.git import Tree
from reconciler.load import Loaded, Loader
from reconciler.seams import Seams

WELL = """apiVersion: convoy/v1
kind: Host
metadata: {name: well}
---
apiVersion: convoy/v1
kind: Container
metadata: {name: well}
spec: {command: [sleep, "1"], host: well}
"""
# What has stalled or crashed others: of the wrong type, at the edge of the right one, and what only looks like it.
POISON: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    2**63,
    1e308,
    5e-324,
    "",
    " ",
    "1e9999",
    "-1s",
    "\u202e\u0000"[:1],
    "a" * 100_000,
    "${PORT}${XDS_TOKEN}",
    "--upload-pack=touch /tmp/x",
    [],
    [[]],
    {},
    {"": ""},
    ["x"] * 2000,
)
# Everything that an Envoy message under `envoy` or `bootstrap` takes is tried by tests/core/test_rules.py.
DEEPEST = 3


def filled(kind: str) -> dict[str, Any]:
    """The kind's own example, with every field of its spec that has a default said as well."""
    spec = KINDS[kind]
    document: dict[str, Any] = yaml.safe_load(yaml.safe_dump(spec.example))
    made = spec.model_validate(document.get("spec", {}))
    document["spec"] = {**made.model_dump(mode="json", by_alias=True, exclude_none=True), **document.get("spec", {})}
    return document


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every field, down to some depth."""
    if path:
        yield path
    if len(path) < DEEPEST:
        items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
        for key, below in items:
            yield from places(below, (*path, key))


def poisoned(document: dict[str, Any], path: tuple[str | int, ...], poison: Any) -> dict[str, Any]:
    copy = yaml.safe_load(yaml.safe_dump(document))
    place: Any = copy
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = poison
    return dict(copy)


class Fleet:
    """Loads as Convoy does, remembering files, so that what one poison leaves behind would meet the next."""

    def __init__(self) -> None:
        self._loader = Loader(None, Seams())
        self._blobs: dict[str, bytes] = {}

    def load(self, **files: str) -> Loaded:
        tree = {}
        for name, text in files.items():
            blob = f"{hash((name, text)) & (2**160 - 1):040x}"
            self._blobs[blob] = text.encode()
            tree[f"{name}.yaml"] = blob
        return self._loader.load(Tree("r", tree), lambda ids: {one: self._blobs[one] for one in ids})


def carried(fleet: FleetState) -> None:
    """All that a round makes of it, up to what people and programs are shown."""
    seen = ObservedState({})
    told = Connector().connect(fleet, seen, {})
    planned = plan(fleet, seen, NO_FACTS, 1000.0)
    status(fleet, planned, seen, NO_FACTS, {}, {}, 1000.0)
    plan_json(planned)
    plan_markdown(planned)
    assert Ref("Container", "well") in {action.ref for action in planned.actions}
    assert all(isinstance(node, str) for node in told)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_poisoned_field_is_alone(kind: str) -> None:
    """Every field of every kind, with everything that has crashed somebody: the other file hears nothing of it."""
    fleet, document = Fleet(), filled(kind)
    alone = fleet.load(well=WELL)
    assert alone.fleet is not None
    well = alone.fleet.workloads[Ref("Container", "well")]
    tried = refused = 0
    for path in places(document):
        for poison in POISON:
            text = yaml.safe_dump(poisoned(document, path, poison), allow_unicode=False)
            loaded = fleet.load(well=WELL, bad=text)
            tried += 1
            if loaded.fleet is None:
                refused += 1
                assert loaded.problems
                assert {problem.where.file for problem in loaded.problems} == {"bad.yaml"}, (path, poison, loaded.problems)
                assert all(len(str(problem)) < 3000 for problem in loaded.problems), (path, str(poison)[:20])
            else:
                assert loaded.fleet.workloads[Ref("Container", "well")] == well
                carried(loaded.fleet)
    # And the fleet without it is what it was.
    assert fleet.load(well=WELL).fleet == alone.fleet
    assert refused > tried / 3


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a" * 64,
        "a" * 100_000,
        "a.b",
        "a/b",
        "../a",
        ".",
        "..",
        "-a",
        "a-",
        "A",
        "a b",
        "a\n",
        "a\u0000",
        "web\u200b",
        "wеb",
        "ｗeb",
        "web\u0301",
        "a%2fb",
        "a\\b",
        "con:1",
        "~root",
        "$HOME",
        "*",
    ],
    ids=ascii,
)
@pytest.mark.parametrize("kind", ["Container", "Host", "Proxy", "Certificate"])
def test_names_that_others_have_cut_or_mistaken(kind: str, name: str) -> None:
    """Names become parts of paths, URLs, node ids and marks: what is no DNS label is none of them."""
    document = {**KINDS[kind].example, "metadata": {"name": name}}
    loaded = Fleet().load(bad=yaml.safe_dump(document, allow_unicode=True))
    assert loaded.fleet is None
    assert all(problem.where.file == "bad.yaml" for problem in loaded.problems)


@pytest.mark.parametrize("tenant", ["A", "a.b", "a b", "x" * 64])
def test_a_tenant_is_a_name_too(tenant: str) -> None:
    """The directory decides whose a document is: one that is no name decides nothing."""
    loader, text = Loader(None, Seams()), WELL.encode()
    loaded = loader.load(Tree("r", {f"tenants/{tenant}/fleet.yaml": "0" * 40}), lambda _: {"0" * 40: text})
    assert loaded.fleet is None
    assert loaded.problems
