"""Refusals as Envoy 1.40 and gRPC 1.85 word them."""

import pytest

from reconciler.xds.nacks import blamed, normalised

RING = "Error adding/updating cluster(s) a: ring hash: minimum_ring_size (2000) > maximum_ring_size (1000), b:c: no, really"
BIND = "cannot bind '127.0.0.1:80': Address already in use"
MATCHER = (
    "error adding listener '127.0.0.1:81': filter chain '' has the same matching rules defined as ''. duplicate matcher is: {}"
)
GRPC = (
    "xDS response validation errors: [resource index 0: c1: INVALID_ARGUMENT: errors validating Cluster: [field:type error:x]"
)


@pytest.mark.parametrize(
    ("message", "candidates", "found"),
    [
        (
            RING,
            {"a", "b", "b:c", "really"},
            {"a": "ring hash: minimum_ring_size (2000) > maximum_ring_size (1000)", "b:c": "no, really"},
        ),
        (f"Error adding/updating listener(s) one: {BIND}\ntwo: {MATCHER}\n", {"one", "two"}, {"one": BIND, "two": MATCHER}),
        (
            GRPC + "; resource index 1: c2: INVALID_ARGUMENT: y]",
            {"c1", "c2"},
            {
                "c1": "INVALID_ARGUMENT: errors validating Cluster: [field:type error:x",
                "c2": "INVALID_ARGUMENT: y",
            },
        ),
        ("Error adding/updating cluster(s) gone: no", {"a"}, {}),
        ("Only a single wildcard domain is permitted in route r2", {"r2"}, {}),
        ("Invalid duration: Expected positive duration: seconds: -1", {"Invalid duration"}, {}),
        ("", {"a"}, {}),
    ],
    ids=["clusters", "listeners", "gRPC", "not ours", "routes name nobody", "nothing is guessed", "silence"],
)
def test_only_what_is_named_is_blamed(message: str, candidates: set[str], found: dict[str, str]) -> None:
    """Each name with the words that are said of it; never a name that only occurs somewhere in the text."""
    assert blamed(message, candidates) == found


def test_equal_refusals_read_equal() -> None:
    """Protobuf marks and spaces its debug output at random; what is left says the same each time."""
    one = 'Proto constraint validation failed:  goo.gle/debugstr   name: "a"\n'
    other = 'Proto constraint validation failed: goo.gle/debugonly name:    "a"'
    assert normalised(one) == normalised(other)
    assert len(normalised("x" * 100_000)) < 5000
