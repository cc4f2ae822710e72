"""A group of two proxies with one Configuration, in a repository; and how they fare, as the loop leaves it in the store."""

import time
from typing import Any

from reconciler.core.delivery import Delivery
from reconciler.core.latency import bin_of
from reconciler.core.model import Snapshot
from reconciler.core.readings import MINUTE_S, Reading
from tests.api.envoy_fleet.playing import Dialect

HEAD = "apiVersion: convoy/v1\nkind: {}\nmetadata:\n  name: {}\n"
EDGE = (
    HEAD.format("Configuration", "edge")
    + """spec:
  listeners:
    - name: http # where people come in
      port: 10000
      routes: main
  routes:
    - name: main
      virtualHosts:
        - routes:
            - prefix: /
              cluster: web
  clusters:
    - name: web
      endpoints: ["10.0.0.1:80"]
"""
)
FLEET = {
    "fleet/edge.yaml": EDGE,
    "fleet/group.yaml": HEAD.format("ProxyGroup", "edge") + "spec:\n  configuration: edge\n",
    "fleet/host.yaml": HEAD.format("Host", "local") + "spec:\n  driver: process\n",
    "fleet/west.yaml": HEAD.format("Proxy", "proxy-west-001") + "spec:\n  group: edge\n  host: local\n",
    "fleet/east.yaml": HEAD.format("Proxy", "proxy-east-001")
    + "spec:\n  group: edge\n  host: local\n  ports:\n    http: 10001\n",
}
ONE = {name: text for name, text in FLEET.items() if name != "fleet/east.yaml"}
SNAPSHOT = Snapshot("s1", {})


def fleet(dialect: Dialect, files: dict[str, str] = FLEET) -> None:
    assert dialect.origin is not None
    dialect.origin.commit(files)
    dialect.follow()


def faring(dialect: Dialect, name: str = "proxy-west-001", health: str = "healthy", **more: Any) -> None:
    """As it was seen last; `more` is of its Delivery."""
    about = {"instance": "i", "host": "local", "address": "10.0.1.5", "ports": {"admin": "/run/admin.sock"}, "health": health}
    row = {"ref": f"Proxy/{name}", "sync": "synced", "health": health, "instances": [about]}
    dialect.store.put_status({f"Proxy/{name}": row})
    said: dict[str, Any] = {"connected": True, "synced": True, "envoy": "1.40.0", "at": 1000.0} | more
    dialect.store.put_deliveries({name: Delivery(SNAPSHOT, said.pop("told", SNAPSHOT), **said)})
    dialect.store.put_state({"revision": dialect.store.last_good()})


def measured(dialect: Dialect, name: str = "proxy-west-001") -> None:
    """In the minute that is over: 2 requests a second, 5 % of them failed, each took 25 ms."""
    now = time.time()
    minute = int(now) // MINUTE_S * MINUTE_S - MINUTE_S
    served = Reading(120, 6, 60_000, 3, 1, {bin_of(25): 120})
    dialect.store.readings.write({(f"Proxy/{name}", minute): served}, {}, now)


def id_of(dialect: Dialect, name: str = "proxy-west-001") -> str:
    return str(dialect.store.declared([f"Proxy/{name}"])[f"Proxy/{name}"].uid)
