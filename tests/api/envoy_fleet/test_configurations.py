"""What a proxy is configured with is read and changed: by commits, of which others notice nothing."""

import json
import time
from collections.abc import Mapping
from typing import Any

import pytest

from reconciler.core.refs import Problem, Where
from reconciler.core.values import CLEAR
from tests.api.envoy_fleet import proxied
from tests.api.envoy_fleet.playing import Dialect, undated
from tests.committing import together
from tests.repos import git

GET, PUT = "proxies.configuration.get", "proxies.configuration.update"
BACK = "proxies.configuration.rollback"
WEST, EAST = {"id": "proxy-west-001"}, {"id": "proxy-east-001"}


def cluster(name: str, address: str = "10.0.0.9") -> dict[str, Any]:
    socket = {"address": address, "port_value": 80}
    ends = [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": socket}}}]}]
    return {"name": name, "type": "STATIC", "load_assignment": {"cluster_name": name, "endpoints": ends}}


def put(*clusters: Mapping[str, Any], why: str = "Because") -> dict[str, Any]:
    return {"change_description": why, "static_resources": {"clusters": list(clusters)}}


def names(said: Mapping[str, Any], which: str = "clusters") -> list[str]:
    return [one["name"] for one in said["static_resources"][which]]


def tip(dialect: Dialect) -> str:
    assert dialect.origin is not None
    return dialect.origin.tip()


def commit(dialect: Dialect, files: dict[str, str]) -> None:
    """As a person would."""
    assert dialect.origin is not None
    dialect.origin.commit(files)
    dialect.follow()


def edited(dialect: Dialect) -> None:
    """The Configuration that is shared has another endpoint."""
    commit(dialect, {"fleet/edge.yaml": proxied.EDGE.replace("10.0.0.1", "10.0.0.7")})


def changed_files(dialect: Dialect) -> list[str]:
    """Of the newest commit."""
    assert dialect.origin is not None
    return sorted(git(dialect.origin.path, "show", "--format=", "--name-only", "main").split())


def test_a_proxy_that_shares_gets_one_of_its_own(dialect: Dialect) -> None:
    """By one commit, by the person, with what was said as its message; what others serve stays as it is."""
    proxied.fleet(dialect)
    before = dialect.made(GET, ids=EAST)
    said = dialect.made(PUT, put(cluster("b"), why="Add b"), ids=WEST)
    assert (said["name"], names(said), names(said, "listeners")) == ("proxy-west-001-config", ["web", "b"], ["http"])
    version = said["active_version"]
    assert (version["version_number"], version["change_description"]) == (1, "Add b")
    assert version["created_by"].endswith("@example.com")
    assert version["created_by"] in dialect.log("%ae")
    assert dialect.made(GET, ids=EAST) == before
    assert dialect.made(GET, ids=WEST) == said
    title, changed = dialect.log("%s%x09%an")[0], changed_files(dialect)
    assert title.split("\t")[0] == "Add b"
    assert changed == ["fleet/configurations/proxy-west-001-config.yaml", "fleet/west.yaml"]
    assert dialect.file("fleet/west.yaml").endswith("  configuration: proxy-west-001-config\n")


def test_one_of_its_own_is_changed_where_it_stands(dialect: Dialect) -> None:
    """What is not named stays, comments too; each change is a version more, and what was read says nothing new."""
    proxied.fleet(dialect, proxied.ONE)
    said = dialect.made(PUT, put(cluster("b")), ids=WEST)
    assert (said["name"], said["active_version"]["version_number"]) == ("edge", 2)
    assert "- name: http # where people come in" in dialect.file("fleet/edge.yaml")
    assert changed_files(dialect) == ["fleet/edge.yaml"]
    said = dialect.made(PUT, put(cluster("web", "10.0.0.2"), why="Move it"), ids=WEST)
    assert (names(said), said["active_version"]["version_number"]) == (["web", "b"], 3)
    commits = len(dialect.log())
    again = dialect.made(PUT, dialect.made(GET, ids=WEST), ids=WEST)
    assert again == said
    assert len(dialect.log()) == commits


def test_what_is_to_be_the_whole_takes_the_rest_away(dialect: Dialect) -> None:
    """What was read, sent back without an entry and with the word for it; lists that are not named stay, comments too. What is
    still in use is not taken away, nor what somebody else has added since."""
    proxied.fleet(dialect, proxied.ONE)
    dialect.made(PUT, put(cluster("b"), cluster("c")), ids=WEST)
    read = dialect.made(GET, ids=WEST)
    read["static_resources"]["clusters"] = [one for one in read["static_resources"]["clusters"] if one["name"] != "b"]
    assert names(dialect.made(PUT, read, ids=WEST)) == ["web", "b", "c"]
    said = dialect.made(PUT, read | {"replace": True}, ids=WEST)
    assert (names(said), names(said, "listeners")) == (["web", "c"], ["http"])
    assert "- name: http # where people come in" in dialect.file("fleet/edge.yaml")
    only = {"replace": True, "static_resources": {"clusters": []}}
    assert dialect.refused(PUT, only, ids=WEST)[0] == 422
    said = dialect.made(PUT, {"replace": True, "static_resources": {"listeners": []}}, ids=WEST)
    assert (names(said), names(said, "listeners")) == (["web", "c"], [])
    commits = len(dialect.log())
    assert dialect.refused(PUT, read | {"replace": True}, ids=WEST)[0] == 409
    assert len(dialect.log()) == commits


def test_what_others_serve_is_not_taken_away(dialect: Dialect) -> None:
    """The whole of a proxy's own is another's no more."""
    proxied.fleet(dialect)
    before = dialect.made(GET, ids=EAST)
    said = dialect.made(PUT, {"replace": True, "static_resources": {"listeners": []}}, ids=WEST)
    assert (said["name"], names(said), names(said, "listeners")) == ("proxy-west-001-config", ["web"], [])
    assert dialect.made(GET, ids=EAST) == before


def test_a_rollback_is_a_new_version_of_old_content(dialect: Dialect) -> None:
    """Also what was added meanwhile is gone again; with the reason as its message."""
    proxied.fleet(dialect)
    first = dialect.made(PUT, put(cluster("b")), ids=WEST)
    dialect.made(PUT, put(cluster("c")), ids=WEST)
    said = dialect.made(BACK, {"target_version": 1, "reason": "c is slow"}, ids=WEST)
    assert said["static_resources"] == first["static_resources"]
    assert (said["active_version"]["version_number"], said["active_version"]["change_description"]) == (3, "c is slow")
    assert dialect.refused(BACK, {"target_version": 9}, ids=WEST)[:2] == (404, "NOT_FOUND")
    assert dialect.refused(BACK, {"target_version": 0}, ids=WEST)[:2] == (422, "VALIDATION_ERROR")


def test_a_rollback_of_what_is_shared_is_for_one_alone(dialect: Dialect) -> None:
    """Its versions are those of what it shares; others go on serving the newest of them."""
    proxied.fleet(dialect)
    edited(dialect)
    assert dialect.made(GET, ids=WEST)["active_version"]["version_number"] == 2
    back = dialect.made(BACK, {"target_version": 1}, ids=WEST)
    assert (back["name"], back["active_version"]["version_number"]) == ("proxy-west-001-config", 1)
    assert "10.0.0.1" in json.dumps(back)
    assert "10.0.0.7" in json.dumps(dialect.made(GET, ids=EAST))


def test_a_tag_of_what_was_read_guards_it(dialect: Dialect) -> None:
    """412 for an old one, whether the proxy shares its configuration or has its own."""
    proxied.fleet(dialect)
    old = '"' + "0" * 16 + '"'
    assert dialect.refused(PUT, put(cluster("b")), ids=WEST, If_Match=old)[0] == 412
    tag = dialect.ask(GET, ids=WEST).headers["ETag"]
    assert dialect.ask(PUT, put(cluster("b")), ids=WEST, If_Match=tag).status_code == 200
    assert dialect.refused(PUT, put(cluster("c")), ids=WEST, If_Match=tag)[0] == 412
    tag = dialect.ask(GET, ids=WEST).headers["ETag"]
    answer = dialect.ask(PUT, put(cluster("c")), ids=WEST, If_Match=tag)
    assert answer.status_code == 200
    assert answer.headers["ETag"] != tag
    stale = {**put(cluster("d")), "active_version": {"version_number": 1}}
    assert dialect.refused(PUT, stale, ids=WEST)[0] == 409


def test_the_same_under_its_key_is_done_once(dialect: Dialect) -> None:
    """Though by then it would be another change: the proxy has a configuration of its own now."""
    proxied.fleet(dialect)
    said = dialect.made(PUT, put(cluster("b")), ids=WEST, Idempotency_Key="k1")
    commits = len(dialect.log())
    assert dialect.made(PUT, put(cluster("b")), ids=WEST, Idempotency_Key="k1") == said
    assert len(dialect.log()) == commits
    assert dialect.refused(PUT, put(cluster("c")), ids=WEST, Idempotency_Key="k1")[0] == 422
    back = {"target_version": 1}
    dialect.made(PUT, put(cluster("c")), ids=WEST)
    assert dialect.made(BACK, back, ids=WEST, Idempotency_Key="k2")["active_version"]["version_number"] == 3
    assert dialect.made(BACK, back, ids=WEST, Idempotency_Key="k2")["active_version"]["version_number"] == 3


def test_many_at_once_lose_nothing(dialect: Dialect) -> None:
    """Each lays its own over what there is when it is committed; the first makes the proxy's own Configuration."""
    proxied.fleet(dialect)
    asking = [lambda n=n: dialect.ask(PUT, put(cluster(f"c{n}")), ids=WEST).status_code for n in range(6)]
    assert together(*asking) == [200] * 6
    assert sorted(names(dialect.made(GET, ids=WEST))) == [*(f"c{n}" for n in range(6)), "web"]


def test_what_cannot_be_is_refused_whole(dialect: Dialect) -> None:
    """By name and with every Problem; nothing of it is stored."""
    proxied.fleet(dialect)
    commits = len(dialect.log())
    status, code, details = dialect.refused(PUT, put({"name": "b", "typ": "STATIC"}), ids=WEST)
    assert (status, code, details["field"]) == (422, "VALIDATION_ERROR", "static_resources.clusters[0].typ")
    listener = {
        "name": "x",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 10000}},
        "filter_chains": [{}],
    }
    status, code, details = dialect.refused(PUT, {"static_resources": {"listeners": [listener]}}, ids=WEST)
    assert (status, code) == (422, "VALIDATION_ERROR")
    assert "10000" in details["errors"][0]["reason"]
    assert dialect.refused(PUT, {}, ids=WEST)[0] == 422
    assert dialect.refused(PUT, {"static_resources": {"secrets": []}}, ids=WEST)[2]["field"] == "static_resources.secrets"
    assert len(dialect.log()) == commits


