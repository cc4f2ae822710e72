"""What is told of revisions, also long after they came into force."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from api.surfaces.envoy_fleet.happenings import CONFIGURATION, Happenings
from reconciler.seams import Seams
from reconciler.store import Store, default_url
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
