"""What is told of revisions, also long after they came into force."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from api.surfaces.envoy_fleet.happenings import CONFIGURATION, Happenings
from reconciler.core.declared import Declared
from reconciler.seams import Seams
from reconciler.store import Page, Store, Which, Window, default_url
from tests.declared import declaration


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    tmp_path.chmod(0o700)
    with closing(Store(default_url(tmp_path), Seams())) as opened:
        yield opened


def accept(store: Store, revision: str, port: int, **pins: str) -> int:
    """The number of the event that tells of it: a configuration that sends there, and proxies, each pinned to a revision or
    ("") not."""
    web = {"clusters": [{"name": "app", "endpoints": [f"127.0.0.1:{port}"]}]}
    specs: dict[str, dict[str, Any]] = {"Configuration/web": web, "ProxyGroup/edge": {"configuration": "web"}}
    for name, pin in pins.items():
        specs[f"Proxy/{name}"] = {"group": "edge"} | ({"configuration": "web", "revision": pin} if pin else {})
    store.record_revision(revision, "good", (), declaration=declaration(revision, {ref: {"spec": specs[ref]} for ref in specs}))
    store.event("revision.accepted", revision, "")
    return store.happened().last_numbers()[0]


def told(store: Store, number: int) -> list[tuple[object, object]]:
    """Which proxy was given which version, as it is told of this event."""
    (event,) = store.events(number - 1, 1)
    messages = list(Happenings(store).told(event))
    assert {one.name for one in messages} <= {CONFIGURATION}
    return sorted((str(one.data["proxy_id"]), one.data["version_number"]) for one in messages)


def test_what_was_deployed_is_told_as_it_was(store: Store) -> None:
    """A proxy that was given version 2 was given version 2, whatever it has been given since; and so is one that follows."""
    accept(store, "r1", 1, one="r1", two="")
    second = accept(store, "r2", 2, one="r1", two="")
    deployed = accept(store, "r3", 2, one="r2", two="")
    assert told(store, second) == [("uid-Proxy/two", 2)]
    assert told(store, deployed) == [("uid-Proxy/one", 2)]
    back = accept(store, "r4", 2, one="r1", two="")
    accept(store, "r5", 3, one="r1", two="")
    assert told(store, second) == [("uid-Proxy/two", 2)]
    assert told(store, deployed) == [("uid-Proxy/one", 2)]
    assert told(store, back) == [("uid-Proxy/one", 1)]


def test_who_served_it_then_is_told(store: Store) -> None:
    """Not who serves it now: one proxy is gone since, one has come since, and one went with the revision that is told of."""
    accept(store, "r1", 1, one="", two="", three="")
    second = accept(store, "r2", 2, one="", two="")
    accept(store, "r3", 2, two="", four="")
    assert told(store, second) == [("uid-Proxy/one", 2), ("uid-Proxy/two", 2)]
    accept(store, "r4", 2, two="r1", four="r1")
    assert told(store, second) == [("uid-Proxy/one", 2), ("uid-Proxy/two", 2)]


def test_a_revision_that_changes_much_costs_what_it_changes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each document that is there, or has changed since, is looked at so many times, and the store is asked as often, however
    many configurations, groups and proxies of them there are."""

    def revision(many: int, revision: str, port: int) -> int:
        specs: dict[str, dict[str, Any]] = {}
        for n in range(many):
            web = {"clusters": [{"name": "app", "endpoints": [f"127.0.0.1:{port}"]}]}
            specs |= {f"Configuration/web-{n}": web, f"ProxyGroup/edge-{n}": {"configuration": f"web-{n}", "port": port}}
            specs |= {f"Proxy/p-{n}": {"group": f"edge-{n}", "port": port}}
        documents = {ref: {"spec": spec} for ref, spec in specs.items()}
        store.record_revision(revision, "good", (), declaration=declaration(revision, documents))
        store.event("revision.accepted", revision, "")
        return store.happened().last_numbers()[0]

    looked = [0]
    spec = Declared.spec.fget  # type: ignore[attr-defined]  # a property has it

    def counted(one: Declared) -> Any:
        looked[0] += 1
        return spec(one)

    monkeypatch.setattr(Declared, "spec", property(counted))
    asked, page = list[object](), store.pages.page

    def paged(which: Which, window: Window) -> Page:
        asked.append(which)
        return page(which, window)

    monkeypatch.setattr(store.pages, "page", paged)
    counts: list[tuple[int, int]] = []
    for many in (20, 80):
        number = revision(many, f"r{many}", 1)
        revision(many, f"later{many}", 2)
        looked[0] = 0
        asked.clear()
        assert len(told(store, number)) == many
        counts.append((looked[0], len(asked)))
    (few, questions), (more, as_many) = counts
    assert more < 5 * few
    assert as_many == questions


def test_how_a_proxy_fared_is_told_of_one_that_is_gone(store: Store) -> None:
    """By the id that it had."""
    accept(store, "r1", 1, one="")
    store.event("health.unhealthy", "Proxy/one", "was healthy: it does not answer")
    (number, _) = store.happened().last_numbers()
    accept(store, "r2", 1)
    (event,) = store.events(number - 1, 1)
    (message,) = Happenings(store).told(event)
    assert (message.data["proxy_id"], message.data["new_status"]) == ("uid-Proxy/one", "unhealthy")


def test_a_deployment_is_told_as_far_as_it_had_got(store: Store) -> None:
    """Each event by its own words; how far it has got since is told by the events since."""
    specs: dict[str, dict[str, Any]] = {"Rollout/first": {"configuration": "web", "revision": "r1", "proxies": ["a", "b", "c"]}}
    store.record_revision("r1", "good", (), declaration=declaration("r1", {ref: {"spec": specs[ref]} for ref in specs}))
    said = {"state": "completed", "startedAt": 1.0, "endedAt": 2e9, "completed": 3}
    store.put_status({"Rollout/first": {"ref": "Rollout/first", "sync": "synced", "why": "", "rollout": said}})
    words = {
        "rollout.started": "Configuration/web as commit r1 declares it, to 3 proxies",
        "rollout.progress": "1 of 3 proxies have it (1 in progress, 1 pending); b: it has not acknowledged it yet",
        "rollout.failed": "2 of 3 proxies have it (1 failed); b: Envoy refuses http",
        "rollout.completed": "3 of 3 proxies have it",
    }
    store.add_events([(kind, "Rollout/first", message) for kind, message in words.items()])
    found: list[Any] = [message.data for event in store.events(0, 100) for message in Happenings(store).told(event)]
    assert [one["status"] for one in found] == ["in_progress", "in_progress", "failed", "completed"]
    assert [one["message"] for one in found] == [*words.values()]
    assert [[*one["progress"].values()] for one in found] == [
        [3, 0, 0, 3, 0],
        [3, 1, 1, 1, 0],
        [3, 2, 0, 0, 1],
        [3, 3, 0, 0, 0],
    ]
    assert [one["completed_at"] is None for one in found] == [True, True, False, False]
