"""What an Envoy says it runs is read, whatever it says, and compared by content with what it was told."""

import json
from typing import Any

import pytest

from reconciler.core.delivery import Behind, Delivery
from reconciler.core.dump import NotADump, Run, alike, read, sides
from reconciler.core.fields import differences
from reconciler.core.model import Snapshot, XdsResource
from reconciler.core.proxy_diff import Row, Side, proxy_diff
from tests.xds.snapshot import assignment, cluster, raw, snapshot

WEB = cluster("web", connect_timeout="1s")
ENDS = assignment("web", 8001, 8002)


def dumped(**lists: Any) -> bytes:
    return json.dumps({"configs": [{"@type": "x", **lists}]}).encode()


def run_of(resource: XdsResource, **changed: Any) -> Run:
    ours, _ = sides(resource, Run("", {}))
    return Run("another", {**ours, **changed})


def endpoint(port: int, health: str = "HEALTHY") -> dict[str, Any]:
    """As Envoy writes it: with all that it adds."""
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {
        "endpoint": {"address": address, "health_check_config": {}},
        "health_status": health,
        "load_balancing_weight": 1,
    }


def assigned(*endpoints: dict[str, Any]) -> Run:
    group = {"locality": {"zone": "z"}, "lb_endpoints": list(endpoints), "load_balancing_weight": 1}
    return Run(
        "",
        {"@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment", "cluster_name": "web"}
        | {"endpoints": [group], "policy": {"overprovisioning_factor": 140}},
    )


def test_the_lists_of_a_dump() -> None:
    """Each type from where it stands; of two states the active one; what is static is not ours."""
    found = read(
        dumped(
            static_clusters=[{"cluster": {"name": "convoy-xds"}}],
            dynamic_warming_clusters=[{"version_info": "2", "cluster": {"name": "a"}}, {"cluster": {"name": "w"}}],
            dynamic_active_clusters=[{"version_info": "1", "cluster": {"name": "a"}}],
            dynamic_listeners=[{"name": "l", "active_state": {"version_info": "3", "listener": {"name": "l"}}}],
            dynamic_route_configs=[{"route_config": {"name": "r"}}],
            dynamic_endpoint_configs=[{"endpoint_config": {"cluster_name": "e"}}],
            dynamic_active_secrets=[{"name": "s", "version_info": "4", "secret": {"name": "s"}}],
        )
    )
    assert {type: {n: (one.version, one.state) for n, one in runs.items()} for type, runs in found.items()} == {
        "cds": {"a": ("1", "active"), "w": ("", "warming")},
        "lds": {"l": ("3", "active")},
        "rds": {"r": ("", "active")},
        "eds": {"e": ("", "active")},
        "sds": {"s": ("4", "active")},
    }


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"{}", b'{"configs": 5}', b'{"configs": [5]}', b'{"configs": [{"dynamic_listeners": 7}]}', b"\xff",
     b'{"configs": [{"dynamic_listeners": ["x"]}]}', b"[" * 100_000],
    ids=lambda body: repr(body[:20]),
)  # fmt: skip
def test_what_is_no_dump(body: bytes) -> None:
    """Says so, and nothing else comes of it."""
    with pytest.raises(NotADump):
        read(body)


def test_nonsense_in_a_dump_is_nobody() -> None:
    """Entries of another shape are left out."""
    found = read(dumped(dynamic_active_clusters=[{"cluster": 5}, {"cluster": {"name": 7}}, {"cluster": {}}, {}]))
    assert found["cds"] == {}


def test_content_counts_and_not_its_version() -> None:
    """The same content under another version is the same; other content under the same version is not."""
    assert alike(WEB, run_of(WEB)) is True
    assert alike(WEB, Run(WEB.version, run_of(WEB, connect_timeout="2s").value)) is False
    fields = differences(*sides(WEB, run_of(WEB, connect_timeout="2s"))).listed
    assert [(one.path, one.before, one.after) for one in fields] == [("connect_timeout", "1s", "2s")]


