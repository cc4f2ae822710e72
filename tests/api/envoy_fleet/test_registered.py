"""Virtual machines and containers over the API: registered by commits, reported without one."""

from typing import Any

import pytest

from reconciler.core.values import CLEAR, SEALED
from tests.api.envoy_fleet.playing import Dialect, undated
from tests.api.envoy_fleet.proxied import HEAD

MACHINE = {"hostname": "vm-1", "ip_address": "10.0.1.5", "region": "us-west-2"}
CONTAINER = {"vm_id": "vm-1", "container_id": "abc", "name": "c1", "image": "envoyproxy/envoy:v1.28.0"}
ROW = {"instance": "i", "host": "local", "state": "running", "restarts": 2}


def machine(dialect: Dialect, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = dialect.made("virtual_machines.create", MACHINE | more)
    return found


def own(dialect: Dialect) -> None:
    """One that Convoy runs, as a person has written it."""
    assert dialect.origin is not None
    dialect.origin.commit(
        {"own.yaml": HEAD.format("Container", "own") + "spec:\n  command: [x]\n  environment: {DB_PASSWORD: canary}\n"}
    )
    dialect.follow()
    dialect.store.put_status({"Container/own": {"health": "healthy", "sync": "synced", "instances": [ROW]}})


def test_a_machine(dialect: Dialect) -> None:
    """What is left out stays, null takes away, metadata are replaced; its name is its host name's."""
    made = machine(dialect, hostname="VM-1.Example.com", cpu_cores=8, metadata={"provider": "aws", "old": "1"})
    assert (made["hostname"], made["status"], made["container_count"], made["last_heartbeat"]) == (
        "VM-1.Example.com",
        "active",
        0,
        None,
    )
    assert "hostname: VM-1.Example.com" in dialect.file("virtualmachines/vm-1-example-com.yaml")
    id = {"id": "vm-1-example-com"}
    read = dialect.made("virtual_machines.get", ids=id)
    assert undated(read) == undated(made)
    now = dialect.made("virtual_machines.update", {"status": "maintenance", "metadata": {"provider": "gcp"}}, ids=id)
    assert now == read | {"status": "maintenance", "metadata": {"provider": "gcp"}, "updated_at": now["updated_at"]}
    now = dialect.made("virtual_machines.update", {"cpu_cores": None, "hostname": "vm-1.example.com"}, ids=id)
    assert (now["cpu_cores"], now["status"], now["id"]) == (None, "maintenance", made["id"])
    assert undated(dialect.made("virtual_machines.get", ids={"id": made["id"][:8]})) == undated(now)
    assert dialect.refused("virtual_machines.update", {"hostname": "vm-2"}, ids=id)[2]["field"] == "hostname"
    assert dialect.refused("virtual_machines.update", {"ip_address": "10.0.0.999"}, ids=id)[2]["field"] == "ip_address"


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"hostname": "a_b"}, "hostname"),
        ({"hostname": ".".join(["a" * 30] * 3)}, "hostname"),
        ({"hostname": "a\n"}, "hostname"),
        ({"ip_address": "fe80::1%eth0"}, "ip_address"),
        ({"ip_address": "1.2.3"}, "ip_address"),
        ({"region": ""}, "region"),
        ({"cpu_cores": 0}, "cpu_cores"),
        ({"disk_gb": 1.5}, "disk_gb"),
        ({"status": "gone"}, "status"),
        ({"metadata": {"a b": "c"}}, "metadata"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"container_count": 1}, "container_count"),
    ],
)
def test_machines_that_cannot_be(dialect: Dialect, more: dict[str, Any], field: str) -> None:
    """By the member's name, and nothing is committed."""
    assert dialect.refused("virtual_machines.create", MACHINE | more)[2]["field"] == field
    assert dialect.made("virtual_machines.list")["data"] == []


def test_a_host_name_is_taken_once(dialect: Dialect) -> None:
    """However it is written; another tenant's is another."""
    machine(dialect)
    assert dialect.refused("virtual_machines.create", MACHINE | {"hostname": "VM-1"})[:2] == (409, "CONFLICT")
    dialect.made("virtual_machines.create", MACHINE, tenant="acme")


