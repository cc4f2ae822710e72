"""How one stream is begun and ended, whatever moment that is."""

import asyncio
import threading
from collections.abc import Generator
from typing import Any, cast

import pytest

from reconciler.seams import Seams
from reconciler.xds import server as server_module
from reconciler.xds.link import Link

from .conftest import World
from .snapshot import raw, snapshot


def test_whoever_ends_it_while_its_head_is_sent_is_heard_after_that() -> None:
    """gRPC ends no call on which something is being sent: it would stay open, and its client wait for ever."""
    done: list[str] = []

    async def play() -> None:
        sending, sent = asyncio.Event(), asyncio.Event()
        links: list[Link] = []

        class Context:
            async def send_initial_metadata(self, _: object) -> None:
                sending.set()
                await sent.wait()
                done.append("sent")

        async def serve() -> None:
            nothing: Any = None
            links.append(Link(nothing, cast(Any, Context()), nothing, nothing, Seams(), lambda: None))
            try:
                await links[0].begin()
            except asyncio.CancelledError:
                done.append("left")

        serving = asyncio.create_task(serve())
        await sending.wait()
        links[0].end("UNAVAILABLE", "another stream of this node")
        for _ in range(3):
            await asyncio.sleep(0)
        assert not serving.done()
        sent.set()
        await serving

    asyncio.run(asyncio.wait_for(play(), 60))
    assert done == ["sent", "left"]


class Head:
    """A stream's context. The head of its answer is sent at once, and that it is is heard when `go` is set."""

    def __init__(self, context: Any, sent: threading.Event, go: threading.Event) -> None:
        self._context, self._sent, self._go = context, sent, go

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def send_initial_metadata(self, metadata: tuple[()]) -> None:
        await _Held(self._context.send_initial_metadata(metadata), self._sent, self._go)


class _Held:
    """Goes the first step of a coroutine, which waits for gRPC then, and the second when `go` is set."""

    def __init__(self, coroutine: Any, begun: threading.Event, go: threading.Event) -> None:
        self._coroutine, self._begun, self._go = coroutine, begun, go

    def __await__(self) -> Generator[Any, Any, None]:
        waits_for = self._coroutine.send(None)
        waits_for._asyncio_future_blocking = False
        self._begun.set()
        yield from asyncio.to_thread(self._go.wait).__await__()
        yield from asyncio.wait([waits_for]).__await__()
        with pytest.raises(StopIteration):
            self._coroutine.send(None)


def test_what_is_published_while_its_head_is_sent_is_sent_after_that(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An Envoy that connects just when it is told something else: gRPC takes no write until the head has left."""
    sent, go, spread = threading.Event(), threading.Event(), threading.Event()

    class Slow(Link):
        def __init__(self, stream: Any, context: Any, *more: Any) -> None:
            super().__init__(stream, Head(context, sent, go), *more)

        def kick(self) -> None:
            super().kick()
            spread.set()

    monkeypatch.setattr(server_module, "Link", Slow)
    server = world.server()
    client = world.client(server)
    client.send("cds")
    try:
        assert sent.wait(60)
        server.publish("n", snapshot([raw("cds", "a", "1")]))
        assert spread.wait(60)
    finally:
        go.set()
    assert [(r.name, r.version) for r in client.read().resources] == [("a", "1")]