def test_a_proxy_that_is_pinned_shows_what_it_is_pinned_to(dialect: Dialect) -> None:
    """Whatever has come since; a change goes on from there, and the proxy is not pinned any more."""
    proxied.fleet(dialect)
    first = dialect.made(GET, ids=WEST)["active_version"]
    pinned = tip(dialect)
    edited(dialect)
    commit(dialect, {"fleet/west.yaml": proxied.FLEET["fleet/west.yaml"] + f"  configuration: edge\n  revision: {pinned}\n"})
    said = dialect.made(GET, ids=WEST)
    assert said["active_version"] == first
    assert "10.0.0.1" in json.dumps(said)
    assert dialect.made(GET, ids=EAST)["active_version"]["version_number"] == 2
    assert [one["configuration"]["clusters"] for one in dialect.made("proxies.list")["data"]] == [1, 1]
    said = dialect.made(PUT, put(cluster("b")), ids=WEST)
    assert (said["name"], names(said)) == ("proxy-west-001-config", ["web", "b"])
    assert "10.0.0.1" in json.dumps(said)
    assert "revision" not in dialect.file("fleet/west.yaml")
    # And one of its own, of which nobody else serves anything.
    dialect.made(PUT, put(cluster("c")), ids=WEST)
    third = tip(dialect)
    dialect.made(PUT, put(cluster("d")), ids=WEST)
    commit(dialect, {"fleet/west.yaml": dialect.file("fleet/west.yaml").rstrip("\n") + f"\n  revision: {third}\n"})
    assert names(dialect.made(GET, ids=WEST)) == ["web", "b", "c"]
    said = dialect.made(PUT, put(cluster("e")), ids=WEST)
    assert (said["name"], names(said)) == ("proxy-west-001-config", ["web", "b", "c", "e"])


