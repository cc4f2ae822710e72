"""`envoyctl events`: what happens, over the API's WebSocket, from where one left off."""

import contextlib
import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from api.client.commands.proxy import NAMES as PROXIES
from api.client.exits import AWAY, REFUSED, UNKNOWN, ClientError
from api.client.options import Call, common, ends
from api.client.terms import id_list, split
from reconciler.usage import Command

if TYPE_CHECKING:
    import asyncio

    from websockets.asyncio.client import ClientConnection

NAMES = ("proxy.status.changed", "configuration.updated", "deployment.progress")
# After so long without a word the server is asked whether there is more of what has happened already, which it says in order;
# and how soon it is tried again after a break, up to how long at most.
QUIET_S, AGAIN_S, LONGEST_AGAIN_S = 0.5, 0.5, 15.0
OPENING_S, ANSWERING_S, CLOSING_S, LARGEST = 15.0, 60.0, 2.0, 1024 * 1024


class Stream:
    """One that is open. Whoever reads and writes TLS in two threads at once sometimes loses what was written (OpenSSL's objects
    are one thread's, and Python locks them from 3.13 on: https://github.com/python/cpython/issues/124984), as websockets'
    threaded client does: this is its other one, one step at a time."""

    def __init__(self, steps: "asyncio.Runner", inner: "ClientConnection") -> None:
        self._steps, self._inner = steps, inner

    def send(self, text: str) -> None:
        self._steps.run(self._inner.send(text))

    def recv(self, timeout: float | None) -> str | bytes:
        """Raises TimeoutError."""
        return self._steps.run(self._recv(timeout))

    async def _recv(self, timeout: float | None) -> str | bytes:
        import asyncio

        async with asyncio.timeout(timeout):
            return await self._inner.recv()

    def close(self) -> None:
        self._steps.run(self._inner.close())


@click.command(
    cls=Command,
    examples=[
        ("envoyctl events --follow", "what happens from now on, until Ctrl-C"),
        ("envoyctl events", "what has happened, as far as it is kept"),
        ("envoyctl events -f --events deployment.progress --proxy-ids proxy-001 -o json", "for a program, a line each"),
        ("envoyctl events -f --after 4190", "from where one left off: nothing is missed"),
    ],
    exits=ends(),
)
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens from now on.")
@click.option("--after", type=click.IntRange(0), metavar="NUMBER", help="Begin behind this number, as an event gave it.")
@click.option("--events", "chosen", default=",".join(NAMES), metavar="EVENTS", help="Which, with commas between them.  [all]")
@click.option("--proxy-ids", metavar="IDS", shell_complete=PROXIES, help="Only of these proxies, with commas between them.")
@common
def events(call: Call, follow: bool, after: int | None, chosen: str, proxy_ids: str | None) -> None:
    """Show what happens to proxies, configurations and deployments.

    After a break it goes on by itself, where it was.
    """
    place = after if after is not None else None if follow else 0
    asked: dict[str, Any] = {"type": "subscribe", "events": split(chosen)}
    if proxy_ids:
        asked["filters"] = {"proxy_ids": id_list(proxy_ids, "--proxy-ids")}
    tries, since = 0, time.monotonic()
    while True:
        try:
            for message in _heard(call, asked, place, follow):
                tries, since = 0, time.monotonic()
                after = message.get("after")
                place = after if isinstance(after, int) else place
                _tell(call, message)
            return
        except ClientError as why:
            if not follow or why.exit_code != AWAY or place is None:
                raise
            call.terminal.note(f"{why.message}; trying again, from {place} on")
        tries += 1
        if time.monotonic() - since > 60 * LONGEST_AGAIN_S:
            raise ClientError(AWAY, "it has not come back for a quarter of an hour")
        time.sleep(min(AGAIN_S * 2**tries, LONGEST_AGAIN_S))


def _heard(call: Call, asked: dict[str, Any], place: int | None, follow: bool) -> Iterator[dict[str, Any]]:
    """What is said, until the connection ends (ClientError, AWAY), or nothing more comes where one does not follow."""
    from websockets.exceptions import ConnectionClosed, WebSocketException

    with _connected(call) as stream:
        try:
            stream.send(json.dumps(asked | ({"after": place} if place is not None else {})))
            # Whether it was asked for more, and has said something since.
            pinged = heard = False
            while True:
                try:
                    message = _message(stream.recv(timeout=None if follow else ANSWERING_S if pinged else QUIET_S))
                except TimeoutError:
                    if pinged:
                        raise ClientError(AWAY, f"the server has not answered within {ANSWERING_S:g} s") from None
                    stream.send(json.dumps({"type": "ping"}))
                    pinged, heard = True, False
                    continue
                if message.get("type") == "error":
                    _refused(message)
                if message.get("type") != "pong":
                    heard = True
                    yield message
                elif not heard:
                    return
                else:
                    pinged = False
        except ConnectionClosed as why:
            from api.client.wire import clean

            closed = why.rcvd
            if closed is not None and closed.code == 1008:
                raise ClientError(UNKNOWN, f"the server ends this: {clean(closed.reason)}") from None
            raise ClientError(AWAY, "the connection has ended") from None
        except (OSError, WebSocketException) as why:
            raise ClientError(AWAY, f"the connection has ended: {type(why).__name__}") from None


