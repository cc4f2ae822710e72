"""Clusters and their endpoints: what can be said is said to Envoys, what cannot is refused by name, and Git has all of it."""

import json
from typing import Any

import pytest
from werkzeug.test import Client

from api.surfaces.envoy_fleet.contract import operations
from tests.api.envoy_fleet.playing import UUID, Dialect, undated
from tests.committing import HEAD, together

EXAMPLE: dict[str, Any] = dict(operations()["clusters.create"].said["request"])


def test_created(dialect: Dialect) -> None:
    """It is a commit by whoever asked, and what is answered says all that was sent, with an id."""
    made = dialect.made("clusters.create", EXAMPLE, role="operator")
    assert {name: made[name] for name in EXAMPLE} == EXAMPLE
    assert UUID.fullmatch(made["id"])
    assert made["endpoints"] == []
    assert made["created_at"] == made["updated_at"]
    (listed,) = dialect.made("clusters.list")["data"]
    assert undated(listed) == undated(made)
    assert "<operator-" in dialect.log("%an <%ae>")[0]
    written = dialect.file("clusters/service-a-cluster.yaml")
    assert "spec:\n  envoy:\n    type: STRICT_DNS\n" in written
    assert "      max_ejection_percent: 50\n" in written


def test_created_again(dialect: Dialect) -> None:
    """A name is taken once; the same request under its key is the same cluster."""
    first = dialect.made("clusters.create", EXAMPLE, Idempotency_Key="k1")
    assert dialect.made("clusters.create", EXAMPLE, Idempotency_Key="k1")["id"] == first["id"]
    assert dialect.refused("clusters.create", EXAMPLE)[:2] == (409, "CONFLICT")
    assert (
        dialect.refused("clusters.create", EXAMPLE | {"type": "STATIC"}, Idempotency_Key="k1")[2]["field"] == "Idempotency-Key"
    )


