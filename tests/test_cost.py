"""Cost follows what changed and not what exists, counted in steps of the interpreter."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from reconciler.core.connect import Connector
from reconciler.core.declared import touched
from reconciler.core.model import FleetState, ObservedState
from reconciler.core.release import changed
from reconciler.load import Loader
from reconciler.seams import Seams
from tests.bench.load import Fake


def steps(act: Callable[[], object]) -> int:
    """How many steps the interpreter makes for it: a cost that no load on the machine changes."""
    made, before = 0, sys.gettrace()

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal made
        frame.f_trace_opcodes = True
        made += event == "opcode"
        return trace

    sys.settrace(trace)
    try:
        act()
    finally:
        sys.settrace(before)
    return made


def test_what_a_commit_costs_follows_what_it_changes() -> None:
    """A file that is edited among 600 is loaded, compared and told of in as many steps as among 30."""
    costs: list[int] = []
    for documents in (30, 600):
        fake, loader, connector = Fake(documents), Loader(None, Seams()), Connector()

        def come_to(revision: str, fake: Fake = fake, loader: Loader = loader, connector: Connector = connector) -> FleetState:
            fleet = loader.load(fake.tree(revision), fake.read).fleet
            assert fleet is not None
            connector.connect(fleet, ObservedState({}), {})
            return fleet

        came = [come_to("r0")]

        def cost(fake: Fake = fake, come_to: Callable[[str], FleetState] = come_to, came: list[FleetState] = came) -> None:
            came.append(come_to(f"r{len(came)}"))
            last, now = came[-2:]
            assert {str(ref) for ref in changed(last, now)} == {"Cluster/c-1"}
            assert [ref for ref, _ in touched(last.resources, now.resources)] == ["Cluster/c-1"]

        for seconds in (6, 7):
            fake.change(1, seconds)
            last = steps(cost)
        costs.append(last)
    assert costs[1] < 1.1 * costs[0]
