"""Many at once: all of them by one commit, or none."""

from typing import Any

import pytest

from tests.api.envoy_fleet import proxied
from tests.api.envoy_fleet.certificates import uploaded
from tests.api.envoy_fleet.playing import Dialect

PROXIES = ["proxy-west-001", "proxy-east-001"]


def clusters(dialect: Dialect, *names: str) -> list[str]:
    return [dialect.made("clusters.create", {"name": name})["id"] for name in names]


def standing(dialect: Dialect) -> dict[str, str | None]:
    return {one["proxy_id"]: one["cluster_id"] for one in dialect.made("proxies.list")["data"]}


def test_proxies_stand_before_a_cluster(dialect: Dialect) -> None:
    """One commit for all of them, and the list shows it; a Cluster that is named stays; null takes it away."""
    proxied.fleet(dialect)
    (id,) = clusters(dialect, "service-a")
    assert dialect.origin is not None
    before = dialect.store.last_good()
    body = {"proxy_ids": [proxied.id_of(dialect, PROXIES[0]), PROXIES[1]], "updates": {"cluster_id": id}}
    said = dialect.made("bulk.proxies.update", body, role="operator")
    assert [one["status"] for one in said["results"]] == ["updated"] * 2
    assert standing(dialect) == dict.fromkeys(PROXIES, id)
    assert dialect.store.last_good() != before
    assert "cluster: service-a" in dialect.file("fleet/west.yaml")

    bulk = {"resource_type": "clusters", "ids": ["service-a"]}
    assert dialect.refused("bulk.delete", bulk)[:2] == (422, "VALIDATION_ERROR")
    dialect.made("bulk.proxies.update", {"proxy_ids": PROXIES, "updates": {"cluster_id": None}})
    assert standing(dialect) == dict.fromkeys(PROXIES)
    dialect.made("bulk.delete", bulk)


def test_all_or_nothing(dialect: Dialect) -> None:
    """Each that is not there is named by its place, and the others stay as they are."""
    proxied.fleet(dialect)
    clusters(dialect, "a", "b")
    revision = dialect.store.last_good()
    wrong: list[tuple[str, dict[str, Any], str]] = [
        ("bulk.proxies.update", {"proxy_ids": [*PROXIES, "absent"], "updates": {"cluster_id": "a"}}, "proxy_ids[2]"),
        ("bulk.proxies.update", {"proxy_ids": [PROXIES[0]] * 2, "updates": {"cluster_id": "a"}}, "proxy_ids[1]"),
        ("bulk.proxies.update", {"proxy_ids": PROXIES, "updates": {"cluster_id": "absent"}}, "updates.cluster_id"),
        ("bulk.proxies.update", {"proxy_ids": PROXIES, "updates": {"version": "1"}}, "updates.version"),
        ("bulk.proxies.update", {"proxy_ids": PROXIES, "updates": {}}, "updates"),
        ("bulk.proxies.update", {"proxy_ids": [], "updates": {"cluster_id": "a"}}, "proxy_ids"),
        ("bulk.delete", {"resource_type": "clusters", "ids": ["a", "absent", "b", "also-absent"]}, "ids[1]"),
        ("bulk.delete", {"resource_type": "clusters", "ids": ["a"] * 201}, "ids"),
        ("bulk.delete", {"resource_type": "settings", "ids": ["fleet"]}, "resource_type"),
        ("bulk.delete", {"resource_type": "clusters", "ids": ["a\x1b[31m"]}, "ids[0]"),
    ]
    for number, (id, body, field) in enumerate(wrong):
        status, _, details = dialect.refused(id, body)
        assert (status, details["field"]) == (422, field)
        if number == 6:
            assert [one["field"] for one in details["errors"]] == ["ids[1]", "ids[3]"]
    assert dialect.store.last_good() == revision


@pytest.mark.parametrize("type", ["clusters", "proxies", "configurations"])
def test_deleted(dialect: Dialect, type: str) -> None:
    """By one commit, and again under one key is answered again."""
    proxied.fleet(dialect)
    clusters(dialect, "a", "b")
    ids = {"clusters": ["a", "b"], "proxies": PROXIES}.get(type, ["edge"])
    if type == "configurations":
        # Its group names it.
        assert dialect.refused("bulk.delete", {"resource_type": type, "ids": ids})[:2] == (422, "VALIDATION_ERROR")
        return
    body = {"resource_type": type, "ids": ids}
    said = dialect.made("bulk.delete", body, Idempotency_Key="k")
    assert said == {
        "total": 2,
        "succeeded": 2,
        "failed": 0,
        "results": [{"id": id, "status": "deleted"} for id in ids],
    }
    assert dialect.made("bulk.delete", body, Idempotency_Key="k") == said
    assert dialect.made(f"{type}.list")["data"] == []
    assert dialect.refused("bulk.delete", body)[0] == 422


def test_what_admins_make_admins_delete(dialect: Dialect) -> None:
    """403 for an operator, whatever he names."""
    dialect.seals()
    dialect.made("certificates.upload", uploaded(dialect))
    name = dialect.made("certificates.list")["data"][0]["name"]
    for ids in ([name], ["absent"]):
        said = dialect.refused("bulk.delete", {"resource_type": "certificates", "ids": ids}, role="operator")
        assert said[:2] == (403, "FORBIDDEN")
    clusters(dialect, "stays")
    dialect.made("bulk.delete", {"resource_type": "certificates", "ids": [name]})
    assert dialect.refused("bulk.delete", {"resource_type": "webhooks", "ids": ["x"]}, role="operator")[0] == 403


def test_anothers_are_not_there(dialect: Dialect) -> None:
    """In the same words as what never was."""
    (id,) = clusters(dialect, "a")
    said = [
        dialect.refused("bulk.delete", {"resource_type": "clusters", "ids": [one]}, tenant="acme") for one in (id, "absent")
    ]
    assert said[0] == said[1]
    assert dialect.made("clusters.list")["pagination"]["total_items"] == 1
