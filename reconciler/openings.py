"""Whether every secret of the fleet's workloads can be opened here: looked into ahead of the moment when one is needed."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from reconciler.core.kinds.sealed import Sealed
from reconciler.core.kinds.spec import Run
from reconciler.core.model import FleetState, Problem, Ref, Resource, Where
from reconciler.seams import Seams
from reconciler.secrets import Opener, SecretError

# How long one look may hold up a round of the loop; what is left is looked into in the next ones.
SLICE_S = 0.05
# What could not be opened is tried again this often: an identity may be added, and the document stays the same.
AGAIN_S = 5.0


@dataclass(slots=True)
class _Verdict:
    """What was found of one document. `what` is empty where everything opens."""

    digest: str
    what: str
    at: float


@dataclass(slots=True)
class _Fleet:
    """The documents with secrets of one fleet, so that a round in which nothing is new reads no document."""

    of: FleetState | None = None
    holding: list[Resource] = field(default_factory=list)


class Openings:
    """For one loop. Every secret is opened once when it is first seen, for the purpose "check"."""

    def __init__(self, opener: Opener, seams: Seams) -> None:
        self._opener, self._seams = opener, seams
        self._fleet = _Fleet()
        self._verdicts: dict[Ref, _Verdict] = {}

    def problems(self, fleet: FleetState, slice_s: float | None = SLICE_S) -> tuple[Problem, ...]:
        """What cannot be opened, as far as it has been looked into; with None, everything is."""
        if fleet is not self._fleet.of:
            holding = [one for kind in ("Container", "Application") for one in fleet.of(kind) if any(sealed_in(one))]
            self._fleet = _Fleet(fleet, holding)
            kept = {one.ref for one in holding}
            self._verdicts = {ref: verdict for ref, verdict in self._verdicts.items() if ref in kept}
        begun = self._seams.monotonic()
        found = []
        for resource in self._fleet.holding:
            verdict = self._verdicts.get(resource.ref)
            now = self._seams.monotonic()
            due = verdict is None or verdict.digest != resource.digest or (verdict.what and now - verdict.at >= AGAIN_S)
            if due and (slice_s is None or now - begun < slice_s):
                verdict = self._verdicts[resource.ref] = _Verdict(resource.digest, self._look(resource), now)
            if verdict is not None and verdict.what:
                where = Where(resource.source.file, resource.source.line)
                found.append(Problem(where, verdict.what, "", resource.ref))
        return tuple(found)

    def _look(self, resource: Resource) -> str:
        for place, value in sealed_in(resource):
            try:
                self._opener.open(resource.ref, value, "check")
            except SecretError as error:
                return f"{place}: {error}"
        return ""


def closed(problems: Iterable[Problem]) -> dict[Ref, str]:
    """As the planner wants them: declared resource ⇒ why a secret of it cannot be opened."""
    return {problem.ref: problem.what for problem in problems if problem.ref is not None}


def sealed_in(resource: Resource) -> Iterator[tuple[str, Sealed]]:
    """Every secret of a workload, and where in its `spec` it stands."""
    if isinstance(resource.spec, Run):
        for name, value in resource.spec.environment.items():
            if isinstance(value, Sealed):
                yield f"environment {name}", value
        for name, content in resource.spec.files.items():
            if isinstance(content, Sealed):
                yield f"files {name}", content