def test_what_is_pinned_and_not_known_is_not_guessed(dialect: Dialect) -> None:
    """A commit that was never in force by itself: nobody here knows what it says, so nothing is laid over that."""
    proxied.fleet(dialect)
    assert dialect.origin is not None
    dialect.origin.commit({"fleet/edge.yaml": proxied.EDGE.replace("10.0.0.1", "10.0.0.7")})
    never = tip(dialect)
    west = proxied.FLEET["fleet/west.yaml"] + f"  configuration: edge\n  revision: {never}\n"
    commit(dialect, {"fleet/edge.yaml": proxied.EDGE, "fleet/west.yaml": west})
    assert dialect.refused(GET, ids=WEST)[0] == 404
    assert dialect.refused(PUT, put(cluster("b")), ids=WEST)[0] == 409
    assert dialect.made("proxies.list")["data"][1]["configuration"] == {"listeners": 0, "clusters": 0, "routes": 0}
    said = dialect.made(BACK, {"target_version": 1}, ids=WEST)
    assert (said["name"], names(said)) == ("proxy-west-001-config", ["web"])


def test_a_proxy_without_a_configuration_gets_one(dialect: Dialect) -> None:
    """There is none to read, until somebody says what it is to be."""
    bare = {**proxied.ONE, "fleet/group.yaml": proxied.HEAD.format("ProxyGroup", "edge") + "spec: {}\n"}
    proxied.fleet(dialect, bare)
    assert dialect.refused(GET, ids=WEST)[0] == 404
    assert dialect.refused(BACK, {"target_version": 1}, ids=WEST)[0] == 404
    assert dialect.made("proxies.list")["data"][0]["configuration"] == {"listeners": 0, "clusters": 0, "routes": 0}
    assert names(dialect.made(PUT, put(cluster("b")), ids=WEST)) == ["b"]


