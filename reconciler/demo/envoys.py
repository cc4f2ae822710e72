"""The Envoys' own word: what their admin pages say they run. Asked over each one's Unix socket."""

import http.client
import json
import socket
from collections.abc import Mapping
from typing import Any

# An Envoy that is told much, on a machine that is busy, looks up late.
PATIENCE_S = 30.0


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=PATIENCE_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE_S)
        self.sock.connect(self._path)


def admin(path: str, page: str) -> Any:
    """One admin page as JSON; raises OSError or HTTPException. https://www.envoyproxy.io/docs/envoy/latest/operations/admin"""
    connection = _Unix(path)
    try:
        connection.request("GET", page)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise OSError(f"{page} answers {answer.status}")
        return json.loads(body)
    finally:
        connection.close()


def clusters(path: str) -> set[str]:
    """The names of the clusters that came by CDS."""
    return {
        entry["cluster"]["name"]
        for config in admin(path, "/config_dump")["configs"]
        for entry in config.get("dynamic_active_clusters", ())
    }


def weights(path: str) -> dict[str, int]:
    """Cluster ⇒ weight, from every route that came by RDS."""
    found: dict[str, int] = {}
    for config in admin(path, "/config_dump")["configs"]:
        for entry in config.get("dynamic_route_configs", ()):
            for host in entry["route_config"].get("virtual_hosts", ()):
                for route in host.get("routes", ()):
                    for cluster in route.get("route", {}).get("weighted_clusters", {}).get("clusters", ()):
                        found[cluster["name"]] = cluster.get("weight", 0)
    return found


def health(path: str) -> Mapping[str, list[bool]]:
    """Cluster ⇒ for each of its endpoints, whether EDS says it is healthy."""
    return {
        cluster["name"]: [
            host.get("health_status", {}).get("eds_health_status", "HEALTHY") == "HEALTHY"
            for host in cluster.get("host_statuses", ())
        ]
        for cluster in admin(path, "/clusters?format=json").get("cluster_statuses", ())
    }
