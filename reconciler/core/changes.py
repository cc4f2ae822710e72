"""What the environments of one fleet say: the values of variables, and which changes are for which document."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reconciler.core.envelope import check
from reconciler.core.kinds.environment import Environment, Patch
from reconciler.core.layers import KINDS, Layer
from reconciler.core.model import Problem
from reconciler.core.parse import Document, locate
from reconciler.core.trail import LABELS, Change
from reconciler.core.variables import Path, Unfilled, Value, fill, told

# The number under which the labels of an environment are kept beside its patches.
LABELS_NUMBER = -1


@dataclass(frozen=True, slots=True)
class _Layer:
    """One layer's changes, in order; the numbers of those for one name, and of the others by kind (None: of every kind)."""

    reach: frozenset[str]
    changes: tuple[Change, ...]
    named: Mapping[str, tuple[int, ...]]
    broad: Mapping[str | None, tuple[int, ...]]

    def considered(self, kind: Any, name: Any, tenant: str) -> list[Change]:
        numbers = {*self.broad.get(None, ())}
        if isinstance(kind, str):
            numbers.update(self.broad.get(kind, ()))
        if isinstance(name, str):
            numbers.update(self.named.get(name, ()))
        found = [self.changes[number] for number in sorted(numbers)]
        return [one for one in found if one.target is None or _may_be(one, kind, tenant)]


def _may_be(change: Change, kind: Any, tenant: str) -> bool:
    target = change.target
    return target is None or (target.kind in (None, kind) and target.tenant in (None, tenant))


@dataclass
class Changes:
    """All environments of a fleet, read together. A value or a change that nothing was edited of stays the same object."""

    values: dict[str, Value] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    _given: tuple[object, ...] = ()
    _layers: tuple[_Layer, ...] = ()
    _known: dict[tuple[Document, int], Change] = field(default_factory=dict)

    def read(self, layers: Sequence[Layer], environments: Mapping[str, Document]) -> bool:
        """Whether they say what they said the last time. With `problems`, nothing else counts."""
        given = (tuple(layers), tuple(sorted(environments.items(), key=lambda one: one[0])))
        if given == self._given:
            return True
        self._given, self._layers, self.problems = given, (), ()
        problems: list[Problem] = []
        specs: list[tuple[str, Document, Environment]] = []
        for layer in layers:
            if layer.root in environments:
                checked = check(environments[layer.root], "default", KINDS)
                problems += checked.problems
                if checked.resource is not None and isinstance(checked.resource.spec, Environment):
                    specs.append((layer.root, environments[layer.root], checked.resource.spec))
        if not problems:
            values, problems = told(((document, spec) for _, document, spec in specs), self.values)
            if not problems:
                self.values = values
                self._read(layers, specs, problems)
        self.problems = tuple(problems)
        return False

    def _read(self, layers: Sequence[Layer], specs: list[tuple[str, Document, Environment]], problems: list[Problem]) -> None:
        reach = _reach(layers)
        known: dict[tuple[Document, int], Change] = {}
        found = []
        for root, document, spec in specs:
            for number, patch in enumerate(spec.patches):
                self._add(known, document, number, patch, problems)
            if spec.labels:
                self._add(known, document, LABELS_NUMBER, None, problems)
            changes = [known[document, number] for number in range(len(spec.patches)) if (document, number) in known]
            changes += [known[document, LABELS_NUMBER]] if (document, LABELS_NUMBER) in known else []
            named: dict[str, tuple[int, ...]] = {}
            broad: dict[str | None, tuple[int, ...]] = {}
            for number, change in enumerate(changes):
                if change.target is not None and change.target.name is not None:
                    named[change.target.name] = (*named.get(change.target.name, ()), number)
                else:
                    kind = change.target.kind if change.target is not None else None
                    broad[kind] = (*broad.get(kind, ()), number)
            found.append(_Layer(reach[root], tuple(changes), named, broad))
        self._known, self._layers = known, tuple(found)

    def _add(
        self,
        known: dict[tuple[Document, int], Change],
        document: Document,
        number: int,
        patch: Patch | None,
        problems: list[Problem],
    ) -> None:
        path: Path = LABELS if patch is None else ("spec", "patches", number)
        what = "merge" if patch is None or patch.merge is not None else "delete" if patch.delete else "json"
        content: Any = document.value
        at = path if patch is None else (*path, what)
        for part in at:
            content = content[part]
        try:
            content, values = fill(content, self.values, at)
        except Unfilled as error:
            problems += [
                Problem(locate(document, one.path, key=one.key), one.what, one.hint, None, one.quiet) for one in error.flaws
            ]
            return
        old = self._known.get((document, number))
        if old is None or old.values != values:
            content = {"metadata": {"labels": content}} if patch is None else content
            old = Change(document, path, what, content, values, patch.target if patch is not None else None)
        known[document, number] = old

    def considered(self, root: str, kind: Any, name: Any, tenant: str) -> tuple[Change, ...]:
        """The changes that may be for a document of the layer `root`, in their order; its labels have yet to be looked at."""
        found: list[Change] = []
        for layer in self._layers:
            if root in layer.reach:
                found += layer.considered(kind, name, tenant)
        return tuple(found)

    @property
    def targeted(self) -> list[Change]:
        return [change for layer in self._layers for change in layer.changes if change.target is not None]


def _reach(layers: Sequence[Layer]) -> dict[str, frozenset[str]]:
    """Each layer's root ⇒ those of the layers whose documents it may change: its own, its bases', theirs."""
    reach: dict[str, frozenset[str]] = {}
    for layer in layers:
        reach[layer.root] = frozenset({layer.root}).union(*(reach.get(base, frozenset()) for base in layer.bases))
    return reach
