"""What runs without Convoy: what may be said of it, and that nothing is ever done about it."""

import pytest

from reconciler.core.model import Ref
from tests.fleets import load_text

HEAD = """
apiVersion: convoy/v1
kind: VirtualMachine
metadata: {name: vm-1}
spec: {address: 10.0.0.5}
---
apiVersion: convoy/v1
kind: Host
metadata: {name: h1}
spec: {driver: process}
"""
ONE = """---
apiVersion: convoy/v1
kind: Container
metadata: {name: c1%s}
spec:
  virtualMachine: vm-1
  containerId: abc
  image: envoyproxy/envoy:v1.28.0
"""
CLUSTER = """---
apiVersion: convoy/v1
kind: Cluster
metadata: {name: web}
spec: {container: c1}
"""
NEEDY = """---
apiVersion: convoy/v1
kind: Container
metadata: {name: c2, needs: [Container/c1]}
spec: {command: [x]}
"""


def problems(text: str) -> list[str]:
    with pytest.raises(AssertionError) as caught:
        load_text(text)
    return str(caught.value).splitlines()


def test_nothing_runs_because_of_it() -> None:
    """No workload comes of it, and it is a resource all the same."""
    fleet = load_text(HEAD + ONE % "")
    assert not fleet.workloads
    assert {Ref("Container", "c1"), Ref("VirtualMachine", "vm-1")} <= fleet.resources.keys()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ONE % "" + "  command: [x]\n", "`command` says nothing"),
        (ONE % "" + "  check: {command: [x]}\n", "`check` says nothing"),
        (ONE % "" + "  host: h1\n", "`host` says nothing"),
        (ONE % "" + "  restart: always\n", "`restart` says nothing"),
        (ONE % ", deletion: retain", "`deletion` says nothing"),
        (ONE % ", hook: {when: before-sync}", "`hook` says nothing"),
        (ONE % ", needs: [Container/c1]", "`needs` says nothing"),
        (ONE % "" + CLUSTER, "does not know its ports"),
        (ONE % "" + NEEDY, "nothing can wait for it"),
        ((ONE % "").replace("vm-1", "vm-2"), "vm-2"),
        ((ONE % "").replace("  containerId: abc\n", ""), "`containerId` is missing"),
        ((ONE % "").replace("  virtualMachine: vm-1\n", "  command: [x]\n"), "says nothing of what Convoy runs itself"),
        (ONE % "" + '  resources: {cpu: "0"}\n', "nothing at all"),
        (ONE % "" + "  resources: {memory: 4 Gi}\n", "4Gi"),
    ],
)
def test_what_cannot_be_said(text: str, words: str) -> None:
    """Each is a Problem with its place."""
    found = problems(HEAD + text)
    assert any(words in line for line in found), found
    assert all(":" in line for line in found)


@pytest.mark.parametrize(
    "spec",
    [
        "{address: nowhere}",
        "{address: 10.0.0.256}",
        '{address: "fe80::1%eth0"}',
        "{address: 10.0.0.1, hostname: a_b}",
        '{address: 10.0.0.1, region: "a b"}',
        "{address: 10.0.0.1, cpuCores: 0}",
        "{address: 10.0.0.1, status: gone}",
        '{address: 10.0.0.1, metadata: {a: "x\\e[31m"}}',
        "{}",
    ],
)
def test_machines_that_are_none(spec: str) -> None:
    """An address is one, a region a word, a number of something."""
    assert problems(HEAD.replace("{address: 10.0.0.5}", spec))