def test_lists_of_machines(dialect: Dialect) -> None:
    """Filtered, sorted and cut in SQL, both ways."""
    for n in range(3):
        machine(dialect, hostname=f"vm-{n}", region=f"r{n % 2}", **({"status": "inactive"} if n == 1 else {}))

    def names(**query: object) -> list[str]:
        return [one["hostname"] for one in dialect.made("virtual_machines.list", query=query)["data"]]

    assert names(sort_by="hostname", order="desc") == ["vm-2", "vm-1", "vm-0"]
    assert names(sort_by="created_at", order="desc", limit=2) == ["vm-2", "vm-1"]
    assert names(region="r0") == ["vm-0", "vm-2"]
    assert names(status="active") == ["vm-0", "vm-2"]
    assert names(status="inactive", region="r0") == []
    first = dialect.made("virtual_machines.list", query={"limit": 2})
    assert names(limit=2, cursor=first["cursor"]["next"]) == ["vm-2"]
    assert dialect.refused("virtual_machines.list", query={"status": "gone"})[2]["field"] == "status"
    assert dialect.refused("virtual_machines.list", query={"sort_by": "region"})[2]["field"] == "sort_by"


def test_a_machine_that_bears_something_stays(dialect: Dialect) -> None:
    """409, with what is in the way; and it goes when that is gone."""
    id, ids = machine(dialect)["id"], {"id": "vm-1"}
    machine(dialect, hostname="other")
    dialect.made("containers.create", CONTAINER | {"vm_id": id})
    shown = dialect.made("virtual_machines.get", ids=ids)
    assert shown["container_count"] == 1
    assert [one["name"] for one in dialect.made("virtual_machines.containers", ids=ids)["data"]] == ["c1"]
    assert dialect.made("virtual_machines.containers", ids={"id": "other"})["data"] == []
    assert dialect.refused("virtual_machines.delete", ids=ids)[:2] == (409, "CONFLICT")
    bulk = {"resource_type": "virtual-machines", "ids": [id]}
    assert dialect.refused("bulk.delete", bulk)[:2] == (409, "CONFLICT")
    dialect.made("bulk.delete", {"resource_type": "containers", "ids": ["c1"]})
    assert dialect.ask("virtual_machines.delete", ids=ids, Idempotency_Key="k").status_code == 204
    assert dialect.ask("virtual_machines.delete", ids=ids, Idempotency_Key="k").status_code == 204
    assert dialect.refused("virtual_machines.delete", ids=ids)[:2] == (404, "NOT_FOUND")


def test_a_container(dialect: Dialect) -> None:
    """Registered on a machine that there is; what it says is shown."""
    id = machine(dialect)["id"]
    body = CONTAINER | {"resource_limits": {"cpu": "500m", "memory": "4Gi"}, "environment_vars": {"LEVEL": "info"}}
    made = dialect.made("containers.create", body)
    assert made == body | {"vm_id": id} | {name: made[name] for name in ("id", "created_at", "updated_at")} | {
        "status": "created",
        "restart_count": 0,
    }
    assert dialect.refused("containers.create", body)[:2] == (409, "CONFLICT")
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"vm_id": "absent"}, "vm_id"),
        ({"resource_limits": {"cpu": "0"}}, "resource_limits.cpu"),
        ({"resource_limits": {"memory": "4 Gi"}}, "resource_limits.memory"),
        ({"resource_limits": {"disk": "1"}}, "resource_limits.disk"),
        ({"environment_vars": {"1A": "x"}}, "environment_vars"),
        ({"environment_vars": {"A": SEALED}}, "environment_vars.A"),
        ({"image": "a b"}, "image"),
        ({"container_id": ""}, "container_id"),
        ({"command": ["x"]}, "command"),
        ({"name": "A"}, "name"),
    ]
    for more, field in wrong:
        assert dialect.refused("containers.create", body | {"name": "c2"} | more)[2]["field"] == field


