"""An environment over a base, changed by this dialect's own operations: all of it goes to the environment's own layer."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests import repos
from tests.api.envoy_fleet import proxied
from tests.api.envoy_fleet.playing import Dialect, patient
from tests.api.envoy_fleet.test_configurations import BACK, EAST, GET, PUT, WEST, changed_files, cluster, names, put

OWN = "environments/production/"
ENVIRONMENT = (
    proxied.HEAD.format("Environment", "production")
    + """spec:
  bases: [../../base] # shared
  values: {port: 10443}
  patches:
    # theirs is larger
    - target: {kind: Cluster, name: shop}
      merge: {spec: {connectTimeoutSeconds: 2}}
"""
)
BASE = (
    proxied.HEAD.format("Environment", "base") + "spec:\n  variables:\n    port: {type: integer, default: 10000}\n",
    proxied.HEAD.format("Cluster", "shop") + "spec:\n  endpoints: [10.0.0.5:80] # where it is\n",
)


@pytest.fixture
def dialect(tmp_path: Path, sockets: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dialect]:
    repos.hermetic(monkeypatch)
    patient(monkeypatch)
    origin = repos.make_origin(tmp_path)
    base = {f"base/{Path(path).name}": text.replace("port: 10000", "port: ${var.port}") for path, text in proxied.FLEET.items()}
    origin.commit(base | {"base/environment.yaml": BASE[0], "base/shop.yaml": BASE[1], f"{OWN}environment.yaml": ENVIRONMENT})
    with closing(Dialect(tmp_path, sockets, origin, subdirectory=OWN)) as opened:
        yield opened


def test_all_of_it_goes_to_the_own_layer(dialect: Dialect) -> None:
    """A PUT, endpoints, many at once, a deployment, a rollback: the base and what a person has written stay as they are."""
    said = dialect.made(GET, ids=WEST)
    assert said["static_resources"]["listeners"][0]["address"]["socket_address"]["port_value"] == 10443
    base = {path: dialect.file(path) for path in dialect.files() if path.startswith("base/")}

    # Shared, so it gets one of its own: a document of the environment, and a patch of the base's proxy.
    said = dialect.made(PUT, put(cluster("b"), why="Add b"), ids=WEST)
    assert (said["name"], names(said)) == ("proxy-west-001-config", ["web", "b"])
    assert changed_files(dialect) == [f"{OWN}configurations/proxy-west-001-config.yaml", f"{OWN}environment.yaml"]
    assert dialect.made(PUT, put(cluster("c")), ids=WEST)["active_version"]["version_number"] == 2
    assert names(dialect.made(GET, ids=EAST)) == ["web"]

    endpoint = {"address": "10.0.0.6", "port": 80}
    assert dialect.made("clusters.endpoints.add", endpoint, ids={"id": "shop"})["address"] == "10.0.0.6"
    shop = dialect.store.declared(["Cluster/shop"])["Cluster/shop"].spec
    assert shop == {"endpoints": ["10.0.0.5:80", "10.0.0.6:80"], "connectTimeoutSeconds": 2}
    assert changed_files(dialect) == [f"{OWN}environment.yaml"]
    made = dialect.made("clusters.create", {"name": "ledger"})
    assert dialect.made("clusters.update", {"lb_policy": "RANDOM"}, ids={"id": made["id"]})["lb_policy"]["type"] == "RANDOM"

    both = [WEST["id"], EAST["id"]]
    many = {"proxy_ids": both, "updates": {"cluster_id": "shop"}}
    assert dialect.made("bulk.proxies.update", many)["succeeded"] == 2
    rollout = dialect.made("deployments.create", {"proxy_ids": both, "version_id": said["active_version"]["id"]})
    assert rollout["progress"]["total_proxies"] == 2
    assert [names(dialect.made(GET, ids=one)) for one in (WEST, EAST)] == [["web", "b"]] * 2
    again = dialect.made("deployments.create", {"proxy_ids": both, "version": 2})
    assert dialect.made("deployments.status", ids={"id": again["id"]})["version_number"] == 2
    back = dialect.made(BACK, {"target_version": 1, "reason": "It is slow"}, ids=EAST)
    assert names(back) == ["web", "b"]
    # The other is pinned to what it was.
    assert names(dialect.made(GET, ids=WEST)) == ["web", "b", "c"]

    assert {path: dialect.file(path) for path in base} == base
    environment = dialect.file(f"{OWN}environment.yaml")
    assert environment.startswith(ENVIRONMENT.partition("    - target")[0])
    # One patch for each that the base declares, however often it was changed.
    assert environment.count("target:") == 3, environment
