"""How one stream is begun and ended, whatever moment that is."""

import asyncio
from typing import Any, cast

from reconciler.seams import Seams
from reconciler.xds.link import Link


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
