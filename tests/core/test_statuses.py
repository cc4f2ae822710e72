"""What is found about a round's few changes is what is found about all resources, and so are the counts over them."""

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import pytest

from reconciler.core.edition import differing
from reconciler.core.facts import NO_FACTS, Facts
from reconciler.core.model import FleetState, Held, ObservedState, Plan, Ref
from reconciler.core.returning import Left, Returning
from reconciler.core.status import status
from reconciler.core.statuses import Status, Statuses
from reconciler.load import Loader
from reconciler.seams import Seams
from tests.bench.load import FIXED, Fake

SETTINGS = "---\napiVersion: convoy/v1\nkind: Settings\nmetadata: {name: fleet}\nspec: {%s}\n"
RULE = 'health: [{kind: Cluster, expression: "proxies > 0", status: degraded}]'


class Changing:
    """A fleet of clusters of which a Configuration names some, loaded again after each step."""

    def __init__(self, clusters: int, seed: int) -> None:
        self.fake, self.random, self.names = Fake(clusters), random.Random(seed), list(range(clusters))
        self.used, self.rules, self.steps, self.next = {0}, False, 0, clusters
        self.loader = Loader(None, Seams())
        self._routed()

    def step(self) -> None:
        """Something that people do."""
        self.steps += 1
        match self.random.randrange(8):
            case 0 | 1:
                self.fake.change(self.random.choice(self.names), 5 + self.steps)
            case 2:
                self.names.append(self.next)
                self.fake.change(self.next, 5)
                self.next += 1
            case 3:
                gone = self.random.choice(self.names)
                if gone not in self.used:
                    self.names.remove(gone)
                    path = f"fleet/clusters/c-{gone}.yaml"
                    del self.fake.files[path]
                    self.fake.ids = self.fake.ids.edited({path: None})
            case 4 | 5:
                self.used = set(self.random.sample(self.names, self.random.randrange(1, 4)))
                self._routed()
            case 6:
                self.rules = not self.rules
                self._routed()
            case _:
                """Nothing at all."""

    def _routed(self) -> None:
        routes = ", ".join(f"{{prefix: /{n}, cluster: c-{n}}}" for n in sorted(self.used))
        text = FIXED.replace("{prefix: /, cluster: c-0}", routes) + SETTINGS % (RULE if self.rules else "")
        self.fake.put("fleet/edge.yaml", text.encode())

    def fleet(self) -> FleetState:
        loaded = self.loader.load(self.fake.tree(f"r{self.steps}"), self.fake.read)
        assert loaded.fleet is not None, loaded.problems
        return loaded.fleet


@pytest.mark.parametrize("seed", range(6))
def test_incremental_equals_from_scratch(seed: int) -> None:
    """Clusters come, go, change, are used and are not; some are refused, some withheld, rules of health come and go."""
    changing, before, told = Changing(30, seed), Statuses(), set[str]()
    for _ in range(60):
        changing.step()
        fleet, choose = changing.fleet(), changing.random
        every = list(fleet.resources)
        refused = {ref: "no" for ref in choose.sample(every, choose.randrange(3)) if ref.kind == "Cluster"}
        # One of them is not in force yet.
        withheld = {ref: Held(ref, "waits") for ref in (choose.choice(every), Ref("Cluster", "later")) if choose.random() < 0.4}
        facts = replace(NO_FACTS, withheld=withheld)
        asked = fleet, Plan(fleet.revision, ()), ObservedState({}), facts, refused
        found = status(*asked, before, changing.steps)
        assert found == status(*asked, dict(before), changing.steps)
        assert found == status(*asked, Statuses(before), changing.steps)
        assert found.counts == Counter((one.ref.kind, one.sync, one.health) for one in found.values())
        assert found.unwell == {ref: one for ref, one in found.items() if not one.well}
        assert set(differing(before, found)) >= {
            ref for ref in before.keys() | found.keys() if before.get(ref) != found.get(ref)
        }
        told |= {f"{one.sync} {one.health}" for one in found.values()}
        before = found
    assert {"synced none", "synced degraded", "refused none", "pending none"} <= told


def test_what_rests_is_not_looked_at() -> None:
    """A thousand clusters that nobody uses: after one has changed, all are the same objects, and few were asked for."""
    changing = Changing(1000, 0)

    class Counted(dict[Ref, Status]):
        asked = 0

        def get(self, *about: object) -> object:  # type: ignore[override]
            Counted.asked += 1
            return super().get(*about)  # type: ignore[call-overload]

    class Kept(Statuses):
        def get(self, *about: object) -> object:  # type: ignore[override]
            Counted.asked += 1
            return super().get(*about)  # type: ignore[call-overload]

    fleet = changing.fleet()
    seen: tuple[Plan, ObservedState, Facts, Mapping[Ref, str]] = Plan("r", ()), ObservedState({}), NO_FACTS, {}
    first = status(fleet, *seen, {}, 1.0)
    whole = status(changing.fleet(), *seen, Counted(first), 2.0)
    assert Counted.asked >= 1000
    Counted.asked = 0
    changing.fake.change(7, 99)
    found = status(changing.fleet(), *seen, Kept(whole, whole.basis), 3.0)
    assert Counted.asked < 30
    assert all(found[ref] is one for ref, one in first.items() if one.health == "none" and one.sync == "synced")


def test_after_a_start_what_rests_is_not_looked_at_either() -> None:
    """What the last Convoy said is kept of what is away, and all the rest is as it was found."""
    fleet = Changing(30, 0).fleet()
    found = status(fleet, Plan("r0", ()), ObservedState({}), NO_FACTS, {}, {}, 1.0)
    proxy, used, unused = Ref("Proxy", "edge-1"), Ref("Cluster", "c-0"), Ref("Cluster", "c-9")
    left = Left("r0", True, {ref: replace(found[ref], sync="failed", why="worse") for ref in (proxy, used, unused)})
    told = Returning(left).told(fleet, found, {})
    assert (found[proxy].sync, found[used].sync) == ("pending", "pending")
    assert (told[proxy].sync, told[used].sync) == ("failed", "failed")
    assert told[unused] is found[unused]
    assert told.counts == Counter((one.ref.kind, one.sync, one.health) for one in told.values())
    assert told.unwell == {ref: one for ref, one in told.items() if not one.well}
    assert told.basis is found.basis