@contextlib.contextmanager
def _connected(call: Call) -> Iterator[Stream]:
    """Raises ClientError."""
    import asyncio

    with asyncio.Runner() as steps, contextlib.closing(Stream(steps, _opened(call, steps))) as stream:
        yield stream


def _opened(call: Call, steps: "asyncio.Runner") -> "ClientConnection":
    import socket
    from urllib.parse import urlsplit

    from websockets.asyncio.client import ClientConnection, connect
    from websockets.exceptions import InvalidStatus, WebSocketException

    from api.client import wire

    class Straight(connect):
        """Nobody sends us, and the token, on to somebody else."""

        def process_redirect(self, exc: Exception) -> Exception | str:
            return exc

    async def opened() -> ClientConnection:
        return await Straight(
            url,
            sock=plain,
            ssl=wire.trusted(session.server) if secure else None,
            additional_headers=headers,
            user_agent_header=wire.agent(),
            open_timeout=OPENING_S,
            close_timeout=CLOSING_S,
            max_size=LARGEST,
            proxy=None,
        )

    session = call.session
    headers = {"Authorization": f"Bearer {session.token()}"}
    parts = urlsplit(session.server.url)
    secure = parts.scheme == "https"
    url = f"{'wss' if secure else 'ws'}{session.server.url[len(parts.scheme) :]}{wire.BASE}/ws"
    try:
        plain = socket.create_connection((parts.hostname or "", parts.port or (443 if secure else 80)), OPENING_S)
        return steps.run(opened())
    except InvalidStatus as why:
        status, said = why.response.status_code, {}
        with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
            said = json.loads(why.response.body or b"")["error"]
        if isinstance(said, dict) and "code" in said:
            raise wire.refusal(status, said, why.response.headers.get("Retry-After")) from None
        words = "and the token is for nobody else" if 300 <= status < 400 else "and not as this API does"
        raise ClientError(
            AWAY if status >= 500 else REFUSED, f"{session.server.url} has answered with HTTP status {status}, {words}"
        ) from None
    except (OSError, WebSocketException) as why:
        words = wire.clean(getattr(why, "strerror", None) or why or type(why).__name__)
        raise ClientError(AWAY, f"cannot listen to {session.server.url}: {words}") from None


def _message(text: str | bytes) -> dict[str, Any]:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        said = None
    return said if isinstance(said, dict) else {}


def _refused(message: dict[str, Any]) -> None:
    from api.client.wire import refusal

    error = message.get("error")
    said = error if isinstance(error, dict) and "code" in error else {"code": "ERROR", "message": "the server refuses"}
    statuses = {"VALIDATION_ERROR": 422, "NOT_FOUND": 404, "SERVICE_UNAVAILABLE": 503}
    raise refusal(statuses.get(str(said["code"]), 400), said)


def _tell(call: Call, message: dict[str, Any]) -> None:
    from api.client.show import STYLES, as_yaml, cell, progress
    from reconciler.core.show_layout import Span

    if message.get("type") not in ("event", "lost"):
        return
    if call.output == "json":
        call.terminal.json_line(message)
    elif call.output == "yaml":
        call.terminal.raw(f"---\n{as_yaml(message)}")
    elif message["type"] == "lost":
        call.terminal.note(f"what happened from {message.get('from')} to {message.get('to')} is not kept any more", "wait")
    else:
        data = message.get("data")
        said = data if isinstance(data, dict) else {}
        name, new = cell(message.get("event")), said.get("new_status")
        about = f"{cell(said.get('proxy_id'))}: {cell(said.get('old_status'))} → "
        if name == "deployment.progress":
            about, new = progress(said), None
        elif name == "configuration.updated":
            version = cell(said.get("version_number"))
            about, new = f"{cell(said.get('proxy_id'))} gets version {version} of {cell(said.get('configuration_id'))}", None
        end = (Span(str(new), STYLES.get(str(new), "")),) if new else ()
        moment = cell(said.get("timestamp") or said.get("updated_at"))
        line = (Span(f"{cell(message.get('after'))}  {moment}  ", "dim"), Span(f"{name}  "), Span(about), *end)
        call.terminal.line(line)
