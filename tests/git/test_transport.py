"""Who is on the other side is looked at, always; and what the other side says stays words."""

import datetime
import functools
import http.server
import ipaddress
import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from reconciler.git import Mirror, SourceError
from reconciler.seams import Seams
from tests.drivers.world import soon
from tests.ports import free_port
from tests.repos import Origin, git
from tests.signing import run


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files: git's dumb protocol."""

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


def certificate(directory: Path, address: str, ends: datetime.timedelta) -> Path:
    """A certificate for this address, signed by itself, and its key in one file."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "forge")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=30))
        .not_valid_after(now + ends)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = directory / f"{address}.pem"
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(key.private_bytes(*form) + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def serve(origin: Origin) -> Iterator[Any]:
    """Serves the origin over TLS with a certificate; gives the URL."""
    running: list[tuple[http.server.ThreadingHTTPServer, threading.Thread]] = []

    def start(pem: Path) -> str:
        git(origin.path, "update-server-info")
        handler = functools.partial(Quiet, directory=str(origin.path.parent))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        running.append((server, thread))
        return f"https://127.0.0.1:{server.server_address[1]}/origin.git"

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


DAY = datetime.timedelta(days=1)


@pytest.mark.parametrize(
    ("address", "ends", "trusted"), [("127.0.0.1", DAY, False), ("127.0.0.9", DAY, True), ("127.0.0.1", -DAY, True)]
)
def test_a_wrong_certificate_ends_it(
    origin: Origin,
    serve: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    ends: datetime.timedelta,
    trusted: bool,
) -> None:
    """Of somebody unknown, for another host, or expired: nothing is fetched, whatever settings say about not looking."""
    origin.commit({"a.yaml": "1"})
    pem = certificate(tmp_path, address, ends)
    url = serve(pem)
    careless = f'[http]\nsslVerify=false\n[http "{url}"]\nsslVerify=false\n[http "{url.rpartition("/")[0]}"]\nsslVerify=false\n'
    (tmp_path / "config").write_text(careless + (f"[http]\nsslCAInfo={pem}\n" if trusted else ""))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    monkeypatch.setenv("GIT_SSL_NO_VERIFY", "1")
    for one in (url, url.replace("https://", "https://robot:secret@")):
        source = Mirror(one, "main", tmp_path / "mirror", Seams())
        with pytest.raises(SourceError, match=r"certificate|SSL") as caught:
            source.fetch()
        assert "secret" not in str(caught.value)
        source.close()
    assert not (tmp_path / "mirror").exists()


def test_a_forge_with_a_certificate_of_its_own(
    origin: Origin, serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is trusted by naming the certificate, in git's own words."""
    revision = origin.commit({"a.yaml": "1"})
    pem = certificate(tmp_path, "127.0.0.1", DAY)
    source = Mirror(serve(pem), "main", tmp_path / "mirror", Seams())
    with pytest.raises(SourceError, match="certificate"):
        source.fetch()
    monkeypatch.setenv("GIT_SSL_CAINFO", str(pem))
    assert source.fetch() == revision
    source.close()


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[tuple[int, str]]:
    """A real SSH server with a key of its own; gives its port and how known_hosts names it."""
    key = tmp_path / "host"
    run("dropbearkey", "-t", "ed25519", "-f", str(key))
    public = next(line for line in run("dropbearkey", "-y", "-f", str(key)).decode().splitlines() if line.startswith("ssh-"))
    port = free_port()
    words = ["dropbear", "-F", "-E", "-s", "-j", "-k", "-p", f"127.0.0.1:{port}", "-r", str(key), "-P", str(tmp_path / "pid")]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL)

    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    soon(answers)
    yield port, f"[127.0.0.1]:{port} {' '.join(public.split()[:2])}\n"
    process.terminate()
    process.wait()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("dropbear") is None, reason="no SSH server to try: install dropbear-bin")
def test_an_unknown_host_key_ends_it(
    origin: Origin, sshd: tuple[int, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unknown or changed: no question is asked and nothing of ours is shown; one that is known is talked to."""
    port, known = sshd
    (tmp_path / "known").write_text("")
    monkeypatch.setenv(
        "GIT_SSH_COMMAND", f"ssh -F none -o UserKnownHostsFile={tmp_path}/known -o GlobalKnownHostsFile=/dev/null"
    )
    monkeypatch.setenv("DISPLAY", ":9")
    asker = tmp_path / "asker"
    asker.write_text(f"#!/bin/sh\ntouch {tmp_path}/asked\necho yes\n")
    asker.chmod(0o755)
    monkeypatch.setenv("SSH_ASKPASS", str(asker))
    source = Mirror(f"ssh://somebody@127.0.0.1:{port}/origin.git", "main", tmp_path / "mirror", Seams(), deadline_s=240)

    def said() -> str:
        with pytest.raises(SourceError) as caught:
            source.fetch()
        return str(caught.value)

    assert "Host key verification failed" in said()
    assert (tmp_path / "known").read_text() == ""
    other = " ".join([known.split()[0], *(tmp_path / "other.pub").read_text().split()[:2]]) if other_key(tmp_path) else ""
    (tmp_path / "known").write_text(other + "\n")
    assert "Host key verification failed" in said()
    (tmp_path / "known").write_text(known)
    assert "Permission denied" in said()
    assert not (tmp_path / "asked").exists()
    source.close()


def other_key(directory: Path) -> bool:
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / "other"))
    return True


def test_what_a_server_says_is_words(origin: Origin, tmp_path: Path) -> None:
    """A server that writes for a terminal, at length: no control character of it is in what we say, and it has an end."""
    hostile = b"\x1b]0;owned\x07\x1b[2J\x9b31m gone \r\n \xe2\x80\xae" + b"x" * 60_000
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            for _ in range(2):
                connection, _address = listening.accept()
                with connection:
                    connection.recv(4096)
                    words = b"ERR " + hostile
                    connection.sendall(b"%04x" % (len(words) + 4) + words)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        source = Mirror(f"git://127.0.0.1:{listening.getsockname()[1]}/x", "main", tmp_path / "mirror", Seams(), deadline_s=240)
        with pytest.raises(SourceError) as caught:
            source.fetch()
        source.close()
        thread.join(60)
    assert "xxx" in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 5000


def test_file_urls_name_this_machine(origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`file://` is a whole path on this machine, with percent signs read once; what looks like an option stays a path."""
    revision = origin.commit({"a.yaml": "1"})
    # Where a URL without a path would lead.
    monkeypatch.chdir(origin.path)
    for number, url in enumerate(
        (f"file://{origin.path}", f"FILE://{origin.path}", f"file://{str(origin.path).replace('o', '%6f')}")
    ):
        source = Mirror(url, "main", tmp_path / f"mirror{number}", Seams())
        assert source.fetch() == revision
        source.close()
    for url in (
        "file://",
        "file://elsewhere",
        f"file://elsewhere{origin.path}",
        "file:///",
        "file:///-oProxyCommand=x",
        f"file://{origin.path}%00",
        "file:///proc/self/fd/0",
    ):
        with pytest.raises(SourceError):
            Mirror(url, "main", tmp_path / "none", Seams()).fetch()
    os.rename(origin.path, tmp_path / "--upload-pack=touch proof")
    source = Mirror(str(tmp_path / "--upload-pack=touch proof"), "main", tmp_path / "last", Seams())
    assert source.fetch() == revision
    source.close()
    assert not list(Path("/").glob("proof")) + list(tmp_path.glob("proof"))
