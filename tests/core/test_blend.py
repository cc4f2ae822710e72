"""blend(): what Envoys refuse is taken out, resource by resource, and what is left is consistent."""

from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.blend import Blend, blend, with_live
from reconciler.core.connect import check
from reconciler.core.envoy import snapshot
from reconciler.core.model import Ref, Snapshot, Where, XdsResource

Resources = dict[str, dict[str, XdsResource]]


def one(type: str, name: str, version: str, *refers: tuple[str, str], eds: str = "") -> XdsResource:
    body = f"{type}/{name}/{version}".encode()
    return XdsResource(type, name, version, body, Where("fleet.yaml"), Ref("Configuration", "edge"), None, eds, refers)


def some(*resources: XdsResource) -> Resources:
    found: Resources = {"cds": {}, "eds": {}, "sds": {}, "lds": {}, "rds": {}}
    for resource in resources:
        found[resource.type][resource.name] = resource
    return found


def chain(version: str, cluster: str = "web") -> list[XdsResource]:
    """A listener, its routes, their cluster and its endpoints."""
    return [
        one("lds", "http", f"l{version}", ("rds", "main")),
        one("rds", "main", f"r{version}", ("cds", cluster)),
        one("cds", cluster, f"c-{cluster}-{version}", eds=cluster),
        one("eds", cluster, f"e-{cluster}-{version}"),
    ]


def versions(blended: Blend) -> set[str]:
    return {resource.version for resources in blended.snapshot.resources.values() for resource in resources.values()}


def became(blended: Blend) -> dict[str, str]:
    return {f"{change.resource.type}/{change.resource.name}": change.became for change in blended.changes}


def test_nothing_refused() -> None:
    """What is wanted is what comes out, as the same object."""
    wanted = snapshot(some(*chain("2")))
    assert blend(wanted, {}, some(*chain("1"))).snapshot is wanted
    assert blend(wanted, {"other": "no"}, {}) == Blend(wanted)


def test_the_last_good_takes_the_place() -> None:
    """A refused cluster stays as it was; the rest of the same commit is in force."""
    blended = blend(snapshot(some(*chain("2"))), {"c-web-2": "no such policy"}, some(*chain("1")))
    assert versions(blended) == {"l2", "r2", "c-web-1", "e-web-2"}
    assert became(blended) == {"cds/web": "replaced"}
    assert blended.changes[0].why == "Envoy refuses it: no such policy"
    assert blended.changes[0].resource.version == "c-web-2"


def test_what_needs_the_refused_goes_back_as_well() -> None:
    """Routes to a new cluster that is refused stay the old ones, with the old cluster that is no longer wanted."""
    wanted = snapshot(some(*chain("2", "new")))
    blended = blend(wanted, {"c-new-2": "no"}, some(*chain("1", "old")))
    assert versions(blended) == {"l2", "r1", "c-old-1", "e-old-1", "e-new-2"}
    assert became(blended) == {"cds/new": "dropped", "rds/main": "replaced", "cds/old": "kept", "eds/old": "kept"}
    assert check(blended.snapshot) == []


def test_without_a_last_good() -> None:
    """On a first start the refused goes, with all that cannot be without it; what stands alone stays."""
    alone = one("cds", "alone", "a2")
    blended = blend(snapshot(some(*chain("2"), alone)), {"c-web-2": "no"}, {})
    assert versions(blended) == {"e-web-2", "a2"}
    assert became(blended) == {"cds/web": "dropped", "rds/main": "dropped", "lds/http": "dropped"}
    reasons = {change.resource.type: change.why for change in blended.changes}
    assert reasons["rds"] == "it needs CDS web, which is not there"


def test_a_last_good_that_is_bad_by_now() -> None:
    """What a newer Envoy refuses of the last good is not used either."""
    blended = blend(snapshot(some(*chain("2"))), {"c-web-2": "no", "c-web-1": "no"}, some(*chain("1")))
    assert versions(blended) == {"e-web-2"}


def test_the_same_again() -> None:
    """A resource that did not change and is refused now has nothing to go back to."""
    blended = blend(snapshot(some(*chain("1"))), {"l1": "no"}, some(*chain("1")))
    assert became(blended) == {"lds/http": "dropped"}
    assert versions(blended) == {"r1", "c-web-1", "e-web-1"}


