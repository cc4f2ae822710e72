"""A Proxy that is pinned serves its Configuration as the commit that it names declares it, and nothing else moves."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.core.model import Ref
from tests.pinning import BASE, PINNED, Repository, cluster, configuration, document, pin, proxy, told


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    found = Repository(tmp_path)
    yield found
    found.source.close()


def test_what_was_is_served_where_it_is_pinned(repository: Repository) -> None:
    """The Configuration changes for the others; the pinned proxy goes on with what the commit says, on its own port."""
    first = repository.commit(BASE)
    before = told(repository.fleet())
    repository.commit(
        {
            "fleet/edge.yaml": BASE["fleet/edge.yaml"].replace("cluster: web", "cluster: spare"),
            "fleet/two.yaml": proxy(2, pin(first)),
        }
    )
    fleet = repository.fleet()
    after = told(fleet)
    assert set(after["edge-1"].resources["cds"]) == {"spare"}
    assert set(after["edge-2"].resources["cds"]) == {"web"}
    assert after["edge-2"].version == before["edge-2"].version
    listener = after["edge-2"].resources["lds"]["http"]
    assert (listener.owner, listener.pinned) == (Ref("Configuration", "edge"), first)
    assert str(listener.origin) == "fleet/two.yaml:6:13"
    assert fleet.workloads[PINNED].instance == fleet.workloads[Ref("Proxy", "edge-1")].instance


def test_a_configuration_of_its_own(repository: Repository) -> None:
    """Without a commit it is served as the revision in force has it; beside it, the VirtualHosts of the group."""
    shop = document("VirtualHost", "shop", "{group: edge, port: 10080, domains: [a.example], backend: spare}")
    mine = proxy(2, ", configuration: own").replace("10002", "10002, port-10080: 10082")
    repository.commit({**BASE, "fleet/own.yaml": configuration("web", 10000, "own") + shop, "fleet/two.yaml": mine})
    after = told(repository.fleet())
    assert after["edge-2"].resources["lds"]["http"].owner == Ref("Configuration", "own")
    assert set(after["edge-2"].resources["lds"]) == {"http", "port-10080"} == set(after["edge-1"].resources["lds"])
    repository.commit({"fleet/own.yaml": configuration("spare", 10000, "own") + shop})
    assert set(told(repository.fleet())["edge-2"].resources["cds"]) == {"spare"}


def test_what_no_document_declares_any_more(repository: Repository) -> None:
    """A Configuration that is gone is still what the commit declared; its clusters are those of today."""
    first = repository.commit({**BASE, "fleet/own.yaml": configuration("web", 10000, "own")})
    repository.git("rm", "-q", "fleet/own.yaml")
    repository.commit({"fleet/two.yaml": proxy(2, pin(first, "own"))})
    assert set(told(repository.fleet())["edge-2"].resources["cds"]) == {"web"}
    repository.commit(
        {"fleet/clusters.yaml": cluster("spare"), "fleet/edge.yaml": BASE["fleet/edge.yaml"].replace("web", "spare")}
    )
    (problem,) = repository.problems()
    assert problem == (
        f"fleet/two.yaml:6:13: Configuration/own, as commit {first[:12]} declares it: there is no cluster 'web' "
        "(declare a Cluster or an Application of that name)"
    )


def test_pins_that_lead_nowhere(repository: Repository, tmp_path: Path) -> None:
    """Each at the line that names it, with what to do."""
    nowhere, first = "0a" * 20, repository.commit({"fleet/hosts.yaml": BASE["fleet/hosts.yaml"]})
    good = repository.commit(BASE)

    def said(more: str) -> str:
        repository.commit({"fleet/two.yaml": proxy(2, more)})
        (problem,) = repository.problems()
        return problem

    assert said(pin(nowhere)) == (
        "fleet/two.yaml:6:13: there is no commit 0a0a0a0a0a0a here "
        "(name one of this branch by all its 40 digits; of a clone that is shallow, fetch the rest)"
    )
    assert said(pin(first)) == (f"fleet/two.yaml:5:18: commit {first[:12]} declares no Configuration/edge (it has none at all)")
    assert "declares no Configuration/edg (did you mean 'edge'?)" in said(pin(good, "edg"))
    assert said(f",\n  revision: {good}") == (
        "fleet/two.yaml:5:3: it is not said which Configuration is served as that commit declares it "
        "(name it under `configuration`, or leave out `revision`)"
    )
    assert "(name a commit by all its 40 digits, as `git rev-parse` prints them)" in said(pin(good[:12]))
    bad = repository.commit({"fleet/own.yaml": configuration(name="own").replace("listeners", "listener")})
    assert said(pin(bad, "own")).startswith("fleet/own.yaml")
    repository.git("rm", "-q", "fleet/own.yaml")
    assert f"what commit {bad[:12]} declares as Configuration/own is not valid" in said(pin(bad, "own"))
