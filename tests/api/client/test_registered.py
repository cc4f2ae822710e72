"""Virtual machines, containers on them, and many at once, by `envoyctl`."""

import json
from typing import Any

from api.client.exits import ABSENT, INVALID, MOVED, USAGE
from tests.api.client.conftest import Envoyctl, Served


def value(envoyctl: Envoyctl, served: Served, *words: str, **more: Any) -> Any:
    done = envoyctl(*words, "-o", "json", **more)
    assert done.exit_code == 0, done.output
    served.dialect.follow()
    return json.loads(done.stdout)


def test_from_the_machine_to_what_it_says(envoyctl: Envoyctl, served: Served) -> None:
    """A machine is registered, changed, bears a container that reports itself, and goes when nothing is on it any more."""
    words = ("--ip-address", "10.0.1.10", "--region", "us-west-2", "--cpu-cores", "8", "--metadata", "rack=12")
    made = value(envoyctl, served, "vm", "create", "vm-test-001", *words)
    assert (made["hostname"], made["cpu_cores"], made["metadata"]) == ("vm-test-001", 8, {"rack": "12"})
    tag = envoyctl("vm", "get", "vm-test-001", "--etag").stdout.strip()
    changed = value(envoyctl, served, "vm", "update", made["id"][:8], "--status", "maintenance", "--if-match", tag)
    assert (changed["status"], changed["region"]) == ("maintenance", "us-west-2")
    assert envoyctl("vm", "update", "vm-test-001", "--status", "active", "--if-match", tag).exit_code == MOVED
    box = (
        "--vm",
        "vm-test-001",
        "--container-id",
        "abc123",
        "--image",
        "envoyproxy/envoy:v1.28.0",
        "--memory",
        "4Gi",
        "--env",
        "LEVEL=1",
    )
    assert value(envoyctl, served, "container", "create", "box-1", *box)["environment_vars"] == {"LEVEL": "1"}
    value(envoyctl, served, "container", "create", "box-2", *box[:2], "--container-id", "abc124", *box[4:])
    before = served.dialect.log()
    assert value(envoyctl, served, "container", "status", "box-1", "running", "--restart-count", "2")["restart_count"] == 2
    assert served.dialect.log() == before
    assert "box-1" in envoyctl("container", "list", "--status", "running").stdout
    assert [one["name"] for one in value(envoyctl, served, "vm", "containers", "vm-test-001")] == ["box-1", "box-2"]
    (row,) = [line for line in envoyctl("vm", "list", "--region", "us-west-2").stdout.splitlines() if "vm-test-001" in line]
    assert "maintenance" in row
    assert envoyctl("vm", "delete", "vm-test-001").exit_code == USAGE
    assert envoyctl("vm", "delete", "vm-test-001", "--yes").exit_code == MOVED
    gone = envoyctl("bulk", "delete", "containers", "box-1", "box-2", "--yes")
    assert gone.exit_code == 0, gone.output
    assert "deleted" in gone.stdout
    served.dialect.follow()
    assert len(served.dialect.log()) == len(before) + 1
    assert envoyctl("vm", "delete", "vm-test-001", "--yes").exit_code == 0
    served.dialect.follow()
    assert envoyctl("vm", "get", "vm-test-001").exit_code == ABSENT


def test_proxies_at_once(envoyctl: Envoyctl, served: Served) -> None:
    """Both or neither, by one commit."""
    value(envoyctl, served, "cluster", "create", "before-them", "--type", "STRICT_DNS")
    before = served.dialect.log()
    one_missing = envoyctl("bulk", "update-proxies", "--proxy-ids", "core-1,nobody", "--set", "cluster_id=before-them")
    assert one_missing.exit_code in (INVALID, ABSENT), one_missing.output
    assert served.dialect.log() == before
    said = value(envoyctl, served, "bulk", "update-proxies", "--proxy-ids", "core-1,core-2", "--set", "cluster_id=before-them")
    assert (said["succeeded"], said["failed"]) == (2, 0)
    assert len(served.dialect.log()) == len(before) + 1
    value(envoyctl, served, "bulk", "update-proxies", "--proxy-ids", "core-1,core-2", "--set", "cluster_id=null")
    assert envoyctl("bulk", "update-proxies", "--proxy-ids", "core-1").exit_code == USAGE
