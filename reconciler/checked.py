"""What a real Envoy says against a revision before it comes into force, as Problems at the lines a person would edit."""

import threading
from collections.abc import Mapping

from reconciler.certificates import Certificates
from reconciler.core.connect import Connector
from reconciler.core.handover import node_id
from reconciler.core.model import FleetState, ObservedState, Problem, Ref, Snapshot
from reconciler.gate import Gates

# How long a real Envoy may take over one revision before that is reported as a Problem.
GATE_DEADLINE_S = 120.0


class Unchecked(Exception):
    """A real Envoy was to check a revision and could not: it is neither good nor refused, and is tried again."""


def told(fleet: FleetState, certificates: Certificates) -> Mapping[str, Snapshot]:
    """What each proxy would be told if nothing ran yet: all that a revision alone decides."""
    return Connector().connect(fleet, ObservedState({}), certificates.versions(fleet))


def check(fleet: FleetState, gate: Gates, certificates: Certificates, closed: threading.Event) -> tuple[Problem, ...]:
    """What a real Envoy says against this revision, as Problems at the lines a person would edit."""
    problems: dict[tuple[str, str], Problem] = {}
    programs = {node_id(ref): want.run.command[0] for ref, want in fleet.workloads.items() if ref.kind == "Proxy"}
    for node, snapshot in told(fleet, certificates).items():
        verdict = gate.check(snapshot, programs.get(node, ""), deadline_s=GATE_DEADLINE_S, closed=closed)
        if verdict.unchecked and not verdict.refused:
            raise Unchecked(
                f"revision {fleet.revision} could not be checked by a real Envoy, and is tried again: {verdict.unchecked}"
            )
        for resources in snapshot.resources.values():
            for resource in resources.values():
                message = verdict.refused.get(resource.version)
                if message is not None:
                    then = f", as commit {resource.pinned[:12]} declares it" if resource.pinned else ""
                    what = f"Envoy refuses {resource.type.upper()} {resource.name}{then}: {message}"
                    ref = Ref.parse(f"Proxy/{node}") if resource.pinned else resource.owner
                    problems[(str(resource.origin), message)] = Problem(resource.origin, what, "", ref)
    return tuple(problems[key] for key in sorted(problems))
