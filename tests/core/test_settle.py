"""Versions of what Envoys are told depend on content alone, in whichever process they are made."""

import subprocess
import sys

FLEET = """
import sys
from reconciler.core.kinds.traffic import Listener
from reconciler.core.listeners import listener

TYPE = "type.googleapis.com/envoy.extensions."
words = {f"word-{i}": {"x": f"{i}"} for i in range(20)}
log = {"@type": TYPE + "access_loggers.file.v3.FileAccessLog", "path": "/dev/null", "log_format": {"json_format": words}}
proxy = {"@type": TYPE + "filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "x", "cluster": "one"}
proxy["access_log"] = [{"name": "file", "typed_config": log}]
chain = {"filters": [{"name": "tcp", "typed_config": proxy}]}
piece, faults = listener(Listener.model_validate({"name": "tcp", "port": 1, "envoy": {"filter_chains": [chain]}}), ())
assert not faults
print(piece.version)
"""


def test_maps_within_typed_configs_have_one_order() -> None:
    """Processes that order maps differently make the same bytes: a restart tells no proxy anything."""
    made = {subprocess.run([sys.executable, "-c", FLEET], capture_output=True, text=True, check=True).stdout for _ in range(4)}

    assert len(made) == 1
