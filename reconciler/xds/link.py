"""Between one stream and its gRPC call: one write at a time, the newest content when that is done."""

import asyncio
from typing import Any

import grpc  # type: ignore[import-untyped]

from reconciler.seams import Seams, Wake
from reconciler.xds.registry import Registry
from reconciler.xds.snapshots import Body, OpenSecret
from reconciler.xds.stream import Stream
from reconciler.xds.topics import Topic


class Link:
    """Lives in the server's event loop. Idle, it holds no task and no timer: there may be thousands."""

    __slots__ = ("_context", "_open", "_reader", "_registry", "_seams", "_timer", "_wake", "_writer", "stream", "verdict")

    def __init__(
        self, stream: Stream, context: Any, registry: "Registry[Link]", open_secret: OpenSecret, seams: Seams, wake: Wake
    ) -> None:
        self.stream, self._context, self._registry, self._open = stream, context, registry, open_secret
        self._seams, self._wake = seams, wake
        self._reader = asyncio.current_task()
        self._writer: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        # How the stream ends, when it is us who end it.
        self.verdict: tuple[grpc.StatusCode, str] | None = None

    async def begin(self) -> None:
        """Send the head of the answer: else it goes with the first write, and a write that is cut off leaves a call that cannot
        be ended. So does a head that is cut off: who ends the stream meanwhile is heard after it, as with a write."""
        self._writer = asyncio.current_task()
        try:
            await self._context.send_initial_metadata(())
        finally:
            self._writer = None
        if self.verdict is not None:
            raise asyncio.CancelledError

    def kick(self) -> None:
        """Send what there is to send, unless a write is under way: that one looks again when it is done."""
        if self._writer is not None or self.verdict is not None:
            return
        following = self._following()
        if following is not None:
            self._writer = asyncio.get_running_loop().create_task(self._write(*following))

    def _following(self, written: str = "", size_bytes: int = 0) -> tuple[Topic, Body] | None:
        """What to send next, after a response of the type `written` has left."""
        with self._registry.lock:
            if size_bytes:
                self._registry.count.pushes[written] += 1
                self._registry.count.bytes_sent += size_bytes
            following = self.stream.next()
            if following is not None:
                self._registry.touched(self.stream)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if following is None and self.stream.look_at is not None:
            delay_s = max(0.0, self.stream.look_at - self._seams.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay_s, self.kick)
        return following

    async def _write(self, topic: Topic, body: Body) -> None:
        following: tuple[Topic, Body] | None = (topic, body)
        try:
            while following is not None and self.verdict is None:
                topic, body = following
                content = await self._opened(topic, body) if body.secret else body.encoded(self._open)
                if content is not None:
                    self._seams.point("xds.write", self.stream.node, body.type)
                    await self._context.write(content)
                following = self._following(body.type, len(content or b""))
        except Exception as error:  # noqa: BLE001
            # Whatever a broken connection raises here, the stream is of no more use; the client will come back.
            self.end("UNAVAILABLE", f"writing to this stream failed: {error}")
        finally:
            self._writer = None
            self._release()

    async def _opened(self, topic: Topic, body: Body) -> bytes | None:
        try:
            # Opening takes milliseconds of cryptography and a record of it: not in everybody's event loop.
            return await asyncio.to_thread(body.encoded, self._open)
        except Exception as error:  # noqa: BLE001 - whatever opening raises is one secret's trouble
            with self._registry.lock:
                self.stream.unsendable(topic, body, f"the secret could not be opened: {error}")
                self._registry.heard(self.stream)
            self._wake()
            return None

    def hold(self, hold_s: float) -> None:
        """Wait this long for something to be published for this node, then send the client away."""
        if self.stream.told is None:
            asyncio.get_running_loop().call_later(hold_s, self._give_up, hold_s)

    def _give_up(self, held_s: float) -> None:
        if self.stream.told is None:
            self.end(
                "UNAVAILABLE", f"nothing is known yet of what node {self.stream.node!r} should run (waited {held_s:.0f} s)"
            )

    def end(self, code: str, message: str) -> None:
        """End the stream with this gRPC status."""
        if self.verdict is not None:
            return
        self.verdict = (grpc.StatusCode[code], message)
        # gRPC cannot end a call while a write is under way: then it ends when that is done, at the latest with the connection.
        if self._writer is None or self._writer is asyncio.current_task():
            self._release()

    def _release(self) -> None:
        """Get the reader out of its waiting, so that it can end the call."""
        if self.verdict is not None and self._reader is not None and self._reader is not asyncio.current_task():
            self._reader.cancel()
            self._reader = None

    def leave(self) -> None:
        """The reader has stopped reading by itself: nothing may be sent from here on."""
        self._reader = None
        if self._timer is not None:
            self._timer.cancel()
        if self._writer is not None and self.verdict is None:
            self._writer.cancel()

    async def written(self) -> None:
        """Wait for the write that is under way, if there is one."""
        if self._writer is not None:
            await asyncio.wait([self._writer])