def test_what_envoy_adds_hides_and_orders_is_no_difference() -> None:
    """Defaults of an assignment, the order of its endpoints, what is redacted, how numbers are spelled."""
    assert alike(ENDS, assigned(endpoint(8002), endpoint(8001))) is True
    assert alike(ENDS, assigned(endpoint(8001))) is False
    ours = run_of(WEB).value
    assert alike(WEB, Run("", {**ours, "name": "[redacted]"})) is True


def test_health_is_the_proxys_own_finding_or_an_order() -> None:
    """Finding an endpoint unhealthy is no difference; sending to one that was told to be spared is."""
    spared = assignment("web", 8001, health="UNHEALTHY")
    assert alike(ENDS, assigned(endpoint(8001, "UNHEALTHY"), endpoint(8002))) is True
    assert alike(spared, assigned(endpoint(8001, "HEALTHY"))) is False
    assert alike(spared, assigned(endpoint(8001, "UNHEALTHY"))) is True


def test_secrets_are_compared_by_version_alone() -> None:
    """Or not at all: what is in them is nobody's to see."""
    secret = raw("sds", "tls", "1")
    assert alike(secret, Run(secret.version, {"name": "tls"})) is True
    assert alike(secret, Run("type-wide", {"name": "tls"})) is None


def test_depths_that_nobody_told() -> None:
    """However deep an answer is, it is compared and shown."""
    deep: Any = "end"
    for _ in range(900):
        deep = {"endpoints": [deep]}
    for resource in (WEB, ENDS):
        assert alike(resource, Run("", deep)) is False
        assert differences(*sides(resource, Run("", deep))).listed


def rows(delivery: Delivery, body: bytes | None, refused: dict[str, str] | None = None) -> dict[str, Row]:
    side = Side("i", "h", read(body) if body is not None else None, "" if body is not None else "no answer")
    found = proxy_diff("edge", delivery, (side,), refused or {})
    return {f"{row.type} {row.name}": row for listed in found.rows.values() for row in listed}


def settled(wanted: Snapshot, told: Snapshot | None = None) -> Delivery:
    return Delivery(wanted, told or wanted, True, True)


def as_run(*resources: XdsResource) -> bytes:
    return dumped(
        dynamic_active_clusters=[{"cluster": run_of(one).value} for one in resources if one.type == "cds"],
        dynamic_endpoint_configs=[{"endpoint_config": run_of(one).value} for one in resources if one.type == "eds"],
    )


def test_each_step_is_compared_with_the_one_before() -> None:
    """Sent with declared, acknowledged with sent, run with declared."""
    wanted, other = snapshot([WEB, ENDS]), cluster("web", connect_timeout="9s")
    assert all(row.same for row in rows(settled(wanted), as_run(WEB, ENDS)).values())
    found = rows(settled(wanted, snapshot([other, ENDS])), as_run(other, ENDS), {WEB.version: "bad timeout"})
    assert (found["cds web"].sent, found["cds web"].acked, found["cds web"].runs) == ("other", "same", "other")
    assert (found["cds web"].why, found["cds web"].fields.listed[0].path) == ("bad timeout", "connect_timeout")
    assert found["eds web"].same
    late = Delivery(wanted, wanted, True, False, "", (Behind("cds", "web", "old"),))
    assert [rows(late, as_run(WEB, ENDS))[name].acked for name in ("cds web", "eds web")] == ["other", "same"]


def test_what_is_missing_and_what_is_too_much() -> None:
    """A cluster that does not run, one that nobody declared, and an assignment that no cluster asks for."""
    lonely = assignment("lonely", 8003)
    found = rows(settled(snapshot([WEB, ENDS, lonely])), as_run(cluster("stray"), ENDS))
    assert {name: row.runs for name, row in found.items()} == {
        "cds web": "missing",
        "cds stray": "surplus",
        "eds web": "same",
        "eds lonely": "none",
    }


def test_a_proxy_that_cannot_be_asked() -> None:
    """What was sent and acknowledged is shown all the same."""
    found = proxy_diff("edge", settled(snapshot([WEB, ENDS])), (Side("i", "h", None, "no answer"),), {})
    assert (found.same, found.asked) == (True, False)
    assert {row.runs for row in found.rows[""]} == {"unknown"}