def test_what_is_not_ones_own_is_not_there(dialect: Dialect) -> None:
    """For another tenant neither the proxy nor the Configuration is, whatever is done to it."""
    proxied.fleet(dialect)
    config = dialect.made(GET, ids=WEST)["id"]
    asked = [(GET, None, WEST), (PUT, put(cluster("b")), WEST), (BACK, {"target_version": 1}, WEST)]
    body = {"name": "x", "address": "127.0.0.1", "port": 1}
    asked += [("listeners.list", None, {"config_id": config}), ("listeners.create", body, {"config_id": config})]
    for id, said, ids in asked:
        assert dialect.refused(id, said, ids=ids, tenant="other")[0] == 404
    assert dialect.made("proxies.list", tenant="other")["data"] == []


def test_how_far_it_has_come_is_told(dialect: Dialect) -> None:
    """Whether the proxy runs the active version, and what Envoy says where it does not."""
    proxied.fleet(dialect)

    def state() -> tuple[str, str | None]:
        said = dialect.made(GET, ids=WEST)["delivery"]
        return said["state"], said["message"]

    assert state()[0] == "not_connected"
    proxied.faring(dialect)
    assert state()[0] == "acknowledged"
    proxied.faring(dialect, synced=False)
    assert state()[0] == "pending"
    proxied.faring(dialect, told=None)
    assert state()[0] == "pending"
    proxied.faring(dialect)
    dialect.store.put_status({"Configuration/edge": {"sync": "refused", "why": "no such filter"}})
    assert state() == ("refused", "no such filter")