def test_another_tenants_machine_is_not_there(dialect: Dialect) -> None:
    """By its id too, and in the same words as one that never was."""
    id = machine(dialect)["id"]
    said = [dialect.refused("containers.create", CONTAINER | {"vm_id": vm}, tenant="acme") for vm in (id, "never-was")]
    assert said[0] == said[1]
    assert said[0][:2] == (422, "VALIDATION_ERROR")


def test_secrets_of_a_container(dialect: Dialect) -> None:
    """Sealed before they are committed, or not committed at all; never shown."""
    machine(dialect)
    body = CONTAINER | {"environment_vars": {"LEVEL": "info", "DB_PASSWORD": "canary-1"}}
    assert dialect.refused("containers.create", body)[0] == 503
    dialect.seals()
    made = dialect.made("containers.create", body, Idempotency_Key="k")
    assert made["environment_vars"] == {"LEVEL": "info", "DB_PASSWORD": SEALED}
    assert dialect.made("containers.create", body, Idempotency_Key="k")["id"] == made["id"]
    text = dialect.file("containers/c1.yaml")
    assert "BEGIN AGE ENCRYPTED FILE" in text
    assert "canary" not in text
    own(dialect)
    assert dialect.made("containers.get", ids={"id": "own"})["environment_vars"] == {"DB_PASSWORD": CLEAR}


def test_reports(dialect: Dialect) -> None:
    """No commit is made of them; the machine was heard with them; what Convoy runs is observed and not reported."""
    machine(dialect)
    dialect.made("containers.create", CONTAINER)
    own(dialect)
    revision, ids = dialect.store.last_good(), {"id": "c1"}
    now = dialect.made("containers.update_status", {"status": "running", "restart_count": 4}, ids=ids, role="operator")
    assert (now["status"], now["restart_count"]) == ("running", 4)
    now = dialect.made("containers.update_status", {"status": "failed"}, ids=ids)
    assert (now["status"], now["restart_count"]) == ("failed", 4)
    assert dialect.made("containers.get", ids=ids) == now
    assert dialect.store.last_good() == revision
    assert dialect.made("virtual_machines.get", ids={"id": "vm-1"})["last_heartbeat"] is not None

    assert dialect.refused("containers.update_status", {"status": "running"}, ids={"id": "own"})[:2] == (409, "CONFLICT")
    for body, field in (
        ({"status": "unknown"}, "status"),
        ({"status": "running", "restart_count": -1}, "restart_count"),
        ({}, "status"),
    ):
        assert dialect.refused("containers.update_status", body, ids=ids)[2]["field"] == field
    assert dialect.refused("containers.update_status", {"status": "running"}, ids=ids, role="viewer")[0] == 403
    assert dialect.refused("containers.update_status", {"status": "running"}, ids=ids, tenant="acme")[0] == 404
    assert dialect.refused("containers.update_status", {"status": "running"}, ids=ids, query={"dry_run": "true"})[0] == 422
    assert dialect.refused("containers.update_status", {"status": "running"}, ids=ids, If_Match='"old"')[0] == 412
    assert dialect.made("containers.get", ids=ids)["status"] == "failed"


def test_lists_of_containers(dialect: Dialect) -> None:
    """Those that have reported and those that are observed, filtered by the same word."""
    machine(dialect)
    for name in ("c1", "c2", "c3"):
        dialect.made("containers.create", CONTAINER | {"name": name})
    own(dialect)
    dialect.made("containers.update_status", {"status": "running"}, ids={"id": "c2"})

    def names(**query: object) -> list[str]:
        return [one["name"] for one in dialect.made("containers.list", query=query)["data"]]

    assert names() == ["c1", "c2", "c3", "own"]
    assert names(status="running", order="desc") == ["own", "c2"]
    assert names(status="created", limit=1) == ["c1"]
    assert names(status="failed") == []
    (one,) = (one for one in dialect.made("containers.list")["data"] if one["name"] == "own")
    assert (one["status"], one["restart_count"], one["vm_id"], one["container_id"]) == ("running", 2, None, None)