def test_asked_again_before_it_is_in_force(dialect: Dialect, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever repeats a change under its key is never shown what was before it."""
    made, key = dialect.made("clusters.create", EXAMPLE), {"Idempotency_Key": "k2"}
    changed, ids = {"lb_policy": "RANDOM"}, {"id": made["id"]}
    with monkeypatch.context() as slow:
        slow.setattr(dialect, "follow", str)
        first = dialect.made("clusters.update", changed, ids=ids, **key)
        assert first["lb_policy"] == {"type": "RANDOM"}
        slow.setattr("api.written.SETTLING_S", 0.1)
        answer = Client(dialect.app).put(
            f"/api/v1/clusters/{made['id']}", json=changed, headers=dialect.bearer("admin") | {"Idempotency-Key": "k2"}
        )
        assert (answer.status_code, [*answer.get_json()]) == (202, ["message"])
        assert "committed, and not in force yet" in answer.text
    dialect.follow()
    assert undated(dialect.made("clusters.update", changed, ids=ids, **key)) == undated(first)


def test_least(dialect: Dialect) -> None:
    """A name is enough; a policy may be a word."""
    made = dialect.made("clusters.create", {"name": "a"})
    assert (made["type"], made["lb_policy"], made["circuit_breaker"]) == ("STRICT_DNS", {"type": "ROUND_ROBIN"}, None)
    assert dialect.made("clusters.create", {"name": "b", "lb_policy": "RANDOM"})["lb_policy"] == {"type": "RANDOM"}


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "name"),
    ({"name": "Service_A"}, "name"),
    ({"name": "a" * 64}, "name"),
    ({"name": 5}, "name"),
    ({"name": "a", "color": "red"}, "color"),
    ({"name": "a", "type": "EDS"}, "type"),
    ({"name": "a", "type": "LOGICAL_DNS"}, "type"),
    ({"name": "a", "type": "STRICT"}, "type"),
    ({"name": "a", "type": "ORIGINAL_DST"}, "lb_policy"),
    ({"name": "a", "lb_policy": {"type": "BEST"}}, "lb_policy"),
    ({"name": "a", "lb_policy": "CLUSTER_PROVIDED"}, "lb_policy"),
    ({"name": "a", "circuit_breaker": {"max_connections": -1}}, "circuit_breaker.max_connections"),
    ({"name": "a", "circuit_breaker": {"max_connections": True}}, "circuit_breaker.max_connections"),
    ({"name": "a", "circuit_breaker": {"max_conections": 1}}, "circuit_breaker.max_conections"),
    ({"name": "a", "outlier_detection": {"eject_percent": 101}}, "outlier_detection.eject_percent"),
    ({"name": "a", "health_checks": [{"path": "health"}]}, "health_checks[0].path"),
    ({"name": "a", "health_checks": [{}] * 21}, "health_checks"),
]


def test_refused_by_name(dialect: Dialect) -> None:
    """With the member and why, and without a word of what was sent."""
    for body, field in REFUSED:
        status, code, details = dialect.refused("clusters.create", body)
        assert (status, code, details["field"]) == (422, "VALIDATION_ERROR", field)
        assert details["reason"]
    assert dialect.made("clusters.list")["data"] == []


def test_bodies_that_are_none(dialect: Dialect) -> None:
    """400 for what cannot be read, 415 for what is not said to be JSON."""
    assert dialect.refused("clusters.create", b'{"name": ')[:2] == (400, "BAD_REQUEST")
    assert dialect.refused("clusters.create", b'{"name": "a", "name": "b"}')[:2] == (400, "BAD_REQUEST")
    assert dialect.refused("clusters.create", b"[]")[:2] == (400, "BAD_REQUEST")
    assert dialect.refused("clusters.create", b"{}", Content_Type="text/plain")[:2] == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert dialect.refused("clusters.create", b"")[:2] == (400, "BAD_REQUEST")


def test_changed(dialect: Dialect) -> None:
    """What is left out stays; null takes away; only what is named changes in the file."""
    made = dialect.made("clusters.create", EXAMPLE)
    for id in (made["id"], made["name"], made["id"][:8]):
        now = dialect.made("clusters.update", {"circuit_breaker": {"max_retries": 7}}, ids={"id": id})
        assert now["circuit_breaker"] == EXAMPLE["circuit_breaker"] | {"max_retries": 7}
    assert now["health_checks"] == EXAMPLE["health_checks"]
    gone = dialect.made(
        "clusters.update",
        {"circuit_breaker": None, "outlier_detection": None, "health_checks": []},
        ids={"id": "service-a-cluster"},
    )
    assert (gone["circuit_breaker"], gone["outlier_detection"], gone["health_checks"]) == (None, None, [])
    assert gone["id"] == made["id"]
    assert dialect.refused("clusters.update", {"name": "other"}, ids={"id": made["id"]})[2]["field"] == "name"
    assert dialect.refused("clusters.update", {}, ids={"id": made["id"]})[0] == 422
    assert dialect.refused("clusters.update", {"lb_policy": None}, ids={"id": made["id"]})[2]["field"] == "lb_policy"


def test_what_a_person_wrote_in_git(dialect: Dialect) -> None:
    """In Envoy's other spelling too: it is shown, and changed where it stands; what this API has no words for stays."""
    assert dialect.origin is not None
    dialect.origin.commit(
        {
            "clusters/mine.yaml": HEAD.format("Cluster", "mine") + "spec:\n  endpoints: [10.0.0.1:80]\n"
            "  envoy:\n    lbPolicy: LEAST_REQUEST # quick\n    perConnectionBufferLimitBytes: 1000\n"
            "    circuitBreakers:\n      thresholds:\n        - maxRequests: 5\n        - {priority: HIGH, maxRequests: 9}\n"
        }
    )
    dialect.follow()
    (shown,) = dialect.made("clusters.list")["data"]
    assert (shown["type"], shown["lb_policy"], shown["circuit_breaker"]) == (
        "STATIC",
        {"type": "LEAST_REQUEST"},
        {"max_requests": 5},
    )
    assert [(one["address"], one["port"], one["weight"]) for one in shown["endpoints"]] == [("10.0.0.1", 80, 1)]
    now = dialect.made("clusters.update", {"lb_policy": "RANDOM", "circuit_breaker": {"max_requests": 6}}, ids={"id": "mine"})
    assert (now["lb_policy"], now["circuit_breaker"]) == ({"type": "RANDOM"}, {"max_requests": 6})
    text = dialect.file("clusters/mine.yaml")
    assert "lbPolicy: RANDOM # quick\n    perConnectionBufferLimitBytes: 1000\n" in text
    assert "HIGH" in text
    assert "max_requests" not in text


def test_endpoints(dialect: Dialect) -> None:
    """One at a time; a weight and metadata go to Envoy's own words, with those that were there."""
    id = {"id": dialect.made("clusters.create", {"name": "a"})["id"]}
    first = dialect.made("clusters.endpoints.add", {"address": "10.0.0.1", "port": 80}, ids=id)
    dialect.made("clusters.endpoints.add", {"address": "::1", "port": 80}, ids=id)
    assert "  endpoints:\n  - 10.0.0.1:80\n" in dialect.file("clusters/a.yaml")
    asked = {"address": "b.internal", "port": 81, "weight": 100, "metadata": {"zone": "z", "canary": False}}
    third = dialect.made("clusters.endpoints.add", asked, ids=id)
    assert third == asked | {"id": third["id"], "cluster_id": id["id"]}
    (shown,) = dialect.made("clusters.list")["data"]
    assert [one["address"] for one in shown["endpoints"]] == ["10.0.0.1", "::1", "b.internal"]
    assert shown["endpoints"][0] == first
    assert dialect.refused("clusters.endpoints.add", asked, ids=id)[:2] == (409, "CONFLICT")
    assert dialect.refused("clusters.endpoints.add", {"address": "a b", "port": 1}, ids=id)[2]["field"] == "address"
    assert dialect.refused("clusters.endpoints.add", asked | {"metadata": {"a": {}}}, ids=id)[2]["field"] == "metadata.a"


def test_again_under_one_key(dialect: Dialect) -> None:
    """What is worked out from what is there is done once all the same, and answered again; another request is refused."""
    id = {"id": dialect.made("clusters.create", {"name": "a"})["id"]}
    body = {"address": "10.0.0.1", "port": 80, "weight": 2}
    first = dialect.made("clusters.endpoints.add", body, ids=id, Idempotency_Key="k")
    dialect.made("clusters.update", {"lb_policy": "RANDOM"}, ids=id)
    assert dialect.made("clusters.endpoints.add", body, ids=id, Idempotency_Key="k") == first
    assert len(dialect.made("clusters.list")["data"][0]["endpoints"]) == 1
    other = dialect.refused("clusters.endpoints.add", body | {"port": 81}, ids=id, Idempotency_Key="k")
    assert other[2]["field"] == "Idempotency-Key"


def test_endpoints_of_others(dialect: Dialect) -> None:
    """A host name is none for a STATIC cluster, and a LOGICAL_DNS one has but one."""
    id = {"id": dialect.made("clusters.create", {"name": "a", "type": "STATIC"})["id"]}
    assert dialect.refused("clusters.endpoints.add", {"address": "b.internal", "port": 1}, ids=id)[2]["field"] == "address"
    dialect.made("clusters.endpoints.add", {"address": "10.0.0.1", "port": 1}, ids=id)
    dialect.made("clusters.update", {"type": "LOGICAL_DNS"}, ids=id)
    assert dialect.refused("clusters.endpoints.add", {"address": "10.0.0.2", "port": 1}, ids=id)[2]["field"] == "address"


def test_all_endpoints_of_many_at_once(dialect: Dialect) -> None:
    """None is lost or refused, though each is worked out from what was read: who was too late takes turns."""
    id = {"id": dialect.made("clusters.create", {"name": "a"})["id"]}
    dialect.bearer("operator")
    bodies = [{"address": f"10.0.0.{n}", "port": 80} for n in range(20)]
    every = together(
        *(lambda body=body: dialect.ask("clusters.endpoints.add", body, ids=id, role="operator").status_code for body in bodies)
    )
    (shown,) = dialect.made("clusters.list", role="operator")["data"]
    assert every == [201] * 20
    assert {one["address"] for one in shown["endpoints"]} == {one["address"] for one in bodies}


def test_what_must_not_be_there_and_is(dialect: Dialect, monkeypatch: pytest.MonkeyPatch) -> None:
    """If-None-Match on a change of what is there is refused at once: nothing that came between is waited for."""
    id = {"id": dialect.made("clusters.create", {"name": "a"})["id"]}
    monkeypatch.setattr("api.anew._moved", None)
    assert dialect.refused("clusters.update", {"lb_policy": "RANDOM"}, ids=id, If_None_Match="*")[:2] == (409, "CONFLICT")
    added = {"address": "10.0.0.1", "port": 80}
    assert dialect.refused("clusters.endpoints.add", added, ids=id, If_None_Match="*")[:2] == (409, "CONFLICT")


def test_on_terms(dialect: Dialect) -> None:
    """If-Match takes the ETag of an answer; an old one is 412; a dry run changes nothing and asks control."""
    answer = dialect.ask("clusters.create", {"name": "a"})
    id, tag = {"id": json.loads(answer.get_data())["id"]}, answer.headers["ETag"]
    assert dialect.ask("clusters.update", {"lb_policy": "RANDOM"}, ids=id, If_Match=tag).status_code == 200
    assert dialect.refused("clusters.update", {"lb_policy": "MAGLEV"}, ids=id, If_Match=tag)[:2] == (412, "PRECONDITION_FAILED")
    # Control is not there in this test.
    assert dialect.refused("clusters.create", {"name": "b"}, query={"dry_run": "true"})[0] == 503
    assert dialect.refused("clusters.create", {"name": "b"}, query={"wait": "ever"})[2]["field"] == "wait"
    assert [one["name"] for one in dialect.made("clusters.list")["data"]] == ["a"]


def test_who_may(dialect: Dialect) -> None:
    """Viewers read; who has no role here does nothing; another tenant's are not there, in the same words as what never was."""
    made = dialect.made("clusters.create", {"name": "a"}, role="operator")
    assert dialect.made("clusters.list", role="viewer")["pagination"]["total_items"] == 1
    assert dialect.refused("clusters.create", {"name": "b"}, role="viewer")[:2] == (403, "FORBIDDEN")
    assert dialect.refused("clusters.list", role=None)[:2] == (403, "FORBIDDEN")
    assert dialect.ask("clusters.list", Authorization="Bearer cvy_nobody").status_code == 401
    assert dialect.made("clusters.list", tenant="acme")["data"] == []
    answers = []
    for id in (made["id"], made["name"], made["id"][:8], "never-was"):
        answer = dialect.ask("clusters.update", {"lb_policy": "RANDOM"}, ids={"id": id}, tenant="acme")
        error = json.loads(answer.get_data())["error"]
        answers.append((answer.status_code, error["code"], error["message"], str(error["details"])))
    assert len(set(answers)) == 1
    assert answers[0][:2] == (404, "NOT_FOUND")
    other = dialect.made("clusters.create", {"name": "a"}, tenant="acme")
    assert other["id"] != made["id"]
    assert "tenants/acme/clusters/a.yaml" in dialect.files()


def test_lists(dialect: Dialect) -> None:
    """Both paginations, sorted and filtered in SQL."""
    for n in range(5):
        dialect.made("clusters.create", {"name": f"c{n}", "type": "STATIC" if n % 2 else "STRICT_DNS"})
    by_page = dialect.made("clusters.list", query={"page": 2, "per_page": 2})
    assert [one["name"] for one in by_page["data"]] == ["c2", "c3"]
    assert by_page["pagination"] == {"page": 2, "per_page": 2, "total_pages": 3, "total_items": 5}
    assert [one["name"] for one in dialect.made("clusters.list", query={"type": "STATIC"})["data"]] == ["c1", "c3"]
    query: dict[str, object]
    for sort in ("name", "created_at", "updated_at"):
        seen, query = list[str](), {"limit": 2, "sort_by": sort, "order": "desc"}
        while True:
            said = dialect.made("clusters.list", query=query)
            seen += [one["name"] for one in said["data"]]
            if not said["cursor"]["has_more"]:
                break
            query["cursor"] = said["cursor"]["next"]
        assert seen == ["c4", "c3", "c2", "c1", "c0"]
        back = dialect.made("clusters.list", query=query | {"cursor": said["cursor"]["previous"]})
        assert [one["name"] for one in back["data"]] == ["c2", "c1"]
    wrong: list[dict[str, object]] = [{"page": 0}, {"per_page": 101}, {"limit": 0}, {"sort_by": "color"}, {"order": "up"}]
    for asked in [*wrong, {"page": 1, "cursor": "e30"}]:
        assert dialect.refused("clusters.list", query=asked)[:2] == (422, "VALIDATION_ERROR")