def test_blending_twice_changes_nothing_more() -> None:
    """A blend of a blend is the same blend, and equal inputs give equal versions."""
    refused = {"c-new-2": "no"}
    good = some(*chain("1", "old"))
    first = blend(snapshot(some(*chain("2", "new"))), refused, good)
    assert blend(first.snapshot, refused, good).snapshot is first.snapshot
    assert blend(snapshot(some(*chain("2", "new"))), refused, good).snapshot.version == first.snapshot.version


NAMES = st.sampled_from(["a", "b", "c"])
VERSIONS = st.integers(0, 3)


@st.composite
def worlds(draw: st.DrawFn, whole: bool) -> Resources:
    """Any resources with any references; whole ones are snapshots that may be told."""
    resources: list[XdsResource] = []
    for type, needed in (("eds", ()), ("sds", ()), ("cds", ("cds", "sds")), ("rds", ("cds",)), ("lds", ("rds", "sds", "cds"))):
        for name in draw(st.sets(NAMES)):
            refers = draw(st.lists(st.tuples(st.sampled_from(needed), NAMES), max_size=2)) if needed else []
            eds = draw(st.sampled_from(["", "a", "b"])) if type == "cds" else ""
            # Content decides the version, as it does for real: what refers to other things is other content.
            version = f"{type}-{name}-{draw(VERSIONS)}-{refers}-{eds}"
            resources.append(one(type, name, version, *refers, eds=eds))
    found = some(*resources)
    return trimmed(found) if whole else found


def trimmed(resources: Resources) -> Resources:
    """Without what refers to nothing."""
    while True:
        bad = [
            (type, name)
            for type, named in resources.items()
            for name, resource in named.items()
            for need in (*resource.refers, *((("eds", resource.eds),) if resource.eds else ()))
            if need[1] not in resources[need[0]]
        ]
        if not bad:
            return resources
        for type, name in bad:
            resources[type].pop(name, None)


def all_of(*many: Mapping[str, Mapping[str, XdsResource]]) -> list[XdsResource]:
    return [resource for resources in many for named in resources.values() for resource in named.values()]


@settings(max_examples=80, deadline=None)
@given(worlds(whole=True), worlds(whole=True), st.data())
def test_always_consistent_and_never_refused(wanted: Resources, good: Resources, data: st.DataObject) -> None:
    """Whatever is refused: nothing of it comes out, nothing refers to nothing, and everything is from one of the two."""
    known = sorted({resource.version for resource in all_of(wanted, good)})
    refused = dict.fromkeys(data.draw(st.lists(st.sampled_from(known)) if known else st.just([])), "no")
    target = snapshot(wanted)
    blended = blend(target, refused, good)
    assert check(blended.snapshot) == []
    out = all_of(blended.snapshot.resources)
    assert not {resource.version for resource in out} & refused.keys()
    assert all(resource in all_of(wanted, good) for resource in out)
    # What the refusals do not touch is as wanted: whoever differs has a reason.
    reasons = {(change.resource.type, change.resource.name) for change in blended.changes}
    for resource in all_of(wanted):
        assert blended.snapshot.get(resource.type, resource.name) == resource or (resource.type, resource.name) in reasons
    if not refused.keys() & {resource.version for resource in all_of(wanted)}:
        assert blended.snapshot is target


@settings(max_examples=40, deadline=None)
@given(worlds(whole=False), worlds(whole=False))
def test_even_inconsistent_input_comes_out_consistent(wanted: Resources, good: Resources) -> None:
    """The last line of defence: a snapshot that should never have been made is mended, not passed on."""
    target: Snapshot = snapshot(wanted)
    assert check(blend(target, {}, good).snapshot) == []


def test_what_is_kept_has_the_endpoints_of_now() -> None:
    """A cluster that only the last good routes need is followed, though nothing that is wanted asks for its endpoints."""
    wanted = snapshot(some(*chain("2", "web")))
    good = some(*chain("1", "old"))
    fresh = one("eds", "old", "e-old-now")
    refused = {"r2": "no such policy"}
    assert with_live(some(*chain("1", "web")), wanted, lambda kept: {}) == some(*chain("1", "web"))
    blended = blend(wanted, refused, with_live(good, wanted, lambda kept: dict.fromkeys(kept, fresh)))
    assert blended.snapshot.resources["eds"]["old"].version == "e-old-now"
    assert became(blended)["rds/main"] == "replaced"
