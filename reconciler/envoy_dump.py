"""Asks an Envoy's admin page, over loopback or its Unix socket, for what it runs: bounded in size and time."""

import http.client
import ipaddress
from urllib.parse import urlsplit

from reconciler import envoy_admin
from reconciler.core.dump import DUMP
from reconciler.seams import Seams

TIMEOUT_S = 10.0
# Within it everything must have come, however slowly each piece does.
DEADLINE_S = 60.0
PIECE = 1 << 16


class DumpError(Exception):
    """What an Envoy runs could not be asked; says whom, and what to do."""


def config_dump(where: str, most_bytes: int, seams: Seams) -> bytes:
    """The answer of /config_dump?include_eds. `where`: http://127.0.0.1:9901, or a Unix socket's path. Raises DumpError."""
    path = where.removeprefix("unix:")
    if path.startswith("/"):
        seams.point("envoy_dump.ask", where)
        try:
            return envoy_admin.get(path, DUMP, DEADLINE_S, most_bytes)
        except envoy_admin.AdminError as error:
            raise DumpError(f"{error}: is it an admin socket? what it says may also be saved, and imported in parts") from error
    connection = _connection(where)
    seams.point("envoy_dump.ask", where)
    end = seams.monotonic() + DEADLINE_S
    try:
        connection.request("GET", DUMP)
        answer = connection.getresponse()
        if answer.status != 200:
            raise DumpError(f"{where} answers {DUMP} with {answer.status}: is this the admin page of an Envoy?")
        text = bytearray()
        while piece := answer.read1(PIECE):
            text += piece
            if len(text) > most_bytes:
                raise DumpError(
                    f"{where} answers with more than {most_bytes} bytes: save what it says in parts, and import those"
                )
            if seams.monotonic() > end:
                raise DumpError(f"{where} has not told all within {DEADLINE_S:g} s: ask again")
        return bytes(text)
    except (OSError, http.client.HTTPException) as error:
        raise DumpError(f"cannot ask the Envoy at {where}: {error}: is its admin page there?") from error
    finally:
        connection.close()


def _connection(where: str) -> http.client.HTTPConnection:
    try:
        url = urlsplit(where if "//" in where else f"//{where}")
        host, port = url.hostname or "", url.port
    except ValueError:
        host, port, url = "", None, urlsplit("")
    if url.scheme not in ("", "http") or not host or port is None or url.username or url.path.strip("/"):
        raise DumpError(f"{where!r} is no admin address: write http://127.0.0.1:9901, or the path of its Unix socket")
    # An admin page is for this machine alone: whoever reaches one over a network can stop the Envoy.
    if host != "localhost" and not _loopback(host):
        raise DumpError(
            f"{host} is not this machine: run `curl -s 'http://{host}:{port}{DUMP}'` there, and import what it prints"
        )
    return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
