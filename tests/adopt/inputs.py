"""What tests of imports give, and look for."""

import json
from typing import Any

from reconciler.core.adopt import Adopted, Names, adopt, read


def bring(said: Any) -> Adopted:
    return adopt(read("envoy.json", json.dumps(said).encode()), Names())


def cluster(name: str, **more: Any) -> dict[str, Any]:
    end = {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 1}}}}
    return {"name": name, "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [end]}]}, **more}


def tcp(name: str, to: str, port: int = 18400) -> dict[str, Any]:
    kind = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
    proxy = {"@type": kind, "stat_prefix": "x", "cluster": to}
    chains = [{"filters": [{"name": "tcp", "typed_config": proxy}]}]
    return {"name": name, "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}, "filter_chains": chains}


def what(found: Adopted, section: str) -> str:
    return next(line.what for line in found.lines if line.section == section)
