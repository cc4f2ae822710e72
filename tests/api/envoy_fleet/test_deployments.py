"""Deployments: one commit that pins the proxies that are named, and progress as it is."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.surfaces.envoy_fleet.contract import operations
from reconciler.core.declared import Declaration
from reconciler.core.model import Ref
from reconciler.core.rollout import Progress, Turn
from reconciler.core.statuses import Status
from reconciler.record import status_json
from tests.api.envoy_fleet.edges import configuration, document, edge_fleet, proxies, proxy
from tests.api.envoy_fleet.playing import Dialect, undated
from tests.fleets import load_text, loaded

EXAMPLE: dict[str, Any] = dict(operations()["deployments.create"].said["request"])


def test_one_commit(dialect: Dialect) -> None:
    """The Rollout and the pins of its proxies, by whoever asked; the other proxies and the Configuration stay as they are."""
    first, second = edge_fleet(dialect)
    before, ids = dialect.log(), [proxy(dialect, name) for name in ("edge-1", "edge-2")]
    answer = dialect.ask("deployments.create", {"proxy_ids": ids, "version_id": first}, role="operator")
    assert answer.status_code == 202
    made = json.loads(answer.get_data())
    assert len(dialect.log()) == len(before) + 1
    commit = dialect.store.version(first)
    assert commit is not None
    (rollout,) = [text for path in dialect.files() if path.startswith("rollouts/") for text in [dialect.file(path)]]
    said = yaml.safe_load(rollout)
    assert said["spec"] == {"configuration": "edge", "revision": commit.commit, "proxies": ["edge-1", "edge-2"]}
    assert said["metadata"] == {"name": made["name"], "uid": made["id"]}
    listed = list(yaml.safe_load_all(dialect.file("proxies.yaml")))
    pins = {one["metadata"]["name"]: one["spec"].get("revision") for one in listed if one}
    assert pins == {"edge-1": commit.commit, "edge-2": commit.commit, "core-3": None}
    assert "cluster: spare" in dialect.file("edge.yaml")
    assert (made["version_id"], made["version_number"], made["strategy"]) == (first, 1, "all_at_once")
    assert made["progress"] == {"total_proxies": 2, "completed": 0, "in_progress": 0, "pending": 2, "failed": 0}
    assert [(one["proxy_id"], one["status"]) for one in made["proxies"]] == [(id, "pending") for id in ids]
    read = dialect.made("deployments.status", ids={"id": made["id"]})
    assert undated(read) == undated(made)
    assert dialect.made("deployments.status", ids={"id": made["name"]}) == read
    (short,) = dialect.made("deployments.list")["data"]
    assert {**read, **short} == read
    assert "proxies" not in short
    again = dialect.made("deployments.create", {"proxy_ids": ["edge-1"], "version_id": second})
    newest = dialect.made("deployments.list", query={"sort_by": "created_at", "order": "desc"})["data"][0]
    assert newest["id"] == again["id"]


def test_to_many(dialect: Dialect) -> None:
    """One commit, also to more than a delete may be of; of what stands in one file beside them every other byte stays."""
    edge_fleet(dialect)
    assert dialect.origin is not None
    names = [f"edge-{n}" for n in range(10, 220)]
    before = "# ours\n" + proxies("edge", *range(10, 220)) + "# the last\n"
    dialect.origin.commit({"many.yaml": before})
    dialect.follow()
    commits = len(dialect.log())
    made = dialect.made("deployments.create", {"proxy_ids": names, "version": 1})
    assert made["progress"]["total_proxies"] == len(names)
    assert len(dialect.log()) == commits + 1
    added = f', "configuration": "edge", "revision": "{made["revision"]}"'
    assert dialect.file("many.yaml").replace(added, "") == before
    assert dialect.file("many.yaml").count(added) == len(names)


def test_names_and_numbers(dialect: Dialect) -> None:
    """As `envoyctl` says it: slugs, and the number of a version of what these proxies serve."""
    first, second = edge_fleet(dialect)
    made = dialect.made("deployments.create", {"proxy_ids": ["edge-1", proxy(dialect, "edge-2")[:8]], "version": 1})
    assert (made["version_id"], [one["name"] for one in made["proxies"]]) == (first, ["edge-1", "edge-2"])
    # Pinned, they still serve that Configuration: its other versions have the same numbers.
    assert dialect.made("deployments.create", {"proxy_ids": ["edge-1"], "version": 2})["version_id"] == second
    assert dialect.refused("deployments.create", {"proxy_ids": ["edge-1"], "version": 3})[2]["field"] == "version"
    mixed = dialect.refused("deployments.create", {"proxy_ids": ["edge-1", "core-3"], "version": 1})
    assert (mixed[0], mixed[2]["field"]) == (422, "version")


def test_what_no_commit_declares(dialect: Dialect, tmp_path: Path) -> None:
    """A version of the days when the fleet was a plain folder: no proxy could name it, and that is said."""
    (tmp_path / "plain").mkdir()
    old = document("Cluster", "old", '{endpoints: ["127.0.0.1:1"]}') + configuration("edge", "old")
    (tmp_path / "plain" / "fleet.yaml").write_text(old)
    known = loaded(tmp_path / "plain")
    assert known.fleet is not None
    revision, documents = known.fleet.revision, known.documents
    said = Declaration(revision, known.fleet.resources, lambda ref: documents[ref].value, lambda *_: {})
    dialect.store.record_revision(revision, "good", (), declaration=said)
    edge_fleet(dialect)
    body = {"proxy_ids": ["edge-1"], "version": 1}
    status, _, details = dialect.refused("deployments.create", body)
    assert (status, details["field"]) == (422, "version")
    assert "plain folder" in details["reason"]
    assert dialect.made("deployments.create", body | {"version": 2})["version_number"] == 2


def test_the_same_key_is_the_same_deployment(dialect: Dialect) -> None:
    """Asked again because no answer came, nothing is deployed again; without a key it is another one."""
    first, _ = edge_fleet(dialect)
    body = {"proxy_ids": ["edge-1"], "version_id": first}
    one = dialect.made("deployments.create", body, Idempotency_Key="k")
    assert dialect.made("deployments.create", body, Idempotency_Key="k")["id"] == one["id"]
    other = dialect.refused("deployments.create", body | {"proxy_ids": ["edge-2"]}, Idempotency_Key="k")
    assert other[2]["field"] == "Idempotency-Key"
    assert dialect.made("deployments.create", body)["id"] != one["id"]


def test_the_documented_example_is_refused_by_name(dialect: Dialect) -> None:
    """It asks for a canary, which is not served: the member, and why."""
    first, _ = edge_fleet(dialect)
    ids = [proxy(dialect, name) for name in ("edge-1", "edge-2")]
    status, code, details = dialect.refused("deployments.create", EXAMPLE | {"proxy_ids": ids, "version_id": first})
    assert (status, code, details["field"]) == (422, "VALIDATION_ERROR", "deployment_strategy")
    assert details["reason"] == "canary is not served: all proxies are told at once, which is all_at_once"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"deployment_strategy": "rolling"}, "deployment_strategy"),
        ({"deployment_strategy": "quick"}, "deployment_strategy"),
        ({"canary_config": {"percentage": 10}}, "canary_config"),
        ({"proxy_ids": []}, "proxy_ids"),
        ({"proxy_ids": ["edge-1"] * 2001}, "proxy_ids"),
        ({"proxy_ids": "edge-1"}, "proxy_ids"),
        ({"proxy_ids": ["edge-1", "edge-9"]}, "proxy_ids[1]"),
        ({"proxy_ids": ["edge-1", "edge-1"]}, "proxy_ids[1]"),
        ({"version_id": "bb0e8400-e29b-41d4-a716-446655440000"}, "version_id"),
        ({"version_id": ""}, "version_id"),
        ({"version": 1}, "version_id"),
        ({"version_id": None}, "version_id"),
        ({"name": "x"}, "name"),
    ],
)
def test_refused_by_name(change: dict[str, Any], field: str, dialect: Dialect) -> None:
    """With the member and why, and nothing is committed."""
    first, _ = edge_fleet(dialect)
    before = dialect.log()
    body = {"proxy_ids": ["edge-1"], "version_id": first} | change
    status, _, details = dialect.refused("deployments.create", body)
    assert (status, details["field"]) == (422, field)
    assert dialect.log() == before


def test_whose_it_is(dialect: Dialect) -> None:
    """Another tenant's proxies, versions and deployments are not there; a viewer deploys nothing."""
    first, _ = edge_fleet(dialect)
    body = {"proxy_ids": ["edge-1"], "version_id": first}
    made = dialect.made("deployments.create", body)
    assert dialect.refused("deployments.create", body, role="viewer")[0] == 403
    assert undated(dialect.made("deployments.status", ids={"id": made["id"]}, role="viewer")) == undated(made)
    assert dialect.refused("deployments.status", ids={"id": made["id"]}, tenant="acme")[0] == 404
    assert dialect.refused("deployments.create", body, tenant="acme")[2]["field"] == "proxy_ids[0]"
    assert dialect.made("deployments.list", tenant="acme")["data"] == []