def test_what_is_not_in_force_is_answered_with_why(dialect: Dialect, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pending for as long as it is not judged; refused as soon as it is, however long one would have waited."""
    proxied.fleet(dialect)
    before = dialect.made(GET, ids=WEST)
    with monkeypatch.context() as nobody:
        nobody.setattr(dialect, "follow", str)
        nobody.setattr("api.surfaces.envoy_fleet.routes.configurations.SETTLING_S", 0.2)
        said = dialect.made(PUT, put(cluster("b")), ids=WEST)
    assert (said["active_version"], said["name"]) == (before["active_version"], "edge")
    assert (said["delivery"]["state"], said["delivery"]["message"]) == ("pending", "it is committed, and not in force yet")

    def refuse() -> None:
        dialect.store.record_revision(tip(dialect), "refused", [Problem(Where("fleet/edge.yaml"), "no such filter")])

    monkeypatch.setattr(dialect, "follow", refuse)
    begun = time.monotonic()
    answer = dialect.ask(PUT, put(cluster("b")), ids=EAST, query={"wait": "synced", "timeoutSeconds": 60})
    said = json.loads(answer.get_data())
    assert (answer.status_code, said["name"], said["delivery"]["state"]) == (202, "edge", "refused")
    assert "no such filter" in said["delivery"]["message"]
    assert time.monotonic() - begun < 60


def test_no_secret_is_told_and_none_is_lost(dialect: Dialect) -> None:
    """What stands in the clear is hidden from whoever reads it, and stays what it is where it is sent back."""
    key = "-----BEGIN PRIVATE KEY-----MIIE"
    certificate = {"private_key": {"inline_string": key}, "certificate_chain": {"inline_string": "c"}}
    context = {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": {"tls_certificates": [certificate]},
    }
    secret = {**cluster("b"), "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": context}}
    proxied.fleet(dialect, proxied.ONE)
    text = dialect.ask(PUT, put(secret), ids=WEST).text
    said = dialect.made(GET, ids=WEST)
    assert CLEAR in text
    assert key not in text + json.dumps(said)
    said["static_resources"]["clusters"][1]["lb_policy"] = "RANDOM"
    said.pop("active_version")
    dialect.made(PUT, said, ids=WEST)
    assert key in dialect.file("fleet/edge.yaml")
    assert "RANDOM" in dialect.file("fleet/edge.yaml")


# Listeners and routes

LISTENER = {
    "name": "raw",
    "address": "127.0.0.1",
    "port": 10009,
    "protocol": "TCP",
    "filter_chains": [
        {"filters": [{"name": "envoy.filters.network.tcp_proxy", "config": {"stat_prefix": "raw", "cluster": "web"}}]}
    ],
}
ROUTE = {"name": "more", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "web"}}]}


def test_listeners_and_routes_are_added_to_a_configuration(dialect: Dialect) -> None:
    """By name, once; they are listed in both paginations, and stand in Git beside what was there."""
    proxied.fleet(dialect, proxied.ONE)
    ids = {"config_id": "edge"}
    made = dialect.made("listeners.create", LISTENER, ids=ids)
    assert {name: made[name] for name in LISTENER} == LISTENER
    assert dialect.refused("listeners.create", LISTENER, ids=ids)[:2] == (409, "CONFLICT")
    listed = dialect.made("listeners.list", ids=ids)
    assert [one["name"] for one in listed["data"]] == ["http", "raw"]
    assert undated(listed["data"][1]) == undated(made)
    assert listed["pagination"]["total_items"] == 2
    first = dialect.made("listeners.list", ids=ids, query={"limit": 1})
    (second,) = dialect.made("listeners.list", ids=ids, query={"limit": 1, "cursor": first["cursor"]["next"]})["data"]
    assert undated(second) == undated(made)
    assert "- name: http # where people come in" in dialect.file("fleet/edge.yaml")

    made = dialect.made("routes.create", ROUTE, ids=ids)
    assert {name: made[name] for name in ROUTE} == ROUTE
    assert dialect.refused("routes.create", ROUTE, ids=ids)[:2] == (409, "CONFLICT")
    assert [one["name"] for one in dialect.made("routes.list", ids=ids)["data"]] == ["main", "more"]
    (proxy,) = dialect.made("proxies.list")["data"]
    assert proxy["configuration"] == {"listeners": 2, "clusters": 1, "routes": 2}


@pytest.mark.parametrize(
    ("id", "body", "field"),
    [
        ("listeners.create", {**LISTENER, "port": 0}, "port"),
        ("listeners.create", {**LISTENER, "protocol": "HTTP"}, "protocol"),
        ("listeners.create", {name: LISTENER[name] for name in ("name", "port")}, "address"),
        ("routes.create", {**ROUTE, "domains": []}, "domains"),
        ("routes.create", {**ROUTE, "routes": [{"match": {"prefix": "/"}}]}, "routes[0]"),
        ("routes.create", {**ROUTE, "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "nowhere"}}]}, ""),
    ],
)
def test_what_cannot_be_added_is_refused_by_name(id: str, body: object, field: str, dialect: Dialect) -> None:
    """The member and why, or what the fleet has against it."""
    proxied.fleet(dialect, proxied.ONE)
    status, code, details = dialect.refused(id, body, ids={"config_id": "edge"})
    assert (status, code, details["field"] if field else "") == (422, "VALIDATION_ERROR", field)


# The list


def test_proxies_are_listed_as_they_fare(dialect: Dialect) -> None:
    """By name, in parts, and those that fare in one way alone; what is not known is null."""
    proxied.fleet(dialect)
    proxied.faring(dialect)
    proxied.faring(dialect, "proxy-east-001", "degraded", connected=False)
    east, west = dialect.made("proxies.list")["data"]
    assert (east["proxy_id"], east["status"], east["last_heartbeat"]) == ("proxy-east-001", "unhealthy", "1970-01-01T00:16:40Z")
    assert (west["status"], west["version"], west["admin_address"], west["admin_port"]) == (
        "healthy",
        "1.40.0",
        "10.0.1.5",
        None,
    )
    assert west["last_heartbeat"] > "2020"
    assert {*west["metrics"].values()} == {None}
    proxied.measured(dialect)
    _, west = dialect.made("proxies.list")["data"]
    assert west["metrics"] == {"requests_per_second": 2.0, "error_rate": 0.05, "p99_latency_ms": pytest.approx(25, abs=1)}

    def listed(**query: object) -> list[str]:
        return [one["proxy_id"] for one in dialect.made("proxies.list", query=query)["data"]]

    assert listed(status="healthy") == ["proxy-west-001"]
    assert listed(status="unhealthy", limit=5) == ["proxy-east-001"]
    assert listed(status="unknown") == []
    assert listed(order="desc", per_page=1) == ["proxy-west-001"]
    dialect.store.put_status({"Proxy/proxy-west-001": None})
    assert listed(status="unknown") == ["proxy-west-001"]
    assert dialect.refused("proxies.list", query={"status": "fine"})[0] == 422
