"""`convoy explain`, from what the store keeps and from what is followed."""

import json
import time
from pathlib import Path
from typing import Any

from reconciler.commands.sources import Place
from reconciler.core.declared import Declaration, Maker
from reconciler.core.envelope import digest_of
from reconciler.core.model import Ref, Resource, Source
from reconciler.seams import Seams
from reconciler.store import Store
from tests.cli.conftest import Convoy
from tests.cli.test_look import row
from tests.declared import SPEC, declaration


def test_explain_tells_all(convoy: Convoy, store: Store, state: Path, tmp_path: Path) -> None:
    """Standing, document as written, workloads, what a proxy runs and refused, what happened."""
    from reconciler.git import Directory

    fleet = tmp_path / "fleet"
    fleet.mkdir()
    written = "apiVersion: convoy/v1\nkind: Proxy\nmetadata:\n  name: edge-1 # the front\nspec:\n  group: edge\n"
    (fleet / "edge.yaml").write_text(f"---\n{written}")
    source = Directory(fleet, Seams())
    revision = source.fetch()
    blob = source.tree(revision).files["edge.yaml"]
    source.close()
    Place(str(fleet)).remember(state)
    ref, document = Ref("Proxy", "edge-1"), {"kind": "Proxy", "metadata": {"name": "edge-1"}, "spec": {"group": "edge"}}
    resource = Resource(ref, "uid", SPEC, Source("edge.yaml", 1, 3, 99, blob), digest=digest_of(document))
    given = Declaration(
        revision, {ref: resource}, lambda _: document, lambda _, files: {f: Maker("c1", "Ada <a>") for f in files}
    )
    store.record_revision(revision, "good", (), (), (), given)
    store.put_state({"revision": revision, "refused": "", "unreadable": "", "problems": [], "converged": False})
    store.put_status({"Proxy/edge-1": row("Proxy/edge-1", "refused", where="edge.yaml:1", why="cannot bind")})
    store.event("xds.refused", "Proxy/edge-1", "LDS http: cannot bind", time.time() - 5)
    store.add_outcomes([outcome_json("create", "Proxy/edge-1")])
    text, answer = convoy("explain", "proxy/edge-1").stdout, json.loads(convoy("explain", "proxy/edge-1", "-o", "json").stdout)

    assert answer["document"] == written
    assert answer["where"] == "edge.yaml:2"
    assert answer["revision"] == revision
    assert (answer["change"], answer["changedIn"], answer["author"]) == (1, "c1", "Ada <a>")
    assert "change 1: c1 by Ada" in text
    assert answer["lastRefused"] == "LDS http: cannot bind"
    assert {one["what"] for one in answer["recent"]} == {"xds.refused", "create done"}
    assert "name: edge-1 # the front" in text
    assert "last refused" in text


def outcome_json(verb: str, ref: str) -> dict[str, Any]:
    return {
        "verb": verb,
        "ref": ref,
        "host": "local",
        "instance": "i",
        "status": "done",
        "error": "",
        "at": 1.0,
        "seconds": 0.1,
    }


def test_what_belongs_together(convoy: Convoy, store: Store) -> None:
    """What a resource needs, what needs it, what it waits for and what releases that."""
    head = {"apiVersion": "convoy/v1"}
    documents = {
        "ProxyGroup/edge": {**head, "kind": "ProxyGroup", "metadata": {"name": "edge"}, "spec": {"configuration": "edge"}},
        "Proxy/edge-1": {**head, "kind": "Proxy", "metadata": {"name": "edge-1"}, "spec": {"group": "edge"}},
        "Host/edge": {**head, "kind": "Host", "metadata": {"name": "edge"}, "spec": {"driver": "process"}},
    }
    store.record_revision("r1", "good", (), (), (), declaration("r1", documents))
    store.put_status({ref: row(ref, "held", where=f"{ref}:1") for ref in documents})
    held = {"reason": "waits for a confirm", "release": "`convoy confirm Proxy/edge-1`"}
    store.put_plan("r1", {"steps": [{"ref": "Proxy/edge-1", "held": [held]}, {"ref": "Host/edge", "held": []}]})
    group = json.loads(convoy("explain", "ProxyGroup/edge", "-o", "json").stdout)
    proxy, text = json.loads(convoy("explain", "edge-1", "-o", "json").stdout), convoy("explain", "edge-1").stdout
    assert (group["needs"], group["neededBy"]) == (["Configuration/edge"], ["Proxy/edge-1"])
    assert (proxy["needs"], proxy["neededBy"]) == (["ProxyGroup/edge"], [])
    assert proxy["waits"] == [{"ref": "Proxy/edge-1", **held}]
    assert "to go on: `convoy confirm Proxy/edge-1`" in text


def test_a_document_that_cannot_be_read_any_more(convoy: Convoy, store: Store) -> None:
    """What the store knows of it is shown all the same, and nothing that a terminal would obey."""
    store.record_revision(
        "r1", "good", (), (), (), declaration("r1", {"Host/h": {"kind": "\x1b[31mHost"}}, author="\x1b[31mEve")
    )
    store.put_status({"Host/h": row("Host/h")})
    result = convoy("explain", "Host/h")
    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    assert "change 1: r1 by \\x1b[31mEve" in result.stdout
