"""What is in force after a restart is what was in force before it, whatever was withheld of how many revisions."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import lru_cache
from tempfile import TemporaryDirectory

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from reconciler.core.model import FleetState, ObservedState
from reconciler.core.release import InForce, changed
from reconciler.releases import Releases
from reconciler.seams import Seams
from reconciler.store import Store
from reconciler.wanted import Accepted
from tests.fleets import load_text

NOON = 1783080000.0
CLOSED = '{kind: deny, schedule: "* * * * *", durationSeconds: 3600, only: [%s]}'
HEAD = "apiVersion: convoy/v1\nkind: %s\nmetadata: {name: %s}\nspec: {%s}\n"
# What a revision may say of each of these; "" leaves it out.
SITE = 'group: edge, port: 1800%s, domains: ["*"], backend: web'
PARTS = {
    "ProxyGroup/edge": ["", "concurrency: 2", "concurrency: 3"],
    "Proxy/edge-1": ["group: edge, host: h1", "group: edge, host: h3"],
    "Proxy/edge-2": ["", "group: edge, host: h2"],
    "VirtualHost/one": [SITE % 1, SITE % 2],
    "VirtualHost/two": ["", SITE % 3, SITE % 4],
    "Application/web": ["command: [x], ports: [{}]", "command: [y], ports: [{}]"],
}
ALWAYS = ("ProxyGroup/edge",)
REVISION = st.tuples(
    st.tuples(*(st.sampled_from(said) for said in PARTS.values())), st.frozensets(st.sampled_from([*PARTS]), max_size=3)
)


@lru_cache(None)
def fleet(said: tuple[str, ...], closed: frozenset[str]) -> FleetState:
    documents = [HEAD % (*ref.split("/"), spec) for ref, spec in zip(PARTS, said, strict=True) if spec or ref in ALWAYS]
    windows = f"windows: [{CLOSED % ', '.join(sorted(closed))}]" if closed else ""
    return load_text(
        "---\n".join([*(HEAD % ("Host", f"h{i}", "") for i in (1, 2, 3)), HEAD % ("Settings", "fleet", windows), *documents])
    )


def store_in(folder: str, name: str) -> Store:
    return Store(f"sqlite:///{folder}/{name}.db", Seams())


def round_of(releases: Releases, store: Store, wanted: FleetState, known: Sequence[FleetState]) -> InForce:
    """As the loop does it: decided, kept, and only then acted upon."""
    accepted = Accepted(wanted, noticed_at=NOON, before={one.revision: one for one in known})
    force = releases.decide(accepted, wanted, {}, ObservedState({}), NOON)
    store.put_guards(dict(releases.changes()))
    releases.kept()
    return force


@pytest.mark.slow
@given(st.lists(REVISION, min_size=2, max_size=5))
@settings(max_examples=100, phases=[Phase.generate], deadline=None)
def test_a_restart_at_any_revision_changes_nothing(said: list[tuple[tuple[str, ...], frozenset[str]]]) -> None:
    """One that is begun anew for each revision has the same in force as one that goes on, document by document, workload by
    workload, and in all that proxies are told; and asked again, each says the same and has nothing to keep."""
    revisions = [replace(fleet(*one), revision=f"r{number}") for number, one in enumerate(said)]
    with TemporaryDirectory() as at, closing(store_in(at, "ours")) as ours, closing(store_in(at, "theirs")) as theirs:
        going = Releases(ours)
        for wanted in revisions:
            one = round_of(going, ours, wanted, revisions)
            anew = Releases(theirs)
            other = round_of(anew, theirs, wanted, revisions)
            assert one.withheld == other.withheld
            assert changed(one.fleet, other.fleet) == frozenset()
            assert one.fleet.workloads == other.fleet.workloads
            assert one.fleet.traffic == other.fleet.traffic
            assert ours.guards() == theirs.guards()
            again = round_of(going, ours, wanted, revisions)
            assert (again.fleet, again.withheld, going.changes()) == (one.fleet, one.withheld, {})