def test_a_version_of_something_else(dialect: Dialect) -> None:
    """Everything has versions; only those of Configurations can be deployed."""
    edge_fleet(dialect)
    other = dialect.store.declared(["Cluster/web"])["Cluster/web"].version
    assert dialect.refused("deployments.create", {"proxy_ids": ["edge-1"], "version_id": other})[2]["field"] == "version_id"


def test_progress(dialect: Dialect) -> None:
    """The numbers are those of its status, and add up; what came in its place has failed, and says why."""
    first, _ = edge_fleet(dialect)
    made = dialect.made("deployments.create", {"proxy_ids": ["edge-1", "edge-2", "core-3"], "version_id": first})
    ref = Ref("Rollout", made["name"])
    turns = {"edge-1": Turn("completed"), "edge-2": Turn("failed", "Envoy refuses http"), "core-3": Turn("superseded", "gone")}
    progress = Progress("x", "failed", 1_700_000_000.0, 1_700_000_060.0, turns)
    empty = load_text("apiVersion: convoy/v1\nkind: Host\nmetadata: {name: h}\n")
    row = status_json(empty, ref, Status(ref, "failed", "degraded", 0.0, "1 of 3 proxies have it", progress), ())
    dialect.store.put_status({str(ref): row})
    found = dialect.made("deployments.status", ids={"id": made["id"]})
    assert found["progress"] == {"total_proxies": 3, "completed": 1, "in_progress": 0, "pending": 0, "failed": 2}
    assert (found["status"], found["message"]) == ("failed", "1 of 3 proxies have it")
    assert (found["started_at"], found["completed_at"]) == ("2023-11-14T22:13:20Z", "2023-11-14T22:14:20Z")
    assert [one["message"] for one in found["proxies"]] == ["", "Envoy refuses http", "gone"]


def test_a_plan_of_a_deployment(dialect: Dialect) -> None:
    """Nothing is committed where only the plan is asked for; that there is no loop to ask here is said."""
    first, _ = edge_fleet(dialect)
    before = dialect.log()
    answer = dialect.ask("deployments.create", {"proxy_ids": ["edge-1"], "version_id": first}, query={"dry_run": "true"})
    assert answer.status_code == 503
    assert dialect.log() == before
